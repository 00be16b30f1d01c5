//! What became of messages, and what is known of that later.

use super::*;
use quarterdeck_model::event::Offset;
use quarterdeck_model::plugin::{InstanceSpec, Outcome};
use quarterdeck_model::store::Page;
use quarterdeck_model::transition::{Expected, Transition};

/// Messages to this instance are refused, so often.
fn refuse(bench: &Bench, instance: &'static str, mut times: usize) {
    let store = bench.context.store.clone();
    bench.fake.with(|fake| {
        fake.act = Some(Box::new(move |key| {
            let told = store.get(Notification::COLLECTION, key).unwrap().unwrap();
            let is_refused = times > 0 && told.decode::<Notification>().unwrap().instance == instance.into();
            if !is_refused {
                return Ok(Outcome::Done(json!({})));
            }
            times -= 1;
            Err(CallError::Rejected { message: "410 gone".into() })
        }));
    });
}

/// Who was called, one after the other.
fn called(bench: &Bench) -> Vec<String> {
    bench.fake.calls().into_iter().map(|(instance, _)| instance).collect()
}

#[tokio::test]
async fn a_delivery_that_was_given_up_on_is_tried_again_at_the_next_look_and_only_where_it_failed() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    fake.add_instance("webhook/b", Kind::Notifier);
    let mut spec = spec();
    spec["receivers"]["ops"]["notify"] = json!(["webhook/a", "webhook/b"]);
    let (bench, tasks, handle) = bench_at(folder.path(), &fake, spec.clone(), START).await;
    refuse(&bench, "webhook/b", 1);
    handle.post(vec![sent("Down", START)]).await.unwrap();
    let id = fingerprint(&sent("Down", START).labels);
    let not_delivered = |handle: &Handle| handle.explain(&id).unwrap().unwrap().groups[0].not_delivered.clone();
    until("word of the failure", || not_delivered(&handle) == ["webhook/b".into()]).await;
    let explained = handle.explain(&id).unwrap().unwrap();
    assert_eq!(explained.summary, "told to ops");
    assert_eq!(explained.groups[0].then, "told again to `webhook/b`: its delivery was given up on");
    // It is known after a restart.
    fake.with(|fake| fake.act = None);
    drop((tasks, handle));
    bench.kill().await;
    let (bench, _tasks, handle) = bench_at(folder.path(), &fake, spec, START.plus(Span::from_secs(5))).await;
    assert_eq!(not_delivered(&handle), ["webhook/b".into()]);
    bench.advance(Span::from_secs(6));
    until("the second delivery", || delivered(&bench) == 2).await;
    assert_eq!(not_delivered(&handle), []);
    let mut called = called(&bench);
    called[..2].sort();
    assert_eq!(called, ["webhook/a", "webhook/b", "webhook/b"]);
    assert_eq!(titles(&fake)[2], "[FIRING] Down");
    // And that was all.
    bench.advance(Span::from_secs(11));
    handle.post(vec![sent("Other", bench.now())]).await.unwrap();
    until("both of the other one", || delivered(&bench) == 4).await;
    assert_eq!(bench.fake.calls().len(), 5);
}

/// An end that `webhook/a` refused, of a group that has gone with it.
async fn with_an_end_that_was_refused(folder: &Path, fake: &Fake) -> (Bench, Tasks, Handle) {
    let (bench, tasks, handle) = bench_at(folder, fake, spec(), START).await;
    handle.post(vec![sent("Down", START)]).await.unwrap();
    until("the delivery", || delivered(&bench) == 1).await;
    refuse(&bench, "webhook/a", 1);
    bench.advance(Span::from_secs(5));
    handle.post(vec![Incoming { ends_at: Some(bench.now()), ..sent("Down", START) }]).await.unwrap();
    bench.advance(Span::from_secs(6));
    let untold = || {
        let past = bench.context.store.list("alerts-past", &Page::all()).unwrap();
        past.iter().any(|left| left.value.get("untold").is_some())
    };
    until("word of the failure", untold).await;
    assert!(handle.groups().is_empty());
    fake.with(|fake| fake.act = None);
    (bench, tasks, handle)
}

#[tokio::test]
async fn an_end_whose_delivery_was_given_up_on_is_told_again_though_its_group_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let (bench, tasks, handle) = with_an_end_that_was_refused(folder.path(), &fake).await;
    let later = bench.now();
    // Also after a restart.
    drop((tasks, handle));
    bench.kill().await;
    let (bench, _tasks, handle) = bench_at(folder.path(), &fake, spec(), later).await;
    assert_eq!(titles(&fake), ["[FIRING] Down", "[RESOLVED] Down"]);
    bench.advance(Span::from_secs(301));
    until("the end", || delivered(&bench) == 2).await;
    assert_eq!(titles(&fake)[2], "[RESOLVED] Down");
    let letters = bench.context.store.list(quarterdeck_model::effect::DEAD_LETTERS, &Page::all()).unwrap();
    assert!(letters.is_empty(), "{letters:?}");
    let id = fingerprint(&sent("Down", START).labels);
    let end = handle.explain(&id).unwrap().unwrap().past.remove(0);
    let states: Vec<DeliveryState> = end.notifications.iter().map(|told| told.state).collect();
    assert_eq!(states, [DeliveryState::Delivered, DeliveryState::Failed, DeliveryState::Delivered]);
}

#[tokio::test]
async fn the_end_of_one_alert_is_told_with_its_groups_next_message_where_its_delivery_was_given_up_on() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let (bench, tasks, handle) = bench_at(folder.path(), &fake, spec(), START).await;
    let other = |at: Timestamp| Incoming {
        labels: [("alertname", "Down"), ("job", "web")].into_iter().collect(),
        ..sent("Down", at)
    };
    handle.post(vec![sent("Down", START), other(START)]).await.unwrap();
    until("the delivery", || delivered(&bench) == 1).await;
    refuse(&bench, "webhook/a", 1);
    bench.advance(Span::from_secs(5));
    handle.post(vec![Incoming { ends_at: Some(bench.now()), ..sent("Down", START) }]).await.unwrap();
    bench.advance(Span::from_secs(6));
    let group = |handle: &Handle| handle.explain(&fingerprint(&other(START).labels)).unwrap().unwrap().groups.remove(0);
    until("word of the failure", || group(&handle).not_delivered == ["webhook/a".into()]).await;
    fake.with(|fake| fake.act = None);
    // Also after a restart.
    let later = bench.now();
    drop((tasks, handle));
    bench.kill().await;
    let (bench, _tasks, handle) = bench_at(folder.path(), &fake, spec(), later).await;
    bench.advance(Span::from_secs(11));
    until("the end", || delivered(&bench) == 2).await;
    let both = "[FIRING: 1, RESOLVED: 1] Down";
    assert_eq!(titles(&fake), ["[FIRING: 2] Down", both, both]);
    let end = handle.explain(&fingerprint(&sent("Down", START).labels)).unwrap().unwrap().past.remove(0);
    let states: Vec<DeliveryState> = end.notifications.iter().map(|told| told.state).collect();
    assert_eq!(states, [DeliveryState::Delivered, DeliveryState::Failed, DeliveryState::Delivered]);
    // And that was all.
    bench.advance(Span::from_secs(11));
    handle.post(vec![sent("Other", bench.now())]).await.unwrap();
    until("the other one", || delivered(&bench) == 3).await;
    assert_eq!(titles(&fake).last().unwrap(), "[FIRING] Other");
}

#[tokio::test]
async fn an_end_that_could_not_be_told_is_not_told_where_its_group_fires_again() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let (bench, _tasks, handle) = with_an_end_that_was_refused(folder.path(), &fake).await;
    let ends_at = Some(bench.now().plus(Span::from_secs(3_600)));
    handle.post(vec![Incoming { ends_at, ..sent("Down", bench.now()) }]).await.unwrap();
    until("the news", || delivered(&bench) == 2).await;
    bench.advance(Span::from_secs(301));
    let settled = || {
        let past = bench.context.store.list("alerts-past", &Page::all()).unwrap();
        past.iter().all(|left| left.value.get("untold").is_none())
    };
    until("it to be let go of", settled).await;
    assert_eq!(titles(&fake), ["[FIRING] Down", "[RESOLVED] Down", "[FIRING] Down"]);
}

#[tokio::test]
async fn where_somebody_else_was_to_be_told_instead_and_could_not_be_either_it_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    fake.add_instance("webhook/b", Kind::Notifier);
    fake.add_instance("webhook/a", Kind::Notifier);
    let (bench, _tasks, handle) = bench_at(folder.path(), &fake, spec(), START).await;
    let delivery = json!({"plugin": "fake", "delivery": {"fallback": "webhook/b"}});
    let delivery: InstanceSpec = serde_json::from_value(delivery).unwrap();
    let act = |_: &str| Err(CallError::Rejected { message: "410 gone".into() });
    fake.with(|fake| {
        fake.instances.get_mut(&"webhook/a".into()).unwrap().spec = delivery.into();
        fake.act = Some(Box::new(act));
    });
    handle.post(vec![sent("Down", START)]).await.unwrap();
    bench.event(Notification::FAILED, None, Offset(0)).await;
    let id = fingerprint(&sent("Down", START).labels);
    let group = || handle.explain(&id).unwrap().unwrap().groups.remove(0);
    until("word of the failure", || group().not_delivered == ["webhook/a".into()]).await;
    let states: Vec<DeliveryState> = group().notifications.iter().map(|told| told.state).collect();
    assert_eq!(states, [DeliveryState::FallenBack, DeliveryState::Failed]);
    assert!(handle.explain(&id).unwrap().unwrap().summary.starts_with("not told: the delivery to `webhook/a`"));
    fake.with(|fake| fake.act = None);
    bench.advance(Span::from_secs(11));
    until("the delivery", || delivered(&bench) == 1).await;
    assert_eq!(called(&bench), ["webhook/a", "webhook/b", "webhook/a"]);
}

#[tokio::test]
async fn who_asks_the_next_morning_is_told_what_became_of_an_alert_that_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let (bench, tasks, handle) = bench_at(folder.path(), &fake, spec(), START).await;
    handle.post(vec![sent("Down", START)]).await.unwrap();
    until("the delivery", || delivered(&bench) == 1).await;
    bench.advance(Span::from_secs(5));
    handle.post(vec![Incoming { ends_at: Some(bench.now()), ..sent("Down", START) }]).await.unwrap();
    bench.advance(Span::from_secs(6));
    until("the end", || delivered(&bench) == 2).await;
    drop((tasks, handle));
    bench.kill().await;
    // Long after its own document has gone.
    let morning = START.plus(Span::from_secs(9 * 3_600));
    let (bench, _tasks, handle) = bench_at(folder.path(), &fake, spec(), morning).await;
    let id = fingerprint(&sent("Down", START).labels);
    until("it to be forgotten", || bench.context.read::<Alert>(Alert::COLLECTION, &id).unwrap().is_none()).await;
    let explained = handle.explain(&id).unwrap().unwrap();
    assert_eq!(explained.summary, "it is over; ops: told that it is over");
    assert_eq!((explained.state, explained.labels.get("job")), (AlertState::Resolved, Some("api")));
    let end = &explained.past[0];
    assert_eq!((end.since, end.until, end.told_at), (START, START.plus(Span::from_secs(5)), Some(START)));
    let states: Vec<DeliveryState> = end.notifications.iter().map(|told| told.state).collect();
    assert_eq!(states, [DeliveryState::Delivered; 2]);
    let steps = explained.steps.join("\n");
    for part in ["told to ops as firing at", "ops: told that it is over", "delivered after 1 attempt"] {
        assert!(steps.contains(part), "{part}: {steps}");
    }
    assert_eq!(handle.explain("00000000000000aa").unwrap(), None);
}

#[tokio::test]
async fn a_pending_alert_shows_the_routes_that_it_would_take() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = spec();
    spec["route"]["routes"] = json!([{"matchers": ["team=db"], "receiver": "db"}]);
    spec["receivers"]["db"] = json!({});
    let (bench, _tasks, handle) = bench_at(folder.path(), &Fake::default(), spec, START).await;
    let mut alert = posted::testing::alert(&[("alertname", "Own"), ("team", "db")], START.as_millis());
    (alert.posted, alert.state, alert.fired_at) = (None, AlertState::Pending, None);
    let value = serde_json::to_value(&alert).unwrap();
    let written = Transition::new().put(Alert::COLLECTION, &alert.fingerprint, Expected::Any, value);
    bench.context.commit(written).await.unwrap();
    let explained = handle.explain(&alert.fingerprint).unwrap().unwrap();
    assert_eq!(explained.summary, "not told: it does not fire yet; once it does, db is told");
    assert_eq!(explained.routes.iter().map(|route| route.taken).collect::<Vec<_>>(), [false, true]);
    assert_eq!(bench.context.store.list("alerts-past", &Page::all()).unwrap().len(), 0);
}

#[tokio::test]
async fn an_end_that_the_disk_had_no_room_for_is_told_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, _handle) = bench_at(folder.path(), &Fake::default(), spec(), START).await;
    let mut alert = posted::testing::alert(&[("alertname", "Own")], START.as_millis());
    (alert.posted, alert.fingerprint) = (None, "00000000000000aa".into());
    let written = |alert: &Alert, event: &str| {
        let value = serde_json::to_value(alert).unwrap();
        let event = bench.context.event(event, alert.fingerprint.clone()).data(value.clone());
        Transition::new().put(Alert::COLLECTION, &alert.fingerprint, Expected::Any, value).event(event)
    };
    bench.context.commit(written(&alert, Alert::FIRING)).await.unwrap();
    until("the delivery", || delivered(&bench) == 1).await;
    (alert.state, alert.resolved_at) = (AlertState::Resolved, Some(START));
    alert.last_evaluated = START.plus(Span::from_secs(1));
    // The end is written, and then there is no room for what follows from it.
    let before = bench.faults.refusals();
    bench.context.commit(written(&alert, Alert::RESOLVED)).await.unwrap();
    bench.faults.set_free_bytes(1);
    bench.advance(Span::from_secs(11));
    until("a refusal", || bench.faults.refusals() > before).await;
    bench.faults.set_free_bytes(1 << 40);
    until("the end", || delivered(&bench) == 2).await;
    assert_eq!(titles(&bench.fake), ["[FIRING] it is down", "[RESOLVED] it is down"]);
}
