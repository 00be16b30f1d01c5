//! A service behind a real HAProxy, deployed as processes of the host.

use super::{Daemon, eventually};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// A service: a revision in `bad` answers every fifth request with 500, one in `drop` closes the connection instead of answering
/// it, one in `broken` does not start.
const SERVICE: &str = r#"
import http.server, itertools, os, signal, sys
port, bad, drops = int(sys.argv[1]), sys.argv[2].startswith("bad"), sys.argv[2].startswith("drop")
if sys.argv[2].startswith("broken"): sys.exit(1)
count = itertools.count(1)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_GET(self):
        failing = (bad or drops) and self.path != "/healthz" and next(count) % 5 == 0
        if failing and drops:
            self.close_connection = True
            return
        body = b"oops" if failing else sys.argv[2].encode()
        self.send_response(500 if failing else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments): pass
    def handle(self):
        # HAProxy resets connections that it does not need any more.
        try: super().handle()
        except ConnectionError: pass
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"#;

pub(crate) struct Haproxy(Child);

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The first of eight ports that nobody listens on. They are used later, so they lie below those that the kernel gives to outgoing
/// connections; each test of this process gets others.
pub(crate) fn free_slots() -> u16 {
    const SLOTS: u16 = 8;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 1_000).unwrap();
    for _ in 0..1_000 {
        let first = 12_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed)) % 2_000 * SLOTS;
        if (first..first + SLOTS).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
    panic!("there are no eight free ports in a row");
}

pub(crate) fn start_haproxy(program: &Path, folder: &Path, port: u16) -> Haproxy {
    let socket = folder.join("haproxy.sock");
    let slots: String = (1..=8).map(|n| format!("    server s{n} 127.0.0.1:1 disabled weight 0\n")).collect();
    let text = format!(
        "global\n    stats socket {} mode 600 level admin\n    maxconn 2000\n\
         defaults\n    mode http\n    timeout connect 2s\n    timeout client 30s\n    timeout server 30s\n    option redispatch\n    retries 3\n\
         frontend front\n    bind 127.0.0.1:{port}\n    default_backend web\n\
         backend web\n    balance roundrobin\n{slots}",
        socket.display()
    );
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, text).unwrap();
    let log = std::fs::File::create(folder.join("haproxy.log")).unwrap();
    let child = Command::new(program)
        .arg("-f")
        .arg(&file)
        .arg("-db")
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    Haproxy(child)
}

pub(crate) async fn deploy(daemon: &Daemon, revision: &str) -> Value {
    let started = daemon.post("/api/v1/deployments", &json!({"service": "web", "revision": revision})).await;
    let path = format!("/api/v1/deployments/{}", started["id"].as_str().unwrap());
    eventually(&format!("the deployment of {revision} ends"), Duration::from_secs(120), async || {
        let deployment = daemon.get(&path).await;
        deployment["finished_at"].is_string().then_some(deployment)
    })
    .await
}

/// Writes the service's script.
pub(crate) fn write_service(folder: &Path) -> PathBuf {
    let service = folder.join("service.py");
    std::fs::write(&service, SERVICE).unwrap();
    service
}

/// The interpreter itself: a version manager's stand-in for it would leave a shell between the host and the service.
pub(crate) fn real(python: &Path) -> String {
    let real = Command::new(python).args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    String::from_utf8(real.stdout).unwrap().trim().to_owned()
}

/// The service `web` behind the HAProxy of that folder, on ports from `first`.
pub(crate) fn config(
    folder: &Path,
    python: &str,
    service: &Path,
    first: u16,
    strategy: &str,
    replicas: u32,
    service_config: &str,
) -> String {
    format!(
        "[instances.\"haproxy/web\"]\nplugin = \"haproxy\"\n\
         [instances.\"haproxy/web\".config]\nsocket = \"{socket}\"\nbackend = \"web\"\n\
         slots = [\"s1\", \"s2\", \"s3\", \"s4\", \"s5\", \"s6\", \"s7\", \"s8\"]\nprogram = \"{python}\"\n\
         arguments = [\"{service}\", \"{{port}}\", \"{{revision}}\"]\nports = {{ from = {first}, to = {last} }}\n\
         health-path = \"/healthz\"\ndrain-seconds = 5\nstop-grace-seconds = 2\n\
         [instances.\"haproxy/web\".grants]\nkv = true\ntcp = [\"unix:{socket}\"]\n\
         process = [{{ program = \"{python}\", arguments = [\"{service}\", \"*\", \"*\"] }}]\n\
         [instances.\"{strategy}/web\"]\nplugin = \"{strategy}\"\n\
         [services.web]\ntarget = \"haproxy/web\"\nstrategy = \"{strategy}/web\"\nreplicas = {replicas}\nstart-timeout = \"20s\"\n\
         [services.web.config]\n{service_config}",
        socket = folder.join("haproxy.sock").display(),
        service = service.display(),
        last = first + 7,
    )
}

/// The host leaves deployed processes running when it ends. Ends those of this test: only they have its script's path.
pub(crate) struct Services(pub(crate) PathBuf);

impl Drop for Services {
    fn drop(&mut self) {
        let _ = Command::new("pkill").arg("-KILL").arg("-f").arg(&self.0).status();
    }
}
