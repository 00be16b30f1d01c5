//! The key space: one tree, a letter in front for what a key is of. Numbers are big-endian, so that bytes sort as they do.

use quarterdeck_model::store::StoreError;

/// Schema version and other single values.
pub(crate) const META: u8 = b'm';
/// Frames of the log that hold events, by the offset before their first.
pub(crate) const EVENTS: u8 = b'l';
/// Frames of the log without events, by serial number. Apart, so that readers of events never have to step over them.
pub(crate) const CHANGES: u8 = b'w';
/// First (mostly only) part of each document.
pub(crate) const DOCUMENT: u8 = b'd';
/// Further parts of documents.
pub(crate) const PART: u8 = b'p';
/// Places of consumers.
pub(crate) const CURSOR: u8 = b'a';
/// Frames of samples, by time: of older versions.
pub(crate) const SAMPLES: u8 = b's';
/// Names and labels of series: of older versions.
pub(crate) const DICTIONARY: u8 = b'i';
/// Blocks of journals: of older versions.
pub(crate) const JOURNAL: u8 = b'j';
/// Where each journal goes on: of older versions.
pub(crate) const JOURNAL_RING: u8 = b'r';

/// The longest value. sled keeps 16 entries to a page (a few more for moments) and moves a page above 128 KiB into a file of
/// its own, which it never syncs; so no page may get there.
pub(crate) const VALUE_BYTES: usize = 3_584;

const COLLECTION_BYTES: usize = 128;
const NAME_BYTES: usize = 512;

pub(crate) fn meta(name: &str) -> Vec<u8> {
    joined(META, &[name.as_bytes()])
}

/// A part of a frame of the log.
pub(crate) fn frame(space: u8, order: u64, part: u16) -> Vec<u8> {
    joined(space, &[&order.to_be_bytes(), &part.to_be_bytes()])
}

/// Order and part of a frame's key.
pub(crate) fn parse_frame(key: &[u8]) -> Option<(u64, u16)> {
    let (_, rest) = key.split_first()?;
    let (order, part) = rest.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*order), u16::from_be_bytes(part.try_into().ok()?)))
}

pub(crate) fn document(collection: &str, id: &str) -> Vec<u8> {
    joined(DOCUMENT, &[collection.as_bytes(), &[0], id.as_bytes()])
}

/// What all documents of a collection start with.
pub(crate) fn collection(collection: &str) -> Vec<u8> {
    joined(DOCUMENT, &[collection.as_bytes(), &[0]])
}

pub(crate) fn document_part(collection: &str, id: &str, part: u16) -> Vec<u8> {
    joined(PART, &[collection.as_bytes(), &[0], id.as_bytes(), &[0], &part.to_be_bytes()])
}

/// The consumer of a cursor's key.
pub(crate) fn consumer(key: &[u8]) -> Option<&str> {
    key.get(1..).and_then(|name| std::str::from_utf8(name).ok())
}

pub(crate) fn cursor(consumer: &str) -> Vec<u8> {
    joined(CURSOR, &[consumer.as_bytes()])
}

/// `at` in milliseconds; `serial` tells frames of one time apart.
pub(crate) fn samples(at: i64, serial: u32) -> Vec<u8> {
    joined(SAMPLES, &[&(at.max(0) as u64).to_be_bytes(), &serial.to_be_bytes()])
}

#[cfg(test)]
pub(crate) fn serial_of_samples(key: &[u8]) -> Option<u32> {
    key.last_chunk::<4>().map(|serial| u32::from_be_bytes(*serial))
}

pub(crate) fn time_of_samples(key: &[u8]) -> Option<i64> {
    key.get(1..)?.first_chunk::<8>().map(|at| u64::from_be_bytes(*at) as i64)
}

#[cfg(test)]
pub(crate) fn series(metric: &str, fingerprint: &str) -> Vec<u8> {
    joined(DICTIONARY, &[metric.as_bytes(), &[0], fingerprint.as_bytes()])
}

fn joined(space: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(space);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// NUL separates the parts of a key.
pub(crate) fn check_document(collection: &str, id: &str) -> Result<(), StoreError> {
    check("collection", collection, COLLECTION_BYTES)?;
    check("document id", id, NAME_BYTES)
}

pub(crate) fn check_consumer(name: &str) -> Result<(), StoreError> {
    check("consumer", name, NAME_BYTES)
}

pub(crate) fn check_journal(name: &str) -> Result<(), StoreError> {
    check("journal", name, NAME_BYTES)
}

fn check(what: &str, name: &str, limit: usize) -> Result<(), StoreError> {
    if name.is_empty() || name.len() > limit || name.contains('\0') {
        let shown: String = name.chars().take(40).collect();
        return Err(StoreError::Invalid(format!(
            "{shown:?} can't name a {what}; hint: between 1 and {limit} bytes, without NUL"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator of its own, so that a failing case comes again.
    fn numbers(count: usize) -> impl Iterator<Item = u64> {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> (state % 60)
        })
        .take(count)
    }

    #[test]
    fn keys_sort_as_the_numbers_in_them() {
        let all: Vec<u64> = numbers(500).collect();
        for pair in all.windows(2) {
            let [a, b] = pair else { panic!() };
            assert_eq!(a.cmp(b), frame(EVENTS, *a, 0).cmp(&frame(EVENTS, *b, 0)), "{a} {b}");
            assert_eq!(parse_frame(&frame(EVENTS, *a, 7)), Some((*a, 7)));
            let (x, y) = ((a >> 8) as i64, (b >> 8) as i64);
            assert_eq!(x.cmp(&y), samples(x, 0).cmp(&samples(y, 0)), "{x} {y}");
        }
    }

    #[test]
    fn no_collection_is_a_prefix_of_another() {
        assert!(!document("notes-old", "x").starts_with(&collection("notes")));
        assert!(document("notes", "x").starts_with(&collection("notes")));
    }

    #[test]
    fn names_with_a_nul_are_refused() {
        assert!(check_document("a", "b/c.d").is_ok());
        for (collection, id) in [("a\0", "b"), ("a", "\0"), ("", "b"), ("a", ""), (&*"c".repeat(129), "b")] {
            assert!(matches!(check_document(collection, id), Err(StoreError::Invalid(_))));
        }
    }
}
