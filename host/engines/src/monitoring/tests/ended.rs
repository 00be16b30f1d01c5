//! Series that end: a mount that is gone, an instance that is switched off.

use super::*;
use quarterdeck_model::series::LOOKBACK;
use std::collections::BTreeSet;
use std::sync::Mutex;

/// What is mounted, each this full; `None`: nothing can be collected.
type Mounts = Arc<Mutex<Option<Vec<(&'static str, f64)>>>>;

fn collecting(fake: &Fake) -> Mounts {
    let mounts: Mounts = Arc::default();
    let seen = mounts.clone();
    fake.add_instance("probe/x", Kind::Collector);
    fake.with(|fake| {
        fake.collect = Some(Box::new(move || {
            let reason = || CallError::Trapped { reason: "oh".into() };
            let mounts = seen.lock().unwrap().clone().ok_or_else(reason)?;
            let family = Family {
                name: "disk".into(),
                metric_type: MetricType::Gauge,
                help: String::new(),
                labels: mounts.iter().map(|(mount, _)| Labels::new().with("mount", *mount)).collect(),
                values: mounts.iter().map(|(_, full)| *full).collect(),
                at: Vec::new(),
            };
            Ok(Collection { families: vec![family], health: Health { state: Condition::Ok, message: String::new() } })
        }));
    });
    mounts
}

fn disk_rule(more: Value) -> Catalog {
    let mut rule = json!({"select": {"metric": "disk"}, "every": "1h", "detector": "threshold/x"});
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    catalog(rule)
}

/// Mounts of which there is a sample now.
fn alive(bench: &Bench, metric: &str) -> BTreeSet<String> {
    let selector = Selector { metric: metric.into(), labels: Labels::new() };
    let latest = bench.context.series.latest(&selector, bench.now(), LOOKBACK);
    latest.iter().map(|sample| sample.labels.get("mount").unwrap_or_default().to_owned()).collect()
}

fn of(mounts: &[&str]) -> BTreeSet<String> {
    mounts.iter().map(|mount| (*mount).to_owned()).collect()
}

/// The collector runs again.
fn later(bench: &Bench) {
    bench.advance(Span::from_secs(17));
}

#[tokio::test]
async fn a_series_that_a_collector_has_no_more_ends_at_once_and_a_failure_ends_none() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let mounts = collecting(&fake);
    *mounts.lock().unwrap() = Some(vec![("/", 10.0), ("/mnt", 97.0)]);
    let (bench, _tasks, _handle) = bench(folder.path(), &fake, Catalog::default(), START).await;
    bench.advance(Span::from_secs(2));
    until("both", || alive(&bench, "disk") == of(&["/", "/mnt"])).await;

    *mounts.lock().unwrap() = None;
    later(&bench);
    let selector = Selector { metric: "collector_up".into(), labels: Labels::new() };
    let up = || bench.context.series.latest(&selector, bench.now(), LOOKBACK).first().map(|sample| sample.value);
    until("the failure", || up() == Some(0.0)).await;
    assert_eq!(alive(&bench, "disk"), of(&["/", "/mnt"]), "nobody knows that they are gone");

    *mounts.lock().unwrap() = Some(vec![("/", 10.0)]);
    later(&bench);
    until("the end of one", || alive(&bench, "disk") == of(&["/"])).await;
    *mounts.lock().unwrap() = Some(vec![("/", 10.0), ("/mnt", 1.0)]);
    later(&bench);
    until("it is back", || alive(&bench, "disk") == of(&["/", "/mnt"])).await;
}

#[tokio::test]
async fn the_series_of_an_instance_that_is_switched_off_end() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    let mounts = collecting(&fake);
    *mounts.lock().unwrap() = Some(vec![("/", 10.0)]);
    let (bench, _tasks, _handle) = bench(folder.path(), &fake, Catalog::default(), START).await;
    bench.advance(Span::from_secs(2));
    until("a figure", || alive(&bench, "disk") == of(&["/"])).await;
    fake.with(|fake| fake.instances.remove(&"probe/x".into()));
    // The ends stand behind the last figures.
    bench.advance(Span::from_secs(1));
    bench.catalog.send_replace(Arc::new(Catalog::default()));
    until("its end", || alive(&bench, "disk").is_empty() && alive(&bench, "collector_up").is_empty()).await;
}

/// Pushes figures, and ends the series.
async fn ended(bench: &Bench, handle: &Handle) {
    for _ in 0..3 {
        bench.advance(Span::from_secs(5));
        let labels = Labels::new().with("mount", "/mnt");
        let sample = |value| Sample { name: "disk".into(), labels: labels.clone(), at: bench.now(), value };
        handle.push(vec![sample(97.0)]).await.unwrap();
        handle.evaluate("hot").await.unwrap();
    }
    assert_eq!(handle.alerts()[0].state, AlertState::Firing);
    bench.advance(Span::from_secs(5));
    let labels = Labels::new().with("mount", "/mnt");
    let stale = f64::from_bits(quarterdeck_model::series::query::STALE);
    handle.push(vec![Sample { name: "disk".into(), labels, at: bench.now(), value: stale }]).await.unwrap();
    handle.evaluate("hot").await.unwrap();
}

#[tokio::test]
async fn an_alert_about_a_series_that_has_ended_is_without_data_at_once_and_ends_only_where_the_rule_says_so() {
    for (more, state, no_data) in
        [(json!({}), AlertState::Firing, true), (json!({"no-data": "normal"}), AlertState::Resolved, true)]
    {
        let folder = tempfile::tempdir().unwrap();
        let (bench, _tasks, handle) = bench(folder.path(), &fake(), disk_rule(more), START).await;
        ended(&bench, &handle).await;
        let alert = handle.alerts().remove(0);
        assert_eq!((alert.state, alert.no_data), (state, no_data), "{alert:?}");
    }
}

#[tokio::test]
async fn a_detector_that_misses_what_has_ended_sees_it_until_it_leaves_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake();
    fake.add_instance("threshold/x", Kind::Detector);
    fake.with(|fake| fake.schema = Some(json!({"properties": {"grace": {"x-sees-ended": true}}})));
    let (bench, _tasks, handle) = bench(folder.path(), &fake, disk_rule(json!({})), START).await;
    ended(&bench, &handle).await;
    let alert = handle.alerts().remove(0);
    assert_eq!((alert.state, alert.no_data), (AlertState::Firing, false));
}
