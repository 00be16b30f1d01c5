//! What a detector remembers of each series, in the 64 KiB that the host keeps for a rule.

use crate::Labels;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What the host keeps for a rule at most, in bytes.
pub const STATE_BYTES: usize = 64 * 1024;
/// Not seen for so long, a series makes room for another one.
const LATELY_SECONDS: u32 = 3_600;
/// What a series costs beside its own bytes.
const HEADER_BYTES: usize = 14;

/// A few bytes for each series. Where they don't fit, those that were not seen for longest are left out; of those that were seen
/// within the last hour, newcomers: what has been learned is worth more than what has not, also where its series misses a moment.
///
/// ```
/// use quarterdeck_sdk::Labels;
/// use quarterdeck_sdk::detector::{Memory, key};
///
/// let series = key(&Labels::new().with("host", "a"));
/// let mut memory = Memory::read(None, 1, 0, 3_600_000);
/// memory.set(series, 0, vec![7]);
/// let (state, left_out) = memory.write();
/// assert!(left_out.is_empty());
/// assert_eq!(Memory::read(state.as_deref(), 1, 1000, 3_600_000).get(series), Some([7].as_slice()));
/// // Of another version, or too long ago: nothing is known.
/// assert_eq!(Memory::read(state.as_deref(), 2, 1000, 3_600_000).get(series), None);
/// assert_eq!(Memory::read(state.as_deref(), 1, 3_601_000, 3_600_000).get(series), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    version: u8,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// Seconds since 1970.
    seen: u32,
    is_new: bool,
    bytes: Vec<u8>,
}

impl Memory {
    /// What [`Memory::write`] of the same version wrote, without what was not seen for longer than `keep_ms`. What can't be read
    /// is nothing: then everything is learned anew.
    pub fn read(state: Option<&[u8]>, version: u8, now_ms: i64, keep_ms: i64) -> Self {
        let mut memory = Memory { version, entries: BTreeMap::new() };
        let Some((&found, rest)) = state.and_then(<[u8]>::split_first) else { return memory };
        if found != version {
            return memory;
        }
        let mut reader = Reader::new(rest);
        while let Some((key, seen, bytes)) = entry(&mut reader) {
            if now_ms.saturating_sub(i64::from(seen) * 1000) <= keep_ms {
                memory.entries.insert(key, Entry { seen, is_new: false, bytes: bytes.to_vec() });
            }
        }
        memory
    }

    /// What is remembered of a series.
    pub fn get(&self, key: u64) -> Option<&[u8]> {
        self.entries.get(&key).map(|entry| entry.bytes.as_slice())
    }

    /// Remembers it, at most 64 KiB less a few bytes.
    pub fn set(&mut self, key: u64, now_ms: i64, bytes: Vec<u8>) {
        let is_new = self.entries.get(&key).is_none_or(|entry| entry.is_new);
        self.entries.insert(key, Entry { seen: seconds(now_ms), is_new, bytes });
    }

    /// Forgets it.
    pub fn remove(&mut self, key: u64) {
        self.entries.remove(&key);
    }

    /// How many series it knows.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The state to hand back (none, if nothing is remembered), and which series did not fit.
    pub fn write(&self) -> (Option<Vec<u8>>, Vec<u64>) {
        let mut entries: Vec<_> = self.entries.iter().collect();
        let newest = entries.iter().map(|(_, entry)| entry.seen).max().unwrap_or_default();
        let lately = |seen: u32| if newest - seen < LATELY_SECONDS { newest } else { seen };
        entries.sort_by_key(|(key, entry)| (Reverse(lately(entry.seen)), entry.is_new, Reverse(entry.seen), **key));
        let mut out = vec![self.version];
        let mut left_out = Vec::new();
        for (key, entry) in entries {
            let length = u16::try_from(entry.bytes.len()).ok();
            let fits = out.len() + HEADER_BYTES + entry.bytes.len() <= STATE_BYTES;
            match length.filter(|_| fits) {
                Some(length) => {
                    out.extend(key.to_le_bytes());
                    out.extend(entry.seen.to_le_bytes());
                    out.extend(length.to_le_bytes());
                    out.extend(&entry.bytes);
                }
                None => left_out.push(*key),
            }
        }
        (Some(out).filter(|out| out.len() > 1), left_out)
    }
}

fn entry<'a>(reader: &mut Reader<'a>) -> Option<(u64, u32, &'a [u8])> {
    let (key, seen) = (reader.u64()?, reader.u32()?);
    let length = reader.u16()?;
    Some((key, seen, reader.bytes(usize::from(length))?))
}

fn seconds(at_ms: i64) -> u32 {
    u32::try_from(at_ms.div_euclid(1000).max(0)).unwrap_or(u32::MAX)
}

/// Stands for a set of labels, whatever their order (FNV-1a).
pub fn key(labels: &Labels) -> u64 {
    let mut pairs: Vec<_> = labels.iter().collect();
    pairs.sort_unstable();
    let bytes = pairs.iter().flat_map(|(name, value)| name.bytes().chain([0xff]).chain(value.bytes()).chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Takes figures off the front of bytes, as `to_le_bytes` wrote them.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from the beginning.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Two bytes.
    pub fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_le_bytes)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Eight bytes.
    pub fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// Four bytes; what is no finite number can't have been written.
    pub fn f32(&mut self) -> Option<f64> {
        self.array().map(f32::from_le_bytes).map(f64::from).filter(|value| value.is_finite())
    }

    /// Eight bytes; what is no finite number can't have been written.
    pub fn f64(&mut self) -> Option<f64> {
        self.array().map(f64::from_le_bytes).filter(|value| value.is_finite())
    }

    /// Whether everything was taken.
    pub const fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn the_state_is_the_same_bytes_in_every_language() {
        let mut memory = Memory::read(None, 1, 0, HOUR_MS);
        memory.set(key(&Labels::new().with("host", "a").with("zone", "b")), 1_700_000_000_999, vec![7, 8]);
        memory.set(3, 1_700_000_060_000, Vec::new());
        let state: String = memory.write().0.unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(state, "0103000000000000003cf15365000090f2b48dd83c9cab00f1536502000708");
    }

    #[test]
    fn the_order_of_labels_does_not_matter() {
        let one = Labels::new().with("a", "1").with("b", "2");
        assert_eq!(key(&one), key(&Labels::new().with("b", "2").with("a", "1")));
        assert_ne!(key(&one), key(&Labels::new().with("a", "12").with("b", "")));
    }

    #[test]
    fn what_does_not_fit_is_what_was_not_seen_for_longest_and_then_newcomers() {
        let mut memory = Memory::read(None, 1, 0, HOUR_MS);
        for series in 100..164 {
            memory.set(series, 0, vec![1; 1000]);
        }
        memory.remove(100);
        let (state, left_out) = memory.write();
        assert!(left_out.is_empty() && state.as_ref().unwrap().len() <= STATE_BYTES);
        let mut memory = Memory::read(state.as_deref(), 1, HOUR_MS, HOUR_MS);
        assert_eq!(memory.len(), 63);
        // All but one of the old ones are there still, and three newcomers, whose keys are smaller.
        for series in (102..164).chain(0..3) {
            memory.set(series, HOUR_MS, vec![1; 1000]);
        }
        let (state, left_out) = memory.write();
        assert_eq!(left_out, [2, 101], "one newcomer too many, and one that has gone");
        assert!(state.unwrap().len() <= STATE_BYTES);
    }

    #[test]
    fn what_was_not_seen_for_a_moment_makes_no_room_for_newcomers() {
        let mut memory = Memory::read(None, 1, 0, HOUR_MS);
        for series in 100..164 {
            memory.set(series, 0, vec![1; 1000]);
        }
        let mut memory = Memory::read(memory.write().0.as_deref(), 1, HOUR_MS - 1000, HOUR_MS);
        for series in (101..164).chain(0..3) {
            memory.set(series, HOUR_MS - 1000, vec![1; 1000]);
        }
        assert_eq!(memory.write().1, [0, 1, 2], "and 100 stays, though it is not seen now");
    }

    #[test]
    fn rubbish_is_nothing_and_a_truncated_state_is_what_is_whole_of_it() {
        for strange in [&b""[..], b"\x02rubbish", b"\x01short"] {
            assert!(Memory::read(Some(strange), 1, 0, HOUR_MS).is_empty());
        }
        let mut memory = Memory::read(None, 1, 0, HOUR_MS);
        memory.set(1, 0, vec![5; 10]);
        memory.set(2, 0, vec![6; 10]);
        let state = memory.write().0.unwrap();
        let cut = Memory::read(state.get(..state.len() - 1), 1, 0, HOUR_MS);
        assert_eq!((cut.get(1), cut.get(2)), (Some([5; 10].as_slice()), None));
        assert_eq!(Memory::read(None, 1, 0, HOUR_MS).write().0, None, "nothing is remembered");
    }

    #[test]
    fn figures_come_back_as_they_were_written_and_none_beyond_the_end() {
        let mut bytes = Vec::new();
        bytes.extend(1.5_f32.to_le_bytes());
        bytes.extend(f64::NAN.to_le_bytes());
        bytes.extend((-3_i16).to_le_bytes());
        let mut reader = Reader::new(&bytes);
        assert_eq!((reader.f32(), reader.f64(), reader.i16()), (Some(1.5), None, Some(-3)));
        assert!(reader.is_at_end() && reader.u8().is_none() && reader.u64().is_none());
    }
}
