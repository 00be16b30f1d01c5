//! What is the next move?

use crate::deployment_target::Replica;
use crate::{Failure, Plugin};

/// Decides how a deployment goes on. Pure: the same input gives the same output.
pub trait DeploymentStrategy: Plugin {
    /// Called when the last move is done.
    fn decide(config: &Self::Config, question: &Question) -> Result<Decision, Failure>;
}

/// How things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is deployed.
    pub deployment: Deployment,
    /// What the target sees.
    pub replicas: Vec<Replica>,
    /// What happened to the traffic.
    pub analysis: Analysis,
    /// A person promoted it since the last call.
    pub promoted: bool,
    /// What the last [`Decision`] gave back.
    pub state: Option<Vec<u8>>,
    /// Milliseconds since 1970, UTC.
    pub now_ms: i64,
}

/// What is deployed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployment {
    /// Its name.
    pub service: String,
    /// The revision that ran before; empty on the first deployment.
    pub stable: String,
    /// The revision that is to run.
    pub candidate: String,
    /// How many replicas a revision runs when it has all the traffic.
    pub replicas: u32,
    /// Milliseconds since 1970, UTC.
    pub started_at_ms: i64,
}

/// Counted over the candidate's (and the stable) replicas since the last move of weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Analysis {
    /// Since when, milliseconds since 1970.
    pub since_ms: i64,
    /// Of the candidate.
    pub responses: u64,
    /// Of the candidate: with a status of 500 or above.
    pub failures: u64,
    /// Of the stable revision.
    pub stable_responses: u64,
    /// Of the stable revision: with a status of 500 or above.
    pub stable_failures: u64,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Start so many more replicas of the candidate.
    Start(u32),
    /// The candidate's share of the traffic, in percent. The host divides it over the replicas.
    Weight(u32),
    /// Drain and stop these replicas.
    Retire(Vec<String>),
    /// Look again after so many milliseconds.
    Hold(u64),
    /// Wait for a person's promotion; says what for.
    Pause(String),
    /// The candidate is the stable revision now. Refused by the host while the candidate has not all the traffic.
    Complete,
    /// Go back: the host takes all traffic from the candidate and retires it.
    RollBack(String),
}

/// A move, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to do next.
    pub next: Move,
    /// Why, for the time line.
    pub reason: String,
    /// Handed back at the next call; at most 64 KiB.
    pub state: Option<Vec<u8>>,
}

#[cfg(target_family = "wasm")]
mod wasm {
    use super::{Analysis, Decision, Deployment, DeploymentStrategy, Move, Question};
    use crate::bindings::deployment_strategy::exports::quarterdeck::deployment_strategy::deployment_strategy as wit;
    use crate::bindings::deployment_strategy::quarterdeck::types::replicas as target;
    use crate::deployment_target::{Phase, Replica};
    use crate::mirror::{Mirror, mirror};
    use crate::plugin::{Component, config};

    mirror! {
        enum target::Phase => Phase { Starting, Healthy, Unhealthy, Draining, Stopped }
    }
    mirror! {
        struct target::Replica => Replica { name, revision, phase, weight, responses, failures, message }
        struct wit::Deployment => Deployment { service, stable, candidate, replicas, started_at_ms }
        struct wit::Analysis => Analysis { since_ms, responses, failures, stable_responses, stable_failures }
    }

    impl Mirror<wit::Move> for Move {
        fn mirror(self) -> wit::Move {
            match self {
                Move::Start(count) => wit::Move::Start(count),
                Move::Weight(percent) => wit::Move::Weight(percent),
                Move::Retire(replicas) => wit::Move::Retire(replicas),
                Move::Hold(span_ms) => wit::Move::Hold(span_ms),
                Move::Pause(reason) => wit::Move::Pause(reason),
                Move::Complete => wit::Move::Complete,
                Move::RollBack(reason) => wit::Move::RollBack(reason),
            }
        }
    }

    impl<P: DeploymentStrategy> wit::Guest for Component<P> {
        fn decide(
            text: String,
            deployment: wit::Deployment,
            replicas: Vec<wit::Replica>,
            analysis: wit::Analysis,
            promoted: bool,
            state: Option<Vec<u8>>,
            now_ms: i64,
        ) -> Result<wit::Decision, wit::Failure> {
            let question = Question {
                deployment: deployment.mirror(),
                replicas: replicas.mirror(),
                analysis: analysis.mirror(),
                promoted,
                state,
                now_ms,
            };
            P::decide(&config::<P>(&text)?, &question)
                .map(|Decision { next, reason, state }| wit::Decision { move_: next.mirror(), reason, state })
                .map_err(Mirror::mirror)
        }
    }
}
