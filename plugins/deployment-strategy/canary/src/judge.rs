//! What the counters say about the candidate.

use crate::Rules;
use quarterdeck_sdk::deployment_strategy::Analysis;

/// One look at the counters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Judgement {
    /// Good enough; the figures.
    Good(String),
    /// Too few responses to tell.
    Inconclusive(String),
    /// Fails too often; the figures.
    Bad(String),
}

/// 99 %, one-sided.
const Z_99: f64 = 2.326;

/// Judges the counters since the last change of weight.
pub(crate) fn judge(rules: &Rules, analysis: &Analysis) -> Judgement {
    let &Analysis { responses, failures, stable_responses, stable_failures, .. } = analysis;
    if responses < rules.min_responses.max(1) {
        return Judgement::Inconclusive(format!(
            "{responses} responses, {} are needed to tell",
            rules.min_responses.max(1)
        ));
    }
    let ratio = failures as f64 / responses as f64;
    let figures = format!("{failures} of {responses} responses failed ({:.1} %)", ratio * 100.0);
    if ratio > rules.max_failure_ratio {
        return Judgement::Bad(format!("{figures}, more than {:.1} %", rules.max_failure_ratio * 100.0));
    }
    if rules.compare_to_stable && stable_responses >= rules.min_responses.max(1) {
        let stable_ratio = stable_failures as f64 / stable_responses as f64;
        if worse(failures, responses, stable_failures, stable_responses) {
            return Judgement::Bad(format!("{figures}, against {:.1} % of the stable revision", stable_ratio * 100.0));
        }
    }
    Judgement::Good(figures)
}

/// Two-proportion z-test with pooled variance, one-sided: is the first ratio greater by more than chance?
fn worse(failures: u64, responses: u64, stable_failures: u64, stable_responses: u64) -> bool {
    let (n, m) = (responses as f64, stable_responses as f64);
    let (p, q) = (failures as f64 / n, stable_failures as f64 / m);
    let pooled = (failures + stable_failures) as f64 / (n + m);
    let deviation = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
    deviation > 0.0 && (p - q) / deviation > Z_99
}
