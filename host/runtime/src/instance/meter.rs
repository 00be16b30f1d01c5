//! What an instance's calls used, counted without locks.

use crate::runtime::Totals;
use crate::sandbox::{Capability, Counters};
use quarterdeck_model::plugin::{Bucket, CallError, Usage, Window};
use quarterdeck_model::{Span, Timestamp};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Kinds of errors.
pub(crate) const CODES: [&str; 9] =
    ["rejected", "retry", "other", "trapped", "deadline", "out-of-memory", "limited", "unavailable", "cancelled"];

/// Upper bounds of the histogram of durations, in microseconds.
pub(crate) const UP_TO_MICROS: [u64; 11] =
    [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000];

#[derive(Default)]
pub(crate) struct Meter {
    calls: AtomicU64,
    guest_nanos: AtomicU64,
    wall_nanos: AtomicU64,
    memory_high_water_bytes: AtomicU64,
    in_flight: AtomicU32,
    host_calls: [AtomicU64; Capability::ALL.len()],
    failures: [AtomicU64; CODES.len()],
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    log_lines: AtomicU64,
    /// Calls by duration, each in one bucket; those that took longer than all of them are in none.
    latency: [AtomicU64; UP_TO_MICROS.len()],
    last_error: Mutex<Option<String>>,
    opening: Opening,
}

/// The totals at the beginning of the present window. Two calls that end as a window begins may be counted in either one.
#[derive(Default)]
struct Opening {
    /// Its number since the epoch, plus one; 0: there was none yet.
    number: AtomicI64,
    since_millis: AtomicI64,
    calls: AtomicU64,
    guest_nanos: AtomicU64,
    bytes_out: AtomicU64,
    host_calls: AtomicU64,
    has_refused: AtomicBool,
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

    /// `per`: the length of a window.
    pub(crate) fn count(&self, busy: Duration, wall: Duration, report: &Report, now: Timestamp, per: Span) {
        self.turn(now, per);
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.guest_nanos.fetch_add(nanos(busy), Ordering::Relaxed);
        self.wall_nanos.fetch_add(nanos(wall), Ordering::Relaxed);
        let memory = u64::try_from(report.memory_bytes).unwrap_or(u64::MAX);
        if memory > self.memory_high_water_bytes.load(Ordering::Relaxed) {
            self.memory_high_water_bytes.fetch_max(memory, Ordering::Relaxed);
        }
        self.count_host(&report.counters);
        let micros = nanos(wall) / 1000;
        if let Some(calls) = UP_TO_MICROS.iter().position(|up_to| micros <= *up_to).and_then(|at| self.latency.get(at))
        {
            calls.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What a call asked of the host.
    pub(crate) fn count_host(&self, counters: &Counters) {
        for (total, calls) in self.host_calls.iter().zip(counters.host_calls) {
            if calls > 0 {
                total.fetch_add(u64::from(calls), Ordering::Relaxed);
            }
        }
        let Counters { bytes_in, bytes_out, log_lines, .. } = *counters;
        for (total, count) in
            [(&self.bytes_in, bytes_in), (&self.bytes_out, bytes_out), (&self.log_lines, u64::from(log_lines))]
        {
            if count > 0 {
                total.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    /// What was used since the present window began.
    pub(crate) fn window(&self, now: Timestamp, per: Span) -> Window {
        self.turn(now, per);
        let since = |total: u64, opening: &AtomicU64| total.saturating_sub(opening.load(Ordering::Relaxed));
        let opening = &self.opening;
        Window {
            since: Timestamp::from_millis(opening.since_millis.load(Ordering::Relaxed)),
            calls: since(self.calls.load(Ordering::Relaxed), &opening.calls),
            guest_micros: since(self.guest_nanos.load(Ordering::Relaxed), &opening.guest_nanos) / 1000,
            bytes_out: since(self.bytes_out.load(Ordering::Relaxed), &opening.bytes_out),
            host_calls: since(self.all_host_calls(), &opening.host_calls),
        }
    }

    /// Since the instance began.
    pub(crate) fn totals(&self) -> Totals {
        Totals {
            calls: self.calls.load(Ordering::Relaxed),
            guest_micros: self.guest_nanos.load(Ordering::Relaxed) / 1000,
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            host_calls: self.all_host_calls(),
            log_lines: self.log_lines.load(Ordering::Relaxed),
            memory_high_water_bytes: self.memory_high_water_bytes.load(Ordering::Relaxed),
            failures: self.failures.each_ref().map(|failures| failures.load(Ordering::Relaxed)),
            latency: self.latency.each_ref().map(|calls| calls.load(Ordering::Relaxed)),
        }
    }

    /// True once in each window.
    pub(crate) fn is_first_refusal(&self) -> bool {
        !self.opening.has_refused.swap(true, Ordering::Relaxed)
    }

    fn all_host_calls(&self) -> u64 {
        self.host_calls.iter().map(|calls| calls.load(Ordering::Relaxed)).sum()
    }

    /// Opens the window that is now, unless it is open.
    fn turn(&self, now: Timestamp, per: Span) {
        let opening = &self.opening;
        let number = number(now, per).saturating_add(1);
        let before = opening.number.load(Ordering::Relaxed);
        let is_mine = before != number
            && opening.number.compare_exchange(before, number, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if !is_mine {
            return;
        }
        // The first window is that of the start, or of the instance's first call.
        let begins = if before == 0 { now.as_millis() } else { begin(now, per).as_millis() };
        opening.since_millis.store(begins, Ordering::Relaxed);
        opening.calls.store(self.calls.load(Ordering::Relaxed), Ordering::Relaxed);
        opening.guest_nanos.store(self.guest_nanos.load(Ordering::Relaxed), Ordering::Relaxed);
        opening.bytes_out.store(self.bytes_out.load(Ordering::Relaxed), Ordering::Relaxed);
        opening.host_calls.store(self.all_host_calls(), Ordering::Relaxed);
        opening.has_refused.store(false, Ordering::Relaxed);
    }

    pub(crate) fn count_failure(&self, error: &CallError) {
        if let Some(failures) =
            CODES.iter().position(|code| *code == error.code()).and_then(|code| self.failures.get(code))
        {
            failures.fetch_add(1, Ordering::Relaxed);
        }
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    pub(crate) fn usage(&self, now: Timestamp, per: Span) -> Usage {
        let loaded =
            |counts: &[AtomicU64]| counts.iter().map(|count| count.load(Ordering::Relaxed)).collect::<Vec<_>>();
        let calls = self.calls.load(Ordering::Relaxed);
        Usage {
            calls,
            failures: named(&CODES, loaded(&self.failures)),
            guest_micros: self.guest_nanos.load(Ordering::Relaxed) / 1000,
            wall_micros: self.wall_nanos.load(Ordering::Relaxed) / 1000,
            host_calls: named(&Capability::ALL.map(Capability::as_str), loaded(&self.host_calls)),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            log_lines: self.log_lines.load(Ordering::Relaxed),
            memory_high_water_bytes: self.memory_high_water_bytes.load(Ordering::Relaxed),
            in_flight: self.in_flight(),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            latency: buckets(calls, loaded(&self.latency)),
            window: self.window(now, per),
        }
    }
}

/// Counts by name, those that there are.
pub(crate) fn named(names: &[&str], counts: impl IntoIterator<Item = u64>) -> BTreeMap<String, u64> {
    let counts = names.iter().map(|name| (*name).to_owned()).zip(counts);
    counts.filter(|(_, count)| *count > 0).collect()
}

/// Of `calls` calls those that took at most so long, each bucket with those before it; none where there were no calls.
pub(crate) fn buckets(calls: u64, latency: impl IntoIterator<Item = u64>) -> Vec<Bucket> {
    if calls == 0 {
        return Vec::new();
    }
    let mut sum: u64 = 0;
    let buckets = UP_TO_MICROS.into_iter().zip(latency).map(|(up_to_micros, calls)| {
        sum = sum.saturating_add(calls);
        Bucket { up_to_micros, calls: sum }
    });
    buckets.collect()
}

/// The number of a window since the epoch.
fn number(now: Timestamp, per: Span) -> i64 {
    now.as_millis().div_euclid(millis(per))
}

fn begin(now: Timestamp, per: Span) -> Timestamp {
    Timestamp::from_millis(number(now, per).saturating_mul(millis(per)))
}

/// When the window that is now ends.
pub(crate) fn window_end(now: Timestamp, per: Span) -> Timestamp {
    begin(now, per).plus(Span::from_millis(u64::try_from(millis(per)).unwrap_or(1)))
}

/// For whoever wanted to call.
pub(crate) fn over_budget(what: &str, per: Span, until: Timestamp) -> String {
    format!("its budget of {what} in {per} is used up until {until}; hint: `limits.budget`")
}

fn millis(per: Span) -> i64 {
    i64::try_from(per.as_millis()).unwrap_or(i64::MAX).max(1)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Span = Span::from_secs(3600);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::MIN.plus(Span::from_secs(3600 * 1000 + seconds))
    }

    fn report(bytes_out: u64) -> Report {
        Report { counters: Counters { bytes_out, ..Counters::default() }, memory_bytes: 0 }
    }

    #[test]
    fn a_window_holds_what_was_used_since_it_began() {
        let meter = Meter::default();
        meter.count(Duration::from_millis(2), Duration::from_millis(5), &report(10), at(60), HOUR);
        meter.count(Duration::from_millis(2), Duration::from_millis(5), &report(20), at(3599), HOUR);
        let window = meter.window(at(3599), HOUR);
        assert_eq!((window.since, window.calls, window.guest_micros, window.bytes_out), (at(60), 2, 4_000, 30));
        let next = meter.window(at(3600), HOUR);
        assert_eq!((next.since, next.calls, next.guest_micros, next.bytes_out), (at(3600), 0, 0, 0));
        meter.count(Duration::from_millis(1), Duration::from_millis(1), &report(5), at(3601), HOUR);
        assert_eq!(meter.window(at(3601), HOUR).bytes_out, 5);
        assert_eq!(meter.usage(at(3601), HOUR).bytes_out, 35, "totals go on");
    }

    #[test]
    fn a_window_refuses_for_the_first_time_once() {
        let meter = Meter::default();
        meter.window(at(0), HOUR);
        assert!(meter.is_first_refusal());
        assert!(!meter.is_first_refusal());
        meter.window(at(3600), HOUR);
        assert!(meter.is_first_refusal());
    }

    #[test]
    fn durations_are_counted_up_to_their_bounds() {
        let meter = Meter::default();
        assert!(meter.usage(at(0), HOUR).latency.is_empty());
        for micros in [100, 101, 2_000, 60_000_000] {
            meter.count(Duration::ZERO, Duration::from_micros(micros), &report(0), at(0), HOUR);
        }
        let usage = meter.usage(at(0), HOUR);
        let of = |up_to: u64| usage.latency.iter().find(|bucket| bucket.up_to_micros == up_to).unwrap().calls;
        assert_eq!((of(100), of(300), of(1_000), of(3_000), of(10_000_000), usage.calls), (1, 2, 2, 3, 3, 4));
    }

    #[test]
    fn a_window_of_no_length_is_none() {
        assert_eq!(window_end(at(0), Span::ZERO), at(0).plus(Span::from_millis(1)));
    }
}
