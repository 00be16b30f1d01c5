//! The log on disk: frames, each with one or more whole transitions. Documents and cursors are projections of it.
//!
//! A frame is a value, or several where it is larger than one may be; without its last part it was never acknowledged and
//! counts for nothing.

use crate::codec::{Input, put_bytes, put_int, put_uint};
use crate::disk::{Disk, failure};
use crate::keys::{self, VALUE_BYTES};
use crate::prepared::{HOLDS_PLUGIN, HOLDS_RUN};
use crate::wal::Record;
use quarterdeck_model::Timestamp;
use quarterdeck_model::event::{Event, EventFilter, Offset, StoredEvent};
use quarterdeck_model::id::{EventId, RunId};
use quarterdeck_model::plugin::{Digest, PluginRef};
use quarterdeck_model::store::{EventBatch, Gap, StoreError};
use sled::IVec;
use std::sync::Arc;

/// The part of the log that one read looks at.
const STRETCH_EVENTS: u64 = 16_384;
const STRETCH_BYTES: usize = 4 << 20;
/// Bytes of a frame that no transition makes larger by itself; leaves room for the header in one value.
pub(crate) const FRAME_BYTES: usize = VALUE_BYTES - 64;

/// What stands in front of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Frames of all kinds in the order of their writing.
    pub(crate) serial: u64,
    /// Frames of one group were written between two syncs.
    pub(crate) group: u64,
    /// Bytes of all frames before this one, since the store was made.
    pub(crate) position: u64,
    pub(crate) at: Timestamp,
    pub(crate) events: u64,
}

/// Gathers transitions into a frame.
#[derive(Default)]
pub(crate) struct Builder {
    events: Vec<u8>,
    event_count: u64,
    writes: Vec<u8>,
    write_count: u64,
    acks: Vec<u8>,
    ack_count: u64,
}

impl Builder {
    pub(crate) fn event(&mut self, encoded: &[u8]) {
        put_bytes(&mut self.events, encoded);
        self.event_count += 1;
    }

    pub(crate) fn write(&mut self, collection: &str, id: &str, revision: u64, value: Option<&[u8]>) {
        put_bytes(&mut self.writes, collection.as_bytes());
        put_bytes(&mut self.writes, id.as_bytes());
        put_uint(&mut self.writes, revision);
        match value {
            Some(value) => {
                self.writes.push(1);
                put_bytes(&mut self.writes, value);
            }
            None => self.writes.push(0),
        }
        self.write_count += 1;
    }

    pub(crate) fn ack(&mut self, consumer: &str, up_to: Offset) {
        put_bytes(&mut self.acks, consumer.as_bytes());
        put_uint(&mut self.acks, up_to.0);
        self.ack_count += 1;
    }

    pub(crate) fn event_count(&self) -> u64 {
        self.event_count
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len() + self.writes.len() + self.acks.len()
    }

    /// Puts the frame. `order`: the offset before its first event, or the serial where it has none. Returns what the write-ahead log has
    /// to hold before anybody is told of it.
    pub(crate) fn put(self, disk: &Disk, order: u64, mut header: Header) -> Result<Record, StoreError> {
        header.events = self.event_count;
        let mut bytes = vec![0, 0];
        put_uint(&mut bytes, header.serial);
        put_uint(&mut bytes, header.group);
        put_uint(&mut bytes, header.position);
        put_int(&mut bytes, header.at.as_millis());
        put_uint(&mut bytes, header.events);
        bytes.extend_from_slice(&self.events);
        put_uint(&mut bytes, self.write_count);
        bytes.extend_from_slice(&self.writes);
        put_uint(&mut bytes, self.ack_count);
        bytes.extend_from_slice(&self.acks);
        let parts = u16::try_from(bytes.len().div_ceil(VALUE_BYTES))
            .map_err(|_| StoreError::Invalid("a frame of the log is too large".to_owned()))?;
        if let Some(place) = bytes.first_chunk_mut::<2>() {
            *place = parts.to_be_bytes();
        }
        let space = if header.events > 0 { keys::EVENTS } else { keys::CHANGES };
        let record = Record { serial: header.serial, space, order, frame: bytes };
        put(disk, &record)?;
        Ok(record)
    }
}

/// Puts a frame, in as many values as it takes.
pub(crate) fn put(disk: &Disk, record: &Record) -> Result<(), StoreError> {
    for (part, chunk) in (0..).zip(record.frame.chunks(VALUE_BYTES)) {
        disk.put(keys::frame(record.space, record.order, part), chunk.to_vec())?;
    }
    Ok(())
}

/// A frame as read: one value as it lies in memory, or the joined parts.
pub(crate) struct Frame {
    pub(crate) order: u64,
    pub(crate) header: Header,
    bytes: FrameBytes,
    body: usize,
}

enum FrameBytes {
    One(IVec),
    Many(Vec<u8>),
}

/// A change of a document, as the log tells it.
pub(crate) struct Change<'a> {
    pub(crate) collection: &'a str,
    pub(crate) id: &'a str,
    pub(crate) revision: u64,
    pub(crate) value: Option<&'a [u8]>,
}

/// Changes of documents, and new places of consumers.
type Changes<'a> = (Vec<Change<'a>>, Vec<(&'a str, Offset)>);

impl Frame {
    fn read(order: u64, bytes: FrameBytes) -> Option<Frame> {
        let all = bytes.as_slice();
        let mut input = Input::new(all);
        let _parts: [u8; 2] = input.fixed()?;
        let header = Header {
            serial: input.uint()?,
            group: input.uint()?,
            position: input.uint()?,
            at: Timestamp::from_millis(input.int()?),
            events: input.uint()?,
        };
        let body = all.len() - input.rest().len();
        Some(Frame { order, header, bytes, body })
    }

    fn body(&self) -> Input<'_> {
        Input::new(self.bytes.as_slice().get(self.body..).unwrap_or_default())
    }

    pub(crate) fn len(&self) -> u64 {
        self.bytes.as_slice().len() as u64
    }

    fn corrupt(&self) -> StoreError {
        StoreError::Corrupt(format!("frame {} of the log", self.header.serial))
    }

    /// Everything in it but the events.
    pub(crate) fn changes(&self) -> Result<Changes<'_>, StoreError> {
        self.read_changes().ok_or_else(|| self.corrupt())
    }

    fn read_changes(&self) -> Option<Changes<'_>> {
        let mut input = self.body();
        for _ in 0..self.header.events {
            input.bytes()?;
        }
        let mut changes = Vec::new();
        for _ in 0..input.uint()? {
            let (collection, id, revision) = (input.text()?, input.text()?, input.uint()?);
            let value = if input.byte()? == 1 { Some(input.bytes()?) } else { None };
            changes.push(Change { collection, id, revision, value });
        }
        let mut acks = Vec::new();
        for _ in 0..input.uint()? {
            acks.push((input.text()?, Offset(input.uint()?)));
        }
        Some((changes, acks))
    }
}

impl FrameBytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            FrameBytes::One(value) => value,
            FrameBytes::Many(bytes) => bytes,
        }
    }
}

/// The whole frames of a space, in order, from one on.
pub(crate) struct Frames {
    entries: sled::Iter,
    pushed_back: Option<(IVec, IVec)>,
}

impl Frames {
    pub(crate) fn from(disk: &Disk, space: u8, order: u64) -> Self {
        let end = vec![space + 1];
        Frames { entries: disk.tree.range(keys::frame(space, order, 0)..end), pushed_back: None }
    }

    fn entry(&mut self) -> Result<Option<(IVec, IVec)>, StoreError> {
        match self.pushed_back.take() {
            Some(entry) => Ok(Some(entry)),
            None => self.entries.next().transpose().map_err(failure),
        }
    }

    pub(crate) fn next(&mut self) -> Result<Option<Frame>, StoreError> {
        loop {
            let Some((key, value)) = self.entry()? else { return Ok(None) };
            let Some((order, 0)) = keys::parse_frame(&key) else { continue };
            let parts = value.first_chunk::<2>().map_or(0, |parts| u16::from_be_bytes(*parts));
            let bytes = if parts == 1 { FrameBytes::One(value) } else { FrameBytes::Many(value.to_vec()) };
            let Some(bytes) = self.gather(order, parts, bytes)? else { continue };
            return Frame::read(order, bytes)
                .ok_or_else(|| StoreError::Corrupt(format!("frame at {order} of the log")))
                .map(Some);
        }
    }

    /// `None`: a part is missing.
    fn gather(&mut self, order: u64, parts: u16, bytes: FrameBytes) -> Result<Option<FrameBytes>, StoreError> {
        let FrameBytes::Many(mut bytes) = bytes else { return Ok(Some(bytes)) };
        for part in 1..parts {
            match self.entry()? {
                Some((key, value)) if keys::parse_frame(&key) == Some((order, part)) => bytes.extend_from_slice(&value),
                other => {
                    self.pushed_back = other;
                    return Ok(None);
                }
            }
        }
        Ok(Some(FrameBytes::Many(bytes)))
    }
}

/// The order of the last frame at or before `order`, whole or not.
pub(crate) fn floor(disk: &Disk, space: u8, order: u64) -> Result<Option<u64>, StoreError> {
    let range = keys::frame(space, 0, 0)..=keys::frame(space, order, u16::MAX);
    let last = disk.tree.range(range).next_back().transpose().map_err(failure)?;
    Ok(last.and_then(|(key, _)| keys::parse_frame(&key)).map(|(order, _)| order))
}

/// Events behind `after`, up to `head`: what is behind that is not durable yet.
///
/// Offsets have no holes, so one in front of a frame shows that retention has overtaken this reader. The batch ends there, and
/// the next one begins with a gap.
pub(crate) fn events(
    disk: &Disk,
    after: Offset,
    head: Offset,
    filter: &EventFilter,
    limit: usize,
) -> Result<EventBatch, StoreError> {
    let mut batch = EventBatch { next: after, ..EventBatch::default() };
    if after >= head || limit == 0 {
        return Ok(batch);
    }
    let start = floor(disk, keys::EVENTS, after.0)?.unwrap_or(0);
    let mut frames = Frames::from(disk, keys::EVENTS, start);
    let mut bytes = 0;
    let mut expected = after;
    while let Some(frame) = frames.next()? {
        let end = frame.order + frame.header.events;
        if end <= after.0 {
            continue;
        }
        if expected < head && frame.order > expected.0 {
            if expected > after {
                batch.next = expected;
                return Ok(batch);
            }
            expected = Offset(frame.order).min(head);
            batch.gap = Some(Gap { from: after, to: expected });
            batch.next = expected;
        }
        if frame.order >= head.0 {
            break;
        }
        expected = Offset(end);
        let mut input = frame.body();
        let mut offset = frame.order;
        for _ in 0..frame.header.events {
            offset += 1;
            let event = input.bytes().ok_or_else(|| frame.corrupt())?;
            if offset <= after.0 {
                continue;
            }
            let mut event = Input::new(event);
            let (event_type, subject) = event.text().zip(event.text()).ok_or_else(|| frame.corrupt())?;
            if filter.lets_through(event_type, subject) {
                let event = decode(event_type, subject, event).ok_or_else(|| frame.corrupt())?;
                batch.events.push(StoredEvent { offset: Offset(offset), event: Arc::new(event) });
            }
            batch.next = Offset(offset);
            if batch.events.len() >= limit {
                return Ok(batch);
            }
        }
        bytes += frame.bytes.as_slice().len();
        if bytes > STRETCH_BYTES || batch.next.0 - after.0 > STRETCH_EVENTS {
            return Ok(batch);
        }
    }
    if expected < head {
        // Everything that was left has gone, with newer frames in its place that this reader may not see yet.
        if expected == after {
            batch.gap = Some(Gap { from: after, to: head });
        } else {
            batch.next = expected;
            return Ok(batch);
        }
    }
    batch.next = head;
    Ok(batch)
}

fn decode(event_type: &str, subject: &str, mut input: Input<'_>) -> Option<Event> {
    let id = EventId(input.text()?.to_owned());
    let time = Timestamp::from_millis(input.int()?);
    let principal = input.text()?.to_owned();
    let holds = input.byte()?;
    let plugin = match holds & HOLDS_PLUGIN {
        0 => None,
        _ => {
            let (name, version) = (input.text()?.to_owned(), input.text()?.to_owned());
            Some(PluginRef { name, version, digest: Digest(input.text()?.to_owned()) })
        }
    };
    let run = match holds & HOLDS_RUN {
        0 => None,
        _ => Some(RunId(input.text()?.to_owned())),
    };
    let causation = input.optional()?.map(EventId::from);
    let correlation = input.optional()?.map(EventId::from);
    let schema = u32::try_from(input.uint()?).ok()?;
    Some(Event {
        id,
        time,
        event_type: event_type.to_owned(),
        subject: subject.to_owned(),
        principal,
        plugin,
        causation,
        correlation,
        run,
        schema,
        data: serde_json::from_slice(input.rest()).ok()?,
    })
}
