//! A disk that fills up: seen by the health check, and refused by the store before it is full.

use crate::harness::{Daemon, Setup, counterpart, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// A small file system in memory; `None`, after saying so, where mounting is not allowed.
struct Mount(PathBuf);

impl Mount {
    fn new(folder: &Path, megabytes: u32, test: &str) -> Option<Mount> {
        let mount = counterpart::find("mount", test)?;
        std::fs::create_dir_all(folder).unwrap();
        let size = format!("size={megabytes}m,mode=700");
        let output = Command::new(mount).args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output().unwrap();
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                std::env::var_os("QUARTERDECK_TESTS_REQUIRE_COUNTERPARTS").is_none(),
                "{test} needs to mount a tmpfs: {reason}"
            );
            counterpart::say(&format!("LEFT OUT: {test} needs to mount a tmpfs: {reason}"));
            return None;
        }
        Some(Mount(folder.to_owned()))
    }

    fn fill(&self, megabytes: usize) {
        std::fs::write(self.0.join("filler"), vec![7_u8; megabytes << 20]).unwrap();
    }

    /// Leaves so many bytes, or a few less.
    fn leave(&self, bytes: u64) {
        let output = Command::new("df").args(["--output=avail", "-B1"]).arg(&self.0).output().unwrap();
        let free: u64 = String::from_utf8_lossy(&output.stdout).lines().last().unwrap().trim().parse().unwrap();
        std::fs::write(self.0.join("filler"), vec![7_u8; usize::try_from(free - bytes).unwrap()]).unwrap();
    }

    /// Leaves not a byte.
    fn fill_up(&self) {
        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        let mut part = vec![7_u8; 1 << 20];
        while !part.is_empty() {
            if file.write_all(&part).is_err() {
                part.truncate(part.len() / 2);
            }
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn the_health_check_names_a_full_mount_with_the_measured_value() {
    let setup = Setup::new().config("[instances.\"system/local\"]\nevery = \"500ms\"\n");
    let folder = setup.folder.path().join("mount");
    let Some(mount) = Mount::new(&folder, 16, "the_health_check_names_a_full_mount_with_the_measured_value") else {
        return;
    };
    mount.fill(15);
    let daemon = setup.start().await;
    let name = folder.display().to_string();
    eventually("the mount is measured", SOON, async || {
        let label = format!("metric=disk_used_percent&label=mount={name}");
        daemon.latest(&label).await.filter(|percent| *percent > 90.0)
    })
    .await;
    mount.empty();
    mount.fill(16);
    eventually("the mount is full", SOON, async || {
        daemon.latest(&format!("metric=disk_used_percent&label=mount={name}")).await.filter(|percent| *percent > 95.0)
    })
    .await;
    let output = daemon.command_line(&["runbook", "run", "system-health-check", "--json"]);
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    let step = run["steps"].as_array().unwrap().iter().find(|step| step["name"] == "Disk space").unwrap();
    assert_eq!(step["state"], "failed", "{run:#}");
    let error = step["error"].as_str().unwrap();
    assert!(error.contains(&name) && error.contains("100"), "names the mount and the value: {error}");
}

async fn publish(daemon: &Daemon) -> (StatusCode, Value) {
    let body = json!({"type": "custom.test", "subject": "a", "data": {}});
    daemon.call(Method::POST, "/api/v1/events", Some(&body)).await
}

#[tokio::test]
async fn below_the_floor_of_free_space_writes_are_refused_and_readiness_is_red_until_there_is_space() {
    let test = "below_the_floor_of_free_space_writes_are_refused_and_readiness_is_red_until_there_is_space";
    let setup = Setup::new().config("[storage]\nfree-space-floor-bytes = 33554432\n");
    let Some(mount) = Mount::new(&setup.data_dir(), 128, test) else { return };
    let daemon = setup.start().await;
    let (status, first) = publish(&daemon).await;
    assert!(status.is_success());
    // A little above the floor is what sled may need for itself; then below it.
    for left in [Some(33_554_432 + (600 << 10)), None] {
        match left {
            Some(bytes) => mount.leave(bytes),
            None => mount.fill(104),
        }
        eventually("a refusal", SOON, async || {
            let (status, problem) = publish(&daemon).await;
            (status == StatusCode::INSUFFICIENT_STORAGE)
                .then(|| assert!(problem["detail"].as_str().unwrap().contains("free"), "{problem}"))
        })
        .await;
        let (status, _) = daemon.call(Method::GET, "/readyz", None).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{left:?} bytes left");
    }
    // The configuration: a change over the API is refused; files hold, and no version is told of that was not kept.
    let version = async || daemon.get("/api/v1/configuration?pointer=/listen").await["version"].clone();
    let before = version().await;
    let object = "/api/v1/configuration/objects/instances/log%2Fsecond";
    let (status, _) = daemon.call(Method::PUT, object, Some(&json!({"plugin": "log"}))).await;
    assert_eq!((status, version().await), (StatusCode::INSUFFICIENT_STORAGE, before.clone()));
    daemon.setup.write("instances/log/third.toml", "plugin = \"log\"\n");
    daemon.post("/api/v1/configuration/reload", &json!({})).await;
    assert_eq!(version().await, "");
    let kept = daemon.items("/api/v1/events?type=custom.test&after=0&limit=1").await;
    assert_eq!(kept, [first], "what was acknowledged is there");
    mount.empty();
    eventually("writes are taken again", SOON, async || publish(&daemon).await.0.is_success().then_some(())).await;
    eventually("readiness is green again", SOON, async || {
        daemon.call(Method::GET, "/readyz", None).await.0.is_success().then_some(())
    })
    .await;
    daemon.post("/api/v1/configuration/reload", &json!({})).await;
    let kept = version().await;
    assert!(kept != "" && kept != before, "{kept}");
    assert_eq!(daemon.items("/api/v1/configuration/versions").await[0]["id"], kept);
    drop(daemon);
}

/// Publishes until it is refused; the ids of what was acknowledged.
async fn publish_until_refused(daemon: &Daemon, publisher: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for n in 0..MOST_EVENTS {
        let data = json!({"text": "x".repeat(60_000)});
        let body = json!({"type": "custom.load", "subject": format!("{publisher}-{n}"), "data": data});
        let (status, event) = daemon.call(Method::POST, "/api/v1/events", Some(&body)).await;
        if !status.is_success() {
            assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{event}");
            return acknowledged;
        }
        acknowledged.push(event["id"].as_str().unwrap().to_owned());
    }
    panic!("{MOST_EVENTS} events of 60,000 bytes went into some dozen megabytes")
}

/// Far more than there is room for.
const MOST_EVENTS: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_the_floor_of_free_space_holds_and_what_was_acknowledged_stays() {
    let test = "under_load_the_floor_of_free_space_holds_and_what_was_acknowledged_stays";
    let floor = 32 << 20;
    let setup = Setup::new().config(&format!(
        "built-ins = false\n[storage]\nfree-space-floor-bytes = {floor}\n[events]\nproducer-rate = 0\n"
    ));
    let Some(mount) = Mount::new(&setup.data_dir(), 160, test) else { return };
    // With something of its own in it, it is a data folder for all that fills it.
    std::fs::create_dir(mount.0.join("plugins")).unwrap();
    mount.fill(64);
    let daemon = setup.start().await;
    let publishers = (0..6).map(|publisher| publish_until_refused(&daemon, publisher));
    let acknowledged: BTreeSet<String> = tokio::time::timeout(10 * SOON, futures::future::join_all(publishers))
        .await
        .unwrap()
        .into_iter()
        .flatten()
        .collect();
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    let disk = rustix::fs::statvfs(&mount.0).unwrap();
    let free = disk.f_bavail * disk.f_frsize;
    assert!(free >= floor, "{free} bytes are left above a floor of {floor}");
    let found = async || {
        let (mut found, mut after) = (BTreeSet::new(), 0);
        loop {
            let page = daemon.get(&format!("/api/v1/events?type=custom.load&limit=50&after={after}")).await;
            let items = page["items"].as_array().unwrap();
            found.extend(items.iter().map(|event| event["id"].as_str().unwrap().to_owned()));
            let next = page["next"].as_u64().unwrap();
            if items.is_empty() && next == after {
                return found;
            }
            after = next;
        }
    };
    assert!(found().await.is_superset(&acknowledged), "all that was acknowledged is there after the refusals");
    drop(daemon);
    drop(mount);
}

#[tokio::test]
async fn killed_and_started_on_a_full_disk_it_says_so_and_starts_as_soon_as_there_is_room() {
    let test = "killed_and_started_on_a_full_disk_it_says_so_and_starts_as_soon_as_there_is_room";
    let setup = Setup::new().config("built-ins = false\n[storage]\nfree-space-floor-bytes = 1048576\n");
    let Some(mount) = Mount::new(&setup.data_dir(), 96, test) else { return };
    let daemon = setup.start().await;
    let mut acknowledged = BTreeSet::new();
    for _ in 0..200 {
        let (status, event) = publish(&daemon).await;
        assert!(status.is_success(), "{event}");
        acknowledged.insert(event["id"].as_str().unwrap().to_owned());
    }
    mount.fill_up();
    let setup = daemon.kill();
    for attempt in 1..=2 {
        mount.fill_up();
        let mut command = setup.command(&["run", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let ended = eventually("it ends", SOON, async || child.try_wait().unwrap()).await;
        let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
        assert_eq!(ended.code(), Some(1), "attempt {attempt}: {said}");
        let folder = setup.data_dir().display().to_string();
        assert!(said.contains(&format!("hint: free space on the disk of {folder}")), "attempt {attempt}: {said}");
    }
    mount.empty();
    let daemon = setup.start().await;
    let page = daemon.get("/api/v1/events?type=custom.test&limit=500&after=0").await;
    let found: BTreeSet<String> =
        page["items"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    assert!(found.is_superset(&acknowledged), "{} of {}", found.len(), acknowledged.len());
    assert!(publish(&daemon).await.0.is_success());
    drop(daemon);
    drop(mount);
}
