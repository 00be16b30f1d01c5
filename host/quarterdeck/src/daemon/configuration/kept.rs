//! Versions in the store: in parts that they share, the newest ones.

use quarterdeck_api::{Kept, Version};
use quarterdeck_config::parts;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::event::Event;
use quarterdeck_model::id::IdSource;
use quarterdeck_model::store::{Page, Store, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Span, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// So many are kept, however little time they were in force.
const MOST: usize = 200;
/// So many are kept, however old they are: the way back has to be there when it is needed.
const LEAST: usize = 20;
/// Bytes of parts that one record takes; those of a first version may be many.
const RECORD: usize = 2 << 20;
/// Documents that are read, or go, at once.
const STEP: usize = 100;

pub(super) struct Keeper<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) clock: &'a dyn Clock,
    pub(super) ids: &'a IdSource,
}

/// A version that is kept, without its values.
struct Head {
    id: String,
    applied_at: Timestamp,
    parts: Vec<String>,
}

impl Keeper<'_> {
    /// Keeps a version, and `also` in the same record. Returns its id: that of the version that was kept last, if it is the same.
    pub(super) async fn keep(
        &self,
        digest: &str,
        value: &Value,
        principal: &str,
        also: Transition,
    ) -> Result<String, StoreError> {
        let newest = self.store.list(Version::COLLECTION, &Page::newest(1))?.pop();
        let last = newest.as_ref().and_then(|document| document.decode::<Kept>().ok());
        if let (Some(document), Some(last)) = (newest, &last)
            && last.digest == digest
        {
            if !also.is_empty() {
                self.store.commit(also).await?;
            }
            return Ok(document.id);
        }
        let there: BTreeSet<String> = last.map(|last| last.parts).unwrap_or_default().into_iter().collect();
        let mut transition = Transition::new();
        let (mut parts, mut bytes) = (Vec::new(), 0);
        for text in parts::cut(value) {
            let id = parts::id(&text);
            if !there.contains(&id) {
                // A part that no version has yet harms nobody: it is there for the next attempt, or goes at the next start.
                bytes += text.len();
                if bytes > RECORD {
                    self.store.commit(std::mem::take(&mut transition)).await?;
                    bytes = text.len();
                }
                transition = transition.put(Kept::PARTS, &id, Expected::Any, json!({"text": text}));
            }
            parts.push(id);
        }
        let now = self.clock.now();
        let event = Event::new(self.ids, now, Version::APPLIED, "").principal(principal);
        // A version and the event that tells of it share their number.
        let id = event.id.as_str().replace("evt_", "cfg_");
        let mut event = event.data(json!({"digest": digest}));
        event.subject.clone_from(&id);
        let kept =
            Kept { digest: digest.to_owned(), applied_at: now, principal: principal.to_owned(), parts, value: None };
        let kept = serde_json::to_value(kept).map_err(|error| StoreError::Invalid(error.to_string()))?;
        transition = transition.put(Version::COLLECTION, &id, Expected::Any, kept).event(event);
        transition.absorb(also);
        self.store.commit(transition).await?;
        Ok(id)
    }

    /// Forgets the versions that are too many or too old, and the parts that nothing is made of any more: all of them with
    /// `strays`, else those of the versions that go. `keep` is how long what has ended is kept; zero: for ever.
    pub(super) async fn forget(&self, keep: Span, strays: bool) -> Result<(), StoreError> {
        let heads = self.heads()?;
        let (kept, gone) = split(heads, self.clock.now(), keep);
        let needed: BTreeSet<&String> = kept.iter().flat_map(|head| &head.parts).collect();
        let mut parts: BTreeSet<String> = gone.iter().flat_map(|head| head.parts.iter().cloned()).collect();
        if strays {
            self.each(Kept::PARTS, |document| parts.extend([document.id]))?;
        }
        // Parts last: a version that is there is whole.
        let versions = gone.iter().map(|head| (Version::COLLECTION, &head.id));
        let parts = parts.iter().filter(|part| !needed.contains(part)).map(|part| (Kept::PARTS, part));
        let all: Vec<_> = versions.chain(parts).collect();
        for some in all.chunks(STEP) {
            let delete = |transition: Transition, (collection, id): &(&str, &String)| {
                transition.delete(collection, id, Expected::Any)
            };
            self.store.commit(some.iter().fold(Transition::new(), delete)).await?;
        }
        Ok(())
    }

    /// Newest first.
    fn heads(&self) -> Result<Vec<Head>, StoreError> {
        let mut heads = Vec::new();
        self.each(Version::COLLECTION, |document| {
            let kept = document.decode::<Kept>().ok();
            let applied_at = kept.as_ref().map_or(Timestamp::default(), |kept| kept.applied_at);
            heads.push(Head { id: document.id, applied_at, parts: kept.map(|kept| kept.parts).unwrap_or_default() });
        })?;
        heads.reverse();
        Ok(heads)
    }

    fn each(
        &self,
        collection: &str,
        mut look: impl FnMut(quarterdeck_model::store::Document),
    ) -> Result<(), StoreError> {
        let mut page = Page { limit: STEP, ..Page::all() };
        loop {
            let documents = self.store.list(collection, &page)?;
            let Some(last) = documents.last() else { return Ok(()) };
            page.after = Some(last.id.clone());
            documents.into_iter().for_each(&mut look);
        }
    }
}

/// The versions that stay, and those that go. `heads` are the newest first; the first one is in force.
fn split(heads: Vec<Head>, now: Timestamp, keep: Span) -> (Vec<Head>, Vec<Head>) {
    let before = now.minus(keep);
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    let mut ended = now;
    for (index, head) in heads.into_iter().enumerate() {
        let old = keep != Span::ZERO && ended < before;
        // It has ended when the next one, which was looked at before it, was applied.
        ended = head.applied_at;
        if index < LEAST || (index < MOST && !old) { kept.push(head) } else { gone.push(head) }
    }
    (kept, gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::clock::ManualClock;
    use quarterdeck_storage::{Database, Options};
    use std::sync::Arc;

    const DAY: Span = Span::from_secs(86_400);

    struct World {
        _folder: tempfile::TempDir,
        store: Arc<Database>,
        clock: Arc<ManualClock>,
        ids: IdSource,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_750_000_000_000)));
            let options = Options { free_space_floor_bytes: 0, ..Options::new(folder.path(), clock.clone()) };
            World { store: Database::open(options).unwrap(), _folder: folder, clock, ids: IdSource::seeded(1) }
        }

        fn keeper(&self) -> Keeper<'_> {
            Keeper { store: &*self.store, clock: &*self.clock, ids: &self.ids }
        }

        async fn keep(&self, value: &Value) -> String {
            self.clock.advance(Span::from_millis(1));
            self.keeper().keep(&parts::id(&value.to_string()), value, "test", Transition::new()).await.unwrap()
        }

        fn count(&self, collection: &str) -> usize {
            self.store.list(collection, &Page::all()).unwrap().len()
        }

        fn value(&self, id: &str) -> Option<Value> {
            Version::find(&*self.store, id).unwrap().map(|version| version.value)
        }
    }

    /// As large as those of a daemon are, with their defaults.
    fn instances(count: usize) -> Value {
        let instance = |n: usize| {
            json!({
                "plugin": "http-probe", "enabled": true, "every": "15s",
                "config": {"url": format!("https://site-{n}.example.com/healthz?probe={n}"), "body-contains": "ok"},
                "grants": {"http": [format!("https://site-{n}.example.com")], "kv": false, "metrics": false, "events": [],
                    "system": false, "exec": [], "tcp": [], "process": [], "secret": []},
                "limits": {"deadline": "5s", "memory-bytes": 67_108_864, "concurrency": 4}
            })
        };
        let all = (0..count).map(|n| (format!("http-probe/site-{n}"), instance(n)));
        json!({"listen": "127.0.0.1:7700", "instances": all.collect::<serde_json::Map<_, _>>()})
    }

    #[tokio::test]
    async fn ten_thousand_instances_are_kept_and_a_change_of_one_writes_little() {
        let world = World::new();
        let mut value = instances(10_000);
        assert!(value.to_string().len() > 3 << 20, "more than a document takes");
        let first = world.keep(&value).await;
        let parts = world.count(Kept::PARTS);
        let before = value.clone();
        value["instances"]["http-probe/site-77"]["every"] = json!("1m");
        let second = world.keep(&value).await;
        assert_eq!(world.count(Kept::PARTS), parts + 1);
        assert_eq!((world.value(&first), world.value(&second)), (Some(before), Some(value.clone())));
        assert_eq!(world.keep(&value).await, second, "the same again is no new version");
    }

    #[tokio::test]
    async fn the_newest_versions_are_kept_and_the_parts_that_they_need() {
        let world = World::new();
        let mut ids = Vec::new();
        for n in 0..MOST + 30 {
            ids.push(world.keep(&json!({"n": n, "instances": {"log/a": {"plugin": "log"}}})).await);
        }
        world
            .store
            .commit(Transition::new().put(Kept::PARTS, "stray", Expected::Any, json!({"text": "x"})))
            .await
            .unwrap();
        world.keeper().forget(Span::ZERO, false).await.unwrap();
        assert_eq!(world.count(Version::COLLECTION), MOST);
        assert_eq!(world.value(&ids[29]), None, "the oldest went");
        assert!(ids[30..].iter().all(|id| world.value(id).is_some()));
        assert!(world.store.get(Kept::PARTS, "stray").unwrap().is_some());
        world.keeper().forget(Span::ZERO, true).await.unwrap();
        assert!(world.store.get(Kept::PARTS, "stray").unwrap().is_none());
        assert!(ids[30..].iter().all(|id| world.value(id).is_some()));
        // A year later, with three months to be kept: the few that are kept at any age.
        world.clock.advance(Span::from_millis(365 * DAY.as_millis()));
        world.keeper().forget(Span::from_millis(90 * DAY.as_millis()), true).await.unwrap();
        assert_eq!(world.count(Version::COLLECTION), LEAST);
        let newest = ids.last().unwrap();
        assert_eq!(world.value(newest).unwrap()["n"], MOST + 29, "the one in force stays");
    }

    #[test]
    fn a_version_is_as_old_as_the_time_since_it_was_replaced() {
        let at = |day: u64| Timestamp::from_millis(0).plus(Span::from_millis(day * DAY.as_millis()));
        // One a day; the oldest was in force until day 50, when the second oldest came.
        let mut heads: Vec<Head> =
            (50..80).map(|day| Head { id: day.to_string(), applied_at: at(day), parts: Vec::new() }).collect();
        heads.insert(0, Head { id: "oldest".to_owned(), applied_at: at(0), parts: Vec::new() });
        heads.reverse();
        let (kept, gone) = split(heads, at(80), Span::from_millis(30 * DAY.as_millis()));
        assert_eq!((kept.len(), gone.len()), (31, 0));
    }

    #[tokio::test]
    async fn a_version_of_an_older_daemon_is_still_read() {
        let world = World::new();
        let old = json!({"id": "cfg_1", "digest": "sha256:0", "applied_at": "2026-01-01T00:00:00Z", "principal": "host", "value": {"a": 1}});
        world.store.commit(Transition::new().put(Version::COLLECTION, "cfg_1", Expected::Any, old)).await.unwrap();
        assert_eq!(world.value("cfg_1"), Some(json!({"a": 1})));
        world.keeper().forget(Span::ZERO, true).await.unwrap();
        assert!(world.value("cfg_1").is_some());
    }
}
