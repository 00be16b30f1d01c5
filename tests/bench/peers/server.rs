//! A program under measurement: started for it, ended after it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    pub(crate) http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn http() -> reqwest::Client {
    // A connection that a server is about to close is not used again.
    reqwest::Client::builder().no_proxy().pool_idle_timeout(Duration::from_secs(5)).build().unwrap()
}

fn binary() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("quarterdeck")
}

/// Starts a program of the path; says so if there is none.
fn started(program: &str, arguments: &[String]) -> Option<Child> {
    let child =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if child.is_err() {
        eprintln!("LEFT OUT: `{program}`, which is not installed");
    }
    child.ok()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    /// With files in its configuration folder.
    pub(crate) async fn quarterdeck(files: &[(&str, &str)]) -> Server {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join("config").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let arguments =
            ["run", "--listen", "127.0.0.1:0", "--data-dir", &path("data"), "--config-dir", &path("config")];
        let mut child = started(binary().to_str().unwrap(), &arguments.map(str::to_owned)).unwrap();
        let begin = Instant::now();
        let url = loop {
            match std::fs::read_to_string(path("data/url")) {
                Ok(url) if !url.is_empty() => break url,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            assert!(child.try_wait().unwrap().is_none(), "the daemon has ended");
            assert!(begin.elapsed() < Duration::from_secs(120), "no address");
        };
        let token = Some(std::fs::read_to_string(path("data/token")).unwrap());
        Server { child, url, token, http: http(), _folder: folder }.ready("/readyz").await
    }

    pub(crate) async fn prometheus(config: &str) -> Option<Server> {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let file = written(folder.path(), "prometheus.yml", config);
        let arguments = [
            format!("--config.file={file}"),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--web.enable-remote-write-receiver".to_owned(),
        ];
        let child = started("prometheus", &arguments)?;
        let url = format!("http://127.0.0.1:{port}");
        Some(Server { child, url, token: None, http: http(), _folder: folder }.ready("/-/ready").await)
    }

    pub(crate) async fn alertmanager(config: &str) -> Option<Server> {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let file = written(folder.path(), "alertmanager.yml", config);
        let arguments = [
            format!("--config.file={file}"),
            format!("--storage.path={}", folder.path().join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--cluster.listen-address=".to_owned(),
        ];
        let child = started("prometheus-alertmanager", &arguments)?;
        let url = format!("http://127.0.0.1:{port}");
        Some(Server { child, url, token: None, http: http(), _folder: folder }.ready("/-/ready").await)
    }

    async fn ready(self, path: &str) -> Server {
        let begin = Instant::now();
        let url = format!("{}{path}", self.url);
        while !self.http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(begin.elapsed() < Duration::from_secs(120), "{url} is not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self
    }

    pub(crate) fn post(&self, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
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

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
