//! Carries a change of versions through: swap, rebind the instances, let the old version finish its calls.

use super::Runtime;
use super::announce::{INSTANCE_STATE_CHANGED, PLUGIN_LOADED, PLUGIN_REPLACED, PLUGIN_RETIRED, PLUGIN_ROLLED_BACK};
use crate::catalog::Swap;
use crate::instance::{Binding, Instance};
use crate::plugin::{Again, BUNDLED, Version};
use quarterdeck_model::plugin::{InstanceState, PluginRef};
use serde_json::json;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often a version that instances stay on is looked at.
const DRAIN_LOOK: Duration = Duration::from_millis(500);

impl Runtime {
    /// Puts the right version in use under `name`. `rolled_back`: why the one before it had to go.
    pub(super) async fn settle(&self, name: &str, rolled_back: Option<&str>) {
        let Some(Swap { old, new }) = self.catalog().settle(name) else { return };
        if let (Some(new), None) = (&new, rolled_back) {
            self.watch_first_calls(name, old.as_ref(), new);
        }
        if let Some(new) = new.as_ref().filter(|new| old.is_some() || new.source != BUNDLED) {
            let source = self.holder(new);
            self.note_use(new, &source).await;
        }
        self.rebind_all(name, new.as_ref()).await;
        match (&old, &new) {
            (None, None) => {}
            (None, Some(new)) => {
                let data = json!({"version": new.reference.version, "digest": new.reference.digest, "source": self.catalog().source(new),
                    "kinds": new.kinds});
                self.announcer.say(PLUGIN_LOADED, name, Some(new.reference.clone()), data);
            }
            (Some(old), Some(new)) => {
                let event_type = if rolled_back.is_some() { PLUGIN_ROLLED_BACK } else { PLUGIN_REPLACED };
                let mut data =
                    json!({"from": old.reference, "to": new.reference, "source": self.catalog().source(new)});
                if let (Some(reason), Some(data)) = (rolled_back, data.as_object_mut()) {
                    data.insert("reason".to_owned(), reason.into());
                }
                self.announcer.say(event_type, name, Some(new.reference.clone()), data);
            }
            (Some(_), None) => {}
        }
        if let Some(old) = old {
            self.drain(old);
        }
    }

    /// A new version is on probation if there is another one to go back to.
    fn watch_first_calls(&self, name: &str, old: Option<&Arc<Version>>, new: &Arc<Version>) {
        let is_proven = new.source == BUNDLED || self.ledger_has(name, &new.reference.digest);
        let has_other = old.is_some() || self.ledger_other(name, &new.reference.digest).is_some();
        if self.probation_calls > 0 && has_other && !is_proven {
            new.probation.begin();
        }
    }

    async fn rebind_all(&self, name: &str, version: Option<&Arc<Version>>) {
        let instances = self.all_instances();
        let concerned = instances.values().filter(|instance| instance.binding().spec.plugin == name);
        // Beside each other: a plugin that is slow to check a configuration costs its second once, not once for each instance.
        let bindings = concerned.map(async |instance| (instance, self.next_binding(instance, version).await));
        for (instance, binding) in futures::future::join_all(bindings).await {
            self.apply(instance, binding);
        }
    }

    pub(super) async fn rebind(&self, instance: &Arc<Instance>, version: Option<&Arc<Version>>) {
        let binding = self.next_binding(instance, version).await;
        self.apply(instance, binding);
    }

    /// What binds an instance to `version`. One that ran well and does not fit the new version stays on the old one.
    async fn next_binding(&self, instance: &Arc<Instance>, version: Option<&Arc<Version>>) -> Binding {
        let old = instance.binding();
        let mut binding = self.binding(&instance.name, old.spec.clone(), version.cloned()).await;
        if binding.again.is_some() {
            binding.again = Some(Again::after(old.again, Instant::now()));
        }
        let Some((version, kept)) = version.and_then(|version| Some((version, stays(&old, &binding, version)?))) else {
            return binding;
        };
        let reason = format!(
            "stays on version {}, because version {} does not fit: {}",
            kept.reference.version,
            version.reference.version,
            binding.reason.unwrap_or_default()
        );
        let kept = Binding::new(old.spec.clone(), InstanceState::Active, Some(reason), Some(kept));
        Binding { again: binding.again, awaiting: binding.awaiting, ..kept }
    }

    /// Asks the plugins of instances again that could not be asked whether their configuration fits.
    pub(super) async fn ask_again(&self) {
        let instances = self.all_instances();
        let unasked = instances.values().map(|instance| (instance, instance.binding()));
        let unasked = unasked.filter(|(_, binding)| binding.again.is_some());
        futures::future::join_all(unasked.map(async |(instance, binding)| self.bind_again(instance, &binding).await))
            .await;
    }

    /// Binds the instance again when the time for that has come, unless something else did it before.
    pub(super) fn bind_later(&self, instance: &Arc<Instance>) {
        let binding = instance.binding();
        let Some(again) = binding.again else { return };
        let (this, instance) = (Weak::clone(&self.this), Arc::downgrade(instance));
        let binding = Arc::downgrade(&binding);
        self.spawn(async move {
            tokio::time::sleep_until(again.at.into()).await;
            if let (Some(this), Some(instance), Some(binding)) = (this.upgrade(), instance.upgrade(), binding.upgrade())
            {
                this.bind_again(&instance, &binding).await;
            }
        });
    }

    /// The plugin is asked before anything is held up; what it says counts if the instance still has that binding.
    async fn bind_again(&self, instance: &Arc<Instance>, binding: &Arc<Binding>) {
        let version = self.catalog().current(&binding.spec.plugin);
        let next = self.next_binding(instance, version.as_ref()).await;
        let _changing = self.changing.lock().await;
        // A change of versions binds anew, too: then the answer is of the wrong one.
        if Arc::ptr_eq(binding, &instance.binding()) {
            self.apply(instance, next);
        }
    }

    /// Puts a binding in use, and says so if it changes the state that people see.
    pub(super) fn apply(&self, instance: &Arc<Instance>, binding: Binding) {
        let before = instance.state(&instance.binding());
        let old = instance.bind(binding);
        let new = instance.binding();
        let same_version = match (&old.version, &new.version) {
            (Some(old), Some(new)) => old.is(new),
            (None, None) => true,
            _ => false,
        };
        if !same_version || old.spec != new.spec {
            instance.breakers.reset();
        }
        if !same_version {
            // It may be one that is known: after a rollback, or because it was compiled late.
            self.remember_poison(instance);
        }
        let after = instance.state(&new);
        if before != after {
            self.say_state(instance, after.0, after.1.as_deref());
        }
        self.bind_later(instance);
    }

    pub(super) fn say_state(&self, instance: &Instance, state: InstanceState, reason: Option<&str>) {
        let plugin: Option<PluginRef> = instance.binding().version.as_ref().map(|version| version.reference.clone());
        let data = json!({"state": state, "reason": reason});
        self.announcer.say(INSTANCE_STATE_CHANGED, instance.name.as_str(), plugin, data);
    }

    /// A version that is in use under no name is there for the instances that stay on it.
    pub(super) fn keep_for_instances(&self, version: &Arc<Version>) {
        {
            let mut catalog = self.catalog();
            let is_current = catalog.current(&version.reference.name).is_some_and(|current| current.is(version));
            if is_current || catalog.draining.iter().any(|kept| kept.is(version)) {
                return;
            }
            version.set_draining(true);
            catalog.draining.push(Arc::clone(version));
        }
        self.drain(Arc::clone(version));
    }

    /// Watches an old version until its last call ended and no instance stays on it.
    fn drain(&self, version: Arc<Version>) {
        let this = Weak::clone(&self.this);
        self.spawn(async move {
            loop {
                if is_retired(&this, &version) {
                    return;
                }
                // Either the last call ended, or it is time to look whether instances let go of it.
                let _ = tokio::time::timeout(DRAIN_LOOK, version.drained.notified()).await;
            }
        });
    }
}

/// The old version, if the instance ran well on it and does not on the new one.
fn stays(old: &Binding, new: &Binding, version: &Version) -> Option<Arc<Version>> {
    let unfit = matches!(new.state, InstanceState::AwaitingGrant | InstanceState::Misconfigured);
    let kept = old.version.as_ref().filter(|kept| old.state == InstanceState::Active && !kept.is(version))?;
    unfit.then(|| Arc::clone(kept))
}

/// Retires the version if nothing needs it any more. True: it is settled, one way or the other.
fn is_retired(runtime: &Weak<Runtime>, version: &Arc<Version>) -> bool {
    let Some(runtime) = runtime.upgrade() else { return true };
    let is_bound = runtime
        .all_instances()
        .values()
        .any(|instance| instance.binding().version.as_ref().is_some_and(|bound| Arc::ptr_eq(bound, version)));
    {
        let mut catalog = runtime.catalog();
        if !catalog.draining.iter().any(|draining| Arc::ptr_eq(draining, version)) {
            // It is in use again.
            return true;
        }
        if is_bound || version.in_flight() > 0 {
            return false;
        }
        catalog.draining.retain(|draining| !Arc::ptr_eq(draining, version));
    }
    let data = json!({"version": version.reference.version, "digest": version.reference.digest});
    runtime.announcer.say(PLUGIN_RETIRED, &version.reference.name, Some(version.reference.clone()), data);
    true
}
