//! Carry out this move; what do you see?

use crate::{Failure, Outcome, Plugin};

/// Carries out moves of a deployment, and says what it sees.
pub trait DeploymentTarget: Plugin {
    /// Every replica of the service that there is.
    fn observe(config: &Self::Config, service: &str) -> Result<Vec<Replica>, Failure>;

    /// `key` is the same for every attempt of one step. Every step is idempotent: a replica that is so already is done.
    /// Answer [`Outcome::Pending`] while it goes on: the same step is then applied again after that time.
    fn apply(config: &Self::Config, service: &str, step: &Step, key: &str) -> Result<Outcome, Failure>;
}

/// One running copy of a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Unique within the service.
    pub name: String,
    /// What it runs.
    pub revision: String,
    /// How far it is.
    pub phase: Phase,
    /// Share of traffic relative to the others, 0 to 256.
    pub weight: u32,
    /// Counter since the replica came up.
    pub responses: u64,
    /// Counter since the replica came up: responses with a status of 500 or above.
    pub failures: u64,
    /// For a person, where there is something to say.
    pub message: String,
}

/// How far a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not ready yet.
    Starting,
    /// Ready for traffic.
    Healthy,
    /// Failing its health check, or gone without being asked to.
    Unhealthy,
    /// Finishing what is in flight.
    Draining,
    /// Stopped.
    Stopped,
}

/// One step of a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start a replica of a revision, with no traffic.
    Start {
        /// Its name.
        replica: String,
        /// What it is to run.
        revision: String,
    },
    /// Give a replica a weight.
    Weight {
        /// Its name.
        replica: String,
        /// 0 to 256.
        weight: u32,
    },
    /// No new connections; done when those in flight have ended or the grace of the configuration is over.
    Drain {
        /// Its name.
        replica: String,
    },
    /// Stop it and forget it.
    Stop {
        /// Its name.
        replica: String,
    },
}

#[cfg(target_family = "wasm")]
mod wasm {
    use super::{DeploymentTarget, Phase, Replica, Step};
    use crate::bindings::deployment_target::exports::quarterdeck::deployment_target::deployment_target as wit;
    use crate::mirror::{Mirror, mirror};
    use crate::plugin::{Component, config};

    mirror! {
        enum Phase => wit::Phase { Starting, Healthy, Unhealthy, Draining, Stopped }
    }
    mirror! {
        struct Replica => wit::Replica { name, revision, phase, weight, responses, failures, message }
    }

    impl Mirror<Step> for wit::Step {
        fn mirror(self) -> Step {
            match self {
                wit::Step::Start((replica, revision)) => Step::Start { replica, revision },
                wit::Step::Weight((replica, weight)) => Step::Weight { replica, weight },
                wit::Step::Drain(replica) => Step::Drain { replica },
                wit::Step::Stop(replica) => Step::Stop { replica },
            }
        }
    }

    impl<P: DeploymentTarget> wit::Guest for Component<P> {
        fn observe(text: String, service: String) -> Result<wit::Observation, wit::Failure> {
            P::observe(&config::<P>(&text)?, &service)
                .map(|replicas| wit::Observation { replicas: replicas.mirror() })
                .map_err(Mirror::mirror)
        }

        fn apply(text: String, service: String, step: wit::Step, key: String) -> Result<wit::Outcome, wit::Failure> {
            P::apply(&config::<P>(&text)?, &service, &step.mirror(), &key).map(Mirror::mirror).map_err(Mirror::mirror)
        }
    }
}
