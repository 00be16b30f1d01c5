//! From an event to the words that a person reads: a title that says it in one line, a body with what helps.

use super::route::{labels, severity};
use crate::monitoring::alerts::number;
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::incident::Incident;
use quarterdeck_model::domain::notification::Notification;
use quarterdeck_model::domain::scan::Finding;
use quarterdeck_model::domain::slo::SloStatus;
use quarterdeck_model::event::Event;
use quarterdeck_model::kind::deployment_strategy::Move;
use quarterdeck_model::kind::notifier::Message;
use quarterdeck_model::{Severity, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The message about an event. `public_url` has no slash at its end.
pub fn message(event: &Event, public_url: &str) -> Message {
    let words = words(event);
    Message {
        event_type: event.event_type.clone(),
        subject: event.subject.clone(),
        title: one_line(&words.title),
        body: words.body,
        severity: severity(event),
        labels: labels(event),
        at: event.time,
        url: url(event, public_url),
        data: event.data.clone(),
    }
}

struct Words {
    title: String,
    body: String,
}

fn words(event: &Event) -> Words {
    let known = match event.topic() {
        "alert" => Alert::deserialize(&event.data).ok().map(|alert| of_alert(&alert, event)),
        "incident" => Incident::deserialize(&event.data).ok().map(|incident| of_incident(&incident, event)),
        "finding" => Finding::deserialize(&event.data).ok().map(|finding| of_finding(&finding, event)),
        "scan" => of_scan(event),
        "run" => of_run(event),
        "slo" => SloStatus::deserialize(&event.data).ok().map(|status| of_slo(&status, event)),
        "health" => Some(of_health(event)),
        "deployment" => Some(of_deployment(event)),
        "notification" => Notification::deserialize(&event.data).ok().map(|failed| of_notification(&failed)),
        _ => None,
    };
    known.unwrap_or_else(|| of_anything(event))
}

fn of_alert(alert: &Alert, event: &Event) -> Words {
    let state = match alert.state {
        AlertState::Resolved => "RESOLVED".to_owned(),
        AlertState::Firing | AlertState::Pending => format!("{} {}", happened(event), alert.severity).to_uppercase(),
    };
    let mut body = Body::default();
    body.line("Reason", &alert.reason);
    body.line("Value", &number(alert.value));
    body.line("Labels", &alert.labels.to_string());
    body.line("Active since", &alert.active_at.to_string());
    body.time("Resolved at", alert.resolved_at);
    body.option("Acknowledged by", alert.acknowledged_by.as_deref());
    body.option("Runbook", alert.runbook.as_deref());
    Words { title: format!("[{state}] {}", alert.summary), body: body.0 }
}

fn of_incident(incident: &Incident, event: &Event) -> Words {
    let title = format!("[INCIDENT {}] {} ({})", happened(event).to_uppercase(), incident.title, incident.severity);
    let mut body = Body::default();
    body.line("Incident", incident.id.as_str());
    body.line("Opened at", &incident.opened_at.to_string());
    body.option("Acknowledged by", incident.acknowledged_by.as_deref());
    body.time("Resolved at", incident.resolved_at);
    body.option("Resolved by", incident.resolved_by.as_deref());
    for member in &incident.members {
        let ended = if member.resolved_at.is_some() { " (ended)" } else { "" };
        body.line("-", &format!("{}: {}{ended}", member.alert.name, member.alert.summary));
    }
    if let Some(last) = incident.timeline.last() {
        body.line("Last", &format!("{} {}: {}", last.at, last.principal, last.text));
    }
    for runbook in &incident.runbooks {
        body.line("Runbook", runbook);
    }
    Words { title, body: body.0 }
}

fn of_finding(finding: &Finding, event: &Event) -> Words {
    let title = format!(
        "[FINDING {}] {}: {} ({})",
        happened(event).to_uppercase(),
        finding.subject,
        finding.title,
        finding.severity
    );
    let mut body = Body::default();
    body.text(&finding.message);
    let place =
        if finding.line > 0 { format!("{}:{}", finding.subject, finding.line) } else { finding.subject.clone() };
    body.line("Where", &place);
    body.line("Rule", &finding.rule);
    body.option("CWE", finding.cwe.map(|cwe| cwe.to_string()).as_deref());
    body.line("Mend", &finding.remediation);
    Words { title, body: body.0 }
}

/// Events of scans carry a summary, and not the document.
fn of_scan(event: &Event) -> Option<Words> {
    let (name, number) =
        (field(event, "name")?, |name: &str| event.data.get(name).and_then(Value::as_u64).unwrap_or(0));
    let mut body = Body::default();
    body.line("Scan", &event.subject);
    let Some(state) = field(event, "state") else {
        return Some(Words { title: format!("[SCAN {}] {name}", happened(event).to_uppercase()), body: body.0 });
    };
    let counts: BTreeMap<Severity, u64> =
        event.data.get("findings").and_then(|counts| BTreeMap::deserialize(counts).ok()).unwrap_or_default();
    let (found, new, fixed) = (counts.values().sum::<u64>(), number("new_findings"), number("fixed_findings"));
    for (severity, count) in &counts {
        body.line(severity.as_str(), &count.to_string());
    }
    body.line("Looked at", &format!("{} files, {} pages", number("files"), number("urls")));
    for page in event.data.get("pages").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| page.get(name).and_then(Value::as_str).unwrap_or_default();
        body.line("Grade", &format!("{} {}", text("grade"), text("url")));
    }
    if number("errors") > 0 {
        body.line("Errors", &number("errors").to_string());
    }
    let title =
        format!("[SCAN {}] {name}: {}, {new} new, {fixed} fixed", state.to_uppercase(), count(found, "finding"));
    Some(Words { title, body: body.0 })
}

/// Events of runs carry a summary, and not the document.
fn of_run(event: &Event) -> Option<Words> {
    let runbook = field(event, "runbook")?;
    let dry = event.data.get("dry_run") == Some(&Value::Bool(true));
    let what = field(event, "state").unwrap_or(happened(event)).to_uppercase();
    let step = field(event, "step").map_or(String::new(), |step| format!(", step {step}"));
    let mut body = Body::default();
    body.line("Run", &event.subject);
    body.line("Started by", &event.principal);
    body.option("For", field(event, "cause"));
    body.option("Error", field(event, "error"));
    let title = format!("[{} {what}] {runbook}{step}", if dry { "DRY RUN" } else { "RUN" });
    Some(Words { title, body: body.0 })
}

fn of_slo(status: &SloStatus, event: &Event) -> Words {
    let title = format!("[SLO {}] {}", happened(event).to_uppercase(), status.name);
    let mut body = Body::default();
    body.text(&status.spec.description);
    let attainment = &status.attainment;
    body.option("Attained", attainment.adjusted.attained.map(|attained| format!("{attained:.6}")).as_deref());
    let percent = attainment.budget_left.map(|left| format!("{:.1} %", left * 100.0));
    body.option("Error budget left", percent.as_deref());
    body.line("Window", &format!("{} to {}", status.from, status.to));
    Words { title, body: body.0 }
}

fn of_health(event: &Event) -> Words {
    let text = |name: &str| event.data.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut body = Body::default();
    body.text(text("message"));
    Words { title: format!("[HEALTH] {} is {}", event.subject, text("state")), body: body.0 }
}

fn of_deployment(event: &Event) -> Words {
    let text = |name: &str| field(event, name).unwrap_or_default();
    let (service, candidate, stable) = (text("service"), text("candidate"), text("stable"));
    // What happened says more than the state that it led to, except at the end.
    let what = match (happened(event), text("state")) {
        ("finished", state) if !state.is_empty() => state,
        (happened, _) => happened,
    };
    let name = if service.is_empty() { &event.subject } else { service };
    let candidate_named = if candidate.is_empty() { String::new() } else { format!(" {candidate}") };
    let decided = event.data.get("move").and_then(of_move);
    let said = [decided.as_deref(), field(event, "reason"), field(event, "error")].into_iter().flatten().next();
    let said = said.map_or(String::new(), |said| format!(": {said}"));
    let mut body = Body::default();
    body.line("Deployment", &event.subject);
    body.line("From", stable);
    body.line("To", candidate);
    if let Some(weight) = event.data.get("weight").and_then(Value::as_u64) {
        body.line("Share of the traffic", &format!("{weight} %"));
    }
    for (title, name) in [("Reason", "reason"), ("Error", "error"), ("By", "by")] {
        body.option(title, field(event, name));
    }
    body.line("Started by", &event.principal);
    Words { title: format!("[DEPLOYMENT {}] {name}{candidate_named}{said}", what.to_uppercase()), body: body.0 }
}

/// One that was given up on: no other is told of.
fn of_notification(failed: &Notification) -> Words {
    let mut body = Body::default();
    body.line("Recipient", failed.instance.as_str());
    body.line("Event", &failed.event_type);
    body.line("About", &failed.subject);
    body.line("Attempts", &failed.attempts.to_string());
    body.option("Error", failed.error.as_deref());
    Words { title: format!("[NOT DELIVERED] {}: {}", failed.instance, failed.title), body: body.0 }
}

/// A strategy's move, in words.
fn of_move(decided: &Value) -> Option<String> {
    Some(match Move::deserialize(decided).ok()? {
        Move::Start { count: replicas } => format!("starts {}", count(u64::from(replicas), "replica")),
        Move::Weight { percent } => format!("gets {percent} % of the traffic"),
        Move::Retire { replicas } => format!("retires {}", replicas.join(", ")),
        Move::Hold { span } => format!("is looked at again after {span}"),
        Move::Pause { reason } => format!("waits for a person: {reason}"),
        Move::Complete => "is complete".to_owned(),
        Move::RollBack { reason } => format!("goes back: {reason}"),
    })
}

fn count(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A text of the event's data that is not empty.
fn field<'a>(event: &'a Event, name: &str) -> Option<&'a str> {
    event.data.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn of_anything(event: &Event) -> Words {
    let text = |name: &str| event.data.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let told = text("title").or_else(|| text("summary")).or_else(|| text("message"));
    let title = match told {
        Some(told) => format!("[{}] {told}", event.event_type),
        None => format!("[{}] {}", event.event_type, event.subject),
    };
    let mut body = Body::default();
    for (name, value) in event.data.as_object().into_iter().flatten() {
        match value {
            Value::String(text) => body.line(name, text),
            Value::Number(_) | Value::Bool(_) => body.line(name, &value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => {}
        }
    }
    Words { title, body: body.0 }
}

/// The page of the event's subject.
fn url(event: &Event, public_url: &str) -> String {
    let page = match event.topic() {
        "alert" => "alerts",
        "incident" => "incidents",
        "scan" => "scans",
        "run" => "runs",
        "deployment" => "deployments",
        "slo" => "slos",
        "notification" => return format!("{public_url}/api/v1/notifications"),
        // The ids of findings hold slashes: they have a list and no pages.
        "finding" => return format!("{public_url}/api/v1/findings"),
        _ => return format!("{public_url}/api/v1/events"),
    };
    format!("{public_url}/api/v1/{page}/{}", event.subject)
}

/// `opened` of `incident.opened`.
fn happened(event: &Event) -> &str {
    event.event_type.split_once('.').map_or("", |(_, what)| what)
}

/// A title has one line, and not too long a one: subjects of mails and lines of chats end there.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 200;
    let flat: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if flat.chars().count() <= LONGEST {
        return flat;
    }
    flat.chars().take(LONGEST - 1).chain(['…']).collect()
}

#[derive(Default)]
struct Body(String);

impl Body {
    fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.0.push_str(text);
            self.0.push('\n');
        }
    }

    fn line(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            let colon = if name == "-" { "" } else { ":" };
            self.text(&format!("{name}{colon} {value}"));
        }
    }

    fn option(&mut self, name: &str, value: Option<&str>) {
        self.line(name, value.unwrap_or_default());
    }

    fn time(&mut self, name: &str, at: Option<Timestamp>) {
        self.option(name, at.map(|at| at.to_string()).as_deref());
    }
}

#[cfg(test)]
mod tests;
