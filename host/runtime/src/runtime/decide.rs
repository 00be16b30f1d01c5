//! Notes decisions, and asks a candidate what another version was asked.

use super::Runtime;
use super::calls::{NOTHING, place};
use crate::call::{overdue, patience, sandboxed};
use crate::decisions::{Decided, Failed, LARGEST, Outcome, Question, Record};
use crate::executor::Pace;
use crate::instance::{Binding, Instance};
use crate::kinds::ask;
use crate::plugin::Version;
use crate::sandbox::Setting;
use quarterdeck_model::Timestamp;
use quarterdeck_model::plugin::{CallError, InstanceName, Limits};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A call that began: on what, with what, and how long it took.
pub(super) struct Ran<'a> {
    pub(super) instance: &'a Arc<Instance>,
    pub(super) binding: &'a Binding,
    pub(super) config: &'a str,
    pub(super) version: &'a Version,
    /// The time that it was handed.
    pub(super) now: Timestamp,
    pub(super) busy: Duration,
}

/// A version that is asked for comparison. What it says changes nothing.
pub(super) struct Candidate {
    pub(super) version: Arc<Version>,
    /// What its log lines go by.
    name: InstanceName,
    pace: Arc<Pace>,
}

impl Candidate {
    /// `role`: why it is asked.
    pub(super) fn new(version: Arc<Version>, role: &str) -> Self {
        let name = InstanceName(format!("{}/{role}", version.reference.name));
        Candidate { version, name, pace: Arc::default() }
    }
}

impl Runtime {
    /// Whether somebody wants to know what an instance decides.
    pub(super) fn is_watched(&self, binding: &Binding) -> bool {
        (self.journal.is_some() && binding.spec.journal.is_some()) || self.shadows.any()
    }

    pub(super) fn note<T: Outcome>(&self, ran: &Ran<'_>, question: &Question<'_>, result: Result<&T, &CallError>) {
        let journal = self.journal.as_ref().filter(|_| ran.binding.spec.journal.is_some());
        let shadow = self.shadows.of(&ran.version.reference.name);
        if journal.is_none() && shadow.is_none() {
            return;
        }
        let outcome = match result {
            Ok(value) => Ok(value.decided()),
            Err(error) => match Failed::of(error) {
                Some(failed) => Err(failed),
                None => return,
            },
        };
        let record = Record {
            now: ran.now,
            plugin: Cow::Borrowed(&ran.version.reference),
            config: Cow::Borrowed(ran.config),
            question: question.clone(),
            outcome,
            micros: u64::try_from(ran.busy.as_micros()).unwrap_or(u64::MAX),
        };
        let handed_over = record.encoded(|decision| {
            let fits = decision.len() <= LARGEST;
            if fits && let Some(shadow) = &shadow {
                shadow.offer(ran.instance, decision);
            }
            if fits && let Some(journal) = journal {
                journal.offer(ran.instance, decision);
            }
            fits
        });
        if handed_over != Some(true) {
            if journal.is_some() {
                ran.instance.journal.leave_out(1);
            }
            if let Some(shadow) = shadow {
                shadow.skip();
            }
        }
    }

    /// What the candidate answers, and how long it took. `None`: nobody could be asked.
    pub(super) async fn rehearse(
        &self,
        candidate: &Candidate,
        limits: Arc<Limits>,
        record: &Arc<Record<'static>>,
    ) -> Option<(Result<Decided, Failed>, Duration)> {
        if self.stopping.is_cancelled() {
            return None;
        }
        let sandbox = place(&self.sandboxes, Instant::now() + patience(&limits)).await?;
        let Candidate { version, name, pace } = candidate;
        let budget = limits.deadline;
        let deadline = Instant::now() + budget.as_duration();
        let setting = Setting {
            instance: name.clone(),
            plugin: version.reference.clone(),
            grants: Arc::clone(&NOTHING),
            limits,
            pure: true,
            now: record.now,
            budget,
            deadline,
            doors: Arc::clone(&self.doors),
            meter: None,
        };
        let (on, asked) = (Arc::clone(version), Arc::clone(record));
        let held = (sandbox, version.enter());
        let call = sandboxed(self.engine.clone(), setting, self.executor.running(), held, None, move |guest| {
            Box::pin(async move { ask(guest, &on, &asked.config, &asked.question).await })
        });
        let ended = self.executor.run(call, deadline, pace).await?;
        let now = match ended.value.unwrap_or_else(|| overdue(budget)).result {
            Ok(decided) => Ok(decided),
            Err(error) => Err(Failed::of(&error)?),
        };
        Some((now, ended.busy))
    }
}
