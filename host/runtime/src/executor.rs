//! Threads for guests, apart from the host's own: a fast lane, and a slow lane at a lower priority that takes over calls which
//! compute for long. So a plugin that loops costs the others next to nothing, and the API nothing.
//!
//! An instance whose last calls were all over within a fraction of a millisecond is spared the way there and back, which
//! would take as long as the call: its calls begin on the caller's thread. One that is not over at the next tick of the
//! epoch (a millisecond at most) goes on in the fast lane, and the instance has to earn its way back. Which of the three a call
//! begins in is the matter of [`pace`].

mod pace;
mod slice;
mod turns;

pub(crate) use pace::Pace;
pub use turns::prefer_short_turns;

use crate::engine::{Running, Ticker};
use crate::error::Error;
use rustix::process::setpriority_process;
use rustix::thread::gettid;
use slice::{End, Slice, Spent};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use wasmtime::Engine;

/// CPU time that a call may spend in the fast lane.
const FAST_CPU: Duration = Duration::from_millis(3);

/// Niceness of the slow lane's threads: they get what the others leave.
const SLOW_NICENESS: i32 = 15;

/// How long after its deadline a call whose thread gets no processor is given up on.
const GRACE: Duration = Duration::from_millis(1);

pub(crate) type BoxCall<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How a call ended, and the time that it spent being polled.
pub(crate) struct Ended<T> {
    /// `None`: it was over its deadline and was dropped.
    pub(crate) value: Option<T>,
    pub(crate) busy: Duration,
}

pub(crate) struct Executor {
    quick_calls_inline: bool,
    fast: Lane,
    slow: Lane,
    ticker: Ticker,
}

/// Shut down without waiting when dropped: dropping a runtime in an async context would panic.
struct Lane(Option<Runtime>, Handle);

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn lane(name: &'static str, threads: usize, niceness: i32) -> Result<Lane, Error> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(64)
        .thread_name(name)
        .enable_all()
        .on_thread_start(move || {
            if niceness == 0 {
                turns::prefer_short_turns();
            } else if let Err(error) = setpriority_process(Some(gettid()), niceness) {
                tracing::debug!(%error, "a guest thread keeps its priority");
            }
        })
        .build()
        .map_err(Error::Threads)?;
    let handle = runtime.handle().clone();
    Ok(Lane(Some(runtime), handle))
}

impl Executor {
    pub(crate) fn start(threads: usize, quick_calls_inline: bool, engine: Engine) -> Result<Self, Error> {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            threads => threads,
        };
        Ok(Executor {
            quick_calls_inline,
            fast: lane("guest", threads, 0)?,
            slow: lane("guest-slow", threads, SLOW_NICENESS)?,
            ticker: Ticker::start(engine).map_err(Error::Threads)?,
        })
    }

    /// The epoch moves while this lives; every call holds one.
    pub(crate) fn running(&self) -> Running {
        self.ticker.run()
    }

    /// Runs a call until its deadline. Dropping the future cancels the call. `None`: the host's own code panicked in it, or
    /// the host is stopping.
    ///
    /// `pace` is what is known of the instance's calls, and learns from this one.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        mut call: BoxCall<T>,
        deadline: Instant,
        pace: &Arc<Pace>,
    ) -> Option<Ended<T>> {
        let mut spent = Spent::default();
        if self.quick_calls_inline && pace.is_quick() {
            // Calls that end at once must not keep the caller's thread from its other tasks.
            tokio::task::coop::consume_budget().await;
            let started = Instant::now();
            let polled = std::future::poll_fn(|context| {
                Poll::Ready(catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context))))
            });
            let polled = polled.await;
            let busy = started.elapsed();
            match polled {
                Ok(Poll::Ready(value)) => {
                    pace.learn_at_once(busy);
                    return Some(Ended { value: Some(value), busy });
                }
                Ok(Poll::Pending) => spent.busy = busy,
                Err(_) => return None,
            }
        }
        let slow = self.slow.1.clone();
        let end = if pace.is_slow(Instant::now()) {
            // The fast lane has nothing to do with it, not even to hand it on.
            in_slow_lane(&slow, call, deadline, spent).await?
        } else {
            let pace = Arc::clone(pace);
            let began = self.fast.1.spawn(async move {
                match Slice::new(call, deadline, spent, Some(FAST_CPU)).await {
                    End::Long { call, spent } => {
                        pace.slow_down();
                        in_slow_lane(&slow, call, deadline, spent).await
                    }
                    end => Some(end),
                }
            });
            Answer(began).await.flatten()?
        };
        let (value, spent) = match end {
            End::Done { value, spent } => (Some(value), spent),
            End::Overtime { spent } | End::Long { spent, .. } => (None, spent),
            End::Starved { spent } => return Some(Ended { value: None, busy: spent.busy }),
        };
        pace.learn(spent, Instant::now());
        Some(Ended { value, busy: spent.busy })
    }
}

/// Begins, or goes on, in the slow lane.
async fn in_slow_lane<T: Send + 'static>(
    slow: &Handle,
    call: BoxCall<T>,
    deadline: Instant,
    spent: Spent,
) -> Option<End<T>> {
    let answer = Answer(slow.spawn(Slice::new(call, deadline, spent, None)));
    match tokio::time::timeout_at((deadline + GRACE).into(), answer).await {
        Ok(end) => end,
        // Its thread gets no processor.
        Err(_) => Some(End::Starved { spent }),
    }
}

/// A call's answer to come; dropping it cancels the call. `None`: the task panicked or its runtime is gone.
struct Answer<T>(JoinHandle<T>);

impl<T> Future for Answer<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(context).map(Result::ok)
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// Computes for so long, and tells which thread it ended on.
    fn computing(time: Duration) -> BoxCall<String> {
        Box::pin(async move {
            let until = Instant::now() + time;
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            std::thread::current().name().unwrap_or_default().to_owned()
        })
    }

    async fn lane_of(executor: &Executor, pace: &Arc<Pace>, time: Duration) -> String {
        executor.run(computing(time), Instant::now() + SOON, pace).await.unwrap().value.unwrap()
    }

    #[tokio::test]
    async fn calls_of_a_millisecond_leave_the_fast_lane_while_they_follow_one_another_and_come_back_after_a_pause() {
        let executor = Executor::start(2, true, crate::engine::compiler().unwrap()).unwrap();
        let pace = Arc::default();
        let call = Duration::from_millis(1);
        assert_eq!(lane_of(&executor, &pace, call).await, "guest");
        let until = Instant::now() + SOON;
        while lane_of(&executor, &pace, call).await != "guest-slow" {
            assert!(Instant::now() < until, "they stay in the fast lane");
        }
        assert_eq!(lane_of(&executor, &Arc::default(), call).await, "guest", "another instance's");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(lane_of(&executor, &pace, call).await, "guest");
    }
}
