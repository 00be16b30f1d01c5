//! Moves the epoch every millisecond while calls are in flight, and sleeps otherwise: an idle host spends no time on it.

use crate::executor::prefer_short_turns;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;
use wasmtime::Engine;

const TICK: Duration = Duration::from_millis(1);

/// Ticks that the thread stays awake after the last call, so that steady traffic does not wake it for each one.
const LINGER: u32 = 20;

pub(crate) struct Ticker {
    shared: Arc<Shared>,
    waker: Thread,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    running: AtomicU32,
    awake: AtomicBool,
    stop: AtomicBool,
}

/// The epoch moves as long as one of these lives.
pub(crate) struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared =
            Arc::new(Shared { running: AtomicU32::new(0), awake: AtomicBool::new(true), stop: AtomicBool::new(false) });
        let thread = std::thread::Builder::new().name("epoch".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                prefer_short_turns();
                shared.run(&engine);
            }
        })?;
        Ok(Ticker { shared, waker: thread.thread().clone(), thread: Some(thread) })
    }

    pub(crate) fn run(&self) -> Running {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if !self.shared.awake.load(Ordering::SeqCst) && !self.shared.awake.swap(true, Ordering::SeqCst) {
            self.waker.unpark();
        }
        Running(Arc::clone(&self.shared))
    }
}

impl Shared {
    fn run(&self, engine: &Engine) {
        let mut idle = 0;
        while !self.stop.load(Ordering::SeqCst) {
            if idle < LINGER {
                std::thread::sleep(TICK);
                engine.increment_epoch();
                idle = if self.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
                continue;
            }
            self.awake.store(false, Ordering::SeqCst);
            // A call that began between the count and the store above saw `awake` and woke nobody.
            if self.running.load(Ordering::SeqCst) == 0 {
                while !self.awake.load(Ordering::SeqCst) && !self.stop.load(Ordering::SeqCst) {
                    std::thread::park();
                }
            }
            self.awake.store(true, Ordering::SeqCst);
            idle = 0;
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.waker.unpark();
        if let Some(thread) = self.thread.take() {
            // The thread can't panic; were it to, there is nothing left to do about it here.
            let _ = thread.join();
        }
    }
}
