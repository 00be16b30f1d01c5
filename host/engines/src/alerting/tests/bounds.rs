//! Much at once, and what can't be kept.

use super::*;
use quarterdeck_model::effect::DEAD_LETTERS;
use quarterdeck_model::store::Page;
use std::collections::BTreeMap;

/// An alert whose annotations take so many bytes.
fn large(name: &str, n: usize, bytes: usize) -> Incoming {
    let labels = [("alertname", name.to_owned()), ("n", n.to_string())].into_iter().collect();
    let annotations = [("description", "x".repeat(bytes))].into_iter().collect();
    posted::check(Incoming { labels, annotations, starts_at: Some(START), ..Incoming::default() }).unwrap()
}

/// Documents of groups, by their ids, with their revisions.
fn groups(bench: &Bench) -> BTreeMap<String, u64> {
    let all = bench.context.store.list("alert-groups", &Page::all()).unwrap();
    all.into_iter().map(|document| (document.id, document.revision)).collect()
}

#[tokio::test]
async fn a_post_that_no_record_could_hold_is_taken_in_and_told_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench_at(folder.path(), &Fake::default(), spec(), START).await;
    // Each stands twice in a document and in an event: 24 MB in all.
    handle.post((0..120).map(|n| large("Down", n, 50_000)).collect()).await.unwrap();
    assert_eq!((handle.alerts().len(), bench.events(&[Alert::FIRING]).len()), (120, 120));
    until("the delivery", || delivered(&bench) == 1).await;
    assert_eq!(titles(&bench.fake), ["[FIRING: 120] Down"]);
    let message = bench.fake.with(|fake| fake.messages[0].clone());
    let shown = message.data["alerts"].as_array().unwrap().len();
    assert!(shown >= 5 && message.data["truncatedAlerts"] == 120 - shown, "{shown}");
}

#[tokio::test]
async fn groups_whose_messages_no_record_could_hold_together_are_all_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut waiting = spec();
    waiting["route"]["group-wait"] = json!("30s");
    let (bench, _tasks, handle) = bench_at(folder.path(), &Fake::default(), waiting, START).await;
    for name in 0..50 {
        let name = format!("a{name}");
        handle.post((0..8).map(|n| large(&name, n, 30_000)).collect()).await.unwrap();
    }
    assert_eq!(handle.groups().len(), 50);
    bench.advance(Span::from_secs(30));
    until("all deliveries", || delivered(&bench) == 50).await;
    let bytes: usize = bench.fake.with(|fake| fake.messages.iter().map(crate::size::encoded).sum());
    assert!(bytes > 8 << 20, "{bytes} would have fitted into one");
    let told: std::collections::BTreeSet<_> = titles(&bench.fake).into_iter().collect();
    assert_eq!(told.len(), 50);
}

#[tokio::test]
async fn a_receiver_of_many_gets_messages_that_fit_into_one_record() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let names: Vec<String> = (0..30).map(|n| format!("webhook/n{n}")).collect();
    names.iter().for_each(|name| fake.add_instance(name, Kind::Notifier));
    let mut spec = spec();
    spec["receivers"]["ops"]["notify"] = json!(names);
    let (bench, _tasks, handle) = bench_at(folder.path(), &fake, spec, START).await;
    handle.post((0..20).map(|n| large("Down", n, 30_000)).collect()).await.unwrap();
    until("all deliveries", || delivered(&bench) == 30).await;
    let titles = titles(&fake);
    assert!(titles.len() == 30 && titles.iter().all(|title| title == "[FIRING: 20] Down"), "{titles:?}");
}

#[tokio::test]
async fn a_restart_writes_no_group_that_is_as_its_document_says() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let (bench, tasks, handle) = bench_at(folder.path(), &fake, spec(), START).await;
    handle.post((0..200).map(|n| sent(&format!("a{n}"), START)).collect()).await.unwrap();
    until("the deliveries", || delivered(&bench) == 200).await;
    let before = groups(&bench);
    assert_eq!(before.len(), 200);
    drop((tasks, handle));
    bench.kill().await;
    let (bench, _tasks, handle) = bench_at(folder.path(), &fake, spec(), START.plus(Span::from_secs(5))).await;
    handle.post(vec![sent("new", bench.now())]).await.unwrap();
    until("the new one", || delivered(&bench) == 201).await;
    let mut after = groups(&bench);
    after.retain(|id, _| before.contains_key(id));
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_message_that_can_not_be_kept_lies_among_the_dead_letters_and_keeps_no_other_from_being_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = spec();
    // A name that no document holds.
    let endless = "x".repeat(2 << 20);
    spec["route"]["routes"] = json!([{"matchers": ["alertname=Bad"], "receiver": endless}]);
    spec["receivers"][&endless] = json!({"notify": ["webhook/a"]});
    let (bench, _tasks, handle) = bench_at(folder.path(), &Fake::default(), spec, START).await;
    // Taken in together: the first record is refused as a whole.
    let refused = handle.post(vec![sent("Bad", START), sent("Good", START)]).await;
    assert!(matches!(refused, Err(Error::Store(StoreError::Invalid(_)))), "{refused:?}");
    handle.post(vec![sent("Bad", START), sent("Good", START)]).await.unwrap();
    until("the good one", || delivered(&bench) == 1).await;
    let letters = || bench.context.store.list(DEAD_LETTERS, &Page::all()).unwrap();
    until("a dead letter", || letters().len() == 1).await;
    let letter = letters().remove(0).value;
    assert_eq!((&letter["kind"], &letter["alerts"]), (&json!("group"), &json!(1)));
    assert!(letter["reason"].as_str().unwrap().contains("bytes"), "{letter}");
    let added = bench.event("dead-letter.added", None, Offset(0)).await;
    assert_eq!(added.event.data["kind"], "group");
    let explained = handle.explain(&fingerprint(&sent("Bad", START).labels)).unwrap().unwrap();
    assert!(explained.summary.contains("could not be kept"), "{}", explained.summary);
    // It goes on: nothing is tried again and again, and what comes later is told.
    bench.advance(Span::from_secs(11));
    handle.post(vec![sent("Later", bench.now())]).await.unwrap();
    until("the later one", || delivered(&bench) == 2).await;
    assert_eq!((letters().len(), bench.events(&["dead-letter.added"]).len()), (1, 1));
    assert_eq!(titles(&bench.fake), ["[FIRING] Good", "[FIRING] Later"]);
}
