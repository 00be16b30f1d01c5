//! The figures of one machine, as its exporter gives them, worked into blocks of the store.

use quarterdeck_model::clock::ManualClock;
use quarterdeck_model::series::Series as _;
use quarterdeck_model::series::ingest::{Ingest, Resolved, Row, SeriesRef};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_storage::{Database, Options};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) type Failure = Box<dyn std::error::Error>;

/// What was scraped at one time: series as they are written, and values.
pub(crate) type Page = Vec<(String, f64)>;

/// 10:40 in UTC, of 2025.
const START: i64 = 1_750_002_000_000;
const STEP: i64 = 15_000;

/// What blocks hold, and take.
pub(crate) struct Packed {
    pub(crate) series: usize,
    pub(crate) samples: u64,
    pub(crate) bytes: u64,
}

/// Takes pages in as if one had been scraped every 15 seconds, and moves all of them into a block of the quickly packed kind, as it is while
/// its day is not over.
pub(crate) async fn in_blocks(folder: &Path, pages: &[Page]) -> Result<Packed, Failure> {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(START)));
    let store = Database::open(Options::new(folder, clock.clone()))?;
    let (mut refs, mut samples): (BTreeMap<&str, SeriesRef>, u64) = (BTreeMap::new(), 0);
    for (n, page) in pages.iter().enumerate() {
        let mut rows = Vec::new();
        for (series, value) in page {
            let known = match refs.get(series.as_str()) {
                Some(known) => *known,
                None => {
                    let labels = labels(series);
                    let pairs: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (&**name, &**value)).collect();
                    let Some(Resolved::Series(known)) = store.resolve(&[&pairs])?.first().copied() else { continue };
                    refs.insert(series, known);
                    known
                }
            };
            // A scrape is a millisecond or two early or late.
            let at = START + n as i64 * STEP + [0, 1, 0, -1, 0, 0, 2].get(n % 7).copied().unwrap_or(0);
            rows.push(Row { series: known, at, value: *value });
        }
        samples += store.append_refs(&rows)?.taken as u64;
        clock.advance(Span::from_millis(STEP.unsigned_abs()));
    }
    store.sync().await?;
    clock.advance(Span::from_secs(2 * 3_600));
    until(|| blocks(folder) > 0).await?;
    Ok(Packed { series: refs.len(), samples, bytes: bytes_of_blocks(folder) })
}

/// The labels of a series as it is written on a page, and those that a scrape adds.
pub(crate) fn labels(series: &str) -> BTreeMap<String, String> {
    let (name, rest) = series.split_once('{').unwrap_or((series, ""));
    let mut labels: BTreeMap<String, String> = [("__name__", name), ("instance", "127.0.0.1:9100"), ("job", "node")]
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .into();
    for pair in rest.trim_end_matches('}').split("\",") {
        if let Some((name, value)) = pair.split_once("=\"") {
            labels.insert(name.to_owned(), value.trim_end_matches('"').to_owned());
        }
    }
    labels
}

/// Pages out of a file: lines of the text format, and a line `# scrape N` before each page.
pub(crate) fn pages(text: &str) -> Vec<Page> {
    text.split("# scrape ").skip(1).map(|page| page.split_once('\n').map_or("", |(_, lines)| lines)).map(page).collect()
}

pub(crate) fn page(text: &str) -> Page {
    let line = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        Some((series.to_owned(), value.parse().ok()?))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(line).collect()
}

pub(crate) fn blocks(folder: &Path) -> usize {
    files(folder).count()
}

pub(crate) fn bytes_of_blocks(folder: &Path) -> u64 {
    files(folder).filter_map(|path| Some(path.metadata().ok()?.len())).sum()
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let all = std::fs::read_dir(folder.join("series").join("blocks")).into_iter().flatten();
    all.filter_map(|file| Some(file.ok()?.path())).filter(|path| path.extension().is_some_and(|end| end == "block"))
}

/// The store looks every second whether there is something to move.
pub(crate) async fn until(done: impl Fn() -> bool) -> Result<(), Failure> {
    let start = Instant::now();
    while !done() {
        if start.elapsed() > Duration::from_secs(120) {
            return Err("nothing was moved into a block".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The mark behind it, and what is let go.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    Ok(())
}
