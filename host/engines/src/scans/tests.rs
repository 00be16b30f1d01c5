//! The shell over the real store and real files; rules are plain functions.

use super::*;
use crate::testing::{Bench, Fake, START, called, failed, plugin, until};
use quarterdeck_model::Span;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::scan::PageScore;
use quarterdeck_model::event::Offset;
use quarterdeck_model::fetch::{Fetch, Fetched};
use quarterdeck_model::kind::scanner_rule::{Interest, Reported, ScannerRule, Subject, SubjectKind};
use quarterdeck_model::plugin::{CallError, CallResult, InstanceName};
use quarterdeck_model::severity::Severity;
use serde_json::json;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;

/// Finds the word `secret` in files that are named `*.txt`, and pages without a header `x-safe`.
#[derive(Clone)]
struct Words {
    broken: Arc<AtomicBool>,
    gate: Arc<Semaphore>,
    largest: Arc<Mutex<usize>>,
}

impl Default for Words {
    fn default() -> Self {
        Words { broken: Arc::default(), gate: Arc::new(Semaphore::new(1000)), largest: Arc::default() }
    }
}

#[async_trait]
impl ScannerRule for Words {
    async fn interests(&self, _: &InstanceName, _: Timestamp) -> CallResult<Interest> {
        Ok(called(Interest {
            kinds: vec![SubjectKind::File, SubjectKind::HttpResponse],
            include: vec!["*.txt".to_owned()],
            exclude: vec!["skip/**".to_owned()],
            max_bytes: 2 << 20,
        }))
    }

    async fn scan(&self, _: &InstanceName, subjects: &[Subject], _: Timestamp) -> CallResult<Vec<Reported>> {
        self.gate.acquire().await.unwrap().forget();
        if self.broken.load(Ordering::SeqCst) {
            return Err(failed(CallError::Trapped { reason: "unreachable".to_owned() }));
        }
        let is_poison = |subject: &Subject| matches!(subject, Subject::File { content, .. } if content == b"poison");
        if subjects.iter().any(is_poison) {
            return Err(failed(CallError::Trapped { reason: "poison".to_owned() }));
        }
        let bytes = subjects.iter().map(|subject| match subject {
            Subject::File { content, .. } => content.len(),
            Subject::HttpResponse { body, .. } => body.len(),
        });
        let bytes: usize = bytes.sum();
        if subjects.len() > 1 {
            let mut largest = self.largest.lock().unwrap();
            *largest = bytes.max(*largest);
        }
        let bad = |subject: &Subject| match subject {
            Subject::File { content, .. } => String::from_utf8_lossy(content).contains("secret"),
            Subject::HttpResponse { headers, .. } => {
                assert_eq!(headers[0].1, "https://stranger.quarterdeck.invalid", "the answer to a stranger is shown");
                !headers.iter().any(|(name, _)| name == "x-safe")
            }
        };
        let found = subjects.iter().enumerate().filter(|(_, subject)| bad(subject)).map(|(index, subject)| Reported {
            subject: index,
            rule: "words/secret".to_owned(),
            title: "a secret".to_owned(),
            severity: Severity::High,
            message: "seen".to_owned(),
            remediation: "remove it".to_owned(),
            line: 1,
            column: 1,
            cwe: None,
            fingerprint: format!("f-{}", subject.name()),
        });
        Ok(called(found.collect()))
    }
}

struct Pages;

#[async_trait]
impl Fetch for Pages {
    async fn get(&self, url: &str, allow: &[String], _: usize, origin: Option<&str>) -> Result<Fetched, String> {
        assert_eq!(allow, ["http://127.0.0.1:9"]);
        if url.ends_with("/gone") {
            return Err("connection refused".to_owned());
        }
        // Lets whoever asks read.
        let allowed = origin.map(|origin| ("access-control-allow-origin".to_owned(), origin.to_owned()));
        Ok(Fetched { status: 200, headers: allowed.into_iter().collect(), body: vec![] })
    }
}

struct Host {
    bench: Bench,
    handle: Handle,
    words: Words,
    _tasks: Tasks,
}

async fn host(data: &Path, scan: serde_json::Value) -> Host {
    host_of(data, scan, Words::default(), START).await
}

async fn host_of(data: &Path, scan: serde_json::Value, words: Words, now: Timestamp) -> Host {
    let catalog: Catalog = serde_json::from_value(json!({"scans": {"repo": scan}})).unwrap();
    let mut bench = Bench::open(data, &Fake::default(), catalog, now);
    bench.context.plugins.scanner_rule = Arc::new(words.clone());
    bench.context.fetch = Arc::new(Pages);
    let mut tasks = Tasks::default();
    let handle = start(&bench.context, &mut tasks).await.unwrap();
    Host { bench, handle, words, _tasks: tasks }
}

impl Host {
    async fn scan(&self) -> Scan {
        let scan = self.handle.start("repo", "ann").await.unwrap();
        assert_eq!(scan.state, ScanState::Running);
        self.bench.event(Scan::FINISHED, Some(scan.id.as_str()), Offset(0)).await;
        self.bench.context.read(Scan::COLLECTION, scan.id.as_str()).unwrap().unwrap()
    }

    fn told(&self) -> Vec<(String, String)> {
        let events = self.bench.events(&["finding."]);
        events.into_iter().map(|event| (event.event_type, event.subject)).collect()
    }
}

fn write_file(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn a_file_that_traps_a_rule_does_not_hide_the_others() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for number in 0..9 {
        write_file(files.path(), &format!("{number}.txt"), if number == 4 { "poison" } else { "a secret" });
    }
    let root = files.path().to_str().unwrap().to_owned();
    let host = host(data.path(), json!({"rules": ["words/default"], "paths": [root]})).await;
    let scan = host.scan().await;
    assert_eq!((scan.state, scan.new_findings), (ScanState::Partial, 8));
    let error = format!("rule `words/default` about `{root}/4.txt`: the plugin trapped: poison");
    assert_eq!(scan.errors, [error.as_str()]);
    let told = host.bench.events(&[Scan::FINISHED]).remove(0).data["failed_rules"].take();
    assert_eq!(told, json!([{"instance": "words/default", "plugin": plugin(), "error": error}]));
}

#[tokio::test]
async fn findings_are_opened_seen_again_and_fixed() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (name, text) in [
        ("a.txt", "a secret"),
        ("sub/b.txt", "a secret"),
        ("c.txt", "nothing"),
        ("skip/d.txt", "a secret"),
        ("e.md", "a secret"),
        ("f.txt", "\0 a secret"),
    ] {
        write_file(files.path(), name, text);
    }
    let root = files.path().to_str().unwrap().to_owned();
    let host = host(data.path(), json!({"rules": ["words/default"], "paths": [root]})).await;
    let scan = host.scan().await;
    assert_eq!(scan.state, ScanState::Succeeded, "{:?}", scan.errors);
    assert_eq!((scan.files, scan.skipped, scan.new_findings, scan.fixed_findings), (3, 3, 2, 0));
    let because: Vec<_> = scan.skipped_because.iter().map(|(why, count)| (why.as_str(), *count)).collect();
    assert_eq!(because, [("it is not a text", 1), ("no rule asks for it", 2)]);
    assert_eq!(scan.findings, [(Severity::High, 2)].into());
    let opened = |name: &str| ("finding.opened".to_owned(), format!("repo/words/default/f-{name}"));
    let fixed = |name: &str| ("finding.fixed".to_owned(), format!("repo/words/default/f-{name}"));
    assert_eq!(host.told(), [opened("a.txt"), opened("sub/b.txt")]);
    let finding: Finding = host.bench.context.read(Finding::COLLECTION, "repo/words/default/f-a.txt").unwrap().unwrap();
    assert_eq!(finding.subject, format!("{root}/a.txt"));

    host.words.broken.store(true, Ordering::SeqCst);
    write_file(files.path(), "a.txt", "clean");
    let scan = host.scan().await;
    assert_eq!(scan.state, ScanState::Failed);
    let about = |name: &str| format!("rule `words/default` about `{root}/{name}`: the plugin trapped: unreachable");
    assert_eq!(scan.errors, ["a.txt", "c.txt", "sub/b.txt"].map(about), "each file was shown by itself");
    assert_eq!(host.told().len(), 2, "a rule that failed fixes nothing");

    host.words.broken.store(false, Ordering::SeqCst);
    std::fs::remove_file(files.path().join("sub/b.txt")).unwrap();
    let scan = host.scan().await;
    assert_eq!((scan.new_findings, scan.fixed_findings), (0, 2));
    assert_eq!(host.told()[2..], [fixed("a.txt"), fixed("sub/b.txt")]);
}

#[tokio::test]
async fn pages_are_fetched_and_one_that_is_gone_makes_the_scan_partial() {
    let data = tempfile::tempdir().unwrap();
    let urls = ["http://127.0.0.1:9/a", "http://127.0.0.1:9/gone"];
    let host = host(data.path(), json!({"rules": ["words/default"], "urls": urls})).await;
    let scan = host.scan().await;
    assert_eq!((scan.state, scan.urls, scan.new_findings), (ScanState::Partial, 1, 1));
    assert_eq!(scan.errors, ["`http://127.0.0.1:9/gone` can't be fetched: connection refused"]);
    let page = PageScore { url: urls[0].to_owned(), score: 60, grade: "C+".to_owned() };
    assert_eq!(scan.pages, [page], "one that is high");
}

#[tokio::test]
async fn findings_end_when_the_configuration_does_not_speak_of_them_any_more() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for name in ["a/1.txt", "b/2.txt"] {
        write_file(files.path(), name, "a secret");
    }
    let below = |name: &str| format!("{}/{name}", files.path().to_str().unwrap());
    let rules = ["words/default", "words/other"];
    let host = host(data.path(), json!({"rules": rules, "paths": [below("a"), below("b")]})).await;
    assert_eq!(host.scan().await.new_findings, 4);
    let open = || {
        let known: Vec<Finding> = host.bench.context.read_all(Finding::COLLECTION, &Page::all()).unwrap();
        known.into_iter().filter(|finding| finding.state == FindingState::Open).count()
    };
    let change = |scans: serde_json::Value| {
        let catalog: Catalog = serde_json::from_value(json!({"scans": scans})).unwrap();
        host.bench.catalog.send_replace(Arc::new(catalog));
    };
    change(json!({"repo": {"rules": ["words/default"], "paths": [below("a"), below("b")]}}));
    until("the end of the rule's", || open() == 2).await;
    change(json!({"repo": {"rules": ["words/default"], "paths": [below("a")]}}));
    until("the end of the path's", || open() == 1).await;
    change(json!({}));
    until("the end of the scan's", || open() == 0).await;
    // A record can be read a moment before the event of its change: that one waits for its sync.
    until("the last event", || host.bench.events(&[Finding::FIXED]).len() >= 4).await;
    let told: Vec<_> =
        host.bench.events(&[Finding::FIXED]).into_iter().map(|event| event.data["resolution"].clone()).collect();
    assert_eq!(told, ["rule removed", "rule removed", "no longer scanned", "no longer scanned"]);
}

#[tokio::test]
async fn many_findings_are_written_in_many_records_and_no_call_is_too_large() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for number in 0..350 {
        write_file(files.path(), &format!("{number}.txt"), &format!("a secret {}", "x".repeat(10_000)));
    }
    let root = files.path().to_str().unwrap().to_owned();
    let host = host(data.path(), json!({"rules": ["words/default"], "paths": [root]})).await;
    let scan = host.scan().await;
    assert_eq!((scan.state, scan.files, scan.new_findings), (ScanState::Succeeded, 350, 350));
    assert_eq!(host.told().len(), 350);
    let largest = *host.words.largest.lock().unwrap();
    assert!((500_000..=1 << 20).contains(&largest), "{largest}");
}

#[tokio::test]
async fn one_scan_of_a_name_runs_at_a_time_and_one_that_was_interrupted_has_failed() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_file(files.path(), "a.txt", "a secret");
    let root = files.path().to_str().unwrap().to_owned();
    let spec = json!({"rules": ["words/default"], "paths": [root]});
    let words = Words { gate: Arc::new(Semaphore::new(0)), ..Words::default() };
    let first = host_of(data.path(), spec.clone(), words, START).await;
    let scan = first.handle.start("repo", "ann").await.unwrap();
    let again = first.handle.start("repo", "ben").await.unwrap_err().to_string();
    assert_eq!(again, format!("scan `{}` of `repo` is running already", scan.id));
    assert!(matches!(first.handle.start("other", "ann").await, Err(Error::NotFound { .. })));
    let Host { bench, handle, _tasks, .. } = first;
    drop((_tasks, handle));
    bench.kill().await;
    let second = host(data.path(), spec).await;
    let scan: Scan = second.bench.context.read(Scan::COLLECTION, scan.id.as_str()).unwrap().unwrap();
    assert_eq!((scan.state, scan.errors), (ScanState::Failed, vec!["interrupted".to_owned()]));
    assert_eq!(second.scan().await.state, ScanState::Succeeded);
}

#[tokio::test]
async fn a_scheduled_scan_runs_at_the_first_start_and_makes_up_for_what_was_missed() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_file(files.path(), "a.txt", "a secret");
    let root = files.path().to_str().unwrap().to_owned();
    let spec = json!({"rules": ["words/default"], "paths": [root], "every": "1h"});
    let scans = |host: &Host| host.bench.events(&[Scan::FINISHED]).len();
    let first = host(data.path(), spec.clone()).await;
    until("the first scan", || scans(&first) == 1).await;
    let Host { bench, handle, _tasks, .. } = first;
    drop((_tasks, handle));
    bench.kill().await;
    let later = START.plus(Span::from_secs(10 * 3600));
    let second = host_of(data.path(), spec, Words::default(), later).await;
    until("the scan that was missed", || scans(&second) == 2).await;
    let (catalog, next) = (&second.bench.catalog, "scan/repo");
    assert!(second.bench.context.scheduler.get(next).is_some());
    catalog.send_replace(Arc::new(Catalog::default()));
    until("the job to go", || second.bench.context.scheduler.get(next).is_none()).await;
}

#[tokio::test]
async fn a_finding_whose_file_can_not_be_shown_any_more_stays_open_and_is_told_apart() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let names = ["binary.txt", "folder/a.txt", "grown.txt", "huge.txt", "link.txt", "seen.txt"];
    for name in names {
        write_file(files.path(), name, "a secret");
    }
    let root = files.path().to_str().unwrap().to_owned();
    let host = host(data.path(), json!({"rules": ["words/default"], "paths": [root]})).await;
    assert_eq!(host.scan().await.new_findings, 6);
    let at = |name: &str| files.path().join(name);
    let outside = tempfile::tempdir().unwrap();
    write_file(outside.path(), "a.txt", "a secret");
    // Beyond what the rule takes, and beyond what any does.
    for (name, bytes) in [("grown.txt", 3 << 20), ("huge.txt", 9 << 20)] {
        std::fs::File::options().append(true).open(at(name)).unwrap().set_len(bytes).unwrap();
    }
    write_file(files.path(), "binary.txt", "\0 a secret");
    std::fs::rename(at("link.txt"), outside.path().join("link.txt")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("link.txt"), at("link.txt")).unwrap();
    std::fs::remove_dir_all(at("folder")).unwrap();
    std::os::unix::fs::symlink(outside.path(), at("folder")).unwrap();
    let scan = host.scan().await;
    assert_eq!((scan.state, scan.fixed_findings, scan.not_looked_at), (ScanState::Succeeded, 0, 5));
    assert_eq!(scan.findings, [(Severity::High, 1)].into());
    let reason = |name: &str| {
        let id = format!("repo/words/default/f-{name}");
        let finding: Finding = host.bench.context.read(Finding::COLLECTION, &id).unwrap().unwrap();
        assert_eq!(finding.state, FindingState::Open);
        finding.not_looked_at
    };
    let reasons: Vec<_> = names.into_iter().map(|name| reason(name).unwrap_or_default()).collect();
    let (large, file) = ("it is too large", "it is no plain file");
    assert_eq!(reasons, ["it is not a text", file, large, large, file, ""]);
    // What is gone indeed is fixed.
    for name in names {
        let _ = std::fs::remove_file(at(name));
    }
    std::fs::remove_file(at("folder")).unwrap();
    let scan = host.scan().await;
    assert_eq!((scan.fixed_findings, scan.not_looked_at), (6, 0));
}
