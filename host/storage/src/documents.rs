//! Documents on disk: a first part that holds revision and size, and further parts where the value is large.
//!
//! The parts of one document are written one by one, so each carries the revision: a reader that sees two of them has met
//! the writer, and reads again.

use crate::codec::{Input, put_uint};
use crate::disk::{Disk, failure};
use crate::keys::{self, VALUE_BYTES};
use quarterdeck_model::store::{Document, Page, StoreError};

/// As JSON.
pub(crate) const DOCUMENT_BYTES: usize = 1 << 20;
/// A writer needs microseconds for what a reader waits for here.
const ATTEMPTS: usize = 10_000;

struct Head<'a> {
    revision: u64,
    parts: u16,
    bytes: &'a [u8],
}

fn head(value: &[u8]) -> Option<Head<'_>> {
    let mut input = Input::new(value);
    let revision = input.uint()?;
    let parts = u16::try_from(input.uint()?).ok()?;
    Some(Head { revision, parts, bytes: input.rest() })
}

fn corrupt(collection: &str, id: &str) -> StoreError {
    StoreError::Corrupt(format!("document `{collection}/{id}`"))
}

/// Revision of a document, and in how many parts it is.
pub(crate) fn revision(disk: &Disk, collection: &str, id: &str) -> Result<Option<(u64, u16)>, StoreError> {
    let Some(value) = disk.get(&keys::document(collection, id))? else { return Ok(None) };
    let head = head(&value).ok_or_else(|| corrupt(collection, id))?;
    Ok(Some((head.revision, head.parts)))
}

/// Puts (or deletes, without a value) a document over one that has `old_parts`.
pub(crate) fn write(
    disk: &Disk,
    collection: &str,
    id: &str,
    old_parts: u16,
    new: Option<(u64, &[u8])>,
) -> Result<(), StoreError> {
    let mut parts = 1;
    if let Some((revision, bytes)) = new {
        let (first, rest) = bytes.split_at(bytes.len().min(VALUE_BYTES));
        for chunk in rest.chunks(VALUE_BYTES) {
            let mut value = Vec::with_capacity(chunk.len() + 8);
            put_uint(&mut value, revision);
            value.extend_from_slice(chunk);
            disk.put(keys::document_part(collection, id, parts), value)?;
            parts += 1;
        }
        let mut value = Vec::with_capacity(first.len() + 12);
        put_uint(&mut value, revision);
        put_uint(&mut value, u64::from(parts));
        value.extend_from_slice(first);
        disk.put(keys::document(collection, id), value)?;
    } else {
        disk.remove(&keys::document(collection, id))?;
    }
    for part in parts..old_parts {
        disk.remove(&keys::document_part(collection, id, part))?;
    }
    Ok(())
}

pub(crate) fn get(disk: &Disk, collection: &str, id: &str) -> Result<Option<Document>, StoreError> {
    keys::check_document(collection, id)?;
    for _ in 0..ATTEMPTS {
        let Some(value) = disk.get(&keys::document(collection, id))? else { return Ok(None) };
        if let Some(document) = assemble(disk, collection, id, &value)? {
            return Ok(Some(document));
        }
        std::thread::yield_now();
    }
    Err(corrupt(collection, id))
}

/// `None`: the parts are of different revisions.
fn assemble(disk: &Disk, collection: &str, id: &str, value: &[u8]) -> Result<Option<Document>, StoreError> {
    let head = head(value).ok_or_else(|| corrupt(collection, id))?;
    let parsed = if head.parts <= 1 {
        serde_json::from_slice(head.bytes)
    } else {
        let mut bytes = head.bytes.to_vec();
        for part in 1..head.parts {
            let Some(value) = disk.get(&keys::document_part(collection, id, part))? else { return Ok(None) };
            let mut input = Input::new(&value);
            if input.uint() != Some(head.revision) {
                return Ok(None);
            }
            bytes.extend_from_slice(input.rest());
        }
        serde_json::from_slice(&bytes)
    };
    let value = parsed.map_err(|_| corrupt(collection, id))?;
    Ok(Some(Document { id: id.to_owned(), revision: head.revision, value }))
}

pub(crate) fn list(disk: &Disk, collection: &str, page: &Page) -> Result<Vec<Document>, StoreError> {
    let space = keys::collection(collection);
    let mut prefix = space.clone();
    prefix.extend_from_slice(page.prefix.as_bytes());
    let after = page.after.as_ref().map(|after| keys::document(collection, after));
    // No id holds a NUL, and no UTF-8 text a 0xff.
    let mut end = prefix.clone();
    end.push(0xff);
    let mut documents = Vec::new();
    let mut take = |entry: sled::Result<(sled::IVec, sled::IVec)>| -> Result<bool, StoreError> {
        if documents.len() >= page.limit {
            return Ok(false);
        }
        let (key, value) = entry.map_err(failure)?;
        let id = key.get(space.len()..).and_then(|id| std::str::from_utf8(id).ok());
        let Some(id) = id else { return Err(corrupt(collection, "?")) };
        let document = match assemble(disk, collection, id, &value)? {
            Some(document) => Some(document),
            None => get(disk, collection, id)?,
        };
        documents.extend(document);
        Ok(true)
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
    Ok(documents)
}
