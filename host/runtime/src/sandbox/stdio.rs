//! Standard output and error of a sandbox: line by line into the log, bounded.

use crate::imports::Doors;
use bytes::Bytes;
use quarterdeck_model::plugin::log::LogLevel;
use quarterdeck_model::plugin::{Digest, InstanceName};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// A longer line is cut here.
const LINE_BYTES: usize = 4096;
/// How much of the end is kept for the reason of a trap.
const WORDS: usize = 3;

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
    lines_left: u32,
    last: VecDeque<String>,
}

impl LogStream {
    pub(super) fn new(printer: Printer, lines: u32) -> Self {
        LogStream {
            printer,
            state: Arc::new(Mutex::new(State { line: Vec::new(), lines_left: lines, last: VecDeque::new() })),
        }
    }

    /// Ends the line that is open, and allows so many more.
    pub(super) fn renew(&self, lines: u32) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.emit(&self.printer);
        state.lines_left = lines;
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
        if line.is_empty() || self.lines_left == 0 {
            return;
        }
        self.lines_left -= 1;
        let line = String::from_utf8_lossy(&line).escape_debug().to_string();
        tracing::info!(target: "plugin", %instance, line);
        doors.keep_line(instance, digest, LogLevel::Info, &line);
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
