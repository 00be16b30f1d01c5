//! How the host itself is: handed to the `system` import, and from there into series like any other figure.

use quarterdeck_engines::Engines;
use quarterdeck_model::plugin::Registry;
use quarterdeck_model::store::Store;
use quarterdeck_runtime::imports::Vitals;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

pub(super) struct Signs {
    begin: Instant,
    store: Arc<dyn Store>,
    /// Set when they stand; figures are zero until then.
    pub(super) registry: OnceLock<Arc<dyn Registry>>,
    pub(super) engines: OnceLock<Arc<Engines>>,
    /// When the CPU time was last read, and what it was.
    last: Mutex<(Instant, f64)>,
}

impl Signs {
    pub(super) fn new(store: Arc<dyn Store>) -> Arc<Self> {
        let now = Instant::now();
        let (registry, engines) = (OnceLock::new(), OnceLock::new());
        Arc::new(Signs { begin: now, store, registry, engines, last: Mutex::new((now, cpu_seconds())) })
    }

    pub(super) fn take(&self) -> Vitals {
        let instances = self.registry.get().map(|registry| registry.instances()).unwrap_or_default();
        Vitals {
            cpu_percent: self.cpu_percent(),
            memory_bytes: resident_bytes(),
            uptime_seconds: self.begin.elapsed().as_secs(),
            instances: u32::try_from(instances.len()).unwrap_or(u32::MAX),
            calls: instances.iter().map(|instance| instance.usage.calls).sum(),
            call_failures: instances.iter().flat_map(|instance| instance.usage.failures.values()).sum(),
            log_offset: self.store.head().0,
            outbox_depth: self.engines.get().map_or(0, |engines| u64::try_from(engines.outbox.depth()).unwrap_or(0)),
        }
    }

    /// Since the last call, in percent of one core.
    fn cpu_percent(&self) -> f64 {
        let (now, used) = (Instant::now(), cpu_seconds());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = now.duration_since(last.0).as_secs_f64();
        let percent = if elapsed > 0.0 { (used - last.1) / elapsed * 100.0 } else { 0.0 };
        *last = (now, used);
        percent
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
