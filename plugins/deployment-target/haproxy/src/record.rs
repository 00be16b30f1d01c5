//! What is remembered of a replica: one document each, and one per slot that says whose it is. A slot's is written only by
//! the replica whose process runs there.

use crate::stat::Counters;
use quarterdeck_sdk::host::kv;
use quarterdeck_sdk::serde::de::DeserializeOwned;
use quarterdeck_sdk::serde::{Deserialize, Serialize};
use quarterdeck_sdk::{Failure, serde_json};

/// Requests that HAProxy's counters may disagree about.
const A_MOMENT: u64 = 16;

/// A replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "quarterdeck_sdk::serde")]
pub(crate) struct Record {
    pub(crate) service: String,
    pub(crate) replica: String,
    pub(crate) revision: String,
    /// `None` until its process has been started.
    pub(crate) place: Option<Place>,
}

/// Where a replica is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "quarterdeck_sdk::serde")]
pub(crate) struct Place {
    pub(crate) slot: String,
    pub(crate) port: u16,
    /// As HAProxy was told last. `None` until the replica was healthy for the first time.
    pub(crate) weight: Option<u32>,
    /// HAProxy's counters when it was told for the first time: what an earlier replica did in the slot.
    #[serde(default)]
    pub(crate) responses_before: u64,
    #[serde(default)]
    pub(crate) failures_before: u64,
    /// When it was told to drain, in milliseconds since 1970.
    pub(crate) draining_since_ms: Option<u64>,
}

impl Place {
    pub(crate) fn new(slot: &str, port: u16) -> Self {
        Place {
            slot: slot.to_owned(),
            port,
            weight: None,
            responses_before: 0,
            failures_before: 0,
            draining_since_ms: None,
        }
    }

    /// Counts from here.
    pub(crate) fn begin(&mut self, counters: Counters) {
        (self.responses_before, self.failures_before) = (counters.responses, counters.failures);
    }

    /// What the replica did; `None` if HAProxy counts from zero again. Requests under way are counted a moment apart by HAProxy's
    /// threads, so that a few less than before say nothing.
    pub(crate) fn since(&self, now: Counters) -> Option<Counters> {
        if now.responses.saturating_add(A_MOMENT) < self.responses_before {
            return None;
        }
        let responses = now.responses.saturating_sub(self.responses_before);
        Some(Counters { responses, failures: now.failures.saturating_sub(self.failures_before).min(responses) })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(crate = "quarterdeck_sdk::serde")]
struct Tenant {
    service: String,
    replica: String,
}

/// The record of a replica.
pub(crate) fn load(service: &str, replica: &str) -> Result<Option<Record>, Failure> {
    get(&replica_key(service, replica))
}

/// The replica that has a slot.
pub(crate) fn in_slot(slot: &str) -> Result<Option<Record>, Failure> {
    let Some(tenant) = get::<Tenant>(&slot_key(slot))? else { return Ok(None) };
    let record = load(&tenant.service, &tenant.replica)?;
    Ok(record.filter(|record| record.place.as_ref().is_some_and(|place| place.slot == slot)))
}

pub(crate) fn save(record: &Record) -> Result<(), Failure> {
    if let Some(place) = &record.place {
        let tenant = Tenant { service: record.service.clone(), replica: record.replica.clone() };
        set(&slot_key(&place.slot), &tenant)?;
    }
    set(&replica_key(&record.service, &record.replica), record)
}

pub(crate) fn forget(record: &Record) -> Result<(), Failure> {
    if let Some(place) = &record.place {
        kv::delete(&slot_key(&place.slot))?;
    }
    Ok(kv::delete(&replica_key(&record.service, &record.replica))?)
}

fn replica_key(service: &str, replica: &str) -> String {
    format!("replica/{service}/{replica}")
}

fn slot_key(slot: &str) -> String {
    format!("slot/{slot}")
}

fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Failure> {
    let Some(bytes) = kv::get(key)? else { return Ok(None) };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| Failure::rejected(format!("what is remembered as `{key}` can't be read: {error}")))
}

fn set(key: &str, value: &impl Serialize) -> Result<(), Failure> {
    let bytes = serde_json::to_vec(value).map_err(|error| Failure::other(error.to_string()))?;
    Ok(kv::set(key, &bytes)?)
}
