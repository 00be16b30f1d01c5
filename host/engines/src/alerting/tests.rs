mod bounds;
mod told;

use super::*;
use crate::testing::{Bench, Fake, START, until};
use crate::{notifications, outbox};
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::alert::AlertState;
use quarterdeck_model::domain::notification::{DeliveryState, Notification};
use quarterdeck_model::plugin::{CallError, Kind};
use serde_json::{Value, json};
use std::path::Path;

fn spec() -> Value {
    json!({"route": {"receiver": "ops", "group-by": ["alertname"], "group-wait": "0s", "group-interval": "10s"},
        "receivers": {"ops": {"notify": ["webhook/a"]}}})
}

fn catalog(spec: Value) -> Catalog {
    serde_json::from_value(json!({"alerting": spec})).unwrap()
}

async fn bench_at(folder: &Path, fake: &Fake, spec: Value, now: Timestamp) -> (Bench, Tasks, Handle) {
    fake.add_instance("webhook/a", Kind::Notifier);
    let mut bench = Bench::open(folder, fake, catalog(spec), now);
    let mut tasks = Tasks::default();
    let handle = start(&bench.context, &mut tasks).await.unwrap();
    notifications::start(&bench.context, &mut tasks).await.unwrap();
    let inlet = bench.inlet.take().unwrap();
    outbox::start(&bench.context, inlet, outbox::Options::default(), &mut tasks).await.unwrap();
    (bench, tasks, handle)
}

fn sent(name: &str, starts_at: Timestamp) -> Incoming {
    let labels = [("alertname", name), ("job", "api")].into_iter().collect();
    posted::check(Incoming { labels, starts_at: Some(starts_at), ..Incoming::default() }).unwrap()
}

fn titles(fake: &Fake) -> Vec<String> {
    fake.with(|fake| fake.messages.iter().map(|message| message.title.clone()).collect())
}

fn delivered(bench: &Bench) -> usize {
    bench.events(&[Notification::DELIVERED]).len()
}

#[tokio::test]
async fn an_alert_that_was_sent_here_is_an_alert_of_this_host_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench_at(folder.path(), &Fake::default(), spec(), START).await;
    handle.post(vec![sent("Down", START)]).await.unwrap();
    // Durable when it is answered: the alert, its event, and that it is to be told.
    let id = fingerprint(&sent("Down", START).labels);
    let alert: Alert = bench.context.read(Alert::COLLECTION, &id).unwrap().unwrap();
    assert_eq!((alert.state, alert.rule.as_str()), (AlertState::Firing, "Down"));
    assert_eq!(bench.events(&[Alert::FIRING]).len(), 1);
    until("the delivery", || delivered(&bench) == 1).await;
    let message = bench.fake.with(|fake| fake.messages[0].clone());
    assert_eq!((message.event_type.as_str(), message.title.as_str()), (message::FIRING, "[FIRING] Down"));
    assert_eq!(message.data["alerts"][0]["fingerprint"], id.as_str());
    assert_eq!(message.data["groupKey"], "{}:{alertname=\"Down\"}");
    let notification: Notification =
        bench.context.read_all(Notification::COLLECTION, &quarterdeck_model::store::Page::all()).unwrap().remove(0);
    assert_eq!((notification.route.as_str(), notification.state), ("alerting/ops", DeliveryState::Delivered));
}

#[tokio::test]
async fn an_alert_that_nobody_sends_again_ends_by_the_time_out_and_is_forgotten_later() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench_at(folder.path(), &Fake::default(), spec(), START).await;
    handle.post(vec![sent("Down", START)]).await.unwrap();
    until("the delivery", || delivered(&bench) == 1).await;
    bench.advance(Span::from_secs(299));
    handle.post(vec![sent("Other", bench.now())]).await.unwrap();
    assert_eq!(bench.events(&[Alert::RESOLVED]).len(), 0);
    bench.advance(Span::from_secs(2));
    until("its end", || bench.events(&[Alert::RESOLVED]).len() == 1).await;
    until("word of it", || {
        bench.advance(Span::from_secs(1));
        titles(&bench.fake).contains(&"[RESOLVED] Down".to_owned())
    })
    .await;
    let id = fingerprint(&sent("Down", START).labels);
    bench.advance(Span::from_secs(1_000));
    until("it to be forgotten", || bench.context.read::<Alert>(Alert::COLLECTION, &id).unwrap().is_none()).await;
}

#[tokio::test]
async fn events_of_the_hosts_own_rules_are_grouped_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench_at(folder.path(), &Fake::default(), spec(), START).await;
    let mut alert = posted::testing::alert(&[("alertname", "Own")], START.as_millis());
    (alert.posted, alert.fingerprint) = (None, "00000000000000aa".into());
    let data = serde_json::to_value(&alert).unwrap();
    let event = bench.context.event(Alert::FIRING, "00000000000000aa").data(data);
    bench.context.commit(quarterdeck_model::transition::Transition::new().event(event)).await.unwrap();
    until("the delivery", || delivered(&bench) == 1).await;
    assert_eq!(titles(&bench.fake), ["[FIRING] it is down"]);
    assert_eq!(handle.alerts().len(), 1);
    assert_eq!(handle.groups()[0].receiver, "ops");
}

#[tokio::test]
async fn what_was_before_alerting_was_configured_is_not_told_as_news_of_today() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    {
        // A host that did not know of alerting: an alert began and ended there.
        let bench = Bench::open(folder.path(), &fake, catalog(json!({})), START);
        let mut alert = posted::testing::alert(&[("alertname", "Old")], START.as_millis());
        alert.posted = None;
        let event = bench.context.event(Alert::FIRING, "old").data(serde_json::to_value(&alert).unwrap());
        bench.context.commit(quarterdeck_model::transition::Transition::new().event(event)).await.unwrap();
        bench.kill().await;
    }
    let (bench, _tasks, handle) = bench_at(folder.path(), &fake, spec(), START).await;
    handle.post(vec![sent("New", START)]).await.unwrap();
    until("the delivery", || delivered(&bench) == 1).await;
    assert_eq!(titles(&fake), ["[FIRING] New"]);
}

#[tokio::test]
async fn nothing_is_told_twice_and_nothing_is_lost_over_kills() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    for round in 0..5 {
        let (bench, tasks, handle) = bench_at(folder.path(), &fake, spec(), START).await;
        for n in 0..6 {
            handle.post(vec![sent(&format!("a{round}-{n}"), START)]).await.unwrap();
        }
        drop((tasks, handle));
        bench.kill().await;
    }
    let (bench, _tasks, _handle) = bench_at(folder.path(), &fake, spec(), START).await;
    until("all deliveries", || delivered(&bench) == 30).await;
    let keys: std::collections::BTreeSet<_> = fake.calls().into_iter().map(|(_, key)| key).collect();
    assert_eq!(keys.len(), 30);
    let told: std::collections::BTreeSet<_> = titles(&fake).into_iter().collect();
    assert_eq!(told.len(), 30);
}

#[tokio::test]
async fn a_timer_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let mut waiting = spec();
    waiting["route"]["group-wait"] = json!("30s");
    let (bench, tasks, handle) = bench_at(folder.path(), &fake, waiting.clone(), START).await;
    handle.post(vec![sent("Down", START)]).await.unwrap();
    let due = handle.groups()[0].next;
    assert_eq!(due, START.plus(Span::from_secs(30)));
    drop((tasks, handle));
    bench.kill().await;
    let (bench, _tasks, handle) = bench_at(folder.path(), &fake, waiting, START.plus(Span::from_secs(20))).await;
    assert_eq!(handle.groups()[0].next, due);
    assert_eq!(delivered(&bench), 0);
    bench.advance(Span::from_secs(10));
    until("the delivery", || delivered(&bench) == 1).await;
}

#[tokio::test]
async fn the_end_of_an_alert_is_told_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let (bench, tasks, handle) = bench_at(folder.path(), &fake, spec(), START).await;
    handle.post(vec![sent("Down", START)]).await.unwrap();
    until("the delivery", || delivered(&bench) == 1).await;
    bench.advance(Span::from_secs(2));
    let over = Incoming { ends_at: Some(bench.now()), ..sent("Down", START) };
    handle.post(vec![over]).await.unwrap();
    drop((tasks, handle));
    bench.kill().await;
    // Even where its document is gone by then, as those of the host's own rules may be.
    let (bench, _tasks, _handle) = bench_at(folder.path(), &fake, spec(), START.plus(Span::from_secs(3_600))).await;
    until("the end", || delivered(&bench) == 2).await;
    assert_eq!(titles(&fake), ["[FIRING] Down", "[RESOLVED] Down"]);
}

#[tokio::test]
async fn an_alert_that_could_not_be_sent_again_while_the_host_was_down_is_not_over_by_that() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let (bench, tasks, handle) = bench_at(folder.path(), &fake, spec(), START).await;
    // As Prometheus sends them: it ends in four minutes, unless it is sent again.
    let fires = Incoming { ends_at: Some(START.plus(Span::from_secs(240))), ..sent("Down", START) };
    handle.post(vec![fires]).await.unwrap();
    until("the delivery", || delivered(&bench) == 1).await;
    drop((tasks, handle));
    bench.kill().await;
    let late = START.plus(Span::from_secs(3_600));
    let (bench, _tasks, handle) = bench_at(folder.path(), &fake, spec(), late).await;
    handle.post(vec![sent("Other", late)]).await.unwrap();
    until("the other one", || delivered(&bench) == 2).await;
    assert_eq!(titles(&fake), ["[FIRING] Down", "[FIRING] Other"]);
    // It had the time to be sent again, and was not.
    bench.advance(Span::from_secs(299));
    handle.post(vec![sent("Other", late)]).await.unwrap();
    assert_eq!(bench.events(&[Alert::RESOLVED]).len(), 0);
    bench.advance(Span::from_secs(2));
    until("its end", || bench.events(&[Alert::RESOLVED]).len() == 1).await;
}

#[tokio::test]
async fn a_full_disk_is_said_to_who_sends_and_costs_nothing_that_was_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench_at(folder.path(), &Fake::default(), spec(), START).await;
    bench.faults.set_free_bytes(1);
    let refused = handle.post(vec![sent("Down", START)]).await;
    assert!(matches!(refused, Err(Error::Store(StoreError::DiskFull { .. }))), "{refused:?}");
    bench.faults.set_free_bytes(1 << 40);
    assert_eq!(bench.events(&[Alert::FIRING]).len(), 0);
    handle.post(vec![sent("Down", START)]).await.unwrap();
    until("the delivery", || delivered(&bench) == 1).await;
    assert_eq!(titles(&bench.fake), ["[FIRING] Down"]);
}

#[tokio::test]
async fn silences_and_acknowledgements_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let (bench, tasks, handle) = bench_at(folder.path(), &fake, spec(), START).await;
    let draft = Draft {
        id: None,
        matchers: vec!["alertname=Down".parse().unwrap()],
        starts_at: START,
        ends_at: START.plus(Span::from_secs(60)),
        created_by: "ann".into(),
        comment: "work".into(),
    };
    let silence = handle.set_silence(draft, None, "ann").await.unwrap().unwrap();
    handle.post(vec![sent("Down", START), sent("Other", START)]).await.unwrap();
    let other = fingerprint(&sent("Other", START).labels);
    let until_then = START.plus(Span::from_secs(600));
    handle.acknowledge(&other, Some(until_then), "ann".into()).await.unwrap();
    drop((tasks, handle));
    bench.kill().await;
    let (bench, _tasks, handle) = bench_at(folder.path(), &fake, spec(), START).await;
    assert_eq!(handle.silences(), std::slice::from_ref(&silence));
    let down = handle.explain(&fingerprint(&sent("Down", START).labels)).unwrap().unwrap();
    assert_eq!(down.summary, format!("not told: silenced by {}", silence.id));
    until("the delivery of the other one", || delivered(&bench) == 1).await;
    let explained = handle.explain(&other).unwrap().unwrap();
    assert_eq!(
        (explained.acknowledged_by.as_deref(), explained.acknowledged_until, explained.summary.as_str()),
        (Some("ann"), Some(until_then), "told to ops")
    );
    let id = silence.id.as_str();
    let seen = |end: Timestamp| -> Option<silence::Still> { Some(Box::new(move |silence| silence.ends_at == end)) };
    let stale = handle.expire_silence(id, seen(START), "ann").await.unwrap();
    assert_eq!(stale, Err(silence::Refusal::Changed));
    // Both have seen the same: the one who comes second changes nothing.
    let (one, other) = (seen(silence.ends_at), seen(silence.ends_at));
    let (first, second) = tokio::join!(handle.expire_silence(id, one, "ann"), handle.expire_silence(id, other, "bob"));
    first.unwrap().unwrap();
    assert_eq!(second.unwrap(), Err(silence::Refusal::Changed));
    until("the delivery", || {
        bench.advance(Span::from_secs(1));
        delivered(&bench) >= 2
    })
    .await;
    assert_eq!(bench.events(&[Silence::SET, Silence::EXPIRED]).len(), 2);
}

#[tokio::test]
async fn a_configuration_that_changes_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench_at(folder.path(), &Fake::default(), json!({}), START).await;
    handle.post(vec![sent("Down", START)]).await.unwrap();
    assert_eq!((handle.groups().len(), handle.alerts().len()), (0, 1));
    let explained = handle.explain(&fingerprint(&sent("Down", START).labels)).unwrap().unwrap();
    assert!(explained.summary.contains("no `alerting.route`"), "{}", explained.summary);
    bench.catalog.send_replace(Arc::new(catalog(spec())));
    until("the delivery", || delivered(&bench) == 1).await;
}

#[tokio::test]
async fn an_explanation_says_step_by_step_who_was_told_when_and_how_the_delivery_went() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    fake.with(|fake| fake.act = Some(Box::new(|_| Err(CallError::Rejected { message: "410 gone".into() }))));
    let mut spec = spec();
    spec["route"]["routes"] = json!([{"matchers": ["team=db"], "receiver": "db"}]);
    spec["receivers"]["db"] = json!({});
    let (bench, _tasks, handle) = bench_at(folder.path(), &fake, spec, START).await;
    handle.post(vec![sent("Down", START)]).await.unwrap();
    until("the failure", || bench.events(&[Notification::FAILED]).len() == 1).await;
    let explained = handle.explain(&fingerprint(&sent("Down", START).labels)).unwrap().unwrap();
    assert_eq!(explained.routes.iter().map(|route| route.taken).collect::<Vec<_>>(), [true, false]);
    assert!(explained.routes[1].why.contains("team is \"\""), "{:?}", explained.routes[1]);
    let group = &explained.groups[0];
    assert_eq!((group.told_at, group.told_firing, group.next), (Some(START), true, START.plus(Span::from_secs(10))));
    let notification = &group.notifications[0];
    assert_eq!((notification.state, notification.error.as_deref()), (DeliveryState::Failed, Some("410 gone")));
    let steps = explained.steps.join("\n");
    for part in
        ["route {} (receiver ops): taken", "last told to ops", "failed after 1 attempt: 410 gone", "next look at"]
    {
        assert!(steps.contains(part), "{part}: {steps}");
    }
    assert_eq!(handle.explain("nothing").unwrap(), None);
}

#[tokio::test]
async fn an_alert_that_was_sent_here_is_resolved_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench_at(folder.path(), &Fake::default(), spec(), START).await;
    handle.post(vec![sent("Down", START)]).await.unwrap();
    let id = fingerprint(&sent("Down", START).labels);
    assert!(handle.is_posted(&id) && !handle.is_posted("other"));
    handle.resolve(&id, "ann".into()).await.unwrap();
    let alert: Alert = bench.context.read(Alert::COLLECTION, &id).unwrap().unwrap();
    assert_eq!((alert.state, alert.reason.as_str()), (AlertState::Resolved, "resolved by ann"));
    assert!(matches!(handle.acknowledge(&id, None, "ann".into()).await, Err(Error::Conflict { .. })));
    assert!(matches!(handle.resolve("other", "ann".into()).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn what_was_told_of_a_large_group_is_kept_apart_and_nothing_of_it_is_told_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let alert = |n: usize| {
        let labels = [("alertname", "Down".to_owned()), ("n", n.to_string())].into_iter().collect();
        posted::check(Incoming { labels, starts_at: Some(START), ends_at: None, ..Incoming::default() }).unwrap()
    };
    let (bench, tasks, handle) = bench_at(folder.path(), &fake, spec(), START).await;
    handle.post((0..200).map(alert).collect()).await.unwrap();
    until("the delivery", || delivered(&bench) == 1).await;
    drop((tasks, handle));
    bench.kill().await;
    let (bench, _tasks, handle) = bench_at(folder.path(), &fake, spec(), START.plus(Span::from_secs(60))).await;
    // All but one end: the rest is told as one more message, in which the one still fires.
    let ends = START.plus(Span::from_secs(60));
    handle.post((1..200).map(|n| Incoming { ends_at: Some(ends), ..alert(n) }).collect()).await.unwrap();
    bench.advance(Span::from_secs(11));
    until("word of it", || delivered(&bench) == 2).await;
    assert_eq!(titles(&fake), ["[FIRING: 200] Down", "[FIRING: 1, RESOLVED: 199] Down"]);
    // And the document of its own goes with the group.
    assert_eq!(bench.context.store.list("alert-groups-told", &quarterdeck_model::store::Page::all()).unwrap().len(), 1);
    handle.post(vec![Incoming { ends_at: Some(bench.now()), ..alert(0) }]).await.unwrap();
    bench.advance(Span::from_secs(11));
    until("the end", || delivered(&bench) == 3).await;
    for collection in ["alert-groups-told", "alert-groups", "alerts-ended"] {
        let left = bench.context.store.list(collection, &quarterdeck_model::store::Page::all()).unwrap();
        assert!(left.is_empty(), "{collection}: {left:?}");
    }
}

#[tokio::test]
async fn what_is_told_of_a_rules_alert_is_what_its_document_says_by_then() {
    let folder = tempfile::tempdir().unwrap();
    let mut waiting = spec();
    waiting["route"]["group-wait"] = json!("30s");
    let (bench, _tasks, handle) = bench_at(folder.path(), &Fake::default(), waiting, START).await;
    let mut alert = posted::testing::alert(&[("alertname", "Own")], START.as_millis());
    (alert.posted, alert.fingerprint) = (None, "00000000000000aa".into());
    let data = |alert: &Alert| serde_json::to_value(alert).unwrap();
    let event = bench.context.event(Alert::FIRING, "00000000000000aa").data(data(&alert));
    bench.context.commit(quarterdeck_model::transition::Transition::new().event(event)).await.unwrap();
    until("its group", || handle.groups().len() == 1).await;
    (alert.summary, alert.last_evaluated) = ("worse by now".into(), START.plus(Span::from_secs(15)));
    let expected = quarterdeck_model::transition::Expected::Any;
    let written = quarterdeck_model::transition::Transition::new();
    let written = written.put(Alert::COLLECTION, "00000000000000aa", expected, data(&alert));
    bench.context.commit(written).await.unwrap();
    bench.advance(Span::from_secs(31));
    until("the delivery", || delivered(&bench) == 1).await;
    assert_eq!(titles(&bench.fake), ["[FIRING] worse by now"]);
}
