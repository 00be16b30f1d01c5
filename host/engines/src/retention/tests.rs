use super::*;
use crate::testing::{Bench, Fake, START, plugin, until};
use quarterdeck_model::domain::Catalog;
use serde_json::{Value, json};
use std::path::Path;

const DAY: Span = Span::from_secs(86_400);

fn days(count: u64) -> Span {
    Span::from_millis(DAY.as_millis() * count)
}

fn at(day: u64) -> Timestamp {
    START.plus(days(day))
}

fn bench(folder: &Path, keep: Span, now: Timestamp) -> Bench {
    Bench::open(folder, &Fake::default(), Catalog { keep_ended: keep, ..Catalog::default() }, now)
}

async fn put(bench: &Bench, collection: &str, id: &str, value: Value) {
    bench.context.commit(Transition::new().put(collection, id, Expected::Any, value)).await.unwrap();
}

fn left(bench: &Bench, collection: &str) -> Vec<String> {
    bench.context.store.list(collection, &Page::all()).unwrap().into_iter().map(|document| document.id).collect()
}

/// All that follow end on the day that is given; `None`: they are open.
fn run(id: &str, cause: Option<&str>, end: Option<u64>) -> Value {
    let state = if end.is_some() { "succeeded" } else { "running" };
    json!({"id": id, "runbook": "r", "spec": {"title": "r", "steps": []}, "state": state, "dry_run": false, "inputs": {},
        "principal": "ann", "cause": cause, "started_at": START, "finished_at": end.map(at), "deadline": START, "steps": [],
        "error": null})
}

fn scan(id: &str, name: &str, end: Option<u64>) -> Value {
    let state = if end.is_some() { "succeeded" } else { "running" };
    json!({"id": id, "name": name, "state": state, "principal": "ann", "started_at": START, "finished_at": end.map(at),
        "files": 0, "urls": 0, "skipped": 0, "findings": {}, "new_findings": 0, "fixed_findings": 0, "rules": [], "errors": []})
}

fn finding(id: &str, scan: &str, end: Option<u64>) -> Value {
    let state = if end.is_some() { "fixed" } else { "open" };
    json!({"id": id, "scan": scan, "scan_name": "repo", "instance": "secrets/default", "rule": "r", "title": "t",
        "severity": "high", "message": "", "remediation": "", "subject": "/a", "line": 1, "column": 1, "cwe": null,
        "fingerprint": "f", "state": state, "resolved_at": end.map(at), "first_seen": START, "last_seen": START,
        "plugin": plugin()})
}

fn member(fingerprint: &str, active_at: Timestamp) -> Value {
    json!({"fingerprint": fingerprint, "name": "disk", "severity": "high", "labels": {}, "summary": "", "active_at": active_at,
        "resolved_at": null})
}

fn incident(id: &str, members: Vec<Value>, end: Option<u64>) -> Value {
    let state = if end.is_some() { "resolved" } else { "open" };
    json!({"id": id, "key": "k", "title": "t", "state": state, "severity": "high", "opened_at": START,
        "acknowledged_at": null, "acknowledged_by": null, "resolved_at": end.map(at), "resolved_by": null,
        "members": members, "timeline": [], "runbooks": []})
}

fn deployment(id: &str, service: &str, end: Option<u64>) -> Value {
    let state = if end.is_some() { "succeeded" } else { "paused" };
    json!({"id": id, "service": service, "spec": {"target": "t/t", "strategy": "s/s"}, "stable": "v1", "candidate": "v2",
        "state": state, "principal": "ann", "started_at": START, "finished_at": end.map(at), "deadline": START,
        "weight": 100, "replicas": [], "baseline": [], "baseline_at": START, "moves": [], "in_flight": [],
        "promoted": false, "strategy_state": null, "next_look": START, "started_replicas": 0, "error": null})
}

fn alert(fingerprint: &str, state: &str) -> Value {
    json!({"fingerprint": fingerprint, "rule": "disk", "state": state, "severity": "high", "labels": {}, "summary": "",
        "reason": "", "value": 1.0, "active_at": START, "fired_at": START, "resolved_at": null, "missing_since": null,
        "no_data": false, "last_evaluated": START, "plugin": null})
}

/// On day 100, with 90 days: what ended on day 5 goes, unless it is needed, and what ended on day 20 stays.
async fn fill(bench: &Bench) {
    let known = finding_fingerprint("repo/known");
    for (collection, id, value) in [
        (Alert::COLLECTION, "firing", alert("firing", "firing")),
        (Alert::COLLECTION, "over", alert("over", "resolved")),
        (Run::COLLECTION, "run_1", run("run_1", None, Some(5))),
        (Run::COLLECTION, "run_2", run("run_2", None, Some(20))),
        (Run::COLLECTION, "run_3", run("run_3", Some("inc_3"), None)),
        (Run::COLLECTION, "run_4", run("run_4", Some("inc_5"), Some(5))),
        (Run::COLLECTION, "run_5", run("run_5", Some("inc_1"), Some(5))),
        (Incident::COLLECTION, "inc_1", incident("inc_1", vec![member("over", START)], Some(5))),
        (Incident::COLLECTION, "inc_2", incident("inc_2", vec![member("firing", START)], Some(5))),
        (Incident::COLLECTION, "inc_3", incident("inc_3", vec![], Some(5))),
        (Incident::COLLECTION, "inc_4", incident("inc_4", vec![], Some(20))),
        (Incident::COLLECTION, "inc_5", incident("inc_5", vec![member(&known, START)], None)),
        (Incident::COLLECTION, "inc_6", incident("inc_6", vec![member("firing", at(1))], Some(5))),
        (Scan::COLLECTION, "scan_1", scan("scan_1", "repo", Some(5))),
        (Scan::COLLECTION, "scan_2", scan("scan_2", "repo", Some(5))),
        (Scan::COLLECTION, "scan_3", scan("scan_3", "repo", Some(5))),
        (Scan::COLLECTION, "scan_4", scan("scan_4", "other", None)),
        (Finding::COLLECTION, "repo/fixed", finding("repo/fixed", "scan_1", Some(5))),
        (Finding::COLLECTION, "repo/known", finding("repo/known", "scan_1", Some(5))),
        (Finding::COLLECTION, "repo/late", finding("repo/late", "scan_1", Some(20))),
        (Finding::COLLECTION, "repo/open", finding("repo/open", "scan_2", None)),
        (Deployment::COLLECTION, "dep_1", deployment("dep_1", "web", Some(5))),
        (Deployment::COLLECTION, "dep_2", deployment("dep_2", "web", Some(5))),
        (Deployment::COLLECTION, "dep_3", deployment("dep_3", "shop", None)),
        (DEAD_LETTERS, "old", json!({"kind": "event", "at": at(5)})),
        (DEAD_LETTERS, "young", json!({"kind": "event", "at": at(20)})),
        (DEAD_LETTERS, "odd", json!({"kind": "event"})),
    ] {
        put(bench, collection, id, value).await;
    }
}

#[tokio::test]
async fn what_ended_long_ago_goes_and_what_is_open_or_needed_stays() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), days(90), at(100));
    fill(&bench).await;
    sweep(&bench.context).await.unwrap();
    assert_eq!(left(&bench, Run::COLLECTION), ["run_2", "run_3", "run_4"]);
    assert_eq!(left(&bench, Incident::COLLECTION), ["inc_2", "inc_3", "inc_4", "inc_5"]);
    assert_eq!(left(&bench, Scan::COLLECTION), ["scan_2", "scan_3", "scan_4"]);
    assert_eq!(left(&bench, Finding::COLLECTION), ["repo/known", "repo/late", "repo/open"]);
    assert_eq!(left(&bench, Deployment::COLLECTION), ["dep_2", "dep_3"]);
    assert_eq!(left(&bench, DEAD_LETTERS), ["odd", "young"]);
    assert_eq!(left(&bench, Alert::COLLECTION).len(), 2, "alerts are for their rules to forget");
    // What was needed by what has ended since goes as well, and so does what has become old.
    put(&bench, Run::COLLECTION, "run_3", run("run_3", Some("inc_3"), Some(100))).await;
    bench.advance(days(15));
    sweep(&bench.context).await.unwrap();
    assert_eq!(left(&bench, Run::COLLECTION), ["run_3", "run_4"]);
    assert_eq!(left(&bench, Incident::COLLECTION), ["inc_2", "inc_5"]);
    assert_eq!(left(&bench, DEAD_LETTERS), ["odd"]);
}

#[tokio::test]
async fn an_input_whose_letter_goes_is_offered_again_and_one_whose_letter_stays_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let catalog = Catalog { keep_ended: days(90), ..Catalog::default() };
    let bench = Bench::open(folder.path(), &fake, catalog, at(100));
    for (id, class, day) in [("input.a", "old.txt", 5), ("input.b", "young.txt", 20)] {
        let letter =
            json!({"kind": "input", "at": at(day), "instance": "rule/one", "class": class, "digest": id, "reason": ""});
        put(&bench, DEAD_LETTERS, id, letter).await;
    }
    sweep(&bench.context).await.unwrap();
    assert_eq!(left(&bench, DEAD_LETTERS), ["input.b"]);
    let released = fake.with(|fake| fake.released.clone());
    assert_eq!(released, [("rule/one".into(), "old.txt".to_owned(), "input.a".to_owned())]);
}

#[tokio::test]
async fn zero_keeps_everything_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), Span::ZERO, at(10_000));
    fill(&bench).await;
    sweep(&bench.context).await.unwrap();
    assert_eq!((left(&bench, Run::COLLECTION).len(), left(&bench, Incident::COLLECTION).len()), (5, 6));
}

#[tokio::test]
async fn a_job_does_it_by_itself_and_many_go_in_several_steps() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), days(90), START);
    let mut tasks = Tasks::default();
    start(&bench.context, &mut tasks);
    let mut transition = Transition::new();
    for number in 0..STEP * 2 + 50 {
        let id = format!("run_{number:04}");
        transition = transition.put(Run::COLLECTION, &id, Expected::Any, run(&id, None, Some(0)));
    }
    bench.context.commit(transition).await.unwrap();
    let ran = || bench.context.scheduler.get(JOB).is_some_and(|job| job.runs > 0 && job.running == 0);
    until("the first run", ran).await;
    assert_eq!(left(&bench, Run::COLLECTION).len(), STEP * 2 + 50);
    bench.advance(days(91));
    until("the end of them", || {
        bench.advance(EVERY);
        left(&bench, Run::COLLECTION).is_empty()
    })
    .await;
}
