//! The four steps. Each may be applied again at any time, after a crash too, and goes on where it was.

use crate::admin::{self, State};
use crate::record::{self, Place, Record};
use crate::{Config, slot};
use quarterdeck_sdk::host::clock;
use quarterdeck_sdk::host::process::{self, Phase, Status};
use quarterdeck_sdk::{Failure, Outcome};

/// The largest weight that HAProxy knows.
const MOST: u32 = 256;
/// What was written is to be committed before anything is done.
const AT_ONCE_MS: u64 = 50;
const LOOK_AGAIN_MS: u64 = 200;
/// A request that was on its way to the slot when it was told to drain has arrived by then.
const SETTLED_MS: u64 = 250;

pub(crate) fn start(config: &Config, service: &str, replica: &str, revision: &str) -> Result<Outcome, Failure> {
    let Some(mut record) = record::load(service, replica)? else {
        // Remembered before anything runs, so that whatever happens next, a stop knows what to look for.
        let (service, replica, revision) = (service.to_owned(), replica.to_owned(), revision.to_owned());
        record::save(&Record { service, replica, revision, place: None })?;
        return Ok(Outcome::pending("remembered", AT_ONCE_MS));
    };
    if record.revision != revision {
        let text = format!("`{replica}` is there already, of revision `{}`", record.revision);
        return Err(Failure::rejected(text));
    }
    let Some(mut place) = record.place.clone() else {
        record.place = Some(slot::take(config, &record)?);
        record::save(&record)?;
        return Ok(Outcome::pending("started", AT_ONCE_MS));
    };
    let status = process::status(&place.slot)?;
    match status.phase {
        Phase::Healthy => {}
        Phase::Starting => return Ok(Outcome::pending("starting", LOOK_AGAIN_MS)),
        Phase::Stopping => return Ok(Outcome::pending("stopping", LOOK_AGAIN_MS)),
        Phase::Absent => {
            process::start(&slot::spec(config, &place.slot, place.port, replica, revision))?;
            return Ok(Outcome::pending("starting", LOOK_AGAIN_MS));
        }
        Phase::Exited => {
            return Err(Failure::other(format!(
                "`{replica}` {}; hint: `quarterdeck process logs` of `{}` has its last words",
                ended(&status),
                place.slot
            )));
        }
        // Slow or broken: how long to wait for it is said by the service's start timeout.
        Phase::Unhealthy => {
            return Err(Failure::retry(format!(
                "`{replica}` does not answer {}",
                slot::health_url(config, place.port)
            )));
        }
    }
    let row = admin::stat_of(config, &place.slot)?;
    if place.weight.is_none() {
        // Before it gets its first request.
        place.begin(row.counters);
        admin::arrange(config, &place.slot, place.port, 0, State::Ready)?;
        place.weight = Some(0);
        record.place = Some(place);
        record::save(&record)?;
        return Ok(Outcome::pending("arranged", AT_ONCE_MS));
    }
    if !row.is_up() {
        return Ok(Outcome::pending(format!("HAProxy says {}", row.status), LOOK_AGAIN_MS));
    }
    Ok(Outcome::done().with("slot", place.slot).with("port", place.port))
}

pub(crate) fn weight(config: &Config, service: &str, replica: &str, weight: u32) -> Result<Outcome, Failure> {
    let Some((mut record, mut place)) = placed(service, replica)? else {
        return Err(Failure::rejected(format!("there is no replica `{replica}` of `{service}` to give a weight to")));
    };
    let weight = weight.min(MOST);
    if place.weight.is_none() {
        place.begin(admin::stat_of(config, &place.slot)?.counters);
    }
    // Everything, not only the weight: HAProxy may have been started anew and know nothing.
    admin::arrange(config, &place.slot, place.port, weight, State::Ready)?;
    let row = admin::stat_of(config, &place.slot)?;
    if place.weight != Some(weight) || place.draining_since_ms.is_some() {
        (place.weight, place.draining_since_ms) = (Some(weight), None);
        record.place = Some(place.clone());
        record::save(&record)?;
    }
    // Others give up their traffic when this is done, so it has to be able to take it.
    if weight > 0 && !row.is_up() {
        return Ok(Outcome::pending(format!("HAProxy says {}", row.status), LOOK_AGAIN_MS));
    }
    Ok(Outcome::done().with("slot", place.slot).with("weight", weight))
}

pub(crate) fn drain(config: &Config, service: &str, replica: &str) -> Result<Outcome, Failure> {
    let Some((mut record, mut place)) = placed(service, replica)? else { return Ok(Outcome::done()) };
    let now = now_ms();
    admin::set_state(config, &place.slot, State::Drain)?;
    let Some(since) = place.draining_since_ms else {
        place.draining_since_ms = Some(now);
        record.place = Some(place);
        record::save(&record)?;
        return Ok(Outcome::pending("draining", SETTLED_MS));
    };
    let row = admin::stat_of(config, &place.slot)?;
    let drained_ms = now.saturating_sub(since);
    let is_over = drained_ms >= config.drain_seconds.saturating_mul(1000);
    if is_over || (row.is_idle() && drained_ms >= SETTLED_MS) {
        return Ok(Outcome::done().with("slot", place.slot).with("left-in-flight", row.in_flight));
    }
    Ok(Outcome::pending("draining", LOOK_AGAIN_MS))
}

pub(crate) fn stop(config: &Config, service: &str, replica: &str) -> Result<Outcome, Failure> {
    let Some(mut record) = record::load(service, replica)? else { return Ok(Outcome::done()) };
    if record.place.is_none() {
        record.place = slot::lost(config, &record)?;
    }
    let Some(place) = &record.place else {
        record::forget(&record)?;
        return Ok(Outcome::done());
    };
    admin::set_state(config, &place.slot, State::Maint)?;
    let status = process::stop(&place.slot, config.stop_grace_seconds.saturating_mul(1000))?;
    if !matches!(status.phase, Phase::Absent | Phase::Exited) {
        record::save(&record)?;
        return Ok(Outcome::pending("stopping", LOOK_AGAIN_MS));
    }
    record::forget(&record)?;
    Ok(Outcome::done().with("slot", place.slot.clone()))
}

fn placed(service: &str, replica: &str) -> Result<Option<(Record, Place)>, Failure> {
    let Some(record) = record::load(service, replica)? else { return Ok(None) };
    let place = record.place.clone();
    Ok(place.map(|place| (record, place)))
}

/// How a process ended, for people.
pub(crate) fn ended(status: &Status) -> String {
    let how = match status.exit_code {
        Some(code) => format!("ended with exit code {code}"),
        None => "was ended by a signal".to_owned(),
    };
    let again = match status.restarts {
        0 => String::new(),
        1 => ", and was started again once".to_owned(),
        restarts => format!(", and was started again {restarts} times"),
    };
    format!("{how}{again}")
}

fn now_ms() -> u64 {
    u64::try_from(clock::now_ms()).unwrap_or_default()
}
