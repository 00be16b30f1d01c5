//! One incident, as a state machine: what joins it, what ends in it, what people do to it.
//!
//! It is open, acknowledged or resolved, and resolved for good: an alert that fires again afterwards opens another one. It resolves
//! by itself when all of its members have ended. Everything that happens is an entry of its time line.

use crate::Error;
use quarterdeck_model::domain::incident::{Incident, IncidentState, Member, TimelineEntry};
use quarterdeck_model::id::IncidentId;
use quarterdeck_model::kind::correlator::{AlertSummary, OpenIncident};
use quarterdeck_model::label::Labels;
use quarterdeck_model::{Severity, Timestamp};

pub const HOST: &str = "host";
/// A time line keeps its beginning and this many entries; an alert that flaps for a week must not make a document of megabytes.
const LONGEST_TIMELINE: usize = 500;

/// Members that go on at once. Each change writes the whole document, so that one for ten thousand alerts would write a
/// hundred gigabytes; a full incident is not offered to correlators any more, and another one opens.
pub const LARGEST: usize = 200;

/// What to tell of a change: the type of the event.
pub type Told = &'static str;

pub fn open(id: IncidentId, key: String, title: String, severity: Severity, note: &str, now: Timestamp) -> Incident {
    Incident {
        id,
        key,
        title,
        state: IncidentState::Open,
        severity,
        opened_at: now,
        acknowledged_at: None,
        acknowledged_by: None,
        resolved_at: None,
        resolved_by: None,
        members: Vec::new(),
        timeline: vec![TimelineEntry { at: now, principal: HOST.to_owned(), text: note.to_owned() }],
        runbooks: Vec::new(),
    }
}

/// What all of its members have in common.
pub fn labels(incident: &Incident) -> Labels {
    let mut members = incident.members.iter().map(|member| &member.alert.labels);
    let Some(first) = members.next() else { return Labels::new() };
    let mut common = first.clone();
    for labels in members {
        common.0.retain(|name, value| labels.get(name) == Some(value.as_str()));
    }
    common
}

pub fn is_open(incident: &Incident) -> bool {
    incident.state != IncidentState::Resolved
}

/// Whether the alert belongs to it, ended or not.
pub fn has(incident: &Incident, fingerprint: &str) -> bool {
    incident.members.iter().any(|member| member.alert.fingerprint == fingerprint)
}

/// Whether it takes no more members.
pub fn is_full(incident: &Incident) -> bool {
    incident.members.iter().filter(|member| member.resolved_at.is_none()).count() >= LARGEST
}

/// The alert joins, or says something new about itself. The severity becomes the worse one. `None`: nothing is new.
pub fn join(
    incident: &mut Incident,
    alert: &AlertSummary,
    severity: Severity,
    runbook: Option<&str>,
    now: Timestamp,
) -> Option<Told> {
    let mut changed = false;
    match incident.members.iter_mut().find(|member| member.alert.fingerprint == alert.fingerprint) {
        Some(member) if member.alert == *alert && member.resolved_at.is_none() => {}
        Some(member) => {
            let again = member.resolved_at.take().is_some();
            let text = if again { "fires again" } else { "is now" };
            let text = format!("{} {text}: {} ({})", alert.name, alert.summary, alert.severity);
            member.alert = alert.clone();
            note(incident, HOST, text, now);
            changed = true;
        }
        None => {
            // Those that have ended make room; the time line remembers them.
            let ended = incident.members.iter().position(|member| member.resolved_at.is_some());
            if let Some(ended) = ended.filter(|_| incident.members.len() >= LARGEST) {
                incident.members.remove(ended);
            }
            incident.members.push(Member { alert: alert.clone(), resolved_at: None });
            note(incident, HOST, format!("{} joined: {} ({})", alert.name, alert.summary, alert.severity), now);
            changed = true;
        }
    }
    let worst = incident.severity.worse(severity);
    if worst != incident.severity {
        note(incident, HOST, format!("severity {} became {worst}", incident.severity), now);
        incident.severity = worst;
        changed = true;
    }
    if let Some(runbook) = runbook
        && !incident.runbooks.iter().any(|known| known == runbook)
    {
        incident.runbooks.push(runbook.to_owned());
        changed = true;
    }
    changed.then_some(Incident::UPDATED)
}

/// A member ended by itself. With the last one the incident resolves.
pub fn ended(incident: &mut Incident, fingerprint: &str, now: Timestamp) -> Option<Told> {
    if !is_open(incident) {
        return None;
    }
    let member = incident
        .members
        .iter_mut()
        .find(|member| member.alert.fingerprint == fingerprint && member.resolved_at.is_none())?;
    member.resolved_at = Some(now);
    let text = format!("{} ended", member.alert.name);
    note(incident, HOST, text, now);
    if incident.members.iter().any(|member| member.resolved_at.is_none()) {
        return Some(Incident::UPDATED);
    }
    close(incident, HOST, "resolved: everything in it has ended".to_owned(), now);
    Some(Incident::RESOLVED)
}

/// Someone works on it. A second time changes nothing.
///
/// # Errors
/// [`Error::Conflict`] if it is resolved.
pub fn acknowledge(incident: &mut Incident, principal: &str, now: Timestamp) -> Result<Option<Told>, Error> {
    match incident.state {
        IncidentState::Resolved => Err(Error::conflict("the incident is resolved already")),
        IncidentState::Acknowledged => Ok(None),
        IncidentState::Open => {
            incident.state = IncidentState::Acknowledged;
            incident.acknowledged_at = Some(now);
            incident.acknowledged_by = Some(principal.to_owned());
            note(incident, principal, "acknowledged".to_owned(), now);
            Ok(Some(Incident::ACKNOWLEDGED))
        }
    }
}

/// Someone says that it is over. A second time changes nothing.
pub fn resolve(incident: &mut Incident, principal: &str, remark: Option<&str>, now: Timestamp) -> Option<Told> {
    if !is_open(incident) {
        return None;
    }
    let text = remark.map_or("resolved".to_owned(), |remark| format!("resolved: {remark}"));
    close(incident, principal, text, now);
    Some(Incident::RESOLVED)
}

/// Someone writes something down.
pub fn remark(incident: &mut Incident, principal: &str, text: &str, now: Timestamp) -> Told {
    note(incident, principal, text.to_owned(), now);
    Incident::UPDATED
}

/// As correlators see it: members that have ended are not shown.
pub fn as_open(incident: &Incident) -> OpenIncident {
    let going_on = incident.members.iter().filter(|member| member.resolved_at.is_none());
    OpenIncident {
        id: incident.id.0.clone(),
        key: incident.key.clone(),
        severity: incident.severity,
        opened_at: incident.opened_at,
        alerts: going_on.map(|member| member.alert.clone()).collect(),
    }
}

fn close(incident: &mut Incident, principal: &str, text: String, now: Timestamp) {
    incident.state = IncidentState::Resolved;
    incident.resolved_at = Some(now);
    incident.resolved_by = Some(principal.to_owned());
    note(incident, principal, text, now);
}

fn note(incident: &mut Incident, principal: &str, text: String, now: Timestamp) {
    if incident.timeline.len() >= LONGEST_TIMELINE {
        incident.timeline.remove(1);
    }
    incident.timeline.push(TimelineEntry { at: now, principal: principal.to_owned(), text });
}

#[cfg(test)]
mod tests;
