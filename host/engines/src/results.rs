//! Listening for the results of effects: what the flows that own effects share.

use crate::place::Place;
use crate::{Context, Error};
use async_trait::async_trait;
use quarterdeck_bus::Consumer;
use quarterdeck_model::effect::EffectResult;
use quarterdeck_model::event::{EventFilter, StoredEvent};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::transition::Ack;
use serde::Deserialize;
use std::time::Duration;
use tracing::{error, warn};

/// A store that refuses for now (a full disk) is asked again after this long.
pub(crate) const STORE_AGAIN: Duration = Duration::from_secs(1);
const BATCH: usize = 64;

/// How an effect ended, as its owner needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    Failed,
    Unknown,
}

#[async_trait]
pub(crate) trait Owner: Send + Sync + 'static {
    /// Commits what the result makes of its owner, and `ack` in the same record if there is anything to commit.
    async fn ended(&self, event: &StoredEvent, result: EffectResult, end: End, ack: Ack) -> Result<(), Error>;
}

/// Hands each result of an effect whose owner's id begins with `prefix` to `owner`, once for each time that the consumer's
/// acknowledged place is passed. Ends with the shutdown, or with the store.
pub(crate) async fn listen(context: Context, name: &'static str, prefix: &'static str, owner: impl Owner) {
    let mut consumer = match context.bus.consumer(name, EventFilter::types(["effect."])) {
        Ok(consumer) => consumer,
        Err(error) => return error!(consumer = name, %error, "can't read the log"),
    };
    let mut place = Place::new(name, consumer.position());
    loop {
        let batch = tokio::select! {
            () = context.shutdown.cancelled() => return place.write(&context).await,
            () = place.due() => {
                place.write(&context).await;
                continue;
            }
            batch = consumer.next(BATCH) => match batch {
                Ok(batch) => batch,
                Err(error) => return error!(consumer = name, %error, "can't read the log"),
            },
        };
        for event in batch.events.iter().filter(|stored| stored.event.subject.starts_with(prefix)) {
            let Some((result, end)) = parse(event) else { continue };
            let ack = Ack { consumer: name.to_owned(), up_to: event.offset };
            let handled = patiently(&context, || owner.ended(event, result.clone(), end, ack.clone())).await;
            match handled {
                Ok(()) => {}
                Err(Error::Store(failure @ (StoreError::Closed | StoreError::Io(_) | StoreError::DiskFull { .. }))) => {
                    return error!(consumer = name, error = %failure, "can't go on");
                }
                Err(failure) => {
                    warn!(consumer = name, event = %event.event.id, error = %failure, "a result can't be handled");
                    if let Err(failure) = put_aside(&context, &consumer, event, &failure.to_string()).await {
                        return error!(consumer = name, error = %failure, "can't put an event aside");
                    }
                }
            }
        }
        place.handled(batch.next);
        if place.is_due() {
            place.write(&context).await;
        }
    }
}

/// Puts an event among the dead letters, and waits for that as long as the disk is full. One that can't even be put there is
/// passed over: a flow that ended here would meet it again at each start.
pub(crate) async fn put_aside(
    context: &Context,
    consumer: &Consumer,
    event: &StoredEvent,
    reason: &str,
) -> Result<(), Error> {
    match patiently(context, async || Ok(consumer.dead_letter(event, reason).await?)).await {
        Err(Error::Store(failure @ (StoreError::Closed | StoreError::Io(_) | StoreError::DiskFull { .. }))) => {
            Err(failure.into())
        }
        Err(failure) => {
            let (consumer, offset) = (consumer.name(), event.offset);
            error!(consumer, %offset, reason, error = %failure, "an event can't be handled, nor put aside: it is passed over");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Tries again as long as the disk is full, up to the shutdown.
pub(crate) async fn patiently<T, F>(context: &Context, mut attempt: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    loop {
        match attempt().await {
            Err(Error::Store(failure @ StoreError::DiskFull { .. })) => {
                warn!(error = %failure, "waiting for the store");
                tokio::select! {
                    () = context.shutdown.cancelled() => return Err(failure.into()),
                    () = tokio::time::sleep(STORE_AGAIN) => {}
                }
            }
            other => return other,
        }
    }
}

fn parse(event: &StoredEvent) -> Option<(EffectResult, End)> {
    let end = match event.event.event_type.as_str() {
        "effect.done" => End::Done,
        "effect.failed" => End::Failed,
        "effect.unknown" => End::Unknown,
        _ => return None,
    };
    match EffectResult::deserialize(&event.event.data) {
        Ok(result) => Some((result, end)),
        Err(error) => {
            warn!(event = %event.event.id, %error, "not the result of an effect");
            None
        }
    }
}
