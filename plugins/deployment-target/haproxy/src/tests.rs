//! The steps against a real HAProxy; where none is installed, that is said and nothing is tested. Processes are the fake
//! host's: their phases are what a test says. What they would serve is not asked for, so nothing has to listen.

use super::*;
use quarterdeck_sdk::deployment_target::Phase;
use quarterdeck_sdk::host::Error;
use quarterdeck_sdk::host::process::{Phase as ProcessPhase, Status};
use quarterdeck_sdk::serde_json;
use quarterdeck_sdk::testing::{FakeHost, Stream};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn installed(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.find_map(|folder| Some(folder.join("haproxy")).filter(|file| file.is_file()));
    if found.is_none() {
        let required = std::env::var_os("QUARTERDECK_TESTS_REQUIRE_COUNTERPARTS").is_some();
        assert!(!required, "{test} needs `haproxy`, which is not installed");
        // To standard error itself: what a passing test prints by macro is kept back by the test runner.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: {test} needs `haproxy`, which is not installed");
    }
    found
}

struct Balancer {
    program: PathBuf,
    folder: PathBuf,
    front: u16,
    child: Option<Child>,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.end();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Balancer {
    fn start(test: &str) -> Option<Self> {
        let program = installed(test)?;
        let folder = std::env::temp_dir().join(format!("quarterdeck-haproxy-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let front = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut balancer = Balancer { program, folder, front, child: None };
        let text = format!(
            "global\n stats socket {} mode 600 level admin\n\
             defaults\n mode http\n timeout connect 1s\n timeout client 20s\n timeout server 20s\n\
             frontend web\n bind 127.0.0.1:{front}\n default_backend web\n\
             backend web\n balance roundrobin\n server s1 127.0.0.1:1 disabled weight 0\n server s2 127.0.0.1:1 disabled weight 0\n\
             backend fixed\n balance source\n server s1 127.0.0.1:1 disabled weight 0\n",
            balancer.socket().display()
        );
        std::fs::write(balancer.folder.join("haproxy.cfg"), text).unwrap();
        balancer.run();
        Some(balancer)
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("s")
    }

    fn run(&mut self) {
        let file = self.folder.join("haproxy.cfg");
        let child = Command::new(&self.program).arg("-db").arg("-f").arg(file).stderr(Stdio::null()).spawn().unwrap();
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_secs(20);
        while UnixStream::connect(self.socket()).is_err() {
            assert!(Instant::now() < deadline, "haproxy does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The host between two calls, as the plugin meets it.
struct Bench {
    config: Config,
    host: FakeHost,
}

fn config(socket: &Path, ports: u16) -> Config {
    serde_json::from_value(serde_json::json!({
        "socket": socket, "backend": "web", "slots": ["s1", "s2"], "program": "/bin/web",
        "arguments": ["--port={port}", "{revision}"], "environment": {"NAME": "{replica}"},
        "ports": {"from": ports, "to": ports + 1}, "drain-seconds": 2,
    }))
    .unwrap()
}

impl Bench {
    fn new(socket: &Path, ports: u16) -> Self {
        let connect = |address: &Address| match address {
            Address::Unix(path) => UnixStream::connect(path)
                .map(|stream| Box::new(stream) as Box<dyn Stream>)
                .map_err(|error| Error::Failed(error.to_string())),
            other => Err(Error::Denied(format!("{other:?}"))),
        };
        let host = FakeHost { tcp: Some(Box::new(connect)), ..FakeHost::default() };
        Bench { config: config(socket, ports), host }
    }

    /// As the host does it: what a call that fails wrote is dropped.
    fn call<T>(&mut self, call: impl FnOnce(&Config) -> Result<T, Failure>) -> Result<T, Failure> {
        let before = self.host.kv.clone();
        let config = self.config.clone();
        let (result, host) = std::mem::take(&mut self.host).run(|| call(&config));
        self.host = host;
        if result.is_err() {
            self.host.kv = before;
        }
        result
    }

    fn apply(&mut self, step: &Step) -> Result<Outcome, Failure> {
        self.call(|config| Haproxy::apply(config, "web", step, "eff_1"))
    }

    /// Until it is done.
    fn done(&mut self, step: &Step) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match self.apply(step).unwrap() {
                Outcome::Done(_) => return,
                Outcome::Pending { token, after_ms } => {
                    assert!(Instant::now() < deadline, "{step:?} is still pending: {token}");
                    std::thread::sleep(Duration::from_millis(after_ms));
                }
            }
        }
    }

    fn pending(&mut self, step: &Step) -> String {
        match self.apply(step).unwrap() {
            Outcome::Pending { token, .. } => token,
            done => panic!("{done:?}"),
        }
    }

    fn observe(&mut self) -> Vec<Replica> {
        self.call(|config| Haproxy::observe(config, "web")).unwrap()
    }

    fn set(&mut self, slot: &str, phase: ProcessPhase) {
        self.host.processes.get_mut(slot).unwrap().1.phase = phase;
    }

    fn row(&mut self, slot: &str) -> stat::Row {
        self.call(|config| admin::stat_of(config, slot)).unwrap()
    }

    /// Starts a replica that comes up at once.
    fn up(&mut self, slot: &str, step: &Step) {
        self.pending(step);
        self.pending(step);
        self.set(slot, ProcessPhase::Healthy);
        self.done(step);
    }
}

fn start(replica: &str, revision: &str) -> Step {
    Step::Start { replica: replica.into(), revision: revision.into() }
}

fn weight(replica: &str, weight: u32) -> Step {
    Step::Weight { replica: replica.into(), weight }
}

fn drain(replica: &str) -> Step {
    Step::Drain { replica: replica.into() }
}

fn stop(replica: &str) -> Step {
    Step::Stop { replica: replica.into() }
}

#[test]
fn a_replica_comes_takes_traffic_and_goes() {
    let Some(balancer) = Balancer::start("life") else { return };
    let mut bench = Bench::new(&balancer.socket(), 7001);
    let start = start("web-a-1", "a");
    assert_eq!(bench.pending(&start), "remembered");
    assert_eq!(bench.pending(&start), "started");
    assert_eq!(bench.pending(&start), "starting");
    assert_eq!(bench.observe()[0].phase, Phase::Starting);
    let spec = bench.host.processes["s1"].0.clone();
    assert_eq!(spec.arguments, ["--port=7001", "a"]);
    assert_eq!(spec.environment, [("NAME".into(), "web-a-1".into()), ("REPLICA".into(), "web-a-1".into())]);
    assert_eq!(spec.health_url.as_deref(), Some("http://127.0.0.1:7001/healthz"));
    assert_eq!(bench.row("s1").status, "MAINT", "it is not ready yet");
    bench.set("s1", ProcessPhase::Healthy);
    bench.done(&start);
    bench.done(&start);
    let row = bench.row("s1");
    assert_eq!((row.status.as_str(), row.weight, row.address.as_deref()), ("no check", 0, Some("127.0.0.1:7001")));
    bench.done(&weight("web-a-1", 300));
    let seen = bench.observe();
    assert_eq!((seen.len(), seen[0].phase, seen[0].weight), (1, Phase::Healthy, 256));
    assert_eq!(bench.call(|config| Haproxy::observe(config, "other")).unwrap(), []);
    bench.done(&drain("web-a-1"));
    assert_eq!(bench.row("s1").status, "DRAIN");
    assert_eq!(bench.observe()[0].phase, Phase::Draining);
    bench.done(&stop("web-a-1"));
    assert_eq!(bench.row("s1").status, "MAINT");
    assert!(bench.host.processes.is_empty() && bench.host.kv.is_empty());
    bench.done(&stop("web-a-1"));
    bench.done(&drain("web-a-1"));
    let text = bench.apply(&weight("web-a-1", 1)).unwrap_err();
    assert_eq!(text, Failure::rejected("there is no replica `web-a-1` of `web` to give a weight to"));
}

#[test]
fn two_starts_side_by_side_get_a_slot_each_and_a_third_is_told_that_none_is_left() {
    let Some(balancer) = Balancer::start("race") else { return };
    let mut bench = Bench::new(&balancer.socket(), 7011);
    bench.pending(&start("web-a-1", "a"));
    bench.pending(&start("web-a-2", "a"));
    // Neither call sees what the other one writes.
    let before = bench.host.kv.clone();
    bench.pending(&start("web-a-1", "a"));
    let first = std::mem::replace(&mut bench.host.kv, before);
    bench.pending(&start("web-a-2", "a"));
    bench.host.kv.extend(first.into_iter().filter(|(key, _)| key.contains("web-a-1") || key == "slot/s1"));
    let owner = |bench: &Bench, slot: &str| bench.host.processes[slot].0.environment[0].1.clone();
    assert_eq!((owner(&bench, "s1").as_str(), owner(&bench, "s2").as_str()), ("web-a-1", "web-a-2"));
    let names: Vec<_> = bench.observe().into_iter().map(|replica| replica.name).collect();
    assert_eq!(names, ["web-a-1", "web-a-2"]);
    bench.pending(&start("web-a-3", "a"));
    let Failure::Rejected(text) = bench.apply(&start("web-a-3", "a")).unwrap_err() else { panic!("retried") };
    assert!(text.contains("2 of backend `web` are taken (s1: web-a-1, s2: web-a-2)"), "{text}");
    assert!(text.contains("\nhint: "), "{text}");
    bench.done(&stop("web-a-3"));
}

#[test]
fn a_start_whose_result_was_lost_finds_its_process_and_a_stop_does_too() {
    let Some(balancer) = Balancer::start("lost") else { return };
    let mut bench = Bench::new(&balancer.socket(), 7021);
    bench.pending(&start("web-a-1", "a"));
    let crashed = bench.host.kv.clone();
    bench.pending(&start("web-a-1", "a"));
    bench.host.kv = crashed.clone();
    bench.pending(&start("web-a-1", "a"));
    assert_eq!(bench.host.processes.len(), 1);
    // And now nobody tries again, but another replica is started.
    bench.host.kv = crashed;
    bench.pending(&start("web-b-1", "b"));
    bench.pending(&start("web-b-1", "b"));
    assert!(bench.host.processes.contains_key("s2"), "s1 is inhabited");
    bench.done(&stop("web-a-1"));
    assert_eq!(bench.host.processes.keys().collect::<Vec<_>>(), ["s2"]);
}

#[test]
fn an_haproxy_that_was_started_anew_is_told_again_and_counted_from_zero() {
    let Some(mut balancer) = Balancer::start("anew") else { return };
    // Answers everything with 500.
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = backend.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for stream in backend.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 500 no\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    let front = balancer.front;
    let request = || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", front)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let mut bench = Bench::new(&balancer.socket(), port);
    bench.up("s1", &start("web-a-1", "a"));
    bench.done(&weight("web-a-1", 100));
    for _ in 0..5 {
        assert!(request().starts_with("HTTP/1.1 500"));
    }
    let seen = bench.observe();
    assert_eq!((seen[0].responses, seen[0].failures, seen[0].weight), (5, 5, 100));
    // Another replica in the same slot begins at nothing.
    bench.done(&stop("web-a-1"));
    bench.up("s1", &start("web-b-1", "b"));
    bench.done(&weight("web-b-1", 50));
    assert_eq!(bench.observe()[0].responses, 0);
    request();
    assert_eq!(bench.observe()[0].responses, 1);
    balancer.end();
    let failure = bench.call(|config| Haproxy::observe(config, "web")).unwrap_err();
    assert!(matches!(failure, Failure::Retry { .. }), "{failure:?}");
    balancer.run();
    let seen = bench.observe();
    assert_eq!((seen[0].responses, seen[0].weight, seen[0].phase), (0, 50, Phase::Healthy));
    assert!(request().starts_with("HTTP/1.1 500"), "it takes traffic again");
    assert_eq!(bench.observe()[0].responses, 1);
}

#[test]
fn a_replica_that_ends_before_it_is_healthy_fails_at_once_and_one_that_is_slow_is_waited_for() {
    let Some(balancer) = Balancer::start("ends") else { return };
    let mut bench = Bench::new(&balancer.socket(), 7031);
    bench.pending(&start("web-a-1", "a"));
    bench.pending(&start("web-a-1", "a"));
    bench.set("s1", ProcessPhase::Unhealthy);
    let message = "`web-a-1` does not answer http://127.0.0.1:7031/healthz".to_owned();
    assert_eq!(bench.apply(&start("web-a-1", "a")), Err(Failure::Retry { message, after_ms: None }));
    let own = &mut bench.host.processes.get_mut("s1").unwrap().1;
    *own = Status { phase: ProcessPhase::Exited, exit_code: Some(3), restarts: 1, ..own.clone() };
    let failure = Failure::other(
        "`web-a-1` ended with exit code 3, and was started again once; hint: `quarterdeck process logs` of `s1` has its last words",
    );
    assert_eq!(bench.apply(&start("web-a-1", "a")), Err(failure));
    assert_eq!(bench.observe()[0].phase, Phase::Unhealthy);
    bench.done(&stop("web-a-1"));
    assert!(bench.host.kv.is_empty());
}

#[test]
fn what_haproxy_does_not_have_is_rejected_with_its_name() {
    let Some(balancer) = Balancer::start("refuses") else { return };
    let mut bench = Bench::new(&balancer.socket(), 7041);
    bench.config.slots = vec!["s9".into()];
    bench.pending(&start("web-a-1", "a"));
    bench.pending(&start("web-a-1", "a"));
    bench.set("s9", ProcessPhase::Healthy);
    let text = bench.apply(&start("web-a-1", "a")).unwrap_err();
    assert!(
        matches!(&text, Failure::Rejected(text) if text.contains("has no server `s9`\nhint: add `server s9 ")),
        "{text}"
    );
    bench.config.backend = "nope".into();
    let text = bench.apply(&start("web-a-1", "a")).unwrap_err();
    assert!(matches!(&text, Failure::Rejected(text) if text.contains("no backend `nope`")), "{text}");
    bench.config = Config { backend: "fixed".into(), ..config(&balancer.socket(), 7041) };
    bench.pending(&start("web-b-1", "a"));
    bench.pending(&start("web-b-1", "a"));
    bench.set("s1", ProcessPhase::Healthy);
    bench.done(&start("web-b-1", "a"));
    let text = bench.apply(&weight("web-b-1", 5)).unwrap_err();
    assert!(matches!(&text, Failure::Rejected(text) if text.contains("balance roundrobin")), "{text}");
}

#[test]
fn mistakes_in_the_configuration_are_named_with_their_places() {
    let fine = config(Path::new("/run/haproxy/admin.sock"), 7001);
    assert_eq!(Haproxy::validate(&fine), []);
    let environment = [("REPLICA".to_owned(), String::new())].into();
    let wrong = Config {
        socket: "haproxy".into(),
        backend: "web; quit".into(),
        slots: vec!["s1".into(), "a/b".into(), "s1".into()],
        program: "web".into(),
        health_path: "healthz".into(),
        environment,
        ..fine
    };
    let places: Vec<_> = Haproxy::validate(&wrong).into_iter().map(|problem| problem.pointer).collect();
    assert_eq!(
        places,
        ["/socket", "/backend", "/slots/1", "/slots/2", "/program", "/environment/REPLICA", "/ports", "/health-path"]
    );
}
