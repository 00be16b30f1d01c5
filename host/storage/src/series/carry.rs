//! Samples of stores that older versions wrote, as frames in sled: they become blocks, once. A kill on the way leaves the frames, and the
//! blocks that were made of them are found twice, which counts once.

use super::active::Rows;
use super::block::packed::Effort;
use super::block::{Places, Tail, Texts};
use super::blocks::Blocks;
use super::dictionary::Entry;
use super::{DAY, dictionary, frames};
use crate::disk::{Disk, failure};
use crate::keys;
use quarterdeck_model::Timestamp;
use quarterdeck_model::series::query::NAME;
use quarterdeck_model::store::StoreError;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tracing::info;

/// What is held in memory at once, in milliseconds: four hours of samples. A day is made of whole ones.
const STRETCH: i64 = DAY / 6;

pub(crate) fn carry(disk: &Disk, blocks: &Blocks, oldest: Timestamp) -> Result<(), StoreError> {
    let mut entries = Vec::new();
    dictionary::each(disk, |_, entry| entries.push(entry))?;
    if entries.is_empty() {
        return Ok(());
    }
    info!(series = entries.len(), "moving the samples of an older version into blocks");
    let (texts, order) = sorted(&entries);
    let mut from = oldest.as_millis();
    while let Some(at) = frames::first(disk, from)? {
        let start = at.max(from).div_euclid(STRETCH) * STRETCH;
        let mut found: HashMap<u32, Rows> = HashMap::new();
        let (after, to) = ((start - 1).max(oldest.as_millis()), start + STRETCH - 1);
        frames::each(disk, Timestamp::from_millis(after), Timestamp::from_millis(to), |point| {
            found.entry(point.series).or_default().push(point.at, point.value);
            Ok(())
        })?;
        let mut draft = blocks.draft(Arc::clone(&texts), Effort::Quick)?;
        for (id, labels) in &order {
            if let Some(mut rows) = found.remove(id) {
                rows.settle();
                draft.push(labels, &rows)?;
            }
        }
        let tail = Tail { place: draft.number, ..Tail::default() };
        blocks.publish(vec![(draft, tail)], &[])?;
        from = start + STRETCH;
    }
    for space in [keys::SAMPLES, keys::DICTIONARY] {
        for entry in disk.tree.scan_prefix([space]) {
            disk.remove(&entry.map_err(failure)?.0)?;
        }
    }
    disk.sync()
}

/// The texts of all labels, and the series with their labels as places of these, both sorted.
fn sorted(entries: &[Entry]) -> (Texts, Vec<(u32, Places)>) {
    let mut texts: BTreeSet<&str> = [NAME].into();
    for entry in entries {
        texts.insert(&entry.metric);
        entry.labels.iter().for_each(|(name, value)| texts.extend([name, value]));
    }
    let texts: Vec<Arc<str>> = texts.into_iter().map(Arc::from).collect();
    let place = |text: &str| texts.binary_search_by(|other| (**other).cmp(text)).unwrap_or(0) as u32;
    let mut order: Vec<(u32, Places)> = entries
        .iter()
        .map(|entry| {
            let others = entry.labels.iter().filter(|(name, value)| *name != NAME && !value.is_empty());
            let others = others.map(|(name, value)| (place(name), place(value)));
            (entry.id, std::iter::once((place(NAME), place(&entry.metric))).chain(others).collect())
        })
        .collect();
    order.sort_unstable_by(|(_, a), (_, b)| a.cmp(b));
    (Arc::new(texts), order)
}
