//! One scrape of one target: ask, read, append, and say how it went.

use super::job::Job;
use super::outside::{Answer, Ask};
use super::page::{Counts, Reader, Said};
use super::target::Target;
use crate::Context;
use crate::monitoring::intake::{Allowance, Intake, Written};
use quarterdeck_formats::exposition::Format;
use quarterdeck_model::series::ingest::{Resolved, Row, SeriesRef};
use quarterdeck_model::series::query::{NAME, STALE};
use quarterdeck_model::{Span, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

/// A scrape that starts this little behind its plan has the plan's time: times at equal distances take less room.
const TOLERANCE: Span = Span::from_millis(2);
/// Rows that are appended at once.
const AT_ONCE: usize = 8_192;
/// A larger page is read on a thread that may take its time.
const LARGE: usize = 128 << 10;

/// What is said of every scrape.
const REPORT: [&str; 5] = [
    "scrape_duration_seconds",
    "scrape_samples_post_metric_relabeling",
    "scrape_samples_scraped",
    "scrape_series_added",
    "up",
];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It was not asked yet.
    #[default]
    Unknown,
    Up,
    Down,
}

/// How the last scrape went.
#[derive(Clone, Debug, Default)]
pub(super) struct Last {
    pub(super) health: Health,
    pub(super) error: Option<String>,
    pub(super) at: Option<Timestamp>,
    pub(super) took: Span,
    pub(super) said: Option<Arc<Said>>,
}

/// How a target is asked now.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) job: Arc<Job>,
    pub(super) target: Target,
}

/// A target at work: who it is stays the same, how it is asked may change.
pub(super) struct Turn {
    context: Context,
    intake: Arc<Intake>,
    settings: Mutex<Arc<Settings>>,
    reader: Arc<tokio::sync::Mutex<Reader>>,
    last: Mutex<Last>,
    ended: CancellationToken,
}

impl Turn {
    pub(super) fn new(
        context: &Context,
        intake: &Arc<Intake>,
        job: Arc<Job>,
        target: Target,
        allowance: Allowance,
    ) -> Self {
        let reader = Reader::of(context.ingest.clone(), job.clone(), target.labels.clone(), allowance);
        Turn {
            context: context.clone(),
            intake: intake.clone(),
            settings: Mutex::new(Arc::new(Settings { job, target })),
            reader: Arc::new(tokio::sync::Mutex::new(reader)),
            last: Mutex::default(),
            ended: context.shutdown.child_token(),
        }
    }

    pub(super) fn last(&self) -> Last {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes on as a job says that was written otherwise, from the next scrape on. `target`: the same one. Whether its interval is another.
    pub(super) fn follow(&self, job: &Arc<Job>, target: Target) -> bool {
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&settings.job, job) && settings.target == target {
            return false;
        }
        let is_other = settings.target.interval != target.interval;
        *settings = Arc::new(Settings { job: job.clone(), target });
        is_other
    }

    /// Asks the target once, and stores what it says.
    pub(super) async fn scrape(self: &Arc<Self>, planned: Timestamp) -> Result<(), String> {
        let reader = self.reader.clone().lock_owned().await;
        let now = self.context.now();
        let at = if now.since(planned) <= TOLERANCE { planned.min(now) } else { now };
        let started = Instant::now();
        let settings = self.settings();
        let ask = ask(&settings);
        let answer = tokio::select! {
            () = self.ended.cancelled() => return Ok(()),
            answer = self.context.outside.targets.ask(&ask) => answer,
        };
        let large = answer.as_ref().is_ok_and(|answer| answer.body.len() > LARGE);
        let turn = self.clone();
        let digest = move || turn.digest(&settings, reader, answer, (at, started));
        if large {
            tokio::task::spawn_blocking(digest).await.unwrap_or_else(|error| Err(error.to_string()))
        } else {
            digest()
        }
    }

    /// The target leaves: everything of it ends, now.
    pub(super) async fn leave(&self) {
        self.ended.cancel();
        let mut reader = self.reader.lock().await;
        let at = self.context.now().as_millis();
        let Settings { target, .. } = &*self.settings();
        let mut rows = Vec::new();
        reader.leave(at, &mut rows);
        if self.last().health != Health::Unknown {
            rows.extend(self.report(target, at, [f64::from_bits(STALE); REPORT.len()]));
        }
        if let Err(error) = self.store(&mut reader, &rows) {
            tracing::warn!(target = target.url, error, "the series of a target that left could not be ended");
        }
    }

    fn digest(
        &self,
        settings: &Settings,
        mut reader: OwnedMutexGuard<Reader>,
        answer: Result<Answer, String>,
        (at, started): (Timestamp, Instant),
    ) -> Result<(), String> {
        reader.follow(&settings.job);
        reader.limit(&self.context.catalog().ingest);
        let mut rows = Vec::new();
        let page = answer.as_ref().map_err(Clone::clone).and_then(text);
        let read = reader.read(page, at.as_millis(), &mut rows);
        let took = started.elapsed();
        let (up, counts) = match &read {
            Ok(counts) => (1.0, counts.clone()),
            Err(_) => (0.0, Counts::default()),
        };
        #[expect(clippy::cast_precision_loss, reason = "counts are far below what a float has exactly")]
        let figures = [took.as_secs_f64(), counts.kept as f64, counts.scraped as f64, counts.added as f64, up];
        rows.extend(self.report(&settings.target, at.as_millis(), figures));
        let stored = self.store(&mut reader, &rows);
        if let Ok(written) = &stored {
            let written = Written { refused: counts.refused, ..written.clone() };
            self.intake.tally.count(&written);
        }
        let outcome = read.map(|counts| counts.reason).and_then(|reason| match stored {
            Ok(_) => reason.map_or(Ok(()), Err),
            Err(error) => Err(error),
        });
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Last {
            health: if up == 1.0 { Health::Up } else { Health::Down },
            error: outcome.clone().err(),
            at: Some(at),
            took: Span::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            said: Some(reader.said()),
        };
        outcome
    }

    /// Rows of what is said of the scrape.
    fn report(&self, target: &Target, at: i64, figures: [f64; REPORT.len()]) -> Vec<Row> {
        let of = |name: &str| {
            let mut labels: Vec<(&str, &str)> = target.labels.iter().collect();
            labels.push((NAME, name));
            labels.sort_unstable();
            let labels: Vec<_> = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            labels
        };
        let all: Vec<Vec<(String, String)>> = REPORT.iter().map(|name| of(name)).collect();
        let pairs: Vec<Vec<(&str, &str)>> = all
            .iter()
            .map(|labels| labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect())
            .collect();
        let slices: Vec<&[(&str, &str)]> = pairs.iter().map(Vec::as_slice).collect();
        let resolved = self.context.ingest.resolve(&slices).unwrap_or_default();
        let rows = resolved.into_iter().zip(figures).filter_map(|(resolved, value)| match resolved {
            Resolved::Series(series) => Some(Row { series, at, value }),
            Resolved::TooMany | Resolved::Hopeless => None,
        });
        rows.collect()
    }

    fn store(&self, reader: &mut Reader, rows: &[Row]) -> Result<Written, String> {
        let mut written = Written::default();
        let mut gone = self.append(rows, &mut written)?;
        if !gone.is_empty() {
            // Forgotten by the store, since the target was away for long.
            let series: Vec<SeriesRef> = gone.iter().map(|row| row.series).collect();
            let renewed = reader.renewed(&series);
            gone.retain_mut(|row| {
                renewed.get(&row.series).is_some_and(|series| {
                    row.series = *series;
                    true
                })
            });
            self.append(&gone, &mut written)?;
        }
        Ok(written)
    }

    /// Gives the rows whose series are gone.
    fn append(&self, rows: &[Row], written: &mut Written) -> Result<Vec<Row>, String> {
        let mut gone = Vec::new();
        for part in rows.chunks(AT_ONCE) {
            let appended = self.context.ingest.append_refs(part).map_err(|error| error.to_string())?;
            written.taken += appended.taken;
            written.duplicates += appended.duplicates;
            written.too_old += appended.too_old;
            written.too_new += appended.too_new;
            gone.extend(appended.gone.iter().filter_map(|place| part.get(*place)));
        }
        Ok(gone)
    }
}

fn ask(Settings { job, target }: &Settings) -> Ask {
    Ask {
        url: target.url.clone(),
        within: target.timeout,
        limit: job.body_limit,
        follow_redirects: job.spec.follow_redirects,
        basic_auth: job.spec.basic_auth.clone(),
        authorization: job.spec.authorization.clone(),
        tls: job.spec.tls_config.clone(),
    }
}

fn text(answer: &Answer) -> Result<(&str, Format), String> {
    let format = Format::of(answer.content_type.as_deref()).map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(&answer.body)
        .map_err(|error| format!("the page is not UTF-8 from its byte {} on", error.valid_up_to()))?;
    Ok((text, format))
}
