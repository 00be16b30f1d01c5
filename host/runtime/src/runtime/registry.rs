//! The registry, as engines, API and configuration see it.

use super::Runtime;
use crate::catalog::Awaited;
use crate::instance::Instance;
use async_trait::async_trait;
use quarterdeck_model::Shared;
use quarterdeck_model::plugin::log::LogLine;
use quarterdeck_model::plugin::{
    Calls, InstanceName, InstanceSpec, InstanceState, InstanceStatus, PluginState, PluginStatus, Registry,
};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

#[async_trait]
impl Registry for Runtime {
    fn plugins(&self) -> Vec<PluginStatus> {
        self.catalog().statuses()
    }

    fn plugin_states(&self) -> Vec<PluginState> {
        self.catalog().states()
    }

    fn awaited(&self) -> Vec<String> {
        let catalog = self.catalog();
        let of_start = catalog.loading.iter().filter(|(_, loading)| loading.awaited == Awaited::Start);
        of_start.map(|(file, _)| file.clone()).collect()
    }

    fn instances(&self) -> Vec<InstanceStatus> {
        let mut statuses: Vec<InstanceStatus> =
            self.all_instances().values().map(|instance| instance.status(self.clock.now())).collect();
        statuses.sort_by(|a, b| a.name.cmp(&b.name));
        statuses
    }

    fn instance_names(&self) -> Vec<InstanceName> {
        self.all_instances().keys().cloned().collect()
    }

    fn states(&self) -> Vec<InstanceState> {
        self.all_instances().values().map(|instance| instance.state_now()).collect()
    }

    fn calls(&self) -> Calls {
        let (made, failed) = (&self.calls_made, &self.calls_failed);
        Calls { made: made.load(Ordering::Relaxed), failed: failed.load(Ordering::Relaxed) }
    }

    fn instance(&self, name: &InstanceName) -> Option<InstanceStatus> {
        self.all_instances().get(name).map(|instance| instance.status(self.clock.now()))
    }

    fn audit_records_lost(&self) -> u64 {
        self.doors.audit_records_dropped()
    }

    fn log(&self, name: &InstanceName) -> Vec<LogLine> {
        self.doors.lines.of(name)
    }

    async fn configure(&self, wanted: BTreeMap<InstanceName, Shared<InstanceSpec>>) {
        // Before anything is held up: what is compiled is put in use under the same lock.
        self.ask_for(wanted.values().filter(|spec| spec.enabled).map(|spec| spec.plugin.as_str())).await;
        let _changing = self.changing.lock().await;
        let present = self.all_instances();
        let mut next = HashMap::with_capacity(wanted.len());
        for (name, spec) in wanted {
            if let Some(instance) = present.get(&name).filter(|instance| instance.binding().spec == spec) {
                if !instance.binding().is_settled() {
                    let version = self.catalog().current(&spec.plugin);
                    self.rebind(instance, version.as_ref()).await;
                }
                next.insert(name, Arc::clone(instance));
                continue;
            }
            let version = self.catalog().current(&spec.plugin);
            let binding = self.binding(&name, spec, version).await;
            let instance = match present.get(&name) {
                Some(instance) => {
                    self.apply(instance, binding);
                    Arc::clone(instance)
                }
                None => {
                    let instance = Arc::new(Instance::new(name.clone(), self.quarantine_after, binding));
                    let (state, reason) = instance.state(&instance.binding());
                    self.say_state(&instance, state, reason.as_deref());
                    self.remember_poison(&instance);
                    self.bind_later(&instance);
                    instance
                }
            };
            next.insert(name, instance);
        }
        let gone: Vec<&InstanceName> = present.keys().filter(|name| !next.contains_key(*name)).collect();
        for name in gone {
            let data = json!({"state": "removed", "reason": "no longer configured"});
            self.announcer.say(super::announce::INSTANCE_STATE_CHANGED, name.as_str(), None, data);
        }
        self.doors.lines.retain(|name| next.contains_key(name));
        *self.instances.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }

    fn release(&self, instance: &InstanceName, class: &str, input: &str) {
        if let Some(instance) = self.all_instances().get(instance) {
            instance.breakers.release(class, input);
        }
    }

    async fn check(
        &self,
        instances: &BTreeMap<InstanceName, Shared<InstanceSpec>>,
    ) -> Vec<(InstanceName, String, String)> {
        self.ask_for(instances.values().map(|spec| spec.plugin.as_str())).await;
        let mut found = Vec::new();
        for (name, spec) in instances {
            let Some(version) = self.catalog().current(&spec.plugin) else { continue };
            // What could not be asked now is asked again once it is in use.
            let problems = self.problems(name, spec, &version).await.problems;
            found.extend(problems.into_iter().map(|(pointer, message)| (name.clone(), pointer, message)));
        }
        found
    }

    async fn reload(&self) -> Vec<PluginStatus> {
        self.catalog().try_again_now();
        self.scan_until_quiet().await;
        self.ask_again().await;
        Registry::plugins(self)
    }
}
