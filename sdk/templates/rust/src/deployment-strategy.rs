//! What is the next move?

use quarterdeck_sdk::deployment_strategy::{Decision, DeploymentStrategy, Move, Question};
use quarterdeck_sdk::deployment_target::Phase;
use quarterdeck_sdk::{Failure, Plugin};

quarterdeck_sdk::config! {
    /// What a service is configured with, laid over what its instance has.
    pub struct Config {
        /// How long to wait before looking again, milliseconds. Unless given, 1000.
        #[serde(default = "one_second")]
        pub look_again_ms: u64,
    }
}

fn one_second() -> u64 {
    1_000
}

pub struct {{type}};

impl Plugin for {{type}} {
    type Config = Config;
    const NAME: &'static str = "{{name}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "All replicas at once";
}

impl DeploymentStrategy for {{type}} {
    fn decide(config: &Config, question: &Question) -> Result<Decision, Failure> {
        let deployment = &question.deployment;
        let (new, old): (Vec<_>, Vec<_>) =
            question.replicas.iter().partition(|replica| replica.revision == deployment.candidate);
        let healthy = new.iter().filter(|replica| replica.phase == Phase::Healthy).count();
        let count = deployment.replicas as usize;
        let (next, reason) = if new.len() < count {
            (Move::Start((count - new.len()) as u32), "start them all")
        } else if healthy < count {
            (Move::Hold(config.look_again_ms), "not all of them are healthy yet")
        } else if new.iter().any(|replica| replica.weight == 0) {
            (Move::Weight(100), "all of them are healthy")
        } else if old.is_empty() {
            (Move::Complete, "the old ones are gone")
        } else {
            (Move::Retire(old.iter().map(|replica| replica.name.clone()).collect()), "nobody asks the old ones any more")
        };
        Ok(Decision { next, reason: reason.to_owned(), state: None })
    }
}

quarterdeck_sdk::export!({{type}}: deployment_strategy);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_sdk::deployment_strategy::{Analysis, Deployment};

    #[test]
    fn it_begins_with_all_replicas_of_the_candidate() {
        let question = Question {
            deployment: Deployment { candidate: "r2".to_owned(), replicas: 3, ..Deployment::default() },
            replicas: Vec::new(),
            analysis: Analysis::default(),
            promoted: false,
            state: None,
            now_ms: 0,
        };
        let decision = {{type}}::decide(&Config { look_again_ms: 1 }, &question).unwrap();
        assert_eq!(decision.next, Move::Start(3));
    }
}
