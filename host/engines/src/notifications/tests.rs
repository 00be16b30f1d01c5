mod holding;

use super::*;
use crate::outbox;
use crate::testing::{Bench, Fake, START, until};
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::event::Offset;
use quarterdeck_model::plugin::{CallError, InstanceState, Kind, Outcome};
use serde_json::{Value, json};
use std::path::Path;

fn catalog(routes: Value) -> Catalog {
    serde_json::from_value(json!({"routes": routes})).unwrap()
}

async fn bench(folder: &Path, fake: &Fake, routes: Value) -> (Bench, Tasks, Handle) {
    let mut bench = Bench::open(folder, fake, catalog(routes), START);
    let mut tasks = Tasks::default();
    let handle = start(&bench.context, &mut tasks).await.unwrap();
    let inlet = bench.inlet.take().unwrap();
    outbox::start(&bench.context, inlet, outbox::Options::default(), &mut tasks).await.unwrap();
    (bench, tasks, handle)
}

fn fake() -> Fake {
    let fake = Fake::default();
    fake.add_instance("webhook/a", Kind::Notifier);
    fake.add_instance("webhook/b", Kind::Notifier);
    fake
}

async fn publish(bench: &Bench, event_type: &str, data: Value) {
    let event = bench.context.event(event_type, "s").data(data);
    bench.context.commit(Transition::new().event(event)).await.unwrap();
}

#[tokio::test]
async fn an_event_is_delivered_to_each_recipient_of_its_routes_and_the_delivery_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let routes = json!({"all": {"events": ["custom", "notification"], "notify": ["webhook/a", "webhook/b"]}});
    let (bench, _tasks, handle) = bench(folder.path(), &fake(), routes).await;
    publish(&bench, "custom.thing", json!({"title": "hello"})).await;
    until("two deliveries", || bench.events(&[Notification::DELIVERED]).len() == 2).await;
    let list = handle.list(10).unwrap();
    assert!(list.iter().all(|n| n.state == DeliveryState::Delivered && n.title == "[custom.thing] hello"));
    let keys: std::collections::BTreeSet<_> = bench.fake.calls().into_iter().map(|(_, key)| key).collect();
    assert_eq!(keys, list.iter().map(|notification| notification.id.0.clone()).collect());
    // That it was delivered is not told to anyone, although a route asks for it.
    publish(&bench, "custom.end", json!({})).await;
    until("two more", || bench.events(&[Notification::DELIVERED]).len() == 4).await;
    assert_eq!(bench.fake.calls().len(), 4);
}

#[tokio::test]
async fn a_recipient_that_refuses_ends_in_a_failed_notification() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    fake.with(|fake| fake.act = Some(Box::new(|_| Err(CallError::Rejected { message: "410 gone".into() }))));
    let routes = json!({"all": {"events": ["custom"], "notify": ["webhook/a"]}});
    let (bench, _tasks, handle) = bench(folder.path(), &fake, routes).await;
    publish(&bench, "custom.thing", json!({})).await;
    let failed = bench.event(Notification::FAILED, None, Offset(0)).await;
    assert_eq!(failed.event.data["error"], "410 gone");
    assert_eq!(handle.list(1).unwrap()[0].state, DeliveryState::Failed);
}

#[tokio::test]
async fn a_message_that_is_tried_again_shows_how_often_it_was_and_why_it_has_not_arrived() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let routes = json!({"all": {"events": ["custom"], "notify": ["webhook/a"]}});
    fake.set_state("webhook/a", InstanceState::AwaitingGrant);
    let (bench, _tasks, handle) = bench(folder.path(), &fake, routes).await;
    publish(&bench, "custom.thing", json!({})).await;
    let shown = |handle: &Handle| handle.list(1).unwrap().pop().map(|told| (told.state, told.attempts, told.error));
    let waiting = |attempts, error: &str| Some((DeliveryState::Pending, attempts, Some(error.to_owned())));
    // Nobody was called: no attempt, but a reason.
    until("the reason", || shown(&handle) == waiting(0, "instance `webhook/a` is awaiting a grant")).await;
    let mut failures = 0;
    fake.with(|fake| {
        fake.act = Some(Box::new(move |_| {
            failures += 1;
            let message = format!("failure {failures}: the file of secret `key` is not there");
            if failures > 2 { Ok(Outcome::Done(json!({}))) } else { Err(CallError::Retry { message, after: None }) }
        }));
    });
    fake.set_state("webhook/a", InstanceState::Active);
    for attempts in 1..=2 {
        let words = format!("failure {attempts}: the file of secret `key` is not there");
        // Little by little: when the next attempt is planned is seen only by its coming.
        until("the failure", || {
            bench.advance(Span::from_millis(100));
            shown(&handle) == waiting(attempts, &words)
        })
        .await;
    }
    until("the delivery", || {
        bench.advance(Span::from_millis(100));
        shown(&handle).is_some_and(|(state, _, _)| state == DeliveryState::Delivered)
    })
    .await;
    assert_eq!(shown(&handle), Some((DeliveryState::Delivered, 3, None)));
}

#[tokio::test]
async fn a_catalog_that_changes_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, _) = bench(folder.path(), &fake(), json!({})).await;
    publish(&bench, "custom.before", json!({})).await;
    let routes = json!({"all": {"events": ["custom"], "notify": ["webhook/a"]}});
    until("the first event behind it", || bench.context.store.head() == Offset(1)).await;
    tokio::task::yield_now().await;
    bench.catalog.send_replace(std::sync::Arc::new(catalog(routes)));
    publish(&bench, "custom.after", json!({})).await;
    let delivered = bench.event(Notification::DELIVERED, None, Offset(0)).await;
    assert!(delivered.event.data["event_type"].as_str().unwrap().starts_with("custom."));
}

#[tokio::test]
async fn every_event_is_told_once_over_kills() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let routes = json!({"all": {"events": ["custom"], "notify": ["webhook/a"]}});
    for round in 0..6 {
        let (bench, tasks, _) = bench(folder.path(), &fake, routes.clone()).await;
        for n in 0..10 {
            publish(&bench, "custom.thing", json!({"title": format!("{round}/{n}")})).await;
        }
        drop(tasks);
        bench.kill().await;
    }
    let (bench, _tasks, _) = bench(folder.path(), &fake, routes).await;
    until("all deliveries", || bench.events(&[Notification::DELIVERED]).len() == 60).await;
    let calls = fake.calls();
    let keys: std::collections::BTreeSet<_> = calls.iter().map(|(_, key)| key).collect();
    assert_eq!(keys.len(), 60);
    let titles: std::collections::BTreeSet<_> =
        fake.with(|fake| fake.messages.iter().map(|message| message.title.clone()).collect());
    assert_eq!(titles.len(), 60);
}

#[tokio::test]
async fn a_full_disk_costs_no_notification_though_another_event_of_the_batch_can_not_be_told() {
    let folder = tempfile::tempdir().unwrap();
    let routes = json!({"all": {"events": ["custom"], "notify": ["webhook/a"]}});
    let mut bench = Bench::open(folder.path(), &fake(), catalog(routes), START);
    // One batch: the first of them makes an effect that is larger than a document may be.
    let large = bench.context.event("custom.large", "s").data(json!({"text": "x".repeat((1 << 20) - 100)}));
    let healthy = bench.context.event("custom.healthy", "s").data(json!({"title": "healthy"}));
    bench.context.commit(Transition::new().event(large).event(healthy)).await.unwrap();
    let mut tasks = Tasks::default();
    let inlet = bench.inlet.take().unwrap();
    outbox::start(&bench.context, inlet, outbox::Options::default(), &mut tasks).await.unwrap();
    bench.faults.set_free_bytes(1);
    let before = bench.faults.refusals();
    start(&bench.context, &mut tasks).await.unwrap();
    // As often as it takes to give both of them up, and once more.
    until("refusals", || bench.faults.refusals() >= before + 4).await;
    bench.faults.set_free_bytes(1 << 40);
    let delivered = bench.event(Notification::DELIVERED, None, Offset(0)).await;
    assert_eq!(delivered.event.data["event_type"], "custom.healthy");
    assert_eq!(bench.events(&["dead-letter.added"]).len(), 1);
    assert_eq!(bench.fake.calls().len(), 1);
}

#[tokio::test]
async fn a_message_that_nobody_took_is_told_to_another_and_a_deaf_pair_does_not_tell_of_each_other_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let routes = json!({
        "pages": {"events": ["custom"], "notify": ["webhook/a"]},
        "undelivered": {"events": ["notification.failed"], "notify": ["webhook/a", "webhook/b"]}});
    let (bench, _tasks, handle) = bench(folder.path(), &fake(), routes).await;
    let titles = |bench: &Bench| {
        bench.fake.with(|fake| fake.messages.iter().map(|message| message.title.clone()).collect::<Vec<_>>())
    };
    // The first message is refused, whoever gets the second one takes it.
    let mut refused = 1;
    bench.fake.with(|fake| {
        fake.act = Some(Box::new(move |_| {
            refused -= 1;
            if refused < 0 {
                Ok(Outcome::Done(json!({})))
            } else {
                Err(CallError::Rejected { message: "410 gone".into() })
            }
        }));
    });
    publish(&bench, "custom.thing", json!({"title": "hello"})).await;
    bench.event(Notification::DELIVERED, None, Offset(0)).await;
    assert_eq!(titles(&bench), ["[custom.thing] hello", "[NOT DELIVERED] webhook/a: [custom.thing] hello"]);
    assert_eq!(handle.list(1).unwrap()[0].instance, "webhook/b".into());
    // Nobody takes anything: the page fails, and so does word of it, and that is all.
    bench.fake.with(|fake| fake.act = Some(Box::new(|_| Err(CallError::Rejected { message: "gone".into() }))));
    let before = bench.fake.calls().len();
    publish(&bench, "custom.thing", json!({"title": "again"})).await;
    until("both failures", || bench.events(&[Notification::FAILED]).len() == 3).await;
    bench.fake.with(|fake| fake.act = None);
    publish(&bench, "custom.end", json!({"title": "the end"})).await;
    until("what comes behind them", || bench.events(&[Notification::DELIVERED]).len() == 2).await;
    assert_eq!(bench.fake.calls().len(), before + 3);
}

#[tokio::test]
async fn a_silence_holds_for_routes_too_and_only_for_the_alerts_that_it_matches() {
    let folder = tempfile::tempdir().unwrap();
    let routes = json!({"all": {"events": ["alert", "incident"], "notify": ["webhook/a"]}});
    let (bench, _tasks, handle) = bench(folder.path(), &fake(), routes).await;
    let silence = json!({
        "id": "s", "matchers": ["alertname=\"cpu-high\""], "created_by": "ann", "comment": "",
        "starts_at": START, "ends_at": START.plus(Span::from_secs(3600)), "updated_at": START,
    });
    bench.context.commit(Transition::new().put(Silence::COLLECTION, "s", Expected::Any, silence)).await.unwrap();
    for (event_type, name) in
        [("alert.firing", "cpu-high"), ("incident.opened", "cpu-high"), ("alert.firing", "memory-high")]
    {
        publish(&bench, event_type, json!({"title": name, "severity": "high", "labels": {"alertname": name}})).await;
    }
    until("two deliveries", || bench.events(&[Notification::DELIVERED]).len() == 2).await;
    let told: Vec<_> = handle.list(10).unwrap().into_iter().map(|told| told.event_type).collect();
    assert_eq!(told.iter().filter(|told| *told == "alert.firing").count(), 1, "{told:?}");
}
