//! The inverted index of the series in memory: for each label and value, the ids that have it.

use super::matching::Postings;
use super::slab::Slab;
use super::symbols::Symbols;
use std::collections::{HashMap, HashSet};

#[derive(Default)]
pub(crate) struct Index {
    /// By the label's name and then its value, as symbols. Ids are sorted: they rise as series come.
    labels: HashMap<u32, HashMap<u32, Vec<u32>>>,
}

impl Index {
    pub(crate) fn add(&mut self, id: u32, labels: &[(u32, u32)]) {
        for (name, value) in labels {
            let ids = self.labels.entry(*name).or_default().entry(*value).or_default();
            if ids.is_empty() {
                // Most values of most labels are of one series.
                ids.reserve_exact(1);
            }
            ids.push(id);
        }
    }

    /// Many at once: each list is gone through once, however many of its ids go.
    pub(crate) fn remove(&mut self, gone: &HashSet<u32>, labels: &HashSet<(u32, u32)>) {
        for (name, value) in labels {
            let Some(values) = self.labels.get_mut(name) else { continue };
            if let Some(ids) = values.get_mut(value) {
                ids.retain(|id| !gone.contains(id));
                if ids.is_empty() {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.labels.remove(name);
            }
        }
    }

    /// Values of a label, in no order.
    pub(crate) fn values(&self, name: u32) -> impl Iterator<Item = u32> {
        self.labels.get(&name).into_iter().flat_map(|values| values.keys().copied())
    }
}

/// The index with what its numbers mean.
pub(crate) struct Indexed<'a> {
    pub(crate) index: &'a Index,
    pub(crate) symbols: &'a Symbols,
    pub(crate) slab: &'a Slab,
}

impl Postings for Indexed<'_> {
    fn of(&mut self, label: &str, value: &str) -> Option<Vec<u32>> {
        let symbols = self.symbols.find(label).zip(self.symbols.find(value));
        let ids = symbols.and_then(|(name, value)| self.index.labels.get(&name)?.get(&value));
        Some(ids.cloned().unwrap_or_default())
    }

    fn union(&mut self, label: &str, wanted: &dyn Fn(&str) -> bool) -> Option<Vec<u32>> {
        let mut all = Vec::new();
        let values = self.symbols.find(label).and_then(|name| self.index.labels.get(&name));
        for (value, ids) in values.into_iter().flatten() {
            if wanted(self.symbols.text(*value)) {
                all.extend_from_slice(ids);
            }
        }
        all.sort_unstable();
        Some(all)
    }

    fn retain(&mut self, ids: &mut Vec<u32>, label: &str, wanted: &dyn Fn(&str) -> bool) -> Option<()> {
        let name = self.symbols.find(label);
        ids.retain(|id| {
            let labels = self.slab.get(*id).map(|series| &*series.labels).unwrap_or_default();
            let value = labels.iter().find(|(label, _)| Some(*label) == name);
            wanted(value.map_or("", |(_, value)| self.symbols.text(*value)))
        });
        Some(())
    }

    fn all(&mut self) -> Option<Vec<u32>> {
        Some(self.slab.ids().collect())
    }

    fn values(&mut self, label: &str) -> Option<usize> {
        Some(self.symbols.find(label).and_then(|name| self.index.labels.get(&name)).map_or(0, HashMap::len))
    }
}
