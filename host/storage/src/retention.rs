//! What is older than it has to be kept, or over the log's bytes, goes: whole frames, oldest first.

use crate::keys;
use crate::recovery::{Place, first, remove};
use crate::shared::Shared;
use quarterdeck_model::store::StoreError;
use std::sync::atomic::Ordering;
use tracing::{error, info};

/// Frames in one go, so that commits don't wait long.
const FRAMES: usize = 512;

/// True if there is more to do at once. Nothing here needs a sync: what comes back after a crash goes again.
pub(crate) fn run(shared: &Shared, place: Place) -> Result<bool, StoreError> {
    let now = shared.clock.now();
    let oldest = now.minus(shared.retention.events);
    let log_bytes = shared.retention.log_bytes;
    let position = place.position.saturating_sub(log_bytes);
    // A durable consumer that is slow, or was switched off, must not lose events, nor fill the disk.
    let last_resort = place.position.saturating_sub(log_bytes.saturating_mul(2));
    let slowest = shared.projections.cursors(&shared.disk)?.into_iter().min_by_key(|(_, cursor)| *cursor);
    // What a frame tells has to be in its place before the frame goes.
    shared.projections.settle(&shared.disk, || ())?;
    let settled = shared.projections.settled();
    let mut more = false;
    for space in [keys::EVENTS, keys::CHANGES] {
        let mut removed = 0;
        while let Some(frame) = first(&shared.disk, space)? {
            // The newest frame stays: it tells where the log goes on.
            let newest = if space == keys::EVENTS {
                frame.order + frame.header.events >= place.head
            } else {
                frame.order >= place.serial
            };
            let old = frame.header.at < oldest || frame.header.position < position;
            let end = frame.order + frame.header.events;
            let unread = slowest.as_ref().filter(|(_, cursor)| space == keys::EVENTS && cursor.0 < end);
            let open = frame.header.serial > settled;
            if newest || open || !old || (unread.is_some() && frame.header.position >= last_resort) {
                break;
            }
            if let Some((consumer, cursor)) = unread
                && removed == 0
            {
                error!(consumer, %cursor, "the log is twice as large as it may be: events go that were not read");
            }
            if removed == FRAMES {
                more = true;
                break;
            }
            // Readers first: they start behind what is about to go.
            if space == keys::EVENTS {
                shared.tail.store(end, Ordering::Release);
            }
            remove(&shared.disk, space, frame.order)?;
            removed += 1;
        }
        if removed > 0 {
            info!(frames = removed, events = (space == keys::EVENTS), "dropped old frames of the log");
        }
    }
    Ok(more)
}
