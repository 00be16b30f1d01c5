//! Which series there are: an entry per metric and labels gives the id that frames use.

use crate::codec::{Input, put_bytes, put_int, put_uint};
use crate::disk::{Disk, failure};
use crate::keys::{self, VALUE_BYTES};
use quarterdeck_model::series::{LABELS_BYTES, check_lengths};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Labels, Span, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Notes of when a series was seen are made once a day: this much older than any sample is surely unused.
const GRACE: Span = Span::from_secs(2 * 86_400);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: u32,
    /// Milliseconds; up to a day old.
    pub(crate) seen: i64,
    pub(crate) metric: Arc<str>,
    pub(crate) labels: Labels,
}

/// An entry takes so much beside its labels, at most.
const ENTRY_EXTRA_BYTES: usize = 32;
const _: () = assert!(LABELS_BYTES + ENTRY_EXTRA_BYTES <= VALUE_BYTES);

/// Whether such a series can be stored.
pub(crate) fn fits(metric: &str, labels: &Labels) -> bool {
    check_lengths(metric, labels).is_ok()
}

pub(crate) fn put(disk: &Disk, entry: &Entry) -> Result<(), StoreError> {
    let mut value = Vec::with_capacity(64);
    put_uint(&mut value, u64::from(entry.id));
    put_int(&mut value, entry.seen);
    for (name, text) in entry.labels.iter() {
        put_bytes(&mut value, name.as_bytes());
        put_bytes(&mut value, text.as_bytes());
    }
    disk.put(keys::series(&entry.metric, &entry.labels.fingerprint()), value)
}

/// The entry in the place of these labels: theirs, or in a blue moon that of others with the same fingerprint.
pub(crate) fn get(disk: &Disk, metric: &str, labels: &Labels) -> Result<Option<Entry>, StoreError> {
    let Some(value) = disk.get(&keys::series(metric, &labels.fingerprint()))? else { return Ok(None) };
    decode(Arc::from(metric), &value).map(Some)
}

pub(crate) fn of_metric(disk: &Disk, metric: &str, found: impl FnMut(&[u8], Entry)) -> Result<(), StoreError> {
    scan(disk, keys::metric(metric), found)
}

pub(crate) fn each(disk: &Disk, found: impl FnMut(&[u8], Entry)) -> Result<(), StoreError> {
    scan(disk, vec![keys::DICTIONARY], found)
}

fn scan(disk: &Disk, prefix: Vec<u8>, mut found: impl FnMut(&[u8], Entry)) -> Result<(), StoreError> {
    let mut metric: Arc<str> = Arc::from("");
    for entry in disk.tree.scan_prefix(prefix) {
        let (key, value) = entry.map_err(failure)?;
        let name = key.get(1..).and_then(|rest| rest.split(|byte| *byte == 0).next());
        let name = name.and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(corrupt)?;
        if *metric != *name {
            metric = Arc::from(name);
        }
        found(&key, decode(Arc::clone(&metric), &value)?);
    }
    Ok(())
}

fn decode(metric: Arc<str>, value: &[u8]) -> Result<Entry, StoreError> {
    let mut input = Input::new(value);
    let read = || {
        let id = u32::try_from(input.uint()?).ok()?;
        let seen = input.int()?;
        let mut labels = Labels::new();
        while !input.rest().is_empty() {
            labels.insert(input.text()?, input.text()?);
        }
        Some(Entry { id, seen, metric, labels })
    };
    read().ok_or_else(corrupt)
}

fn corrupt() -> StoreError {
    StoreError::Corrupt("an entry of the dictionary of series".to_owned())
}

/// All metrics, and how many series they have together.
pub(crate) fn survey(disk: &Disk) -> Result<(BTreeSet<Arc<str>>, u64), StoreError> {
    let (mut names, mut series) = (BTreeSet::new(), 0);
    each(disk, |_, entry| {
        names.insert(entry.metric);
        series += 1;
    })?;
    Ok((names, series))
}

/// Drops up to `limit` entries of which no sample is left. True if there were any.
pub(crate) fn drop_unseen(disk: &Disk, before: Timestamp, limit: usize) -> Result<bool, StoreError> {
    let before = before.minus(GRACE).as_millis();
    let mut unseen = Vec::new();
    each(disk, |key, entry| {
        if entry.seen < before && unseen.len() < limit {
            unseen.push(key.to_vec());
        }
    })?;
    for key in &unseen {
        disk.remove(key)?;
    }
    Ok(!unseen.is_empty())
}
