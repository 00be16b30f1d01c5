//! An instance: a plugin put to use under a name, with what its calls need prepared.

mod breakers;
mod circuit;
mod meter;

pub(crate) use breakers::{Admitted, Breakers, News};
pub(crate) use circuit::{Change, Circuit};
pub(crate) use meter::{CODES, Meter, Report, UP_TO_MICROS, buckets, named, over_budget, window_end};

use crate::call::Kept;
use crate::decisions::Outgoing;
use crate::executor::Pace;
use crate::plugin::{Again, Use, Version};
use quarterdeck_model::Shared;
use quarterdeck_model::Timestamp;
use quarterdeck_model::plugin::{
    Awaiting, Budget, Grants, InstanceName, InstanceSpec, InstanceState, InstanceStatus, Limits,
};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Semaphore;

pub(crate) struct Instance {
    pub(crate) name: InstanceName,
    pub(crate) meter: Arc<Meter>,
    pub(crate) breakers: Breakers,
    pub(crate) pace: Arc<Pace>,
    pub(crate) journal: Outgoing,
    binding: RwLock<Arc<Binding>>,
}

/// An instance's specification, bound to a version of its plugin. Never changed, only replaced.
pub(crate) struct Binding {
    pub(crate) spec: Shared<InstanceSpec>,
    pub(crate) state: InstanceState,
    pub(crate) reason: Option<String>,
    pub(crate) version: Option<Arc<Version>>,
    /// The configuration as every call gets it.
    pub(crate) config: Arc<str>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) permits: Arc<Semaphore>,
    /// A sandbox that waits for the next call, where the component asks for that.
    pub(crate) kept: Arc<Kept>,
    /// What waits for a grant: the version of this binding, or one that it stays behind.
    pub(crate) awaiting: Option<Awaiting>,
    /// When the plugin is asked again whether the configuration fits, if it could not answer.
    pub(crate) again: Option<Again>,
}

impl Binding {
    pub(crate) fn new(
        spec: Shared<InstanceSpec>,
        state: InstanceState,
        reason: Option<String>,
        version: Option<Arc<Version>>,
    ) -> Self {
        let config = serde_json::to_string(&spec.config).unwrap_or_else(|_| "{}".to_owned());
        let permits = usize::try_from(spec.limits.concurrency.max(1)).unwrap_or(1);
        Binding {
            config: config.into(),
            grants: Arc::new(spec.grants.clone()),
            limits: Arc::new(spec.limits.clone()),
            permits: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
            kept: Arc::default(),
            awaiting: None,
            again: None,
            state,
            reason,
            version,
            spec,
        }
    }

    /// Whether binding the same specification again would change nothing.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.state, InstanceState::Active | InstanceState::Disabled) && self.again.is_none()
    }
}

impl Instance {
    pub(crate) fn new(name: InstanceName, quarantine_after: u32, binding: Binding) -> Self {
        Instance {
            name,
            meter: Arc::default(),
            breakers: Breakers::new(quarantine_after),
            pace: Arc::default(),
            journal: Outgoing::default(),
            binding: RwLock::new(Arc::new(binding)),
        }
    }

    pub(crate) fn binding(&self) -> Arc<Binding> {
        Arc::clone(&self.binding.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a call that begins now runs on. The version counts as used before a swap can find it unused.
    pub(crate) fn enter(&self) -> (Arc<Binding>, Option<Use>) {
        let binding = self.binding.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&binding), binding.version.as_ref().map(Version::enter))
    }

    /// Calls that begin from now on run on `binding`. Gives back the old one.
    pub(crate) fn bind(&self, mut binding: Binding) -> Arc<Binding> {
        let mut current = self.binding.write().unwrap_or_else(PoisonError::into_inner);
        if binding.spec.limits.concurrency == current.spec.limits.concurrency {
            // Calls in flight keep their places: a swap does not double what runs at once.
            binding.permits = Arc::clone(&current.permits);
        }
        std::mem::replace(&mut current, Arc::new(binding))
    }

    /// The state for people: the circuit's where the binding is in order.
    pub(crate) fn state(&self, binding: &Binding) -> (InstanceState, Option<String>) {
        match (binding.state, self.breakers.quarantine()) {
            (InstanceState::Active, Some(reason)) => (InstanceState::Quarantined, Some(reason)),
            (state, _) => (state, binding.reason.clone()),
        }
    }

    /// Without the reason, which is a text. Of ten thousand instances this is asked for every look at the host.
    pub(crate) fn state_now(&self) -> InstanceState {
        match self.binding.read().unwrap_or_else(PoisonError::into_inner).state {
            InstanceState::Active if self.breakers.is_quarantined() => InstanceState::Quarantined,
            state => state,
        }
    }

    pub(crate) fn status(&self, now: Timestamp) -> InstanceStatus {
        let binding = self.binding();
        let (state, mut reason) = self.state(&binding);
        let budget = binding.limits.budget.as_ref();
        let per = budget.map_or(Budget::PER, |budget| budget.per);
        let usage = self.meter.usage(now, per);
        if let Some(what) = budget.and_then(|budget| budget.used_up(&usage.window)) {
            reason = reason.or_else(|| Some(over_budget(&what, per, window_end(now, per))));
        }
        InstanceStatus {
            name: self.name.clone(),
            spec: binding.spec.clone(),
            state,
            reason,
            plugin: binding.version.as_ref().map(|version| version.reference.clone()),
            awaiting: binding.awaiting.clone(),
            kinds: binding.version.as_ref().map(|version| version.kinds.clone()).unwrap_or_default(),
            usage,
        }
    }
}
