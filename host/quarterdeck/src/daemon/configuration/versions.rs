//! Every applied version is kept; objects can be made again what they were in one.

use super::{Configuration, InForce, load};
use quarterdeck_api::{Refused, Restored, Version};
use quarterdeck_config::{Word, compare};
use quarterdeck_model::event::Event;
use quarterdeck_model::store::Page;
use quarterdeck_model::transition::{Expected, Transition};
use serde_json::{Value, json};

impl Configuration {
    /// Numbers what is about to be in force, and gives the record that keeps it: an empty one if it is the version that was kept
    /// last.
    pub(super) fn numbered(&self, mut next: InForce, principal: &str) -> (InForce, Transition) {
        let newest = self.store.list(Version::COLLECTION, &Page::newest(1)).unwrap_or_default();
        let same = newest.into_iter().find(|document| document.value.get("digest") == Some(&json!(next.loaded.digest)));
        if let Some(document) = same {
            next.version = document.id;
            return (next, Transition::new());
        }
        let now = self.clock.now();
        let event = Event::new(&self.ids, now, Version::APPLIED, "").principal(principal);
        // A version and the event that tells of it share their number.
        let id = event.id.as_str().replace("evt_", "cfg_");
        let mut event = event.data(json!({"digest": next.loaded.digest}));
        event.subject.clone_from(&id);
        let version = json!({
            "id": id,
            "digest": next.loaded.digest,
            "applied_at": now,
            "principal": principal,
            "value": next.loaded.value,
        });
        let transition = Transition::new().put(Version::COLLECTION, &id, Expected::Any, version).event(event);
        next.version = id;
        (next, transition)
    }

    /// Finds the words that make every object what it was in the version: none where the files say it, the whole object where they
    /// say something else, a deletion where there was none.
    pub(super) async fn restore_version(&self, id: &str) -> Result<Restored, Refused> {
        let _one = self.changing.lock().await;
        let named = !id.is_empty() && !id.contains('\0');
        let found = if named { self.store.get(Version::COLLECTION, id).map_err(Refused::Store)? } else { None };
        let unknown = || Refused::Unknown(format!("there is no version `{id}`"));
        let version: Version = found.ok_or_else(unknown)?.decode().map_err(Refused::Store)?;
        let current = self.current();
        let below = load::lay(&current.base, &[]).map_err(|problems| super::Invalid::from(problems).0)?;
        let objects =
            |value: &Value, section: &str| value.get(section).and_then(Value::as_object).cloned().unwrap_or_default();
        let mut words = Vec::new();
        for section in quarterdeck_config::sections() {
            let (wanted, there) = (objects(&version.value, section), objects(&below.value, section));
            let word = |name: &String, value| Word { section: section.to_owned(), name: name.clone(), value };
            let set = wanted.iter().filter(|(name, value)| there.get(*name) != Some(*value));
            words.extend(set.map(|(name, value)| word(name, Some(value.clone()))));
            words.extend(there.keys().filter(|name| !wanted.contains_key(*name)).map(|name| word(name, None)));
        }
        let next = self.take_words(&current, words, Vec::new()).await?;
        Ok(Restored {
            version: next.version.clone(),
            changed: next.loaded.digest != current.loaded.digest,
            not_restored: compare(&version.value, &next.loaded.value),
        })
    }
}
