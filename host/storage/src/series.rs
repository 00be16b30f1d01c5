//! Samples: the newest hours in memory, every one of them in a log on the disk within a second, and older ones in packed blocks.
//!
//! - `head`: the series in memory, of `active` ones in a `slab`; `open` (in an `arena`), `values`, `times`: their samples in
//!   bytes; `symbols`: texts
//! - `pending`, `segments`, `replay`: what is to be logged, the log, and reading it again
//! - `block`, `blocks`: files of packed samples; `cut` makes them of what is old in memory, `compact` makes few of many
//! - `pattern`, `matching`, `index`: from matchers to series; `select`, `part`: reading
//! - `upkeep`: the thread that cuts and compacts; `carry`, `frames`, `dictionary`: what older versions kept in sled
//!
//! A sample is visible when it is appended, and on the disk within a second: the writer thread takes what has gathered, appends it to
//! the newest segment of the log and syncs that once. What an opened store reads again is the log, without what blocks have.

mod active;
mod arena;
mod block;
mod blocks;
mod carry;
mod compact;
mod cut;
mod dictionary;
mod frames;
mod head;
mod index;
mod matching;
mod open;
mod part;
mod pattern;
mod pending;
mod replay;
mod segments;
mod select;
mod slab;
mod symbols;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod times;
pub(crate) mod upkeep;
mod values;

use crate::disk::{Disk, at};
use crate::options::{Options, Thinning};
use crate::space::Space;
use blocks::Blocks;
use head::{Bounds, Found, Head, Outcome, pairs};
pub(crate) use part::Asked;
use pending::{Pending, Point};
use quarterdeck_model::series::Sample;
use quarterdeck_model::series::ingest::{Appended, Pairs, Resolved, Row, SeriesRef};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Span, Timestamp};
use replay::Replay;
use segments::Segments;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tracing::info;
pub(crate) use upkeep::Upkeep;

/// A clock may be a little ahead, not more.
const AHEAD: Span = Span::from_secs(600);
/// Samples that may wait for the writer: more only if the disk hangs.
const WAITING: usize = 500_000;
/// As many are written early.
pub(crate) const FLUSH_AT: usize = 50_000;
/// A segment of the log that is larger is the last but one.
const SEGMENT_BYTES: u64 = 64 << 20;
/// In milliseconds. No block holds samples of two days.
const DAY: i64 = 86_400_000;

pub(crate) struct Store {
    head: RwLock<Head>,
    segments: Mutex<Segments>,
    /// A writer that syncs has the segments for itself.
    log_bytes: AtomicU64,
    blocks: Blocks,
    limits: Limits,
}

struct Limits {
    keep: Span,
    thinning: Option<Thinning>,
}

impl Limits {
    /// The step to which samples of a day that ended then are to be thinned. 0: none.
    fn thin(&self, end: i64, now: Timestamp) -> u64 {
        let thinning = self.thinning.filter(|thinning| end <= now.minus(thinning.after).as_millis());
        thinning.map_or(0, |thinning| thinning.step.as_millis())
    }
}

/// Samples that were not taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Too far in the future, or with a name or labels that can't be stored.
    pub(crate) hopeless: usize,
    /// Older than the newest of their series by more than is taken, or than what is kept.
    pub(crate) late: usize,
    /// Of new series, of which there are enough.
    pub(crate) new: usize,
}

impl Store {
    pub(crate) fn open(options: &Options, disk: &Disk, now: Timestamp) -> Result<Self, StoreError> {
        let folder = options.dir.join("series");
        let (log, packed) = (folder.join("log"), folder.join("blocks"));
        for folder in [&log, &packed, &folder, &options.dir] {
            std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::File::open(folder)?.sync_all())
                .map_err(|e| at(folder, &e))?;
        }
        let blocks = Blocks::open(&packed)?;
        let limits = Limits { keep: options.retention.samples, thinning: options.retention.thinning };
        carry::carry(disk, &blocks, now.minus(limits.keep))?;
        let window = i64::try_from(options.out_of_order.as_millis()).unwrap_or(i64::MAX);
        let mut head = Head::new(options.max_series, window);
        let mut replay = Replay::new(&mut head, blocks.mark(), now.minus(limits.keep).as_millis());
        let segments = Segments::open(&log, options.faults.clone(), &mut replay)?;
        replay.finish();
        head.pending = Pending::new(segments.last().saturating_add(1).max(blocks.mark().segment));
        info!(series = head.len(), blocks = blocks.all().len(), bytes = blocks.bytes(), "opened the samples");
        let log_bytes = AtomicU64::new(segments.bytes());
        Ok(Store { head: RwLock::new(head), segments: Mutex::new(segments), log_bytes, blocks, limits })
    }

    fn head(&self) -> RwLockReadGuard<'_, Head> {
        self.head.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn head_mut(&self) -> RwLockWriteGuard<'_, Head> {
        self.head.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn segments(&self) -> MutexGuard<'_, Segments> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bounds(&self, now: Timestamp) -> Bounds {
        Bounds { oldest: now.minus(self.limits.keep).as_millis(), newest: now.plus(AHEAD).as_millis() }
    }

    /// Takes all or none, but for those that it counts as refused. Returns how many wait for the writer, too.
    pub(crate) fn append(&self, samples: &[Sample], now: Timestamp) -> Result<(Refused, usize), StoreError> {
        let bounds = self.bounds(now);
        let mut head = self.head_mut();
        room(&head, samples.len())?;
        let (mut refused, mut labels) = (Refused::default(), Vec::new());
        for sample in samples {
            let at = sample.at.as_millis();
            // A series is not made for a sample that can't be taken.
            if at > bounds.newest {
                refused.hopeless += 1;
                continue;
            }
            if at < bounds.oldest {
                refused.late += 1;
                continue;
            }
            pairs(&sample.name, &sample.labels, &mut labels);
            match head.resolve(&labels) {
                Found::Id(series) => {
                    if head.insert(Point { series, at, value: sample.value }, bounds) == Outcome::TooOld {
                        refused.late += 1;
                    }
                }
                Found::TooMany => refused.new += 1,
                Found::Hopeless => refused.hopeless += 1,
            }
        }
        Ok((refused, head.pending.points()))
    }

    pub(crate) fn resolve(&self, series: &[Pairs<'_>]) -> Vec<Resolved> {
        let known: Vec<Option<u32>> = {
            let head = self.head();
            series.iter().map(|pairs| head.find(pairs)).collect()
        };
        let new = |pairs: &Pairs<'_>| {
            // Without those that are as if they were missing.
            let pairs: Vec<(&str, &str)> = pairs.iter().copied().filter(|(_, value)| !value.is_empty()).collect();
            match self.head_mut().resolve(&pairs) {
                Found::Id(id) => Resolved::Series(SeriesRef(id)),
                Found::TooMany => Resolved::TooMany,
                Found::Hopeless => Resolved::Hopeless,
            }
        };
        let known = known.into_iter().zip(series);
        known.map(|(id, pairs)| id.map_or_else(|| new(pairs), |id| Resolved::Series(SeriesRef(id)))).collect()
    }

    /// Returns how many wait for the writer, too.
    pub(crate) fn append_refs(&self, rows: &[Row], now: Timestamp) -> Result<(Appended, usize), StoreError> {
        let bounds = self.bounds(now);
        let mut head = self.head_mut();
        room(&head, rows.len())?;
        let mut appended = Appended::default();
        for (place, Row { series, at, value }) in rows.iter().enumerate() {
            match head.insert(Point { series: series.0, at: *at, value: *value }, bounds) {
                Outcome::Taken => appended.taken += 1,
                Outcome::Duplicate => appended.duplicates += 1,
                Outcome::TooOld => appended.too_old += 1,
                Outcome::TooNew => appended.too_new += 1,
                Outcome::Gone => appended.gone.push(place),
            }
        }
        Ok((appended, head.pending.points()))
    }

    /// Writes what has gathered, and returns when it is on the disk. The first is how many samples were lost for want of room.
    pub(crate) fn flush(&self, space: &Space) -> Result<Option<(usize, StoreError)>, StoreError> {
        // First, so that whoever has the log knows: what does not wait any more is in it.
        let mut segments = self.segments();
        let batches = self.head_mut().take_pending();
        if batches.is_empty() {
            return Ok(None);
        }
        let points: usize = batches.iter().map(|batch| batch.points.len()).sum();
        // A point takes 20 bytes at most.
        let bytes = batches.iter().map(|batch| batch.definitions.len() + 64).sum::<usize>() + 32 * points;
        if let Err(full) = space.check(bytes as u64) {
            self.head_mut().pending.give_back(batches);
            return Ok(Some((points, full)));
        }
        segments.write(&batches)?;
        self.log_bytes.store(segments.bytes(), Ordering::Relaxed);
        if segments.written() > SEGMENT_BYTES {
            self.head_mut().pending.rotate();
        }
        space.settled(bytes as u64);
        Ok(None)
    }

    /// Names of all metrics, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: BTreeSet<String> = self.head().names().map(str::to_owned).collect();
        names.extend(self.blocks.names());
        names.into_iter().collect()
    }

    pub(crate) fn limit(&self) -> u64 {
        self.head().limit()
    }

    /// Series in memory.
    pub(crate) fn active(&self) -> usize {
        self.head().len()
    }

    fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    /// Drops what the log had up to a time before a segment began, all of which is in blocks.
    fn let_go(&self, segment: u32, up_to: i64) -> Result<(), StoreError> {
        let mut segments = self.segments();
        // What still waits for an older one needs the definitions in it.
        let first = self.head().pending.first().map_or(segment, |waiting| waiting.min(segment));
        segments.drop_before(first, up_to)?;
        self.log_bytes.store(segments.bytes(), Ordering::Relaxed);
        Ok(())
    }

    /// On the disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.blocks.bytes() + self.log_bytes()
    }
}

fn room(head: &Head, samples: usize) -> Result<(), StoreError> {
    if samples > WAITING {
        return Err(StoreError::Invalid(format!(
            "{samples} samples at once, {WAITING} are the limit; hint: split them"
        )));
    }
    let waiting = head.pending.points();
    if waiting + samples > WAITING {
        return Err(StoreError::Busy { waiting, limit: WAITING });
    }
    Ok(())
}
