//! The shell in real time: short intervals, and every wait has a deadline.

use super::*;
use crate::SystemClock;
use quarterdeck_model::Span;
use quarterdeck_model::clock::ManualClock;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Semaphore, mpsc};

struct Tell(mpsc::UnboundedSender<Timestamp>);

#[async_trait]
impl Job for Tell {
    async fn run(&self, planned: Timestamp) -> Result<(), String> {
        self.0.send(planned).map_err(|e| e.to_string())
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("in time")
}

fn start() -> (Handle, CancellationToken) {
    let shutdown = CancellationToken::new();
    (Scheduler::start(Arc::new(SystemClock), Options::default(), shutdown.clone()), shutdown)
}

#[tokio::test]
async fn a_job_runs_again_and_again_at_its_planned_times() {
    let (scheduler, shutdown) = start();
    let (tell, mut told) = mpsc::unbounded_channel();
    scheduler
        .set(JobSpec { at_start: false, ..JobSpec::every("a", Span::from_millis(20)) }, Arc::new(Tell(tell)))
        .unwrap();
    for _ in 0..5 {
        let planned = within(told.recv()).await.unwrap();
        assert_eq!(planned.as_millis() % 20, 0);
        assert!(planned <= SystemClock.now(), "never before its time");
    }
    shutdown.cancel();
    within(scheduler.drained()).await;
    assert_eq!(scheduler.run_now("a"), Err(Error::Stopped));
}

/// Counts what it started and ends when a permit is given.
struct Slow(Arc<Semaphore>, Arc<AtomicUsize>);

#[async_trait]
impl Job for Slow {
    async fn run(&self, _: Timestamp) -> Result<(), String> {
        let permit = self.0.acquire().await.map_err(|e| e.to_string())?;
        permit.forget();
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test]
async fn a_shutdown_waits_for_runs_in_flight_and_starts_no_other() {
    let (scheduler, shutdown) = start();
    let (gate, done) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    scheduler.set(JobSpec::every("a", Span::from_millis(10)), Arc::new(Slow(gate.clone(), done.clone()))).unwrap();
    within(async {
        while scheduler.get("a").is_none_or(|status| status.missed == 0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    shutdown.cancel();
    let drained = tokio::spawn({
        let scheduler = scheduler.clone();
        async move { scheduler.drained().await }
    });
    tokio::task::yield_now().await;
    assert!(!drained.is_finished());
    gate.add_permits(10);
    within(drained).await.unwrap();
    assert_eq!(done.load(Ordering::SeqCst), 1);
    assert_eq!(scheduler.depth(), Depth { jobs: 1, running: 0, queued: 0 });
}

struct Panics;

#[async_trait]
impl Job for Panics {
    async fn run(&self, _: Timestamp) -> Result<(), String> {
        panic!("a bug in a job")
    }
}

#[tokio::test]
async fn a_job_that_panics_fails_and_runs_again() {
    let (scheduler, _shutdown) = start();
    scheduler.set(JobSpec::every("a", Span::from_millis(10)), Arc::new(Panics)).unwrap();
    within(async {
        while scheduler.get("a").is_none_or(|status| status.failures < 2) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let status = scheduler.get("a").unwrap();
    assert!(status.last_error.unwrap().contains("panic"));
}

#[tokio::test]
async fn a_clock_that_is_set_forward_is_noticed_within_a_second() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let shutdown = CancellationToken::new();
    let scheduler = Scheduler::start(clock.clone(), Options::default(), shutdown.clone());
    let (tell, mut told) = mpsc::unbounded_channel();
    let hourly = JobSpec { at_start: false, ..JobSpec::every("a", Span::from_secs(3600)) };
    scheduler.set(hourly, Arc::new(Tell(tell))).unwrap();
    clock.advance(Span::from_secs(2_600));
    assert_eq!(within(told.recv()).await, Some(Timestamp::from_millis(3_600_000)));
    shutdown.cancel();
    within(scheduler.drained()).await;
}

#[tokio::test]
async fn timers_fall_due_in_order_and_can_be_moved_and_cancelled() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
    let shutdown = CancellationToken::new();
    let scheduler = Scheduler::start(clock.clone(), Options::default(), shutdown.clone());
    let (timers, mut queue) = scheduler.timers();
    for (id, at) in [("late", 9_000), ("gone", 2_000), ("moved", 1_500), ("past", 10), ("soon", 2_000)] {
        timers.set(id, Timestamp::from_millis(at));
    }
    timers.cancel("gone");
    timers.set("moved", Timestamp::from_millis(5_000));
    assert_eq!(within(queue.next()).await.as_deref(), Some("past"));
    clock.advance(Span::from_secs(5));
    assert_eq!(within(queue.next()).await.as_deref(), Some("soon"));
    assert_eq!(within(queue.next()).await.as_deref(), Some("moved"));
    assert_eq!(timers.len(), 1);
    let waiting = tokio::spawn(async move { queue.next().await });
    tokio::task::yield_now().await;
    timers.set("now", Timestamp::from_millis(1));
    assert_eq!(within(waiting).await.unwrap().as_deref(), Some("now"));
}

#[tokio::test]
async fn a_timer_queue_ends_with_the_shutdown() {
    let (scheduler, shutdown) = start();
    let (timers, mut queue) = scheduler.timers();
    timers.set("never", Timestamp::MAX);
    let waiting = tokio::spawn(async move { queue.next().await });
    shutdown.cancel();
    assert_eq!(within(waiting).await.unwrap(), None);
}
