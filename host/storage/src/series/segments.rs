//! The log of samples: files that are only appended to, a record with a checksum after the other. What a kill or a power cut leaves
//! of the last record is cut off.
//!
//! Each segment explains the ids that it uses, so an old one can go without a look at the others.

use super::pending::{Batch, Point, SERIES, TEXT};
use crate::codec::{Input, put_int, put_uint};
use crate::disk::at;
use crate::faults::Faults;
use quarterdeck_model::store::StoreError;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tracing::{error, warn};

/// Length and checksum.
const HEAD: usize = 8;
/// Points of a record, at most.
const POINTS: usize = 65_536;
/// A record that says it is larger is none.
const RECORD: usize = 1 << 30;
const DEFINITIONS: u8 = 1;
const SAMPLES: u8 = 2;

pub(crate) struct Segments {
    folder: PathBuf,
    faults: Faults,
    current: Option<(u32, File)>,
    all: BTreeMap<u32, Segment>,
}

/// Texts of a segment, by the numbers that its series use.
type Texts = HashMap<u32, String>;

/// What is known of a segment.
#[derive(Clone, Copy, Debug)]
struct Segment {
    /// Of its samples.
    newest: i64,
    bytes: u64,
}

const EMPTY: Segment = Segment { newest: i64::MIN, bytes: 0 };

/// Takes what is read from the log again.
pub(crate) trait Reader {
    /// What follows is of this segment, which explains its ids itself.
    fn begin(&mut self, segment: u32);
    fn series(&mut self, id: u32, labels: &[(&str, &str)]);
    fn point(&mut self, point: Point);
}

impl Segments {
    /// Reads all of them, oldest first, and cuts off what was not written to its end.
    pub(crate) fn open(folder: &Path, faults: Faults, reader: &mut impl Reader) -> Result<Self, StoreError> {
        let mut segments = Segments {
            folder: folder.to_owned(),
            faults,
            current: None,
            all: numbers(folder)?.into_iter().map(|segment| (segment, EMPTY)).collect(),
        };
        let last = segments.last();
        for (segment, known) in &mut segments.all {
            let path = path(folder, *segment);
            reader.begin(*segment);
            let whole = read(&path, reader, &mut known.newest)?;
            known.bytes = std::fs::metadata(&path).map_err(|e| at(&path, &e))?.len();
            let Some(end) = whole else { continue };
            if *segment != last {
                // Each was synced to its end before the next one began.
                error!(path = %path.display(), end, "a record of the log of samples can't be read; what is behind it is left out");
                continue;
            }
            warn!(path = %path.display(), end, "cut off what had not been written to its end");
            let file = File::options().write(true).open(&path).map_err(|e| at(&path, &e))?;
            file.set_len(end).and_then(|()| file.sync_all()).map_err(|e| at(&path, &e))?;
        }
        Ok(segments)
    }

    /// The newest one, or 0.
    pub(crate) fn last(&self) -> u32 {
        self.all.last_key_value().map_or(0, |(segment, _)| *segment)
    }

    /// Bytes of the segment that is written to.
    pub(crate) fn written(&self) -> u64 {
        let current = self.current.as_ref().and_then(|(segment, _)| self.all.get(segment));
        current.map_or(0, |segment| segment.bytes)
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> u64 {
        self.all.values().map(|segment| segment.bytes).sum()
    }

    /// Returns when they are on the disk.
    pub(crate) fn write(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        for batch in batches {
            let path = path(&self.folder, batch.segment);
            let bytes = encode(batch);
            if self.current.as_ref().is_none_or(|(segment, _)| *segment != batch.segment) {
                self.sync()?;
                let file = File::options().create(true).append(true).open(&path).map_err(|e| at(&path, &e))?;
                File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(|e| at(&path, &e))?;
                self.current = Some((batch.segment, file));
            }
            if let Some((_, file)) = &mut self.current {
                file.write_all(&bytes).map_err(|e| at(&path, &e))?;
            }
            let known = self.all.entry(batch.segment).or_insert(EMPTY);
            known.bytes += bytes.len() as u64;
            known.newest = batch.points.iter().map(|point| point.at).fold(known.newest, i64::max);
        }
        self.sync()
    }

    fn sync(&self) -> Result<(), StoreError> {
        let Some((_, file)) = &self.current else { return Ok(()) };
        if self.faults.at_sync() {
            return Err(StoreError::Io("fdatasync failed (injected)".to_owned()));
        }
        file.sync_data().map_err(|e| StoreError::Io(format!("fdatasync of the log of samples failed: {e}")))
    }

    /// Drops the segments before one that have nothing newer than `up_to`.
    pub(crate) fn drop_before(&mut self, segment: u32, up_to: i64) -> Result<(), StoreError> {
        let old = self.all.range(..segment).filter(|(_, known)| known.newest <= up_to);
        let old: Vec<u32> = old.map(|(segment, _)| *segment).collect();
        for segment in old {
            let path = path(&self.folder, segment);
            if self.current.as_ref().is_some_and(|(current, _)| *current == segment) {
                self.current = None;
            }
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(&path, &error)),
                _ => self.all.remove(&segment),
            };
        }
        Ok(())
    }
}

fn path(folder: &Path, segment: u32) -> PathBuf {
    folder.join(format!("{segment:010}.log"))
}

fn numbers(folder: &Path) -> Result<Vec<u32>, StoreError> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| at(folder, &e))? {
        let name = entry.map_err(|e| at(folder, &e))?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_suffix(".log")?.parse::<u32>().ok()));
    }
    Ok(numbers)
}

/// All records of a batch.
fn encode(batch: &Batch) -> Vec<u8> {
    let mut out = Vec::with_capacity(batch.definitions.len() + batch.points.len() * 10 + 64);
    if !batch.definitions.is_empty() {
        record(&mut out, |out| {
            out.push(DEFINITIONS);
            out.extend_from_slice(&batch.definitions);
        });
    }
    for points in batch.points.chunks(POINTS) {
        record(&mut out, |out| {
            out.push(SAMPLES);
            let (mut series, mut at) = (0i64, 0i64);
            for point in points {
                put_int(out, i64::from(point.series) - series);
                put_int(out, point.at.wrapping_sub(at));
                // What people and machines measure mostly ends in zeros.
                put_uint(out, point.value.to_bits().reverse_bits());
                (series, at) = (i64::from(point.series), point.at);
            }
        });
    }
    out
}

fn record(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    put(out);
    let payload = out.get(start + HEAD..).unwrap_or_default();
    let (length, checksum) = (payload.len() as u32, crc32fast::hash(payload));
    if let Some(head) = out.get_mut(start..start + HEAD) {
        head.copy_from_slice(&[length.to_le_bytes(), checksum.to_le_bytes()].concat());
    }
}

/// Reads the records of a segment. Where there is one that is not whole: its place, and nothing from there on was read.
fn read(path: &Path, reader: &mut impl Reader, newest: &mut i64) -> Result<Option<u64>, StoreError> {
    let mut file = File::open(path).map_err(|e| at(path, &e))?;
    let length = file.seek(SeekFrom::End(0)).and_then(|end| file.rewind().map(|()| end)).map_err(|e| at(path, &e))?;
    let mut file = std::io::BufReader::with_capacity(1 << 16, file);
    let (mut place, mut payload, mut texts) = (0u64, Vec::new(), Texts::new());
    while place < length {
        let mut head = [0; HEAD];
        if length - place < HEAD as u64 {
            return Ok(Some(place));
        }
        file.read_exact(&mut head).map_err(|e| at(path, &e))?;
        let [a, b, c, d, checksum @ ..] = head;
        let size = u32::from_le_bytes([a, b, c, d]) as usize;
        let end = place + (HEAD + size) as u64;
        if size > RECORD || end > length {
            return Ok(Some(place));
        }
        payload.resize(size, 0);
        file.read_exact(&mut payload).map_err(|e| at(path, &e))?;
        let whole = crc32fast::hash(&payload) == u32::from_le_bytes(checksum);
        if !whole || decode(&payload, &mut texts, reader, newest).is_none() {
            return Ok(Some(place));
        }
        place = end;
    }
    Ok(None)
}

fn decode(payload: &[u8], texts: &mut Texts, reader: &mut impl Reader, newest: &mut i64) -> Option<()> {
    let mut input = Input::new(payload);
    match input.byte()? {
        DEFINITIONS => {
            while !input.rest().is_empty() {
                let (tag, number) = (input.byte()?, u32::try_from(input.uint()?).ok()?);
                match tag {
                    TEXT => {
                        texts.insert(number, input.text()?.to_owned());
                    }
                    SERIES => {
                        let mut labels: Vec<(&str, &str)> = Vec::new();
                        for _ in 0..input.uint()? {
                            let mut text = || texts.get(&u32::try_from(input.uint()?).ok()?).map(String::as_str);
                            labels.push((text()?, text()?));
                        }
                        reader.series(number, &labels);
                    }
                    _ => return None,
                }
            }
        }
        SAMPLES => {
            let (mut series, mut at) = (0i64, 0i64);
            while !input.rest().is_empty() {
                series = series.wrapping_add(input.int()?);
                at = at.wrapping_add(input.int()?);
                let value = f64::from_bits(input.uint()?.reverse_bits());
                *newest = at.max(*newest);
                reader.point(Point { series: u32::try_from(series).ok()?, at, value });
            }
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::put_bytes;

    fn batch(segment: u32, points: u32, at: i64) -> Batch {
        let mut definitions = Vec::new();
        for (number, text) in [(3, "__name__"), (4, "up")] {
            definitions.push(TEXT);
            put_uint(&mut definitions, number);
            put_bytes(&mut definitions, text.as_bytes());
        }
        definitions.push(SERIES);
        [7, 1, 3, 4].iter().for_each(|number| put_uint(&mut definitions, *number));
        let point = |n| Point { series: n % 100, at: at + i64::from(n / 100), value: f64::from(n) / 3.0 };
        Batch { segment, definitions, points: (0..points).map(point).collect() }
    }

    #[derive(Default)]
    struct All {
        segment: u32,
        points: Vec<(u32, Point)>,
        series: usize,
    }

    impl Reader for All {
        fn begin(&mut self, segment: u32) {
            self.segment = segment;
        }

        fn series(&mut self, id: u32, labels: &[(&str, &str)]) {
            assert_eq!((id, labels), (7, [("__name__", "up")].as_slice()));
            self.series += 1;
        }

        fn point(&mut self, point: Point) {
            self.points.push((self.segment, point));
        }
    }

    fn all(folder: &Path) -> (Segments, Vec<(u32, Point)>, usize) {
        let mut all = All::default();
        let segments = Segments::open(folder, Faults::default(), &mut all).unwrap();
        (segments, all.points, all.series)
    }

    #[test]
    fn what_was_written_is_read_in_its_order_and_old_segments_go() {
        let folder = tempfile::tempdir().unwrap();
        let (mut segments, found, _) = all(folder.path());
        assert_eq!((found.len(), segments.last()), (0, 0));
        let batches = [batch(1, 150_000, 1_000), batch(2, 100, 50), batch(2, 100, 60), batch(3, 1, 9_000)];
        segments.write(&batches).unwrap();
        let (mut segments, found, series) = all(folder.path());
        let expected: Vec<(u32, Point)> =
            batches.iter().flat_map(|batch| batch.points.iter().map(|point| (batch.segment, *point))).collect();
        assert!(found == expected && series == 4 && segments.last() == 3);
        segments.drop_before(3, 2_000).unwrap();
        assert_eq!(numbers(folder.path()).unwrap().len(), 2, "the first one has something newer");
        segments.drop_before(4, 9_000).unwrap();
        assert_eq!(all(folder.path()).1, []);
    }

    #[test]
    fn a_torn_tail_is_cut_wherever_it_ends_and_writing_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (mut segments, ..) = all(folder.path());
        segments.write(&[batch(1, 10, 0)]).unwrap();
        let path = path(folder.path(), 1);
        let one = std::fs::metadata(&path).unwrap().len();
        segments.write(&[batch(1, 20, 100)]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for end in one..whole.len() as u64 {
            std::fs::write(&path, &whole[..end as usize]).unwrap();
            let found = all(folder.path()).1.len();
            assert!(found == 10, "{end}: {found}");
            let left = std::fs::metadata(&path).unwrap().len();
            assert!(left >= one && left <= end);
            assert_eq!(all(folder.path()).1.len(), 10);
        }
        // A bit that turned, anywhere in the last batch.
        for place in one..whole.len() as u64 {
            let mut bytes = whole.clone();
            bytes[place as usize] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            let found = all(folder.path()).1;
            assert_eq!(found.len(), 10, "{place}");
        }
        let (mut segments, ..) = all(folder.path());
        segments.write(&[batch(2, 5, 0)]).unwrap();
        assert_eq!(all(folder.path()).1.len(), 15);
    }

    #[test]
    fn a_failed_sync_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let faults = Faults::default();
        let mut segments = Segments::open(folder.path(), faults.clone(), &mut All::default()).unwrap();
        faults.fail_next_sync();
        assert!(matches!(segments.write(&[batch(1, 1, 0)]), Err(StoreError::Io(_))));
    }
}
