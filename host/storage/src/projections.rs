//! Documents and cursors that stand in the log already, and not in their own place on the disk yet.
//!
//! The log alone is what an acknowledgement waits for. What it says of documents and cursors is kept here meanwhile, where readers find
//! it, and written to its place a moment later, by a thread of its own: an effect that is over by then, or a document that was written
//! five times, costs one write or none. What a kill takes from here is read from the log again (`recovery`), which is why the last serial
//! number that was written out stands on the disk behind everything that it speaks for.

mod followed;

use crate::disk::{Disk, failure};
use crate::documents;
use crate::keys;
use crate::recovery::{put_cursor, put_floor, read_cursor};
use followed::Followed;
use quarterdeck_model::Json;
use quarterdeck_model::event::Offset;
use quarterdeck_model::store::{Changed, Document, Page, RawDocument, StoreError};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

/// More is not kept here: a crash would have to read it all again.
const BYTES: usize = 8 << 20;
/// Documents that are written out in one go.
const BREATH: usize = 16;
/// What a document takes beside its value, about.
const ENTRY_BYTES: usize = 160;

const SETTLED: &str = "settled";

/// A document as its last write left it.
#[derive(Clone)]
pub(crate) struct Written {
    /// `None`: it was deleted.
    pub(crate) revision: Option<u64>,
    pub(crate) value: Json,
}

type Documents<T> = BTreeMap<Arc<str>, BTreeMap<Arc<str>, T>>;

/// What a group changes.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) documents: Vec<(Arc<str>, Arc<str>, Written)>,
    pub(crate) cursors: BTreeMap<String, Offset>,
    /// The highest revision of what was deleted.
    pub(crate) floor: u64,
    /// Of the last frame that tells of it.
    pub(crate) serial: u64,
}

#[derive(Default)]
struct Ahead {
    /// With the serial number that they came with.
    documents: Documents<(Written, u64)>,
    /// By collection.
    followed: BTreeMap<String, Followed>,
    cursors: BTreeMap<String, (Offset, u64)>,
    floor: u64,
    serial: u64,
    bytes: usize,
}

#[derive(Default)]
pub(crate) struct Projections {
    ahead: RwLock<Ahead>,
    /// Held by whoever writes them out.
    writing: Mutex<()>,
    /// What was written out.
    settled: AtomicU64,
}

impl Projections {
    /// `serial`: that of the last frame, and everything is in its place.
    pub(crate) fn new(serial: u64) -> Self {
        let ahead = Ahead { serial, ..Ahead::default() };
        Projections { ahead: RwLock::new(ahead), writing: Mutex::default(), settled: AtomicU64::new(serial) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Ahead> {
        self.ahead.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes them in, behind the frames that tell of them.
    pub(crate) fn put(&self, changes: Changes) {
        let Changes { documents, cursors, floor, serial } = changes;
        let mut ahead = self.ahead.write().unwrap_or_else(PoisonError::into_inner);
        for (collection, id, written) in documents {
            ahead.bytes += ENTRY_BYTES + written.value.len();
            if let Some(followed) = ahead.followed.get_mut(&*collection) {
                followed.note(&id);
            }
            let before = ahead.documents.entry(collection).or_default().insert(id, (written, serial));
            ahead.bytes -= before.map_or(0, |(before, _)| ENTRY_BYTES + before.value.len());
        }
        ahead.cursors.extend(cursors.into_iter().map(|(consumer, up_to)| (consumer, (up_to, serial))));
        ahead.floor = ahead.floor.max(floor);
        ahead.serial = ahead.serial.max(serial);
    }

    /// What of the collection was written since then. Whoever reads the documents after that finds them at least as new.
    pub(crate) fn changed(&self, collection: &str, since: Option<u64>) -> Changed {
        if let Some(followed) = self.read().followed.get(collection) {
            return followed.since(since);
        }
        let mut ahead = self.ahead.write().unwrap_or_else(PoisonError::into_inner);
        ahead.followed.entry(collection.to_owned()).or_default().since(None)
    }

    /// What waits here.
    pub(crate) fn bytes(&self) -> usize {
        self.read().bytes
    }

    /// There is as much as may wait here.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes() > BYTES
    }

    /// Frames up to this one have nothing to tell that is not in its place.
    pub(crate) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    /// Puts everything into its place. It is on the disk with the next sync, in this order. `breathe` is called every few documents.
    pub(crate) fn settle(&self, disk: &Disk, breathe: impl Fn()) -> Result<(), StoreError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (documents, cursors, floor, serial) = {
            let ahead = self.read();
            if ahead.serial == self.settled() {
                return Ok(());
            }
            (ahead.documents.clone(), ahead.cursors.clone(), ahead.floor, ahead.serial)
        };
        let mut put = 0_usize;
        for (collection, documents) in &documents {
            for (id, (written, _)) in documents {
                put += 1;
                if put.is_multiple_of(BREATH) {
                    breathe();
                }
                let old = documents::revision(disk, collection, id)?.map(|(_, parts)| parts);
                let new = written.revision.map(|revision| (revision, written.value.as_bytes()));
                if old.is_some() || new.is_some() {
                    documents::write(disk, collection, id, old.unwrap_or_default(), new)?;
                }
            }
        }
        for (consumer, (up_to, _)) in &cursors {
            put_cursor(disk, consumer, *up_to)?;
        }
        if floor > 0 {
            put_floor(disk, floor)?;
        }
        put_settled(disk, serial)?;
        self.settled.store(serial, Ordering::Release);
        self.forget(serial);
        Ok(())
    }

    /// Readers find in its place what came up to `serial`.
    fn forget(&self, serial: u64) {
        let mut ahead = self.ahead.write().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = 0;
        for documents in ahead.documents.values_mut() {
            documents.retain(|_, (written, came)| {
                let stays = *came > serial;
                if !stays {
                    bytes += ENTRY_BYTES + written.value.len();
                }
                stays
            });
        }
        ahead.documents.retain(|_, documents| !documents.is_empty());
        ahead.cursors.retain(|_, (_, came)| *came > serial);
        ahead.bytes = ahead.bytes.saturating_sub(bytes);
        if ahead.serial == serial {
            ahead.floor = 0;
        }
    }

    fn written(&self, collection: &str, id: &str) -> Option<Written> {
        let ahead = self.read();
        ahead.documents.get(collection)?.get(id).map(|(written, _)| written.clone())
    }

    pub(crate) fn revision(&self, disk: &Disk, collection: &str, id: &str) -> Result<Option<u64>, StoreError> {
        match self.written(collection, id) {
            Some(written) => Ok(written.revision),
            None => Ok(documents::revision(disk, collection, id)?.map(|(revision, _)| revision)),
        }
    }

    pub(crate) fn get(&self, disk: &Disk, collection: &str, id: &str) -> Result<Option<Document>, StoreError> {
        keys::check_document(collection, id)?;
        match self.written(collection, id) {
            Some(written) => document(collection, id, &written),
            None => documents::get(disk, collection, id),
        }
    }

    pub(crate) fn raw(&self, disk: &Disk, collection: &str, id: &str) -> Result<Option<RawDocument>, StoreError> {
        keys::check_document(collection, id)?;
        let raw = |(revision, json)| RawDocument { id: id.to_owned(), revision, json };
        match self.written(collection, id) {
            Some(written) => Ok(written.revision.map(|revision| raw((revision, written.value)))),
            None => {
                let kept = |revision, bytes: &[u8]| Ok((revision, Json::kept(bytes)));
                Ok(documents::get_as(disk, collection, id, kept)?.map(raw))
            }
        }
    }

    /// What is here covers what is on the disk. What is put meanwhile may or may not be among them.
    pub(crate) fn list(&self, disk: &Disk, collection: &str, page: &Page) -> Result<Vec<Document>, StoreError> {
        let mut here = self.range(collection, page).into_iter().peekable();
        let mut found = Vec::new();
        let is_before = |one: &str, other: &str| if page.newest_first { one > other } else { one < other };
        documents::scan(disk, collection, page, |id, value| {
            while found.len() < page.limit
                && let Some((id, written)) = here.next_if(|(next, _)| is_before(next, id))
            {
                found.extend(document(collection, &id, &written)?);
            }
            if found.len() < page.limit {
                found.extend(match here.next_if(|(next, _)| **next == *id) {
                    Some((_, written)) => document(collection, id, &written)?,
                    None => documents::read(disk, collection, id, &value)?,
                });
            }
            Ok(found.len() < page.limit)
        })?;
        for (id, written) in here {
            if found.len() >= page.limit {
                break;
            }
            found.extend(document(collection, &id, &written)?);
        }
        Ok(found)
    }

    /// What is here of a page, in its order.
    fn range(&self, collection: &str, page: &Page) -> Vec<(Arc<str>, Written)> {
        let ahead = self.read();
        let Some(documents) = ahead.documents.get(collection) else { return Vec::new() };
        let from: Bound<&str> = Bound::Included(page.prefix.as_str());
        let all = documents.range::<str, _>((from, Bound::Unbounded));
        let within = all.take_while(|(id, _)| id.starts_with(&page.prefix));
        let is_behind = |id: &str| match page.after.as_deref() {
            Some(after) if page.newest_first => id < after,
            Some(after) => id > after,
            None => true,
        };
        let behind = within.filter(|(id, _)| is_behind(id));
        let mut range: Vec<_> = behind.map(|(id, (written, _))| (Arc::clone(id), written.clone())).collect();
        if page.newest_first {
            range.reverse();
        }
        range
    }

    pub(crate) fn cursor(&self, disk: &Disk, consumer: &str) -> Result<Offset, StoreError> {
        keys::check_consumer(consumer)?;
        if let Some((up_to, _)) = self.read().cursors.get(consumer) {
            return Ok(*up_to);
        }
        let Some(value) = disk.get(&keys::cursor(consumer))? else { return Ok(Offset(0)) };
        read_cursor(consumer, &value)
    }

    /// All durable consumers, and where they stand.
    pub(crate) fn cursors(&self, disk: &Disk) -> Result<BTreeMap<String, Offset>, StoreError> {
        // First: what is written out meanwhile is on the disk by then, and what is put meanwhile is further on.
        let here: Vec<_> = self.read().cursors.iter().map(|(name, (up_to, _))| (name.clone(), *up_to)).collect();
        let mut cursors = BTreeMap::new();
        for entry in disk.tree.scan_prefix([keys::CURSOR]) {
            let (key, value) = entry.map_err(failure)?;
            let name = keys::consumer(&key).ok_or_else(|| StoreError::Corrupt("the name of a consumer".to_owned()))?;
            cursors.insert(name.to_owned(), read_cursor(name, &value)?);
        }
        cursors.extend(here);
        Ok(cursors)
    }
}

fn document(collection: &str, id: &str, written: &Written) -> Result<Option<Document>, StoreError> {
    let Some(revision) = written.revision else { return Ok(None) };
    let value = written.value.decode().map_err(|_| documents::corrupt(collection, id))?;
    Ok(Some(Document { id: id.to_owned(), revision, value }))
}

/// The serial number of the last frame that has nothing to tell any more. `None`: the store is of an older version, which wrote
/// documents with their frames.
pub(crate) fn read_settled(disk: &Disk) -> Result<Option<u64>, StoreError> {
    let Some(value) = disk.get(&keys::meta(SETTLED))? else { return Ok(None) };
    let bytes = value.as_ref().try_into().map_err(|_| StoreError::Corrupt("the mark of what is settled".to_owned()))?;
    Ok(Some(u64::from_be_bytes(bytes)))
}

pub(crate) fn put_settled(disk: &Disk, serial: u64) -> Result<(), StoreError> {
    disk.put(keys::meta(SETTLED), serial.to_be_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Database, Options};
    use quarterdeck_model::clock::ManualClock;
    use quarterdeck_model::store::Store as _;
    use quarterdeck_model::transition::{Expected, Transition};
    use quarterdeck_model::{Timestamp, store::StoreError};
    use serde_json::json;
    use std::path::Path;

    fn open(folder: &Path) -> Arc<Database> {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_750_000_000_000)));
        Database::open(Options { free_space_floor_bytes: 0, ..Options::new(folder, clock) }).unwrap()
    }

    fn put(id: &str, value: u64) -> Transition {
        Transition::new().put("c", id, Expected::Any, json!(value))
    }

    fn ids(store: &Database, page: &Page) -> Vec<String> {
        store
            .list("c", page)
            .unwrap()
            .into_iter()
            .map(|document| format!("{}={}", document.id, document.value))
            .collect()
    }

    #[tokio::test]
    async fn whoever_follows_a_collection_is_told_what_was_written_there_wherever_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        store.commit(put("a", 1)).await.unwrap();
        let begun = store.changed("c", None);
        assert_eq!(begun.ids, None, "all of it is listed first");
        store.commit(put("b", 1)).await.unwrap();
        store.commit(Transition::new().delete("c", "a", Expected::Any)).await.unwrap();
        store.commit(Transition::new().put("other", "x", Expected::Any, json!(1))).await.unwrap();
        store.shared().projections.settle(&store.shared().disk, || ()).unwrap();
        let changed = store.changed("c", Some(begun.now));
        let ids: Vec<&str> = changed.ids.iter().flatten().map(|id| &**id).collect();
        assert_eq!(ids, ["b", "a"]);
        assert_eq!(store.changed("c", Some(changed.now)).ids, Some(Vec::new()));
    }

    fn on_disk(store: &Database, id: &str) -> bool {
        documents::get(&store.shared().disk, "c", id).unwrap().is_some()
    }

    #[tokio::test]
    async fn a_list_shows_what_is_on_the_disk_and_what_is_not_there_yet_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        for (id, value) in [("a", 1), ("b", 1), ("d", 1), ("e", 1)] {
            store.commit(put(id, value)).await.unwrap();
        }
        store.shared().projections.settle(&store.shared().disk, || ()).unwrap();
        for (id, value) in [("b", 2), ("c", 2), ("f", 2)] {
            store.commit(put(id, value)).await.unwrap();
        }
        store.commit(Transition::new().delete("c", "d", Expected::Any)).await.unwrap();
        // A thread writes them out once a second; whether it has makes no difference to any of these.
        let all = ["a=1", "b=2", "c=2", "e=1", "f=2"];
        let page = |after: Option<&str>, limit: usize, newest_first: bool| Page {
            after: after.map(str::to_owned),
            limit,
            newest_first,
            ..Page::all()
        };
        assert_eq!(ids(&store, &Page::all()), all);
        assert_eq!(ids(&store, &page(None, 2, false)), all[..2]);
        assert_eq!(ids(&store, &page(Some("b"), 2, false)), all[2..4]);
        assert_eq!(ids(&store, &page(Some("e"), 9, false)), all[4..]);
        assert_eq!(ids(&store, &page(None, 3, true)), ["f=2", "e=1", "c=2"]);
        assert_eq!(ids(&store, &page(Some("c"), 9, true)), ["b=2", "a=1"]);
        assert_eq!(ids(&store, &Page { prefix: "c".to_owned(), ..Page::all() }), ["c=2"]);
        assert_eq!(store.get("c", "d").unwrap(), None);
    }

    #[tokio::test]
    async fn a_document_that_was_made_and_deleted_at_once_never_gets_to_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let projections = Projections::new(0);
        let change = |revision: Option<u64>, serial: u64| Changes {
            documents: vec![(Arc::from("c"), Arc::from("x"), Written { revision, value: Json::from(json!(1)) })],
            serial,
            ..Changes::default()
        };
        projections.put(change(Some(1), 1));
        assert_eq!(projections.revision(&store.shared().disk, "c", "x").unwrap(), Some(1));
        projections.put(change(None, 2));
        assert_eq!(projections.revision(&store.shared().disk, "c", "x").unwrap(), None);
        projections.settle(&store.shared().disk, || ()).unwrap();
        assert!(!on_disk(&store, "x"));
        assert_eq!((projections.bytes(), projections.settled()), (0, 2));
    }

    #[tokio::test]
    async fn what_a_kill_kept_from_its_place_is_read_from_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        store.commit(put("a", 1)).await.unwrap();
        store.commit(put("gone", 1)).await.unwrap();
        store.shared().projections.settle(&store.shared().disk, || ()).unwrap();
        for n in 0..50 {
            store.commit(put("a", n).ack("reader", Offset(0))).await.unwrap();
            store.commit(put(&format!("n{n}"), n)).await.unwrap();
        }
        store.commit(Transition::new().delete("c", "gone", Expected::Any)).await.unwrap();
        let before = store.list("c", &Page::all()).unwrap();
        // A copy of the files is what a kill would leave.
        let copy = tempfile::tempdir().unwrap();
        for part in ["store", "wal"] {
            std::fs::create_dir(copy.path().join(part)).unwrap();
            for entry in std::fs::read_dir(folder.path().join(part)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    std::fs::copy(&path, copy.path().join(part).join(path.file_name().unwrap())).unwrap();
                }
            }
        }
        let killed = open(copy.path());
        assert_eq!(killed.list("c", &Page::all()).unwrap(), before);
        assert!(on_disk(&killed, "n49") && !on_disk(&killed, "gone"));
        // A document that is made again is told from the one that was deleted.
        let again = killed.commit(put("gone", 2)).await.unwrap();
        let deleted = store.commit(put("gone", 2)).await.unwrap();
        assert_eq!(again.revisions, deleted.revisions);
    }

    #[tokio::test]
    async fn no_more_waits_than_a_restart_may_have_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let text = "x".repeat(1 << 19);
        for n in 0..40 {
            store.commit(Transition::new().put("c", &n.to_string(), Expected::Any, json!(text))).await.unwrap();
            assert!(store.shared().projections.bytes() <= BYTES, "{}", store.shared().projections.bytes());
        }
        assert_eq!(store.list("c", &Page::all()).unwrap().len(), 40);
    }

    #[tokio::test]
    async fn a_store_of_a_version_that_wrote_documents_with_their_frames_is_taken_over() -> Result<(), StoreError> {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        store.commit(put("a", 1)).await?;
        store.close().await;
        drop(store);
        let raw = sled::open(folder.path().join("store")).unwrap();
        raw.remove(keys::meta(SETTLED)).unwrap();
        raw.insert(keys::meta("schema"), &3_u64.to_be_bytes()).unwrap();
        raw.flush().unwrap();
        drop(raw);
        let store = open(folder.path());
        assert_eq!(ids(&store, &Page::all()), ["a=1"]);
        store.commit(put("b", 1)).await?;
        assert_eq!(ids(&store, &Page::all()), ["a=1", "b=1"]);
        Ok(())
    }
}
