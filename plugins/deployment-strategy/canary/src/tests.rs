use super::*;
use quarterdeck_sdk::deployment_strategy::{Analysis, Deployment};

fn config() -> Config {
    Config {
        steps: vec![Step { weight: 20, hold_seconds: 10 }, Step { weight: 50, hold_seconds: 10 }],
        analysis: default_analysis(),
        manual_promotion: false,
    }
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

fn question(stable: &[&str]) -> Question {
    Question {
        deployment: Deployment {
            service: "web".into(),
            stable: if stable.is_empty() { String::new() } else { "a".into() },
            candidate: "b".into(),
            replicas: 2,
            started_at_ms: 0,
        },
        replicas: stable.iter().map(|name| replica(name, "a")).collect(),
        analysis: Analysis::default(),
        promoted: false,
        state: None,
        now_ms: 0,
    }
}

/// Carries out what is decided, as a host would: the candidate gets 100 responses a second, of which `failing` percent fail.
fn play(config: &Config, question: &mut Question, failing: u64) -> Vec<Move> {
    let mut moves = Vec::new();
    for _ in 0..200 {
        let decision = Canary::decide(config, question).unwrap();
        question.state = decision.state;
        match &decision.next {
            Move::Start(count) => {
                question.replicas.extend((0..*count).map(|n| replica(&format!("b-{n}"), "b")));
            }
            Move::Retire(names) => question.replicas.retain(|replica| !names.contains(&replica.name)),
            Move::Hold(span) => {
                question.now_ms += i64::try_from(*span).unwrap();
                question.analysis.responses += span / 10;
                question.analysis.failures += span * failing / 1000;
            }
            Move::Weight(_) => question.analysis = Analysis { since_ms: question.now_ms, ..Analysis::default() },
            Move::Complete | Move::RollBack(_) | Move::Pause(_) => {
                moves.push(decision.next);
                return moves;
            }
        }
        if !matches!(decision.next, Move::Hold(_)) {
            moves.push(decision.next);
        }
    }
    panic!("no end: {moves:?}");
}

#[test]
fn a_good_candidate_goes_through_every_step_and_takes_everything() {
    let mut question = question(&["a-0", "a-1"]);
    let moves = play(&config(), &mut question, 1);
    assert_eq!(
        moves,
        [
            Move::Start(2),
            Move::Weight(20),
            Move::Weight(50),
            Move::Weight(100),
            Move::Retire(vec!["a-0".into(), "a-1".into()]),
            Move::Complete
        ]
    );
    assert!(question.now_ms >= 20_000, "each step was held");
}

#[test]
fn a_candidate_with_a_fifth_of_failures_is_rolled_back_at_the_first_step_before_its_hold_is_over() {
    let mut question = question(&["a-0", "a-1"]);
    let moves = play(&config(), &mut question, 20);
    assert_eq!(moves[..2], [Move::Start(2), Move::Weight(20)]);
    assert!(matches!(&moves[2], Move::RollBack(reason) if reason.contains("20.0 %")), "{moves:?}");
    assert!(question.now_ms < 10_000);
}

#[test]
fn a_first_deployment_takes_everything_at_once() {
    assert_eq!(play(&config(), &mut question(&[]), 0), [Move::Start(2), Move::Weight(100), Move::Complete]);
}

#[test]
fn with_manual_promotion_it_waits_for_a_person_before_it_takes_everything() {
    let config = Config { manual_promotion: true, ..config() };
    let mut question = question(&["a-0", "a-1"]);
    let moves = play(&config, &mut question, 0);
    assert!(matches!(moves.last(), Some(Move::Pause(_))), "{moves:?}");
    question.promoted = true;
    let decision = Canary::decide(&config, &question).unwrap();
    assert_eq!(decision.next, Move::Weight(100));
}

#[test]
fn a_promotion_is_remembered_over_a_bad_look_that_is_forgiven() {
    let analysis = Rules { failure_limit: 2, ..default_analysis() };
    let config = Config { manual_promotion: true, analysis, ..config() };
    let mut question = question(&["a-0", "a-1"]);
    play(&config, &mut question, 0);
    let mut decide = |promoted: bool, failures: u64| {
        question.promoted = promoted;
        question.analysis.failures = failures;
        let decision = Canary::decide(&config, &question).unwrap();
        question.state = decision.state;
        decision.next
    };
    assert_eq!(decide(true, 900), Move::Hold(LOOK_AGAIN_MS));
    assert_eq!(decide(false, 0), Move::Weight(100));
}

#[test]
fn a_promotion_of_one_that_does_not_wait_skips_the_steps_that_are_left() {
    let config = config();
    let mut question = question(&["a-0", "a-1"]);
    question.replicas.extend([replica("b-0", "b"), replica("b-1", "b")]);
    question.promoted = true;
    assert_eq!(Canary::decide(&config, &question).unwrap().next, Move::Weight(100), "before the first step");
    question.state = Some(serde_json::to_vec(&State { step: 1, ..State::default() }).unwrap());
    question.analysis = Analysis { responses: 100, failures: 50, ..Analysis::default() };
    assert!(matches!(Canary::decide(&config, &question).unwrap().next, Move::RollBack(_)), "not against the figures");
    question.analysis.failures = 0;
    let decision = Canary::decide(&config, &question).unwrap();
    assert_eq!(decision.next, Move::Weight(100));
    question.state = decision.state;
    assert!(matches!(Canary::decide(&config, &question).unwrap().next, Move::Retire(_)));
}

#[test]
fn without_traffic_it_pauses_instead_of_guessing() {
    let mut question = question(&["a-0", "a-1"]);
    let config = config();
    let last = loop {
        let decision = Canary::decide(&config, &question).unwrap();
        question.state = decision.state;
        match decision.next {
            Move::Start(count) => question.replicas.extend((0..count).map(|n| replica(&format!("b-{n}"), "b"))),
            Move::Hold(span) => question.now_ms += i64::try_from(span).unwrap(),
            Move::Weight(_) => question.analysis.since_ms = question.now_ms,
            other => break other,
        }
    };
    assert!(matches!(&last, Move::Pause(reason) if reason.contains("0 responses")), "{last:?}");
}

#[test]
fn an_unhealthy_replica_rolls_back() {
    let mut question = question(&["a-0"]);
    question.replicas.push(Replica { phase: Phase::Unhealthy, ..replica("b-0", "b") });
    assert!(matches!(Canary::decide(&config(), &question).unwrap().next, Move::RollBack(_)));
}

#[test]
fn a_forgiven_bad_look_is_followed_by_another_one() {
    let config = Config { analysis: Rules { failure_limit: 2, ..default_analysis() }, ..config() };
    let rules = &config.analysis;
    assert!(matches!(
        judge::judge(rules, &Analysis { responses: 100, failures: 6, ..Analysis::default() }),
        Judgement::Bad(_)
    ));
    let mut question = question(&["a-0", "a-1"]);
    question.replicas.extend([replica("b-0", "b"), replica("b-1", "b")]);
    question.state = Some(serde_json::to_vec(&State { step: 1, ..State::default() }).unwrap());
    question.analysis = Analysis { responses: 100, failures: 6, ..Analysis::default() };
    let mut looks = 0;
    loop {
        let decision = Canary::decide(&config, &question).unwrap();
        question.state = decision.state;
        looks += 1;
        if matches!(decision.next, Move::RollBack(_)) {
            break;
        }
    }
    assert_eq!(looks, 3);
}

#[test]
fn the_comparison_with_the_stable_revision_needs_more_than_chance() {
    let rules = Rules { compare_to_stable: true, ..default_analysis() };
    let analysis = |failures| Analysis {
        responses: 1000,
        failures,
        stable_responses: 1000,
        stable_failures: 10,
        ..Analysis::default()
    };
    assert!(matches!(judge::judge(&rules, &analysis(14)), Judgement::Good(_)));
    assert!(matches!(judge::judge(&rules, &analysis(30)), Judgement::Bad(_)));
}

#[test]
fn weights_must_grow_and_stay_below_everything() {
    let config =
        Config { steps: vec![Step { weight: 50, hold_seconds: 1 }, Step { weight: 20, hold_seconds: 1 }], ..config() };
    assert_eq!(Canary::validate(&config).len(), 1);
    let config = Config { steps: vec![Step { weight: 100, hold_seconds: 1 }], ..config };
    assert_eq!(Canary::validate(&config).len(), 1);
}
