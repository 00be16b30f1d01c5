//! Which series an older version had: an entry per metric and labels gives the id that frames use.

use crate::codec::Input;
use crate::disk::{Disk, failure};
use crate::keys;
use quarterdeck_model::Labels;
use quarterdeck_model::store::StoreError;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: u32,
    pub(crate) metric: Arc<str>,
    pub(crate) labels: Labels,
}

/// How an older version wrote it.
#[cfg(test)]
pub(crate) fn put(disk: &Disk, entry: &Entry) {
    use crate::codec::{put_bytes, put_int, put_uint};
    let mut value = Vec::new();
    put_uint(&mut value, u64::from(entry.id));
    put_int(&mut value, 0);
    for (name, text) in entry.labels.iter() {
        put_bytes(&mut value, name.as_bytes());
        put_bytes(&mut value, text.as_bytes());
    }
    disk.put(keys::series(&entry.metric, &entry.labels.fingerprint()), value).unwrap();
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
        // When it was last seen.
        input.int()?;
        let mut labels = Labels::new();
        while !input.rest().is_empty() {
            labels.insert(input.text()?, input.text()?);
        }
        Some(Entry { id, metric, labels })
    };
    read().ok_or_else(corrupt)
}

fn corrupt() -> StoreError {
    StoreError::Corrupt("an entry of the dictionary of series".to_owned())
}
