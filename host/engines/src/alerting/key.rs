//! Short names for alerts and groups in memory.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use quarterdeck_model::label::Labels;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

/// An alert, by its document's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u64);

impl Key {
    /// Ids are 16 hexadecimal digits; whatever else is an id is hashed.
    pub fn of(id: &str) -> Self {
        let hex = id.len() == 16 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let number = u64::from_str_radix(id, 16).ok().filter(|_| hex);
        Key(number.unwrap_or_else(|| fnv(FNV_OFFSET, id.as_bytes())))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// An alert's fingerprint as Alertmanager computes it: of its labels.
pub fn fingerprint(labels: &Labels) -> String {
    let hash = labels.iter().fold(FNV_OFFSET, |hash, (name, value)| {
        let hash = fnv(fnv(hash, name.as_bytes()), &[0xff]);
        fnv(fnv(hash, value.as_bytes()), &[0xff])
    });
    format!("{hash:016x}")
}

/// More of a group are not kept: the rest would be told again after a restart, and a document, which holds two of these, has an end.
const KEPT: usize = 45_000;

/// Keys as a text for a document: eight bytes each.
pub(crate) fn pack(keys: &BTreeSet<Key>) -> String {
    let bytes: Vec<u8> = keys.iter().take(KEPT).flat_map(|key| key.0.to_be_bytes()).collect();
    STANDARD_NO_PAD.encode(bytes)
}

pub(crate) fn unpack(text: &str) -> BTreeSet<Key> {
    let bytes = STANDARD_NO_PAD.decode(text).unwrap_or_default();
    let (keys, _) = bytes.as_chunks::<8>();
    keys.iter().map(|bytes| Key(u64::from_be_bytes(*bytes))).collect()
}

/// A group: a route, and the labels that its alerts share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId([u8; 16]);

impl GroupId {
    pub fn of(route: &str, labels: &Labels) -> Self {
        let mut hash = Sha256::new();
        hash.update(route.as_bytes());
        for (name, value) in labels.iter() {
            for part in [name, value] {
                hash.update([0xff]);
                hash.update(part.as_bytes());
            }
        }
        let mut id = [0; 16];
        id.iter_mut().zip(hash.finalize()).for_each(|(byte, hashed)| *byte = hashed);
        GroupId(id)
    }

    pub fn parse(text: &str) -> Option<Self> {
        let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
        Some(GroupId(number.to_be_bytes()))
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_of_alertmanager() {
        // As `amtool alert query -o json` shows them.
        let labels: Labels = [("alertname", "Down"), ("job", "api")].into_iter().collect();
        assert_eq!(fingerprint(&labels), "c89fba827b26e2d5");
    }

    #[test]
    fn keys_are_kept_as_a_text() {
        let keys: BTreeSet<Key> = ["0123456789abcdef", "one", "ffffffffffffffff"].map(Key::of).into();
        assert_eq!(unpack(&pack(&keys)), keys);
        assert_eq!(unpack("?"), BTreeSet::new());
        assert_eq!(format!("{:?}", Key::of("0123456789abcdef")), "0123456789abcdef");
    }

    #[test]
    fn a_group_reads_back_and_differs_by_route_and_labels() {
        let of = |route: &str, pairs: &[(&str, &str)]| GroupId::of(route, &pairs.iter().copied().collect());
        let id = of("r", &[("a", "b")]);
        assert_eq!(GroupId::parse(&id.to_string()), Some(id));
        let all: BTreeSet<_> = [id, of("s", &[("a", "b")]), of("r", &[("a", "c")]), of("r", &[])].into();
        assert_eq!(all.len(), 4);
        assert_eq!(GroupId::parse("short"), None);
    }
    #[test]
    fn what_is_kept_of_the_largest_group_fits_into_a_document() {
        let keys: BTreeSet<Key> = (0..KEPT as u64 + 1_000).map(Key).collect();
        assert!(2 * pack(&keys).len() < (1 << 20) - (64 << 10));
        assert_eq!(unpack(&pack(&keys)).len(), KEPT);
    }
}
