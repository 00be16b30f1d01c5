//! What lists, counts and the search need of all documents of a kind, kept in memory: however many there are, a page looks at them all, and
//! in milliseconds. Made when somebody asks first; from then on only what was written since is read.
//!
//! Not here: whole documents, but where a page needs most of them. What is shown of one is read from the store.

mod happened;

use crate::unreadable::{Told, Unreadable};
pub(crate) use happened::HAPPENED;
use happened::Happened;
use quarterdeck_model::domain::alert::Alert;
use quarterdeck_model::domain::deployment::{Deployment, DeploymentState};
use quarterdeck_model::domain::incident::{Incident, IncidentState};
use quarterdeck_model::domain::runbook::{Run, RunState};
use quarterdeck_model::domain::scan::{Finding, FindingState, Scan};
use quarterdeck_model::domain::slo::SloStatus;
use quarterdeck_model::store::{Document, Page, Store, StoreError};
use quarterdeck_model::{Severity, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is kept of a document.
pub(crate) trait Glance: Sized {
    const COLLECTION: &'static str;

    /// # Errors
    /// The document has another shape.
    fn of(document: &Document) -> Result<Self, StoreError>;
}

/// The glances at all documents of a kind, by id. One that can't be read is left out, and named by [`Kept::unreadable`].
pub(crate) struct Kept<T> {
    state: Mutex<State<T>>,
    told: Arc<Told>,
}

struct State<T> {
    /// What is known stands for the collection at this moment of it. `None`: it is to be read as a whole.
    now: Option<u64>,
    all: BTreeMap<String, T>,
    /// By id.
    broken: BTreeMap<String, Unreadable>,
}

impl<T: Glance> State<T> {
    fn forget(&mut self, id: &str) {
        self.all.remove(id);
        self.broken.remove(id);
    }

    fn take(&mut self, document: &Document, told: &Told) {
        self.forget(&document.id);
        match T::of(document) {
            Ok(glance) => drop(self.all.insert(document.id.clone(), glance)),
            Err(error) => {
                let one = Unreadable::new(T::COLLECTION, document, &error);
                told.log(&one);
                self.broken.insert(document.id.clone(), one);
            }
        }
    }
}

impl<T: Glance> Kept<T> {
    fn new(told: &Arc<Told>) -> Self {
        let state = State { now: None, all: BTreeMap::new(), broken: BTreeMap::new() };
        Kept { state: Mutex::new(state), told: Arc::clone(told) }
    }

    /// Looks at all of them as they are now. Others wait meanwhile: no disk is read in `look`.
    pub(crate) fn read<R>(
        &self,
        store: &dyn Store,
        look: impl FnOnce(&BTreeMap<String, T>) -> R,
    ) -> Result<R, StoreError> {
        let mut state = self.held();
        // What fails half-way is read as a whole the next time.
        let changed = store.changed(T::COLLECTION, state.now.take());
        match &changed.ids {
            Some(ids) => {
                for id in ids {
                    match store.get(T::COLLECTION, id)? {
                        Some(document) => state.take(&document, &self.told),
                        None => state.forget(id),
                    }
                }
            }
            None => {
                let documents = store.list(T::COLLECTION, &Page::all())?;
                (state.all, state.broken) = (BTreeMap::new(), BTreeMap::new());
                documents.iter().for_each(|document| state.take(document, &self.told));
            }
        }
        state.now = Some(changed.now);
        Ok(look(&state.all))
    }

    /// What could not be read when somebody looked last.
    pub(crate) fn unreadable(&self) -> Vec<Unreadable> {
        self.held().broken.values().cloned().collect()
    }

    fn held(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are of some kind.
    pub(crate) fn count(&self, store: &dyn Store, is_counted: impl Fn(&T) -> bool) -> Result<u64, StoreError> {
        self.read(store, |all| {
            u64::try_from(all.values().filter(|glance| is_counted(glance)).count()).unwrap_or(u64::MAX)
        })
    }
}

pub(crate) struct Glances {
    pub(crate) happened: Happened,
    pub(crate) alerts: Kept<AtAlert>,
    pub(crate) incidents: Kept<AtIncident>,
    pub(crate) deployments: Kept<AtDeployment>,
    pub(crate) runs: Kept<AtRun>,
    pub(crate) slos: Kept<SloStatus>,
    pub(crate) scans: Kept<AtScan>,
    pub(crate) findings: Kept<AtFinding>,
}

impl Glances {
    pub(crate) fn new(told: &Arc<Told>) -> Self {
        Glances {
            happened: Happened::default(),
            alerts: Kept::new(told),
            incidents: Kept::new(told),
            deployments: Kept::new(told),
            runs: Kept::new(told),
            slos: Kept::new(told),
            scans: Kept::new(told),
            findings: Kept::new(told),
        }
    }

    /// What could not be read of all of them when somebody looked last.
    pub(crate) fn unreadable(&self) -> Vec<Unreadable> {
        let all = [
            self.alerts.unreadable(),
            self.incidents.unreadable(),
            self.deployments.unreadable(),
            self.runs.unreadable(),
            self.slos.unreadable(),
            self.scans.unreadable(),
            self.findings.unreadable(),
        ];
        all.concat()
    }
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

pub(crate) struct AtScan {
    pub(crate) title: String,
    pub(crate) words: String,
}

impl Glance for AtScan {
    const COLLECTION: &'static str = Scan::COLLECTION;

    fn of(document: &Document) -> Result<Self, StoreError> {
        let scan: Scan = document.decode()?;
        let title = format!("{} {}", scan.name, scan.id);
        Ok(AtScan { words: words(&[&title]), title })
    }
}

pub(crate) struct AtFinding {
    pub(crate) is_open: bool,
    pub(crate) severity: Severity,
    pub(crate) title: String,
    pub(crate) subject: String,
    pub(crate) rule: String,
    /// Id of the scan that saw it last, and the name of the scan.
    pub(crate) scan: String,
    pub(crate) scan_name: String,
    pub(crate) first_seen: Timestamp,
    pub(crate) words: String,
}

impl Glance for AtFinding {
    const COLLECTION: &'static str = Finding::COLLECTION;

    fn of(document: &Document) -> Result<Self, StoreError> {
        let finding: Finding = document.decode()?;
        Ok(AtFinding {
            is_open: finding.state == FindingState::Open,
            severity: finding.severity,
            words: words(&[&finding.title, "in", &finding.subject, &finding.rule, &finding.message]),
            title: finding.title,
            subject: finding.subject,
            rule: finding.rule,
            scan: finding.scan.to_string(),
            scan_name: finding.scan_name,
            first_seen: finding.first_seen,
        })
    }
}
