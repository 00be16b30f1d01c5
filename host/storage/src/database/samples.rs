//! Samples, through their three ports: by labels, by handles, by matchers.

use super::Database;
use crate::series::{Asked, Refused};
use crate::writer::Command;
use async_trait::async_trait;
use quarterdeck_model::series::ingest::{Appended, Ingest, Pairs, Resolved, Row};
use quarterdeck_model::series::query::{Budget, Columns, Matcher, Querier};
use quarterdeck_model::series::{Part, PartOfRange, Sample, Selector, Series, SeriesData};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Labels, Span, Timestamp};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;
use tracing::warn;

#[async_trait]
impl Series for Database {
    async fn append(&self, samples: Vec<Sample>) -> Result<(), StoreError> {
        self.check_open()?;
        self.shared.space.check(0)?;
        let now = self.shared.clock.now();
        let (refused, waiting) = self.shared.series.append(&samples, now)?;
        let Refused { hopeless, late, new } = refused;
        self.flush_early(waiting)?;
        self.refused_samples.fetch_add((hopeless + late + new) as u64, Ordering::Relaxed);
        if hopeless > 0 {
            warn!(
                refused = hopeless,
                "samples were dropped: over 10 minutes in the future, or names too long to store"
            );
        }
        if late > 0 {
            warn!(refused = late, "samples were dropped: older than the newest of their series by too much");
        }
        match new {
            0 => Ok(()),
            _ => Err(StoreError::TooManySeries { limit: self.shared.series.limit(), refused: hopeless + late + new }),
        }
    }

    async fn sync(&self) -> Result<(), StoreError> {
        self.check_open()?;
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Sync(reply)).map_err(|_| self.gone())?;
        answer.await.map_err(|_| self.gone())?
    }

    fn latest(&self, selector: &Selector, now: Timestamp, lookback: Span) -> Vec<Sample> {
        self.shared.series.latest(selector, now, lookback)
    }

    fn range(&self, selector: &Selector, from: Timestamp, to: Timestamp) -> Result<Vec<SeriesData>, StoreError> {
        let mut all = self.part_of_range(selector, from, to, &Part::all())?.series;
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(all)
    }

    fn part_of_range(
        &self,
        selector: &Selector,
        from: Timestamp,
        to: Timestamp,
        part: &Part,
    ) -> Result<PartOfRange, StoreError> {
        self.shared.series.part(&Asked { selector, from, to, part })
    }

    fn names(&self) -> Vec<String> {
        self.shared.series.names()
    }
}

impl Ingest for Database {
    fn resolve(&self, series: &[Pairs<'_>]) -> Result<Vec<Resolved>, StoreError> {
        self.check_open()?;
        Ok(self.shared.series.resolve(series))
    }

    fn append_refs(&self, rows: &[Row]) -> Result<Appended, StoreError> {
        self.check_open()?;
        self.shared.space.check(0)?;
        let (appended, waiting) = self.shared.series.append_refs(rows, self.shared.clock.now())?;
        self.flush_early(waiting)?;
        let refused = appended.too_old + appended.too_new;
        self.refused_samples.fetch_add(refused as u64, Ordering::Relaxed);
        Ok(appended)
    }
}

impl Querier for Database {
    fn select(
        &self,
        matchers: &[Matcher],
        from: Timestamp,
        to: Timestamp,
        budget: &Budget,
    ) -> Result<Vec<Columns>, StoreError> {
        self.shared.series.select(matchers, from, to, budget)
    }

    fn series(
        &self,
        matchers: &[Matcher],
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<Arc<Labels>>, StoreError> {
        self.shared.series.series(matchers, from, to, limit)
    }
}
