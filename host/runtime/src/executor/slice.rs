//! Polls a call, and watches its time: wall time against the deadline, CPU time against what its lane allows.

use super::BoxCall;
use rustix::time::{ClockId, clock_gettime};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;

/// A poll that took longer makes the later ones worth a look at the CPU clock, which is a system call.
const SUSPICIOUS: Duration = Duration::from_micros(500);

pub(super) enum End<T> {
    Done {
        value: T,
        busy: Duration,
    },
    /// Over its deadline.
    Overtime {
        busy: Duration,
    },
    /// Has used up the CPU time of its lane; goes on elsewhere.
    Long {
        call: BoxCall<T>,
        busy: Duration,
    },
}

pub(super) struct Slice<T> {
    call: Option<BoxCall<T>>,
    deadline: Instant,
    /// CPU time after which the call leaves the lane.
    allowance: Option<Duration>,
    busy: Duration,
    cpu: Duration,
    suspicious: bool,
    /// Made when the call first waits: most never do.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<T> Slice<T> {
    /// `before`: the time that the call was polled for elsewhere.
    pub(super) fn new(call: BoxCall<T>, deadline: Instant, before: Duration, allowance: Option<Duration>) -> Self {
        Slice {
            call: Some(call),
            deadline,
            allowance,
            busy: before,
            cpu: Duration::ZERO,
            suspicious: false,
            alarm: None,
        }
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
        let cpu_before = this.suspicious.then(cpu_time);
        let before = Instant::now();
        let polled = call.as_mut().poll(context);
        let now = Instant::now();
        let took = now - before;
        this.busy += took;
        if let Poll::Ready(value) = polled {
            // Its sandbox goes here, on the thread that has it in its cache.
            this.call = None;
            return Poll::Ready(End::Done { value, busy: this.busy });
        }
        if now >= this.deadline {
            this.call = None;
            return Poll::Ready(End::Overtime { busy: this.busy });
        }
        if let Some(before) = cpu_before {
            this.cpu += cpu_time().saturating_sub(before);
        }
        this.suspicious |= took > SUSPICIOUS;
        if this.allowance.is_some_and(|allowance| this.cpu > allowance)
            && let Some(call) = this.call.take()
        {
            return Poll::Ready(End::Long { call, busy: this.busy });
        }
        let deadline = this.deadline;
        let alarm = this.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        if alarm.as_mut().poll(context).is_ready() {
            this.call = None;
            return Poll::Ready(End::Overtime { busy: this.busy });
        }
        Poll::Pending
    }
}
