//! Which bytes of a file are new.

use crate::count::Tally;
use crate::{Config, Found, From, Place};
use quarterdeck_sdk::Failure;
use quarterdeck_sdk::host::Error;
use quarterdeck_sdk::host::files::{self, Part};

/// How much of a file's beginning is remembered.
const HEAD: u32 = 64;
const CHUNK: u32 = files::READ_BYTES;

/// Hands what is new, in whole lines, to `count`, and moves the place behind it. `first`: nothing is known of the file yet.
pub(crate) fn follow(
    config: &Config,
    path: &str,
    first: bool,
    place: &mut Place,
    count: impl Fn(&[u8], &mut Tally),
) -> Result<Found, Failure> {
    let mut left = config.max_bytes;
    let Some(head) = files::read(path, 0, HEAD)? else {
        // It may have been moved away, and its successor be yet to come.
        if place.identity != 0 {
            finish(config, path, place, &mut left, &count)?;
        }
        return Ok(Found::default());
    };
    if first && config.from == From::End {
        *place = Place { offset: head.size_bytes, ..begun(&head, place) };
    } else if first {
        *place = begun(&head, place);
    } else if head.identity != place.identity {
        if place.identity != 0 {
            finish(config, path, place, &mut left, &count)?;
        }
        *place = begun(&head, place);
    } else if head.size_bytes < place.offset || !head.bytes.starts_with(&place.head) {
        // Cut off, or written anew in place: what was not read is lost.
        *place = begun(&head, place);
    } else {
        place.head = head.bytes.clone();
    }
    let size = read(config, path, place, &mut left, &count)?.unwrap_or(head.size_bytes);
    Ok(Found { present: true, size, unread: size.saturating_sub(place.offset) })
}

/// The beginning of that file.
fn begun(head: &Part, place: &Place) -> Place {
    Place { identity: head.identity, offset: 0, head: head.bytes.clone(), tally: place.tally.clone() }
}

/// Reads what is left of a file that was renamed, if it is still there under its new name, and may be read.
fn finish(
    config: &Config,
    path: &str,
    place: &mut Place,
    left: &mut u64,
    count: &impl Fn(&[u8], &mut Tally),
) -> Result<(), Failure> {
    let renamed = format!("{path}{}", config.rotated);
    match files::read(&renamed, 0, 0) {
        Ok(Some(part)) if part.identity == place.identity => read(config, &renamed, place, left, count).map(|_| ()),
        Ok(_) | Err(Error::Denied(_)) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

/// Reads from the place on, to the end of the last whole line. Gives the size of the file.
fn read(
    config: &Config,
    path: &str,
    place: &mut Place,
    left: &mut u64,
    count: &impl Fn(&[u8], &mut Tally),
) -> Result<Option<u64>, Failure> {
    let mut size = None;
    let most = u32::try_from(config.max_bytes).unwrap_or(CHUNK).min(CHUNK);
    while *left > 0 {
        let max = u32::try_from(*left).unwrap_or(most).min(most);
        let Some(part) = files::read(path, place.offset, max)? else { break };
        // It was replaced in this moment: the next call sees how.
        if part.identity != place.identity {
            break;
        }
        size = Some(part.size_bytes);
        let is_full = part.bytes.len() >= usize::try_from(max).unwrap_or(usize::MAX);
        let whole = match part.bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            // One line longer than all that is read at once is taken in pieces: it must not be in the way for ever.
            None if is_full && max == most => part.bytes.len(),
            None => 0,
        };
        let Some(lines) = part.bytes.get(..whole).filter(|lines| !lines.is_empty()) else { break };
        count(lines, &mut place.tally);
        place.offset += lines.len() as u64;
        *left = left.saturating_sub(lines.len() as u64);
        if !is_full {
            break;
        }
    }
    Ok(size)
}
