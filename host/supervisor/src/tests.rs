//! Real small processes under a store in memory.

mod store;

use crate::record::COLLECTION;
use crate::{Allowed, Options, Record, Supervisor, everything};
use quarterdeck_model::clock::ManualClock;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::process::{ProcessHealth, ProcessPhase, ProcessSpec, ProcessStatus, Processes};
use quarterdeck_model::store::{Page, Store};
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Span, Timestamp};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::MemoryStore;
use tokio_util::sync::CancellationToken;

const SHELL: &str = "/bin/sh";

struct Host {
    store: Arc<MemoryStore>,
    supervisor: Arc<Supervisor>,
    shutdown: CancellationToken,
    log_dir: PathBuf,
}

impl Host {
    async fn first(name: &str) -> Host {
        let log_dir = std::env::temp_dir().join(format!("qd-supervisor-{}-{name}", std::process::id()));
        Host::over(Arc::new(MemoryStore::default()), log_dir).await
    }

    async fn over(store: Arc<MemoryStore>, log_dir: PathBuf) -> Host {
        Host::allowing(store, log_dir, &everything()).await
    }

    async fn allowing(store: Arc<MemoryStore>, log_dir: PathBuf, allowed: &Allowed) -> Host {
        let shutdown = CancellationToken::new();
        let options = Options {
            store: store.clone(),
            clock: Arc::new(ManualClock::at(Timestamp::from_millis(1_000))),
            shutdown: shutdown.clone(),
            log_dir: log_dir.clone(),
            allowed: allowed.clone(),
        };
        Host { store, supervisor: Supervisor::start(options).await.unwrap(), shutdown, log_dir }
    }

    /// The next host over the same store and the processes that this one leaves.
    async fn next(self) -> Host {
        self.shutdown.cancel();
        self.supervisor.stopped().await;
        Host::over(self.store, self.log_dir).await
    }

    async fn end(self) {
        for process in self.supervisor.list() {
            self.supervisor.stop(&process.instance, &process.name, Span::ZERO).await.unwrap();
            self.until(&process.name, |status| status.phase == ProcessPhase::Exited).await;
        }
        self.shutdown.cancel();
        self.supervisor.stopped().await;
        let _ = std::fs::remove_dir_all(&self.log_dir);
    }

    async fn start(&self, spec: ProcessSpec) -> ProcessStatus {
        self.supervisor.start(&owner(), spec).await.unwrap()
    }

    async fn until(&self, name: &str, wanted: impl Fn(&ProcessStatus) -> bool) -> ProcessStatus {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let status = self.supervisor.status(&owner(), name).await.unwrap();
            if wanted(&status) {
                return status;
            }
            assert!(tokio::time::Instant::now() < deadline, "still {status:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until what `web` has printed is what `wanted` takes.
    async fn printed<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> T {
        let log = self.log_dir.join("haproxy/web/web.log");
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if let Some(found) = wanted(crate::output::since_start(&text)) {
                return found;
            }
            assert!(tokio::time::Instant::now() < deadline, "printed so far: {text:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn records(&self) -> Vec<Record> {
        self.store.list(COLLECTION, &Page::all()).unwrap().iter().map(|document| document.decode().unwrap()).collect()
    }
}

fn owner() -> InstanceName {
    InstanceName::from("haproxy/web")
}

fn shell(name: &str, script: &str) -> ProcessSpec {
    ProcessSpec {
        name: name.to_owned(),
        program: SHELL.to_owned(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        environment: vec![("GREETING".to_owned(), "hello".to_owned())],
        health_url: None,
    }
}

fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        !matches!(state, Some('Z' | 'X'))
    })
}

async fn until_gone(pid: u32) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while runs(pid) {
        assert!(tokio::time::Instant::now() < deadline, "{pid} still runs");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_started_process_is_on_record_and_its_output_in_a_file() {
    let host = Host::first("record").await;
    let status = host.start(shell("web", "echo $GREETING $HOST_SECRET; exec sleep 300")).await;
    let pid = status.pid.unwrap();
    let record = host.records().remove(0);
    assert_eq!(record.identity.unwrap().pid, pid);
    assert!(record.wanted);
    host.until("web", |status| status.phase == ProcessPhase::Healthy).await;
    host.printed(|text| (text == "hello\n").then_some(())).await;
    assert_eq!(host.start(shell("web", "echo $GREETING $HOST_SECRET; exec sleep 300")).await.pid, Some(pid));
    assert!(host.supervisor.start(&owner(), shell("web", "true")).await.unwrap_err().contains("another specification"));
    host.end().await;
    assert!(!runs(pid));
}

#[tokio::test]
async fn a_program_that_is_not_there_leaves_no_record() {
    let host = Host::first("missing").await;
    let spec = ProcessSpec { program: "/no/such/program".to_owned(), ..shell("web", "") };
    assert!(host.supervisor.start(&owner(), spec).await.unwrap_err().contains("/no/such/program"));
    assert!(host.records().is_empty());
    let relative = ProcessSpec { program: "sh".to_owned(), ..shell("web", "") };
    assert!(host.supervisor.start(&owner(), relative).await.is_err());
    assert!(host.supervisor.start(&owner(), shell("../web", "")).await.is_err());
    assert_eq!(host.supervisor.status(&owner(), "web").await.unwrap().phase, ProcessPhase::Absent);
    host.end().await;
}

#[tokio::test]
async fn a_process_that_ends_by_itself_is_started_again() {
    let host = Host::first("again").await;
    host.start(shell("web", "echo starting; echo no configuration >&2; exit 3")).await;
    let exited = host.until("web", |status| status.phase == ProcessPhase::Exited).await;
    assert_eq!(exited.exit_code, Some(3));
    let said = host.supervisor.list().first().and_then(|process| process.last_words.clone());
    assert_eq!(said.as_deref(), Some("starting\nno configuration"), "and not that of those before");
    let whole = host.supervisor.log(&owner(), "web", 100).unwrap().map(|log| log.text).unwrap_or_default();
    assert!(whole.starts_with("-- ") && whole.contains(" started --\n"), "{whole}");
    let log = |name: &str| host.supervisor.log(&owner(), name, 1).unwrap();
    assert_eq!(log("web").map(|log| (log.text, log.cut)), Some(("no configuration".to_owned(), true)));
    assert_eq!((log("other"), log("../web"), log("..")), (None, None, None));
    host.until("web", |status| status.restarts >= 1).await;
    host.end().await;
}

#[tokio::test]
async fn a_stop_ends_the_whole_group_and_kills_after_the_grace() {
    let host = Host::first("stop").await;
    // The leader ignores SIGTERM, and has a child.
    host.start(shell("web", "trap '' TERM; sleep 300 & echo $!; for i in $(seq 300); do sleep 1; done")).await;
    let child = host.printed(|text| text.trim().parse::<u32>().ok()).await;
    let stopping = host.supervisor.stop(&owner(), "web", Span::from_millis(300)).await.unwrap();
    assert_eq!(stopping.phase, ProcessPhase::Stopping);
    assert!(host.supervisor.start(&owner(), shell("web", "true")).await.unwrap_err().contains("stopping"));
    host.until("web", |status| status.phase == ProcessPhase::Exited).await;
    until_gone(stopping.pid.unwrap()).await;
    until_gone(child).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while !host.records().is_empty() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    host.end().await;
}

#[tokio::test]
async fn the_next_host_adopts_what_still_runs() {
    let host = Host::first("adopt").await;
    let pid = host.start(shell("web", "exec sleep 300")).await.pid.unwrap();
    let host = host.next().await;
    assert!(runs(pid), "a shutdown must leave it running");
    let status = host.until("web", |status| status.phase == ProcessPhase::Healthy).await;
    assert_eq!((status.pid, status.restarts), (Some(pid), 0));
    host.end().await;
    until_gone(pid).await;
}

#[tokio::test]
async fn the_next_host_starts_what_is_wanted_but_gone() {
    let host = Host::first("gone").await;
    let pid = host.start(shell("web", "exec sleep 300")).await.pid.unwrap();
    host.shutdown.cancel();
    host.supervisor.stopped().await;
    let old = host.records().remove(0).identity.unwrap();
    assert!(old.signal_group(rustix::process::Signal::KILL));
    old.ended().await;
    old.reap("");
    let host = host.next().await;
    let status = host.until("web", |status| status.phase == ProcessPhase::Healthy).await;
    assert_ne!(status.pid, Some(pid));
    assert_eq!(status.restarts, 1);
    host.end().await;
}

#[tokio::test]
async fn a_process_whose_pid_was_never_written_down_is_found_by_its_marker() {
    let host = Host::first("marker").await;
    let pid = host.start(shell("web", "exec sleep 300")).await.pid.unwrap();
    host.shutdown.cancel();
    host.supervisor.stopped().await;
    let mut record = host.records().remove(0);
    record.identity = None;
    let id = "haproxy/web/web";
    let value = serde_json::to_value(&record).unwrap();
    host.store.commit(Transition::new().put(COLLECTION, id, Expected::Any, value)).await.unwrap();
    let host = host.next().await;
    assert_eq!(host.supervisor.status(&owner(), "web").await.unwrap().pid, Some(pid));
    host.end().await;
    until_gone(pid).await;
}

#[tokio::test]
async fn a_stop_that_the_host_did_not_live_to_finish_is_finished_by_the_next() {
    let host = Host::first("halfway").await;
    let script = "trap '' TERM; echo deaf; for i in $(seq 300); do sleep 1; done";
    let pid = host.start(shell("web", script)).await.pid.unwrap();
    // A SIGTERM that comes before the trap would end it at once.
    host.printed(|text| text.contains("deaf").then_some(())).await;
    host.supervisor.stop(&owner(), "web", Span::from_secs(2)).await.unwrap();
    let host = host.next().await;
    until_gone(pid).await;
    host.until("web", |status| status.phase == ProcessPhase::Exited).await;
    host.end().await;
}

/// Everything but what `haproxy/web` runs.
fn all_but_web() -> Allowed {
    Arc::new(|instance, _| *instance != owner())
}

#[tokio::test]
async fn what_an_instance_may_not_run_any_more_is_stopped_and_not_started_again() {
    let host = Host::first("revoked").await;
    let pid = host.start(shell("web", "exec sleep 300")).await.pid.unwrap();
    // One between two starts: it would come back.
    host.start(shell("failing", "exit 3")).await;
    host.until("failing", |status| status.phase == ProcessPhase::Exited).await;
    let other = InstanceName::from("haproxy/other");
    let kept = host.supervisor.start(&other, shell("web", "exec sleep 300")).await.unwrap().pid.unwrap();

    let would_stop = || host.supervisor.would_stop(&all_but_web());
    let of_web = |name: &str| (owner(), format!("haproxy/web/{name}"));
    assert_eq!(would_stop(), [of_web("failing"), of_web("web")]);
    assert!(runs(pid), "a question stops nothing");
    host.supervisor.allow(all_but_web()).await;
    assert!(would_stop().is_empty(), "what is stopped already is not stopped once more");
    until_gone(pid).await;
    for name in ["web", "failing"] {
        host.until(name, |status| status.phase == ProcessPhase::Exited).await;
    }
    until_recorded(&host, 1).await;
    assert!(runs(kept), "what is still allowed goes on");
    let refused = host.supervisor.start(&owner(), shell("web", "exec sleep 300")).await.unwrap_err();
    assert!(refused.contains("may not run `/bin/sh` any more; hint: "), "{refused}");
    host.end().await;
}

#[tokio::test]
async fn what_an_earlier_host_left_and_is_not_allowed_any_more_is_stopped_at_the_start() {
    let host = Host::first("left").await;
    let pid = host.start(shell("web", "exec sleep 300")).await.pid.unwrap();
    host.shutdown.cancel();
    host.supervisor.stopped().await;
    let host = Host::allowing(host.store.clone(), host.log_dir.clone(), &all_but_web()).await;
    until_gone(pid).await;
    until_recorded(&host, 0).await;
    host.end().await;
}

async fn until_recorded(host: &Host, count: usize) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while host.records().len() != count {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", host.records());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn processes_are_listed_with_what_is_known_of_them() {
    let host = Host::first("listed").await;
    let pid = host.start(shell("web", "exec sleep 300")).await.pid;
    host.until("web", |status| status.phase == ProcessPhase::Healthy).await;
    let listed = host.supervisor.list();
    let process = &listed[0];
    assert_eq!((process.id.as_str(), &process.instance, process.name.as_str()), ("haproxy/web/web", &owner(), "web"));
    assert_eq!((process.state, process.health, process.pid), (ProcessPhase::Healthy, ProcessHealth::Unchecked, pid));
    assert_eq!((process.restarts, process.since), (0, Timestamp::from_millis(1_000)));
    host.end().await;
}

#[tokio::test]
async fn health_follows_what_the_url_answers() {
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let well = Arc::new(AtomicBool::new(false));
    let answer = well.clone();
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let line = if answer.load(Ordering::SeqCst) { "204 No Content" } else { "503 Unavailable" };
            let _ = stream.write_all(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
        }
    });
    let host = Host::first("health").await;
    let spec = ProcessSpec { health_url: Some(format!("http://{address}/ready")), ..shell("web", "exec sleep 300") };
    assert_eq!(host.start(spec).await.phase, ProcessPhase::Starting);
    well.store(true, Ordering::SeqCst);
    host.until("web", |status| status.phase == ProcessPhase::Healthy).await;
    well.store(false, Ordering::SeqCst);
    host.until("web", |status| status.phase == ProcessPhase::Unhealthy).await;
    well.store(true, Ordering::SeqCst);
    host.until("web", |status| status.phase == ProcessPhase::Healthy).await;
    host.end().await;
    server.abort();
}
