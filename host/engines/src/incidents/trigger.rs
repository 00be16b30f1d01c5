//! Which events begin or end something that belongs into an incident, and as what. Alerts, findings, breached objectives,
//! deployments that did not succeed and checks that nobody could mend all come to a correlator in the same shape.

use quarterdeck_model::domain::alert::Alert;
use quarterdeck_model::domain::check::Check;
use quarterdeck_model::domain::deployment::{Deployment, DeploymentState};
use quarterdeck_model::domain::scan::Finding;
use quarterdeck_model::domain::slo::SloStatus;
use quarterdeck_model::event::Event;
use quarterdeck_model::kind::correlator::AlertSummary;
use quarterdeck_model::label::Labels;
use quarterdeck_model::{Severity, Timestamp};
use serde::Deserialize;

/// The events that incidents listen to.
pub const EVENTS: [&str; 10] = [
    Alert::FIRING,
    "alert.updated",
    Alert::RESOLVED,
    Finding::OPENED,
    Finding::FIXED,
    SloStatus::BREACHED,
    SloStatus::RECOVERED,
    Deployment::FINISHED,
    Check::GIVEN_UP,
    Check::RECOVERED,
];

#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    Begins {
        alert: AlertSummary,
        runbook: Option<String>,
        /// It goes on, and something about it is new.
        goes_on: bool,
    },
    /// By fingerprint.
    Ends(String),
    /// Not for incidents.
    Nothing,
    /// Its data is not what its type promises.
    Malformed(String),
}

pub fn trigger(event: &Event) -> Trigger {
    match event.event_type.as_str() {
        Alert::FIRING | "alert.updated" => match Alert::deserialize(&event.data) {
            Ok(alert) => Trigger::Begins {
                runbook: alert.runbook.clone(),
                alert: of_alert(alert),
                goes_on: event.event_type != Alert::FIRING,
            },
            Err(error) => Trigger::Malformed(error.to_string()),
        },
        Alert::RESOLVED => Trigger::Ends(event.subject.clone()),
        Finding::OPENED => match Finding::deserialize(&event.data) {
            Ok(finding) => Trigger::Begins { alert: of_finding(&finding), runbook: None, goes_on: false },
            Err(error) => Trigger::Malformed(error.to_string()),
        },
        Finding::FIXED => Trigger::Ends(finding_fingerprint(&event.subject)),
        SloStatus::BREACHED => match SloStatus::deserialize(&event.data) {
            Ok(status) => Trigger::Begins { alert: of_slo(&status, event.time), runbook: None, goes_on: false },
            Err(error) => Trigger::Malformed(error.to_string()),
        },
        SloStatus::RECOVERED => Trigger::Ends(slo_labels(&event.subject).fingerprint()),
        Deployment::FINISHED => match Finished::deserialize(&event.data) {
            Ok(finished) => of_deployment(&finished, event),
            Err(error) => Trigger::Malformed(error.to_string()),
        },
        Check::GIVEN_UP => match GivenUp::deserialize(&event.data) {
            Ok(given_up) => {
                Trigger::Begins { alert: of_check(given_up, &event.subject, event.time), runbook: None, goes_on: false }
            }
            Err(error) => Trigger::Malformed(error.to_string()),
        },
        Check::RECOVERED => Trigger::Ends(check_labels(&event.subject).fingerprint()),
        _ => Trigger::Nothing,
    }
}

/// What a check says that nobody could mend.
#[derive(Deserialize)]
struct GivenUp {
    severity: Severity,
    title: String,
}

fn of_check(given_up: GivenUp, instance: &str, at: Timestamp) -> AlertSummary {
    let labels = check_labels(instance);
    AlertSummary {
        fingerprint: labels.fingerprint(),
        name: format!("check {instance}"),
        severity: given_up.severity,
        labels,
        summary: given_up.title,
        active_at: at,
    }
}

fn check_labels(instance: &str) -> Labels {
    Labels::new().with("alertname", "check").with("instance", instance)
}

/// What the end of a deployment says.
#[derive(Deserialize)]
struct Finished {
    service: String,
    candidate: String,
    state: DeploymentState,
    error: Option<String>,
}

/// One that did not succeed is over when a later one of the same service does.
fn of_deployment(finished: &Finished, event: &Event) -> Trigger {
    let labels = Labels::new().with("alertname", "deployment").with("service", &finished.service);
    let fingerprint = labels.fingerprint();
    let (severity, what) = match finished.state {
        DeploymentState::Failed => (Severity::High, "failed"),
        DeploymentState::RolledBack => (Severity::Medium, "was rolled back"),
        DeploymentState::Succeeded => return Trigger::Ends(fingerprint),
        DeploymentState::Progressing | DeploymentState::Paused | DeploymentState::RollingBack => {
            return Trigger::Nothing;
        }
    };
    let reason = finished.error.as_ref().map_or(String::new(), |error| format!(": {error}"));
    let summary = format!("deployment of {} {} {what}{reason}", finished.service, finished.candidate);
    let name = format!("deployment {}", finished.service);
    let alert = AlertSummary { fingerprint, name, severity, labels, summary, active_at: event.time };
    Trigger::Begins { alert, runbook: None, goes_on: false }
}

fn of_alert(alert: Alert) -> AlertSummary {
    AlertSummary {
        fingerprint: alert.fingerprint,
        name: alert.rule,
        severity: alert.severity,
        labels: alert.labels,
        summary: alert.summary,
        active_at: alert.active_at,
    }
}

fn of_finding(finding: &Finding) -> AlertSummary {
    AlertSummary {
        fingerprint: finding_fingerprint(&finding.id),
        name: finding.rule.clone(),
        severity: finding.severity,
        labels: Labels::new()
            .with("alertname", &finding.rule)
            .with("scan", &finding.scan_name)
            .with("subject", &finding.subject),
        summary: format!("{} in {}", finding.title, finding.subject),
        active_at: finding.first_seen,
    }
}

fn of_slo(status: &SloStatus, at: Timestamp) -> AlertSummary {
    let attained =
        status.attainment.adjusted.attained.map_or(String::new(), |attained| format!(": attained {attained:.6}"));
    AlertSummary {
        // By its name alone: its end is found also when its labels were changed meanwhile.
        fingerprint: slo_labels(&status.name).fingerprint(),
        name: format!("slo {}", status.name),
        severity: status.spec.severity,
        labels: status.labels(),
        summary: format!("objective {} is missed{attained}", status.name),
        active_at: at,
    }
}

pub(crate) fn finding_fingerprint(id: &str) -> String {
    Labels::new().with("finding", id).fingerprint()
}

fn slo_labels(name: &str) -> Labels {
    Labels::new().with("alertname", "slo").with("slo", name)
}
