//! From where replicas are to where they are to be: weights, and the next batch of steps. Pure.
//!
//! Steps come in batches, and a batch begins when the one before is done: first the weights that rise, then those that fall,
//! then replicas are drained, then stopped. So at no time is there no replica that takes traffic while one could.

use quarterdeck_model::domain::deployment::Deployment;
use quarterdeck_model::kind::deployment_target::{Replica, ReplicaPhase, Step};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// All weights together.
pub(super) const TOTAL: u32 = 256;

/// Bytes that a service's or a revision's name may have in a replica's name.
const NAME_BYTES: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Candidate,
    Stable,
    /// Of a revision that is neither: left over from before. Gets no traffic, and is retired at the end.
    Stray,
}

pub(super) fn side(deployment: &Deployment, replica: &Replica) -> Side {
    if replica.revision == deployment.candidate {
        Side::Candidate
    } else if replica.revision == deployment.stable {
        Side::Stable
    } else {
        Side::Stray
    }
}

/// May take traffic: whether it does is also for the target's own health checks to say.
pub(super) fn is_live(replica: &Replica) -> bool {
    matches!(replica.phase, ReplicaPhase::Starting | ReplicaPhase::Healthy | ReplicaPhase::Unhealthy)
}

pub(super) fn is_healthy(replica: &Replica) -> bool {
    replica.phase == ReplicaPhase::Healthy
}

pub(super) fn of_side(deployment: &Deployment, wanted: Side) -> impl Iterator<Item = &Replica> {
    deployment.replicas.iter().filter(move |replica| side(deployment, replica) == wanted)
}

/// What is to be true when a move is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Goal {
    /// The candidate's share of the traffic.
    pub(super) percent: u32,
    /// Names of replicas that are to go.
    pub(super) retire: BTreeSet<String>,
}

impl Goal {
    pub(super) fn share(percent: u32) -> Self {
        Goal { percent, retire: BTreeSet::new() }
    }

    /// Replicas of one side that stay and may take traffic, by name. Of the stable side those that are well, unless nobody is;
    /// that the candidate's are well is waited for before a move begins.
    fn members<'a>(&'a self, deployment: &'a Deployment, side: Side) -> BTreeSet<&'a str> {
        let stay =
            || of_side(deployment, side).filter(|replica| is_live(replica) && !self.retire.contains(&replica.name));
        let only_healthy = side == Side::Stable && stay().any(is_healthy);
        stay().filter(|replica| !only_healthy || is_healthy(replica)).map(|replica| replica.name.as_str()).collect()
    }

    /// The share that the candidate will really have: all where nothing else is left, none where it is gone itself.
    pub(super) fn effective(&self, deployment: &Deployment) -> u32 {
        match (self.members(deployment, Side::Candidate).is_empty(), self.members(deployment, Side::Stable).is_empty())
        {
            (true, _) => 0,
            (false, true) => 100,
            (false, false) => self.percent.min(100),
        }
    }

    /// The weight of every live replica. They sum to [`TOTAL`] unless nothing is left that may take traffic.
    ///
    /// The candidate's part is rounded to the nearest whole of 256, but a share that is neither nothing nor all stays so. Within a
    /// revision the part is divided evenly, and what is left over goes to the first replicas by name, 1 each. A part that is
    /// smaller than the number of its replicas reaches only the first of them.
    pub(super) fn weights(&self, deployment: &Deployment) -> BTreeMap<String, u32> {
        let mut weights: BTreeMap<String, u32> = deployment
            .replicas
            .iter()
            .filter(|replica| is_live(replica))
            .map(|replica| (replica.name.clone(), 0))
            .collect();
        let percent = self.effective(deployment);
        let part = match percent {
            0 => 0,
            100 => TOTAL,
            _ => ((TOTAL * percent + 50) / 100).clamp(1, TOTAL - 1),
        };
        for (side, part) in [(Side::Candidate, part), (Side::Stable, TOTAL - part)] {
            let members = self.members(deployment, side);
            let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
            if count == 0 {
                continue;
            }
            let (each, left) = (part / count, part % count);
            for (name, place) in members.into_iter().zip(0..) {
                weights.insert(name.to_owned(), each + u32::from(place < left));
            }
        }
        weights
    }

    /// Whether somebody who is well takes traffic when it is reached; where nobody is well anyway, whether somebody does.
    pub(super) fn serves(&self, deployment: &Deployment) -> bool {
        let weights = self.weights(deployment);
        let carries = |replica: &&Replica| weights.get(&replica.name).is_some_and(|weight| *weight > 0);
        let mut healthy = deployment.replicas.iter().filter(|replica| is_healthy(replica)).peekable();
        if healthy.peek().is_none() {
            return weights.values().any(|weight| *weight > 0);
        }
        healthy.any(|replica| carries(&replica))
    }

    /// The next batch on the way there; empty: it is reached.
    pub(super) fn next_batch(&self, deployment: &Deployment) -> Vec<Step> {
        let weights = self.weights(deployment);
        let weigh = |changes: fn(u32, u32) -> bool| -> Vec<Step> {
            let steps = deployment.replicas.iter().filter_map(|replica| {
                let weight = *weights.get(&replica.name)?;
                changes(replica.weight, weight).then(|| Step::Weight { replica: replica.name.clone(), weight })
            });
            steps.collect()
        };
        let retired = || deployment.replicas.iter().filter(|replica| self.retire.contains(&replica.name));
        let rising = weigh(|is, wanted| is < wanted);
        if !rising.is_empty() {
            return rising;
        }
        let falling = weigh(|is, wanted| is > wanted);
        if !falling.is_empty() {
            return falling;
        }
        let draining: Vec<_> = retired()
            .filter(|replica| is_live(replica))
            .map(|replica| Step::Drain { replica: replica.name.clone() })
            .collect();
        if !draining.is_empty() {
            return draining;
        }
        retired().map(|replica| Step::Stop { replica: replica.name.clone() }).collect()
    }
}

/// The replica that a step is about.
pub(super) fn replica_of(step: &Step) -> &str {
    match step {
        Step::Start { replica, .. }
        | Step::Weight { replica, .. }
        | Step::Drain { replica }
        | Step::Stop { replica } => replica,
    }
}

/// What a step that is done has made of the replicas.
pub(super) fn apply(replicas: &mut Vec<Replica>, step: &Step) {
    match step {
        Step::Start { replica, revision } => {
            if !replicas.iter().any(|known| known.name == *replica) {
                replicas.push(started(replica, revision));
            }
        }
        Step::Weight { replica, weight } => {
            for known in replicas.iter_mut().filter(|known| known.name == *replica) {
                known.weight = *weight;
            }
        }
        Step::Drain { replica } => {
            for known in replicas.iter_mut().filter(|known| known.name == *replica) {
                known.phase = ReplicaPhase::Draining;
                known.weight = 0;
            }
        }
        Step::Stop { replica } => replicas.retain(|known| known.name != *replica),
    }
}

fn started(name: &str, revision: &str) -> Replica {
    Replica {
        name: name.to_owned(),
        revision: revision.to_owned(),
        phase: ReplicaPhase::Starting,
        weight: 0,
        responses: 0,
        failures: 0,
        message: String::new(),
    }
}

/// `<service>-<revision>-<n>`, of letters, digits, dots, dashes and underscores.
pub(super) fn name(service: &str, revision: &str, number: u32) -> String {
    format!("{}-{}-{number}", sanitised(service), sanitised(revision))
}

/// What had to be changed ends with a hash, so that different names stay different.
fn sanitised(text: &str) -> String {
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if text.len() <= NAME_BYTES && !text.is_empty() && text.chars().all(usual) {
        return text.to_owned();
    }
    let start: String = text.chars().map(|c| if usual(c) { c } else { '-' }).take(NAME_BYTES - 9).collect();
    let hash: String = Sha256::digest(text.as_bytes()).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{start}-{hash}")
}

#[cfg(test)]
mod tests;
