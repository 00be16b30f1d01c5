//! A program under measurement: started for it, ended after it.

use axum::body::Bytes;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// For a program to start, and for whatever else is waited for.
const PATIENCE: Duration = Duration::from_secs(180);
/// For one answer.
const ANSWER: Duration = Duration::from_secs(60);

/// On which cores a program may run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cores {
    All,
    One,
}

pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    /// What stands before the paths of Prometheus's API.
    prefix: &'static str,
    token: Option<String>,
    http: reqwest::Client,
    cores: Cores,
    /// Its configuration, its data and what it has said.
    folder: Arc<tempfile::TempDir>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn http() -> reqwest::Client {
    // A connection that a server is about to close is not used again.
    let client = reqwest::Client::builder().no_proxy().pool_idle_timeout(Duration::from_secs(5)).timeout(ANSWER);
    client.build().unwrap()
}

pub(crate) fn binary() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("quarterdeck")
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, done: impl AsyncFn() -> bool) {
    let begin = Instant::now();
    while !done().await {
        assert!(begin.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Whether a program of the path is there; says so if it is not.
fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).any(|folder| folder.join(program).is_file());
    if !found {
        eprintln!("LEFT OUT: `{program}`, which is not installed");
    }
    found
}

/// Starts a program; what it says goes to `log` in the folder.
fn started(program: &Path, arguments: &[String], cores: Cores, folder: &Path) -> Child {
    let mut command = match cores {
        Cores::All => Command::new(program),
        Cores::One => {
            // It becomes the program, so that the child is the same process.
            let mut command = Command::new("taskset");
            command.args(["-c", "0"]).arg(program);
            command
        }
    };
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("QUARTERDECK_")) {
        command.env_remove(name);
    }
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A folder with these files in it.
fn folder_with(below: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(below).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

impl Server {
    /// With files in its configuration folder. Whatever it compiles at its start is compiled when this ends.
    pub(crate) async fn quarterdeck(files: &[(&str, &str)], cores: Cores) -> Server {
        let folder = folder_with("config", files);
        std::fs::create_dir_all(folder.path().join("config/plugins")).unwrap();
        let server = Self::quarterdeck_in(Arc::new(folder), cores).await;
        server.is_settled().await;
        server
    }

    async fn quarterdeck_in(folder: Arc<tempfile::TempDir>, cores: Cores) -> Server {
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        // Of an earlier run in this folder.
        let _ = std::fs::remove_file(path("data/url"));
        let arguments =
            ["run", "--listen", "127.0.0.1:0", "--data-dir", &path("data"), "--config-dir", &path("config")];
        let child = started(&binary(), &arguments.map(str::to_owned), cores, folder.path());
        let (token, http) = (None, http());
        let mut server = Server { child, url: String::new(), prefix: "/prometheus", token, http, cores, folder };
        let begin = Instant::now();
        let read = |name: &str| std::fs::read_to_string(server.folder.path().join("data").join(name));
        let url = loop {
            match read("url") {
                Ok(url) if !url.trim().is_empty() => break url.trim().to_owned(),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            assert!(begin.elapsed() < PATIENCE, "no address: {}", server.last_words());
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "the daemon has ended: {}", server.last_words());
        };
        server.token = Some(read("token").unwrap().trim().to_owned());
        server.url = url;
        server.ready("/readyz").await
    }

    /// Waits until nothing has been compiled for a while: a start with an empty cache does much of it.
    async fn is_settled(&self) {
        const QUIET: Duration = Duration::from_secs(5);
        let cache = self.folder.path().join("data/cache/aot");
        let compiled = || std::fs::read_dir(&cache).map_or(0, Iterator::count);
        let begin = Instant::now();
        let (mut known, mut since) = (compiled(), Instant::now());
        while since.elapsed() < QUIET {
            assert!(begin.elapsed() < PATIENCE, "it compiles for ever");
            tokio::time::sleep(Duration::from_millis(200)).await;
            if compiled() != known {
                (known, since) = (compiled(), Instant::now());
            }
        }
    }

    /// Ends it without a warning, and starts it again on what it has left. When it was ended, in seconds since 1970.
    pub(crate) async fn killed(self) -> (Server, f64) {
        let (folder, cores) = (Arc::clone(&self.folder), self.cores);
        let at = now();
        drop(self);
        (Self::quarterdeck_in(folder, cores).await, at)
    }

    /// With these files beside one another, `prometheus.yml` among them.
    pub(crate) async fn prometheus(files: &[(&str, &str)], cores: Cores) -> Option<Server> {
        let arguments = ["--web.enable-remote-write-receiver", "--web.enable-admin-api"].map(str::to_owned);
        Self::of_others("prometheus", "prometheus.yml", "--storage.tsdb.path", &arguments, files, cores).await
    }

    /// With `alertmanager.yml`.
    pub(crate) async fn alertmanager(files: &[(&str, &str)]) -> Option<Server> {
        let alone = ["--cluster.listen-address=".to_owned()];
        let program = "prometheus-alertmanager";
        Self::of_others(program, "alertmanager.yml", "--storage.path", &alone, files, Cores::All).await
    }

    async fn of_others(
        program: &str,
        config: &str,
        storage: &str,
        more: &[String],
        files: &[(&str, &str)],
        cores: Cores,
    ) -> Option<Server> {
        if !is_installed(program) {
            return None;
        }
        let (folder, port) = (folder_with("", files), free_port());
        let at = |name: &str| folder.path().join(name).display().to_string();
        let mut arguments = vec![
            format!("--config.file={}", at(config)),
            format!("{storage}={}", at("data")),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        arguments.extend_from_slice(more);
        let child = started(Path::new(program), &arguments, cores, folder.path());
        let url = format!("http://127.0.0.1:{port}");
        let server = Server { child, url, prefix: "", token: None, http: http(), cores, folder: Arc::new(folder) };
        Some(server.ready("/-/ready").await)
    }

    /// The exporter of this machine's figures.
    pub(crate) async fn node_exporter() -> Option<Server> {
        let program = "prometheus-node-exporter";
        if !is_installed(program) {
            return None;
        }
        let (folder, port) = (folder_with("", &[]), free_port());
        let arguments = [format!("--web.listen-address=127.0.0.1:{port}")];
        let child = started(Path::new(program), &arguments, Cores::All, folder.path());
        let url = format!("http://127.0.0.1:{port}");
        let (token, cores, folder) = (None, Cores::All, Arc::new(folder));
        let server = Server { child, url, prefix: "", token, http: http(), cores, folder };
        Some(server.ready("/metrics").await)
    }

    async fn ready(mut self, path: &str) -> Server {
        let begin = Instant::now();
        let url = format!("{}{path}", self.url);
        while !self.http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it has ended before {url} was ready: {}", self.last_words());
            assert!(begin.elapsed() < PATIENCE, "{url} is not ready: {}", self.last_words());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// A file or a folder of it: `data`, `config`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.with_token(self.http.post(format!("{}{path}", self.url)))
    }

    /// The same for a path of Prometheus's API: `/api/v1/write`.
    pub(crate) fn post_as_prometheus(&self, path: &str) -> reqwest::RequestBuilder {
        self.post(&format!("{}{path}", self.prefix))
    }

    fn with_token(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// What stands at a path.
    pub(crate) async fn text(&self, path: &str) -> String {
        let answer = self.with_token(self.http.get(format!("{}{path}", self.url))).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.text().await.unwrap()
    }

    /// The answer of Prometheus's API (`query`, `query_range`), as it comes.
    pub(crate) async fn asked(&self, what: &str, parameters: &[(&str, String)]) -> Bytes {
        let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
        let pairs = pairs.collect::<Vec<_>>().join("&");
        let url = format!("{}{}/api/v1/{what}?{pairs}", self.url, self.prefix);
        self.http.get(url).send().await.unwrap().bytes().await.unwrap()
    }

    /// The one number that a query finds as of a time; 0 where it finds nothing.
    pub(crate) async fn number(&self, query: &str, at: f64) -> f64 {
        let answer = self.asked("query", &[("query", query.to_owned()), ("time", format!("{at:.3}"))]).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"][0]["value"][1].as_str().map_or(0.0, |text| text.parse().unwrap())
    }

    /// `(resident bytes, CPU seconds so far)`, as the kernel counts them; ticks are 1/100 s on Linux.
    pub(crate) fn usage(&self) -> (f64, f64) {
        let process = format!("/proc/{}", self.child.id());
        let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kibibytes: f64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
        let stat = std::fs::read_to_string(format!("{process}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        (kibibytes * 1024.0, ticks as f64 / 100.0)
    }
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
