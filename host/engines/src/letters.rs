//! How many dead letters the last hour has left, as a series, so that a rule can watch what would be told to nobody.
//!
//! The last hour's, and not all: an alert that lasts for as long as a letter is kept would hide the next one. A letter that is taken
//! up again does not count any more.

use crate::{Context, Error};
use async_trait::async_trait;
use quarterdeck_model::domain::job::JobSpec;
use quarterdeck_model::effect::DEAD_LETTERS;
use quarterdeck_model::event::{EventFilter, Offset};
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::Sample;
use quarterdeck_model::store::Page;
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_scheduler::Job;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::warn;

pub(crate) const SERIES: &str = "quarterdeck_dead_letters_last_hour";
const JOB: &str = "dead-letters";
const EVERY: Span = Span::from_secs(15);
const RECENT: Span = Span::from_secs(3600);
/// Documents and events that are read in one step.
const STEP: usize = 200;
/// More than so many are not told apart.
const COUNTED: usize = 1_000;

pub(crate) fn start(context: &Context, tasks: &mut crate::Tasks) {
    let count = Count { context: context.clone(), seen: Mutex::new(None) };
    if let Err(error) = context.scheduler.set(JobSpec::every(JOB, EVERY), Arc::new(count)) {
        warn!(%error, "dead letters can't be counted");
    }
    let context = context.clone();
    tasks.spawn("dead letters", async move {
        context.shutdown.cancelled().await;
        // The job holds what holds the scheduler: nobody would ever let go.
        context.scheduler.remove(JOB);
    });
}

struct Count {
    context: Context,
    /// `None`: what an earlier host left is not read yet.
    seen: Mutex<Option<Seen>>,
}

#[derive(Clone, Default)]
struct Seen {
    /// The log is read up to here.
    up_to: Offset,
    /// Letters of the last hour, by id.
    recent: BTreeMap<String, Timestamp>,
}

#[derive(Deserialize)]
struct Letter {
    at: Timestamp,
}

#[async_trait]
impl Job for Count {
    async fn run(&self, _planned: Timestamp) -> Result<(), String> {
        self.count().await.map_err(|error| error.to_string())
    }
}

impl Count {
    async fn count(&self) -> Result<(), Error> {
        let (context, now) = (&self.context, self.context.now());
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut seen = match seen {
            Some(seen) => seen,
            None => self.left().await?,
        };
        self.follow(&mut seen).await?;
        seen.recent.retain(|_, at| at.plus(RECENT) > now);
        if seen.recent.len() <= COUNTED {
            let mut there = BTreeMap::new();
            for (id, at) in seen.recent {
                if context.store.get(DEAD_LETTERS, &id)?.is_some() {
                    there.insert(id, at);
                }
            }
            seen.recent = there;
        }
        let value = f64::from(u32::try_from(seen.recent.len()).unwrap_or(u32::MAX));
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        let sample = Sample { name: SERIES.to_owned(), labels: Labels::new(), at: now, value };
        context.series.append(vec![sample]).await?;
        Ok(())
    }

    /// What lies there at the start.
    async fn left(&self) -> Result<Seen, Error> {
        let mut seen = Seen { up_to: self.context.store.head(), ..Seen::default() };
        let mut page = Page { limit: STEP, ..Page::all() };
        loop {
            let documents = self.context.store.list(DEAD_LETTERS, &page)?;
            let Some(last) = documents.last() else { return Ok(seen) };
            page.after = Some(last.id.clone());
            let letters = documents.iter().filter_map(|document| Some((document, document.decode::<Letter>().ok()?)));
            seen.recent.extend(letters.map(|(document, letter)| (document.id.clone(), letter.at)));
            seen.recent.retain(|_, at| at.plus(RECENT) > self.context.now());
            tokio::task::yield_now().await;
        }
    }

    /// What has come since.
    async fn follow(&self, seen: &mut Seen) -> Result<(), Error> {
        let filter = EventFilter::types(["dead-letter.added"]);
        loop {
            let batch = self.context.store.events(seen.up_to, &filter, STEP)?;
            seen.recent.extend(batch.events.into_iter().map(|stored| (stored.event.subject, stored.event.time)));
            if batch.next <= seen.up_to {
                return Ok(());
            }
            seen.up_to = batch.next;
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, Fake, START};
    use quarterdeck_model::transition::{Expected, Transition};
    use serde_json::json;

    #[tokio::test]
    async fn letters_of_the_last_hour_that_still_lie_there_are_counted_also_those_of_an_earlier_host() {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::open(folder.path(), &Fake::default(), Default::default(), START);
        let context = &bench.context;
        let add = async |id: &str| {
            let letter = json!({"kind": "effect", "at": context.now()});
            let added = context.event("dead-letter.added", id);
            let transition = Transition::new().put(DEAD_LETTERS, id, Expected::Any, letter).event(added);
            context.commit(transition).await.unwrap();
        };
        let counted = async |count: &Count| {
            count.count().await.unwrap();
            let seen = count.seen.lock().unwrap().clone().unwrap();
            seen.recent.into_keys().collect::<Vec<_>>()
        };
        let count = || Count { context: context.clone(), seen: Mutex::new(None) };
        let first = count();
        assert!(counted(&first).await.is_empty(), "a fresh host is quiet");
        add("eff_1").await;
        assert_eq!(counted(&first).await, ["eff_1"]);
        bench.advance(Span::from_secs(1800));
        add("evt_2").await;
        assert_eq!(counted(&first).await, ["eff_1", "evt_2"]);
        assert_eq!(counted(&count()).await, ["eff_1", "evt_2"], "as another host finds them");
        context.commit(Transition::new().delete(DEAD_LETTERS, "evt_2", Expected::Any)).await.unwrap();
        assert_eq!(counted(&first).await, ["eff_1"], "one was taken up again");
        bench.advance(Span::from_secs(1800));
        assert!(counted(&first).await.is_empty() && counted(&count()).await.is_empty(), "an hour later");
    }
}
