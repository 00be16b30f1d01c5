//! A quick call on its caller's thread: from its beginning to its end, unless it computes for long. What it waits for in between - an answer
//! from elsewhere - wakes its caller's task, and no thread of the guests.

use super::BoxCall;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::time::Sleep;

/// A call that was polled for longer, all together, goes on elsewhere.
const LONG: Duration = Duration::from_millis(1);

thread_local! {
    static TICKED: Cell<bool> = const { Cell::new(false) };
}

/// The epoch has moved while a guest computed on this thread, which gives way.
pub(crate) fn ticked() {
    TICKED.set(true);
}

/// How a call ended here.
pub(super) enum End<T> {
    Done(T),
    /// Over its deadline.
    Overtime,
    /// It goes on elsewhere.
    Computes,
    /// The host's own code did.
    Panicked,
}

#[derive(Default)]
pub(super) struct Inline {
    /// While it was polled.
    pub(super) busy: Duration,
    first: Duration,
    /// The longest that it was polled at a time, once it had waited.
    longest: Duration,
    has_waited: bool,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Inline {
    pub(super) async fn run<T>(&mut self, call: &mut BoxCall<T>, deadline: Instant) -> End<T> {
        std::future::poll_fn(|context| {
            TICKED.set(false);
            let before = Instant::now();
            let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context)));
            self.took(before.elapsed());
            match polled {
                Err(_) => Poll::Ready(End::Panicked),
                Ok(Poll::Ready(value)) => Poll::Ready(End::Done(value)),
                Ok(Poll::Pending) if TICKED.get() || self.busy > LONG => Poll::Ready(End::Computes),
                Ok(Poll::Pending) => {
                    self.has_waited = true;
                    let alarm = || Box::pin(tokio::time::sleep_until(deadline.into()));
                    self.alarm.get_or_insert_with(alarm).as_mut().poll(context).map(|()| End::Overtime)
                }
            }
        })
        .await
    }

    fn took(&mut self, took: Duration) {
        self.busy += took;
        if self.has_waited {
            self.longest = self.longest.max(took);
        } else {
            self.first = took;
        }
    }

    /// What counts of it: of a call that waits, what comes behind the wait.
    pub(super) fn counted(&self) -> Duration {
        if self.has_waited { self.longest } else { self.first }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Executor, Pace};
    use super::*;
    use std::sync::Arc;
    use tokio::sync::oneshot;

    const SOON: Duration = Duration::from_secs(20);

    fn thread() -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }

    fn executor() -> Executor {
        Executor::start(2, true, crate::engine::compiler().unwrap()).unwrap()
    }

    /// The pace of an instance whose calls were all quick.
    async fn quick(executor: &Executor) -> Arc<Pace> {
        let pace = Arc::default();
        for _ in 0..20 {
            executor.run(Box::pin(async {}), Instant::now() + SOON, &pace).await.unwrap();
        }
        pace
    }

    #[tokio::test]
    async fn a_quick_call_that_waits_for_the_world_ends_where_it_began() {
        let executor = executor();
        let pace = quick(&executor).await;
        for _ in 0..40 {
            let (tell, told) = oneshot::channel();
            let call = Box::pin(async move {
                let before = thread();
                told.await.unwrap();
                (before, thread())
            });
            let telling = tokio::spawn(async move { tell.send(()) });
            let ended = executor.run(call, Instant::now() + SOON, &pace).await.unwrap();
            telling.await.unwrap().unwrap();
            assert_eq!(ended.value.unwrap(), (thread(), thread()));
        }
    }

    #[tokio::test]
    async fn one_that_computes_at_a_tick_goes_on_in_the_fast_lane() {
        let executor = executor();
        let pace = quick(&executor).await;
        let call = Box::pin(async move {
            ticked();
            tokio::task::yield_now().await;
            thread()
        });
        let ended = executor.run(call, Instant::now() + SOON, &pace).await.unwrap();
        assert_eq!(ended.value.as_deref(), Some("guest"));
    }

    #[tokio::test]
    async fn one_that_waits_beyond_its_deadline_is_dropped() {
        let executor = executor();
        let pace = quick(&executor).await;
        let call = Box::pin(std::future::pending::<()>());
        let ended = executor.run(call, Instant::now() + Duration::from_millis(20), &pace).await.unwrap();
        assert_eq!(ended.value, None);
    }
}
