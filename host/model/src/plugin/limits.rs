//! What a call, and a window of time, may use.

use super::Window;
use crate::time::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a call may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// Linear memory of one sandbox.
    pub memory_bytes: u64,
    /// Wall time of one call, host calls included. The world is waited for a little less (half a second, or a tenth), so that what
    /// hangs can still be told. A runbook action gets its step's `timeout` (at most 10 minutes) where that is more.
    pub deadline: Span,
    /// Calls at once.
    pub concurrency: u32,
    /// Host calls in one call.
    pub host_calls: u32,
    /// Log lines in one call: what it logs and what it prints, together.
    pub log_lines: u32,
    /// Bytes that one call may hand out or get back, each (see [`Budget::bytes_out`]; lines of the log have `log-lines`).
    pub io_bytes: u64,
    /// Bytes of one value that the plugin hands over: its answer, or what it gives to a host call (but not the body of a request).
    /// Ten thousand samples with their labels take some 3 MB. Not more than `io-bytes`.
    pub result_bytes: u64,
    /// Keys and values together.
    pub kv_bytes: u64,
    /// Collectors: different series within a day or two. Samples of further ones are refused.
    pub series: u32,
    /// What all its calls may use together. Unless given, there is no such bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

/// What the calls of an instance may use together within a window of time. Windows follow one another, from the start of the
/// epoch; once one's budget is used up no call begins until the next window. Calls under way then go on, so it can be
/// exceeded by as much as those use. It is counted since the daemon's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Budget {
    /// Length of a window.
    pub per: Span,
    /// Time for which its code ran, by the clock (see [`Usage::guest_micros`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Span>,
    /// Bytes handed out: requests with their addresses, headers and bodies, what is written to connections and files, names of hosts, events,
    /// written values, what programs and processes are started with and read, lines of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_calls: Option<u64>,
}

impl Budget {
    /// Of windows where none is given.
    pub const PER: Span = Span::from_secs(3600);

    /// What of it is used up, for a person; `None` while there is some of everything.
    pub fn used_up(&self, window: &Window) -> Option<String> {
        let micros = |span: &Span| span.as_millis().saturating_mul(1000);
        if let Some(cpu) = self.cpu.as_ref().filter(|cpu| window.guest_micros >= micros(cpu)) {
            return Some(format!("{cpu} of running time"));
        }
        if let Some(bytes) = self.bytes_out.filter(|bytes| window.bytes_out >= *bytes) {
            return Some(format!("{bytes} bytes out"));
        }
        self.host_calls.filter(|calls| window.host_calls >= *calls).map(|calls| format!("{calls} host calls"))
    }
}

impl Default for Budget {
    fn default() -> Self {
        Budget { per: Budget::PER, cpu: None, bytes_out: None, host_calls: None }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory_bytes: 64 << 20,
            deadline: Span::from_secs(10),
            concurrency: 8,
            host_calls: 10_000,
            log_lines: 100,
            io_bytes: 16 << 20,
            result_bytes: 4 << 20,
            kv_bytes: 1 << 20,
            series: 10_000,
            budget: None,
        }
    }
}
