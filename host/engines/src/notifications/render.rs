//! From an event to the words that a person reads: a title that says it in one line, a body with what helps.

use super::route::{labels, severity};
use crate::monitoring::alerts::number;
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::incident::Incident;
use quarterdeck_model::domain::runbook::Run;
use quarterdeck_model::domain::scan::{Finding, Scan};
use quarterdeck_model::domain::slo::SloStatus;
use quarterdeck_model::event::Event;
use quarterdeck_model::kind::notifier::Message;
use serde::Deserialize;
use serde_json::Value;

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
        "scan" => Scan::deserialize(&event.data).ok().map(|scan| of_scan(&scan)),
        "run" => Run::deserialize(&event.data).ok().map(|run| of_run(&run)),
        "slo" => SloStatus::deserialize(&event.data).ok().map(|status| of_slo(&status, event)),
        "health" => Some(of_health(event)),
        "deployment" => Some(of_deployment(event)),
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

fn of_scan(scan: &Scan) -> Words {
    let found: u64 = scan.findings.values().sum();
    let title = format!(
        "[SCAN {}] {}: {found} findings, {} new, {} fixed",
        kebab(&scan.state).to_uppercase(),
        scan.name,
        scan.new_findings,
        scan.fixed_findings
    );
    let mut body = Body::default();
    for (severity, count) in &scan.findings {
        body.line(severity.as_str(), &count.to_string());
    }
    for error in &scan.errors {
        body.line("Error", error);
    }
    Words { title, body: body.0 }
}

fn of_run(run: &Run) -> Words {
    let title = format!("[RUN {}] {}", kebab(&run.state).to_uppercase(), run.runbook);
    let mut body = Body::default();
    body.line("Run", run.id.as_str());
    body.line("Started by", &run.principal);
    body.option("For", run.cause.as_deref());
    for step in &run.steps {
        let error = step.error.as_ref().map_or(String::new(), |error| format!(": {error}"));
        body.line("-", &format!("{} {}{error}", step.name, kebab(&step.state)));
    }
    body.option("Error", run.error.as_deref());
    Words { title, body: body.0 }
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
    let text = |name: &str| event.data.get(name).and_then(Value::as_str).unwrap_or_default();
    let (service, state) = (text("service"), text("state"));
    let what = if state.is_empty() { happened(event) } else { state };
    let name = if service.is_empty() { &event.subject } else { service };
    let mut body = Body::default();
    body.line("Deployment", &event.subject);
    for field in ["stable", "candidate", "reason", "error", "principal"] {
        body.line(field, text(field));
    }
    Words { title: format!("[DEPLOYMENT {}] {name}", what.to_uppercase()), body: body.0 }
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

/// A state as it is written in JSON.
fn kebab<T: serde::Serialize>(state: &T) -> String {
    serde_json::to_value(state).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
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
