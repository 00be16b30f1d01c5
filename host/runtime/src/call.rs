//! A call: a fresh sandbox on the guests' threads (or one that was kept), under its limits, and what became of it.

mod failure;
mod kept;

pub(crate) use failure::{Misfit, call_error, words};
pub(crate) use kept::{Keeping, Kept, MOST_CALLS};

use crate::engine::Running;
use crate::executor::{BoxCall, Executor};
use crate::imports::Doors;
use crate::instance::Report;
use crate::sandbox::{Counters, Overdue, Sandbox, Setting};
use futures::future::BoxFuture;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::event::Event;
use quarterdeck_model::plugin::{CallError, Grants, InstanceName, Limits, PluginRef};
use quarterdeck_model::transition::Write;
use quarterdeck_model::{Span, Timestamp};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Engine, Store, UpdateDeadline};

/// What describing a plugin or checking a configuration may take.
const GROUND_DEADLINE: Span = Span::from_secs(1);

/// The sandbox of one call, as the code of a kind sees it.
pub(crate) struct Guest {
    pub(crate) store: Store<Sandbox>,
    /// The component at work in it, once a call has asked for that.
    instance: Option<Instance>,
    /// Calls that it was there for.
    served: u32,
}

impl Guest {
    fn open(engine: &Engine, setting: Setting) -> Self {
        let mut store = Store::new(engine, Sandbox::new(setting));
        store.limiter(|sandbox| sandbox.memory());
        store.epoch_deadline_callback(|context| {
            if Instant::now() >= context.data().deadline {
                Err(wasmtime::Error::new(Overdue))
            } else {
                Ok(UpdateDeadline::Yield(1))
            }
        });
        Guest { store, instance: None, served: 0 }
    }

    /// The component of this sandbox, started unless an earlier call did. A sandbox is only ever asked for one.
    pub(crate) async fn instance(&mut self, component: &InstancePre<Sandbox>) -> wasmtime::Result<Instance> {
        if let Some(instance) = self.instance {
            return Ok(instance);
        }
        let instance = component.instantiate_async(&mut self.store).await?;
        self.instance = Some(instance);
        Ok(instance)
    }
}

/// A result, a failure in the plugin's words, or a trap.
pub(crate) type Reply<T> = wasmtime::Result<Result<T, CallError>>;

/// What a call gave, and what its sandbox has to say about it.
pub(crate) struct Output<T> {
    pub(crate) result: Result<T, CallError>,
    pub(crate) writes: Vec<Write>,
    pub(crate) events: Vec<Event>,
    pub(crate) report: Report,
}

/// Opens a sandbox, runs `body` in it, and closes it. The future is a whole call: dropping it ends the call.
///
/// `held` is what the call holds on to until its sandbox is gone: permits, counts. With `keeping`, the sandbox may be that of an
/// earlier call, and may be kept for a later one; not if the call trapped.
pub(crate) fn sandboxed<T, B, H>(
    engine: Engine,
    setting: Setting,
    running: Running,
    held: H,
    keeping: Option<Keeping>,
    body: B,
) -> BoxCall<Output<T>>
where
    T: Send + 'static,
    B: for<'a> FnOnce(&'a mut Guest) -> BoxFuture<'a, Reply<T>> + Send + 'static,
    H: Send + 'static,
{
    Box::pin(async move {
        let result_bytes = setting.limits.result_bytes.min(setting.limits.io_bytes);
        let result_bytes = usize::try_from(result_bytes).unwrap_or(usize::MAX);
        let mut guest = match keeping.as_ref().and_then(Keeping::take) {
            Some(mut guest) => {
                guest.store.data_mut().renew(setting);
                guest
            }
            None => Guest::open(&engine, setting),
        };
        guest.store.set_hostcall_fuel(result_bytes);
        guest.store.set_epoch_deadline(1);
        let outcome = body(&mut guest).await;
        let has_answered = outcome.is_ok();
        let sandbox = guest.store.data_mut();
        let (writes, events) = match &outcome {
            Ok(Ok(_)) => (sandbox.take_kv_writes(), std::mem::take(&mut sandbox.buffer.events)),
            _ => (Vec::new(), Vec::new()),
        };
        let result = match outcome {
            Ok(result) => result,
            Err(error) => Err(call_error(&error, sandbox)),
        };
        let report = sandbox.report();
        match keeping {
            Some(keeping) if has_answered => keeping.put(guest),
            _ => drop(guest),
        }
        drop((held, running));
        Output { result, writes, events, report }
    })
}

/// The output of a call that was dropped at its deadline.
pub(crate) fn overdue<T>(budget: Span) -> Output<T> {
    Output {
        result: Err(CallError::Deadline { budget }),
        writes: Vec::new(),
        events: Vec::new(),
        report: Report { counters: Counters::default(), memory_bytes: 0 },
    }
}

/// Where plugins are described and configurations checked: sandboxes without grants, apart from those of instances.
pub(crate) struct Ground {
    pub(crate) engine: Engine,
    pub(crate) executor: Arc<Executor>,
    pub(crate) doors: Arc<Doors>,
    pub(crate) clock: Arc<dyn Clock>,
    spare: tokio::sync::Semaphore,
}

impl Ground {
    pub(crate) fn new(engine: Engine, executor: Arc<Executor>, doors: Arc<Doors>, clock: Arc<dyn Clock>) -> Self {
        let spare = usize::try_from(crate::engine::SPARE_SANDBOXES / 2).unwrap_or(1);
        Ground { engine, executor, doors, clock, spare: tokio::sync::Semaphore::new(spare) }
    }

    pub(crate) async fn run<T, B>(&self, plugin: PluginRef, body: B) -> Result<T, CallError>
    where
        T: Send + 'static,
        B: for<'a> FnOnce(&'a mut Guest) -> BoxFuture<'a, Reply<T>> + Send + 'static,
    {
        let _permit = self.spare.acquire().await.map_err(|_| CallError::Cancelled)?;
        let now: Timestamp = self.clock.now();
        let deadline = Instant::now() + GROUND_DEADLINE.as_duration();
        let setting = Setting {
            instance: InstanceName(format!("{}/describe", plugin.name)),
            plugin,
            grants: Arc::new(Grants::default()),
            limits: Arc::new(Limits { deadline: GROUND_DEADLINE, ..Limits::default() }),
            pure: true,
            now,
            budget: GROUND_DEADLINE,
            deadline,
            doors: Arc::clone(&self.doors),
            meter: None,
        };
        let call = sandboxed(self.engine.clone(), setting, self.executor.running(), (), None, body);
        // Never known to be quick: what was not called yet runs on the guests' threads.
        let ended = self.executor.run(call, deadline, &Arc::default()).await.ok_or(CallError::Cancelled)?;
        ended.value.unwrap_or_else(|| overdue(GROUND_DEADLINE)).result
    }
}

/// How long a call waits for a place.
pub(crate) fn patience(limits: &Limits) -> Duration {
    limits.deadline.as_duration()
}

impl<T> Output<T> {
    /// The output of a call that the host could not carry out.
    pub(crate) fn failed(reason: &str) -> Self {
        // Not `Unavailable`: the call had begun, and what it did may have happened.
        let result = Err(CallError::Trapped { reason: reason.to_owned() });
        Output { result, writes: Vec::new(), events: Vec::new(), report: Report::default() }
    }
}
