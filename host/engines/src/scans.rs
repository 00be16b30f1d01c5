//! Scans: rules look at files and pages; what they find is opened, seen again, and fixed.
//!
//! - `walk`: files; `examine`: what the rules say; `findings`: what that makes of the findings that are known, `score`: of pages; pure
//!
//! One scan of a name at a time. A scan is begun by its schedule or by a person, and has a document from its beginning on; one that
//! was running when the host ended is ended as failed at the next start.

mod examine;
mod findings;
mod score;
mod walk;

use crate::results::patiently;
use crate::{Context, Error, Tasks, to_value, write};
use async_trait::async_trait;
use examine::Examined;
use findings::{News, Update};
use quarterdeck_model::domain::job::{JobSpec, Missed, Schedule};
use quarterdeck_model::domain::scan::{Finding, FindingState, Scan, ScanSpec, ScanState};
use quarterdeck_model::event::Event;
use quarterdeck_model::id::ScanId;
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Json, Timestamp};
use quarterdeck_scheduler::Job;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinSet};
use tracing::{error, warn};

/// Told when a scan begins.
pub const STARTED: &str = "scan.started";

/// Findings that are looked at in one go when the configuration changes.
const RETIRE_AT_ONCE: usize = 1000;
/// Findings in one record, and about as many bytes.
const RECORD_FINDINGS: usize = 100;
const RECORD_BYTES: usize = 256 << 10;

#[derive(Clone)]
pub struct Handle(mpsc::Sender<Begin>);

/// A scan is wanted.
struct Begin {
    name: String,
    principal: String,
    begun: oneshot::Sender<Result<Scan, Error>>,
    /// Told how it ended; dropped if it did not begin.
    ended: Option<oneshot::Sender<Result<(), String>>>,
}

pub(crate) async fn start(context: &Context, tasks: &mut Tasks) -> Result<Handle, Error> {
    let (sender, receiver) = mpsc::channel(16);
    let handle = Handle(sender);
    let last = interrupted(context).await?;
    let runner = Runner { context: context.clone(), running: HashMap::new(), scans: JoinSet::new() };
    tasks.spawn("scans", runner.run(receiver));
    let jobs = Jobs { context: context.clone(), handle: handle.clone(), set: BTreeMap::new(), last };
    tasks.spawn("scans: schedule", jobs.run());
    Ok(handle)
}

impl Handle {
    /// Begins a scan, and gives its document as it is then. How it ends is told by the event `scan.finished`.
    ///
    /// # Errors
    /// There is no scan of that name, or one is running already.
    pub async fn start(&self, name: &str, principal: &str) -> Result<Scan, Error> {
        self.begin(name, principal, None).await
    }

    async fn begin(
        &self,
        name: &str,
        principal: &str,
        ended: Option<oneshot::Sender<Result<(), String>>>,
    ) -> Result<Scan, Error> {
        let (begun, answer) = oneshot::channel();
        let begin = Begin { name: name.to_owned(), principal: principal.to_owned(), begun, ended };
        self.0.send(begin).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

/// Ends what a crash has interrupted, and gives the time of the last scan of each name.
async fn interrupted(context: &Context) -> Result<HashMap<String, Timestamp>, Error> {
    let mut last = HashMap::new();
    for document in context.store.list(Scan::COLLECTION, &Page::all())? {
        let mut scan: Scan = match document.decode() {
            Ok(scan) => scan,
            Err(error) => {
                error!(scan = document.id, %error, "a scan can't be read and is left alone");
                continue;
            }
        };
        last.insert(scan.name.clone(), scan.started_at);
        if scan.state != ScanState::Running {
            continue;
        }
        scan.state = ScanState::Failed;
        scan.finished_at = Some(context.now());
        scan.errors.push("interrupted".to_owned());
        let expected = Expected::Revision(document.revision);
        let transition = Transition::new()
            .put(Scan::COLLECTION, scan.id.as_str(), expected, to_value(&scan)?)
            .event(finished(context, &scan));
        // A full disk must not keep the host from starting: it will be ended at a later start.
        match context.commit(transition).await {
            Err(failure @ StoreError::DiskFull { .. }) => warn!(scan = %scan.id, error = %failure, "can't be ended"),
            other => drop(other?),
        }
    }
    Ok(last)
}

fn finished(context: &Context, scan: &Scan) -> Event {
    let data = json!({
        "name": scan.name,
        "state": scan.state,
        "files": scan.files,
        "urls": scan.urls,
        "skipped": scan.skipped,
        "findings": scan.findings,
        "new_findings": scan.new_findings,
        "fixed_findings": scan.fixed_findings,
        "not_looked_at": scan.not_looked_at,
        "pages": scan.pages,
        "errors": scan.errors.len(),
        "failed_rules": scan.failed_rules,
    });
    context.event(Scan::FINISHED, scan.id.as_str()).data(data).principal(&scan.principal)
}

/// Owns the scans under way.
struct Runner {
    context: Context,
    running: HashMap<Id, Running>,
    scans: JoinSet<Result<Scan, Error>>,
}

struct Running {
    scan: Scan,
    ended: Option<oneshot::Sender<Result<(), String>>>,
}

impl Runner {
    async fn run(mut self, mut wanted: mpsc::Receiver<Begin>) {
        loop {
            tokio::select! {
                // Dropping the set ends what is under way; the next start says so in its documents.
                () = self.context.shutdown.cancelled() => return,
                begin = wanted.recv() => match begin {
                    Some(begin) => {
                        if let Err(error) = self.settle(&begin.name).await {
                            return error!(%error, "can't go on");
                        }
                        self.begin(begin).await;
                    }
                    None => return self.context.shutdown.cancelled().await,
                },
                Some(ended) = self.scans.join_next_with_id() => {
                    if let Err(error) = self.ended(ended).await {
                        return error!(%error, "can't go on");
                    }
                }
            }
        }
    }

    /// Whoever was told that a scan has ended may begin the next one, even if its task is not quite gone.
    async fn settle(&mut self, name: &str) -> Result<(), Error> {
        while let Some(running) = self.running.values().find(|running| running.scan.name == name) {
            let scan: Option<Scan> = self.context.read(Scan::COLLECTION, running.scan.id.as_str())?;
            if scan.is_none_or(|scan| scan.state == ScanState::Running) {
                return Ok(());
            }
            let Some(ended) = self.scans.join_next_with_id().await else { return Ok(()) };
            self.ended(ended).await?;
        }
        Ok(())
    }

    async fn begin(&mut self, begin: Begin) {
        let Begin { name, principal, begun, ended } = begin;
        let answer = self.open(&name, &principal).await;
        let answer = answer.map(|(scan, spec)| {
            let task = self.scans.spawn(scan_it(self.context.clone(), scan.clone(), spec));
            self.running.insert(task.id(), Running { scan: scan.clone(), ended });
            scan
        });
        // Nobody may be waiting.
        let _ = begun.send(answer);
    }

    async fn open(&self, name: &str, principal: &str) -> Result<(Scan, ScanSpec), Error> {
        let catalog = self.context.catalog();
        let spec = catalog
            .scans
            .get(name)
            .ok_or_else(|| Error::unknown("scan", name, catalog.scans.keys().map(String::as_str)))?;
        if let Some(running) = self.running.values().find(|running| running.scan.name == name) {
            return Err(Error::conflict(format!("scan `{}` of `{name}` is running already", running.scan.id)));
        }
        let now = self.context.now();
        let scan = Scan {
            id: ScanId::new(&self.context.ids, now),
            name: name.to_owned(),
            state: ScanState::Running,
            principal: principal.to_owned(),
            started_at: now,
            finished_at: None,
            files: 0,
            urls: 0,
            skipped: 0,
            skipped_because: BTreeMap::new(),
            findings: BTreeMap::new(),
            new_findings: 0,
            fixed_findings: 0,
            not_looked_at: 0,
            rules: Vec::new(),
            pages: Vec::new(),
            errors: Vec::new(),
            failed_rules: Vec::new(),
        };
        let started = self.context.event(STARTED, scan.id.as_str()).data(json!({"name": name})).principal(principal);
        let transition = Transition::new()
            .put(Scan::COLLECTION, scan.id.as_str(), Expected::Absent, to_value(&scan)?)
            .event(started);
        self.context.commit(transition).await?;
        Ok((scan, spec.clone()))
    }

    /// # Errors
    /// The store is gone.
    async fn ended(&mut self, ended: Result<(Id, Result<Scan, Error>), tokio::task::JoinError>) -> Result<(), Error> {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(failure) => (failure.id(), Err(Error::invalid(format!("it failed in the host: {failure}")))),
        };
        let Some(Running { scan, ended }) = self.running.remove(&id) else { return Ok(()) };
        let result = match result {
            Ok(scan) => match scan.errors.first() {
                Some(error) if scan.state == ScanState::Failed => Err(error.clone()),
                _ => Ok(()),
            },
            Err(failure @ Error::Store(StoreError::Closed | StoreError::Io(_) | StoreError::DiskFull { .. })) => {
                return Err(failure);
            }
            Err(failure) => {
                error!(scan = %scan.id, error = %failure, "a scan could not be ended");
                let now = self.context.now();
                let failed = Scan {
                    state: ScanState::Failed,
                    finished_at: Some(now),
                    errors: vec![failure.to_string()],
                    ..scan
                };
                let context = &self.context;
                patiently(context, || close(context, &failed)).await?;
                Err(failure.to_string())
            }
        };
        if let Some(ended) = ended {
            let _ = ended.send(result);
        }
        Ok(())
    }
}

/// Looks, and writes down what was found.
async fn scan_it(context: Context, mut scan: Scan, spec: ScanSpec) -> Result<Scan, Error> {
    let prefix = format!("{}/", scan.name);
    let page = || Page { prefix: prefix.clone(), ..Page::all() };
    let known: Vec<Finding> = context.read_all(Finding::COLLECTION, &page())?;
    let open = known.iter().filter(|finding| finding.state == FindingState::Open);
    let subjects: BTreeSet<String> = open.map(|finding| finding.subject.clone()).collect();
    let Examined { sight, files, urls, skipped, plugins, errors, failed, pages, nothing } =
        examine::examine(&context, &spec, subjects).await;
    // A page that some rule could not judge would look better than it is.
    let judged =
        |url: &String| sight.looked.len() == spec.rules.len() && sight.looked.values().any(|of| of.contains(url));
    let pages: Vec<String> = pages.into_iter().filter(judged).collect();
    scan.pages = score::scores(&pages, &sight.seen);
    let updates = findings::merge(&scan.name, &scan.id, &spec, known, sight, context.now());
    let news = |wanted: News| {
        let count = updates.iter().filter(|update| update.news == Some(wanted)).count();
        u64::try_from(count).unwrap_or(u64::MAX)
    };
    scan.findings = findings::count(&updates);
    scan.not_looked_at = findings::not_looked_at(&updates);
    scan.new_findings = news(News::Opened);
    scan.fixed_findings = news(News::Fixed);
    keep(&context, &scan.principal, &updates).await?;
    scan.state = match (nothing, errors.is_empty()) {
        (true, _) => ScanState::Failed,
        (false, true) => ScanState::Succeeded,
        (false, false) => ScanState::Partial,
    };
    scan.finished_at = Some(context.now());
    (scan.files, scan.urls, scan.skipped) = (files, urls, skipped.values().sum::<u64>());
    scan.skipped_because = skipped;
    (scan.rules, scan.errors, scan.failed_rules) = (plugins, errors, failed);
    patiently(&context, || close(&context, &scan)).await?;
    // It may have been taken out of the configuration meanwhile.
    retire(&context, Some(&scan.name)).await?;
    Ok(scan)
}

/// Ends the findings that the configuration does not speak of any more, of one scan or of all. The end of a scan and a change of
/// the configuration may come to the same finding at once: it is told once, by the one whose revision is met.
async fn retire(context: &Context, name: Option<&str>) -> Result<(), Error> {
    let catalog = context.catalog();
    let prefix = name.map(|name| format!("{name}/")).unwrap_or_default();
    let mut page = Page { prefix, limit: RETIRE_AT_ONCE, ..Page::all() };
    loop {
        let documents = context.store.list(Finding::COLLECTION, &page)?;
        let Some(last) = documents.last() else { return Ok(()) };
        let mut updates = Vec::new();
        for document in &documents {
            match document.decode::<Finding>() {
                Ok(finding) => {
                    let spec = catalog.scans.get(&finding.scan_name);
                    updates.extend(findings::retire(vec![finding], spec, context.now()));
                }
                Err(error) => error!(finding = document.id, %error, "a finding can't be read and is left alone"),
            }
        }
        let seen: BTreeMap<&str, u64> =
            documents.iter().map(|document| (document.id.as_str(), document.revision)).collect();
        let mut records = records(context, "host", &updates)?;
        for write in records.iter_mut().flat_map(|record| &mut record.writes) {
            write.expected = seen.get(write.id.as_str()).map_or(Expected::Any, |seen| Expected::Revision(*seen));
        }
        match commit_all(context, records).await {
            // Somebody else has written one of them: looked at again.
            Err(Error::Store(StoreError::Conflict { .. })) => {}
            Err(failure) => return Err(failure),
            Ok(()) => page.after = Some(last.id.clone()),
        }
    }
}

async fn keep(context: &Context, principal: &str, updates: &[Update]) -> Result<(), Error> {
    commit_all(context, records(context, principal, updates)?).await
}

async fn commit_all(context: &Context, records: Vec<Transition>) -> Result<(), Error> {
    for record in records {
        patiently(context, || async { Ok(context.commit(record.clone()).await?) }).await?;
    }
    Ok(())
}

async fn close(context: &Context, scan: &Scan) -> Result<(), Error> {
    let transition = Transition::new()
        .put(Scan::COLLECTION, scan.id.as_str(), Expected::Any, to_value(scan)?)
        .event(finished(context, scan));
    context.commit(transition).await?;
    Ok(())
}

/// The findings and what is told of them, in records of a bounded size. A finding and its event are in one.
fn records(context: &Context, principal: &str, updates: &[Update]) -> Result<Vec<Transition>, Error> {
    let mut records = Vec::new();
    let mut record = Transition::new();
    let mut bytes = 0;
    for Update { finding, news } in updates {
        let document = write(Finding::COLLECTION, &finding.id, finding)?;
        bytes += document.value.as_ref().map_or(0, Json::len);
        let told = match news {
            Some(News::Opened) => Some(Finding::OPENED),
            Some(News::Fixed) => Some(Finding::FIXED),
            None => None,
        };
        if let Some(event_type) = told {
            let event = context.event(event_type, finding.id.as_str()).data(to_value(finding)?);
            record.events.push(event.principal(principal).plugin(Some(finding.plugin.clone())));
        }
        record.writes.push(document);
        if record.writes.len() >= RECORD_FINDINGS || bytes >= RECORD_BYTES {
            records.push(std::mem::take(&mut record));
            bytes = 0;
        }
    }
    if !record.is_empty() {
        records.push(record);
    }
    Ok(records)
}

/// Keeps the scheduler's jobs as the catalog says.
struct Jobs {
    context: Context,
    handle: Handle,
    set: BTreeMap<String, quarterdeck_model::Span>,
    /// When each was last begun before this start.
    last: HashMap<String, Timestamp>,
}

impl Jobs {
    async fn run(mut self) {
        let mut catalog = self.context.catalog.clone();
        loop {
            let current = catalog.borrow_and_update().clone();
            self.apply(&current.scans);
            if let Err(error) = retire(&self.context, None).await {
                warn!(%error, "findings of what is not scanned any more could not be ended; the next change tries again");
            }
            tokio::select! {
                () = self.context.shutdown.cancelled() => return,
                changed = catalog.changed() => if changed.is_err() {
                    return self.context.shutdown.cancelled().await;
                },
            }
        }
    }

    fn apply(&mut self, specs: &BTreeMap<String, ScanSpec>) {
        let wanted: BTreeMap<String, quarterdeck_model::Span> =
            specs.iter().filter_map(|(name, spec)| Some((name.clone(), spec.every?))).collect();
        for name in self.set.keys().filter(|name| !wanted.contains_key(*name)) {
            self.context.scheduler.remove(&job_name(name));
        }
        for (name, every) in wanted.iter().filter(|(name, every)| self.set.get(*name) != Some(every)) {
            let last = self.last.get(name).copied();
            let spec = JobSpec {
                name: job_name(name),
                schedule: Schedule::Every(*every),
                jitter: quarterdeck_model::Span::ZERO,
                concurrency: 1,
                missed: Missed::RunOnce,
                at_start: last.is_none(),
            };
            let job =
                Arc::new(Scheduled { context: self.context.clone(), handle: self.handle.clone(), name: name.clone() });
            if let Err(error) = self.context.scheduler.set_since(spec, job, last) {
                warn!(scan = name, %error, "can't be scheduled");
            }
        }
        self.set = wanted;
    }
}

fn job_name(name: &str) -> String {
    format!("scan/{name}")
}

struct Scheduled {
    context: Context,
    handle: Handle,
    name: String,
}

#[async_trait]
impl Job for Scheduled {
    async fn run(&self, _planned: Timestamp) -> Result<(), String> {
        let (ended, end) = oneshot::channel();
        match self.handle.begin(&self.name, "host", Some(ended)).await {
            Ok(_) => {}
            // Somebody was faster; theirs does as well.
            Err(Error::Conflict { .. }) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
        tokio::select! {
            () = self.context.shutdown.cancelled() => Ok(()),
            end = end => end.unwrap_or(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests;
