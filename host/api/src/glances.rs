//! What lists, counts and the search need of all documents of a kind, kept in memory: however many there are, a page looks at them all, and
//! in milliseconds. Made when somebody asks first; from then on only what was written since is read.
//!
//! Not here: whole documents, but where a page needs most of them. What is shown of one is read from the store.

use quarterdeck_model::domain::alert::Alert;
use quarterdeck_model::domain::deployment::{Deployment, DeploymentState};
use quarterdeck_model::domain::incident::{Incident, IncidentState};
use quarterdeck_model::domain::runbook::{Run, RunState};
use quarterdeck_model::domain::scan::Finding;
use quarterdeck_model::domain::slo::SloStatus;
use quarterdeck_model::store::{Document, Page, Store, StoreError};
use quarterdeck_model::{Severity, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What is kept of a document.
pub(crate) trait Glance: Sized {
    const COLLECTION: &'static str;

    /// # Errors
    /// The document has another shape.
    fn of(document: &Document) -> Result<Self, StoreError>;
}

/// The glances at all documents of a kind, by id.
pub(crate) struct Kept<T>(Mutex<State<T>>);

struct State<T> {
    /// What is known stands for the collection at this moment of it. `None`: it is to be read as a whole.
    now: Option<u64>,
    all: BTreeMap<String, T>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept(Mutex::new(State { now: None, all: BTreeMap::new() }))
    }
}

impl<T: Glance> Kept<T> {
    /// Looks at all of them as they are now. Others wait meanwhile: no disk is read in `look`.
    pub(crate) fn read<R>(
        &self,
        store: &dyn Store,
        look: impl FnOnce(&BTreeMap<String, T>) -> R,
    ) -> Result<R, StoreError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What fails half-way is read as a whole the next time.
        let changed = store.changed(T::COLLECTION, state.now.take());
        match &changed.ids {
            Some(ids) => {
                for id in ids {
                    match store.get(T::COLLECTION, id)? {
                        Some(document) => drop(state.all.insert(id.to_string(), T::of(&document)?)),
                        None => drop(state.all.remove(&**id)),
                    }
                }
            }
            None => {
                let documents = store.list(T::COLLECTION, &Page::all())?;
                let all = documents.into_iter().map(|document| Ok((document.id.clone(), T::of(&document)?)));
                state.all = all.collect::<Result<_, StoreError>>()?;
            }
        }
        state.now = Some(changed.now);
        Ok(look(&state.all))
    }

    /// How many there are of some kind.
    pub(crate) fn count(&self, store: &dyn Store, is_counted: impl Fn(&T) -> bool) -> Result<u64, StoreError> {
        self.read(store, |all| {
            u64::try_from(all.values().filter(|glance| is_counted(glance)).count()).unwrap_or(u64::MAX)
        })
    }
}

#[derive(Default)]
pub(crate) struct Glances {
    pub(crate) alerts: Kept<AtAlert>,
    pub(crate) incidents: Kept<AtIncident>,
    pub(crate) deployments: Kept<AtDeployment>,
    pub(crate) runs: Kept<AtRun>,
    pub(crate) slos: Kept<SloStatus>,
    pub(crate) findings: Kept<AtFinding>,
}

/// What something is found by: all of it in small letters, one text behind the other.
fn words(texts: &[&str]) -> String {
    texts.iter().map(|text| text.to_lowercase()).collect::<Vec<_>>().join("\n")
}

pub(crate) struct AtAlert {
    pub(crate) alert: Arc<Alert>,
    pub(crate) words: String,
}

impl Glance for AtAlert {
    const COLLECTION: &'static str = Alert::COLLECTION;

    fn of(document: &Document) -> Result<Self, StoreError> {
        let alert: Alert = document.decode()?;
        let labels = alert.labels.to_string();
        let name = alert.labels.get("alertname").unwrap_or_default();
        let words = words(&[name, &alert.rule, &alert.summary, &labels, &alert.fingerprint]);
        Ok(AtAlert { alert: Arc::new(alert), words })
    }
}

pub(crate) struct AtIncident {
    pub(crate) is_open: bool,
    pub(crate) opened_at: Timestamp,
    pub(crate) severity: Severity,
    pub(crate) title: String,
    pub(crate) words: String,
}

impl Glance for AtIncident {
    const COLLECTION: &'static str = Incident::COLLECTION;

    fn of(document: &Document) -> Result<Self, StoreError> {
        let incident: Incident = document.decode()?;
        Ok(AtIncident {
            is_open: incident.state != IncidentState::Resolved,
            opened_at: incident.opened_at,
            severity: incident.severity,
            words: words(&[&incident.title, incident.id.as_str(), &incident.key]),
            title: incident.title,
        })
    }
}

pub(crate) struct AtDeployment {
    pub(crate) is_in_flight: bool,
    pub(crate) service: String,
    pub(crate) started_at: Timestamp,
    pub(crate) title: String,
    pub(crate) words: String,
}

impl Glance for AtDeployment {
    const COLLECTION: &'static str = Deployment::COLLECTION;

    fn of(document: &Document) -> Result<Self, StoreError> {
        let deployment: Deployment = document.decode()?;
        let title = format!("{} {}", deployment.service, deployment.candidate);
        Ok(AtDeployment {
            is_in_flight: !DeploymentState::is_final(deployment.state),
            words: words(&[&title, deployment.id.as_str()]),
            service: deployment.service,
            started_at: deployment.started_at,
            title,
        })
    }
}

pub(crate) struct AtRun {
    pub(crate) is_running: bool,
    /// What it was started for.
    pub(crate) cause: Option<String>,
    pub(crate) title: String,
    pub(crate) words: String,
}

impl Glance for AtRun {
    const COLLECTION: &'static str = Run::COLLECTION;

    fn of(document: &Document) -> Result<Self, StoreError> {
        let run: Run = document.decode()?;
        let for_it = run.cause.as_deref().unwrap_or_default();
        Ok(AtRun {
            is_running: run.state == RunState::Running,
            words: words(&[&run.spec.title, run.id.as_str(), &run.runbook, for_it]),
            cause: run.cause,
            title: run.spec.title,
        })
    }
}

impl Glance for SloStatus {
    const COLLECTION: &'static str = SloStatus::COLLECTION;

    fn of(document: &Document) -> Result<Self, StoreError> {
        document.decode()
    }
}

pub(crate) struct AtFinding {
    pub(crate) is_open: bool,
    /// `None`: it names none that is known.
    pub(crate) severity: Option<Severity>,
    pub(crate) title: String,
    pub(crate) subject: String,
    pub(crate) rule: String,
    /// Id of the scan that saw it last, and the name of the scan.
    pub(crate) scan: String,
    pub(crate) scan_name: String,
    pub(crate) first_seen: Option<Timestamp>,
    pub(crate) words: String,
}

impl Glance for AtFinding {
    const COLLECTION: &'static str = Finding::COLLECTION;

    /// One that can't be read does not hide the others: it has no more than what is there.
    fn of(document: &Document) -> Result<Self, StoreError> {
        let field = |name| document.value.get(name).and_then(Value::as_str).unwrap_or_default();
        Ok(AtFinding {
            is_open: field("state") == "open",
            severity: Severity::ALL.into_iter().find(|severity| severity.as_str() == field("severity")),
            title: field("title").to_owned(),
            subject: field("subject").to_owned(),
            rule: field("rule").to_owned(),
            scan: field("scan").to_owned(),
            scan_name: field("scan_name").to_owned(),
            first_seen: Timestamp::parse(field("first_seen")),
            words: words(&[field("title"), "in", field("subject"), field("rule"), field("message")]),
        })
    }
}
