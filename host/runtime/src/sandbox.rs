//! The data of one call's store: who calls, what it may touch, what it used, what it wants written. Made for one call, dropped
//! with it.

mod stdio;
mod wasi;

pub(crate) use wasi::add_to_linker as add_wasi_to_linker;

use crate::imports::http::Hooks;
use crate::imports::{Doors, SOCKETS_PER_CALL, Space};
use crate::instance::{Meter, Report};
use quarterdeck_model::event::Event;
use quarterdeck_model::plugin::{Grants, InstanceName, Limits, PluginRef};
use quarterdeck_model::{Span, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stdio::{LogStream, Quota};
use tokio::sync::Semaphore;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, StoreLimits};
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi_http::WasiHttpCtx;

/// Handles that one call may hold open at once.
const TABLE_CAPACITY: usize = 1024;

/// Of a call's time, at most this much (and at most a tenth) is kept back for what the plugin makes of an outside that does not
/// answer.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A door of the host; each is granted and metered by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Capability {
    Log,
    Kv,
    Metrics,
    Events,
    System,
    Exec,
    Tcp,
    Process,
    Secret,
    Http,
    Files,
    Append,
}

impl Capability {
    pub(crate) const ALL: [Capability; 12] = [
        Capability::Log,
        Capability::Kv,
        Capability::Metrics,
        Capability::Events,
        Capability::System,
        Capability::Exec,
        Capability::Tcp,
        Capability::Process,
        Capability::Secret,
        Capability::Http,
        Capability::Files,
        Capability::Append,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Capability::Log => "log",
            Capability::Kv => "kv",
            Capability::Metrics => "metrics",
            Capability::Events => "events",
            Capability::System => "system",
            Capability::Exec => "exec",
            Capability::Tcp => "tcp",
            Capability::Process => "process",
            Capability::Secret => "secret",
            Capability::Http => "http",
            Capability::Files => "files",
            Capability::Append => "append",
        }
    }
}

/// Ends a call that is over its deadline.
#[derive(Debug, thiserror::Error)]
#[error("over the deadline")]
pub(crate) struct Overdue;

/// Ends a call that used up a limit other than time and memory. A door may return it where its function has no error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LimitReached(pub(crate) String);

/// What one call used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    /// By [`Capability`] as an index.
    pub(crate) host_calls: [u32; Capability::ALL.len()],
    /// Written by `log` and printed, those over the limit included.
    pub(crate) log_lines: u32,
    /// Handed in by host calls (a response's body, a value read).
    pub(crate) bytes_in: u64,
    /// Handed out (a request with its address and headers, a value written, an event, what a program is started with, log lines).
    pub(crate) bytes_out: u64,
}

/// What the call wants written. Committed with its result, dropped if it fails.
#[derive(Debug, Default)]
pub(crate) struct CallBuffer {
    /// `None` deletes.
    pub(crate) kv: BTreeMap<String, Option<Vec<u8>>>,
    pub(crate) events: Vec<Event>,
}

pub(crate) struct Sandbox {
    pub(crate) instance: InstanceName,
    pub(crate) plugin: PluginRef,
    pub(crate) grants: Arc<Grants>,
    pub(crate) limits: Arc<Limits>,
    /// The call decides: no door but `log`, clocks that show `now`, seeded randomness.
    pub(crate) pure: bool,
    /// The time that the call was handed.
    pub(crate) now: Timestamp,
    /// The time that the call was given.
    pub(crate) budget: Span,
    /// When the call is over, whatever it does: no host call may wait longer.
    pub(crate) deadline: Instant,
    /// How long doors wait for the world, whatever the plugin asks for: a target that hangs is something that the plugin can
    /// still say, and no misbehaviour of its own.
    pub(crate) patience: Instant,
    pub(crate) doors: Arc<Doors>,
    /// Who counts what the call used, should it be dropped before its report.
    meter: Option<Arc<Meter>>,
    pub(crate) usage: Counters,
    pub(crate) buffer: CallBuffer,
    pub(crate) table: ResourceTable,
    pub(crate) http: WasiHttpCtx,
    /// What the key-value space holds; read by the first write (see `imports::kv`).
    pub(crate) kv_space: Option<Space>,
    /// Connections that this call may yet open.
    pub(crate) sockets: Arc<Semaphore>,
    /// Made by the first use of `wasi:http` (see `imports::http`).
    pub(crate) hooks: Option<Hooks>,
    /// Made by the first use of WASI: most calls need none.
    wasi: Option<WasiCtx>,
    /// Lines that the call may log, whichever way.
    quota: Arc<Quota>,
    stdout: Option<LogStream>,
    /// What the plugin wrote to its standard error: a panic's message comes this way.
    stderr: Option<LogStream>,
    random_bytes_drawn: u64,
    memory: Memory,
}

/// Everything that a sandbox is made from.
pub(crate) struct Setting {
    pub(crate) instance: InstanceName,
    pub(crate) plugin: PluginRef,
    pub(crate) grants: Arc<Grants>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) pure: bool,
    pub(crate) now: Timestamp,
    pub(crate) budget: Span,
    pub(crate) deadline: Instant,
    pub(crate) doors: Arc<Doors>,
    /// Of the instance that is called, where the call counts as one of its own.
    pub(crate) meter: Option<Arc<Meter>>,
}

/// A call that is dropped at its deadline has used what it used.
impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(meter) = self.meter.take() {
            self.settle();
            meter.count_host(&self.usage);
        }
    }
}

impl Sandbox {
    pub(crate) fn new(setting: Setting) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(TABLE_CAPACITY);
        let memory = Memory::new(setting.limits.memory_bytes);
        let quota = Arc::new(Quota::new(setting.limits.log_lines));
        let kept_back = (setting.deadline.saturating_duration_since(Instant::now()) / 10).min(LAST_WORDS);
        let patience = setting.deadline.checked_sub(kept_back).unwrap_or(setting.deadline);
        Sandbox {
            instance: setting.instance,
            plugin: setting.plugin,
            grants: setting.grants,
            limits: setting.limits,
            pure: setting.pure,
            now: setting.now,
            budget: setting.budget,
            deadline: setting.deadline,
            patience,
            doors: setting.doors,
            meter: setting.meter,
            usage: Counters::default(),
            buffer: CallBuffer::default(),
            table,
            http: WasiHttpCtx::new(),
            kv_space: None,
            sockets: Arc::new(Semaphore::new(SOCKETS_PER_CALL)),
            hooks: None,
            wasi: None,
            quota,
            stdout: None,
            stderr: None,
            random_bytes_drawn: 0,
            memory,
        }
    }

    /// What the call has used, to be counted by whoever takes it.
    pub(crate) fn report(&mut self) -> Report {
        self.settle();
        self.meter = None;
        Report { counters: self.usage, memory_bytes: self.memory.high_water_bytes }
    }

    /// Carries into the counters what was counted elsewhere.
    fn settle(&mut self) {
        self.settle_http();
        // What was printed without an end of the line is a line of this call, too.
        for stream in self.stdout.iter().chain(&self.stderr) {
            stream.end_line();
        }
        self.usage.log_lines = self.quota.lines();
        self.usage.bytes_out = self.usage.bytes_out.saturating_add(self.quota.take_bytes());
    }

    /// For the next call of the same instance: everything is new but what the guest itself still holds - its memory, its handles, and the
    /// streams behind them.
    pub(crate) fn renew(&mut self, setting: Setting) {
        let mut last = std::mem::replace(self, Sandbox::new(setting));
        std::mem::swap(&mut self.table, &mut last.table);
        std::mem::swap(&mut self.http, &mut last.http);
        std::mem::swap(&mut self.wasi, &mut last.wasi);
        std::mem::swap(&mut self.memory, &mut last.memory);
        // What an earlier call has not given back yet, this one may not open.
        std::mem::swap(&mut self.sockets, &mut last.sockets);
        self.memory.exceeded = false;
        self.stdout = last.stdout.take();
        self.stderr = last.stderr.take();
        for stream in self.stdout.iter().chain(&self.stderr) {
            stream.renew(&self.quota);
        }
    }

    /// Between two calls: what goes out and comes in belongs to a call, so that connections, requests and bodies end with theirs, whatever
    /// handles the guest keeps.
    pub(crate) fn rest(&mut self) {
        self.close_http();
        self.close_connections();
    }

    /// Counts a host call. Every door but `log` starts with it.
    ///
    /// # Errors
    /// What limit is used up, for a person.
    pub(crate) fn count(&mut self, capability: Capability) -> Result<(), String> {
        let total: u32 = self.usage.host_calls.iter().fold(0, |sum, calls| sum.saturating_add(*calls));
        if total >= self.limits.host_calls {
            return Err(format!(
                "more than {} host calls in one call; hint: raise `limits.host-calls` of `{}`",
                self.limits.host_calls, self.instance
            ));
        }
        if let Some(calls) = self.usage.host_calls.get_mut(capability as usize) {
            *calls = calls.saturating_add(1);
        }
        Ok(())
    }

    /// Counts bytes that cross the door: `inward` ones come to the plugin.
    ///
    /// # Errors
    /// What limit is used up, for a person.
    pub(crate) fn count_bytes(&mut self, inward: u64, outward: u64) -> Result<(), String> {
        self.usage.bytes_in = self.usage.bytes_in.saturating_add(inward);
        self.usage.bytes_out = self.usage.bytes_out.saturating_add(outward);
        if self.usage.bytes_in.max(self.usage.bytes_out) > self.limits.io_bytes {
            return Err(format!(
                "more than {} bytes in one call; hint: raise `limits.io-bytes` of `{}`",
                self.limits.io_bytes, self.instance
            ));
        }
        Ok(())
    }

    /// Counts a log line of so many bytes. False: over the limit, the line is dropped (the first one that is gets a warning).
    pub(crate) fn count_line(&mut self, bytes: usize) -> bool {
        self.quota.take(&self.instance, bytes)
    }

    /// The end of what the plugin wrote to its standard error.
    pub(crate) fn last_words(&self) -> Option<String> {
        self.stderr.as_ref().and_then(LogStream::last_words)
    }

    pub(crate) fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }
}

/// Bounds the linear memory and tables of a sandbox, and remembers whether it wanted more. Memories are never given back
/// before the sandbox ends, so what all of them have grown by is what they hold.
pub(crate) struct Memory {
    limits: StoreLimits,
    limit_bytes: usize,
    pub(crate) high_water_bytes: usize,
    pub(crate) exceeded: bool,
}

impl Memory {
    fn new(limit_bytes: u64) -> Self {
        let limit_bytes = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
        let limits = wasmtime::StoreLimitsBuilder::new()
            .memory_size(limit_bytes)
            .table_elements(crate::engine::TABLE_ELEMENTS)
            .build();
        Memory { limits, limit_bytes, high_water_bytes: 0, exceeded: false }
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let all = self.high_water_bytes.saturating_add(desired.saturating_sub(current));
        if all > self.limit_bytes || maximum.is_some_and(|maximum| desired > maximum) {
            self.exceeded = true;
            return Ok(false);
        }
        let grows = self.limits.memory_growing(current, desired, maximum)?;
        if grows {
            self.high_water_bytes = all;
        }
        Ok(grows)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.limits.table_growing(current, desired, maximum)
    }

    fn instances(&self) -> usize {
        self.limits.instances()
    }

    fn tables(&self) -> usize {
        self.limits.tables()
    }

    fn memories(&self) -> usize {
        self.limits.memories()
    }
}
