//! Which series are raised, as the opaque state that the host hands back.

use quarterdeck_sdk::Labels;
use std::collections::BTreeMap;

/// The host keeps at most 64 KiB; an entry has 24 bytes.
const CAPACITY: usize = 2_500;
/// A series that has not been seen for so long is forgotten. Long, because the alert of a series without samples fires on: when they come
/// back, it is still the lower level that decides. What keeps the state small is its capacity.
const RETENTION_MS: i64 = 30 * 24 * 60 * 60 * 1000;
const VERSION: u8 = 1;
const ENTRY_BYTES: usize = 24;

/// A series that is raised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Raised {
    /// When it was last in the window.
    pub(crate) seen_ms: i64,
    /// What it was then.
    pub(crate) value: f64,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct State(BTreeMap<u64, Raised>);

impl State {
    /// What can't be read is no state: the levels are then judged afresh.
    pub(crate) fn read(bytes: Option<&[u8]>, now_ms: i64) -> Self {
        let Some((&VERSION, entries)) = bytes.and_then(<[u8]>::split_first) else { return State::default() };
        let number = |entry: &[u8], at: usize| -> Option<u64> {
            Some(u64::from_le_bytes(entry.get(at..at + 8)?.try_into().ok()?))
        };
        let read = |entry: &[u8]| -> Option<(u64, Raised)> {
            let seen_ms = i64::from_le_bytes(number(entry, 8)?.to_le_bytes());
            let value = f64::from_bits(number(entry, 16)?);
            (now_ms.saturating_sub(seen_ms) <= RETENTION_MS).then_some(())?;
            Some((number(entry, 0)?, Raised { seen_ms, value }))
        };
        State(entries.chunks_exact(ENTRY_BYTES).filter_map(read).collect())
    }

    /// Nothing, if nothing is raised.
    pub(crate) fn write(&self) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        // Beyond the capacity, those that were seen last are kept.
        let mut entries: Vec<_> = self.0.iter().collect();
        entries.sort_by_key(|(key, raised)| (std::cmp::Reverse(raised.seen_ms), **key));
        entries.truncate(CAPACITY);
        let mut bytes = vec![VERSION];
        for (key, raised) in entries {
            bytes.extend(key.to_le_bytes());
            bytes.extend(raised.seen_ms.to_le_bytes());
            bytes.extend(raised.value.to_bits().to_le_bytes());
        }
        Some(bytes)
    }

    pub(crate) fn get(&self, key: u64) -> Option<Raised> {
        self.0.get(&key).copied()
    }

    pub(crate) fn set(&mut self, key: u64, raised: Raised) {
        self.0.insert(key, raised);
    }

    pub(crate) fn remove(&mut self, key: u64) {
        self.0.remove(&key);
    }
}

/// Stands for a set of labels, whatever their order (FNV-1a).
pub(crate) fn key(labels: &Labels) -> u64 {
    let mut pairs: Vec<_> = labels.iter().collect();
    pairs.sort_unstable();
    let bytes = pairs.iter().flat_map(|(name, value)| name.bytes().chain([0xff]).chain(value.bytes()).chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
