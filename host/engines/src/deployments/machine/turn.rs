//! One run through the machine: what was seen, what was decided, what is done about it, and how steps ended.

use super::super::analysis::analyse;
use super::super::steps::{Goal, Side, apply, is_healthy, is_live, name, of_side, replica_of};
use super::{LOOK, Turn, waits_for_steps};
use quarterdeck_model::domain::deployment::{Deployment, DeploymentState, MoveRecord, StepInFlight};
use quarterdeck_model::effect::{Action, Backoff, Effect};
use quarterdeck_model::kind::deployment_strategy::{Decision, Move};
use quarterdeck_model::kind::deployment_target::{Observation, Replica, Step};
use quarterdeck_model::plugin::{CallFailed, PluginRef};
use quarterdeck_model::{Span, Timestamp};
use serde_json::json;

/// Between looks while a person is waited for.
const PAUSED_LOOK: Span = Span::from_secs(15);
const SHORTEST_HOLD: Span = Span::from_millis(100);
/// Observations and decisions may fail this often in a row.
const ERRORS: u32 = 4;
const LONGEST_ERROR_HOLD: Span = Span::from_secs(30);
const WEIGHT_WITHIN: Span = Span::from_secs(2 * 60);
const STOP_WITHIN: Span = Span::from_secs(2 * 60);
/// A drain waits for requests in flight, as long as the target's configuration says.
const DRAIN_WITHIN: Span = Span::from_secs(10 * 60);
const BACKOFF: Backoff = Backoff { first: Span::from_millis(500), cap: Span::from_secs(10), attempts: 100 };
/// Decisions that a document keeps, the newest ones; the log of events has all.
const MOVES: usize = 256;

impl Turn<'_> {
    pub(super) fn observe(&mut self, observation: Observation) {
        let mut replicas = observation.replicas;
        // What was started and has not been seen yet is on its way.
        for step in &self.d.in_flight {
            if matches!(step.step, Step::Start { .. }) {
                apply(&mut replicas, &step.step);
            }
        }
        if self.d.state == DeploymentState::RollingBack {
            // What it shall be told counts, not what it was told last.
            for replica in &mut replicas {
                if let Some(known) = self.d.replicas.iter().find(|known| known.name == replica.name) {
                    replica.weight = known.weight;
                }
            }
        }
        self.d.replicas = replicas;
        if self.d.stable.is_empty() && self.d.moves.is_empty() && !self.d.restores {
            self.d.stable = self.in_charge();
        }
        if self.d.baseline.is_empty() {
            self.d.baseline.clone_from(&self.d.replicas);
            self.d.baseline_at = self.now;
        }
        if !self.d.in_flight.is_empty() {
            self.d.errors = 0;
        }
    }

    /// Stops the replicas of the candidate that are not well: a strategy would take them for a bad candidate.
    pub(super) fn clear_away(&mut self, seen: &[Replica]) {
        self.d.replicas = seen.to_vec();
        let unwell = of_side(&self.d, Side::Candidate).filter(|replica| !is_healthy(replica));
        let steps: Vec<_> = unwell.map(|replica| Step::Stop { replica: replica.name.clone() }).collect();
        if !steps.is_empty() {
            self.emit(steps);
        }
    }

    /// The revision, other than the candidate, that takes the most traffic: what runs before the first deployment was not
    /// started by one.
    pub(super) fn in_charge(&self) -> String {
        let mut most = (0, "");
        for replica in self.d.replicas.iter().filter(|replica| is_live(replica)) {
            let of_it = self.d.replicas.iter().filter(|other| other.revision == replica.revision && is_live(other));
            let weight: u32 = of_it.map(|other| other.weight).sum();
            if replica.revision != self.d.candidate && weight > most.0 {
                most = (weight, &replica.revision);
            }
        }
        most.1.to_owned()
    }

    pub(super) fn look(&mut self, failure: Option<CallFailed>) {
        let going_back = self.d.state == DeploymentState::RollingBack;
        if self.d.deadline <= self.now {
            return if going_back {
                self.fail("it took too long")
            } else {
                self.go_back(format!("not done within {}", self.d.spec.timeout))
            };
        }
        if waits_for_steps(&self.d) {
            self.d.next_look = self.d.deadline;
            return;
        }
        if let Some(failed) = failure
            && !going_back
        {
            return self.error("target", &failed.to_string(), failed.plugin);
        }
        if going_back || !self.d.in_flight.is_empty() {
            self.proceed();
        } else if self.unwell_for_too_long() {
            let (unwell, within) = (self.unwell(None).unwrap_or_default(), self.d.spec.start_timeout);
            self.go_back(format!("replica {unwell} has not been healthy for {within}"));
        } else {
            self.ask = true;
        }
    }

    pub(super) fn unwell_for_too_long(&mut self) -> bool {
        if self.unwell(None).is_none() {
            self.d.unwell_since = None;
            return false;
        }
        let since = *self.d.unwell_since.get_or_insert(self.now);
        since.plus(self.d.spec.start_timeout) <= self.now
    }

    /// A replica of the candidate that is not healthy, and why; of those that `goal` gives traffic to, if there is one.
    pub(super) fn unwell(&self, goal: Option<&Goal>) -> Option<String> {
        let weights = goal.map(|goal| goal.weights(&self.d));
        let counts = |replica: &&Replica| {
            is_live(replica)
                && !is_healthy(replica)
                && weights.as_ref().is_none_or(|weights| weights.get(&replica.name).is_some_and(|weight| *weight > 0))
        };
        of_side(&self.d, Side::Candidate).find(counts).map(described)
    }

    /// Something that is asked again later, but not for ever. `plugin`: the one that failed.
    pub(super) fn error(&mut self, who: &str, error: &str, plugin: Option<PluginRef>) {
        self.d.errors = self.d.errors.saturating_add(1);
        if self.d.errors > ERRORS {
            let reason = format!("the {who} failed {} times in a row: {error}", self.d.errors);
            return self.go_back_because_of(plugin, reason);
        }
        let factor = 1u64.checked_shl(self.d.errors.saturating_sub(1)).unwrap_or(u64::MAX);
        let hold = Span::from_millis(LOOK.as_millis().saturating_mul(factor)).min(LONGEST_ERROR_HOLD);
        self.d.next_look = self.now.plus(hold);
    }

    pub(super) fn decide(&mut self, decision: Decision, plugin: PluginRef) {
        self.d.errors = 0;
        if self.d.state == DeploymentState::Paused && !matches!(decision.next, Move::RollBack { .. }) {
            // One that wants to look again sooner has a reason, and may remember what it has seen. What goes with a move that
            // is not carried out would say that it was.
            let again = match decision.next {
                Move::Hold { span } => span.max(SHORTEST_HOLD).min(PAUSED_LOOK),
                _ => PAUSED_LOOK,
            };
            if matches!(decision.next, Move::Hold { .. } | Move::Pause { .. }) {
                self.d.strategy_state = decision.state;
            }
            self.d.next_look = self.now.plus(again);
            return;
        }
        let refusal = self.refusal(&decision.next);
        if refusal.is_none() && self.goal_of(&decision.next).is_some_and(|goal| self.unwell(Some(&goal)).is_some()) {
            // As if it had not been asked: it is asked again, and may go back instead.
            self.d.next_look = self.now.plus(LOOK);
            return;
        }
        self.d.promoted = false;
        self.d.strategy_state = decision.state;
        self.d.state = DeploymentState::Progressing;
        self.record(decision.next.clone(), decision.reason, Some(plugin));
        if let Some(refusal) = refusal {
            return self.go_back(format!("the strategy's move can't be carried out: {refusal}"));
        }
        if let Some(goal) = self.goal_of(&decision.next) {
            self.d.weight = goal.effective(&self.d);
        }
        self.d.next_look = self.now.plus(LOOK);
        match decision.next {
            Move::Start { count } => self.start_candidates(count),
            Move::Weight { .. } | Move::Retire { .. } | Move::Complete => self.proceed(),
            Move::Hold { span } => self.d.next_look = self.now.plus(span.max(SHORTEST_HOLD)),
            // Whoever promotes it in full has said already what would be asked.
            Move::Pause { .. } if self.d.in_full => {}
            Move::Pause { reason } => {
                self.d.state = DeploymentState::Paused;
                self.d.next_look = self.now.plus(PAUSED_LOOK);
                self.tell(Deployment::PAUSED, json!({"reason": reason}));
            }
            Move::RollBack { reason } => self.begin_going_back(reason),
        }
    }

    /// Why a move makes no sense.
    pub(super) fn refusal(&self, next: &Move) -> Option<String> {
        let candidates = || of_side(&self.d, Side::Candidate).filter(|replica| is_live(replica));
        match next {
            Move::Start { count } => {
                let most = usize::try_from(self.d.spec.replicas.max(1)).unwrap_or(usize::MAX).saturating_mul(2);
                let wanted = candidates().count().saturating_add(usize::try_from(*count).unwrap_or(usize::MAX));
                if *count == 0 {
                    return Some("it starts no replicas".to_owned());
                }
                (wanted > most).then(|| format!("it would make {wanted} replicas of the candidate, more than {most}"))
            }
            Move::Weight { percent } if *percent > 100 => Some(format!("{percent} % of the traffic")),
            Move::Weight { percent } if *percent > 0 && candidates().next().is_none() => {
                Some("traffic for the candidate, which has no replicas".to_owned())
            }
            Move::Complete => self.incomplete(),
            Move::Weight { .. } | Move::Retire { .. } => {
                let serves = self.goal_of(next).is_none_or(|goal| goal.serves(&self.d));
                (!serves).then(|| "no healthy replica would take traffic".to_owned())
            }
            Move::Hold { .. } | Move::Pause { .. } | Move::RollBack { .. } => None,
        }
    }

    /// Why the candidate is not the stable revision yet.
    pub(super) fn incomplete(&self) -> Option<String> {
        let left = of_side(&self.d, Side::Stable).filter(|replica| is_live(replica)).count();
        if left > 0 {
            return Some(format!("complete, while {left} replicas of `{}` are left", self.d.stable));
        }
        let healthy = of_side(&self.d, Side::Candidate).any(|replica| is_healthy(replica) && replica.weight > 0);
        (!healthy).then(|| "complete, while no healthy replica of the candidate takes traffic".to_owned())
    }

    pub(super) fn record(&mut self, next: Move, reason: String, plugin: Option<PluginRef>) {
        let analysis = analyse(&self.d);
        let data = json!({"move": next, "reason": reason, "analysis": analysis});
        self.tell(Deployment::MOVED, data);
        if let Some(event) = self.events.pop() {
            self.events.push(event.plugin(plugin.clone()));
        }
        let record = MoveRecord { at: self.now, decided: next, reason, analysis, plugin };
        // A long wait is one entry, that of its last look.
        let holds = |record: &MoveRecord| matches!(record.decided, Move::Hold { .. });
        if self.d.moves.last().is_some_and(holds) && holds(&record) {
            self.d.moves.pop();
        }
        self.d.moves.push(record);
        if self.d.moves.len() > MOVES {
            self.d.moves.remove(0);
        }
    }

    pub(super) fn start_candidates(&mut self, count: u32) {
        let (revision, mut steps) = (self.d.candidate.clone(), Vec::new());
        for _ in 0..count {
            steps.push(self.new_replica(&revision));
        }
        self.emit(steps);
    }

    /// A step that starts a replica under a name that is free.
    pub(super) fn new_replica(&mut self, revision: &str) -> Step {
        loop {
            self.d.started_replicas = self.d.started_replicas.saturating_add(1);
            let name = name(&self.d.service, revision, self.d.started_replicas);
            if !self.d.replicas.iter().any(|replica| replica.name == name) {
                let step = Step::Start { replica: name, revision: revision.to_owned() };
                apply(&mut self.d.replicas, &step);
                return step;
            }
        }
    }

    pub(super) fn emit(&mut self, steps: Vec<Step>) {
        self.d.in_flight.clear();
        self.d.next_look = self.d.deadline;
        for step in steps {
            let within = match step {
                Step::Start { .. } => self.d.spec.start_timeout,
                Step::Weight { .. } => WEIGHT_WITHIN,
                Step::Drain { .. } => DRAIN_WITHIN,
                Step::Stop { .. } => STOP_WITHIN,
            };
            let action = Action::ApplyStep { service: self.d.service.clone(), step: step.clone() };
            let mut effect = Effect::new(self.ids, self.now, self.d.id.as_str(), self.d.spec.target.clone(), action);
            effect.purpose = purpose(&step);
            // In order for one replica, so that the last word on it stands; side by side for several.
            effect.ordering_key = format!("{}/{}", self.d.service, replica_of(&step));
            effect.backoff = BACKOFF;
            effect.expires = self.now.plus(within);
            self.d.in_flight.push(StepInFlight { effect: effect.id.clone(), step, done: false });
            self.effects.push(effect);
        }
    }

    pub(super) fn step_done(&mut self, index: usize, step: &Step) {
        apply(&mut self.d.replicas, step);
        if let Some(in_flight) = self.d.in_flight.get_mut(index) {
            in_flight.done = true;
        }
        self.batch_may_be_done();
    }

    pub(super) fn batch_may_be_done(&mut self) {
        if waits_for_steps(&self.d) {
            return;
        }
        if self.d.in_flight.iter().any(|step| matches!(step.step, Step::Start { .. })) {
            // Whether they are well is for an observation to say.
            self.d.next_look = self.now;
        } else {
            self.proceed();
        }
    }

    pub(super) fn step_failed(&mut self, index: usize, step: &Step, reason: &str) {
        let failure = format!("{} failed: {reason}", purpose(step));
        if self.d.state != DeploymentState::RollingBack {
            return self.go_back(failure);
        }
        match step {
            Step::Stop { .. } => self.fail(&failure),
            // Whatever could not be asked to leave is stopped anyway.
            Step::Drain { .. } | Step::Weight { weight: 0, .. } => self.step_done(index, step),
            // A stable replica that can't be brought back is given up; whether another one is there is seen next.
            Step::Start { replica, .. } | Step::Weight { replica, .. } => {
                let reason = self.d.error.take().unwrap_or_default();
                self.d.error = Some(format!("{reason}; {failure}"));
                self.d.replicas.retain(|known| known.name != *replica);
                self.d.in_flight.remove(index);
                self.batch_may_be_done();
            }
        }
    }

    /// All steps of the batch are done: takes the next batch, or ends the move.
    pub(super) fn proceed(&mut self) {
        if self.d.state == DeploymentState::RollingBack {
            return self.proceed_back();
        }
        if let Some(waited_for) = self.not_healthy() {
            if self.moved_at().plus(self.d.spec.start_timeout) <= self.now {
                let within = self.d.spec.start_timeout;
                return self.go_back(format!("replica {waited_for} was not healthy within {within}"));
            }
            self.d.next_look = self.now.plus(LOOK);
            return;
        }
        let batch = std::mem::take(&mut self.d.in_flight);
        let last = self.d.moves.last().map(|record| record.decided.clone());
        let goal = match &last {
            // Nothing else takes traffic, so there is nobody to share it with.
            Some(Move::Start { .. }) if of_side(&self.d, Side::Stable).all(|replica| !is_live(replica)) => {
                Some(Goal::share(100))
            }
            Some(last) => self.goal_of(last),
            None => None,
        };
        if let Some(goal) = &goal {
            let batch = goal.next_batch(&self.d);
            if !batch.is_empty() {
                self.d.weight = goal.effective(&self.d);
                return self.emit(batch);
            }
        }
        if last == Some(Move::Complete) {
            self.d.weight = 100;
            return self.finish(DeploymentState::Succeeded);
        }
        if batch.iter().any(|step| matches!(step.step, Step::Weight { .. })) {
            // Counted anew from the next look.
            self.d.baseline.clear();
            self.d.baseline_at = self.now;
        }
        if !batch.is_empty() {
            self.d.next_look = self.now;
        }
    }

    /// What a move wants to be true in the end. `None` for one that takes no steps, or whose steps are starts.
    pub(super) fn goal_of(&self, next: &Move) -> Option<Goal> {
        match next {
            Move::Weight { percent } => Some(Goal::share(*percent)),
            Move::Retire { replicas } => {
                Some(Goal { percent: self.d.weight, retire: replicas.iter().cloned().collect() })
            }
            Move::Complete => {
                let left = self.d.replicas.iter().filter(|replica| replica.revision != self.d.candidate);
                Some(Goal { percent: 100, retire: left.map(|replica| replica.name.clone()).collect() })
            }
            Move::Start { .. } | Move::Hold { .. } | Move::Pause { .. } | Move::RollBack { .. } => None,
        }
    }

    /// A started replica of the batch that is not healthy yet, and why.
    pub(super) fn not_healthy(&self) -> Option<String> {
        let started = self.d.in_flight.iter().filter(|step| matches!(step.step, Step::Start { .. }));
        let mut waited_for = started.filter_map(|step| {
            let replica = self.d.replicas.iter().find(|replica| replica.name == replica_of(&step.step));
            match replica {
                Some(replica) if is_healthy(replica) => None,
                Some(replica) => Some(described(replica)),
                None => Some(format!("`{}`", replica_of(&step.step))),
            }
        });
        waited_for.next()
    }

    pub(super) fn moved_at(&self) -> Timestamp {
        self.d.moves.last().map_or(self.d.started_at, |record| record.at)
    }

    pub(super) fn finish(&mut self, state: DeploymentState) {
        self.d.state = state;
        self.d.finished_at = Some(self.now);
        self.d.in_flight.clear();
        let error = self.d.error.clone();
        self.tell(Deployment::FINISHED, json!({"error": error}));
    }
}

fn described(replica: &Replica) -> String {
    if replica.message.is_empty() {
        return format!("`{}`", replica.name);
    }
    format!("`{}` ({})", replica.name, replica.message)
}

/// What a step does, for people.
fn purpose(step: &Step) -> String {
    match step {
        Step::Start { replica, .. } => format!("start of `{replica}`"),
        Step::Weight { replica, weight } => format!("weight {weight} for `{replica}`"),
        Step::Drain { replica } => format!("drain of `{replica}`"),
        Step::Stop { replica } => format!("stop of `{replica}`"),
    }
}
