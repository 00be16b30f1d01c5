use super::*;
use quarterdeck_model::label::Labels;

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn alert(fingerprint: &str, severity: Severity) -> AlertSummary {
    AlertSummary {
        fingerprint: fingerprint.into(),
        name: "disk".into(),
        severity,
        labels: Labels::new(),
        summary: "disk full".into(),
        active_at: at(0),
    }
}

fn incident() -> Incident {
    open("inc_1".into(), "disk".into(), "Disk".into(), Severity::Medium, "opened", at(0))
}

#[test]
fn it_resolves_when_the_last_member_has_ended() {
    let mut incident = incident();
    join(&mut incident, &alert("a", Severity::Medium), Severity::Medium, None, at(0));
    join(&mut incident, &alert("b", Severity::Low), Severity::Low, None, at(1));
    assert_eq!(ended(&mut incident, "a", at(2)), Some(Incident::UPDATED));
    assert_eq!(ended(&mut incident, "a", at(3)), None);
    assert_eq!(ended(&mut incident, "unknown", at(3)), None);
    assert_eq!(ended(&mut incident, "b", at(4)), Some(Incident::RESOLVED));
    assert_eq!((incident.resolved_at, incident.resolved_by.as_deref()), (Some(at(4)), Some(HOST)));
    assert_eq!(ended(&mut incident, "b", at(5)), None);
}

#[test]
fn a_member_that_fires_again_goes_on_in_the_same_incident() {
    let mut incident = incident();
    join(&mut incident, &alert("a", Severity::Medium), Severity::Medium, None, at(0));
    join(&mut incident, &alert("b", Severity::Medium), Severity::Medium, None, at(0));
    ended(&mut incident, "a", at(1));
    assert_eq!(
        join(&mut incident, &alert("a", Severity::Medium), Severity::Medium, None, at(2)),
        Some(Incident::UPDATED)
    );
    assert_eq!(ended(&mut incident, "b", at(3)), Some(Incident::UPDATED));
    assert_eq!(incident.members.len(), 2);
}

#[test]
fn the_severity_is_the_worst_that_was_and_what_is_not_new_is_not_told() {
    let mut incident = incident();
    join(&mut incident, &alert("a", Severity::Low), Severity::Low, Some("clean-up"), at(0));
    assert_eq!(incident.severity, Severity::Medium);
    assert_eq!(join(&mut incident, &alert("a", Severity::Low), Severity::Low, Some("clean-up"), at(1)), None);
    let worse = alert("a", Severity::Critical);
    assert_eq!(join(&mut incident, &worse, Severity::Critical, None, at(2)), Some(Incident::UPDATED));
    assert_eq!(incident.severity, Severity::Critical);
    assert_eq!(incident.runbooks, ["clean-up"]);
}

#[test]
fn acknowledging_and_resolving_twice_changes_nothing_more() {
    let mut incident = incident();
    assert_eq!(acknowledge(&mut incident, "ann", at(1)).unwrap(), Some(Incident::ACKNOWLEDGED));
    assert_eq!(acknowledge(&mut incident, "bob", at(2)).unwrap(), None);
    assert_eq!(incident.acknowledged_by.as_deref(), Some("ann"));
    assert_eq!(resolve(&mut incident, "bob", Some("false alarm"), at(3)), Some(Incident::RESOLVED));
    let after = incident.clone();
    assert_eq!(resolve(&mut incident, "ann", None, at(4)), None);
    assert_eq!(incident, after);
    assert!(matches!(acknowledge(&mut incident, "ann", at(5)), Err(Error::Conflict { .. })));
    assert_eq!(after.timeline.last().unwrap().text, "resolved: false alarm");
}

#[test]
fn the_time_line_of_an_alert_that_flaps_for_ever_is_bounded_and_keeps_its_beginning() {
    let mut incident = incident();
    join(&mut incident, &alert("b", Severity::Low), Severity::Low, None, at(0));
    for n in 0..10_000 {
        join(&mut incident, &alert("a", Severity::Low), Severity::Low, None, at(n));
        ended(&mut incident, "a", at(n));
    }
    assert_eq!(incident.timeline.len(), LONGEST_TIMELINE);
    assert_eq!(incident.timeline.first().unwrap().text, "opened");
}

#[test]
fn an_incident_is_full_at_some_point_and_those_that_ended_make_room() {
    let mut incident = incident();
    for n in 0..LARGEST {
        assert!(!is_full(&incident));
        join(&mut incident, &alert(&n.to_string(), Severity::Low), Severity::Low, None, at(0));
    }
    assert!(is_full(&incident));
    ended(&mut incident, "7", at(1));
    assert!(!is_full(&incident));
    join(&mut incident, &alert("new", Severity::Low), Severity::Low, None, at(2));
    assert_eq!(incident.members.len(), LARGEST);
    assert!(!has(&incident, "7") && has(&incident, "new"));
}

#[test]
fn a_correlator_sees_what_goes_on() {
    let mut incident = incident();
    join(&mut incident, &alert("a", Severity::Low), Severity::Low, None, at(0));
    join(&mut incident, &alert("b", Severity::Low), Severity::Low, None, at(0));
    ended(&mut incident, "a", at(1));
    let shown = as_open(&incident);
    assert_eq!(shown.alerts.iter().map(|alert| alert.fingerprint.as_str()).collect::<Vec<_>>(), ["b"]);
}
