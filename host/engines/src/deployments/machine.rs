//! The life of a deployment, pure: `(deployment, what happened, now) -> (deployment', events, effects)`.
//!
//! - The strategy is asked whenever nothing is under way and the time of the next look has come. Its move becomes batches of
//!   steps (see `steps`); each step is an effect. When the last batch is done, and started replicas are healthy, it is asked again.
//! - While it is paused the strategy is asked on, but only its wish to go back is heeded, until a person promotes. What it has seen
//!   meanwhile it may remember: its state is kept unless a move goes with it that is not carried out.
//! - Traffic is given to replicas of the candidate that are healthy, and to nobody else: a move that would do otherwise waits. One that
//!   stays unhealthy for as long as a start may take ends the deployment.
//! - Whatever goes wrong - a step that fails, a replica that does not come up, a move that makes no sense, the deadline, a
//!   person's word - leads to one place: rolling back.
//! - Rolling back starts what was retired of the stable revision, gives it all traffic, and only then takes the candidate away. It
//!   ends as rolled back, or, where even that does not work, as failed: then a person has to look, and what takes traffic keeps it.
//! - The stable revision itself is deployed again only where replicas of it are missing or not well. Those that are not well are stopped,
//!   then it goes on as with a first revision; those that are well stay whatever happens, since there is nothing to go back to.
//!
//! The way back is in `machine/back`.
//!
//! `in_flight` holds the batch under way. It is empty when nothing is; when all of it is done and it is still there, started
//! replicas are being waited for.

mod back;

use super::analysis::analyse;
use super::steps::{Goal, Side, apply, is_healthy, is_live, name, of_side, replica_of};
use crate::Error;
use crate::results::End;
use quarterdeck_model::domain::deployment::{
    Deployment, DeploymentState, MoveRecord, ServiceRecord, ServiceSpec, StepInFlight,
};
use quarterdeck_model::effect::{Action, Backoff, Effect};
use quarterdeck_model::event::Event;
use quarterdeck_model::id::{DeploymentId, EffectId, IdSource};
use quarterdeck_model::kind::deployment_strategy::{Analysis, Decision, Move, Plan};
use quarterdeck_model::kind::deployment_target::{Observation, Replica, Step};
use quarterdeck_model::plugin::{CallFailed, PluginRef};
use quarterdeck_model::{Span, Timestamp};
use serde_json::{Value, json};

/// Between looks at replicas that are coming up, and after a move that needed no step.
const LOOK: Span = Span::from_secs(1);
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
const STATE_BYTES: usize = 64 << 10;

/// Told when a person promotes a deployment.
pub const PROMOTED: &str = "deployment.promoted";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartDeployment {
    pub revision: String,
    pub principal: String,
}

#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) deployment: Deployment,
    pub(super) events: Vec<Event>,
    pub(super) effects: Vec<Effect>,
    /// The strategy is to be asked, and its answer given to [`decided`].
    pub(super) ask: bool,
}

/// What is known of a service before a deployment of it.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) service: &'a str,
    pub(super) spec: &'a ServiceSpec,
    pub(super) record: Option<&'a ServiceRecord>,
    /// What its target sees; needed where the stable revision is to be deployed again.
    pub(super) seen: &'a [Replica],
}

/// A deployment that has not begun.
///
/// # Errors
/// The revision is no name, is the stable one and runs as it should, or another deployment is under way.
pub(super) fn begin(
    id: DeploymentId,
    known: Known<'_>,
    request: StartDeployment,
    now: Timestamp,
    ids: &IdSource,
) -> Result<Change, Error> {
    let Known { service, spec, record, seen } = known;
    let revision = request.revision;
    if revision.is_empty() || revision.len() > 128 || revision.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Error::invalid(format!(
            "`{}` is not a revision; hint: 1 to 128 bytes without spaces, such as `v1.4.2` or a digest",
            revision.chars().take(128).collect::<String>().escape_default()
        )));
    }
    if let Some(other) = record.and_then(|record| record.deployment.as_ref()) {
        return Err(Error::conflict(format!(
            "deployment `{other}` of service `{service}` is under way; hint: wait for it, promote it if it waits for \
             a person (`quarterdeck deployment promote {other}`), or take it back (`quarterdeck deployment abort {other}`)"
        )));
    }
    let mut stable = record.map(|record| record.stable.clone()).unwrap_or_default();
    let restores = stable == revision;
    if restores {
        let of_it = || seen.iter().filter(|replica| replica.revision == revision);
        let healthy = of_it().filter(|replica| is_healthy(replica)).count();
        let enough = u32::try_from(healthy).unwrap_or(u32::MAX) >= spec.replicas.max(1);
        if enough && of_it().all(is_healthy) {
            return Err(Error::conflict(format!(
                "revision `{revision}` is what service `{service}` runs already, and all of its replicas are healthy ({healthy})"
            )));
        }
        stable.clear();
    }
    let deployment = Deployment {
        id,
        service: service.to_owned(),
        spec: spec.clone(),
        stable,
        candidate: revision,
        state: DeploymentState::Progressing,
        principal: request.principal,
        started_at: now,
        finished_at: None,
        deadline: now.plus(spec.timeout),
        weight: 0,
        replicas: Vec::new(),
        baseline: Vec::new(),
        baseline_at: now,
        moves: Vec::new(),
        in_flight: Vec::new(),
        promoted: false,
        in_full: false,
        restores,
        unwell_since: None,
        strategy_state: None,
        next_look: now,
        started_replicas: 0,
        errors: 0,
        error: None,
    };
    let mut turn = Turn::new(deployment, now, ids);
    turn.tell(Deployment::STARTED, json!({}));
    if restores {
        turn.clear_away(seen);
    }
    Ok(turn.change())
}

/// When [`looked`] has something to do, unless something else happens before. `None` for a deployment that has ended.
pub(super) fn wake_at(deployment: &Deployment) -> Option<Timestamp> {
    (!deployment.state.is_final()).then(|| deployment.next_look.min(deployment.deadline))
}

/// Whether an observation is needed for the next look: not while steps are being carried out.
pub(super) fn wants_observation(deployment: &Deployment) -> bool {
    !waits_for_steps(deployment)
}

fn waits_for_steps(deployment: &Deployment) -> bool {
    deployment.in_flight.iter().any(|step| !step.done)
}

/// The time of the next look has come. `observed`: what the target sees, if it was asked.
pub(super) fn looked(
    deployment: Deployment,
    observed: Option<Result<Observation, CallFailed>>,
    now: Timestamp,
    ids: &IdSource,
) -> Option<Change> {
    if wake_at(&deployment)? > now {
        return None;
    }
    let mut turn = Turn::new(deployment, now, ids);
    let failure = match observed {
        Some(Ok(observation)) => {
            turn.observe(observation);
            None
        }
        Some(Err(failed)) => Some(failed),
        None => None,
    };
    turn.look(failure);
    Some(turn.change())
}

/// What the strategy is asked.
pub(super) fn question(deployment: &Deployment) -> (Plan, Analysis) {
    let plan = Plan {
        service: deployment.service.clone(),
        stable: deployment.stable.clone(),
        candidate: deployment.candidate.clone(),
        replicas: deployment.spec.replicas,
        started_at: deployment.started_at,
    };
    (plan, analyse(deployment))
}

/// What the strategy answered.
pub(super) fn decided(
    deployment: Deployment,
    answer: Result<(Decision, PluginRef), CallFailed>,
    now: Timestamp,
    ids: &IdSource,
) -> Change {
    let mut turn = Turn::new(deployment, now, ids);
    if !matches!(turn.d.state, DeploymentState::Progressing | DeploymentState::Paused) {
        return turn.change();
    }
    match answer {
        Ok((decision, plugin)) if decision.state.as_ref().is_some_and(|state| state.len() > STATE_BYTES) => {
            turn.error("strategy", &format!("its state is over {STATE_BYTES} bytes"), Some(plugin));
        }
        Ok((decision, plugin)) => turn.decide(decision, plugin),
        Err(failed) => turn.error("strategy", &failed.to_string(), failed.plugin),
    }
    turn.change()
}

/// The effect of a step has ended. `None`: nothing waits for it.
pub(super) fn ended(
    deployment: Deployment,
    effect: &EffectId,
    end: End,
    reason: &str,
    now: Timestamp,
    ids: &IdSource,
) -> Option<Change> {
    if deployment.state.is_final() {
        return None;
    }
    let index = deployment.in_flight.iter().position(|step| step.effect == *effect && !step.done)?;
    let step = deployment.in_flight.get(index)?.step.clone();
    let mut turn = Turn::new(deployment, now, ids);
    if end == End::Done {
        turn.step_done(index, &step);
    } else {
        turn.step_failed(index, &step, reason);
    }
    Some(turn.change())
}

/// A person lets it go on; `full`: past all steps that are left.
///
/// # Errors
/// [`Error::Conflict`] if it has ended or is going back, or if it waits for nobody and is not to be promoted in full: the word would be
/// lost, or skip what nobody meant to skip.
pub(super) fn promote(
    deployment: Deployment,
    principal: &str,
    full: bool,
    now: Timestamp,
    ids: &IdSource,
) -> Result<Change, Error> {
    if !matches!(deployment.state, DeploymentState::Progressing | DeploymentState::Paused) {
        return Err(not_under_way(&deployment));
    }
    if deployment.state == DeploymentState::Progressing && !full {
        return Err(Error::conflict(format!(
            "deployment `{}` is progressing and waits for nobody; hint: promote it in full to skip the steps that are left, \
             `quarterdeck deployment promote --full {}`",
            deployment.id, deployment.id
        )));
    }
    let mut turn = Turn::new(deployment, now, ids);
    turn.d.promoted = true;
    turn.d.in_full |= full;
    turn.d.state = DeploymentState::Progressing;
    if turn.d.in_flight.is_empty() {
        turn.d.next_look = now;
    }
    turn.tell(PROMOTED, json!({"by": principal, "in_full": full}));
    Ok(turn.change())
}

/// A person wants it undone.
///
/// # Errors
/// [`Error::Conflict`] if it has ended or is going back already.
pub(super) fn abort(
    deployment: Deployment,
    principal: &str,
    reason: &str,
    now: Timestamp,
    ids: &IdSource,
) -> Result<Change, Error> {
    if !matches!(deployment.state, DeploymentState::Progressing | DeploymentState::Paused) {
        return Err(not_under_way(&deployment));
    }
    let mut turn = Turn::new(deployment, now, ids);
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    turn.go_back(format!("aborted by {principal}{why}"));
    Ok(turn.change())
}

fn not_under_way(deployment: &Deployment) -> Error {
    let how = match deployment.state {
        DeploymentState::Progressing | DeploymentState::Paused => "is under way",
        DeploymentState::RollingBack => "is rolling back",
        DeploymentState::Succeeded => "has succeeded",
        DeploymentState::RolledBack => "was rolled back",
        DeploymentState::Failed => "has failed",
    };
    Error::conflict(format!("deployment `{}` {how} already", deployment.id))
}

/// What a deployment that has ended leaves in its service's record.
pub(super) fn settled(record: Option<ServiceRecord>, deployment: &Deployment, now: Timestamp) -> ServiceRecord {
    let mut record = record.unwrap_or_else(|| ServiceRecord {
        service: deployment.service.clone(),
        stable: deployment.stable.clone(),
        since: now,
        deployment: None,
    });
    if deployment.state == DeploymentState::Succeeded {
        record.stable.clone_from(&deployment.candidate);
        record.since = now;
    }
    record.deployment = None;
    record
}

/// One run through the machine.
struct Turn<'a> {
    d: Deployment,
    now: Timestamp,
    ids: &'a IdSource,
    events: Vec<Event>,
    effects: Vec<Effect>,
    ask: bool,
}

impl<'a> Turn<'a> {
    fn new(deployment: Deployment, now: Timestamp, ids: &'a IdSource) -> Self {
        Turn { d: deployment, now, ids, events: Vec::new(), effects: Vec::new(), ask: false }
    }

    fn change(self) -> Change {
        Change { deployment: self.d, events: self.events, effects: self.effects, ask: self.ask }
    }

    fn tell(&mut self, event_type: &str, more: Value) {
        let mut data = json!({
            "service": self.d.service,
            "stable": self.d.stable,
            "candidate": self.d.candidate,
            "state": self.d.state,
            "weight": self.d.weight,
        });
        if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
            data.extend(more);
        }
        let event = Event::new(self.ids, self.now, event_type, self.d.id.as_str());
        self.events.push(event.data(data).principal(&self.d.principal));
    }

    fn observe(&mut self, observation: Observation) {
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
    fn clear_away(&mut self, seen: &[Replica]) {
        self.d.replicas = seen.to_vec();
        let unwell = of_side(&self.d, Side::Candidate).filter(|replica| !is_healthy(replica));
        let steps: Vec<_> = unwell.map(|replica| Step::Stop { replica: replica.name.clone() }).collect();
        if !steps.is_empty() {
            self.emit(steps);
        }
    }

    /// The revision, other than the candidate, that takes the most traffic: what runs before the first deployment was not
    /// started by one.
    fn in_charge(&self) -> String {
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

    fn look(&mut self, failure: Option<CallFailed>) {
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

    fn unwell_for_too_long(&mut self) -> bool {
        if self.unwell(None).is_none() {
            self.d.unwell_since = None;
            return false;
        }
        let since = *self.d.unwell_since.get_or_insert(self.now);
        since.plus(self.d.spec.start_timeout) <= self.now
    }

    /// A replica of the candidate that is not healthy, and why; of those that `goal` gives traffic to, if there is one.
    fn unwell(&self, goal: Option<&Goal>) -> Option<String> {
        let weights = goal.map(|goal| goal.weights(&self.d));
        let counts = |replica: &&Replica| {
            is_live(replica)
                && !is_healthy(replica)
                && weights.as_ref().is_none_or(|weights| weights.get(&replica.name).is_some_and(|weight| *weight > 0))
        };
        of_side(&self.d, Side::Candidate).find(counts).map(described)
    }

    /// Something that is asked again later, but not for ever. `plugin`: the one that failed.
    fn error(&mut self, who: &str, error: &str, plugin: Option<PluginRef>) {
        self.d.errors = self.d.errors.saturating_add(1);
        if self.d.errors > ERRORS {
            let reason = format!("the {who} failed {} times in a row: {error}", self.d.errors);
            return self.go_back_because_of(plugin, reason);
        }
        let factor = 1u64.checked_shl(self.d.errors.saturating_sub(1)).unwrap_or(u64::MAX);
        let hold = Span::from_millis(LOOK.as_millis().saturating_mul(factor)).min(LONGEST_ERROR_HOLD);
        self.d.next_look = self.now.plus(hold);
    }

    fn decide(&mut self, decision: Decision, plugin: PluginRef) {
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
    fn refusal(&self, next: &Move) -> Option<String> {
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
    fn incomplete(&self) -> Option<String> {
        let left = of_side(&self.d, Side::Stable).filter(|replica| is_live(replica)).count();
        if left > 0 {
            return Some(format!("complete, while {left} replicas of `{}` are left", self.d.stable));
        }
        let healthy = of_side(&self.d, Side::Candidate).any(|replica| is_healthy(replica) && replica.weight > 0);
        (!healthy).then(|| "complete, while no healthy replica of the candidate takes traffic".to_owned())
    }

    fn record(&mut self, next: Move, reason: String, plugin: Option<PluginRef>) {
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

    fn start_candidates(&mut self, count: u32) {
        let (revision, mut steps) = (self.d.candidate.clone(), Vec::new());
        for _ in 0..count {
            steps.push(self.new_replica(&revision));
        }
        self.emit(steps);
    }

    /// A step that starts a replica under a name that is free.
    fn new_replica(&mut self, revision: &str) -> Step {
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

    fn emit(&mut self, steps: Vec<Step>) {
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

    fn step_done(&mut self, index: usize, step: &Step) {
        apply(&mut self.d.replicas, step);
        if let Some(in_flight) = self.d.in_flight.get_mut(index) {
            in_flight.done = true;
        }
        self.batch_may_be_done();
    }

    fn batch_may_be_done(&mut self) {
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

    fn step_failed(&mut self, index: usize, step: &Step, reason: &str) {
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
    fn proceed(&mut self) {
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
    fn goal_of(&self, next: &Move) -> Option<Goal> {
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
    fn not_healthy(&self) -> Option<String> {
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

    fn moved_at(&self) -> Timestamp {
        self.d.moves.last().map_or(self.d.started_at, |record| record.at)
    }

    fn finish(&mut self, state: DeploymentState) {
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

#[cfg(test)]
mod tests;
