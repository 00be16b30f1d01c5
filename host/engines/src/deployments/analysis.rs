//! What both revisions did with their traffic since the last change of weight: counters now minus counters then.

use super::steps::{Side, side};
use quarterdeck_model::domain::deployment::Deployment;
use quarterdeck_model::kind::deployment_strategy::Analysis;
use quarterdeck_model::kind::deployment_target::Replica;

/// A replica that came up since counts from zero, and so does one whose counters were reset. What one that has vanished did
/// since the last look is not known and not counted.
pub(super) fn analyse(deployment: &Deployment) -> Analysis {
    let mut analysis =
        Analysis { since: deployment.baseline_at, responses: 0, failures: 0, stable_responses: 0, stable_failures: 0 };
    for replica in &deployment.replicas {
        let before = deployment.baseline.iter().find(|before| before.name == replica.name);
        let (responses, failures) = since(replica, before);
        match side(deployment, replica) {
            Side::Candidate => {
                analysis.responses = analysis.responses.saturating_add(responses);
                analysis.failures = analysis.failures.saturating_add(failures);
            }
            Side::Stable => {
                analysis.stable_responses = analysis.stable_responses.saturating_add(responses);
                analysis.stable_failures = analysis.stable_failures.saturating_add(failures);
            }
            Side::Stray => {}
        }
    }
    analysis
}

fn since(now: &Replica, before: Option<&Replica>) -> (u64, u64) {
    let reset = |before: &&Replica| now.responses < before.responses || now.failures < before.failures;
    let (responses, failures) = match before.filter(|before| !reset(before)) {
        Some(before) => (now.responses - before.responses, now.failures - before.failures),
        None => (now.responses, now.failures),
    };
    (responses, failures.min(responses))
}
