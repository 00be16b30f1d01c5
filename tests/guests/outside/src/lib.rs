//! A plugin of every kind in one component, with nothing but the SDK's public face. Small, and each one really works.

use quarterdeck_sdk::collector::{Collection, Collector, Family, Health};
use quarterdeck_sdk::correlator::{Alert, Correlator, Incident, Placement};
use quarterdeck_sdk::deployment_strategy::{Decision, DeploymentStrategy, Move, Question};
use quarterdeck_sdk::deployment_target::{DeploymentTarget, Phase, Replica, Step};
use quarterdeck_sdk::detector::{Derived, Detector, Signal, Verdict, Window};
use quarterdeck_sdk::host::kv;
use quarterdeck_sdk::notifier::{Message, Notifier};
use quarterdeck_sdk::runbook_action::RunbookAction;
use quarterdeck_sdk::scanner_rule::{Finding, Interest, ScannerRule, Subject, SubjectKind};
use quarterdeck_sdk::sla_calculator::{self, Attainment, Figure, SlaCalculator};
use quarterdeck_sdk::{Capability, Failure, Outcome, Plugin, Severity, serde_json};

quarterdeck_sdk::config! {
    /// Nothing to configure.
    pub struct Config {}
}

quarterdeck_sdk::config! {
    /// Nothing to hand in.
    pub struct Inputs {}
}

/// All kinds.
pub struct Outside;

impl Plugin for Outside {
    type Config = Config;
    const NAME: &'static str = "outside";
    const VERSION: &'static str = "0.1.0";
    const SUMMARY: &'static str = "One of every kind, from outside the workspace";

    fn capabilities() -> Vec<Capability> {
        vec![Capability::required("kv", "remembers the replicas that it pretends to run")]
    }
}

impl Collector for Outside {
    fn collect(_: &Config, _: i64) -> Result<Collection, Failure> {
        Ok(Collection::new(Health::ok("fine")).with(Family::gauge("outside_value", "A constant").value(42.0)))
    }
}

impl Detector for Outside {
    fn evaluate(_: &Config, window: &Window, _: Option<&[u8]>) -> Result<Verdict, Failure> {
        let last = |values: &[f64]| values.last().copied().unwrap_or_default();
        let abnormal = window.series.iter().enumerate().filter(|(_, series)| last(&series.value) > 10.0);
        let signals = abnormal
            .map(|(index, series)| Signal {
                series: index,
                severity: Severity::High,
                value: last(&series.value),
                expected: Some(10.0),
                reason: "is above 10".into(),
            })
            .collect();
        let derived = Derived { series: 0, metric: "outside_bit".into(), value: 1.0 };
        Ok(Verdict { signals, derived: if window.series.is_empty() { Vec::new() } else { vec![derived] }, state: None })
    }
}

impl Correlator for Outside {
    fn correlate(_: &Config, alert: &Alert, open: &[Incident], _: i64) -> Result<Placement, Failure> {
        Ok(match open.first() {
            Some(incident) => Placement::Join { incident: incident.id.clone(), severity: alert.severity },
            None => Placement::Open { key: "everything".into(), title: alert.name.clone(), severity: alert.severity },
        })
    }
}

impl Notifier for Outside {
    fn notify(_: &Config, message: &Message, key: &str) -> Result<Outcome, Failure> {
        Ok(Outcome::done().with("told", message.title.clone()).with("key", key))
    }
}

impl RunbookAction for Outside {
    type Inputs = Inputs;

    fn plan(_: &Config, _: &Inputs) -> Result<Option<String>, Failure> {
        Ok(Some("does nothing".into()))
    }

    fn run(_: &Config, _: &Inputs, _: &str) -> Result<Outcome, Failure> {
        Ok(Outcome::done().with("answer", "42"))
    }
}

impl ScannerRule for Outside {
    fn interests(_: &Config) -> Result<Interest, Failure> {
        Ok(Interest { kinds: vec![SubjectKind::File], max_bytes: 1 << 20, ..Interest::default() })
    }

    fn scan(_: &Config, subjects: &[Subject]) -> Result<Vec<Finding>, Failure> {
        let empty = |subject: &Subject| matches!(subject, Subject::File(file) if file.content.is_empty());
        let findings = subjects.iter().enumerate().filter(|(_, subject)| empty(subject)).map(|(index, _)| Finding {
            subject: index,
            rule: "outside/empty-file".into(),
            title: "Empty file".into(),
            severity: Severity::Info,
            message: "the file is empty".into(),
            remediation: "remove it".into(),
            line: 0,
            column: 0,
            cwe: None,
            fingerprint: "empty".into(),
        });
        Ok(findings.collect())
    }
}

impl SlaCalculator for Outside {
    fn fold(_: &Config, window: &sla_calculator::Window, partial: Option<&[u8]>) -> Result<Vec<u8>, Failure> {
        let before = partial.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
        Ok((before + window.value.len() as u64).to_le_bytes().to_vec())
    }

    fn merge(_: &Config, a: &[u8], b: &[u8]) -> Result<Vec<u8>, Failure> {
        let read = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).map_err(|_| Failure::rejected("eight bytes"));
        Ok((read(a)? + read(b)?).to_le_bytes().to_vec())
    }

    fn finish(_: &Config, partial: &[u8]) -> Result<Attainment, Failure> {
        let count = partial.try_into().map(u64::from_le_bytes).map_err(|_| Failure::rejected("eight bytes"))? as f64;
        let figure = Figure { good: count, total: count, attained: (count > 0.0).then_some(1.0) };
        Ok(Attainment { adjusted: figure, raw: figure, met: (count > 0.0).then_some(true), budget_left: None })
    }
}

impl DeploymentStrategy for Outside {
    fn decide(_: &Config, question: &Question) -> Result<Decision, Failure> {
        let next = match question.state.as_deref() {
            None => Move::Start(question.deployment.replicas),
            Some(b"started") => Move::Weight(100),
            Some(_) => Move::Complete,
        };
        let state: &[u8] = if matches!(next, Move::Start(_)) { b"started" } else { b"weighed" };
        Ok(Decision { next, reason: "all at once".into(), state: Some(state.to_vec()) })
    }
}

fn replicas() -> Result<Vec<(String, String, u32)>, Failure> {
    let stored = kv::get("replicas")?.unwrap_or_else(|| b"[]".to_vec());
    serde_json::from_slice(&stored).map_err(|error| Failure::other(error.to_string()))
}

impl DeploymentTarget for Outside {
    fn observe(_: &Config, _: &str) -> Result<Vec<Replica>, Failure> {
        let seen = replicas()?.into_iter().map(|(name, revision, weight)| Replica {
            name,
            revision,
            phase: Phase::Healthy,
            weight,
            responses: 0,
            failures: 0,
            message: String::new(),
        });
        Ok(seen.collect())
    }

    fn apply(_: &Config, _: &str, step: &Step, _: &str) -> Result<Outcome, Failure> {
        let mut replicas = replicas()?;
        match step {
            Step::Start { replica, revision } => {
                if !replicas.iter().any(|(name, _, _)| name == replica) {
                    replicas.push((replica.clone(), revision.clone(), 0));
                }
            }
            Step::Weight { replica, weight } => {
                replicas.iter_mut().filter(|(name, _, _)| name == replica).for_each(|found| found.2 = *weight);
            }
            Step::Drain { .. } => {}
            Step::Stop { replica } => replicas.retain(|(name, _, _)| name != replica),
        }
        let bytes = serde_json::to_vec(&replicas).map_err(|error| Failure::other(error.to_string()))?;
        kv::set("replicas", &bytes)?;
        Ok(Outcome::done())
    }
}

quarterdeck_sdk::export!(
    Outside: collector, detector, scanner_rule, correlator, notifier, deployment_strategy, deployment_target, runbook_action,
    sla_calculator
);
