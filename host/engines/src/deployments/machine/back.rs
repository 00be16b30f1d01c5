//! The way back: stable replicas first, then the candidate is taken away. Ends in any case, by its own deadline at the latest.

use super::super::steps::{Goal, Side, TOTAL, apply, is_healthy, is_live, of_side};
use super::{LOOK, Turn};
use quarterdeck_model::Span;
use quarterdeck_model::domain::deployment::DeploymentState;
use quarterdeck_model::kind::deployment_strategy::Move;
use quarterdeck_model::kind::deployment_target::{Replica, Step};
use quarterdeck_model::plugin::PluginRef;

/// Beside the time for starting stable replicas again.
const ROLL_BACK_WITHIN: Span = Span::from_secs(30 * 60);

impl Turn<'_> {
    /// The host's own decision to go back.
    pub(super) fn go_back(&mut self, reason: String) {
        self.go_back_because_of(None, reason);
    }

    /// `plugin`: the one that has failed too often.
    pub(super) fn go_back_because_of(&mut self, plugin: Option<PluginRef>, reason: String) {
        self.record(Move::RollBack { reason: reason.clone() }, reason.clone(), plugin);
        self.begin_going_back(reason);
    }

    pub(super) fn begin_going_back(&mut self, reason: String) {
        self.assume_the_worst();
        self.d.state = DeploymentState::RollingBack;
        self.d.error = Some(reason);
        let start = self.d.spec.start_timeout.as_millis();
        self.d.deadline = self.now.plus(ROLL_BACK_WITHIN).plus(Span::from_millis(start.saturating_mul(2)));
        let missing = self.missing();
        if missing > 0 {
            let (revision, mut steps) = (self.d.stable.clone(), Vec::new());
            for _ in 0..missing {
                steps.push(self.new_replica(&revision));
            }
            return self.emit(steps);
        }
        self.d.in_flight.clear();
        self.proceed_back();
    }

    /// Nobody knows which of the steps under way will still be done, or what the target has forgotten. So the way back takes
    /// nothing for granted: stable replicas count as without traffic, candidates that may have some as with it, and all of them
    /// are told again. Steps for one replica are carried out in order, so the last word stands.
    fn assume_the_worst(&mut self) {
        let under_way = std::mem::take(&mut self.d.in_flight);
        let undone = || under_way.iter().filter(|step| !step.done).map(|step| &step.step);
        for step in undone().filter(|step| matches!(step, Step::Drain { .. })) {
            apply(&mut self.d.replicas, step);
        }
        let weighed = |name: &str| undone().any(|step| matches!(step, Step::Weight { replica, .. } if replica == name));
        for replica in self.d.replicas.iter_mut().filter(|replica| is_live(replica)) {
            if replica.revision == self.d.stable || (self.d.restores && replica.revision == self.d.candidate) {
                replica.weight = 0;
            } else if replica.weight > 0 || weighed(&replica.name) {
                replica.weight = TOTAL;
            }
        }
    }

    /// Stable replicas to start again: where some were retired, up to the usual number.
    fn missing(&self) -> u32 {
        if self.d.stable.is_empty() {
            return 0;
        }
        let live = of_side(&self.d, Side::Stable).filter(|replica| is_live(replica)).count();
        let live = u32::try_from(live).unwrap_or(u32::MAX);
        let retired = self.d.moves.iter().any(|record| matches!(record.decided, Move::Retire { .. }));
        if retired || live == 0 { self.d.spec.replicas.max(1).saturating_sub(live) } else { 0 }
    }

    pub(super) fn proceed_back(&mut self) {
        let patience = self.moved_at().plus(self.d.spec.start_timeout);
        if self.not_healthy().is_some() && self.now < patience {
            self.d.next_look = self.now.plus(LOOK);
            return;
        }
        if self.d.restores && !of_side(&self.d, Side::Candidate).any(is_healthy) {
            let wanted = self.d.candidate.clone();
            return self.fail(&format!("no replica of `{wanted}` is healthy; what runs is left as it is"));
        }
        if !self.d.stable.is_empty() {
            let healthy = of_side(&self.d, Side::Stable).any(is_healthy);
            if !healthy && self.now < patience {
                self.d.next_look = self.now.plus(LOOK);
                return;
            }
            let serves = |replica: &Replica| is_healthy(replica) && replica.weight > 0;
            let elsewhere = self.d.replicas.iter().any(|r| r.revision != self.d.stable && serves(r));
            if !healthy && (elsewhere || !of_side(&self.d, Side::Stable).any(is_live)) {
                let stable = self.d.stable.clone();
                return self.fail(&format!("no replica of `{stable}` is healthy; the traffic is left where it is"));
            }
        }
        self.d.in_flight.clear();
        let stays = |replica: &&Replica| {
            (replica.revision == self.d.stable && is_live(replica)) || (self.d.restores && is_healthy(replica))
        };
        let retire = self.d.replicas.iter().filter(|replica| !stays(replica)).map(|replica| replica.name.clone());
        let goal = Goal { percent: 0, retire: retire.collect() };
        let batch = goal.next_batch(&self.d);
        self.d.weight = goal.effective(&self.d);
        if !batch.is_empty() {
            return self.emit(batch);
        }
        // The candidate is gone; there is time for those that were unwell to come back to their share.
        let idle = of_side(&self.d, Side::Stable).filter(|replica| is_live(replica) && replica.weight == 0);
        let idle: Vec<_> = idle.map(|replica| format!("`{}`", replica.name)).collect();
        if !idle.is_empty() && self.now < patience {
            self.d.next_look = self.now.plus(LOOK);
            return;
        }
        if !idle.is_empty() {
            let reason = self.d.error.take().unwrap_or_default();
            self.d.error = Some(format!("{reason}; not healthy and without traffic: {}", idle.join(", ")));
        }
        self.finish(DeploymentState::RolledBack);
    }

    /// Not even going back works.
    pub(super) fn fail(&mut self, why: &str) {
        let reason = self.d.error.take().unwrap_or_default();
        self.d.error = Some(format!("{reason}; rolling back failed: {why}"));
        self.finish(DeploymentState::Failed);
    }
}
