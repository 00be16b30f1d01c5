//! Which series an instance's answers are made of. One that the last good answer had and this one has not is over, and gets the marker
//! of an end, as a scrape's: else it would look alive for as long as a sample counts as "now".
//!
//! Series with times of their own are left out, as Prometheus does: they say themselves how old they are.

use quarterdeck_model::Timestamp;
use quarterdeck_model::series::Sample;
use quarterdeck_model::series::ingest::{Ingest, Pairs, Resolved, Row, SeriesRef};
use quarterdeck_model::series::query::{NAME, STALE};
use quarterdeck_model::store::StoreError;

/// Rows at once.
const AT_ONCE: usize = 4_096;

/// The series of the last good answer, in order.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    series: Vec<SeriesRef>,
    at: Timestamp,
}

impl Lives {
    /// Those of an answer. New ones come into being by it.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn of(samples: &[Sample], at: Timestamp, ingest: &dyn Ingest) -> Result<Self, StoreError> {
        let mut series = Vec::with_capacity(samples.len());
        for part in samples.chunks(AT_ONCE) {
            let named: Vec<Vec<(&str, &str)>> = part.iter().filter(|sample| sample.at == at).map(pairs).collect();
            let pairs: Vec<Pairs<'_>> = named.iter().map(Vec::as_slice).collect();
            let resolved = ingest.resolve(&pairs)?.into_iter();
            series.extend(resolved.filter_map(|resolved| match resolved {
                Resolved::Series(series) => Some(series),
                Resolved::TooMany | Resolved::Hopeless => None,
            }));
        }
        series.sort_unstable();
        series.shrink_to_fit();
        Ok(Lives { series, at })
    }

    /// Ends those that are not in `after`.
    ///
    /// # Errors
    /// The store's. What has not ended then does so by its age.
    pub(crate) fn end_but(&self, after: &Lives, ingest: &dyn Ingest) -> Result<(), StoreError> {
        self.end(after.at, |series| after.series.binary_search(&series).is_err(), ingest)
    }

    /// Ends all of them.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn end_all(&self, now: Timestamp, ingest: &dyn Ingest) -> Result<(), StoreError> {
        self.end(now, |_| true, ingest)
    }

    fn end(&self, now: Timestamp, is_over: impl Fn(SeriesRef) -> bool, ingest: &dyn Ingest) -> Result<(), StoreError> {
        // Behind the last sample, whatever the clock did: a second one of that time would be dropped.
        let at = now.as_millis().max(self.at.as_millis().saturating_add(1));
        let over = self.series.iter().copied().filter(|series| is_over(*series));
        let rows: Vec<Row> = over.map(|series| Row { series, at, value: f64::from_bits(STALE) }).collect();
        for part in rows.chunks(AT_ONCE) {
            // Those that the store has forgotten have ended long ago.
            ingest.append_refs(part)?;
        }
        Ok(())
    }
}

fn pairs(sample: &Sample) -> Vec<(&str, &str)> {
    let mut pairs: Vec<(&str, &str)> = sample.labels.iter().filter(|(_, value)| !value.is_empty()).collect();
    pairs.push((NAME, &sample.name));
    pairs.sort_unstable();
    pairs
}
