//! The newest versions are kept; objects can be made again what they were in one.

use super::kept::Keeper;
use super::{Configuration, InForce, load};
use quarterdeck_api::{IfMatch, Refused, Restored, Version};
use quarterdeck_config::{Word, compare};
use quarterdeck_model::event::Event;
use quarterdeck_model::plugin::{GrantedTo, Grants, InstanceName, InstanceSpec};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::transition::Transition;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tracing::warn;

/// Somebody gave an instance's plugin something, or took it away.
const GRANTS_CHANGED: &str = "instance.grants-changed";
/// Instances that one change tells of by name: a record has to have room for them. The others are counted.
const TOLD: usize = 200;

impl Configuration {
    fn keeper(&self) -> Keeper<'_> {
        Keeper { store: &*self.store, clock: &*self.clock, ids: &self.ids }
    }

    /// Keeps what is about to be in force, and `also` in the same record. Returns the id of the version.
    pub(super) async fn keep(&self, next: &InForce, principal: &str, also: Transition) -> Result<String, StoreError> {
        let version = self.keeper().keep(&next.loaded.digest, &next.loaded.value(), principal, also).await?;
        self.forget(next, false).await;
        Ok(version)
    }

    /// Events of instances whose grants become others, or another content's.
    pub(super) fn grants_changed(&self, next: &InForce, principal: &str) -> Transition {
        let before = self.current();
        let (old, new) = (&before.loaded.settings.instances, &next.loaded.settings.instances);
        let names: BTreeSet<&InstanceName> = old.keys().chain(new.keys()).collect();
        let nothing = (Grants::default(), Vec::new());
        let given = |spec: &InstanceSpec| (spec.grants.clone(), spec.granted_to.clone());
        let said = |(grants, to): &(Grants, Vec<GrantedTo>)| json!({"grants": grants, "granted_to": to});
        let mut told = Transition::new();
        let mut changed = 0;
        let event =
            |subject: &str| Event::new(&self.ids, self.clock.now(), GRANTS_CHANGED, subject).principal(principal);
        for name in names {
            let (old, new) = (old.get(name).map(|spec| given(spec)), new.get(name).map(|spec| given(spec)));
            let (old, new) = (old.unwrap_or_else(|| nothing.clone()), new.unwrap_or_else(|| nothing.clone()));
            if old == new {
                continue;
            }
            changed += 1;
            if changed <= TOLD {
                told = told.event(event(name.as_str()).data(json!({"before": said(&old), "now": said(&new)})));
            }
        }
        if changed > TOLD {
            told = told.event(event("instances").data(json!({"others": changed - TOLD})));
        }
        told
    }

    /// Like [`Configuration::keep`], where what can't be kept holds all the same: files must be able to mend what keeps the store
    /// from writing.
    pub(super) async fn keep_if_possible(&self, next: &InForce, principal: &str, also: Transition) -> String {
        self.keep(next, principal, also).await.unwrap_or_else(|error| {
            warn!(%error, "the applied configuration could not be kept");
            String::new()
        })
    }

    /// Forgets old versions; `strays`: and what a write that was cut short has left.
    pub(super) async fn forget(&self, current: &InForce, strays: bool) {
        let keep = current.loaded.settings.storage.keep_ended;
        if let Err(error) = self.keeper().forget(keep, strays).await {
            warn!(%error, "old versions of the configuration could not be forgotten");
        }
    }

    /// Finds the words that make every object what it was in the version: none where the files say it, the whole object where they
    /// say something else, a deletion where there was none. `if_match`: the version in force, in place of which it comes.
    pub(super) async fn restore_version(&self, id: &str, if_match: &IfMatch) -> Result<Restored, Refused> {
        let _one = self.changing.lock().await;
        if_match.admit_version(&self.current().version)?;
        let unknown = || {
            Refused::Unknown(format!(
                "there is no version `{id}`; hint: list `configuration/versions` to see those that are kept"
            ))
        };
        let version = Version::find(&*self.store, id).map_err(Refused::Store)?.ok_or_else(unknown)?;
        let current = self.current();
        let below = load::lay(&current.base, &[]).map_err(|problems| super::Invalid::from(problems).0)?.value();
        let objects =
            |value: &Value, section: &str| value.get(section).and_then(Value::as_object).cloned().unwrap_or_default();
        let mut words = Vec::new();
        for section in quarterdeck_config::sections() {
            let (wanted, there) = (objects(&version.value, section), objects(&below, section));
            let word = |name: &String, value| Word { section: section.to_owned(), name: name.clone(), value };
            let set = wanted.iter().filter(|(name, value)| there.get(*name) != Some(*value));
            words.extend(set.map(|(name, value)| word(name, Some(value.clone()))));
            words.extend(there.keys().filter(|name| !wanted.contains_key(*name)).map(|name| word(name, None)));
        }
        let next = self.take_words(&current, words, Vec::new()).await?;
        Ok(Restored {
            version: next.version.clone(),
            changed: next.loaded.digest != current.loaded.digest,
            not_restored: compare(&version.value, &next.loaded.value()),
        })
    }
}
