//! Polls a call, and watches its time: wall time against the deadline, CPU time against what its lane allows.

use super::BoxCall;
use rustix::time::{ClockId, clock_gettime};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;

/// What a call has taken of the threads that polled it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    /// While it was polled, whoever had the processor meanwhile.
    pub(super) busy: Duration,
    /// What it computed of that, in the lanes: on a busy machine that is less.
    pub(super) ran: Duration,
}

pub(super) enum End<T> {
    Done {
        value: T,
        spent: Spent,
    },
    /// Over its deadline.
    Overtime {
        spent: Spent,
    },
    /// Over its deadline, and not polled in time: how long it would have computed is not known.
    Starved {
        spent: Spent,
    },
    /// Has used up the CPU time of its lane; goes on elsewhere.
    Long {
        call: BoxCall<T>,
        spent: Spent,
    },
}

pub(super) struct Slice<T> {
    call: Option<BoxCall<T>>,
    deadline: Instant,
    /// CPU time after which the call leaves the lane.
    allowance: Option<Duration>,
    spent: Spent,
    /// CPU time in this lane.
    cpu: Duration,
    /// Made when the call first waits: most never do.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<T> Slice<T> {
    /// `spent`: what the call has taken elsewhere.
    pub(super) fn new(call: BoxCall<T>, deadline: Instant, spent: Spent, allowance: Option<Duration>) -> Self {
        Slice { call: Some(call), deadline, allowance, spent, cpu: Duration::ZERO, alarm: None }
    }
}

fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

impl<T> Future for Slice<T> {
    type Output = End<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<End<T>> {
        let this = &mut *self;
        let Some(call) = this.call.as_mut() else { return Poll::Pending };
        let cpu_before = cpu_time();
        let before = Instant::now();
        let polled = call.as_mut().poll(context);
        let now = Instant::now();
        let cpu = cpu_time().saturating_sub(cpu_before);
        this.cpu += cpu;
        this.spent.busy += now - before;
        this.spent.ran += cpu;
        let spent = this.spent;
        if let Poll::Ready(value) = polled {
            // Its sandbox goes here, on the thread that has it in its cache.
            this.call = None;
            return Poll::Ready(End::Done { value, spent });
        }
        if now >= this.deadline {
            this.call = None;
            return Poll::Ready(End::Overtime { spent });
        }
        if this.allowance.is_some_and(|allowance| this.cpu > allowance)
            && let Some(call) = this.call.take()
        {
            return Poll::Ready(End::Long { call, spent });
        }
        let deadline = this.deadline;
        let alarm = this.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        if alarm.as_mut().poll(context).is_ready() {
            this.call = None;
            return Poll::Ready(End::Overtime { spent });
        }
        Poll::Pending
    }
}
