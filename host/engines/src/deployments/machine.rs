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
//! One run through it is in `machine/turn`, the way back in `machine/back`.
//!
//! `in_flight` holds the batch under way. It is empty when nothing is; when all of it is done and it is still there, started
//! replicas are being waited for.

mod back;
mod turn;

use super::analysis::analyse;
use super::steps::is_healthy;
use crate::Error;
use crate::results::End;
use quarterdeck_model::domain::deployment::{Deployment, DeploymentState, ServiceRecord, ServiceSpec};
use quarterdeck_model::effect::Effect;
use quarterdeck_model::event::Event;
use quarterdeck_model::id::{DeploymentId, EffectId, IdSource};
use quarterdeck_model::kind::deployment_strategy::{Analysis, Decision, Plan};
use quarterdeck_model::kind::deployment_target::{Observation, Replica};
use quarterdeck_model::plugin::{CallFailed, PluginRef};
use quarterdeck_model::{Span, Timestamp};
use serde_json::{Value, json};

/// Between looks at replicas that are coming up, and after a move that needed no step.
const LOOK: Span = Span::from_secs(1);
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
}

#[cfg(test)]
mod tests;
