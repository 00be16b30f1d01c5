//! One page made into rows: lines that are known by their text, the others read, relabelled and resolved once.

use super::cache::{Cache, To};
use super::job::Job;
use super::relabel::{self, Set};
use crate::monitoring::intake::{Allowance, fits};
use crate::monitoring::rule_files::Mistake;
use quarterdeck_formats::exposition::{self, Format, Item, Page};
use quarterdeck_model::Labels;
use quarterdeck_model::domain::scrape::{IngestLimits, ScrapeConfig};
use quarterdeck_model::series::ingest::{Ingest, Resolved, Row, SeriesRef};
use quarterdeck_model::series::query::{NAME, STALE};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What was on a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples on the page.
    pub scraped: usize,
    /// Those that relabelling left.
    pub kept: usize,
    /// Series that were not known before.
    pub added: usize,
    /// Samples of series that are not stored.
    pub refused: usize,
    /// Why, of the first one.
    pub reason: Option<String>,
}

/// What a page says of its metrics: its comments, as they stand there.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) format: Format,
}

/// Makes rows of the pages of one target.
pub struct Reader {
    ingest: Arc<dyn Ingest>,
    job: Arc<Job>,
    /// The target's.
    labels: Labels,
    limits: IngestLimits,
    allowance: Allowance,
    cache: Cache,
    /// Series of the page before, which was read as another configuration said: those that the next page does not lead to end.
    former: Vec<SeriesRef>,
    said: Arc<Said>,
    /// Up to where this page's comments are those of the one before.
    same: usize,
}

impl Reader {
    /// For a target that has these labels.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(ingest: Arc<dyn Ingest>, name: &str, spec: &ScrapeConfig, labels: Labels) -> Result<Self, Vec<Mistake>> {
        let job = Arc::new(Job::read(name, spec)?);
        Ok(Reader::of(ingest, job, labels, Allowance::default()))
    }

    pub(super) fn of(ingest: Arc<dyn Ingest>, job: Arc<Job>, labels: Labels, allowance: Allowance) -> Self {
        let said = Arc::new(Said { text: String::new(), format: Format::Text });
        let limits = IngestLimits::default();
        Reader { ingest, job, labels, limits, allowance, cache: Cache::default(), former: Vec::new(), said, same: 0 }
    }

    /// What holds from now on.
    pub(super) fn limit(&mut self, limits: &IngestLimits) {
        if self.limits != *limits {
            self.limits = limits.clone();
        }
        self.allowance.limit(limits.series_of(&self.job.name));
    }

    /// Reads as this configuration says from now on. Where that makes other series of the same lines, they are recognised anew.
    pub(super) fn follow(&mut self, job: &Arc<Job>) {
        if Arc::ptr_eq(&self.job, job) {
            return;
        }
        if !makes_the_same(&self.job.spec, &job.spec) {
            self.former.extend(self.cache.all());
            self.allowance.give_back(self.cache.series());
            self.cache = Cache::default();
        }
        self.job = job.clone();
    }

    pub(super) fn said(&self) -> Arc<Said> {
        self.said.clone()
    }

    /// Makes rows of a page, of the time of the scrape unless it has its own and they hold; series that vanished end.
    ///
    /// # Errors
    /// Why the whole page is refused: there are rows for what ends with it then.
    pub fn read(
        &mut self,
        page: Result<(&str, Format), String>,
        at: i64,
        rows: &mut Vec<Row>,
    ) -> Result<Counts, String> {
        self.cache.begin();
        rows.reserve(self.cache.len());
        let counts = page.and_then(|(text, format)| {
            let counts = self.lines(text, format, at, rows)?;
            self.note(text, format);
            Ok(counts)
        });
        let mut ended = match &counts {
            Ok(_) => self.cache.vanished(),
            Err(_) => {
                rows.clear();
                self.cache.failed()
            }
        };
        if !self.former.is_empty() {
            let there: HashSet<SeriesRef> = rows.iter().map(|row| row.series).collect();
            ended.extend(std::mem::take(&mut self.former).into_iter().filter(|series| !there.contains(series)));
        }
        ends(ended, at, rows);
        if counts.is_ok() {
            self.allowance.give_back(self.cache.tidy());
        }
        counts
    }

    /// The target leaves: everything of it ends.
    pub(super) fn leave(&mut self, at: i64, rows: &mut Vec<Row>) {
        let mut ended = self.cache.all();
        ended.append(&mut self.former);
        ends(ended, at, rows);
        self.allowance.give_back(self.cache.series());
        self.cache = Cache::default();
    }

    fn lines(&mut self, text: &str, format: Format, at: i64, rows: &mut Vec<Row>) -> Result<Counts, String> {
        let mut page = Page::new(text, format);
        let mut counts = Counts::default();
        self.same = 0;
        loop {
            if let Some((place, known)) = self.cache.expected()
                && let Some((value, time)) = page.expect(known)
            {
                self.take(place, value, time, at, rows, &mut counts)?;
                continue;
            }
            match page.next().map_err(|error| error.to_string())? {
                None => return Ok(counts),
                Some(Item::Comment(line)) => self.see(line),
                Some(Item::Sample(sample)) => {
                    let place = match self.cache.find(sample.series) {
                        Some(place) => place,
                        None => {
                            let to = self.resolve(sample.series, &mut counts)?;
                            counts.added += usize::from(matches!(to, To::Series(_)));
                            let place = self.cache.insert(sample.series, to);
                            place.ok_or("there is more text in its series than can be known")?
                        }
                    };
                    self.take(place, sample.value, sample.at, at, rows, &mut counts)?;
                }
            }
        }
    }

    #[inline]
    fn take(
        &mut self,
        place: usize,
        value: f64,
        time: Option<i64>,
        at: i64,
        rows: &mut Vec<Row>,
        counts: &mut Counts,
    ) -> Result<(), String> {
        let own = time.filter(|_| self.job.spec.honor_timestamps);
        counts.scraped += 1;
        let to = match self.cache.mark(place, own.is_some()) {
            // There may be room by now.
            To::Full => self.again(place, counts)?,
            to => to,
        };
        match to {
            To::Series(series) => {
                counts.kept += 1;
                rows.push(Row { series, at: own.unwrap_or(at), value });
            }
            To::Dropped => return Ok(()),
            To::Full | To::Hopeless => {
                counts.kept += 1;
                counts.refused += 1;
            }
        }
        let limit = self.job.spec.sample_limit as usize;
        if limit > 0 && counts.kept > limit {
            return Err(format!("the page has more than {limit} samples; hint: raise `sample_limit`, or drop some"));
        }
        Ok(())
    }

    fn again(&mut self, place: usize, counts: &mut Counts) -> Result<To, String> {
        let Some(text) = self.cache.text_of(place).map(str::to_owned) else { return Ok(To::Full) };
        let to = self.resolve(&text, counts)?;
        self.cache.set(place, to);
        counts.added += usize::from(matches!(to, To::Series(_)));
        Ok(to)
    }

    /// What becomes of a series.
    ///
    /// # Errors
    /// What makes the whole page refused.
    fn resolve(&mut self, text: &str, counts: &mut Counts) -> Result<To, String> {
        let Some(labels) = self.labels_of(text)? else { return Ok(To::Dropped) };
        let pairs: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if let Err(reason) = fits(&pairs, &self.limits) {
            counts.reason.get_or_insert(reason);
            return Ok(To::Hopeless);
        }
        if !self.allowance.has_room() {
            counts.reason.get_or_insert_with(|| self.allowance.reason(&self.job.name));
            return Ok(To::Full);
        }
        let resolved = self.ingest.resolve(&[&pairs]).map_err(|error| error.to_string())?;
        Ok(match resolved.first() {
            Some(Resolved::Series(series)) => {
                self.allowance.take();
                To::Series(*series)
            }
            Some(Resolved::TooMany) => {
                let reason = "the store has as many series as it may; hint: raise `storage.max-series`";
                counts.reason.get_or_insert_with(|| reason.to_owned());
                To::Full
            }
            Some(Resolved::Hopeless) | None => {
                counts.reason.get_or_insert_with(|| format!("`{text}` is too long to be stored"));
                To::Hopeless
            }
        })
    }

    /// The labels of a series as they are stored; none where relabelling drops it.
    fn labels_of(&self, text: &str) -> Result<Option<Set>, String> {
        let scraped = exposition::labels(text).map_err(|error| error.to_string())?;
        let mut labels: Set = scraped
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        for (name, value) in self.labels.iter() {
            if !self.job.spec.honor_labels
                && let Some(theirs) = labels.remove(name)
            {
                let mut renamed = format!("exported_{name}");
                while labels.contains_key(&renamed) || self.labels.get(&renamed).is_some() {
                    renamed.insert_str(0, "exported_");
                }
                labels.insert(renamed, theirs);
            }
            labels.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        if !relabel::apply(&self.job.of_series, &mut labels) {
            return Ok(None);
        }
        match labels.get(NAME) {
            Some(name) if quarterdeck_formats::is_metric_name(name) => {}
            _ => return Err(format!("`{text}` has no metric's name after relabelling")),
        }
        self.within(text, &labels)?;
        Ok(Some(labels))
    }

    /// Limits of the configuration: a page that goes beyond one is refused, as Prometheus does it.
    fn within(&self, text: &str, labels: &Set) -> Result<(), String> {
        let spec = &self.job.spec;
        let over = |limit: u32, found: usize| limit > 0 && found > limit as usize;
        if over(spec.label_limit, labels.len()) {
            let (found, limit) = (labels.len(), spec.label_limit);
            return Err(format!("`{text}` has {found} labels; hint: raise `label_limit`, which is {limit}"));
        }
        for (name, value) in labels {
            if over(spec.label_name_length_limit, name.len()) {
                return Err(format!(
                    "the name of the label `{name}` is too long; hint: raise `label_name_length_limit`"
                ));
            }
            if over(spec.label_value_length_limit, value.len()) {
                return Err(format!(
                    "the value of the label `{name}` is too long; hint: raise `label_value_length_limit`"
                ));
            }
        }
        Ok(())
    }

    /// Series that the store does not have in memory any more, resolved again: what each one is called now.
    pub(super) fn renewed(&mut self, gone: &[SeriesRef]) -> HashMap<SeriesRef, SeriesRef> {
        let gone: HashSet<SeriesRef> = gone.iter().copied().collect();
        let mut renewed = HashMap::new();
        for place in 0..self.cache.len() {
            let Some(To::Series(before)) =
                self.cache.to(place).filter(|to| matches!(to, To::Series(of) if gone.contains(of)))
            else {
                continue;
            };
            let Some(text) = self.cache.text_of(place).map(str::to_owned) else { continue };
            self.allowance.give_back(1);
            let to = self.resolve(&text, &mut Counts::default()).unwrap_or(To::Full);
            self.cache.set(place, to);
            if let To::Series(after) = to {
                renewed.insert(before, after);
            }
        }
        renewed
    }

    fn see(&mut self, line: &str) {
        let rest = self.said.text.get(self.same..).unwrap_or_default();
        let same = rest.strip_prefix(line).is_some_and(|rest| rest.starts_with('\n'));
        // Beyond the end: something is different.
        self.same = if same { self.same + line.len() + 1 } else { usize::MAX };
    }

    /// Keeps the comments of a page that are not those of the one before.
    fn note(&mut self, text: &str, format: Format) {
        if self.same == self.said.text.len() {
            return;
        }
        let (mut page, mut comments) = (Page::new(text, format), String::new());
        while let Ok(Some(item)) = page.next() {
            if let Item::Comment(line) = item {
                comments.push_str(line);
                comments.push('\n');
            }
        }
        self.said = Arc::new(Said { text: comments, format });
    }
}

/// Whether both make the same series of a line.
fn makes_the_same(one: &ScrapeConfig, other: &ScrapeConfig) -> bool {
    let of = |spec: &ScrapeConfig| {
        (spec.honor_labels, spec.label_limit, spec.label_name_length_limit, spec.label_value_length_limit)
    };
    of(one) == of(other) && one.metric_relabel_configs == other.metric_relabel_configs
}

fn ends(series: Vec<SeriesRef>, at: i64, rows: &mut Vec<Row>) {
    rows.extend(series.into_iter().map(|series| Row { series, at, value: f64::from_bits(STALE) }));
}
