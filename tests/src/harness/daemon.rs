//! The daemon under test.

use super::schema::Contract;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_quarterdeck");

/// The folders of one daemon. Dropped last: they outlive a kill and a new start.
pub(crate) struct Setup {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) variables: Vec<(String, String)>,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("config/plugins")).unwrap();
        Setup { folder, variables: Vec::new() }
    }

    /// The main configuration file.
    pub(crate) fn config(self, text: &str) -> Self {
        self.write("quarterdeck.toml", text);
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What its daemons know of their plugins is theirs alone, and not what all of a run know. Compiled ones are shared even so.
    pub(crate) fn own_cache(self) -> Self {
        let cache = self.cache_dir();
        std::fs::create_dir(&cache).unwrap();
        let compiled = shared_cache().join("aot");
        std::fs::create_dir_all(&compiled).unwrap();
        std::os::unix::fs::symlink(compiled, cache.join("aot")).unwrap();
        let cache = cache.to_str().unwrap().to_owned();
        self.variable("QUARTERDECK_CACHE_DIR", &cache)
    }

    /// Of [`Setup::own_cache`].
    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Writes a file below the configuration folder.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.config_dir().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A file beside configuration and data, for what the command line is given.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// What daemons over these folders have logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The folder of the log that an acknowledgement waits for.
    pub(crate) fn write_ahead_log(&self) -> PathBuf {
        self.data_dir().join("store/wal")
    }

    /// The folder of the samples' log.
    pub(crate) fn samples_log(&self) -> PathBuf {
        self.data_dir().join("store/series/log")
    }

    pub(crate) fn config_dir(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn plugins_dir(&self) -> PathBuf {
        self.config_dir().join("plugins")
    }

    /// The binary with this setup's folders and nothing of the surrounding environment that it would read.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("QUARTERDECK_")) {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .env("QUARTERDECK_DATA_DIR", self.data_dir())
            .env("QUARTERDECK_CONFIG_DIR", self.config_dir())
            .env("QUARTERDECK_CACHE_DIR", shared_cache())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs one operation of the command line to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) async fn start(self) -> Daemon {
        Daemon::start(self).await
    }
}

/// Compiled plugins, shared by all tests of a run: every daemon compiles the same ones.
fn shared_cache() -> &'static Path {
    static CACHE: OnceLock<PathBuf> = OnceLock::new();
    CACHE.get_or_init(|| {
        let folder = Path::new(BINARY).parent().unwrap().join("quarterdeck-test-cache");
        std::fs::create_dir_all(&folder).unwrap();
        folder
    })
}

/// Checks answers against the OpenAPI document of a daemon, also when that is gone.
#[derive(Clone)]
pub(crate) struct Answers(Arc<Contract>);

impl Answers {
    /// Reads an answer to its end; panics unless it is as the document says.
    ///
    /// # Errors
    /// It was cut off: there is nothing to check then.
    pub(crate) async fn read(&self, method: &Method, response: Response) -> reqwest::Result<Vec<u8>> {
        let (status, headers, path) = (response.status(), response.headers().clone(), response.url().path().to_owned());
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let bytes = response.bytes().await?;
        self.0.check(method.as_str(), &path, status.as_u16(), header, Some(&bytes));
        Ok(bytes.to_vec())
    }

    /// Checks the head of an answer that goes on for ever.
    pub(crate) fn head(&self, method: &Method, response: &Response) {
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        self.0.check(method.as_str(), response.url().path(), response.status().as_u16(), header, None);
    }

    /// Checks an answer as it came over a connection, not chunked.
    pub(crate) fn raw(&self, method: &Method, path: &str, answer: &str) {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let header = |wanted: &str| {
            let mut headers = head.lines().filter_map(|line| line.split_once(':'));
            headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim().to_owned())
        };
        self.0.check(method.as_str(), path, status, header, Some(body.as_bytes()));
    }
}

pub(crate) struct Daemon {
    child: Child,
    pub(crate) url: String,
    pub(crate) token: String,
    contract: Arc<Contract>,
    http: reqwest::Client,
    pub(crate) setup: Setup,
}

impl Daemon {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(setup: Setup) -> Daemon {
        let mut command = setup.command(&["run", "--listen", "127.0.0.1:0"]);
        Self::launch(setup, &mut command).await
    }

    /// The same, through a command of the caller's (a tracer).
    pub(crate) async fn launch(setup: Setup, command: &mut Command) -> Daemon {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let _ = std::fs::remove_file(setup.data_dir().join("url"));
        let log = setup.folder.path().join("log");
        let file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        let url = loop {
            if let Ok(url) = std::fs::read_to_string(setup.data_dir().join("url"))
                && let url = url.trim().to_owned()
                && let Ok(response) = http.get(format!("{url}/readyz")).send().await
                && response.status() == StatusCode::OK
            {
                break url;
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the daemon ended with {status}:\n{}", std::fs::read_to_string(&log).unwrap());
            }
            assert!(Instant::now() < end, "not ready in time:\n{}", std::fs::read_to_string(&log).unwrap());
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let token = std::fs::read_to_string(setup.data_dir().join("token")).unwrap().trim().to_owned();
        let document = http.get(format!("{url}/api/v1/openapi.json")).bearer_auth(&token);
        let document = document.send().await.unwrap().json().await.unwrap();
        Daemon { child, url, token, contract: Arc::new(Contract::new(document)), http, setup }
    }

    pub(crate) fn log(&self) -> String {
        self.setup.log()
    }

    /// An answer that has to fit the OpenAPI document; its status and JSON (null for other content).
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.url)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response =
            request.send().await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}\n{}", self.log()));
        let status = response.status();
        let bytes = self.answers().read(&method, response).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// The check of answers to requests that a test sends by itself.
    pub(crate) fn answers(&self) -> Answers {
        Answers(Arc::clone(&self.contract))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, value) = self.call(Method::GET, path, None).await;
        assert!(status.is_success(), "GET {path}: {status} {value:#}\n{}", self.log());
        value
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, value) = self.call(Method::POST, path, Some(body)).await;
        assert!(status.is_success(), "POST {path}: {status} {value:#}\n{}", self.log());
        value
    }

    pub(crate) async fn items(&self, path: &str) -> Vec<Value> {
        self.get(path).await["items"].as_array().unwrap().clone()
    }

    /// The items of every page of a list.
    pub(crate) async fn all(&self, path: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}?limit=200{cursor}")).await;
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// Newest value of the one series that is asked for.
    pub(crate) async fn latest(&self, query: &str) -> Option<f64> {
        self.items(&format!("/api/v1/metrics/latest?{query}")).await.first().and_then(|sample| sample["value"].as_f64())
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// One operation of the command line, against this daemon.
    pub(crate) fn command_line(&self, arguments: &[&str]) -> Output {
        self.setup.run(arguments)
    }

    /// Kills it with SIGKILL, in the middle of whatever it does; the setup can be started again.
    pub(crate) fn kill(mut self) -> Setup {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.into_setup()
    }

    /// Asks it to read its files again.
    pub(crate) fn hang_up(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    /// Makes it hang: its connections stay, and nothing is answered until [`Daemon::thaw`].
    pub(crate) fn freeze(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    }

    pub(crate) fn thaw(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    }

    /// Asks it to end, and gives how long that took and whether it ended well.
    pub(crate) fn stop(mut self) -> (Setup, Duration, bool) {
        let begin = Instant::now();
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        let took = begin.elapsed();
        (self.into_setup(), took, status.success())
    }

    /// Waits until it has ended by itself; gives its exit code, and how long that took.
    pub(crate) async fn ended(mut self, within: Duration) -> (Setup, Option<i32>, Duration) {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < within, "it goes on after {within:?}:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        (self.into_setup(), status.code(), begin.elapsed())
    }

    fn into_setup(mut self) -> Setup {
        std::mem::replace(&mut self.setup, Setup { folder: tempfile::tempdir().unwrap(), variables: Vec::new() })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
