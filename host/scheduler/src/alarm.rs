//! Waits until a moment, to about a tenth of a millisecond: tokio's own timer knows whole ones only, and rounds up.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The end of a wait, which is left to the thread: what tokio may be late by, and some.
const FINE: Duration = Duration::from_millis(3);

/// One waiter at a time. The thread sleeps while nobody waits.
pub(crate) struct Alarm {
    shared: Arc<Shared>,
    /// `None`: it can't be had, and waits are as exact as tokio makes them.
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    setting: Mutex<Setting>,
    set: Condvar,
    rang: Notify,
}

#[derive(Default)]
struct Setting {
    at: Option<Instant>,
    stop: bool,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        let shared = Arc::new(Shared::default());
        let ringer = shared.clone();
        let thread = std::thread::Builder::new().name("alarm".to_owned()).spawn(move || ringer.run());
        if let Err(error) = &thread {
            tracing::warn!(%error, "no thread for the alarm: jobs start up to two milliseconds late");
        }
        Alarm { shared, thread: thread.ok() }
    }

    /// Returns after `span`. Nothing is left behind when the future is dropped.
    pub(crate) async fn wait(&self, span: Duration) {
        let at = Instant::now() + span;
        if self.thread.is_none() {
            tokio::time::sleep(span).await;
            return;
        }
        if let Some(coarse) = span.checked_sub(FINE).filter(|coarse| !coarse.is_zero()) {
            tokio::time::sleep(coarse).await;
        }
        // What rings may be the alarm of a wait that was dropped.
        while Instant::now() < at {
            self.shared.lock().at = Some(at);
            self.shared.set.notify_one();
            self.shared.rang.notified().await;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Setting> {
        self.setting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut setting = self.lock();
        while !setting.stop {
            setting = match setting.at {
                None => self.set.wait(setting).unwrap_or_else(PoisonError::into_inner),
                Some(at) => match at.checked_duration_since(Instant::now()) {
                    Some(left) if !left.is_zero() => {
                        self.set.wait_timeout(setting, left).unwrap_or_else(PoisonError::into_inner).0
                    }
                    _ => {
                        setting.at = None;
                        self.rang.notify_one();
                        setting
                    }
                },
            };
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.set.notify_one();
        if let Some(thread) = self.thread.take() {
            // It can't panic; were it to, there is nothing left to do about it here.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_ends_at_its_moment_and_not_before() {
        let alarm = Alarm::new();
        let mut late = Vec::new();
        for tenths in [1_u64, 5, 17, 30, 31, 52, 83] {
            let span = Duration::from_micros(tenths * 100);
            let begin = Instant::now();
            alarm.wait(span).await;
            late.push(begin.elapsed().checked_sub(span).expect("not before"));
        }
        // Of a busy machine the best is asked.
        assert!(late.iter().min().unwrap() < &Duration::from_micros(900), "{late:?}");
    }

    #[tokio::test]
    async fn the_alarm_of_a_wait_that_was_dropped_does_not_end_the_next() {
        let alarm = Alarm::new();
        for _ in 0..20 {
            tokio::select! {
                biased;
                () = alarm.wait(Duration::from_millis(2)) => panic!("before its moment"),
                () = std::future::ready(()) => {}
            }
            let begin = Instant::now();
            alarm.wait(Duration::from_millis(5)).await;
            assert!(begin.elapsed() >= Duration::from_millis(5));
        }
    }
}
