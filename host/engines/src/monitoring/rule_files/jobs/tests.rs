use crate::monitoring::rule_files::BacktestRequest;
use crate::monitoring::{Handle, start};
use crate::testing::{Bench, Fake, START, until};
use crate::{Error, Tasks};
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::alert::{Alert, AlertState, Blindness, Target};
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::Sample;
use quarterdeck_model::series::query::{Budget, Comparison, Matcher, NAME, STALE, is_stale};
use quarterdeck_model::{Severity, Span, Timestamp};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// So long that the scheduler evaluates nothing by itself.
fn group(rules: Value) -> Catalog {
    catalog(json!({"interval": "8760h", "rules": rules}))
}

fn catalog(group: Value) -> Catalog {
    serde_json::from_value(json!({"rule_groups": {"file/group": group}})).unwrap()
}

async fn bench(folder: &Path, catalog: Catalog, now: Timestamp) -> (Bench, Tasks, Handle) {
    let bench = Bench::open(folder, &Fake::default(), catalog, now);
    let mut tasks = Tasks::default();
    let handle = start(&bench.context, &mut tasks).await.unwrap();
    (bench, tasks, handle)
}

async fn sample(bench: &Bench, handle: &Handle, value: f64) {
    let labels = Labels::new().with("host", "a");
    handle.push(vec![Sample { name: "cpu".into(), labels, at: bench.now(), value }]).await.unwrap();
}

async fn evaluate(bench: &Bench, handle: &Handle) {
    handle.evaluate_group("file/group", bench.now()).await.unwrap();
}

/// Staleness markers are among them.
fn values(bench: &Bench, metric: &str) -> Vec<f64> {
    let name = Matcher { label: NAME.into(), comparison: Comparison::Equal, value: metric.into() };
    let (from, budget) = (START.minus(Span::from_secs(1)), Budget::of_samples(1_000));
    let found = bench.context.querier.select(&[name], from, Timestamp::MAX, &budget).unwrap();
    found.into_iter().flat_map(|series| series.values).collect()
}

fn hot(hold: &str) -> Value {
    json!({"alert": "Hot", "expr": "cpu > 90", "for": hold, "labels": {"severity": "error"},
        "annotations": {"summary": "{{ $labels.host }} is at {{ $value }}"}})
}

#[tokio::test]
async fn an_alert_of_a_rule_file_is_told_as_any_other_and_can_be_acknowledged_and_resolved() {
    let folder = tempfile::tempdir().unwrap();
    let rules = json!([{"record": "cpu:twice", "expr": "cpu * 2"}, hot("30s")]);
    let (bench, _tasks, handle) = bench(folder.path(), group(rules), START).await;
    for value in [95.0, 96.0, 97.0] {
        sample(&bench, &handle, value).await;
        evaluate(&bench, &handle).await;
        bench.advance(Span::from_secs(15));
    }
    assert_eq!(values(&bench, "cpu:twice"), [190.0, 192.0, 194.0]);
    let firing = bench.events(&[Alert::FIRING]);
    assert_eq!(firing.len(), 1);
    assert_eq!(firing[0].data["labels"], json!({"alertname": "Hot", "host": "a", "severity": "error"}));
    assert_eq!((&firing[0].data["summary"], &firing[0].data["severity"]), (&json!("a is at 97"), &json!("high")));
    let fingerprint = handle.alerts()[0].fingerprint.clone();
    let alert = handle.acknowledge(&fingerprint, "ann").await.unwrap();
    assert_eq!((alert.acknowledged_by.as_deref(), alert.severity), (Some("ann"), Severity::High));
    sample(&bench, &handle, 98.0).await;
    evaluate(&bench, &handle).await;
    assert_eq!(handle.alerts()[0].acknowledged_by.as_deref(), Some("ann"), "an evaluation keeps it");
    assert_eq!(handle.resolve(&fingerprint, "ann").await.unwrap().state, AlertState::Resolved);
    sample(&bench, &handle, 10.0).await;
    bench.advance(Span::from_secs(15));
    sample(&bench, &handle, 10.0).await;
    evaluate(&bench, &handle).await;
    let told: Vec<_> = bench.events(&["alert."]).into_iter().map(|event| event.event_type).collect();
    assert_eq!(told, ["alert.firing", "alert.acknowledged", "alert.resolved"]);
    let status = handle.rule_groups();
    assert_eq!((status[0].rules.len(), status[0].evaluated_at), (2, Some(bench.now())));
    assert!(matches!(handle.evaluate_group("none", START).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn the_time_to_hold_and_what_fires_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let rules = || group(json!([hot("30m"), {"alert": "Now", "expr": "cpu > 90"}]));
    let (first, tasks, handle) = bench(folder.path(), rules(), START).await;
    sample(&first, &handle, 95.0).await;
    evaluate(&first, &handle).await;
    drop((tasks, handle));
    first.kill().await;
    // Away for a minute of the half hour: that minute does not count.
    let back_at = START.plus(Span::from_secs(60));
    let (second, _tasks, handle) = bench(folder.path(), rules(), back_at).await;
    let alert = |name: &str| handle.alerts().into_iter().find(|alert| alert.rule == name).unwrap();
    assert_eq!((alert("Hot").state, alert("Hot").active_at), (AlertState::Pending, back_at));
    assert_eq!((alert("Now").state, alert("Now").active_at), (AlertState::Firing, START));
    sample(&second, &handle, 95.0).await;
    evaluate(&second, &handle).await;
    assert_eq!(second.events(&[Alert::FIRING]).len(), 1, "what fires is not told again");
    second.advance(Span::from_secs(30 * 60));
    sample(&second, &handle, 95.0).await;
    evaluate(&second, &handle).await;
    assert_eq!(alert("Hot").state, AlertState::Firing);
}

#[tokio::test]
async fn what_a_group_that_is_taken_away_has_made_ends() {
    let folder = tempfile::tempdir().unwrap();
    let rules = json!([hot("0s"), {"record": "cpu:twice", "expr": "cpu * 2"}]);
    let (bench, _tasks, handle) = bench(folder.path(), group(rules), START).await;
    sample(&bench, &handle, 95.0).await;
    evaluate(&bench, &handle).await;
    // The rule alone, and then the group.
    bench.advance(Span::from_secs(15));
    bench.catalog.send_replace(Arc::new(group(json!([{"record": "cpu:twice", "expr": "cpu * 2"}]))));
    until("the end of the alert", || bench.events(&[Alert::RESOLVED]).len() == 1).await;
    assert_eq!(bench.events(&[Alert::RESOLVED])[0].data["reason"], "the rule was removed");
    until("no alert", || handle.alerts().is_empty()).await;
    assert!(bench.context.store.list(Alert::COLLECTION, &quarterdeck_model::store::Page::all()).unwrap().is_empty());
    bench.catalog.send_replace(Arc::new(Catalog::default()));
    until("no group", || handle.rule_groups().is_empty()).await;
    let stored = values(&bench, "cpu:twice");
    assert!(stored.len() == 2 && is_stale(stored[1]), "{stored:?}");
}

#[tokio::test]
async fn a_group_is_evaluated_on_its_schedule_at_the_same_offset_in_its_interval() {
    let folder = tempfile::tempdir().unwrap();
    let rules = json!([{"record": "one", "expr": "time()"}]);
    let (bench, _tasks, _handle) =
        bench(folder.path(), catalog(json!({"interval": "1m", "rules": rules})), START).await;
    for evaluations in 1..4 {
        bench.advance(Span::from_secs(60));
        until("an evaluation", || values(&bench, "one").len() == evaluations).await;
    }
    let times = values(&bench, "one");
    assert!(times.windows(2).all(|pair| (pair[1] - pair[0] - 60.0).abs() < 1e-6), "{times:?}");
}

#[tokio::test]
async fn a_rule_that_fails_is_said_and_keeps_no_other_from_being_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let rules = json!([{"record": "bad", "expr": "cpu * on() group_left() cpu"}, {"record": "good", "expr": "cpu"}]);
    let (bench, _tasks, handle) = bench(folder.path(), group(rules), START).await;
    let labels = |host: &str| Labels::new().with("host", host);
    let samples = ["a", "b"].map(|host| Sample { name: "cpu".into(), labels: labels(host), at: START, value: 1.0 });
    handle.push(samples.to_vec()).await.unwrap();
    let error = handle.evaluate_group("file/group", START).await.unwrap_err().to_string();
    assert!(error.starts_with("rule `bad`: "), "{error}");
    assert_eq!(values(&bench, "good"), [1.0, 1.0]);
}

/// Two targets that nobody asks by himself, and a rule over what they say.
fn scraped(targets: &[&str], query: &str) -> Catalog {
    let rules = json!([{"alert": "Hot", "expr": query}]);
    serde_json::from_value(json!({
        "rule_groups": {"file/group": {"interval": "8760h", "rules": rules}},
        "scrape": {"j": {"scrape_interval": "24h", "static_configs": [{"targets": targets}]}},
    }))
    .unwrap()
}

async fn of_targets(bench: &Bench, handle: &Handle, values: &[(&str, f64)]) {
    let labels = |target: &str| Labels::new().with("job", "j").with("instance", target).with("core", "1");
    let sample = |(target, value): &(&str, f64)| Sample {
        name: "cpu".into(),
        labels: labels(target),
        at: bench.now(),
        value: *value,
    };
    handle.push(values.iter().map(sample).collect()).await.unwrap();
    evaluate(bench, handle).await;
}

#[tokio::test]
async fn an_alert_whose_target_is_still_scraped_stays_and_one_whose_target_was_taken_away_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (both, query) = (["a:1", "b:1"], "cpu > 90");
    let (bench, _tasks, handle) = bench(folder.path(), scraped(&both, query), START).await;
    of_targets(&bench, &handle, &[("a:1", 95.0), ("b:1", 1.0)]).await;
    bench.advance(Span::from_secs(60));
    of_targets(&bench, &handle, &[("a:1", f64::from_bits(STALE)), ("b:1", 1.0)]).await;
    let alert = handle.alerts().remove(0);
    assert_eq!((alert.state, alert.blind.map(|blind| blind.why)), (AlertState::Firing, Some(Blindness::MissingSeries)));
    assert!(
        matches!(&alert.target, Some(Target::Scraped(labels)) if labels.get("instance") == Some("a:1")),
        "{alert:?}"
    );
    bench.catalog.send_replace(Arc::new(scraped(&["b:1"], query)));
    until("the target is gone", || handle.targets().len() == 1).await;
    evaluate(&bench, &handle).await;
    let ended = bench.events(&[Alert::RESOLVED]);
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].data["reason"], r#"target {instance="a:1",job="j"} is not configured any more"#);
}

#[tokio::test]
async fn what_fires_is_missed_after_a_restart_and_ends_with_a_target_that_was_taken_away_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let query = "cpu > 90";
    let (first, tasks, handle) = bench(folder.path(), scraped(&["a:1", "b:1", "c:1"], query), START).await;
    of_targets(&first, &handle, &[("a:1", 95.0), ("b:1", 96.0), ("c:1", 97.0)]).await;
    drop((tasks, handle));
    first.kill().await;
    // The first target is asked, the second is not yet, the third is not there any more.
    let back_at = START.plus(Span::from_secs(315));
    let (second, _tasks, handle) = bench(folder.path(), scraped(&["a:1", "b:1"], query), back_at).await;
    of_targets(&second, &handle, &[("a:1", 95.0)]).await;
    let resolved = second.events(&[Alert::RESOLVED]);
    assert_eq!(resolved.len(), 1, "{resolved:?}");
    assert_eq!(resolved[0].data["labels"]["instance"], "c:1");
    second.advance(Span::from_secs(60));
    of_targets(&second, &handle, &[("a:1", 95.0), ("b:1", 96.0)]).await;
    let firing = handle.alerts().into_iter().filter(|alert| alert.state == AlertState::Firing).collect::<Vec<_>>();
    assert!(firing.len() == 2 && firing.iter().all(|alert| alert.active_at == START && !alert.no_data), "{firing:?}");
    assert_eq!(second.events(&[Alert::FIRING]).len(), 3, "nothing is told again");
}

#[tokio::test]
async fn what_joins_several_sources_holds_after_a_start_until_each_of_them_had_its_turn() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = || scraped(&["a:1", "b:1"], "count by (job) (cpu > 90) > 1");
    let (first, tasks, handle) = bench(folder.path(), catalog(), START).await;
    of_targets(&first, &handle, &[("a:1", 95.0), ("b:1", 96.0)]).await;
    assert_eq!(first.events(&[Alert::FIRING]).len(), 1);
    drop((tasks, handle));
    first.kill().await;
    let back_at = START.plus(Span::from_secs(315));
    let (second, _tasks, handle) = bench(folder.path(), catalog(), back_at).await;
    for (seconds, resolved) in [(0, 0), (299, 0), (1, 1)] {
        second.advance(Span::from_secs(seconds));
        of_targets(&second, &handle, &[("a:1", 95.0)]).await;
        assert_eq!(second.events(&[Alert::RESOLVED]).len(), resolved, "{seconds}");
    }
}

#[tokio::test]
async fn a_subquery_without_a_step_means_the_same_in_a_rule_and_in_a_backtest_whatever_the_interval_of_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let alert = json!({"alert": "Three", "expr": "count_over_time(cpu[3m:]) == 3"});
    let rules = json!([{"record": "count", "expr": "count_over_time(cpu[3m:])"}, alert]);
    let (bench, _tasks, handle) = bench(folder.path(), group(rules), START).await;
    sample(&bench, &handle, 1.0).await;
    bench.advance(Span::from_secs(4 * 60));
    evaluate(&bench, &handle).await;
    assert_eq!(values(&bench, "count"), [3.0], "a step is a minute");
    let (from, step) = (bench.now(), Some(Span::from_secs(15)));
    let request = BacktestRequest { alert: "Three".into(), group: None, rules: None, from, to: Some(from), step };
    assert_eq!(handle.backtest(request).await.unwrap().firings.len(), 1);
}
