//! Canary: a few replicas of the candidate take a growing share of the traffic. After each step its failures are judged, by
//! themselves and, if asked for, against the stable revision's; too many, and it rolls back with the figures as the reason.
//!
//! A person's promotion of one that waits lets it go on to the next step; of one that does not wait, it skips the steps that are left.
//! Neither outweighs figures that are bad.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::allow_attributes,
        reason = "a test may panic"
    )
)]

mod judge;

use judge::Judgement;
use quarterdeck_sdk::deployment_strategy::{Decision, DeploymentStrategy, Move, Question};
use quarterdeck_sdk::deployment_target::{Phase, Replica};
use quarterdeck_sdk::serde::{Deserialize, Serialize};
use quarterdeck_sdk::{Failure, Plugin, Problem, serde_json};

quarterdeck_sdk::config! {
    /// Configuration of `canary`.
    pub struct Config {
        /// Shares of the traffic, and how long each is held. After the last one the candidate takes everything.
        #[serde(default = "three_steps")]
        pub steps: Vec<Step>,
        /// When a step is good enough.
        #[serde(default = "default_analysis")]
        pub analysis: Rules,
        /// Waits for a person before the candidate takes everything.
        #[serde(default)]
        pub manual_promotion: bool,
    }

    /// A share of the traffic for a while.
    pub struct Step {
        /// The candidate's share, in percent: 1 to 99.
        pub weight: u32,
        /// How long it is held before it is judged, in seconds.
        #[serde(default = "thirty")]
        pub hold_seconds: u64,
    }

    /// When a step is good enough.
    pub struct Rules {
        /// Share of the candidate's responses that may fail (status 500 and above).
        #[serde(default = "five_percent")]
        pub max_failure_ratio: f64,
        /// Below so many responses a look is inconclusive.
        #[serde(default = "twenty")]
        pub min_responses: u64,
        /// Also rolls back when the candidate fails more often than the stable revision by more than chance
        /// (two-proportion z-test, 99 %).
        #[serde(default)]
        pub compare_to_stable: bool,
        /// How many bad looks in a row are forgiven.
        #[serde(default)]
        pub failure_limit: u32,
        /// After so many inconclusive looks at one step it waits for a person.
        #[serde(default = "ten_looks")]
        pub inconclusive_limit: u32,
    }
}

fn three_steps() -> Vec<Step> {
    [10, 30, 60].map(|weight| Step { weight, hold_seconds: 30 }).to_vec()
}

fn default_analysis() -> Rules {
    Rules {
        max_failure_ratio: 0.05,
        min_responses: 20,
        compare_to_stable: false,
        failure_limit: 0,
        inconclusive_limit: 10,
    }
}

fn thirty() -> u64 {
    30
}

fn five_percent() -> f64 {
    0.05
}

fn twenty() -> u64 {
    20
}

fn ten_looks() -> u32 {
    10
}

/// A bad look that is forgiven is followed by another one after this long.
const LOOK_AGAIN_MS: u64 = 1_000;

/// The plugin.
pub struct Canary;

impl Plugin for Canary {
    type Config = Config;
    const NAME: &'static str = "canary";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Shifts traffic in steps, judges each, and rolls back with the figures as the reason";

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, step) in config.steps.iter().enumerate() {
            if !(1..=99).contains(&step.weight) {
                problems.push(Problem::at(
                    format!("/steps/{index}/weight"),
                    format!("is {}, expected 1 to 99", step.weight),
                ));
            }
        }
        if config.steps.windows(2).any(|pair| matches!(pair, [a, b] if a.weight >= b.weight)) {
            problems.push(Problem::at("/steps", "each step needs a larger weight than the one before"));
        }
        if !(0.0..=1.0).contains(&config.analysis.max_failure_ratio) {
            problems.push(Problem::at("/analysis/max-failure-ratio", "expected a share from 0 to 1"));
        }
        problems
    }
}

/// Between two calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "quarterdeck_sdk::serde", default)]
struct State {
    /// Steps whose weight has been set.
    step: usize,
    /// The candidate has all the traffic.
    promoted: bool,
    /// Waits for a person.
    waiting: bool,
    /// The person has spoken, but the last look was bad.
    released: bool,
    bad_looks: u32,
    inconclusive_looks: u32,
}

fn decision(next: Move, reason: impl Into<String>, state: &State) -> Result<Decision, Failure> {
    let state = serde_json::to_vec(state).map_err(|error| Failure::other(error.to_string()))?;
    Ok(Decision { next, reason: reason.into(), state: Some(state) })
}

impl DeploymentStrategy for Canary {
    fn decide(config: &Config, question: &Question) -> Result<Decision, Failure> {
        let mut state: State = match &question.state {
            Some(bytes) => serde_json::from_slice(bytes).map_err(|error| Failure::rejected(error.to_string()))?,
            None => State::default(),
        };
        let deployment = &question.deployment;
        let alive = |replica: &&Replica| !matches!(replica.phase, Phase::Draining | Phase::Stopped);
        let (candidates, stable): (Vec<&Replica>, Vec<&Replica>) =
            question.replicas.iter().filter(alive).partition(|replica| replica.revision == deployment.candidate);
        if let Some(replica) = candidates.iter().find(|replica| replica.phase == Phase::Unhealthy) {
            let reason = format!("{} is unhealthy: {}", replica.name, replica.message);
            return decision(Move::RollBack(reason.clone()), reason, &state);
        }
        let have = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
        let want = deployment.replicas.max(1);
        if have < want {
            let reason = format!("{} of {want} replicas of {} run", have, deployment.candidate);
            return decision(Move::Start(want - have), reason, &state);
        }
        if state.promoted {
            return if stable.is_empty() {
                decision(Move::Complete, format!("{} has all the traffic", deployment.candidate), &state)
            } else {
                let names = stable.iter().map(|replica| replica.name.clone()).collect();
                decision(Move::Retire(names), format!("{} is not needed any more", deployment.stable), &state)
            };
        }
        // Nothing to compare with and nobody to protect: the first revision takes everything.
        if deployment.stable.is_empty() || stable.is_empty() {
            state.promoted = true;
            return decision(Move::Weight(100), "there is no stable revision to shift traffic from", &state);
        }
        if question.promoted && !state.waiting {
            return skip_steps(config, question, state);
        }
        state.released |= question.promoted;
        if state.step == 0 {
            return advance(config, state, "all replicas are healthy");
        }
        judge_step(config, question, state)
    }
}

/// The next larger share, a person's word, or everything.
fn advance(config: &Config, mut state: State, why: &str) -> Result<Decision, Failure> {
    (state.bad_looks, state.inconclusive_looks, state.waiting, state.released) = (0, 0, false, false);
    let Some(step) = config.steps.get(state.step) else {
        state.promoted = true;
        return decision(Move::Weight(100), why, &state);
    };
    state.step += 1;
    decision(Move::Weight(step.weight), why, &state)
}

/// Everything at once, unless the figures forbid it.
fn skip_steps(config: &Config, question: &Question, mut state: State) -> Result<Decision, Failure> {
    if let Judgement::Bad(reason) = judge::judge(&config.analysis, &question.analysis) {
        return decision(Move::RollBack(reason.clone()), reason, &state);
    }
    state.promoted = true;
    decision(Move::Weight(100), "promoted by a person past the steps that were left", &state)
}

fn judge_step(config: &Config, question: &Question, mut state: State) -> Result<Decision, Failure> {
    let Some(step) = state.step.checked_sub(1).and_then(|index| config.steps.get(index)) else {
        return advance(config, state, "the configuration has no such step any more");
    };
    // Failures are looked at before the hold is over: nobody should wait for a bad end.
    let judgement = judge::judge(&config.analysis, &question.analysis);
    if let Judgement::Bad(reason) = &judgement {
        state.bad_looks += 1;
        if state.bad_looks > config.analysis.failure_limit {
            return decision(Move::RollBack(reason.clone()), reason.clone(), &state);
        }
        return decision(Move::Hold(LOOK_AGAIN_MS), format!("{reason}; forgiven so far"), &state);
    }
    state.bad_looks = 0;
    let held = u64::try_from(question.now_ms.saturating_sub(question.analysis.since_ms)).unwrap_or(0);
    let left = step.hold_seconds.saturating_mul(1000).saturating_sub(held);
    if left > 0 {
        return decision(
            Move::Hold(left.min(LOOK_AGAIN_MS)),
            format!("{} % for {} s", step.weight, step.hold_seconds),
            &state,
        );
    }
    match judgement {
        Judgement::Good(_) | Judgement::Inconclusive(_) if state.released => {
            advance(config, state, "promoted by a person")
        }
        Judgement::Good(reason) if config.manual_promotion && state.step >= config.steps.len() => {
            state.waiting = true;
            decision(Move::Pause(format!("{reason}; promote it to give it all the traffic")), reason, &state)
        }
        Judgement::Good(reason) => advance(config, state, &reason),
        Judgement::Inconclusive(reason) => {
            state.inconclusive_looks += 1;
            if state.inconclusive_looks < config.analysis.inconclusive_limit {
                return decision(Move::Hold(step.hold_seconds.clamp(1, 60) * 1000), reason, &state);
            }
            state.waiting = true;
            decision(Move::Pause(format!("{reason}; promote it or abort it")), reason, &state)
        }
        // Answered above.
        Judgement::Bad(reason) => decision(Move::RollBack(reason.clone()), reason, &state),
    }
}

quarterdeck_sdk::export!(Canary: deployment_strategy);

#[cfg(test)]
mod tests;
