//! From an engine's question to a plugin's answer: find the instance, ask its circuit, wait for a place, run, count.

use super::announce::INSTANCE_OVER_BUDGET;
use super::decide::Ran;
use super::{Order, Runtime};
use crate::call::{Guest, Keeping, Output, Reply, overdue, patience, sandboxed};
use crate::decisions::{Outcome, Question};
use crate::executor::Ended;
use crate::instance::{Admitted, Binding, Instance, over_budget, window_end};
use crate::plugin::{Use, Verdict, Version};
use crate::sandbox::Setting;
use futures::future::BoxFuture;
use quarterdeck_model::plugin::{
    ActResult, Budget, CallError, CallFailed, CallResult, Called, Grants, InstanceName, InstanceState, Kind,
};
use quarterdeck_model::{Span, Timestamp};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// What calls that decide are granted.
pub(super) static NOTHING: LazyLock<Arc<Grants>> = LazyLock::new(Arc::default);

/// A question to an instance.
pub(crate) struct Request<'a> {
    kind: Kind,
    instance: &'a InstanceName,
    now: Option<Timestamp>,
    overlay: Option<&'a Map<String, Value>>,
    bytes: usize,
    within: Span,
    /// Of a kind that decides.
    question: Option<&'a Question<'a>>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(kind: Kind, instance: &'a InstanceName) -> Self {
        Request { kind, instance, now: None, overlay: None, bytes: 0, within: Span::ZERO, question: None }
    }

    /// The time that is handed in. Without one the clock is asked.
    pub(crate) fn at(mut self, now: Timestamp) -> Self {
        self.now = Some(now);
        self
    }

    /// Configuration that is laid over the instance's, key by key.
    pub(crate) fn over(mut self, overlay: &'a Map<String, Value>) -> Self {
        self.overlay = (!overlay.is_empty()).then_some(overlay);
        self
    }

    /// About how many bytes the input has, where that may be many.
    pub(crate) fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// The class of its input. Rules and objectives tell themselves apart by their configuration.
    pub(super) fn class(&self) -> Option<String> {
        let class = self.question?.class()?;
        match self.overlay.and_then(|overlay| serde_json::to_vec(overlay).ok()) {
            None => Some(class),
            Some(overlay) => {
                let hash: String = Sha256::digest(&overlay).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
                Some(format!("{class} #{hash}"))
            }
        }
    }

    pub(super) fn question(&self) -> Option<&Question<'a>> {
        self.question
    }

    /// A call about several things at once tells nothing about any of them: whoever asks asks again, about parts.
    fn is_about_several(&self) -> bool {
        self.question.is_some_and(|question| question.parts().next().is_some())
    }

    fn input(&self) -> Option<String> {
        self.question.and_then(Question::digest)
    }

    /// The call may take so long, if that is more than what its instance is given.
    pub(crate) fn within(mut self, within: Span) -> Self {
        self.within = within;
        self
    }
}

impl Runtime {
    pub(crate) async fn call<T, B>(&self, request: Request<'_>, body: B) -> CallResult<T>
    where
        T: Send + 'static,
        B: for<'a> FnOnce(&'a mut Guest, Arc<Version>, Arc<str>) -> BoxFuture<'a, Reply<T>> + Send + 'static,
    {
        self.act(request, body).await
    }

    /// A call of a kind that decides: it is noted in the journal, and offered to a candidate, where that is wanted.
    pub(crate) async fn decide<T, B>(&self, request: Request<'_>, question: Question<'_>, body: B) -> CallResult<T>
    where
        T: Outcome + Send + 'static,
        B: for<'a> FnOnce(&'a mut Guest, Arc<Version>, Arc<str>) -> BoxFuture<'a, Reply<T>> + Send + 'static,
    {
        let request = Request { question: Some(&question), ..request };
        let note = |ran: Ran<'_>, result: Result<&T, &CallError>| self.note(&ran, &question, result);
        self.carry_out(request, body, Some(note)).await
    }

    /// A call of a kind that acts.
    pub(crate) async fn act<T, B>(&self, request: Request<'_>, body: B) -> ActResult<T>
    where
        T: Send + 'static,
        B: for<'a> FnOnce(&'a mut Guest, Arc<Version>, Arc<str>) -> BoxFuture<'a, Reply<T>> + Send + 'static,
    {
        self.carry_out(request, body, None::<fn(Ran<'_>, Result<&T, &CallError>)>).await
    }

    /// A failure says which version it is of. `note`: is told of a call that began, if somebody wants to know.
    async fn carry_out<T, B, N>(&self, request: Request<'_>, body: B, note: Option<N>) -> ActResult<T>
    where
        T: Send + 'static,
        B: for<'a> FnOnce(&'a mut Guest, Arc<Version>, Arc<str>) -> BoxFuture<'a, Reply<T>> + Send + 'static,
        N: FnOnce(Ran<'_>, Result<&T, &CallError>) + Send,
    {
        if self.stopping.is_cancelled() {
            return Err(CallError::Cancelled.into());
        }
        let instance = self.named(request.instance)?;
        let (binding, used) = instance.enter();
        let result = match usable(&instance, &binding, used, request.kind) {
            // Held from here on, it is the version of this call whatever is loaded meanwhile.
            Ok(used) => {
                let version = Arc::clone(used.version());
                let result = self.attempt(&instance, &binding, used, request, body, note).await;
                result.map_err(|error| {
                    let began = !matches!(error, CallError::Unavailable { .. });
                    CallFailed { error, plugin: began.then(|| version.reference.clone()) }
                })
            }
            Err(error) => Err(error.into()),
        };
        if let Err(failed) = &result {
            instance.meter.count_failure(&failed.error);
            self.calls_failed.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    async fn attempt<T, B, N>(
        &self,
        instance: &Arc<Instance>,
        binding: &Arc<Binding>,
        used: Use,
        request: Request<'_>,
        body: B,
        note: Option<N>,
    ) -> Result<Called<T>, CallError>
    where
        T: Send + 'static,
        B: for<'a> FnOnce(&'a mut Guest, Arc<Version>, Arc<str>) -> BoxFuture<'a, Reply<T>> + Send + 'static,
        N: FnOnce(Ran<'_>, Result<&T, &CallError>) + Send,
    {
        if u64::try_from(request.bytes).is_ok_and(|bytes| bytes > binding.limits.io_bytes) {
            let limit = binding.limits.io_bytes;
            let message = format!("the input has more than {limit} bytes; hint: raise `limits.io-bytes`");
            return Err(CallError::Limited { message });
        }
        let now = self.clock.now();
        if let Some(budget) = &binding.limits.budget {
            self.afford(instance, &used, budget, now)?;
        }
        let unavailable = |message: String| CallError::Unavailable { message };
        if let Some(question) = request.question()
            && let Some(reason) = question.parts().find_map(|part| {
                let class = part.class()?;
                instance.breakers.refuses(&class, || part.digest(), now)
            })
        {
            return Err(unavailable(format!("part of the input is not offered: {reason}")));
        }
        let admitted = instance.breakers.admit(|| request.class(), || request.input(), now).map_err(unavailable)?;
        let mut attempt = Attempt { runtime: self, instance, admitted, over: false };
        instance.meter.begin();

        let places = self.places(binding, request.kind).await?;
        let version = Arc::clone(used.version());
        let overlaid = request.overlay.map(|overlay| overlaid(&binding.spec.config, overlay)).transpose()?;
        let config = overlaid.as_ref().unwrap_or(&binding.config);
        let started = Instant::now();
        let budget = binding.limits.deadline.max(request.within);
        let deadline = started + budget.as_duration();
        let pure = request.kind.is_pure();
        let setting = Setting {
            instance: instance.name.clone(),
            plugin: version.reference.clone(),
            grants: if pure { Arc::clone(&NOTHING) } else { Arc::clone(&binding.grants) },
            limits: Arc::clone(&binding.limits),
            pure,
            now: request.now.unwrap_or(now),
            budget,
            deadline,
            doors: Arc::clone(&self.doors),
            meter: Some(Arc::clone(&instance.meter)),
        };
        let reference = version.reference.clone();
        let on = Arc::clone(&version);
        let given = Arc::clone(config);
        let keeping = (!pure && version.calls_of_a_sandbox > 1).then(|| Keeping {
            kept: Arc::clone(&binding.kept),
            calls: version.calls_of_a_sandbox,
            places: Arc::clone(&self.kept_places),
        });
        let held = (places, used);
        let call = sandboxed(self.engine.clone(), setting, self.executor.running(), held, keeping, move |guest| {
            body(guest, on, given)
        });
        let (busy, output) = match self.executor.run(call, deadline, &instance.pace).await {
            Some(Ended { value, busy }) => (busy, value.unwrap_or_else(|| overdue(budget))),
            None if self.stopping.is_cancelled() => return Err(CallError::Cancelled),
            None => (Duration::ZERO, Output::failed("the host's own code failed during the call")),
        };
        let per = binding.limits.budget.as_ref().map_or(Budget::PER, |budget| budget.per);
        instance.meter.count(busy, started.elapsed(), &output.report, self.clock.now(), per);
        self.calls_made.fetch_add(1, Ordering::Relaxed);
        attempt.finish(&version, output.result.as_ref().err(), &request);
        let Output { result, writes, events, .. } = output;
        if let Some(note) = note.filter(|_| self.is_watched(binding)) {
            let now = request.now.unwrap_or(now);
            note(Ran { instance, binding, config, version: &version, now, busy }, result.as_ref());
        }
        Ok(Called { value: result?, plugin: reference, writes, events })
    }

    /// The log is told once in each window.
    fn afford(&self, instance: &Instance, used: &Use, budget: &Budget, now: Timestamp) -> Result<(), CallError> {
        let window = instance.meter.window(now, budget.per);
        let Some(what) = budget.used_up(&window) else { return Ok(()) };
        let until = window_end(now, budget.per);
        if instance.meter.is_first_refusal() {
            let data = json!({"budget": budget, "used": window, "used-up": what, "until": until});
            let plugin = Some(used.version().reference.clone());
            self.announcer.say(INSTANCE_OVER_BUDGET, instance.name.as_str(), plugin, data);
        }
        Err(CallError::Unavailable { message: over_budget(&what, budget.per, until) })
    }

    fn named(&self, name: &InstanceName) -> Result<Arc<Instance>, CallError> {
        let instances = self.instances.read().unwrap_or_else(PoisonError::into_inner);
        instances.get(name).cloned().ok_or_else(|| CallError::Unavailable {
            message: format!("there is no instance `{name}`; hint: add it to the configuration"),
        })
    }

    /// A place among the instance's calls, and a sandbox. Full is back-pressure, not an error, until patience ends.
    async fn places(&self, binding: &Binding, kind: Kind) -> Result<[OwnedSemaphorePermit; 2], CallError> {
        let until = Instant::now() + patience(&binding.limits);
        let own = place(&binding.permits, until).await.ok_or_else(|| CallError::Unavailable {
            message: format!(
                "all {} calls at once are taken; hint: raise `limits.concurrency`",
                binding.limits.concurrency
            ),
        })?;
        if kind == Kind::Notifier
            && self.sandboxes.available_permits() == 0
            && let Ok(kept_back) = Arc::clone(&self.reserve).try_acquire_owned()
        {
            return Ok([own, kept_back]);
        }
        let sandbox = place(&self.sandboxes, until)
            .await
            .ok_or_else(|| CallError::Unavailable { message: "every sandbox is taken".to_owned() })?;
        Ok([own, sandbox])
    }
}

pub(super) async fn place(places: &Arc<Semaphore>, until: Instant) -> Option<OwnedSemaphorePermit> {
    match Arc::clone(places).try_acquire_owned() {
        Ok(permit) => Some(permit),
        Err(TryAcquireError::Closed) => None,
        Err(TryAcquireError::NoPermits) => {
            tokio::time::timeout_at(until.into(), Arc::clone(places).acquire_owned()).await.ok()?.ok()
        }
    }
}

fn usable(instance: &Instance, binding: &Binding, used: Option<Use>, kind: Kind) -> Result<Use, CallError> {
    let unavailable = |message: String| CallError::Unavailable { message };
    match (binding.state, used) {
        (InstanceState::Active, Some(used)) if used.version().kinds.contains(&kind) => Ok(used),
        (InstanceState::Active, Some(used)) => Err(unavailable(format!(
            "`{}` is no {kind}: its plugin is `{}`",
            instance.name,
            used.version().reference.name
        ))),
        (state, _) => {
            let state = serde_json::to_value(state).ok();
            let state = state.as_ref().and_then(Value::as_str).unwrap_or("unavailable");
            let reason = binding.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            Err(unavailable(format!("`{}` is {state}{reason}", instance.name)))
        }
    }
}

fn overlaid(config: &Map<String, Value>, overlay: &Map<String, Value>) -> Result<Arc<str>, CallError> {
    let mut merged = config.clone();
    merged.extend(overlay.iter().map(|(key, value)| (key.clone(), value.clone())));
    serde_json::to_string(&merged).map(Arc::from).map_err(|error| CallError::Rejected {
        message: format!("the configuration can't be written as JSON: {error}"),
    })
}

/// A call that was admitted. Dropped before its end, it was cancelled.
struct Attempt<'a> {
    runtime: &'a Runtime,
    instance: &'a Arc<Instance>,
    admitted: Admitted,
    over: bool,
}

impl Attempt<'_> {
    fn finish(&mut self, version: &Arc<Version>, error: Option<&CallError>, request: &Request<'_>) {
        let (runtime, instance) = (self.runtime, self.instance);
        let misbehaviour = error.filter(|error| error.is_misbehaviour());
        if misbehaviour.is_some() {
            instance.pace.misbehaved();
        }
        if misbehaviour.is_none() || !request.is_about_several() {
            self.over = true;
            let words = misbehaviour.map(ToString::to_string);
            let (class, input, now) = (|| request.class(), || request.input(), runtime.clock.now());
            for news in instance.breakers.record(&self.admitted, class, input, words, now) {
                runtime.tell(instance, version, request, news);
            }
        }
        let order = match version.probation.record(misbehaviour.is_some(), runtime.probation_calls) {
            Verdict::Undecided => return,
            Verdict::Passed => Order::Trust(Arc::clone(version)),
            Verdict::Failed { failures, calls } => {
                let last = misbehaviour.map(ToString::to_string).unwrap_or_default();
                let reason = format!("{failures} of its first {calls} calls misbehaved, last: {last}");
                Order::RollBack(Arc::clone(version), reason)
            }
        };
        // The janitor goes only with the runtime.
        let _ = runtime.orders.send(order);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.instance.meter.end();
        if !self.over {
            self.instance.breakers.abandon(&self.admitted, self.runtime.clock.now());
        }
    }
}
