//! How the host itself is: handed to the `system` import, and from there into series like any other figure.

use quarterdeck_engines::Engines;
use quarterdeck_model::plugin::Registry;
use quarterdeck_model::store::Store;
use quarterdeck_runtime::imports::Vitals;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub(super) struct Signs {
    begin: Instant,
    store: Arc<dyn Store>,
    /// Set when they stand; figures are zero until then.
    pub(super) registry: OnceLock<Arc<dyn Registry>>,
    pub(super) engines: OnceLock<Arc<Engines>>,
    usage: Mutex<Usage>,
}

/// CPU time, as last read. Whoever asks sooner gets the same figure: else those who ask would cut each other's windows.
struct Usage {
    at: Instant,
    seconds: f64,
    percent: Option<f64>,
}

const FRESH_FOR: Duration = Duration::from_secs(1);

impl Usage {
    /// Since it was last read, in percent of one core.
    fn percent(&mut self, now: Instant, seconds: f64) -> f64 {
        let elapsed = now.saturating_duration_since(self.at);
        if let Some(percent) = self.percent.filter(|_| elapsed < FRESH_FOR) {
            return percent;
        }
        let elapsed = elapsed.as_secs_f64();
        let percent = if elapsed > 0.0 { (seconds - self.seconds).max(0.0) / elapsed * 100.0 } else { 0.0 };
        *self = Usage { at: now, seconds, percent: Some(percent) };
        percent
    }
}

impl Signs {
    pub(super) fn new(store: Arc<dyn Store>) -> Arc<Self> {
        let now = Instant::now();
        let (registry, engines) = (OnceLock::new(), OnceLock::new());
        let usage = Mutex::new(Usage { at: now, seconds: cpu_seconds(), percent: None });
        Arc::new(Signs { begin: now, store, registry, engines, usage })
    }

    pub(super) fn take(&self) -> Vitals {
        let registry = self.registry.get();
        let calls = registry.map(|registry| registry.calls()).unwrap_or_default();
        Vitals {
            cpu_percent: self.cpu_percent(),
            memory_bytes: resident_bytes(),
            uptime_seconds: self.begin.elapsed().as_secs(),
            instances: registry.map_or(0, |registry| u32::try_from(registry.states().len()).unwrap_or(u32::MAX)),
            calls: calls.made,
            call_failures: calls.failed,
            log_offset: self.store.head().0,
            outbox_depth: self.engines.get().map_or(0, |engines| u64::try_from(engines.outbox.depth()).unwrap_or(0)),
        }
    }

    fn cpu_percent(&self) -> f64 {
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: else a later reading could come first.
        usage.percent(Instant::now(), cpu_seconds())
    }
}

/// CPU time of all threads of this process, in seconds.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The second figure of `statm` counts resident pages; 0 where there is no `/proc`.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    pages * u64::try_from(rustix::param::page_size()).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_within_a_second_gets_the_same_figure_and_cuts_nobodys_window() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let mut usage = Usage { at: begin, seconds: 0.0, percent: None };
        assert_eq!(usage.percent(at(2_000), 1.0), 50.0);
        // A burst between two askers.
        assert_eq!(usage.percent(at(2_001), 1.5), 50.0);
        assert_eq!(usage.percent(at(2_999), 1.5), 50.0);
        assert_eq!(usage.percent(at(4_000), 1.5), 25.0);
        assert_eq!(usage.percent(at(3_000), 1.5), 25.0, "one that is late");
    }
}
