//! Rolling: starts a batch of the candidate, gives it its share of the traffic, retires as many of the stable replicas, and
//! so on. There are never fewer replicas than the service asks for. Promoted by a person, it does not wait for a batch to prove itself.

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

use quarterdeck_sdk::deployment_strategy::{Analysis, Decision, DeploymentStrategy, Move, Question};
use quarterdeck_sdk::deployment_target::{Phase, Replica};
use quarterdeck_sdk::{Failure, Plugin, Problem};

quarterdeck_sdk::config! {
    /// Configuration of `rolling`.
    pub struct Config {
        /// How many replicas are replaced at once.
        #[serde(default = "one")]
        pub batch: u32,
        /// How long each batch has to prove itself under its share of the traffic, in seconds.
        #[serde(default = "ten")]
        pub hold_seconds: u64,
        /// Share of the candidate's responses that may fail (status 500 and above).
        #[serde(default = "five_percent")]
        pub max_failure_ratio: f64,
        /// Below so many responses the ratio says nothing, and only health counts.
        #[serde(default = "twenty")]
        pub min_responses: u64,
    }
}

fn one() -> u32 {
    1
}

fn ten() -> u64 {
    10
}

fn five_percent() -> f64 {
    0.05
}

fn twenty() -> u64 {
    20
}

/// The plugin.
pub struct Rolling;

impl Plugin for Rolling {
    type Config = Config;
    const NAME: &'static str = "rolling";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Replaces replicas batch by batch, with at least the full capacity all the time";

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if config.batch == 0 {
            problems.push(Problem::at("/batch", "is 0, expected at least 1"));
        }
        if !(0.0..=1.0).contains(&config.max_failure_ratio) {
            problems.push(Problem::at("/max-failure-ratio", "expected a share from 0 to 1"));
        }
        problems
    }
}

/// What the last move was; the state between two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A batch was started, or nothing yet.
    Started,
    /// It has its share of the traffic and proves itself.
    Proving,
    /// As many stable replicas were retired.
    Retired,
}

impl Stage {
    fn read(state: Option<&[u8]>) -> Self {
        match state {
            Some(b"proving") => Stage::Proving,
            Some(b"retired") => Stage::Retired,
            _ => Stage::Started,
        }
    }

    fn write(self) -> Option<Vec<u8>> {
        let name: &[u8] = match self {
            Stage::Started => b"started",
            Stage::Proving => b"proving",
            Stage::Retired => b"retired",
        };
        Some(name.to_vec())
    }
}

fn decision(next: Move, reason: String, stage: Stage) -> Decision {
    Decision { next, reason, state: stage.write() }
}

impl DeploymentStrategy for Rolling {
    fn decide(config: &Config, question: &Question) -> Result<Decision, Failure> {
        let deployment = &question.deployment;
        let alive = |replica: &&Replica| !matches!(replica.phase, Phase::Draining | Phase::Stopped);
        let (candidates, stable): (Vec<&Replica>, Vec<&Replica>) =
            question.replicas.iter().filter(alive).partition(|replica| replica.revision == deployment.candidate);
        let stage = Stage::read(question.state.as_deref());
        if let Some(reason) = too_bad(config, &candidates, &question.analysis) {
            return Ok(decision(Move::RollBack(reason.clone()), reason, stage));
        }
        let (have, want) = (count(&candidates), deployment.replicas.max(1));
        let share = if stable.is_empty() { 100 } else { (have * 100 / want).min(100) };
        Ok(match stage {
            // A first batch, or one after a crash between two calls: what runs gets its share before more is started.
            Stage::Started if have > 0 => {
                decision(Move::Weight(share), format!("{have} of {want} replicas run the candidate"), Stage::Proving)
            }
            Stage::Proving => {
                let held = u64::try_from(question.now_ms.saturating_sub(question.analysis.since_ms)).unwrap_or(0);
                let left = (config.hold_seconds * 1000).saturating_sub(held);
                if left > 0 && !question.promoted {
                    return Ok(decision(Move::Hold(left), "the batch proves itself".to_owned(), Stage::Proving));
                }
                // As many stable replicas go as are not needed any more; all of them when the candidate is complete.
                let keep = want.saturating_sub(have);
                let surplus = count(&stable).saturating_sub(keep);
                let retire: Vec<String> = stable
                    .iter()
                    .take(usize::try_from(surplus).unwrap_or(0))
                    .map(|replica| replica.name.clone())
                    .collect();
                if retire.is_empty() {
                    next_batch(config, have, want)
                } else {
                    decision(
                        Move::Retire(retire),
                        format!("{have} of {want} replicas run the candidate well"),
                        Stage::Retired,
                    )
                }
            }
            Stage::Started | Stage::Retired => next_batch(config, have, want),
        })
    }
}

fn next_batch(config: &Config, have: u32, want: u32) -> Decision {
    if have >= want {
        return decision(Move::Complete, format!("all {want} replicas run the candidate"), Stage::Retired);
    }
    let count = config.batch.clamp(1, want - have);
    decision(Move::Start(count), format!("{have} of {want} replicas run the candidate; {count} more"), Stage::Started)
}

fn count(replicas: &[&Replica]) -> u32 {
    u32::try_from(replicas.len()).unwrap_or(u32::MAX)
}

fn too_bad(config: &Config, candidates: &[&Replica], analysis: &Analysis) -> Option<String> {
    if let Some(replica) = candidates.iter().find(|replica| replica.phase == Phase::Unhealthy) {
        return Some(format!("{} is unhealthy: {}", replica.name, replica.message));
    }
    if analysis.responses < config.min_responses.max(1) {
        return None;
    }
    let ratio = analysis.failures as f64 / analysis.responses as f64;
    (ratio > config.max_failure_ratio).then(|| {
        format!(
            "{} of {} responses failed ({:.1} %), more than {:.1} %",
            analysis.failures,
            analysis.responses,
            ratio * 100.0,
            config.max_failure_ratio * 100.0
        )
    })
}

quarterdeck_sdk::export!(Rolling: deployment_strategy);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_sdk::deployment_strategy::Deployment;

    fn config() -> Config {
        Config { batch: 1, hold_seconds: 10, max_failure_ratio: 0.05, min_responses: 20 }
    }

    fn replica(name: &str, revision: &str) -> Replica {
        Replica {
            name: name.into(),
            revision: revision.into(),
            phase: Phase::Healthy,
            weight: 0,
            responses: 0,
            failures: 0,
            message: String::new(),
        }
    }

    fn question(stable: &str, replicas: u32) -> Question {
        Question {
            deployment: Deployment {
                service: "web".into(),
                stable: stable.into(),
                candidate: "b".into(),
                replicas,
                started_at_ms: 0,
            },
            replicas: Vec::new(),
            analysis: Analysis::default(),
            promoted: false,
            state: None,
            now_ms: 0,
        }
    }

    /// Carries out what is decided, as a host would, and gives all moves.
    fn play(question: &mut Question) -> Vec<Move> {
        let mut moves = Vec::new();
        for number in 0..100 {
            let decision = Rolling::decide(&config(), question).unwrap();
            question.state = decision.state;
            match &decision.next {
                Move::Start(count) => {
                    for n in 0..*count {
                        question.replicas.push(replica(&format!("b-{number}-{n}"), "b"));
                    }
                }
                Move::Retire(names) => question.replicas.retain(|replica| !names.contains(&replica.name)),
                Move::Hold(span) => question.now_ms += i64::try_from(*span).unwrap(),
                Move::Weight(_) => question.analysis.since_ms = question.now_ms,
                Move::Complete | Move::RollBack(_) | Move::Pause(_) => {
                    moves.push(decision.next);
                    return moves;
                }
            }
            let alive = question.replicas.len();
            assert!(question.deployment.stable.is_empty() || alive >= 3, "less than the capacity: {moves:?}");
            moves.push(decision.next);
        }
        panic!("no end: {moves:?}");
    }

    #[test]
    fn a_promoted_batch_need_not_prove_itself() {
        let mut question = question("a", 2);
        question.replicas = vec![replica("a-1", "a"), replica("a-2", "a"), replica("b-1", "b")];
        question.state = Stage::Proving.write();
        assert!(matches!(Rolling::decide(&config(), &question).unwrap().next, Move::Hold(_)));
        question.promoted = true;
        assert_eq!(Rolling::decide(&config(), &question).unwrap().next, Move::Retire(vec!["a-1".into()]));
    }

    #[test]
    fn replicas_are_replaced_one_by_one_with_the_full_capacity_all_the_time() {
        let mut question = question("a", 3);
        question.replicas = vec![replica("a-1", "a"), replica("a-2", "a"), replica("a-3", "a")];
        let moves = play(&mut question);
        assert_eq!(moves.last(), Some(&Move::Complete));
        let weights: Vec<_> = moves.iter().filter(|step| matches!(step, Move::Weight(_))).collect();
        assert_eq!(weights, [&Move::Weight(33), &Move::Weight(66), &Move::Weight(100)]);
        assert!(question.replicas.iter().all(|replica| replica.revision == "b"));
        assert_eq!(question.replicas.len(), 3);
    }

    #[test]
    fn a_first_deployment_starts_all_replicas_and_completes() {
        let mut question = question("", 2);
        let moves = play(&mut question);
        assert_eq!(moves.last(), Some(&Move::Complete));
        assert_eq!(question.replicas.len(), 2);
        assert!(moves.contains(&Move::Weight(100)));
    }

    #[test]
    fn an_unhealthy_or_failing_candidate_is_rolled_back_with_the_figures() {
        let mut question = question("a", 2);
        question.replicas = vec![replica("a-1", "a"), replica("b-1", "b")];
        question.analysis = Analysis { responses: 100, failures: 6, ..Analysis::default() };
        let decision = Rolling::decide(&config(), &question).unwrap();
        assert!(matches!(decision.next, Move::RollBack(_)) && decision.reason.contains("6 of 100"), "{decision:?}");
        question.analysis = Analysis { responses: 10, failures: 6, ..Analysis::default() };
        assert!(!matches!(Rolling::decide(&config(), &question).unwrap().next, Move::RollBack(_)), "too few to tell");
        question.replicas[1].phase = Phase::Unhealthy;
        assert!(matches!(Rolling::decide(&config(), &question).unwrap().next, Move::RollBack(_)));
    }
}
