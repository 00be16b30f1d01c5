//! Documents on disk: a first part that holds revision and size, and further parts where the value is large.
//!
//! The parts of one document are written one by one. Further parts go beside those that are there, the first part says which of
//! the two count and is written when they are complete, and only then do the old ones go. So a reader always finds a whole document,
//! however long the writer takes; one that finds a part missing has met a newer first part, and reads that.

use crate::codec::{Input, put_uint};
use crate::disk::{Disk, failure};
use crate::keys::{self, VALUE_BYTES};
use quarterdeck_model::store::{Document, Page, StoreError};

/// As JSON.
pub(crate) const DOCUMENT_BYTES: usize = 1 << 20;
/// Marks the second of the two places.
const SECOND: u16 = 0x8000;

/// In how many parts a document is, and in which of two places those behind the first one lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts(u16);

impl Parts {
    fn count(self) -> u16 {
        self.0 & !SECOND
    }

    /// As a part is numbered in its place.
    fn number(self, part: u16) -> u16 {
        part | self.0 & SECOND
    }

    /// Where `count` parts do not touch these.
    fn beside(self, count: u16) -> Parts {
        if self.count() > 1 && count > 1 { Parts(count | (!self.0 & SECOND)) } else { Parts(count) }
    }
}

struct Head<'a> {
    revision: u64,
    parts: Parts,
    bytes: &'a [u8],
}

fn head(value: &[u8]) -> Option<Head<'_>> {
    let mut input = Input::new(value);
    let revision = input.uint()?;
    let parts = Parts(u16::try_from(input.uint()?).ok()?);
    Some(Head { revision, parts, bytes: input.rest() })
}

pub(crate) fn corrupt(collection: &str, id: &str) -> StoreError {
    StoreError::Corrupt(format!("document `{collection}/{id}`"))
}

/// Revision of a document, and in how many parts it is.
pub(crate) fn revision(disk: &Disk, collection: &str, id: &str) -> Result<Option<(u64, Parts)>, StoreError> {
    let Some(value) = disk.get(&keys::document(collection, id))? else { return Ok(None) };
    let head = head(&value).ok_or_else(|| corrupt(collection, id))?;
    Ok(Some((head.revision, head.parts)))
}

/// Puts (or deletes, without a value) a document over one that is in `old` parts.
pub(crate) fn write(
    disk: &Disk,
    collection: &str,
    id: &str,
    old: Parts,
    new: Option<(u64, &[u8])>,
) -> Result<(), StoreError> {
    if let Some((revision, bytes)) = new {
        let (first, rest) = bytes.split_at(bytes.len().min(VALUE_BYTES));
        let parts = put_further(disk, collection, id, old, (revision, rest))?;
        let mut value = Vec::with_capacity(first.len() + 12);
        put_uint(&mut value, revision);
        put_uint(&mut value, u64::from(parts.0));
        value.extend_from_slice(first);
        disk.put(keys::document(collection, id), value)?;
    } else {
        disk.remove(&keys::document(collection, id))?;
    }
    for part in 1..old.count() {
        disk.remove(&keys::document_part(collection, id, old.number(part)))?;
    }
    Ok(())
}

/// Puts the parts behind the first one where no reader looks yet.
fn put_further(
    disk: &Disk,
    collection: &str,
    id: &str,
    old: Parts,
    (revision, rest): (u64, &[u8]),
) -> Result<Parts, StoreError> {
    let count = u16::try_from(1 + rest.len().div_ceil(VALUE_BYTES)).unwrap_or(u16::MAX);
    let parts = old.beside(count);
    for (part, chunk) in (1..count).zip(rest.chunks(VALUE_BYTES)) {
        let mut value = Vec::with_capacity(chunk.len() + 8);
        put_uint(&mut value, revision);
        value.extend_from_slice(chunk);
        disk.put(keys::document_part(collection, id, parts.number(part)), value)?;
    }
    if count > 1 {
        // What a longer one has left there that a kill kept from going.
        let end = keys::document_part(collection, id, parts.number(!SECOND));
        for entry in disk.tree.range(keys::document_part(collection, id, parts.number(count))..=end) {
            let (key, _) = entry.map_err(failure)?;
            disk.remove(&key)?;
        }
    }
    Ok(parts)
}

pub(crate) fn get(disk: &Disk, collection: &str, id: &str) -> Result<Option<Document>, StoreError> {
    keys::check_document(collection, id)?;
    get_as(disk, collection, id, parse(collection, id))
}

/// What `make` makes of its revision and its JSON.
pub(crate) fn get_as<T>(
    disk: &Disk,
    collection: &str,
    id: &str,
    make: impl Fn(u64, &[u8]) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let key = keys::document(collection, id);
    let Some(mut value) = disk.get(&key)? else { return Ok(None) };
    loop {
        if let Some(made) = assemble(disk, collection, id, &value, &make)? {
            return Ok(Some(made));
        }
        // Its parts go after the first part has changed.
        match disk.get(&key)? {
            None => return Ok(None),
            Some(same) if same == value => return Err(corrupt(collection, id)),
            Some(newer) => value = newer,
        }
    }
}

fn parse(collection: &str, id: &str) -> impl Fn(u64, &[u8]) -> Result<Document, StoreError> {
    move |revision, bytes| {
        let value = serde_json::from_slice(bytes).map_err(|_| corrupt(collection, id))?;
        Ok(Document { id: id.to_owned(), revision, value })
    }
}

/// `None`: it is not whole any more.
fn assemble<T>(
    disk: &Disk,
    collection: &str,
    id: &str,
    value: &[u8],
    make: impl Fn(u64, &[u8]) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let head = head(value).ok_or_else(|| corrupt(collection, id))?;
    if head.parts.count() <= 1 {
        return make(head.revision, head.bytes).map(Some);
    }
    let mut bytes = head.bytes.to_vec();
    for part in 1..head.parts.count() {
        let key = keys::document_part(collection, id, head.parts.number(part));
        let Some(value) = disk.get(&key)? else { return Ok(None) };
        let mut input = Input::new(&value);
        if input.uint() != Some(head.revision) {
            return Ok(None);
        }
        bytes.extend_from_slice(input.rest());
    }
    make(head.revision, &bytes).map(Some)
}

/// A document of which the first part was found.
pub(crate) fn read(disk: &Disk, collection: &str, id: &str, value: &[u8]) -> Result<Option<Document>, StoreError> {
    match assemble(disk, collection, id, value, parse(collection, id))? {
        Some(document) => Ok(Some(document)),
        None => get(disk, collection, id),
    }
}

/// The first parts of a page's documents with their ids, in its order, until `take` says that it is enough.
pub(crate) fn scan(
    disk: &Disk,
    collection: &str,
    page: &Page,
    mut take: impl FnMut(&str, sled::IVec) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let space = keys::collection(collection);
    let mut prefix = space.clone();
    prefix.extend_from_slice(page.prefix.as_bytes());
    let after = page.after.as_ref().map(|after| keys::document(collection, after));
    // No id holds a NUL, and no UTF-8 text a 0xff.
    let mut end = prefix.clone();
    end.push(0xff);
    let mut take = |entry: sled::Result<(sled::IVec, sled::IVec)>| -> Result<bool, StoreError> {
        let (key, value) = entry.map_err(failure)?;
        let id = key.get(space.len()..).and_then(|id| std::str::from_utf8(id).ok());
        take(id.ok_or_else(|| corrupt(collection, "?"))?, value)
    };
    if page.newest_first {
        let end = after.map_or(end.clone(), |after| after.min(end));
        for entry in disk.tree.range(prefix.clone()..end.max(prefix)).rev() {
            if !take(entry)? {
                break;
            }
        }
    } else {
        // The key right behind `after`.
        let start = after.map_or(prefix.clone(), |mut after| {
            after.push(0);
            after.max(prefix)
        });
        for entry in disk.tree.range(start.clone()..end.max(start)) {
            if !take(entry)? {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn disk(folder: &tempfile::TempDir) -> Disk {
        let clock = quarterdeck_model::clock::ManualClock::at(quarterdeck_model::Timestamp::from_millis(0));
        Disk::open(&crate::Options::new(folder.path(), std::sync::Arc::new(clock))).unwrap()
    }

    fn value(letter: &str, bytes: usize) -> Vec<u8> {
        serde_json::to_vec(&json!(letter.repeat(bytes))).unwrap()
    }

    fn write(disk: &Disk, revision: u64, value: &[u8]) {
        let old = super::revision(disk, "c", "x").unwrap().map_or(Parts::default(), |(_, parts)| parts);
        super::write(disk, "c", "x", old, Some((revision, value))).unwrap();
    }

    fn parts(disk: &Disk) -> usize {
        disk.tree.scan_prefix([keys::PART]).count()
    }

    #[test]
    fn a_writer_that_stands_still_in_the_middle_of_a_document_does_not_keep_it_from_being_read() {
        let folder = tempfile::tempdir().unwrap();
        let disk = disk(&folder);
        for (revision, (old, new)) in (1..).zip([(9_000, 20_000), (20_000, 9_000), (9_000, 9_000)]) {
            write(&disk, 2 * revision, &value("a", old));
            let (_, before) = super::revision(&disk, "c", "x").unwrap().unwrap();
            let new = value("b", new);
            put_further(&disk, "c", "x", before, (2 * revision + 1, new.split_at(VALUE_BYTES).1)).unwrap();
            let read = get(&disk, "c", "x").unwrap().unwrap();
            assert_eq!((read.revision, read.value), (2 * revision, json!("a".repeat(old))));
            let mut listed = 0;
            scan(&disk, "c", &Page::all(), |id, value| {
                listed += super::read(&disk, "c", id, &value).unwrap().iter().count();
                Ok(true)
            })
            .unwrap();
            assert_eq!(listed, 1);
            // A restart does all of it once more.
            write(&disk, 2 * revision + 1, &new);
            write(&disk, 2 * revision + 1, &new);
            assert_eq!(serde_json::to_vec(&get(&disk, "c", "x").unwrap().unwrap().value).unwrap(), new);
            assert_eq!(parts(&disk), new.len().div_ceil(VALUE_BYTES) - 1, "no part is left over");
        }
        write(&disk, 90, b"1");
        assert_eq!((get(&disk, "c", "x").unwrap().unwrap().value, parts(&disk)), (json!(1), 0));
    }

    #[test]
    fn a_part_that_is_gone_for_good_is_corruption() {
        let folder = tempfile::tempdir().unwrap();
        let disk = disk(&folder);
        write(&disk, 1, &value("a", 9_000));
        write(&disk, 2, &value("a", 9_000));
        disk.remove(&keys::document_part("c", "x", SECOND | 2)).unwrap();
        assert!(matches!(get(&disk, "c", "x"), Err(StoreError::Corrupt(_))));
    }
}
