//! A group: transitions that share one sync. Each is checked against the documents as the ones before it leave them, and
//! refused alone if it does not fit.

use crate::disk::Disk;
use crate::log::{Builder, FRAME_BYTES, Header};
use crate::prepared::{Prepared, PreparedWrite};
use crate::projections::{Changes, Projections, Written};
use crate::recovery::Place;
use crate::wal::Record;
use quarterdeck_model::event::{Offset, StoredEvent};
use quarterdeck_model::store::{Committed, StoreError};
use quarterdeck_model::transition::Expected;
use quarterdeck_model::{Json, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) struct Group<'a> {
    disk: &'a Disk,
    projections: &'a Projections,
    now: Timestamp,
    place: Place,
    frame: Builder,
    records: Vec<Record>,
    documents: BTreeMap<(Arc<str>, Arc<str>), Projected>,
    cursors: BTreeMap<String, Offset>,
    pub(crate) events: Vec<StoredEvent>,
}

/// What was put.
pub(crate) struct Put {
    pub(crate) place: Place,
    pub(crate) events: Vec<StoredEvent>,
    pub(crate) records: Vec<Record>,
}

/// A document as the group leaves it.
#[derive(Default)]
struct Projected {
    /// `None`: there is none.
    revision: Option<u64>,
    value: Json,
    changed: bool,
}

impl<'a> Group<'a> {
    /// `place`: with the number of the group.
    pub(crate) fn new(disk: &'a Disk, projections: &'a Projections, now: Timestamp, place: Place) -> Self {
        Group {
            disk,
            projections,
            now,
            place,
            frame: Builder::default(),
            records: Vec::new(),
            documents: BTreeMap::new(),
            cursors: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// Takes a transition in. [`StoreError::Conflict`] concerns it alone; any other error the whole store.
    pub(crate) fn add(&mut self, prepared: Prepared) -> Result<Committed, StoreError> {
        let revisions = self.check(&prepared.writes)?;
        if self.frame.len() > 0 && self.frame.len() + prepared.bytes > FRAME_BYTES {
            self.put_frame()?;
        }
        for (write, revision) in prepared.writes.into_iter().zip(&revisions) {
            let PreparedWrite { collection, id, value, .. } = write;
            self.frame.write(&collection, &id, *revision, value.as_ref().map(Json::as_bytes));
            let projected = self.documents.entry((collection, id)).or_default();
            projected.changed = true;
            projected.revision = value.is_some().then_some(*revision);
            projected.value = value.unwrap_or_default();
        }
        for (event, encoded) in prepared.events {
            self.frame.event(&encoded);
            let offset = Offset(self.place.head + self.frame.event_count());
            self.events.push(StoredEvent { offset, event });
        }
        for ack in prepared.acks {
            self.frame.ack(&ack.consumer, ack.up_to);
            self.cursors.insert(ack.consumer, ack.up_to);
        }
        let offset = Offset(self.place.head + self.frame.event_count());
        Ok(Committed { revisions: revisions.into_iter().take(prepared.asked).collect(), offset })
    }

    /// The revisions that the writes make, if every one of them fits. A delete of what is not there makes revision 0.
    fn check(&mut self, writes: &[PreparedWrite]) -> Result<Vec<u64>, StoreError> {
        let mut within: BTreeMap<(&str, &str), Option<u64>> = BTreeMap::new();
        let mut revisions = Vec::with_capacity(writes.len());
        let mut floor = self.place.floor;
        for write in writes {
            let key = (&*write.collection, &*write.id);
            let found = match within.get(&key) {
                Some(found) => *found,
                None => self.revision(&write.collection, &write.id)?,
            };
            let fits = match write.expected {
                Expected::Any => true,
                Expected::Absent => found.is_none(),
                Expected::Revision(revision) => found == Some(revision),
            };
            if !fits {
                let (collection, id) = (write.collection.to_string(), write.id.to_string());
                return Err(StoreError::Conflict { collection, id, found });
            }
            let new = match (&write.value, found) {
                (None, None) => 0,
                (Some(_), None) => floor + 1,
                (_, Some(found)) => found + 1,
            };
            if write.value.is_none() {
                floor = floor.max(new);
            }
            within.insert(key, write.value.is_some().then_some(new));
            revisions.push(new);
        }
        self.place.floor = floor;
        Ok(revisions)
    }

    fn revision(&mut self, collection: &Arc<str>, id: &Arc<str>) -> Result<Option<u64>, StoreError> {
        let key = (Arc::clone(collection), Arc::clone(id));
        if let Some(projected) = self.documents.get(&key) {
            return Ok(projected.revision);
        }
        let revision = self.projections.revision(self.disk, collection, id)?;
        self.documents.insert(key, Projected { revision, ..Projected::default() });
        Ok(revision)
    }

    fn put_frame(&mut self) -> Result<(), StoreError> {
        let frame = std::mem::take(&mut self.frame);
        if frame.len() == 0 {
            return Ok(());
        }
        self.place.serial += 1;
        let events = frame.event_count();
        let order = if events > 0 { self.place.head } else { self.place.serial };
        let Place { serial, group, position, .. } = self.place;
        let header = Header { serial, group, position, at: self.now, events };
        let record = frame.put(self.disk, order, header)?;
        self.place.position += record.frame.len() as u64;
        self.records.push(record);
        self.place.head += events;
        Ok(())
    }

    /// Puts everything where readers find it. Nothing of it is durable before the records are.
    pub(crate) fn put(mut self) -> Result<Put, StoreError> {
        self.put_frame()?;
        let changed = self.documents.into_iter().filter(|(_, projected)| projected.changed);
        let documents = changed.map(|((collection, id), projected)| {
            (collection, id, Written { revision: projected.revision, value: projected.value })
        });
        self.projections.put(Changes {
            documents: documents.collect(),
            cursors: self.cursors,
            floor: self.place.floor,
            serial: self.place.serial,
        });
        Ok(Put { place: self.place, events: self.events, records: self.records })
    }
}
