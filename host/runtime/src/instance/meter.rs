//! What an instance's calls used, counted without locks.

use crate::sandbox::{Capability, Counters};
use quarterdeck_model::plugin::{CallError, Usage};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const CODES: [&str; 9] =
    ["rejected", "retry", "other", "trapped", "deadline", "out-of-memory", "limited", "unavailable", "cancelled"];

#[derive(Default)]
pub(crate) struct Meter {
    calls: AtomicU64,
    guest_nanos: AtomicU64,
    wall_nanos: AtomicU64,
    memory_high_water_bytes: AtomicU64,
    in_flight: AtomicU32,
    host_calls: [AtomicU64; Capability::ALL.len()],
    failures: [AtomicU64; CODES.len()],
    last_error: Mutex<Option<String>>,
}

/// What one call's sandbox reports at its end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    pub(crate) counters: Counters,
    pub(crate) memory_bytes: usize,
}

impl Meter {
    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, busy: Duration, wall: Duration, report: &Report) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.guest_nanos.fetch_add(nanos(busy), Ordering::Relaxed);
        self.wall_nanos.fetch_add(nanos(wall), Ordering::Relaxed);
        let memory = u64::try_from(report.memory_bytes).unwrap_or(u64::MAX);
        if memory > self.memory_high_water_bytes.load(Ordering::Relaxed) {
            self.memory_high_water_bytes.fetch_max(memory, Ordering::Relaxed);
        }
        for (total, calls) in self.host_calls.iter().zip(report.counters.host_calls) {
            if calls > 0 {
                total.fetch_add(u64::from(calls), Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn count_failure(&self, error: &CallError) {
        if let Some(failures) =
            CODES.iter().position(|code| *code == error.code()).and_then(|code| self.failures.get(code))
        {
            failures.fetch_add(1, Ordering::Relaxed);
        }
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    pub(crate) fn usage(&self) -> Usage {
        let named = |names: &[&str], counts: &[AtomicU64]| {
            names
                .iter()
                .zip(counts)
                .map(|(name, count)| ((*name).to_owned(), count.load(Ordering::Relaxed)))
                .filter(|(_, count)| *count > 0)
                .collect()
        };
        Usage {
            calls: self.calls.load(Ordering::Relaxed),
            failures: named(&CODES, &self.failures),
            guest_micros: self.guest_nanos.load(Ordering::Relaxed) / 1000,
            wall_micros: self.wall_nanos.load(Ordering::Relaxed) / 1000,
            host_calls: named(&Capability::ALL.map(Capability::as_str), &self.host_calls),
            memory_high_water_bytes: self.memory_high_water_bytes.load(Ordering::Relaxed),
            in_flight: self.in_flight(),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
