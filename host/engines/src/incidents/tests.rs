use super::*;
use crate::testing::{Bench, Fake, START, until};
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::incident::IncidentState;
use quarterdeck_model::event::Offset;
use quarterdeck_model::kind::correlator::Placement;
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::{CallError, Kind};
use quarterdeck_model::transition::Expected;
use quarterdeck_model::{Severity, Span, Timestamp};
use std::path::Path;

async fn bench(folder: &Path, fake: &Fake, now: Timestamp) -> (Bench, Tasks, Handle) {
    let bench = Bench::open(folder, fake, Default::default(), now);
    fake.add_instance(bench.context.catalog().correlation.correlator.as_str(), Kind::Correlator);
    let mut tasks = Tasks::default();
    let handle = start(&bench.context, &mut tasks).await.unwrap();
    (bench, tasks, handle)
}

/// Joins what is open, else opens.
fn one_for_all() -> Fake {
    let fake = Fake::default();
    fake.with(|fake| {
        fake.correlate = Some(Box::new(|alert, open| {
            Ok(match open.first() {
                Some(first) => Placement::Join { incident: first.id.clone(), severity: alert.severity },
                None => Placement::Open { key: "all".into(), title: alert.summary.clone(), severity: alert.severity },
            })
        }));
    });
    fake
}

fn alert(name: &str, severity: Severity) -> Alert {
    let labels = Labels::new().with("alertname", name);
    Alert {
        fingerprint: labels.fingerprint(),
        rule: name.into(),
        group: None,
        annotations: Labels::new(),
        state: AlertState::Firing,
        severity,
        metric: None,
        target: None,
        labels,
        summary: format!("{name} is bad"),
        reason: String::new(),
        value: 1.0,
        active_at: START,
        fired_at: Some(START),
        resolved_at: None,
        missing_since: None,
        no_data: false,
        blind: None,
        source: Labels::new(),
        last_evaluated: START,
        plugin: None,
        acknowledged_by: None,
        runbook: Some("help".into()),
        posted: None,
    }
}

async fn publish(bench: &Bench, event_type: &str, alert: &Alert) -> Offset {
    let event = bench.context.event(event_type, &alert.fingerprint).data(to_value(alert).unwrap());
    bench.context.commit(Transition::new().event(event)).await.unwrap().offset
}

#[tokio::test]
async fn alerts_open_join_and_close_an_incident() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &one_for_all(), START).await;
    let (disk, cpu) = (alert("disk", Severity::Medium), alert("cpu", Severity::Critical));
    publish(&bench, Alert::FIRING, &disk).await;
    let opened = bench.event(Incident::OPENED, None, Offset(0)).await;
    assert_eq!(opened.event.plugin, Some(crate::testing::plugin()));
    assert!(opened.event.causation.is_some());
    publish(&bench, Alert::FIRING, &cpu).await;
    bench.event(Incident::UPDATED, None, Offset(0)).await;
    let incident = handle.open().unwrap().remove(0);
    assert_eq!((incident.members.len(), incident.severity), (2, Severity::Critical));
    assert_eq!(incident.runbooks, ["help"]);
    publish(&bench, Alert::RESOLVED, &disk).await;
    publish(&bench, Alert::RESOLVED, &cpu).await;
    let resolved = bench.event(Incident::RESOLVED, Some(incident.id.as_str()), Offset(0)).await;
    assert_eq!(resolved.event.data["resolved_by"], "host");
    assert!(handle.open().unwrap().is_empty());
}

#[tokio::test]
async fn a_storm_that_no_correlator_is_asked_about_opens_one_incident_for_each_alert_and_closes_those_that_end_within_it()
 {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path(), &Fake::default(), Default::default(), START);
    // Before anybody reads them, so that they come together: each fires twice, and the last ends as well and fires anew.
    let alerts: Vec<Alert> = (0..100).map(|n| alert(&format!("a{n}"), Severity::High)).collect();
    for alert in alerts.iter().chain(&alerts) {
        publish(&bench, Alert::FIRING, alert).await;
    }
    let last = &alerts[99];
    publish(&bench, Alert::RESOLVED, last).await;
    bench.context.commit(Transition::new().event(bench.context.event(Alert::FIRING, "broken"))).await.unwrap();
    publish(&bench, Alert::FIRING, last).await;
    let mut tasks = Tasks::default();
    let handle = start(&bench.context, &mut tasks).await.unwrap();
    until("all of them", || bench.events(&[Incident::OPENED]).len() == 101).await;
    let open = handle.open().unwrap();
    let mut of: Vec<&str> = open.iter().map(|incident| incident.members[0].alert.fingerprint.as_str()).collect();
    of.sort_unstable();
    let mut expected: Vec<&str> = alerts.iter().map(|alert| alert.fingerprint.as_str()).collect();
    expected.sort_unstable();
    assert_eq!(of, expected);
    assert_eq!(bench.events(&[Incident::RESOLVED]).len(), 1);
    assert!(open.iter().all(|incident| incident.members.len() == 1));
}

#[tokio::test]
async fn what_is_less_severe_than_the_minimum_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &one_for_all(), START).await;
    publish(&bench, Alert::FIRING, &alert("low", Severity::Low)).await;
    publish(&bench, Alert::FIRING, &alert("medium", Severity::Medium)).await;
    bench.event(Incident::OPENED, None, Offset(0)).await;
    let open = handle.open().unwrap();
    assert_eq!(open.iter().map(|incident| incident.title.as_str()).collect::<Vec<_>>(), ["medium is bad"]);
}

#[tokio::test]
async fn a_person_acknowledges_and_resolves_and_an_alert_that_fires_anew_opens_another() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &one_for_all(), START).await;
    let disk = alert("disk", Severity::High);
    publish(&bench, Alert::FIRING, &disk).await;
    let first = bench.event(Incident::OPENED, None, Offset(0)).await;
    let id = first.event.subject.clone();
    let acknowledged = handle.acknowledge(&id, "ann").await.unwrap();
    assert_eq!(acknowledged.state, IncidentState::Acknowledged);
    handle.resolve(&id, "ann", Some("rebooted")).await.unwrap();
    handle.resolve(&id, "ann", None).await.unwrap();
    assert!(matches!(handle.acknowledge(&id, "ann").await, Err(Error::Conflict { .. })));
    assert!(matches!(handle.resolve("inc_none", "ann", None).await, Err(Error::NotFound { .. })));
    let resolved = bench.events(&[Incident::RESOLVED]);
    assert_eq!(resolved.len(), 1);
    assert_eq!(resolved.first().unwrap().principal, "ann");
    let offset = publish(&bench, Alert::FIRING, &disk).await;
    let second = bench.event(Incident::OPENED, None, offset).await;
    assert_ne!(second.event.subject, id);
}

#[tokio::test]
async fn a_broken_correlator_costs_the_correlation_and_not_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    fake.with(|fake| fake.correlate = Some(Box::new(|_, _| Err(CallError::Trapped { reason: "unreachable".into() }))));
    let (bench, _tasks, handle) = bench(folder.path(), &fake, START).await;
    publish(&bench, Alert::FIRING, &alert("disk", Severity::High)).await;
    publish(&bench, Alert::FIRING, &alert("cpu", Severity::High)).await;
    let first = bench.event(Incident::OPENED, None, Offset(0)).await;
    assert_eq!(first.event.plugin, Some(crate::testing::plugin()), "the one that failed");
    bench.event(Incident::OPENED, None, first.offset).await;
    let open = handle.open().unwrap();
    assert_eq!(open.len(), 2);
    assert!(open[0].timeline[0].text.starts_with("opened without correlation: the plugin trapped"));
    // A correlator that is mended is asked again.
    fake.with(|fake| {
        fake.correlate = Some(Box::new(|_, _| Ok(Placement::Ignore { reason: "known".into() })));
    });
    publish(&bench, Alert::FIRING, &alert("memory", Severity::High)).await;
    bench.event("incident.ignored", None, Offset(0)).await;
    assert_eq!(handle.open().unwrap().len(), 2);
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_by_kills_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let fake = one_for_all();
    let names: Vec<_> = (0..40).map(|n| format!("alert-{n}")).collect();
    let mut now = START;
    for names in names.chunks(8) {
        let (bench, tasks, _) = bench(folder.path(), &fake, now).await;
        for name in names {
            publish(&bench, Alert::FIRING, &alert(name, Severity::High)).await;
        }
        drop(tasks);
        bench.kill().await;
        now = now.plus(Span::from_secs(10));
    }
    let (bench, _tasks, handle) = bench(folder.path(), &fake, now).await;
    until("all alerts in one incident", || {
        let open = handle.open().unwrap();
        open.len() == 1 && open[0].members.len() == names.len()
    })
    .await;
    // The last event is there a moment after the document.
    until("an event for each", || bench.events(&[Incident::UPDATED]).len() >= names.len() - 1).await;
    assert_eq!(bench.events(&[Incident::UPDATED]).len(), names.len() - 1);
    assert_eq!(bench.events(&[Incident::OPENED]).len(), 1);
}

#[tokio::test]
async fn a_deployment_that_did_not_succeed_is_an_incident_until_one_of_its_service_does() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &one_for_all(), START).await;
    let finish = async |service: &str, state: &str| {
        let data = serde_json::json!({"service": service, "candidate": "v2", "stable": "v1", "state": state, "weight": 0,
            "error": (state != "succeeded").then_some("20 % of the responses failed")});
        let event = bench.context.event("deployment.finished", "dep_1").data(data);
        bench.context.commit(Transition::new().event(event)).await.unwrap();
    };
    finish("web", "succeeded").await;
    finish("web", "rolled-back").await;
    let opened = bench.event(Incident::OPENED, None, Offset(0)).await;
    assert_eq!(opened.event.data["severity"], "medium");
    assert_eq!(opened.event.data["labels"]["service"], "web", "what its members have in common");
    let summary = opened.event.data["members"][0]["summary"].as_str().unwrap();
    assert_eq!(summary, "deployment of web v2 was rolled back: 20 % of the responses failed");
    finish("web", "failed").await;
    bench.event(Incident::UPDATED, None, Offset(0)).await;
    assert_eq!(handle.open().unwrap()[0].severity, Severity::High);
    // Another service's success says nothing about this one.
    finish("shop", "succeeded").await;
    finish("web", "succeeded").await;
    bench.event(Incident::RESOLVED, None, Offset(0)).await;
    assert_eq!(bench.events(&[Incident::OPENED, Incident::RESOLVED]).len(), 2);
}

#[tokio::test]
async fn what_a_person_resolved_is_opened_again_by_a_new_firing_and_not_by_news_of_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let (first, tasks, handle) = bench(folder.path(), &one_for_all(), START).await;
    let disk = alert("disk", Severity::Medium);
    publish(&first, Alert::FIRING, &disk).await;
    let id = first.event(Incident::OPENED, None, Offset(0)).await.event.subject.clone();
    handle.resolve(&id, "ann", Some("known")).await.unwrap();
    let worse = Alert { severity: Severity::Critical, ..disk.clone() };
    publish(&first, "alert.updated", &worse).await;
    // What comes behind it has been looked at when it opens an incident.
    publish(&first, Alert::FIRING, &alert("cpu", Severity::High)).await;
    until("the other incident", || handle.open().unwrap().len() == 1).await;
    assert_eq!(handle.open().unwrap()[0].title, "cpu is bad");
    drop((tasks, handle));
    let now = first.now();
    first.kill().await;

    let (second, _tasks, handle) = bench(folder.path(), &one_for_all(), now).await;
    publish(&second, "alert.updated", &worse).await;
    publish(&second, Alert::RESOLVED, &worse).await;
    let again = Alert { active_at: START.plus(Span::from_secs(60)), ..disk.clone() };
    publish(&second, Alert::FIRING, &again).await;
    until("the new firing", || {
        let open = handle.open().unwrap();
        open.len() == 1 && incident::has(&open[0], &disk.fingerprint)
    })
    .await;
    let timeline = handle.open().unwrap().remove(0).timeline;
    assert_eq!(
        timeline.last().unwrap().text,
        "disk joined: disk is bad (medium)",
        "the news of the old firing is not in it"
    );
}

#[tokio::test]
async fn an_alert_that_becomes_severe_enough_opens_an_incident() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &one_for_all(), START).await;
    let low = alert("disk", Severity::Low);
    publish(&bench, Alert::FIRING, &low).await;
    publish(&bench, "alert.updated", &Alert { severity: Severity::High, ..low }).await;
    bench.event(Incident::OPENED, None, Offset(0)).await;
    assert_eq!(handle.open().unwrap()[0].severity, Severity::High);
}

#[tokio::test]
async fn a_finding_opens_an_incident_that_resolves_when_it_is_fixed() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &one_for_all(), START).await;
    let data = serde_json::json!({
        "id": "repo/secrets/default/f1", "scan": "scan_1", "scan_name": "repo", "instance": "secrets/default",
        "rule": "secrets/aws-access-key", "title": "An AWS access key", "severity": "critical", "message": "AKIA...",
        "remediation": "rotate it", "subject": "/etc/app.env", "line": 3, "column": 1, "cwe": 798, "fingerprint": "f1",
        "state": "open", "first_seen": START, "last_seen": START, "plugin": crate::testing::plugin(),
    });
    let tell = async |event_type: &str| {
        let event = bench.context.event(event_type, "repo/secrets/default/f1").data(data.clone());
        bench.context.commit(Transition::new().event(event)).await.unwrap();
    };
    tell("finding.opened").await;
    bench.event(Incident::OPENED, None, Offset(0)).await;
    let incident = handle.open().unwrap().remove(0);
    assert_eq!((incident.title.as_str(), incident.severity), ("An AWS access key in /etc/app.env", Severity::Critical));
    let member = &incident.members[0].alert;
    assert_eq!((member.labels.get("scan"), member.labels.get("subject")), (Some("repo"), Some("/etc/app.env")));
    tell("finding.fixed").await;
    bench.event(Incident::RESOLVED, Some(incident.id.as_str()), Offset(0)).await;
}

#[tokio::test]
async fn a_breached_objective_opens_an_incident_that_resolves_when_it_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _tasks, handle) = bench(folder.path(), &one_for_all(), START).await;
    let data = serde_json::json!({
        "name": "shop", "state": "breached",
        "spec": {"calculator": "availability/default", "select": {"metric": "up"}, "severity": "critical", "labels": {"team": "a"}},
        "attainment": {"adjusted": {"good": 9.0, "total": 10.0, "attained": 0.9},
            "raw": {"good": 9.0, "total": 10.0, "attained": 0.9}, "met": false, "budget_left": -99.0},
        "from": START, "to": START, "calculated_at": START, "plugin": null, "error": null,
    });
    let tell = async |event_type: &str| {
        let event = bench.context.event(event_type, "shop").data(data.clone());
        bench.context.commit(Transition::new().event(event)).await.unwrap();
    };
    tell("slo.breached").await;
    bench.event(Incident::OPENED, None, Offset(0)).await;
    let incident = handle.open().unwrap().remove(0);
    assert_eq!(incident.title, "objective shop is missed: attained 0.900000");
    let labels = &incident.members[0].alert.labels;
    assert_eq!(
        (incident.severity, labels.get("slo"), labels.get("team")),
        (Severity::Critical, Some("shop"), Some("a"))
    );
    tell("slo.recovered").await;
    bench.event(Incident::RESOLVED, Some(incident.id.as_str()), Offset(0)).await;
}

#[tokio::test]
async fn an_alert_of_one_incident_among_many_reads_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let bench = Bench::open(folder.path(), &fake, Default::default(), START);
    let mut tasks = Tasks::default();
    // Without a correlator each alert has its own.
    let handle = start(&bench.context, &mut tasks).await.unwrap();
    let alerts: Vec<_> = (0..50).map(|n| alert(&format!("a{n}"), Severity::Medium)).collect();
    let events = alerts
        .iter()
        .map(|alert| bench.context.event(Alert::FIRING, &alert.fingerprint).data(to_value(alert).unwrap()));
    bench.context.commit(events.fold(Transition::new(), Transition::event)).await.unwrap();
    until("all of them", || bench.events(&[Incident::OPENED]).len() == 50).await;
    let ids: Vec<_> = handle.open().unwrap().into_iter().map(|incident| incident.id).collect();
    // Each of the others can't be read any more.
    for id in ids.iter().skip(1) {
        let broken = Transition::new().put(Incident::COLLECTION, id.as_str(), Expected::Any, serde_json::json!(1));
        bench.context.commit(broken).await.unwrap();
    }
    publish(&bench, Alert::RESOLVED, &alerts[0]).await;
    bench.event(Incident::RESOLVED, Some(ids[0].as_str()), Offset(0)).await;
    publish(&bench, Alert::FIRING, &alert("new", Severity::Medium)).await;
    until("one more", || bench.events(&[Incident::OPENED]).len() == 51).await;
}
