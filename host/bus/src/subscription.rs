//! Reading the log to its end, and then what comes, without a gap.

use crate::Error;
use quarterdeck_model::event::{EventFilter, Offset, StoredEvent};
use quarterdeck_model::store::{EventBatch, Gap, Prompt, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// How long until events that are being synced are looked for again.
const ON_ITS_WAY: Duration = Duration::from_millis(1);

/// A reader of its own pace. It holds no place in the store: dropping it costs nothing, and its position is all that is
/// needed to go on elsewhere.
pub struct Subscription {
    store: Arc<dyn Store>,
    filter: EventFilter,
    /// Everything up to here was handed out or did not match.
    position: Offset,
    /// Where the last batch ended.
    told: Offset,
    /// After so many events that did not match a batch comes without any.
    patience: Option<u64>,
    /// Does not wait until events are durable.
    early: bool,
    /// Events on which this reader commits at once.
    prompt: Option<Prompt>,
    /// `None` while this reader is behind and reads the log. So one that lags holds no memory.
    live: Option<broadcast::Receiver<Arc<Vec<StoredEvent>>>>,
    /// The group that came last, until all of it is handed out.
    group: Option<Arc<Vec<StoredEvent>>>,
}

impl Subscription {
    pub(crate) fn new(store: Arc<dyn Store>, after: Offset, filter: EventFilter) -> Self {
        Subscription {
            store,
            filter,
            position: after,
            told: after,
            patience: None,
            early: false,
            prompt: None,
            live: None,
            group: None,
        }
    }

    /// Hands out an empty batch after so many events that did not match, so that there is something to acknowledge.
    pub(crate) fn patience(mut self, events: u64) -> Self {
        self.patience = Some(events);
        self
    }

    /// Hands out events while they are on their way to the disk: for those who only commit what follows from them. See
    /// [`Store::upcoming`].
    pub(crate) fn early(mut self) -> Self {
        self.early = true;
        self
    }

    pub(crate) fn set_prompt(&mut self, prompt: Prompt) {
        self.prompt = Some(prompt);
    }

    /// Where this reader stands: handed to `subscribe`, it goes on from there without a gap.
    pub fn position(&self) -> Offset {
        self.position
    }

    /// Goes on behind `after` instead: backwards for a replay.
    pub fn seek(&mut self, after: Offset) {
        self.position = after;
        self.told = after;
        self.live = None;
        self.group = None;
    }

    /// Between 1 and `limit` events, oldest first; waits until there is one. Where retention was faster than this reader, the
    /// batch says what is missing, and may hold nothing else. Dropped while it waits, it loses nothing.
    ///
    /// # Errors
    /// The store's; [`StoreError::Closed`] once it is closed.
    pub async fn next(&mut self, limit: usize) -> Result<EventBatch, Error> {
        let limit = limit.max(1);
        loop {
            let (gap, events) = if let Some(group) = self.group.take() {
                (None, self.take_from(group, limit))
            } else if let Some(live) = &mut self.live {
                match live.recv().await {
                    Ok(group) => self.accept(group),
                    Err(RecvError::Lagged(_)) => self.live = None,
                    Err(RecvError::Closed) => return Err(StoreError::Closed.into()),
                }
                continue;
            } else {
                self.read_log(limit).await?
            };
            let skipped = self.position.0.saturating_sub(self.told.0);
            let enough = self.patience.is_some_and(|patience| skipped >= patience);
            if gap.is_some() || !events.is_empty() || enough {
                self.told = self.position;
                return Ok(EventBatch { gap, events, next: self.position });
            }
        }
    }

    /// A live group holds every event of its record, so one that does not join on shows that something was missed.
    fn accept(&mut self, group: Arc<Vec<StoredEvent>>) {
        let Some((first, last)) = group.first().zip(group.last()).map(|(f, l)| (f.offset, l.offset)) else { return };
        if first.0 > self.position.0.saturating_add(1) {
            self.live = None;
        } else if last > self.position {
            self.group = Some(group);
        }
    }

    fn take_from(&mut self, group: Arc<Vec<StoredEvent>>, limit: usize) -> Vec<StoredEvent> {
        let mut events = Vec::new();
        let start = group.partition_point(|stored| stored.offset <= self.position);
        for stored in group.iter().skip(start) {
            if events.len() == limit {
                self.group = Some(Arc::clone(&group));
                break;
            }
            self.position = stored.offset;
            if self.filter.matches(&stored.event) {
                events.push(stored.clone());
            }
        }
        events
    }

    /// One stretch of the log. Whoever finds nothing and stands at the head goes live: the receiver was there before the
    /// head was looked at, so that nothing falls between.
    async fn read_log(&mut self, limit: usize) -> Result<(Option<Gap>, Vec<StoredEvent>), Error> {
        let live = if self.early { self.store.upcoming(self.prompt.as_ref()) } else { self.store.live() };
        let (store, filter, after) = (Arc::clone(&self.store), self.filter.clone(), self.position);
        let batch = tokio::task::spawn_blocking(move || store.events(after, &filter, limit))
            .await
            .map_err(|_| StoreError::Closed)??;
        self.position = self.position.max(batch.next);
        if batch.events.is_empty() && self.position >= self.store.head() {
            let told = if self.early { self.store.upcoming_head() } else { self.position };
            if self.position >= told {
                self.live = Some(live);
            } else if let Some(failure) = self.store.failure() {
                return Err(failure.into());
            } else {
                // Told of before this receiver was there, and not in the log yet.
                tokio::time::sleep(ON_ITS_WAY).await;
            }
        }
        Ok((batch.gap, batch.events))
    }
}
