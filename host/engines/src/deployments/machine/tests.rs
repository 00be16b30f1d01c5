//! Whole deployments in virtual time: a target in memory, effects carried out one by one in any order that the outbox could
//! take, and a machine that is put back together from its document at every step.

use super::super::steps::{Side, TOTAL, apply, is_live, of_side, replica_of, side};
use super::*;
use quarterdeck_model::effect::Action;
use quarterdeck_model::kind::deployment_strategy::Move;
use quarterdeck_model::kind::deployment_target::{Replica, ReplicaPhase, Step};
use quarterdeck_model::plugin::{CallError, Digest};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, VecDeque};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn spec(replicas: u32) -> ServiceSpec {
    serde_json::from_value(json!({"target": "haproxy/web", "strategy": "canary/default", "replicas": replicas}))
        .unwrap()
}

fn plugin() -> PluginRef {
    PluginRef { name: "canary".into(), version: "1".into(), digest: Digest("d".into()) }
}

fn request(revision: &str) -> StartDeployment {
    StartDeployment { revision: revision.to_owned(), principal: "ann".to_owned() }
}

fn record(stable: &str) -> ServiceRecord {
    ServiceRecord { service: "web".to_owned(), stable: stable.to_owned(), since: at(0), deployment: None }
}

fn said(next: Move) -> Decision {
    Decision { next, reason: "because".to_owned(), state: None }
}

type Strategy = Box<dyn FnMut(&Deployment, &Analysis) -> Result<Decision, CallError>>;

/// Replicas as the target has them, and the traffic on them.
#[derive(Default)]
struct World {
    replicas: Vec<Replica>,
    up_at: BTreeMap<String, Timestamp>,
    never_up: Vec<String>,
    /// Names of replicas that are unhealthy now.
    ill: Vec<String>,
    /// Of each revision, in percent of responses.
    failing: BTreeMap<String, u64>,
    /// Seconds in which nobody was served although somebody was well.
    outage: u32,
    served: u64,
    failures: u64,
}

impl World {
    fn carry_out(&mut self, step: &Step, now: Timestamp) -> Result<(), String> {
        let known = self.replicas.iter().any(|replica| replica.name == replica_of(step));
        if let Step::Start { replica, .. } = step {
            self.up_at.entry(replica.clone()).or_insert(now.plus(Span::from_secs(2)));
        } else if matches!(step, Step::Weight { .. }) && !known {
            return Err("no such replica".to_owned());
        }
        apply(&mut self.replicas, step);
        self.check();
        Ok(())
    }

    fn check(&mut self) {
        let healthy = || self.replicas.iter().filter(|replica| is_healthy(replica));
        if self.served > 0 && healthy().next().is_some() && healthy().all(|replica| replica.weight == 0) {
            self.outage += 1;
        }
    }

    fn pass(&mut self, seconds: u64, now: Timestamp) {
        for replica in &mut self.replicas {
            let up = self.up_at.get(&replica.name).is_some_and(|up| *up <= now);
            if replica.phase == ReplicaPhase::Starting && up && !self.never_up.contains(&replica.revision) {
                replica.phase = ReplicaPhase::Healthy;
            }
            match (replica.phase, self.ill.contains(&replica.name)) {
                (ReplicaPhase::Healthy, true) => replica.phase = ReplicaPhase::Unhealthy,
                (ReplicaPhase::Unhealthy, false) => replica.phase = ReplicaPhase::Healthy,
                _ => {}
            }
        }
        let takes = |replica: &Replica| is_healthy(replica) && replica.weight > 0;
        let total: u64 = self.replicas.iter().filter(|r| takes(r)).map(|r| u64::from(r.weight)).sum();
        for replica in self.replicas.iter_mut().filter(|replica| takes(replica)) {
            let responses = 100 * seconds * u64::from(replica.weight) / total;
            let failures = responses * self.failing.get(&replica.revision).copied().unwrap_or(0) / 100;
            replica.responses += responses;
            replica.failures += failures;
            self.served += responses;
            self.failures += failures;
        }
        self.check();
    }

    fn weights(&self) -> BTreeMap<&str, u32> {
        self.replicas.iter().map(|replica| (replica.name.as_str(), replica.weight)).collect()
    }
}

struct Story {
    d: Deployment,
    world: World,
    strategy: Strategy,
    ids: IdSource,
    now: Timestamp,
    random: StdRng,
    /// By ordering key, as the outbox keeps them.
    effects: BTreeMap<String, VecDeque<Effect>>,
    events: Vec<Event>,
    /// Of a hundred steps so many fail for good.
    bad_steps: u32,
    bad_looks: u32,
}

impl Story {
    fn begin(stable: &str, replicas: u32, strategy: Strategy, seed: u64) -> Self {
        let ids = IdSource::seeded(seed);
        let id = DeploymentId::new(&ids, at(0));
        let known = record(stable);
        let known = (!stable.is_empty()).then_some(&known);
        let known = Known { service: "web", spec: &spec(replicas), record: known, seen: &[] };
        let change = begin(id, known, request("v2"), at(0), &ids).unwrap();
        let mut world = World::default();
        if !stable.is_empty() {
            for number in 0..replicas {
                let step = Step::Start { replica: format!("web-{stable}-{number}"), revision: stable.to_owned() };
                world.carry_out(&step, at(-10)).unwrap();
                let weight = TOTAL / replicas + u32::from(number < TOTAL % replicas);
                world.carry_out(&Step::Weight { replica: format!("web-{stable}-{number}"), weight }, at(-10)).unwrap();
            }
        }
        world.pass(0, at(0));
        world.pass(1, at(0));
        let mut story = Story {
            d: change.deployment.clone(),
            world,
            strategy,
            ids,
            now: at(0),
            random: StdRng::seed_from_u64(seed),
            effects: BTreeMap::new(),
            events: Vec::new(),
            bad_steps: 0,
            bad_looks: 0,
        };
        story.take(change);
        story
    }

    /// Keeps the deployment as the store would: nothing but its document is left.
    fn take(&mut self, change: Change) {
        self.d = serde_json::from_str(&serde_json::to_string(&change.deployment).unwrap()).unwrap();
        assert_eq!(self.d, change.deployment, "the document holds all of it");
        for effect in change.effects {
            self.effects.entry(effect.ordering_key.clone()).or_default().push_back(effect);
        }
        self.events.extend(change.events);
        let unique: std::collections::HashSet<_> = self.d.replicas.iter().map(|replica| &replica.name).collect();
        assert_eq!(unique.len(), self.d.replicas.len(), "names are unique");
    }

    fn carry_out_one(&mut self) {
        let keys: Vec<_> = self.effects.keys().cloned().collect();
        let key = keys[self.random.random_range(0..keys.len())].clone();
        let queue = self.effects.get_mut(&key).unwrap();
        let effect = queue.pop_front().unwrap();
        if queue.is_empty() {
            self.effects.remove(&key);
        }
        let Action::ApplyStep { step, .. } = &effect.action else { panic!("not a step") };
        let late = effect.expires <= self.now;
        let result = if late {
            Err("expired".to_owned())
        } else if self.random.random_range(0..100) < self.bad_steps {
            // It may have been done all the same.
            if self.random.random() {
                let _ = self.world.carry_out(step, self.now);
            }
            Err("refused".to_owned())
        } else {
            if self.random.random_range(0..10) == 0 {
                // A crash in between: it is done twice.
                let _ = self.world.carry_out(step, self.now);
            }
            self.world.carry_out(step, self.now)
        };
        let (end, reason) = match &result {
            Ok(()) => (End::Done, ""),
            Err(reason) => (End::Failed, reason.as_str()),
        };
        if let Some(change) = ended(self.d.clone(), &effect.id, end, reason, self.now, &self.ids) {
            self.take(change);
        }
    }

    /// Lets time pass to the moment that is waited for, and looks.
    fn look(&mut self) {
        let due = wake_at(&self.d).expect("it waits for a moment");
        while self.now < due {
            let step = Span::from_secs(1).min(due.since(self.now));
            self.now = self.now.plus(step);
            self.world.pass(step.as_millis().div_ceil(1000), self.now);
        }
        let bad = self.random.random_range(0..100) < self.bad_looks;
        let observed = wants_observation(&self.d).then(|| match bad {
            true => Err(CallError::Other { message: "no answer".to_owned() }.into()),
            false => Ok(Observation { replicas: self.world.replicas.clone() }),
        });
        let mut change = looked(self.d.clone(), observed, self.now, &self.ids).expect("there is something to do");
        if change.ask {
            let (_, analysis) = question(&change.deployment);
            let answer = (self.strategy)(&change.deployment, &analysis).map(|decision| (decision, plugin()));
            let answer = answer.map_err(|error| CallFailed { error, plugin: Some(plugin()) });
            let decided = decided(change.deployment, answer, self.now, &self.ids);
            change.events.extend(decided.events);
            change.effects.extend(decided.effects);
            change.deployment = decided.deployment;
        }
        self.take(change);
    }

    fn turn(&mut self) {
        if !self.effects.is_empty() && (waits_for_steps(&self.d) || self.random.random()) {
            self.carry_out_one();
        } else {
            self.look();
        }
    }

    fn run_while(&mut self, condition: impl Fn(&Story) -> bool) {
        let mut turns = 0;
        while condition(self) {
            turns += 1;
            assert!(turns < 20_000, "goes on for ever: {:#?}", self.d);
            self.turn();
        }
    }

    fn run(&mut self) {
        self.run_while(|story| !story.d.state.is_final());
    }

    fn moves(&self) -> Vec<&Move> {
        self.d.moves.iter().map(|record| &record.decided).collect()
    }
}

/// All replicas, then 10, 50 and 100 percent with a look at the failures of each, then the old ones go.
fn canary() -> Strategy {
    Box::new(|d, analysis| {
        let stage = d.strategy_state.as_ref().map_or(0, |state| state[0]);
        let next =
            |stage: u8, next: Move| Ok(Decision { next, reason: format!("stage {stage}"), state: Some(vec![stage]) });
        if stage == 0 {
            return next(1, Move::Start { count: d.spec.replicas });
        }
        if (2..=4).contains(&stage) {
            if analysis.failures * 100 > analysis.responses * 5 && analysis.responses > 50 {
                return next(stage, Move::RollBack { reason: "too many failures".to_owned() });
            }
            if analysis.responses < 200 {
                return next(stage, Move::Hold { span: Span::from_secs(5) });
            }
        }
        let stable = || of_side(d, Side::Stable).map(|replica| replica.name.clone()).collect::<Vec<_>>();
        match stage {
            1 => next(2, Move::Weight { percent: 10 }),
            2 => next(3, Move::Weight { percent: 50 }),
            3 => next(4, Move::Weight { percent: 100 }),
            4 => next(5, Move::Retire { replicas: stable() }),
            _ => next(6, Move::Complete),
        }
    })
}

/// These moves, one after another, then holds.
fn script(moves: Vec<Move>) -> Strategy {
    let mut moves: VecDeque<_> = moves.into();
    Box::new(move |_, _| Ok(said(moves.pop_front().unwrap_or(Move::Hold { span: Span::from_secs(10) }))))
}

#[test]
fn a_good_candidate_takes_over() {
    let mut story = Story::begin("v1", 2, canary(), 1);
    story.run();
    assert_eq!(story.d.state, DeploymentState::Succeeded, "{:?}", story.d.error);
    assert_eq!(story.world.weights(), [("web-v2-1", 128), ("web-v2-2", 128)].into());
    assert_eq!(story.world.outage, 0);
    assert_eq!(story.world.failures, 0);
    let weights: Vec<_> = story.d.moves.iter().filter(|record| matches!(record.decided, Move::Weight { .. })).collect();
    assert_eq!(weights.len(), 3);
    assert!(weights[2].analysis.responses >= 200, "what was seen at half of the traffic");
    assert_eq!(weights[2].plugin, Some(plugin()));
    let settled = settled(Some(record("v1")), &story.d, at(99));
    assert_eq!((settled.stable.as_str(), settled.since, settled.deployment), ("v2", at(99), None));
    assert_eq!(story.events.first().unwrap().event_type, "deployment.started");
    assert_eq!(story.events.last().unwrap().event_type, "deployment.finished");
}

#[test]
fn a_bad_candidate_is_rolled_back_before_it_hurts_many() {
    let mut story = Story::begin("v1", 2, canary(), 1);
    story.world.failing.insert("v2".to_owned(), 20);
    story.run();
    assert_eq!(story.d.state, DeploymentState::RolledBack);
    assert_eq!(story.d.error.as_deref(), Some("too many failures"));
    assert_eq!(story.world.weights(), [("web-v1-0", 128), ("web-v1-1", 128)].into());
    assert_eq!(story.world.outage, 0);
    assert!(story.world.failures * 100 < story.world.served * 3, "{} of {}", story.world.failures, story.world.served);
    let settled = settled(Some(record("v1")), &story.d, at(99));
    assert_eq!((settled.stable.as_str(), settled.since), ("v1", at(0)));
}

#[test]
fn the_first_deployment_gets_all_the_traffic_when_it_is_up() {
    let moves = vec![Move::Start { count: 2 }, Move::Complete];
    let mut story = Story::begin("", 2, script(moves), 1);
    story.run();
    assert_eq!(story.d.state, DeploymentState::Succeeded, "{:?}", story.d.error);
    assert_eq!(story.world.weights(), [("web-v2-1", 128), ("web-v2-2", 128)].into());
}

#[test]
fn the_whole_canary_works_for_a_first_deployment_too() {
    let mut story = Story::begin("", 2, canary(), 1);
    story.run();
    assert_eq!(story.d.state, DeploymentState::Succeeded, "{:?}", story.d.error);
}

#[test]
fn what_ran_before_the_first_deployment_is_the_stable_revision() {
    let mut story = Story::begin("v1", 2, canary(), 1);
    story.d.stable.clear();
    story.run();
    assert_eq!(story.d.stable, "v1");
    assert_eq!(story.d.state, DeploymentState::Succeeded, "{:?}", story.d.error);
}

#[test]
fn a_candidate_that_does_not_come_up_is_taken_away_again() {
    let mut story = Story::begin("v1", 2, canary(), 1);
    story.world.never_up.push("v2".to_owned());
    story.run();
    assert_eq!(story.d.state, DeploymentState::RolledBack);
    assert_eq!(story.d.error.as_deref(), Some("replica `web-v2-1` was not healthy within 1m"));
    assert_eq!(story.world.replicas.len(), 2);
    assert!(story.now <= at(70), "{}", story.now);
}

#[test]
fn a_paused_deployment_waits_for_a_person_and_heeds_only_a_wish_to_go_back() {
    let moves = vec![
        Move::Start { count: 2 },
        Move::Weight { percent: 10 },
        Move::Pause { reason: "look at it".to_owned() },
        Move::Weight { percent: 100 },
        Move::Weight { percent: 50 },
    ];
    let mut story = Story::begin("v1", 2, script(moves), 1);
    story.run_while(|story| story.d.state != DeploymentState::Paused);
    story.look();
    assert_eq!(story.d.state, DeploymentState::Paused, "the strategy's `weight 100` counts for nothing");
    assert_eq!(story.d.weight, 10);
    let change = promote(story.d.clone(), "ann", false, story.now, &story.ids).unwrap();
    story.take(change);
    assert!(story.d.promoted);
    story.look();
    assert_eq!((story.d.promoted, story.d.weight), (false, 50), "used up by the next decision");

    let moves = vec![
        Move::Start { count: 2 },
        Move::Pause { reason: "look at it".to_owned() },
        Move::RollBack { reason: "I see trouble".to_owned() },
    ];
    let mut story = Story::begin("v1", 2, script(moves), 1);
    story.run();
    assert_eq!(story.d.error.as_deref(), Some("I see trouble"));
}

/// Forgives two bad looks, and waits for a person before the candidate takes everything.
fn forgiving() -> Strategy {
    Box::new(|d, analysis| {
        let (stage, bad) = d.strategy_state.as_ref().map_or((0, 0), |state| (state[0], state[1]));
        let next = |stage: u8, bad: u8, next: Move| {
            Ok(Decision { next, reason: format!("stage {stage}"), state: Some(vec![stage, bad]) })
        };
        match stage {
            0 => next(1, 0, Move::Start { count: 2 }),
            1 => next(2, 0, Move::Weight { percent: 10 }),
            2 => next(3, 0, Move::Pause { reason: "look at it".to_owned() }),
            _ if analysis.failures == 0 => next(4, 0, Move::Weight { percent: 100 }),
            _ if bad == 2 => next(4, bad, Move::RollBack { reason: "three bad looks".to_owned() }),
            _ => next(3, bad + 1, Move::Hold { span: Span::from_secs(1) }),
        }
    })
}

#[test]
fn what_a_strategy_saw_while_paused_counts_when_it_goes_on() {
    let mut story = Story::begin("v1", 2, forgiving(), 1);
    story.world.failing.insert("v2".to_owned(), 20);
    story.run_while(|story| story.d.state != DeploymentState::Paused);
    let paused_at = story.now;
    story.look();
    story.look();
    assert_eq!(story.d.strategy_state, Some(vec![3, 2]), "two bad looks");
    assert!(
        story.now <= paused_at.plus(Span::from_secs(17)),
        "the second look comes as soon as the strategy asked for it"
    );
    let change = promote(story.d.clone(), "ann", false, story.now, &story.ids).unwrap();
    story.take(change);
    story.look();
    assert_eq!(story.d.error.as_deref(), Some("three bad looks"));
}

#[test]
fn a_progressing_deployment_is_promoted_in_full_or_not_at_all() {
    let asked = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let seen = asked.clone();
    let mut scripted = script(vec![
        Move::Start { count: 2 },
        Move::Weight { percent: 10 },
        Move::Hold { span: Span::from_secs(600) },
        Move::Pause { reason: "look at it".to_owned() },
        Move::Weight { percent: 100 },
    ]);
    let strategy: Strategy = Box::new(move |d, analysis| {
        seen.borrow_mut().push(d.promoted || d.in_full);
        scripted(d, analysis)
    });
    let mut story = Story::begin("v1", 2, strategy, 1);
    story.run_while(|story| story.d.moves.len() < 3);
    let refused = promote(story.d.clone(), "ann", false, story.now, &story.ids).unwrap_err();
    assert!(matches!(&refused, Error::Conflict { .. }));
    assert!(refused.to_string().contains("waits for nobody; hint: promote it in full"), "{refused}");
    let change = promote(story.d.clone(), "ann", true, story.now, &story.ids).unwrap();
    story.take(change);
    let promoted_at = story.now;
    story.run_while(|story| story.d.weight < 100);
    assert!(story.now <= promoted_at.plus(Span::from_secs(2)), "neither the hold nor the pause is waited for");
    assert_eq!(*asked.borrow(), [false, false, false, true, true]);
}

#[test]
fn traffic_is_given_only_to_replicas_that_are_healthy() {
    let moves = || {
        vec![
            Move::Start { count: 2 },
            Move::Weight { percent: 10 },
            Move::Hold { span: Span::from_secs(1) },
            Move::Weight { percent: 50 },
        ]
    };
    // Says the same until it is heeded.
    let steady = || -> Strategy {
        let moves = moves();
        Box::new(move |d, _| {
            Ok(said(moves.get(d.moves.len()).cloned().unwrap_or(Move::Hold { span: Span::from_secs(5) })))
        })
    };
    let mut story = Story::begin("v1", 2, steady(), 1);
    story.run_while(|story| story.d.moves.len() < 3);
    story.world.ill.push("web-v2-2".to_owned());
    story.run_while(|story| story.now < at(20));
    assert_eq!((story.d.weight, story.d.moves.len()), (10, 3), "it waits");
    story.world.ill.clear();
    story.run_while(|story| story.now < at(25));
    assert_eq!(story.d.weight, 50);

    story.world.ill.push("web-v2-1".to_owned());
    story.run();
    assert_eq!(story.d.state, DeploymentState::RolledBack);
    assert_eq!(story.d.error.as_deref(), Some("replica `web-v2-1` has not been healthy for 1m"));
    assert_eq!(story.world.weights(), [("web-v1-0", 128), ("web-v1-1", 128)].into());

    let mut story = Story::begin("v1", 2, steady(), 1);
    story.world.ill.push("web-v1-1".to_owned());
    story.run_while(|story| story.d.weight < 50);
    story.run_while(|story| waits_for_steps(&story.d));
    let weights = story.world.weights();
    assert_eq!((weights["web-v1-0"], weights["web-v1-1"]), (128, 0), "the stable replica that is well takes it all");
    let change = abort(story.d.clone(), "ben", "", story.now, &story.ids).unwrap();
    story.take(change);
    story.run();
    let error = "aborted by ben; not healthy and without traffic: `web-v1-1`";
    assert_eq!((story.d.state, story.d.error.as_deref()), (DeploymentState::RolledBack, Some(error)));
    assert_eq!(story.world.weights()["web-v1-0"], 256);
}

#[test]
fn a_stable_replica_that_recovers_on_the_way_back_gets_its_share_again() {
    let mut story = Story::begin("v1", 2, script(vec![Move::Start { count: 2 }, Move::Weight { percent: 50 }]), 1);
    story.world.ill.push("web-v1-1".to_owned());
    story.run_while(|story| story.d.weight < 50 || waits_for_steps(&story.d));
    let change = abort(story.d.clone(), "ben", "", story.now, &story.ids).unwrap();
    story.take(change);
    let from = story.now;
    story.run_while(|story| story.now < from.plus(Span::from_secs(10)));
    assert_eq!(story.world.replicas.len(), 2, "the candidate is not kept for it");
    story.world.ill.clear();
    story.run();
    assert_eq!((story.d.state, story.d.error.as_deref()), (DeploymentState::RolledBack, Some("aborted by ben")));
    assert_eq!(story.world.weights(), [("web-v1-0", 128), ("web-v1-1", 128)].into());
}

#[test]
fn a_person_takes_it_back_and_what_was_retired_is_started_again() {
    let moves = vec![
        Move::Start { count: 2 },
        Move::Weight { percent: 50 },
        Move::Retire { replicas: vec!["web-v1-0".to_owned()] },
    ];
    let mut story = Story::begin("v1", 2, script(moves), 1);
    story.run_while(|story| story.world.replicas.iter().any(|replica| replica.name == "web-v1-0"));
    assert_eq!(story.d.weight, 50, "the share stays as it was");
    let change = abort(story.d.clone(), "ben", "looks odd", story.now, &story.ids).unwrap();
    story.take(change);
    assert_eq!(story.d.state, DeploymentState::RollingBack);
    assert!(matches!(abort(story.d.clone(), "ben", "", story.now, &story.ids), Err(Error::Conflict { .. })));
    story.run();
    assert_eq!(story.d.state, DeploymentState::RolledBack);
    assert_eq!(story.d.error.as_deref(), Some("aborted by ben: looks odd"));
    let revisions: Vec<_> = story.world.replicas.iter().map(|replica| replica.revision.as_str()).collect();
    assert_eq!(revisions, ["v1", "v1"]);
    assert_eq!(story.world.weights().values().sum::<u32>(), 256);
    assert_eq!(story.world.outage, 0);
}

#[test]
fn a_candidate_serves_on_when_stable_does_not_come_back() {
    let moves = vec![
        Move::Start { count: 2 },
        Move::Weight { percent: 100 },
        Move::Retire { replicas: vec!["web-v1-0".to_owned(), "web-v1-1".to_owned()] },
    ];
    let mut story = Story::begin("v1", 2, script(moves), 1);
    story.world.never_up.push("v1".to_owned());
    story.run_while(|story| story.d.moves.len() < 4);
    let change = abort(story.d.clone(), "ben", "", story.now, &story.ids).unwrap();
    story.take(change);
    story.run();
    assert_eq!(story.d.state, DeploymentState::Failed);
    assert_eq!(
        story.d.error.as_deref(),
        Some("aborted by ben; rolling back failed: no replica of `v1` is healthy; the traffic is left where it is")
    );
    assert_eq!(story.world.outage, 0);
}

#[test]
fn a_move_that_makes_no_sense_is_rolled_back() {
    let check = |moves: Vec<Move>, expected: &str| {
        let mut story = Story::begin("v1", 2, script(moves), 1);
        story.run();
        assert_eq!(story.d.state, DeploymentState::RolledBack);
        let error = story.d.error.unwrap();
        assert_eq!(error, format!("the strategy's move can't be carried out: {expected}"));
        assert_eq!(story.world.outage, 0);
    };
    check(vec![Move::Complete], "complete, while 2 replicas of `v1` are left");
    let all = || vec!["web-v1-0".to_owned(), "web-v1-1".to_owned()];
    check(vec![Move::Retire { replicas: all() }], "no healthy replica would take traffic");
    check(vec![Move::Weight { percent: 10 }], "traffic for the candidate, which has no replicas");
    check(vec![Move::Weight { percent: 120 }], "120 % of the traffic");
    check(vec![Move::Start { count: 0 }], "it starts no replicas");
    check(vec![Move::Start { count: 5 }], "it would make 5 replicas of the candidate, more than 4");
    let early = vec![Move::Start { count: 1 }, Move::Weight { percent: 50 }, Move::Complete];
    check(early, "complete, while 2 replicas of `v1` are left");
}

#[test]
fn errors_are_held_out_four_times_in_a_row() {
    let failing = |good_after: u32| -> Strategy {
        let mut asked = 0;
        Box::new(move |_, _| {
            asked += 1;
            if asked <= good_after {
                return Err(CallError::Trapped { reason: "unreachable".to_owned() });
            }
            Ok(said(Move::Hold { span: Span::from_secs(10) }))
        })
    };
    let mut story = Story::begin("v1", 2, failing(4), 1);
    story.run_while(|story| story.now < at(100));
    assert_eq!((story.d.state, story.d.errors), (DeploymentState::Progressing, 0));
    assert_eq!(story.d.moves.len(), 1, "a long wait is one entry");

    let mut story = Story::begin("v1", 2, failing(5), 1);
    story.run();
    assert_eq!(story.now, at(15), "1, 2, 4 and 8 seconds");
    assert_eq!(story.d.error.as_deref(), Some("the strategy failed 5 times in a row: the plugin trapped: unreachable"));
    assert_eq!(story.d.state, DeploymentState::RolledBack);
    let back = story.d.moves.iter().find(|moved| matches!(moved.decided, Move::RollBack { .. })).unwrap();
    assert_eq!(back.plugin, Some(plugin()), "the one that has failed");

    let mut story = Story::begin("v1", 2, failing(0), 1);
    story.bad_looks = 100;
    story.run();
    assert_eq!(story.d.error.as_deref(), Some("the target failed 5 times in a row: no answer"));
}

#[test]
fn a_deployment_that_is_not_done_in_time_is_rolled_back() {
    let mut story = Story::begin("v1", 2, script(vec![Move::Start { count: 2 }, Move::Weight { percent: 10 }]), 1);
    story.run();
    assert_eq!(story.d.state, DeploymentState::RolledBack);
    assert_eq!(story.d.error.as_deref(), Some("not done within 1h"));
    assert_eq!(story.d.moves.last().unwrap().plugin, None, "the host's own decision");
}

#[test]
fn a_deployment_begins_only_where_it_makes_sense() {
    let mut runs = Vec::new();
    for replica in ["a", "b"] {
        apply(&mut runs, &Step::Start { replica: replica.to_owned(), revision: "v2".to_owned() });
    }
    runs.iter_mut().for_each(|replica| replica.phase = ReplicaPhase::Healthy);
    let begun = |seen: &[Replica], record: ServiceRecord, revision: &str| {
        let (id, ids) = (DeploymentId::from("dep_2"), IdSource::seeded(1));
        let known = Known { service: "web", spec: &spec(2), record: Some(&record), seen };
        begin(id, known, request(revision), at(0), &ids)
    };
    let refused = |record, revision: &str| begun(&runs, record, revision).unwrap_err().to_string();
    assert_eq!(
        refused(record("v2"), "v2"),
        "revision `v2` is what service `web` runs already, and all of its replicas are healthy (2)"
    );
    assert!(begun(&runs[..1], record("v2"), "v2").unwrap().effects.is_empty(), "one is missing");
    let mut unwell = runs.clone();
    unwell[0].phase = ReplicaPhase::Unhealthy;
    let change = begun(&unwell, record("v2"), "v2").unwrap();
    assert_eq!(change.effects.iter().map(|effect| effect.purpose.as_str()).collect::<Vec<_>>(), ["stop of `a`"]);
    assert_eq!(
        refused(ServiceRecord { deployment: Some(DeploymentId::from("dep_1")), ..record("v1") }, "v2"),
        "deployment `dep_1` of service `web` is under way; hint: wait for it, promote it if it waits for a person \
         (`quarterdeck deployment promote dep_1`), or take it back (`quarterdeck deployment abort dep_1`)"
    );
    let refused = |record, revision: &str| begun(&[], record, revision).unwrap_err().to_string();
    assert!(refused(record("v1"), "").contains("is not a revision; hint: "));
    assert!(refused(record("v1"), "a b").contains("is not a revision"));
}

/// A deployment of the stable revision, of which this is left.
fn restoring(left: &[ReplicaPhase]) -> Story {
    let mut story = Story::begin("", 2, canary(), 1);
    let mut seen = Vec::new();
    for (number, phase) in left.iter().enumerate() {
        apply(&mut seen, &Step::Start { replica: format!("web-v2-{}", number + 1), revision: "v2".to_owned() });
        seen[number].phase = *phase;
        seen[number].weight = 128;
    }
    let (id, known) = (story.d.id.clone(), record("v2"));
    let known = Known { service: "web", spec: &spec(2), record: Some(&known), seen: &seen };
    let change = begin(id, known, request("v2"), at(0), &story.ids).unwrap();
    story.world.replicas = seen;
    story.take(change);
    story
}

#[test]
fn the_stable_revision_is_brought_back_and_what_is_not_well_of_it_goes_first() {
    let mut story = restoring(&[ReplicaPhase::Unhealthy, ReplicaPhase::Stopped]);
    story.run();
    assert_eq!(story.d.state, DeploymentState::Succeeded, "{:?}", story.d.error);
    assert!(story.world.replicas.iter().all(is_healthy));
    assert_eq!(story.world.weights(), [("web-v2-1", 128), ("web-v2-2", 128)].into());
    let record = settled(Some(record("v2")), &story.d, at(9));
    assert_eq!((record.stable.as_str(), record.deployment), ("v2", None));
}

#[test]
fn what_is_well_of_the_stable_revision_stays_when_the_rest_of_it_does_not_come_back() {
    let mut story = restoring(&[ReplicaPhase::Healthy, ReplicaPhase::Unhealthy]);
    story.world.never_up.push("v2".to_owned());
    story.run();
    assert_eq!(story.d.state, DeploymentState::RolledBack, "{:?}", story.d.error);
    assert_eq!(story.world.weights(), [("web-v2-1", TOTAL)].into());
    let mut story = restoring(&[ReplicaPhase::Unhealthy]);
    story.world.never_up.push("v2".to_owned());
    story.run();
    assert_eq!(story.d.state, DeploymentState::Failed);
    assert!(story.d.error.as_deref().unwrap().contains("no replica of `v2` is healthy"), "{:?}", story.d.error);
}

#[test]
fn holds_are_gathered_and_other_moves_are_kept() {
    let hold = || Move::Hold { span: Span::from_secs(1) };
    let moves = vec![hold(), hold(), Move::Start { count: 1 }, hold(), hold()];
    let mut story = Story::begin("v1", 2, script(moves), 1);
    story.run_while(|story| story.now < at(20));
    let kinds: Vec<_> = story.moves().into_iter().map(|next| matches!(next, Move::Hold { .. })).collect();
    assert_eq!(kinds, [true, false, true]);
    let told = story.events.iter().filter(|event| event.event_type == "deployment.moved").count();
    assert!(told >= 5, "{told}: the log has all of them");
}

fn random_move(random: &mut StdRng, d: &Deployment) -> Move {
    let names = |wanted: Side, random: &mut StdRng| {
        let of_it = d.replicas.iter().filter(|replica| side(d, replica) == wanted);
        of_it.filter(|_| random.random_range(0..3) > 0).map(|replica| replica.name.clone()).collect::<Vec<_>>()
    };
    match random.random_range(0..20) {
        0..5 => Move::Start { count: random.random_range(1..3) },
        5..11 => Move::Weight { percent: *[0, 1, 10, 33, 50, 99, 100, 100].get(random.random_range(0..8)).unwrap() },
        11..14 => Move::Retire { replicas: names(Side::Stable, random) },
        14 => Move::Retire { replicas: names(Side::Candidate, random) },
        15 => Move::Pause { reason: "wait".to_owned() },
        16 => Move::RollBack { reason: "no".to_owned() },
        17 => Move::Complete,
        _ => Move::Hold { span: Span::from_secs(random.random_range(0..30)) },
    }
}

fn anything(seed: u64) -> Strategy {
    let mut random = StdRng::seed_from_u64(seed);
    Box::new(move |d, _| match random.random_range(0..20) {
        0 => Err(CallError::Other { message: "no idea".to_owned() }),
        // Now and then what leads somewhere, so that ends are reached too.
        1..6 if !of_side(d, Side::Candidate).any(is_live) => Ok(said(Move::Start { count: 2 })),
        1..6 if d.weight < 100 => Ok(said(Move::Weight { percent: 100 })),
        1..6 => match of_side(d, Side::Stable).map(|replica| replica.name.clone()).collect::<Vec<_>>() {
            left if left.is_empty() => Ok(said(Move::Complete)),
            left => Ok(said(Move::Retire { replicas: left })),
        },
        _ => Ok(said(random_move(&mut random, d))),
    })
}

/// A strategy that says anything, steps that fail, people who meddle, a crash after every change.
fn chaos(seed: u64, bad_steps: u32, bad_looks: u32) -> Story {
    let mut random = StdRng::seed_from_u64(seed ^ 0xabcd);
    let replicas = random.random_range(1..5);
    let stable = if random.random_range(0..5) == 0 { "" } else { "v1" };
    let mut story = Story::begin(stable, replicas, anything(seed), seed);
    story.bad_steps = bad_steps;
    story.bad_looks = bad_looks;
    let mut turns = 0;
    while !story.d.state.is_final() {
        turns += 1;
        assert!(turns < 20_000, "seed {seed}: goes on for ever: {:#?}", story.d);
        match random.random_range(0..100) {
            0 => {
                if let Ok(change) = abort(story.d.clone(), "ben", "", story.now, &story.ids) {
                    story.take(change);
                }
            }
            1..6 => {
                if let Ok(change) =
                    promote(story.d.clone(), "ben", random.random_range(0..4) == 0, story.now, &story.ids)
                {
                    story.take(change);
                }
            }
            _ => story.turn(),
        }
        let weighed =
            story.d.in_flight.is_empty() && story.d.moves.iter().any(|m| matches!(m.decided, Move::Weight { .. }));
        if weighed && story.d.state == DeploymentState::Progressing {
            let live = story.d.replicas.iter().filter(|replica| is_live(replica));
            assert_eq!(live.map(|replica| replica.weight).sum::<u32>(), TOTAL, "seed {seed}: {:#?}", story.d);
        }
    }
    // What the outbox still holds is carried out all the same, and changes nothing any more.
    let end = story.d.clone();
    while !story.effects.is_empty() {
        story.carry_out_one();
    }
    assert_eq!(story.d, end, "seed {seed}");
    assert!(story.d.finished_at.is_some());
    story
}

#[test]
fn whatever_the_strategy_says_there_is_always_somebody_who_serves() {
    let mut ends = BTreeMap::new();
    for seed in 0..1_500 {
        let story = chaos(seed, 0, 0);
        *ends.entry(format!("{:?}", story.d.state)).or_insert(0) += 1;
        // Taking a first deployment away leaves nobody: there was nobody before it either.
        if !story.d.stable.is_empty() {
            assert_eq!(story.world.outage, 0, "seed {seed}: {:#?}", story.d);
            let healthy = story.world.replicas.iter().filter(|replica| is_healthy(replica));
            assert!(healthy.map(|replica| replica.weight).sum::<u32>() > 0, "seed {seed}: {:#?}", story.d);
        }
        let goes_with = |revision: &str| story.world.replicas.iter().filter(|r| r.revision == revision).count();
        match story.d.state {
            DeploymentState::Succeeded => assert_eq!(goes_with("v1"), 0, "seed {seed}"),
            DeploymentState::RolledBack => assert_eq!(goes_with("v2"), 0, "seed {seed}"),
            other => panic!("seed {seed}: {other:?}: {:?}", story.d.error),
        }
    }
    assert!(ends["Succeeded"] > 100 && ends["RolledBack"] > 100, "{ends:?}");
}

#[test]
fn a_deployment_ends_and_serves_although_steps_and_looks_fail() {
    let mut ends = BTreeMap::new();
    for seed in 0..1_500 {
        let story = chaos(seed, 15, 10);
        *ends.entry(format!("{:?}", story.d.state)).or_insert(0) += 1;
        if !story.d.stable.is_empty() {
            assert_eq!(story.world.outage, 0, "seed {seed}: {:#?}", story.d);
        }
    }
    assert!(ends["RolledBack"] > 100 && ends["Failed"] > 10, "{ends:?}");
}
