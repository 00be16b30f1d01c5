//! Samples that are sent to the host, by whichever way: limits of each source, series resolved once, rows appended and synced.
//!
//! - `source`: what a source has sent lately; pure

mod source;

use super::Handle;
use crate::Context;
use quarterdeck_formats::{Batch, Series};
use quarterdeck_model::domain::scrape::IngestLimits;
use quarterdeck_model::series::ingest::{Ingest, Pairs, Resolved, Row};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Span, Timestamp};
use source::Source;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Series that are resolved at once, and rows that are appended at once.
const AT_ONCE: usize = 4_096;
/// Sources that are told apart: their names are chosen by who sends.
const SOURCES: usize = 1_000;
/// The source of those beyond.
const OTHERS: &str = "others";
/// What is said of a metric, at most; the rest is cut off.
const HELP_BYTES: usize = 1024;
/// Metrics of which it is kept what those who sent them said.
const DESCRIBED: usize = 20_000;

/// What became of samples that were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub taken: usize,
    /// There was one of that series and time.
    pub duplicates: usize,
    /// Older than is taken.
    pub too_old: usize,
    /// Over ten minutes in the future.
    pub too_new: usize,
    /// Of series that are not stored: those that are none, and those beyond a limit.
    pub refused: usize,
    /// Why, of the first sample that is not stored and is no duplicate.
    pub reason: Option<String>,
}

impl Written {
    /// Samples that were not stored and never will be.
    pub fn lost(&self) -> usize {
        self.too_old + self.too_new + self.refused
    }

    fn because(&mut self, reason: impl FnOnce() -> String) {
        if self.reason.is_none() {
            self.reason = Some(reason());
        }
    }
}

/// Why nothing, or not all, was taken: the sender may try again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    #[error("{message}")]
    TooFast { message: String, after: Span },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How many series a job may have over all of its targets.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    used: Arc<AtomicUsize>,
    limit: usize,
}

impl Default for Allowance {
    fn default() -> Self {
        Allowance { used: Arc::default(), limit: usize::MAX }
    }
}

impl Allowance {
    pub(super) fn limit(&mut self, series: u64) {
        self.limit = usize::try_from(series).unwrap_or(usize::MAX);
    }

    pub(super) fn has_room(&self) -> bool {
        self.used.load(Ordering::Relaxed) < self.limit
    }

    pub(super) fn take(&self) {
        self.used.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, series: usize) {
        // Never more than was taken.
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| Some(used.saturating_sub(series)));
    }

    pub(super) fn reason(&self, source: &str) -> String {
        too_many(source, self.limit)
    }
}

fn too_many(source: &str, limit: usize) -> String {
    format!(
        "the source `{source}` has {limit} series, as many as it may; hint: send fewer values of labels, or raise \
         `[ingest] series`, for it alone `[ingest.sources.\"{source}\"] series`"
    )
}

/// Whether labels are within what holds for all sources.
pub(super) fn fits(labels: Pairs<'_>, limits: &IngestLimits) -> Result<(), String> {
    let over = |limit: u32, found: usize| found > limit as usize;
    if over(limits.labels, labels.len()) {
        let (found, limit) = (labels.len(), limits.labels);
        return Err(format!("a series has {found} labels, {limit} are the limit; hint: raise `[ingest] labels`"));
    }
    for (name, value) in labels {
        if over(limits.label_name_bytes, name.len()) {
            let start: String = name.chars().take(40).collect();
            let limit = limits.label_name_bytes;
            return Err(format!(
                "the name of the label `{start}...` has more than {limit} bytes; hint: raise `[ingest] label-name-bytes`"
            ));
        }
        if over(limits.label_value_bytes, value.len()) {
            let limit = limits.label_value_bytes;
            return Err(format!(
                "the value of the label `{name}` has more than {limit} bytes; hint: raise `[ingest] label-value-bytes`"
            ));
        }
    }
    Ok(())
}

/// Samples since the start, for whoever watches.
#[derive(Debug, Default)]
pub struct Tally {
    pub taken: AtomicU64,
    pub duplicates: AtomicU64,
    pub too_old: AtomicU64,
    pub too_new: AtomicU64,
    pub refused: AtomicU64,
    pub limited: AtomicU64,
}

impl Tally {
    pub(super) fn count(&self, written: &Written) {
        let add = |to: &AtomicU64, count: usize| to.fetch_add(count as u64, Ordering::Relaxed);
        add(&self.taken, written.taken);
        add(&self.duplicates, written.duplicates);
        add(&self.too_old, written.too_old);
        add(&self.too_new, written.too_new);
        add(&self.refused, written.refused);
    }
}

/// What all ways in share.
#[derive(Default)]
pub(super) struct Intake {
    sources: Mutex<BTreeMap<String, Arc<Mutex<Source>>>>,
    pub(super) tally: Tally,
    described: Mutex<BTreeMap<String, super::Described>>,
}

impl Intake {
    fn source(&self, name: &str) -> Arc<Mutex<Source>> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let name = if sources.len() < SOURCES || sources.contains_key(name) { name } else { OTHERS };
        sources.entry(name.to_owned()).or_default().clone()
    }

    /// What was said of metrics by those who sent them.
    pub(super) fn described(&self) -> BTreeMap<String, super::Described> {
        self.described.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn describe(&self, batch: &Batch) {
        let mut known = self.described.lock().unwrap_or_else(PoisonError::into_inner);
        for metric in &batch.metadata {
            if known.len() < DESCRIBED || known.contains_key(&metric.name) {
                let mut said = super::Described::said(metric);
                if said.help.len() > HELP_BYTES {
                    said.help.truncate(said.help.floor_char_boundary(HELP_BYTES));
                }
                known.insert(metric.name.clone(), said);
            }
        }
    }
}

impl Handle {
    /// Takes in what a source sent. What is taken is on the disk when it returns.
    ///
    /// # Errors
    /// [`WriteError::TooFast`]: nothing was taken, and may be sent again. The store's: a part may have been taken.
    pub async fn write(&self, source: &str, batch: Batch) -> Result<Written, WriteError> {
        let (context, intake, source) = (self.context.clone(), self.intake.clone(), source.to_owned());
        let limits = context.catalog().ingest.clone();
        let now = context.now();
        let written = tokio::task::spawn_blocking(move || intake.write(&context, &source, &batch, &limits, now)).await;
        let written = written.map_err(|_| StoreError::Closed)??;
        self.context.series.sync().await?;
        Ok(written)
    }

    /// Samples since the start.
    pub fn tally(&self) -> &Tally {
        &self.intake.tally
    }
}

impl Intake {
    fn write(
        &self,
        context: &Context,
        name: &str,
        batch: &Batch,
        limits: &IngestLimits,
        now: Timestamp,
    ) -> Result<Written, WriteError> {
        let source = self.source(name);
        let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = limits.rate(name);
        if let Err(after) = source.admit(batch.samples(), rate, now) {
            self.tally.limited.fetch_add(batch.samples() as u64, Ordering::Relaxed);
            let message = format!(
                "the source `{name}` sends more than {rate} samples a second; hint: send less, or raise `[ingest] \
                 samples-per-second`, for it alone `[ingest.sources.\"{name}\"] samples-per-second`"
            );
            return Err(WriteError::TooFast { message, after });
        }
        self.describe(batch);
        let mut written = Written { refused: batch.refused, reason: batch.reason.clone(), ..Written::default() };
        let mut waiting = Waiting::default();
        for series in batch.series() {
            let most = usize::try_from(limits.series_of(name)).unwrap_or(usize::MAX);
            let fitting = fits(&series.labels, limits).and_then(|()| {
                if source.knows(&series.labels, most, now) { Ok(()) } else { Err(too_many(name, most)) }
            });
            match fitting {
                Ok(()) => waiting.series.push(series),
                Err(reason) => {
                    written.refused += series.samples.len();
                    written.because(|| reason);
                }
            }
            if waiting.series.len() >= AT_ONCE {
                waiting.store(&*context.ingest, &mut written)?;
            }
        }
        waiting.store(&*context.ingest, &mut written)?;
        self.tally.count(&written);
        Ok(written)
    }
}

/// Series that are to be stored together.
#[derive(Default)]
struct Waiting<'a> {
    series: Vec<Series<'a>>,
}

impl Waiting<'_> {
    fn store(&mut self, ingest: &dyn Ingest, written: &mut Written) -> Result<(), StoreError> {
        let series = std::mem::take(&mut self.series);
        let pairs: Vec<Pairs<'_>> = series.iter().map(|series| series.labels.as_slice()).collect();
        let resolved = ingest.resolve(&pairs)?;
        let mut rows: Vec<(usize, Row)> = Vec::new();
        for (place, (series, resolved)) in series.iter().zip(resolved).enumerate() {
            match resolved {
                Resolved::Series(of) => {
                    rows.extend(
                        series
                            .samples
                            .iter()
                            .map(|sample| (place, Row { series: of, at: sample.at, value: sample.value })),
                    );
                }
                Resolved::TooMany => {
                    written.refused += series.samples.len();
                    written.because(|| {
                        "the store has as many series as it may; hint: raise `storage.max-series`".to_owned()
                    });
                }
                Resolved::Hopeless => {
                    written.refused += series.samples.len();
                    written.because(|| "a series has a name or labels that are too long to be stored".to_owned());
                }
            }
        }
        for part in rows.chunks(AT_ONCE) {
            let gone = append(ingest, &part.iter().map(|(_, row)| *row).collect::<Vec<_>>(), written)?;
            // Forgotten between the two calls: once more, and what is gone then is no more than unlucky.
            let again: Vec<Row> = gone
                .iter()
                .filter_map(|at| part.get(*at))
                .filter_map(|(place, row)| match ingest.resolve(&[pairs.get(*place)?]).ok()?.first()? {
                    Resolved::Series(of) => Some(Row { series: *of, ..*row }),
                    _ => None,
                })
                .collect();
            if !again.is_empty() {
                append(ingest, &again, written)?;
            }
        }
        Ok(())
    }
}

/// Gives the places of rows whose series are gone.
fn append(ingest: &dyn Ingest, rows: &[Row], written: &mut Written) -> Result<Vec<usize>, StoreError> {
    let appended = ingest.append_refs(rows)?;
    written.taken += appended.taken;
    written.duplicates += appended.duplicates;
    written.too_old += appended.too_old;
    written.too_new += appended.too_new;
    if appended.too_new > 0 {
        written.because(|| "a sample is over ten minutes in the future; hint: check the sender's clock".to_owned());
    }
    if appended.too_old > 0 {
        written.because(|| {
            "a sample is out of order: older than the newest of its series by more than `storage.out-of-order`"
                .to_owned()
        });
    }
    Ok(appended.gone)
}
