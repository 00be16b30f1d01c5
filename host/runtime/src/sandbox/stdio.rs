//! Standard output and error of a sandbox: line by line into the log, bounded.

use crate::imports::Doors;
use bytes::Bytes;
use quarterdeck_model::plugin::log::LogLevel;
use quarterdeck_model::plugin::{Digest, InstanceName};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// A longer line is cut here.
const LINE_BYTES: usize = 4096;
/// How much of the end is kept for the reason of a trap.
const WORDS: usize = 3;

/// Lines that one call may log: by the door `log`, on its standard output, and on its standard error, all together.
pub(super) struct Quota {
    limit: u32,
    lines: AtomicU32,
    bytes: AtomicU64,
}

impl Quota {
    pub(super) fn new(limit: u32) -> Self {
        Quota { limit, lines: AtomicU32::new(0), bytes: AtomicU64::new(0) }
    }

    /// Counts a line of so many bytes. False: over the limit, the line is dropped (the first one that is gets a warning).
    pub(super) fn take(&self, instance: &InstanceName, bytes: usize) -> bool {
        let before = self.lines.fetch_add(1, Ordering::Relaxed);
        if before == self.limit {
            tracing::warn!(%instance, limit = self.limit, "log lines over the limit are dropped");
        }
        if before < self.limit {
            self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        before < self.limit
    }

    /// Lines so far, dropped ones included.
    pub(super) fn lines(&self) -> u32 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Bytes of lines that were not dropped, since they were last taken.
    pub(super) fn take_bytes(&self) -> u64 {
        self.bytes.swap(0, Ordering::Relaxed)
    }
}

#[derive(Clone)]
pub(super) struct LogStream {
    printer: Printer,
    state: Arc<Mutex<State>>,
}

/// Who prints.
#[derive(Clone)]
pub(super) struct Printer {
    pub(super) instance: InstanceName,
    pub(super) digest: Digest,
    pub(super) doors: Arc<Doors>,
}

struct State {
    line: Vec<u8>,
    quota: Arc<Quota>,
    last: VecDeque<String>,
}

impl LogStream {
    pub(super) fn new(printer: Printer, quota: Arc<Quota>) -> Self {
        LogStream { printer, state: Arc::new(Mutex::new(State { line: Vec::new(), quota, last: VecDeque::new() })) }
    }

    /// Ends the line that is open.
    pub(super) fn end_line(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).emit(&self.printer);
    }

    /// What is printed from here on is of another call.
    pub(super) fn renew(&self, quota: &Arc<Quota>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.emit(&self.printer);
        state.quota = quota.clone();
        state.last.clear();
    }

    /// The last lines, without the advice on backtraces that Rust adds to a panic.
    pub(super) fn last_words(&self) -> Option<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.emit(&self.printer);
        let lines: Vec<&str> =
            state.last.iter().map(String::as_str).filter(|line| !line.starts_with("note: ")).collect();
        (!lines.is_empty()).then(|| lines.join(" "))
    }

    fn take(&self, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for &byte in bytes {
            if byte == b'\n' {
                state.emit(&self.printer);
            } else if state.line.len() < LINE_BYTES {
                state.line.push(byte);
            }
        }
    }
}

impl State {
    fn emit(&mut self, printer: &Printer) {
        let Printer { instance, digest, doors } = printer;
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return;
        }
        let is_kept = self.quota.take(instance, line.len());
        let line = String::from_utf8_lossy(&line).escape_debug().to_string();
        if is_kept {
            tracing::info!(target: "plugin", %instance, line);
            doors.keep_line(instance, digest, LogLevel::Info, &line);
        }
        // The reason of a trap is told also by who has logged too much before.
        if self.last.len() == WORDS {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}

impl Drop for LogStream {
    fn drop(&mut self) {
        if Arc::strong_count(&self.state) == 1 {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).emit(&self.printer);
        }
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[cfg(test)]
mod tests {
    use crate::bindings::host::log::{Host, Level};
    use crate::imports::testing::{Fixture, grants};
    use wasmtime_wasi::WasiView;

    #[tokio::test]
    async fn lines_have_one_limit_whichever_way_they_are_written() {
        let fixture = Fixture::new();
        let mut setting = fixture.setting(grants(|_| ()));
        setting.limits = std::sync::Arc::new(quarterdeck_model::plugin::Limits { log_lines: 6, ..Default::default() });
        let mut sandbox = fixture.sandbox(grants(|_| ()));
        // As a call does that has the sandbox of an earlier one.
        sandbox.ctx();
        sandbox.renew(setting);
        for number in 0..4 {
            sandbox.write(Level::Info, format!("log {number}")).await.unwrap();
            sandbox.stdout.as_ref().unwrap().take(format!("out {number}\n").as_bytes());
            sandbox.stderr.as_ref().unwrap().take(format!("err {number}\n").as_bytes());
        }
        sandbox.stdout.as_ref().unwrap().take(b"without an end");
        let usage = sandbox.report().counters;
        let lines: Vec<String> =
            fixture.doors.lines.of(&sandbox.instance).into_iter().map(|line| line.message).collect();
        assert_eq!(lines, ["log 0", "out 0", "err 0", "log 1", "out 1", "err 1"]);
        assert_eq!((usage.log_lines, usage.bytes_out), (13, 6 * 5));
        // The reason of a trap is told all the same.
        assert_eq!(sandbox.last_words().unwrap(), "err 1 err 2 err 3");
    }
}
