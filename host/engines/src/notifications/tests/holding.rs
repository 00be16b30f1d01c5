//! Messages that wait, that are told together, and that somebody else is told.

use super::*;
use quarterdeck_model::plugin::InstanceSpec;
use quarterdeck_model::{Span, Timestamp};

const ROUTE: &str = r#"{"all": {"events": ["custom"], "notify": ["webhook/a"]}}"#;

/// A fake whose first instance has these settings.
fn spared(delivery: Value) -> Fake {
    let fake = fake();
    settle(&fake, "webhook/a", delivery);
    fake
}

fn settle(fake: &Fake, name: &str, delivery: Value) {
    let spec: InstanceSpec = serde_json::from_value(json!({"plugin": "fake", "delivery": delivery})).unwrap();
    fake.with(|fake| fake.instances.get_mut(&name.into()).unwrap().spec = spec.into());
}

fn route() -> Value {
    serde_json::from_str(ROUTE).unwrap()
}

fn titles(bench: &Bench) -> Vec<String> {
    bench.fake.with(|fake| fake.messages.iter().map(|message| message.title.clone()).collect())
}

fn in_state(handle: &Handle, state: DeliveryState) -> Vec<Notification> {
    handle.list(100).unwrap().into_iter().filter(|told| told.state == state).collect()
}

/// Waits for so many notifications in that state.
async fn until_in_state(handle: &Handle, state: DeliveryState, count: usize) -> Vec<Notification> {
    until(&format!("{count} of {state:?}"), || in_state(handle, state).len() == count).await;
    in_state(handle, state)
}

#[tokio::test]
async fn what_is_above_the_rate_is_told_as_one_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let fake = spared(json!({"rate-limit": {"messages": 2, "per": "1m"}}));
    let (bench, _tasks, handle) = bench(folder.path(), &fake, route()).await;
    for n in 0..5 {
        publish(&bench, "custom.thing", json!({"title": format!("{n}")})).await;
    }
    until_in_state(&handle, DeliveryState::Delivered, 2).await;
    let held = until_in_state(&handle, DeliveryState::Held, 3).await;
    assert!(held.iter().all(|told| told.reason.as_deref() == Some("above the rate limit")), "{held:?}");
    assert!(held.iter().all(|told| told.held_until == Some(START.plus(Span::from_secs(60)))), "{held:?}");
    assert_eq!(bench.events(&[Notification::HELD]).len(), 3);
    bench.advance(Span::from_secs(61));
    let digested = until_in_state(&handle, DeliveryState::Digested, 3).await;
    let told = until_in_state(&handle, DeliveryState::Delivered, 3).await;
    let digest = told.iter().find(|told| told.event_type == "notification.digest").unwrap();
    assert!(digested.iter().all(|told| told.digest.as_ref() == Some(&digest.id)), "{digested:?}");
    assert_eq!(titles(&bench)[2], "[DIGEST] 3 messages: 3 custom.thing");
    let body = fake.with(|fake| fake.messages[2].body.clone());
    assert!(["2", "3", "4"].iter().all(|n| body.contains(&format!("[custom.thing] {n}"))), "{body}");
    assert_eq!(bench.events(&[Notification::DIGESTED]).len(), 3);
}

#[tokio::test]
async fn a_night_holds_what_is_not_severe_enough_over_a_restart_and_the_morning_tells_it() {
    let folder = tempfile::tempdir().unwrap();
    // Midnight of a Monday, in UTC.
    assert_eq!(START, Timestamp::parse("2025-11-24T00:00:00Z").unwrap());
    let fake = spared(json!({"quiet-hours": [{"from": "22:00", "to": "07:00", "minimum-severity": "critical"}]}));
    let (bench_before, tasks, handle) = bench(folder.path(), &fake, route()).await;
    publish(&bench_before, "custom.thing", json!({"title": "low", "severity": "low"})).await;
    publish(&bench_before, "custom.thing", json!({"title": "critical", "severity": "critical"})).await;
    until_in_state(&handle, DeliveryState::Delivered, 1).await;
    let held = until_in_state(&handle, DeliveryState::Held, 1).await.remove(0);
    assert_eq!(held.held_until, Timestamp::parse("2025-11-24T07:00:00Z"));
    assert_eq!(held.reason.as_deref(), Some("quiet hours"));
    drop((tasks, handle));
    bench_before.kill().await;

    let (bench, _tasks, handle) = bench(folder.path(), &fake, route()).await;
    bench.advance(Span::from_secs(7 * 3600 - 60));
    publish(&bench, "custom.thing", json!({"title": "late", "severity": "critical"})).await;
    until_in_state(&handle, DeliveryState::Delivered, 2).await;
    assert_eq!(in_state(&handle, DeliveryState::Held).len(), 1);
    bench.advance(Span::from_secs(60));
    let told = until_in_state(&handle, DeliveryState::Delivered, 3).await;
    // One alone goes as it came, under its own key.
    assert!(told.iter().any(|told| told.id == held.id), "{told:?}");
    assert_eq!(titles(&bench)[2], "[custom.thing] low");
    assert_eq!(fake.calls()[2].1, held.id.0);
}

#[tokio::test]
async fn a_digest_gathers_what_comes_while_it_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let fake = spared(json!({"digest": "5m"}));
    let (bench, _tasks, handle) = bench(folder.path(), &fake, route()).await;
    publish(&bench, "custom.one", json!({})).await;
    until_in_state(&handle, DeliveryState::Held, 1).await;
    bench.advance(Span::from_secs(240));
    publish(&bench, "custom.two", json!({})).await;
    let held = until_in_state(&handle, DeliveryState::Held, 2).await;
    assert!(held.iter().all(|told| told.held_until == Some(START.plus(Span::from_secs(300)))), "{held:?}");
    assert!(fake.calls().is_empty());
    bench.advance(Span::from_secs(60));
    until_in_state(&handle, DeliveryState::Digested, 2).await;
    until_in_state(&handle, DeliveryState::Delivered, 1).await;
    assert_eq!(titles(&bench), ["[DIGEST] 2 messages: 1 custom.one, 1 custom.two"]);
}

#[tokio::test]
async fn settings_that_are_gone_hold_nothing_back() {
    let folder = tempfile::tempdir().unwrap();
    let fake = spared(json!({"digest": "1day"}));
    let (bench, _tasks, handle) = bench(folder.path(), &fake, route()).await;
    publish(&bench, "custom.thing", json!({"title": "hello"})).await;
    until_in_state(&handle, DeliveryState::Held, 1).await;
    settle(&fake, "webhook/a", json!({}));
    until_in_state(&handle, DeliveryState::Delivered, 1).await;
    assert_eq!(titles(&bench), ["[custom.thing] hello"]);
}

#[tokio::test]
async fn a_test_is_sent_whatever_the_hour() {
    let folder = tempfile::tempdir().unwrap();
    let fake = spared(json!({"quiet-hours": [{"from": "00:00", "to": "00:00"}], "digest": "1h"}));
    let (_bench, _tasks, handle) = bench(folder.path(), &fake, route()).await;
    handle.test(&"webhook/a".into(), "somebody").await.unwrap();
    until_in_state(&handle, DeliveryState::Delivered, 1).await;
}

#[tokio::test]
async fn what_one_recipient_refuses_another_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let fake = spared(json!({"fallback": "webhook/b"}));
    let mut calls = 0;
    fake.with(|fake| {
        fake.act = Some(Box::new(move |_| {
            calls += 1;
            if calls == 1 {
                Err(CallError::Rejected { message: "410 gone".into() })
            } else {
                Ok(Outcome::Done(json!({})))
            }
        }));
    });
    let (bench, _tasks, handle) = bench(folder.path(), &fake, route()).await;
    publish(&bench, "custom.thing", json!({"title": "hello"})).await;
    let told = until_in_state(&handle, DeliveryState::Delivered, 1).await.remove(0);
    assert_eq!((told.instance.as_str(), told.tried.clone()), ("webhook/b", vec!["webhook/a".into()]));
    let fallen = in_state(&handle, DeliveryState::FallenBack).remove(0);
    assert_eq!((fallen.instance.as_str(), fallen.fallback.as_ref()), ("webhook/a", Some(&told.id)));
    assert_eq!(fallen.error.as_deref(), Some("410 gone"));
    assert_eq!(titles(&bench), ["[custom.thing] hello", "[custom.thing] hello"]);
    // Somebody was told: nothing has failed.
    assert_eq!((bench.events(&[Notification::FALLEN_BACK]).len(), bench.events(&[Notification::FAILED]).len()), (1, 0));
}

#[tokio::test]
async fn a_circle_of_fallbacks_ends_where_it_closes() {
    let folder = tempfile::tempdir().unwrap();
    let fake = spared(json!({"fallback": "webhook/b"}));
    settle(&fake, "webhook/b", json!({"fallback": "webhook/a"}));
    fake.with(|fake| fake.act = Some(Box::new(|_| Err(CallError::Rejected { message: "gone".into() }))));
    let (bench, _tasks, handle) = bench(folder.path(), &fake, route()).await;
    publish(&bench, "custom.thing", json!({})).await;
    let failed = until_in_state(&handle, DeliveryState::Failed, 1).await.remove(0);
    assert_eq!(failed.instance.as_str(), "webhook/b");
    assert_eq!(in_state(&handle, DeliveryState::FallenBack).len(), 1);
    // Documents are read before the disk has them, events afterwards.
    until("the news of it", || bench.events(&[Notification::FAILED]).len() == 1).await;
    assert_eq!(fake.calls().len(), 2);
}

#[tokio::test]
async fn a_delivery_that_fails_for_too_long_is_taken_back_and_another_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let fake = spared(json!({"fallback": "webhook/b", "fallback-after": "10m"}));
    fake.set_state("webhook/a", InstanceState::AwaitingGrant);
    let (bench, _tasks, handle) = bench(folder.path(), &fake, route()).await;
    publish(&bench, "custom.thing", json!({})).await;
    until("a reason", || handle.list(1).unwrap().first().is_some_and(|told| told.error.is_some())).await;
    bench.advance(Span::from_secs(599));
    assert!(fake.calls().is_empty());
    bench.advance(Span::from_secs(2));
    let told = until_in_state(&handle, DeliveryState::Delivered, 1).await.remove(0);
    assert_eq!(told.instance.as_str(), "webhook/b");
    let fallen = in_state(&handle, DeliveryState::FallenBack).remove(0);
    assert!(fallen.error.as_deref().is_some_and(|error| error.contains("awaiting a grant")), "{fallen:?}");
    // It was taken back: that one is never told of it any more.
    assert!(bench.context.store.get(OUTBOX, fallen.id.as_str()).unwrap().is_none());
    fake.set_state("webhook/a", InstanceState::Active);
    publish(&bench, "custom.thing", json!({})).await;
    // The outbox looks at the recipient again after a while.
    until("the next one", || {
        bench.advance(Span::from_millis(100));
        in_state(&handle, DeliveryState::Delivered).len() == 2
    })
    .await;
    let calls: Vec<String> = fake.calls().into_iter().map(|(instance, _)| instance).collect();
    assert_eq!(calls, ["webhook/b", "webhook/a"]);
}

#[tokio::test]
async fn recipients_that_open_and_close_are_told_each_message_and_in_order() {
    for plugin in ["pagerduty", "alertmanager-webhook"] {
        let folder = tempfile::tempdir().unwrap();
        let fake = fake();
        let spec = json!({"plugin": plugin, "delivery": {"digest": "5m", "rate-limit": {"messages": 4, "per": "1h"}}});
        let spec: InstanceSpec = serde_json::from_value(spec).unwrap();
        fake.with(|fake| fake.instances.get_mut(&"webhook/a".into()).unwrap().spec = spec.into());
        let (bench, _tasks, handle) = bench(folder.path(), &fake, route()).await;
        for n in 0..6 {
            publish(&bench, "custom.thing", json!({"title": format!("{n}")})).await;
        }
        until_in_state(&handle, DeliveryState::Held, 6).await;
        bench.advance(Span::from_secs(300));
        until_in_state(&handle, DeliveryState::Delivered, 4).await;
        assert_eq!(titles(&bench), ["0", "1", "2", "3"].map(|n| format!("[custom.thing] {n}")));
        assert_eq!(in_state(&handle, DeliveryState::Held).len(), 2, "above the rate");
        bench.advance(Span::from_secs(3600));
        until_in_state(&handle, DeliveryState::Delivered, 6).await;
        assert_eq!(titles(&bench)[4..], ["4", "5"].map(|n| format!("[custom.thing] {n}")));
        assert!(in_state(&handle, DeliveryState::Digested).is_empty());
    }
}

#[tokio::test]
async fn a_rate_limit_above_a_thousand_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let fake = spared(json!({"rate-limit": {"messages": 1_200, "per": "1h"}}));
    let (bench, _tasks, handle) = bench(folder.path(), &fake, route()).await;
    let many = (0..1_205).map(|n| bench.context.event("custom.thing", format!("s{n}")).data(json!({})));
    bench.context.commit(many.fold(Transition::new(), Transition::event)).await.unwrap();
    let held = || {
        let listed = handle.list(2_000).unwrap();
        listed.into_iter().filter(|told| told.state == DeliveryState::Held).count()
    };
    until("what is above it", || held() == 5).await;
    assert_eq!(handle.list(2_000).unwrap().len(), 1_205);
}

#[tokio::test]
async fn a_message_that_waits_is_released_though_nobody_told_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let fake = spared(json!({"digest": "1h"}));
    let (bench, tasks, handle) = bench(folder.path(), &fake, route()).await;
    publish(&bench, "custom.thing", json!({"title": "hello"})).await;
    until_in_state(&handle, DeliveryState::Held, 1).await;
    drop((tasks, handle));
    bench.kill().await;
    let (bench, _tasks, handle) = bench_later(folder.path(), &fake).await;
    until_in_state(&handle, DeliveryState::Delivered, 1).await;
    assert_eq!(titles(&bench), ["[custom.thing] hello"]);
}

/// A host that was started two hours later.
async fn bench_later(folder: &Path, fake: &Fake) -> (Bench, Tasks, Handle) {
    let mut bench = Bench::open(folder, fake, catalog(route()), START.plus(Span::from_secs(7_200)));
    let mut tasks = Tasks::default();
    let handle = start(&bench.context, &mut tasks).await.unwrap();
    let inlet = bench.inlet.take().unwrap();
    outbox::start(&bench.context, inlet, outbox::Options::default(), &mut tasks).await.unwrap();
    (bench, tasks, handle)
}

#[tokio::test]
async fn whoever_is_told_instead_of_a_large_group_sees_some_of_its_alerts_and_how_many_more_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let fake = spared(json!({"fallback": "webhook/b"}));
    let mut refused = 1;
    fake.with(|fake| {
        fake.act = Some(Box::new(move |_| {
            refused -= 1;
            match refused {
                0 => Err(CallError::Rejected { message: "410 gone".into() }),
                _ => Ok(Outcome::Done(json!({}))),
            }
        }));
    });
    let (bench, _tasks, handle) = bench(folder.path(), &fake, route()).await;
    let alerts: Vec<Value> = (0..40).map(|n| json!({"status": "resolved", "n": n, "l": "x".repeat(10_000)})).collect();
    let message = Message {
        event_type: "alerts.resolved".into(),
        subject: "{}:{}".into(),
        title: "[RESOLVED: 40] Down".into(),
        body: "All of them".into(),
        severity: quarterdeck_model::Severity::High,
        labels: quarterdeck_model::label::Labels::new(),
        at: START,
        url: String::new(),
        data: json!({"status": "resolved", "alerts": alerts, "truncatedAlerts": 0}),
    };
    let order = "order".to_owned();
    let (_, sent) = deliver(&bench.context, "alerting/ops", &"webhook/a".into(), message, order, None).unwrap();
    bench.context.commit(sent).await.unwrap();
    let told = until_in_state(&handle, DeliveryState::Delivered, 1).await.remove(0);
    assert_eq!(told.instance.as_str(), "webhook/b");
    let message = fake.with(|fake| fake.messages[1].clone());
    let shown = message.data["alerts"].as_array().unwrap().len();
    assert!(shown > 0 && message.data["truncatedAlerts"] == 40 - shown, "{shown}");
    assert_eq!((message.data["status"].as_str(), message.title.as_str()), (Some("resolved"), "[RESOLVED: 40] Down"));
    assert!(message.body.contains(&format!("{} alerts are not in this message", 40 - shown)), "{}", message.body);
}
