//! What becomes of a file that is not as it was written. No sync is made for journals, so a power cut may cost a page in the middle of
//! one, and disks forget: what was damaged is dropped and said, and what stands behind it is kept.
//!
//! A block has no mark by which it could be found. But its head says how long it is, when its first entry was written - which stands
//! behind it once more - and a checksum of all that: so whole blocks can be told from anything else.

use super::{HEAD, Head, Known, checksum};
use crate::codec::Input;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that are summed in search of a block, in lengths of the file: entries may hold what looks like heads.
const EFFORT: usize = 8;

/// Reads all of a file: what is damaged in its middle becomes a block without entries, what is at its end is cut off.
pub(super) fn mend(path: &Path, file: &File, length: u64) -> std::io::Result<Known> {
    let bytes = read(file, 0, length)?;
    let mut known = Known::default();
    while known.bytes < length {
        let place = usize::try_from(known.bytes).unwrap_or(usize::MAX);
        if let Some(head) = whole(&bytes, place) {
            known.add(&head);
            continue;
        }
        let path = path.display();
        let Some(next) = next(&bytes, place) else {
            let dropped = length - known.bytes;
            tracing::warn!(%path, end = place, dropped, "cut off what had not been written to its end");
            file.set_len(known.bytes)?;
            break;
        };
        let Some(gap) = gap(&bytes, place, next) else { break };
        file.write_all_at(&gap.to_bytes(), known.bytes)?;
        tracing::warn!(%path, from = place, until = next, "dropped what was damaged in a journal; what stands behind it was kept");
        known.add(&gap);
    }
    Ok(known)
}

/// Where the next whole block begins behind what is damaged at `place`, in a file of that length.
pub(super) fn behind(file: &File, place: u64, length: u64) -> std::io::Result<Option<u64>> {
    let bytes = read(file, place, length)?;
    Ok(next(&bytes, 0).map(|next| place + next as u64))
}

fn read(file: &File, from: u64, until: u64) -> std::io::Result<Vec<u8>> {
    let length = usize::try_from(until.saturating_sub(from)).map_err(|_| std::io::ErrorKind::OutOfMemory)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

/// The head of the block there, if all of it is as it was written.
fn whole(bytes: &[u8], place: usize) -> Option<Head> {
    let head = Head::at(bytes, place)?;
    (checksum(&head, content(bytes, place, &head)?) == head.checksum).then_some(head)
}

fn content<'a>(bytes: &'a [u8], place: usize, head: &Head) -> Option<&'a [u8]> {
    bytes.get(place.checked_add(HEAD)?..)?.get(..head.length as usize)
}

fn next(bytes: &[u8], place: usize) -> Option<usize> {
    // Where only the block is damaged, its head says where the next one is.
    let named = Head::at(bytes, place).and_then(|head| place.checked_add(HEAD)?.checked_add(head.length as usize));
    if let Some(named) = named.filter(|named| whole(bytes, *named).is_some()) {
        return Some(named);
    }
    let mut effort = bytes.len().saturating_mul(EFFORT);
    for start in place.checked_add(HEAD)?..bytes.len() {
        let head = Head::at(bytes, start)?;
        let Some(content) = content(bytes, start, &head).filter(|content| head.may_be_of(content)) else { continue };
        effort = effort.checked_sub(content.len())?;
        if checksum(&head, content) == head.checksum {
            return Some(start);
        }
    }
    None
}

/// A block of that extent without entries, as old as what comes behind it.
fn gap(bytes: &[u8], place: usize, next: usize) -> Option<Head> {
    let at = Head::at(bytes, next)?.first;
    let content = bytes.get(place.checked_add(HEAD)?..next)?;
    let length = u32::try_from(content.len()).ok()?;
    let head = Head { length, checksum: 0, entries: 0, first: at, newest: at };
    Some(Head { checksum: checksum(&head, content), ..head })
}

impl Head {
    fn at(bytes: &[u8], place: usize) -> Option<Self> {
        bytes.get(place..)?.first_chunk().and_then(Head::from_bytes)
    }

    /// Whether it says of the block what stands there: asked of every byte, so it has to cost nothing.
    fn may_be_of(&self, content: &[u8]) -> bool {
        self.entries > 0 && self.is_possible() && Input::new(content).int() == Some(self.first.as_millis())
    }
}
