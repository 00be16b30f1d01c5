//! From `quarterdeck plugin new` to the first figure of the plugin's instance in the running daemon, in each language, by the steps of the
//! guides of the SDKs; then, of the same instances, from the end of a daemon to their first call in the next one. Prints a row of the table for each.
//!
//! `cargo run --release -p quarterdeck --example bench-first-plugin [rust|python|javascript]` (after `cargo build --release`). Crates are
//! downloaded before; what pip and npm bring is part of it, as it is for whoever begins. A language whose tools are missing is named and
//! left out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a benchmark may panic"
)]

mod report;
#[path = "peers/server.rs"]
#[expect(dead_code, reason = "the programs of others are for another benchmark")]
mod server;

use report::{percentile, row};
use serde_json::Value;
use server::{Cores, Server, binary, now, until};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RESTARTS: usize = 5;

struct Language {
    name: &'static str,
    /// Programs, and with what they answer whether they will do.
    tools: &'static [(&'static str, &'static [&'static str])],
    hint: &'static str,
    with: &'static str,
    bound: &'static str,
    /// From the end of a daemon to the first call in the next one.
    restart_bound: &'static str,
}

const LANGUAGES: [Language; 3] = [
    Language {
        name: "rust",
        tools: &[("cargo", &["--version"]), ("rustc", &["--version"])],
        hint: "they come with rustup",
        with: "crates downloaded before",
        bound: "60 s",
        restart_bound: "",
    },
    Language {
        name: "python",
        tools: &[("python3", &["-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"])],
        hint: "Python 3.11 or newer with its venv module",
        with: "with what pip downloads",
        bound: "90 s",
        restart_bound: "1 s",
    },
    Language {
        name: "javascript",
        tools: &[("node", &["--eval", "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)"]), ("npm", &["-v"])],
        hint: "Node.js 20 or newer with npm",
        with: "with what npm downloads",
        bound: "90 s",
        restart_bound: "1 s",
    },
];

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let only = std::env::args().nth(1);
    let names = LANGUAGES.map(|language| language.name);
    if let Some(only) = &only {
        assert!(names.contains(&only.as_str()), "there is no language `{only}`; hint: one of {}", names.join(", "));
    }
    // One daemon for all of them, as it runs for somebody who begins: what is bundled is compiled.
    let server = Server::quarterdeck(&[], Cores::All).await;
    let desk = tempfile::tempdir().unwrap();
    let mut measured = Vec::new();
    for language in LANGUAGES.iter().filter(|language| only.as_deref().is_none_or(|only| only == language.name)) {
        if let Some(tool) = language.tools.iter().find(|(tool, arguments)| !answers(tool, arguments)) {
            eprintln!("LEFT OUT: {}, for want of `{}`; hint: {}", language.name, tool.0, language.hint);
            continue;
        }
        let author = Author { server: &server, desk: desk.path(), lock: None };
        let author = if language.name == "rust" { author.with_crates() } else { Some(author) };
        match author {
            Some(author) => {
                author.measure(language).await;
                measured.push(language);
            }
            None => eprintln!("LEFT OUT: rust, as its crates can't be downloaded"),
        }
    }
    restarts(server, desk.path(), &measured).await;
}

/// The instance of the plugin in that language.
fn instance(language: &Language) -> String {
    format!("first-{}/mine", language.name)
}

/// Everything is in the cache. The instances are called so often that the time until their turn comes is small.
async fn restarts(mut server: Server, desk: &Path, languages: &[&Language]) {
    for language in languages {
        Author { server: &server, desk, lock: None }.put_to_use(language, "100ms");
    }
    let mut took = vec![Vec::new(); languages.len()];
    for _ in 0..RESTARTS {
        let (again, ended) = server.killed().await;
        server = again;
        let mut waiting: Vec<usize> = (0..languages.len()).collect();
        while !waiting.is_empty() {
            for index in std::mem::take(&mut waiting) {
                let path = format!("/api/v1/instances/{}", instance(languages[index]));
                let shown: Value = serde_json::from_str(&server.text(&path).await).unwrap();
                match shown["usage"]["calls"].as_u64() {
                    Some(1..) => took[index].push((now() - ended) * 1e3),
                    _ => waiting.push(index),
                }
            }
            assert!(now() - ended < 60.0, "no call after a restart");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    for (language, took) in languages.iter().zip(&mut took) {
        row(
            &format!(
                "end of the daemon until the first call after a restart has ended, {}, cached (median of {RESTARTS})",
                language.name
            ),
            &format!("{:.0} ms", percentile(took, 0.5)),
            language.restart_bound,
            "",
        );
    }
}

fn answers(tool: &str, arguments: &[&str]) -> bool {
    let quiet = || Stdio::null();
    let status = Command::new(tool).args(arguments).stdin(quiet()).stdout(quiet()).stderr(quiet()).status();
    status.is_ok_and(|status| status.success())
}

/// Somebody at a command line, in a folder of their own, on the machine of the daemon.
struct Author<'a> {
    server: &'a Server,
    desk: &'a Path,
    /// What cargo resolved, of crates that are there.
    lock: Option<PathBuf>,
}

impl Author<'_> {
    /// Downloads the crates that a plugin in Rust needs, at the versions that this repository has.
    fn with_crates(self) -> Option<Self> {
        let folder = self.desk.join("before");
        self.run(&["plugin", "new", "before", "--kind", "collector", "--folder", folder.to_str().unwrap()]);
        let lock = folder.join("Cargo.lock");
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock"), &lock).unwrap();
        let fetched = Command::new("cargo").arg("fetch").current_dir(&folder).stdin(Stdio::null()).status();
        fetched.is_ok_and(|status| status.success()).then_some(Author { lock: Some(lock), ..self })
    }

    async fn measure(&self, language: &Language) {
        let name = format!("first-{}", language.name);
        let (instance, metric) = (instance(language), format!("{}_height", name.replace('-', "_")));
        let folder = self.desk.join(&name);
        let at = folder.to_str().unwrap();
        let begin = Instant::now();
        let mut steps = Vec::new();
        let mut step =
            |what: &str, begun: Instant| steps.push(format!("{what} {:.1} s", begun.elapsed().as_secs_f64()));

        self.run(&["plugin", "new", &name, "--kind", "collector", "--language", language.name, "--folder", at]);
        step("new", begin);
        if let Some(lock) = &self.lock {
            std::fs::copy(lock, folder.join("Cargo.lock")).unwrap();
        }
        let begun = Instant::now();
        let built: Value = serde_json::from_str(&self.run(&["plugin", "build", at, "--json"])).unwrap();
        step("build", begun);
        let begun = Instant::now();
        self.run(&["plugin", "install", built["component"].as_str().unwrap(), "--name", &format!("{name}.wasm")]);
        step("install", begun);
        let begun = Instant::now();
        self.put_to_use(language, "5s");
        self.granted(&instance).await;
        until(&format!("the first figure of {instance}"), async || {
            let path = format!("/api/v1/metrics/latest?metric={metric}");
            let found: Value = serde_json::from_str(&self.server.text(&path).await).unwrap();
            !found["items"].as_array().unwrap().is_empty()
        })
        .await;
        step("first figure", begun);
        let whole = begin.elapsed().as_secs_f64();
        row(
            &format!("`plugin new` to the first figure in the running daemon, {}, {}", language.name, language.with),
            &format!("{whole:.1} s ({})", steps.join(", ")),
            language.bound,
            "",
        );
    }

    fn put_to_use(&self, language: &Language, every: &str) {
        let plugin = format!("first-{}", language.name);
        let spec = format!(r#"{{"plugin": "{plugin}", "every": "{every}", "config": {{"amplitude": 2}}}}"#);
        self.run(&["config", "set", "instances", &instance(language), &spec]);
    }

    /// Gives the instance what it waits for, if it waits for anything.
    async fn granted(&self, instance: &str) {
        let shown: Value =
            serde_json::from_str(&self.server.text(&format!("/api/v1/instances/{instance}")).await).unwrap();
        if !shown["awaiting"].is_null() {
            self.run(&["plugin", "grant", instance]);
        }
    }

    /// Runs `quarterdeck` to its end; its standard output.
    fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(binary());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("QUARTERDECK_")) {
            command.env_remove(name);
        }
        // Nothing that was built or installed for something else helps or hinders.
        for name in
            ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "RUSTFLAGS", "RUSTC_WRAPPER", "VIRTUAL_ENV", "PYTHONPATH"]
        {
            command.env_remove(name);
        }
        if self.lock.is_some() {
            command.env("CARGO_NET_OFFLINE", "true");
        }
        let output = command
            .args(arguments)
            .env("QUARTERDECK_DATA_DIR", self.server.path("data"))
            .env("QUARTERDECK_CONFIG_DIR", self.server.path("config"))
            .current_dir(self.desk)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "quarterdeck {}: {words}", arguments.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }
}
