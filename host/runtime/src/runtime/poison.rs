//! What the breakers found out, told: states of instances and classes, and inputs that are poison, which go to the dead letters. They
//! stay poison across restarts, for the version that they are poison to.

use super::announce::{CLASS_QUARANTINED, CLASS_RECOVERED, DEAD_LETTER, INSTANCE_STATE_CHANGED};
use super::{Request, Runtime};
use crate::instance::{Change, Instance, News};
use crate::plugin::Version;
use quarterdeck_model::effect::DEAD_LETTERS;
use quarterdeck_model::event::Event;
use quarterdeck_model::plugin::{InstanceName, PluginRef};
use quarterdeck_model::store::Page;
use quarterdeck_model::transition::{Expected, Transition};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Letters of one instance that are read at its start.
const LETTERS: usize = 1_000;
const CLASS_BYTES: usize = 512;

#[derive(Deserialize)]
struct Letter {
    class: String,
    digest: String,
    reason: String,
    plugin: PluginRef,
}

/// What the ids of an instance's letters begin with.
fn prefix(instance: &InstanceName) -> String {
    format!("input.{instance}.")
}

impl Runtime {
    pub(super) fn tell(&self, instance: &Instance, version: &Version, request: &Request<'_>, news: News) {
        let plugin = Some(version.reference.clone());
        let say = |event_type: &str, data: Value| {
            self.announcer.say(event_type, instance.name.as_str(), plugin.clone(), data);
        };
        let class = || request.class().unwrap_or_default();
        match news {
            News::Instance(Change::Quarantined { reason }) => {
                say(INSTANCE_STATE_CHANGED, json!({"state": "quarantined", "reason": reason}));
            }
            News::Instance(Change::Recovered) => {
                say(INSTANCE_STATE_CHANGED, json!({"state": "active", "reason": "the trial call succeeded"}));
            }
            News::Class(Change::Quarantined { reason }) => {
                say(CLASS_QUARANTINED, json!({"class": class(), "reason": reason}));
            }
            News::Class(Change::Recovered) => say(CLASS_RECOVERED, json!({"class": class()})),
            News::Poison { input, reason } => self.put_aside(&instance.name, version, request, (&input, &reason)),
        }
    }

    /// In the background, as everything that the runtime writes. Should the store refuse it, it is poison until the restart.
    fn put_aside(
        &self,
        instance: &InstanceName,
        version: &Version,
        request: &Request<'_>,
        (digest, reason): (&str, &str),
    ) {
        let class = request.class().unwrap_or_default();
        let hash: String = Sha256::digest(&class).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        // Of one class there may be several.
        let input: String = digest.chars().rev().take(8).collect();
        let id = format!("{}{hash}.{input}", prefix(instance));
        let now = self.clock.now();
        let question = request.question();
        let shown: String = class.chars().take(CLASS_BYTES).collect();
        let letter = json!({
            "kind": "input", "at": now, "reason": reason, "instance": instance, "class": class, "digest": digest, "plugin": version.reference,
            "function": question.map(|question| question.function()), "input": question.map(|question| question.shown()),
        });
        let data = json!({"kind": "input", "instance": instance, "class": shown, "reason": reason});
        let event = Event::new(&self.ids, now, DEAD_LETTER, &id).plugin(Some(version.reference.clone())).data(data);
        tracing::warn!(%instance, class = shown, reason, "an input is poison: it lies among the dead letters");
        let store = Arc::clone(&self.store);
        self.spawn(async move {
            let transition = Transition::new().put(DEAD_LETTERS, &id, Expected::Any, letter).event(event);
            if let Err(error) = store.commit(transition).await {
                tracing::warn!(%error, id, "a dead letter can't be written");
            }
        });
    }

    /// What is known to be poison to the version that a new instance runs on.
    pub(super) fn remember_poison(&self, instance: &Instance) {
        let page = Page { prefix: prefix(&instance.name), limit: LETTERS, ..Page::all() };
        let binding = instance.binding();
        let Some(version) = &binding.version else { return };
        for document in self.store.list(DEAD_LETTERS, &page).unwrap_or_default() {
            let of_instance = document.id.starts_with(&page.prefix);
            if let Ok(letter) = document.decode::<Letter>()
                && of_instance
                && letter.plugin.digest == version.reference.digest
            {
                instance.breakers.poison(&letter.class, &letter.digest, &letter.reason);
            }
        }
    }
}
