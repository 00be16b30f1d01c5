mod ended;
mod failing;
mod suspects;

use super::*;
use crate::testing::{Bench, Fake, START, until};
use quarterdeck_model::Severity;
use quarterdeck_model::domain::alert::AlertState;
use quarterdeck_model::event::Offset;
use quarterdeck_model::kind::collector::{Collection, Family};
use quarterdeck_model::kind::detector::{Derived, Signal, Verdict};
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::{CallError, InstanceState, Kind};
use quarterdeck_model::series::Selector;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

fn catalog(rule: Value) -> Catalog {
    let mut whole = json!({"detector": "threshold/x", "select": {"metric": "cpu"}});
    whole.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
    serde_json::from_value(json!({"rules": {"hot": whole}})).unwrap()
}

async fn bench(folder: &Path, fake: &Fake, catalog: Catalog, now: Timestamp) -> (Bench, Tasks, Handle) {
    let bench = Bench::open(folder, fake, catalog, now);
    let mut tasks = Tasks::default();
    let handle = start(&bench.context, &mut tasks).await.unwrap();
    (bench, tasks, handle)
}

/// Abnormal is what is above 90 now; the state counts evaluations.
fn fake() -> Fake {
    let fake = Fake::default();
    fake.with(|fake| {
        fake.detect = Some(Box::new(|window, state| {
            let hot = |series: &quarterdeck_model::series::SeriesData| series.values.last().is_some_and(|v| *v > 90.0);
            let signals =
                window.series.iter().enumerate().filter(|(_, series)| hot(series)).map(|(index, series)| Signal {
                    series: index,
                    severity: Severity::High,
                    value: *series.values.last().unwrap(),
                    expected: None,
                    reason: "> 90".into(),
                });
            let count = state.map_or(0, |state| state[0]);
            Ok(Verdict { signals: signals.collect(), state: Some(vec![count + 1]), ..Verdict::default() })
        }));
    });
    fake
}

async fn sample(bench: &Bench, handle: &Handle, value: f64) {
    let labels = Labels::new().with("host", "a");
    handle.push(vec![Sample { name: "cpu".into(), labels, at: bench.now(), value }]).await.unwrap();
}

#[tokio::test]
async fn a_rule_fires_after_its_time_and_resolves_and_both_are_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) =
        bench(folder.path(), &fake(), catalog(json!({"for": "30s", "every": "1h"})), START).await;
    for value in [95.0, 96.0, 97.0, 98.0, 20.0, 20.0] {
        bench.advance(Span::from_secs(15));
        sample(&bench, &handle, value).await;
        handle.evaluate("hot").await.unwrap();
    }
    let told: Vec<_> = bench.events(&["alert."]).into_iter().map(|event| event.event_type).collect();
    assert_eq!(told, ["alert.firing", "alert.resolved"]);
    let firing = bench.event(Alert::FIRING, None, Offset(0)).await.event;
    assert_eq!(firing.data["labels"], json!({"alertname": "hot", "host": "a"}));
    assert_eq!(firing.data["summary"], "hot: > 90");
    assert_eq!(handle.alerts()[0].state, AlertState::Resolved);
    assert!(matches!(handle.evaluate("none").await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn what_a_detector_derives_is_a_series_of_the_rule_and_what_cant_be_stored_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    fake.with(|fake| {
        fake.detect = Some(Box::new(|_, _| {
            let derived = |metric: &str| Derived { series: 0, metric: metric.into(), value: 1.0 };
            Ok(Verdict { derived: vec![derived("anomaly_bit"), derived("")], ..Verdict::default() })
        }));
    });
    let (bench, _tasks, handle) = bench(folder.path(), &fake, catalog(json!({"every": "1h"})), START).await;
    sample(&bench, &handle, 95.0).await;
    let error = handle.evaluate("hot").await.unwrap_err();
    assert!(error.to_string().contains("is not a metric's name"), "{error}");
    let selector = Selector { metric: "anomaly_bit".into(), labels: Labels::new() };
    let kept = bench.context.series.latest(&selector, bench.now(), Span::from_secs(60));
    let labels = Labels::new().with("host", "a").with("rule", "hot");
    assert_eq!(kept, [Sample { name: "anomaly_bit".into(), labels, at: bench.now(), value: 1.0 }]);
}

#[tokio::test]
async fn evaluations_that_change_nothing_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &fake(), catalog(json!({"every": "1h"})), START).await;
    sample(&bench, &handle, 95.0).await;
    handle.evaluate("hot").await.unwrap();
    let written =
        || bench.context.store.get(Alert::COLLECTION, &handle.alerts()[0].fingerprint).unwrap().unwrap().revision;
    let before = written();
    for _ in 0..20 {
        bench.advance(Span::from_secs(2));
        sample(&bench, &handle, 96.0).await;
        handle.evaluate("hot").await.unwrap();
    }
    assert_eq!(written(), before);
    assert_eq!((handle.alerts()[0].value, handle.alerts()[0].last_evaluated), (96.0, bench.now()));
}

#[tokio::test]
async fn the_time_to_hold_survives_a_kill_and_a_firing_alert_is_not_told_again() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let rule = || catalog(json!({"for": "1m", "every": "1h"}));
    let (first, tasks, handle) = bench(folder.path(), &fake, rule(), START).await;
    sample(&first, &handle, 95.0).await;
    handle.evaluate("hot").await.unwrap();
    assert_eq!(handle.alerts()[0].state, AlertState::Pending);
    drop((tasks, handle));
    first.kill().await;
    // As in Prometheus, a time that is shorter than the grace after a start is waited for anew.
    let back_at = START.plus(Span::from_secs(60));
    let (second, tasks, handle) = bench(folder.path(), &fake, rule(), back_at).await;
    sample(&second, &handle, 95.0).await;
    handle.evaluate("hot").await.unwrap();
    assert_eq!((handle.alerts()[0].state, handle.alerts()[0].active_at), (AlertState::Pending, back_at));
    second.advance(Span::from_secs(60));
    sample(&second, &handle, 95.0).await;
    handle.evaluate("hot").await.unwrap();
    assert_eq!((handle.alerts()[0].state, handle.alerts()[0].active_at), (AlertState::Firing, back_at));
    drop((tasks, handle));
    second.kill().await;
    let (third, _tasks, handle) = bench(folder.path(), &fake, rule(), START.plus(Span::from_secs(7200))).await;
    sample(&third, &handle, 95.0).await;
    handle.evaluate("hot").await.unwrap();
    assert_eq!(third.events(&[Alert::FIRING]).len(), 1);
}

#[tokio::test]
async fn an_acknowledgement_and_an_evaluation_do_not_lose_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &fake(), catalog(json!({"every": "1h"})), START).await;
    sample(&bench, &handle, 95.0).await;
    handle.evaluate("hot").await.unwrap();
    let fingerprint = handle.alerts()[0].fingerprint.clone();
    let evaluate = async {
        for _ in 0..50 {
            handle.evaluate("hot").await.unwrap();
        }
    };
    let (_, acknowledged) = tokio::join!(evaluate, handle.acknowledge(&fingerprint, "ann"));
    assert_eq!(acknowledged.unwrap().acknowledged_by.as_deref(), Some("ann"));
    handle.acknowledge(&fingerprint, "bob").await.unwrap();
    handle.evaluate("hot").await.unwrap();
    assert_eq!(handle.alert(&fingerprint).unwrap().acknowledged_by.as_deref(), Some("ann"));
    assert_eq!(bench.events(&["alert.acknowledged"]).len(), 1);
    bench.advance(Span::from_secs(1));
    sample(&bench, &handle, 1.0).await;
    handle.evaluate("hot").await.unwrap();
    assert!(matches!(handle.acknowledge(&fingerprint, "ann").await, Err(Error::Conflict { .. })));
    assert!(matches!(handle.acknowledge("none", "ann").await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_rule_that_is_taken_out_ends_its_alerts_and_its_job() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &fake(), catalog(json!({"every": "1h"})), START).await;
    sample(&bench, &handle, 95.0).await;
    handle.evaluate("hot").await.unwrap();
    bench.catalog.send_replace(Arc::new(Catalog::default()));
    let resolved = bench.event(Alert::RESOLVED, None, Offset(0)).await;
    assert_eq!(resolved.event.data["reason"], "the rule was removed");
    until("the job's end", || bench.context.scheduler.get("rule/hot").is_none() && handle.alerts().is_empty()).await;
}

#[tokio::test]
async fn a_rule_that_is_taken_out_while_the_disk_is_full_ends_its_alerts_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &fake(), catalog(json!({"every": "1h"})), START).await;
    sample(&bench, &handle, 95.0).await;
    handle.evaluate("hot").await.unwrap();
    bench.faults.set_free_bytes(1);
    let refusals = bench.faults.refusals();
    bench.catalog.send_replace(Arc::new(Catalog::default()));
    until("a refusal", || bench.faults.refusals() > refusals).await;
    assert_eq!(handle.alerts().len(), 1, "it is not forgotten");
    assert!(bench.events(&[Alert::RESOLVED]).is_empty());
    bench.faults.set_free_bytes(1 << 40);
    bench.event(Alert::RESOLVED, None, Offset(0)).await;
    until("its end", || handle.alerts().is_empty()).await;
    let documents = bench.context.store.list(Alert::COLLECTION, &quarterdeck_model::store::Page::all()).unwrap();
    assert!(documents.is_empty());
}

#[tokio::test]
async fn a_detector_that_fails_changes_nothing_and_shows_on_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let (bench, _tasks, handle) = bench(folder.path(), &fake, catalog(json!({"every": "1h"})), START).await;
    sample(&bench, &handle, 95.0).await;
    handle.evaluate("hot").await.unwrap();
    fake.with(|fake| fake.detect = Some(Box::new(|_, _| Err(CallError::Trapped { reason: "unreachable".into() }))));
    assert!(handle.evaluate("hot").await.is_err());
    assert_eq!(handle.alerts()[0].state, AlertState::Firing);
    until("the first run's end", || bench.context.scheduler.get("rule/hot").is_some_and(|job| job.running == 0)).await;
    bench.context.scheduler.run_now("rule/hot").unwrap();
    until("the job's error", || {
        bench.context.scheduler.get("rule/hot").is_some_and(|job| job.last_error.is_some_and(|e| e.contains("trapped")))
    })
    .await;
}

fn collection(state: Condition, message: &str) -> Collection {
    let families = vec![
        Family {
            name: "probe_up".into(),
            metric_type: MetricType::Gauge,
            help: String::new(),
            labels: vec![Labels::new().with("target", "t")],
            values: vec![1.0],
            at: Vec::new(),
        },
        Family {
            name: "crooked".into(),
            metric_type: MetricType::Gauge,
            help: String::new(),
            labels: Vec::new(),
            values: vec![1.0],
            at: Vec::new(),
        },
    ];
    Collection { families, health: Health { state, message: message.into() } }
}

#[tokio::test]
async fn a_collector_makes_samples_and_its_targets_health_is_told_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    fake.with(|fake| fake.collect = Some(Box::new(|| Ok(collection(Condition::Ok, "fine")))));
    let (bench, _tasks, handle) = bench(folder.path(), &fake, Catalog::default(), START).await;
    assert!(bench.context.scheduler.list().iter().all(|job| !job.spec.name.starts_with("collect/")));
    // An instance that comes while the host runs.
    fake.add_instance("http-probe/api", Kind::Collector);
    let added = bench.context.event("instance.added", "http-probe/api");
    bench.context.commit(quarterdeck_model::transition::Transition::new().event(added)).await.unwrap();
    until("the job", || bench.context.scheduler.get("collect/http-probe/api").is_some()).await;
    bench.advance(Span::from_secs(2));
    let changed = bench.event("health.changed", Some("http-probe/api"), Offset(0)).await;
    assert_eq!((changed.event.data["state"].as_str(), changed.event.plugin.is_some()), (Some("ok"), true));
    let last_error = || bench.context.scheduler.get("collect/http-probe/api").and_then(|job| job.last_error);
    until("the run's end", || last_error().is_some()).await;
    let latest = |metric: &str| {
        let selector = Selector { metric: metric.into(), labels: Labels::new().with("instance", "http-probe/api") };
        bench.context.series.latest(&selector, bench.now(), Span::from_secs(60)).first().map(|sample| sample.value)
    };
    assert_eq!((latest("probe_up"), latest("collector_up"), latest("crooked")), (Some(1.0), Some(1.0), None));
    assert!(last_error().unwrap().contains("the columns of `crooked` differ in length"));
    let said = Described { metric_type: MetricType::Gauge, help: String::new() };
    assert_eq!(handle.described().get("probe_up"), Some(&vec![said]));

    fake.with(|fake| fake.collect = Some(Box::new(|| Ok(collection(Condition::Ok, "still fine")))));
    bench.advance(Span::from_secs(17));
    until("the message", || handle.health().iter().any(|health| health.health.message == "still fine")).await;
    assert_eq!(bench.events(&["health.changed"]).len(), 1);

    fake.with(|fake| fake.collect = Some(Box::new(|| Err(CallError::Trapped { reason: "oh".into() }))));
    bench.advance(Span::from_secs(17));
    let failed = bench.event("health.changed", None, changed.offset).await;
    assert_eq!((&failed.event.data["state"], &failed.event.data["before"]), (&json!("failed"), &json!("ok")));
    assert_eq!(failed.event.plugin, Some(crate::testing::plugin()), "the version that failed is named");
    until("the sample", || latest("collector_up") == Some(0.0)).await;

    fake.set_state("http-probe/api", InstanceState::Disabled);
    let disabled = bench.context.event("instance.changed", "http-probe/api");
    bench.context.commit(quarterdeck_model::transition::Transition::new().event(disabled)).await.unwrap();
    until("the job's end", || bench.context.scheduler.get("collect/http-probe/api").is_none()).await;
    assert!(handle.health().is_empty() && handle.described().is_empty());
}

#[tokio::test]
async fn an_instance_gets_no_more_series_than_its_own_limit_and_what_it_has_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    for (name, limit) in [("probe/few", 3), ("probe/many", 100)] {
        fake.add_instance(name, Kind::Collector);
        fake.with(|fake| fake.instances.get_mut(&name.into()).unwrap().spec.to_mut().limits.series = limit);
    }
    // So many series are in each answer.
    let size = Arc::new(AtomicU32::new(5));
    fake.with(|fake| {
        let size = size.clone();
        fake.collect = Some(Box::new(move || {
            let count = size.load(Ordering::SeqCst);
            let family = Family {
                name: "requests".into(),
                metric_type: MetricType::Gauge,
                help: String::new(),
                labels: (0..count).map(|n| Labels::new().with("n", n.to_string())).collect(),
                values: (0..count).map(f64::from).collect(),
                at: Vec::new(),
            };
            Ok(Collection { families: vec![family], health: Health { state: Condition::Ok, message: String::new() } })
        }));
    });
    let (bench, _tasks, _handle) = bench(folder.path(), &fake, Catalog::default(), START).await;
    let last_error = |instance: &str| {
        let job = bench.context.scheduler.get(&format!("collect/{instance}"));
        job.and_then(|job| job.last_error)
    };
    let series = |instance: &str| {
        let labels = Labels::new().with("instance", instance);
        let selector = Selector { metric: "requests".into(), labels };
        bench.context.series.latest(&selector, bench.now(), Span::from_secs(60)).len()
    };
    bench.advance(Span::from_secs(2));
    until("the refusal", || last_error("probe/few").is_some()).await;
    let reason = last_error("probe/few").unwrap();
    assert!(reason.contains("2 samples are of series beyond the 3 ") && reason.contains("`limits.series`"), "{reason}");
    until("all of the other's", || series("probe/many") == 5).await;
    assert_eq!((series("probe/few"), last_error("probe/many")), (3, None));

    // With what it has it goes on; the third one is over.
    size.store(2, Ordering::SeqCst);
    bench.advance(Span::from_secs(17));
    until("a run without an error", || last_error("probe/few").is_none()).await;
    until("the end of one", || series("probe/few") == 2).await;
}

#[tokio::test]
async fn samples_with_malformed_names_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &fake(), Catalog::default(), START).await;
    let check = async |name: &str, label: &str, fine: bool| {
        let labels = Labels::new().with(label, "v");
        let sample = Sample { name: name.into(), labels, at: bench.now(), value: 1.0 };
        assert_eq!(handle.push(vec![sample]).await.is_ok(), fine, "{name} {label}");
    };
    check("job:cpu_9", "le", true).await;
    check("9cpu", "le", false).await;
    check("", "le", false).await;
    check("cpu", "a:b", false).await;
    check("cpu", "a-b", false).await;
}

#[tokio::test]
async fn an_alert_that_is_ended_by_hand_fires_again_if_it_is_still_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &fake(), catalog(json!({"every": "1h"})), START).await;
    sample(&bench, &handle, 95.0).await;
    handle.evaluate("hot").await.unwrap();
    let fingerprint = handle.alerts()[0].fingerprint.clone();
    // Without samples it would fire for ever.
    bench.advance(Span::from_secs(600));
    handle.evaluate("hot").await.unwrap();
    assert!(handle.alerts()[0].no_data);
    let alert = handle.resolve(&fingerprint, "ann").await.unwrap();
    assert_eq!((alert.state, alert.reason.as_str()), (AlertState::Resolved, "resolved by ann"));
    handle.resolve(&fingerprint, "bob").await.unwrap();
    handle.evaluate("hot").await.unwrap();
    assert_eq!(handle.alert(&fingerprint).unwrap().state, AlertState::Resolved);
    let resolved = bench.events(&[Alert::RESOLVED]);
    assert_eq!((resolved.len(), resolved[0].principal.as_str()), (1, "ann"));
    sample(&bench, &handle, 95.0).await;
    handle.evaluate("hot").await.unwrap();
    assert_eq!(handle.alert(&fingerprint).unwrap().state, AlertState::Firing);
    assert_eq!(bench.events(&[Alert::FIRING]).len(), 2);
    assert!(matches!(handle.resolve("none", "ann").await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn another_selection_begins_with_a_detector_that_remembers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let seen: Arc<std::sync::Mutex<Vec<u8>>> = Arc::default();
    fake.with(|fake| {
        let seen = seen.clone();
        fake.detect = Some(Box::new(move |_, state| {
            let count = state.map_or(0, |state| state[0]);
            seen.lock().unwrap().push(count);
            Ok(Verdict { signals: Vec::new(), state: Some(vec![count + 1]), ..Verdict::default() })
        }));
    });
    let rule = |metric: &str| catalog(json!({"every": "1h", "select": {"metric": metric}}));
    let last = || *seen.lock().unwrap().last().unwrap();
    let (first, tasks, handle) = bench(folder.path(), &fake, rule("cpu"), START).await;
    for _ in 0..3 {
        first.advance(Span::from_secs(120));
        handle.evaluate("hot").await.unwrap();
    }
    assert!(last() >= 2);
    first.catalog.send_replace(Arc::new(rule("memory")));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while last() >= 2 {
        assert!(std::time::Instant::now() < deadline, "the change is not there");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        handle.evaluate("hot").await.unwrap();
    }
    first.advance(Span::from_secs(120));
    for _ in 0..3 {
        handle.evaluate("hot").await.unwrap();
        first.advance(Span::from_secs(120));
    }
    let (now, before) = (first.now(), last());
    drop((tasks, handle));
    first.kill().await;
    // So it is where the rule was changed while the host was away.
    let (_second, _tasks, handle) = bench(folder.path(), &fake, rule("disk"), now).await;
    handle.evaluate("hot").await.unwrap();
    assert!(last() < before, "{} after {before}", last());
}

#[tokio::test]
async fn a_push_says_how_many_of_its_samples_found_no_room_for_their_series() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(folder.path(), &fake(), Catalog::default(), START);
    let small = tempfile::tempdir().unwrap();
    let mut options = quarterdeck_storage::Options::new(small.path(), bench.context.clock.clone());
    (options.free_space_floor_bytes, options.max_series) = (0, 3);
    bench.context.series = quarterdeck_storage::Database::open(options).unwrap();
    let mut tasks = Tasks::default();
    let handle = start(&bench.context, &mut tasks).await.unwrap();
    let samples = |range: std::ops::Range<u32>| -> Vec<Sample> {
        let labels = |n: u32| Labels::new().with("n", n.to_string());
        range.map(|n| Sample { name: "wide".into(), labels: labels(n), at: bench.now(), value: 1.0 }).collect()
    };
    assert_eq!(handle.push(samples(0..2)).await.unwrap(), Taken { accepted: 2, refused: 0 });
    bench.advance(Span::from_secs(1));
    assert_eq!(handle.push(samples(1..6)).await.unwrap(), Taken { accepted: 2, refused: 3 });
    let error = handle.push(samples(10..12)).await.unwrap_err();
    assert!(matches!(error, Error::Store(StoreError::TooManySeries { limit: 3, refused: 2 })), "{error}");
    let mut long = samples(0..1);
    long[0].labels.insert("text", "x".repeat(4_000));
    assert!(matches!(handle.push(long).await, Err(Error::Invalid { .. })));
    assert_eq!(
        bench
            .context
            .series
            .latest(&Selector { metric: "wide".into(), ..Selector::default() }, bench.now(), Span::from_secs(60))
            .len(),
        3
    );
}

/// Abnormal is what has no samples.
fn misses() -> Fake {
    let fake = Fake::default();
    fake.with(|fake| {
        fake.detect = Some(Box::new(|window, _| {
            let empty = window.series.iter().enumerate().filter(|(_, series)| series.values.is_empty());
            let signals = empty.map(|(index, _)| Signal {
                series: index,
                severity: Severity::High,
                value: 0.0,
                expected: None,
                reason: "is not there".into(),
            });
            Ok(Verdict { signals: signals.collect(), state: Some(vec![1]), ..Verdict::default() })
        }));
    });
    fake
}

#[tokio::test]
async fn a_series_that_a_rule_expects_is_missed_before_it_was_ever_there_and_no_more_when_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let rule = catalog(json!({"every": "1h", "expect": [{"host": "a"}, {"host": "b"}]}));
    let (bench, _tasks, handle) = bench(folder.path(), &misses(), rule, START).await;
    handle.evaluate("hot").await.unwrap();
    let firing = || {
        let alerts = handle.alerts();
        let firing = alerts.iter().filter(|alert| alert.state == AlertState::Firing);
        let mut hosts: Vec<String> = firing.map(|alert| alert.labels.get("host").unwrap().to_owned()).collect();
        hosts.sort();
        hosts
    };
    assert_eq!(firing(), ["a", "b"]);
    // With a label more than was expected: it is no less the series.
    let labels = Labels::new().with("host", "a").with("port", "1");
    handle.push(vec![Sample { name: "cpu".into(), labels, at: bench.now(), value: 1.0 }]).await.unwrap();
    handle.evaluate("hot").await.unwrap();
    assert_eq!(firing(), ["b"]);
    assert_eq!(bench.events(&[Alert::RESOLVED]).len(), 1);
}

#[tokio::test]
async fn what_is_expected_no_more_is_missed_no_more_also_where_that_changed_while_the_host_was_away() {
    let folder = tempfile::tempdir().unwrap();
    let rule = |hosts: &[&str]| {
        let expect: Vec<Value> = hosts.iter().map(|host| json!({"host": host})).collect();
        catalog(json!({"every": "1h", "expect": expect}))
    };
    let fake = misses();
    let (first, tasks, handle) = bench(folder.path(), &fake, rule(&["a", "b", "c"]), START).await;
    handle.evaluate("hot").await.unwrap();
    let firing = |handle: &Handle| handle.alerts().iter().filter(|alert| alert.state == AlertState::Firing).count();
    assert_eq!(firing(&handle), 3);
    first.catalog.send_replace(Arc::new(rule(&["a", "b"])));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while firing(&handle) > 2 {
        assert!(std::time::Instant::now() < deadline, "the change is not there");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        handle.evaluate("hot").await.unwrap();
    }
    let now = first.now();
    drop((tasks, handle));
    first.kill().await;
    let (_second, _tasks, handle) = bench(folder.path(), &fake, rule(&["a"]), now).await;
    handle.evaluate("hot").await.unwrap();
    assert_eq!(firing(&handle), 1);
}
