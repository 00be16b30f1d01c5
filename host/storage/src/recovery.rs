//! From what lies on the disk to a store that goes on. sled comes back as it was at one moment, no older than the last checkpoint, and
//! the write-ahead log has what was acknowledged since then. That moment may lie within a group: some of its frames are there, and of what
//! they tell some may not be in its place.

use crate::disk::{Disk, failure};
use crate::log::{Frame, Frames, Header, floor, put};
use crate::projections::{put_settled, read_settled};
use crate::wal::Record;
use crate::{documents, keys};
use quarterdeck_model::event::Offset;
use quarterdeck_model::store::StoreError;

/// Where the log goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) head: u64,
    pub(crate) tail: u64,
    pub(crate) serial: u64,
    pub(crate) group: u64,
    pub(crate) position: u64,
    /// The highest revision of a document that was deleted: new ones start above it, so that what somebody read of a document
    /// never fits another one of the same name.
    pub(crate) floor: u64,
}

/// Puts the frames that had not come to sled, of those that were acknowledged. `records` are in the order of their serial numbers.
pub(crate) fn catch_up(disk: &Disk, records: &[Record]) -> Result<(), StoreError> {
    let frames = [last(disk, keys::EVENTS)?, last(disk, keys::CHANGES)?];
    let newest = frames.iter().flatten().map(|frame| frame.header.serial).max().unwrap_or(0);
    records.iter().filter(|record| record.serial > newest).try_for_each(|record| put(disk, record))
}

/// Applies every frame again of which not everything is known to be in its place: whole frames become true with all they hold, an
/// unfinished one goes.
pub(crate) fn recover(disk: &Disk) -> Result<Place, StoreError> {
    let events = last(disk, keys::EVENTS)?;
    let changes = last(disk, keys::CHANGES)?;
    let newest = events.iter().chain(&changes).max_by_key(|frame| frame.header.serial);
    let Some((newest, length)) = newest.map(|frame| (frame.header, frame.len())) else {
        put_settled(disk, 0)?;
        return Ok(Place::default());
    };
    let head = events.as_ref().map_or(0, |frame| frame.order + frame.header.events);
    let before = read_floor(disk)?;
    let mut floor = before;
    let settled = read_settled(disk)?;
    // Older versions wrote documents with their group.
    let is_open = |header: &Header| match settled {
        Some(settled) => header.serial > settled,
        None => header.group == newest.group,
    };
    for frame in back_from([events, changes], disk, is_open)? {
        floor = floor.max(apply(disk, &frame)?);
    }
    if floor > before {
        put_floor(disk, floor)?;
    }
    put_settled(disk, newest.serial)?;
    for space in [keys::EVENTS, keys::CHANGES] {
        drop_remains(disk, space)?;
    }
    let tail = first(disk, keys::EVENTS)?.map_or(head, |frame| frame.order);
    let position = newest.position + length;
    Ok(Place { head, tail, serial: newest.serial, group: newest.group, position, floor })
}

pub(crate) fn first(disk: &Disk, space: u8) -> Result<Option<Frame>, StoreError> {
    Frames::from(disk, space, 0).next()
}

/// The last whole frame; parts behind it go.
fn last(disk: &Disk, space: u8) -> Result<Option<Frame>, StoreError> {
    while let Some(order) = floor(disk, space, u64::MAX)? {
        if let Some(frame) = Frames::from(disk, space, order).next()? {
            return Ok(Some(frame));
        }
        remove(disk, space, order)?;
    }
    Ok(None)
}

/// Parts that retention had not come to when the daemon was killed.
fn drop_remains(disk: &Disk, space: u8) -> Result<(), StoreError> {
    let whole = first(disk, space)?.map_or(u64::MAX, |frame| frame.order);
    while let Some((key, _)) =
        disk.tree.range(keys::frame(space, 0, 0)..keys::frame(space, whole, 0)).next().transpose().map_err(failure)?
    {
        disk.remove(&key)?;
    }
    Ok(())
}

/// Removes a frame in whatever state it is.
pub(crate) fn remove(disk: &Disk, space: u8, order: u64) -> Result<(), StoreError> {
    for entry in disk.tree.range(keys::frame(space, order, 0)..=keys::frame(space, order, u16::MAX)) {
        let (key, _) = entry.map_err(failure)?;
        disk.remove(&key)?;
    }
    Ok(())
}

/// The frames before the end of the log for which `is_open` holds, in the order of their writing.
fn back_from(
    last: [Option<Frame>; 2],
    disk: &Disk,
    is_open: impl Fn(&Header) -> bool,
) -> Result<Vec<Frame>, StoreError> {
    let mut frames = Vec::new();
    for (space, frame) in [keys::EVENTS, keys::CHANGES].into_iter().zip(last) {
        let mut next = frame;
        while let Some(frame) = next.take().filter(|frame| is_open(&frame.header)) {
            if let Some(before) = frame.order.checked_sub(1)
                && let Some(order) = floor(disk, space, before)?
            {
                next = Frames::from(disk, space, order).next()?.filter(|found| found.order == order);
            }
            frames.push(frame);
        }
    }
    frames.sort_by_key(|frame| frame.header.serial);
    Ok(frames)
}

/// Returns the highest revision of what it deleted.
fn apply(disk: &Disk, frame: &Frame) -> Result<u64, StoreError> {
    let (changes, acks) = frame.changes()?;
    let mut floor = 0;
    for change in changes {
        if change.value.is_none() {
            floor = floor.max(change.revision);
        }
        let old = documents::revision(disk, change.collection, change.id)?.map(|(_, parts)| parts).unwrap_or_default();
        let new = change.value.map(|value| (change.revision, value));
        documents::write(disk, change.collection, change.id, old, new)?;
    }
    for (consumer, up_to) in acks {
        put_cursor(disk, consumer, up_to)?;
    }
    Ok(floor)
}

pub(crate) fn put_cursor(disk: &Disk, consumer: &str, up_to: Offset) -> Result<(), StoreError> {
    disk.put(keys::cursor(consumer), up_to.0.to_be_bytes().to_vec())
}

const FLOOR: &str = "revision-floor";

pub(crate) fn put_floor(disk: &Disk, floor: u64) -> Result<(), StoreError> {
    disk.put(keys::meta(FLOOR), floor.to_be_bytes().to_vec())
}

fn read_floor(disk: &Disk) -> Result<u64, StoreError> {
    let Some(value) = disk.get(&keys::meta(FLOOR))? else { return Ok(0) };
    value
        .as_ref()
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| StoreError::Corrupt("the floor of revisions".to_owned()))
}

pub(crate) fn read_cursor(consumer: &str, value: &[u8]) -> Result<Offset, StoreError> {
    let bytes = value.try_into().map_err(|_| StoreError::Corrupt(format!("cursor of `{consumer}`")))?;
    Ok(Offset(u64::from_be_bytes(bytes)))
}
