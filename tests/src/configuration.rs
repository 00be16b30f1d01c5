//! Configuration: what is wrong is said with its place, and what runs stays.

use crate::harness::{Setup, eventually};
use serde_json::json;
use std::process::{Child, Stdio};
use std::time::Duration;

mod disk;
mod objects;
mod places;
mod reload;
mod versions;

const SOON: Duration = Duration::from_secs(60);

/// Ended with the test, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_bad_file_is_refused_with_file_line_and_column() {
    let setup = Setup::new().config("[storage]\nkeep-events = 5\nkep-samples = \"1d\"\n");
    let output = setup.run(&["run", "--listen", "127.0.0.1:0"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(errors.contains("quarterdeck.toml:2:"), "{errors}");
    assert!(errors.contains("quarterdeck.toml:3:"), "both errors at once: {errors}");
    assert!(errors.contains("keep-samples"), "did you mean: {errors}");
}

#[tokio::test]
async fn a_reload_takes_a_good_file_and_keeps_what_runs_when_the_file_is_bad() {
    let daemon = Setup::new().start().await;
    daemon.setup.write("slos/extra.toml", "[slos.extra]\ncalculator = \"availability/default\"\nselect = { metric = \"probe_success\" }\nconfig = { target = 0.9 }\n");
    daemon.post("/api/v1/configuration/reload", &json!({})).await;
    eventually("the new objective is calculated", Duration::from_secs(30), async || {
        daemon.items("/api/v1/slos").await.into_iter().find(|slo| slo["name"] == "extra")
    })
    .await;
    daemon.setup.write("slos/extra.toml", "[slos.extra]\ncalculator = 5\n");
    let (status, problem) = daemon.call(reqwest::Method::POST, "/api/v1/configuration/reload", Some(&json!({}))).await;
    assert_eq!(status, 422, "{problem}");
    assert!(problem.to_string().contains("extra.toml:2:"), "{problem}");
    assert!(daemon.items("/api/v1/slos").await.iter().any(|slo| slo["name"] == "extra"));
}

#[tokio::test]
async fn a_change_of_a_file_is_taken_up_by_itself() {
    let daemon = Setup::new().start().await;
    daemon.setup.write("instances/second.toml", "[instances.\"log/second\"]\nplugin = \"log\"\n");
    eventually("the new instance is there", Duration::from_secs(20), async || {
        daemon
            .items("/api/v1/instances")
            .await
            .into_iter()
            .find(|instance| instance["name"] == "log/second" && instance["state"] == "active")
    })
    .await;
}

#[tokio::test]
async fn a_variable_lies_over_the_file() {
    let setup =
        Setup::new().config("[storage]\nkeep-events = \"2d\"\n").variable("QUARTERDECK_STORAGE__KEEP_EVENTS", "3d");
    let daemon = setup.start().await;
    let effective = daemon.get("/api/v1/configuration").await;
    assert!(effective.to_string().contains("3d"), "{effective:#}");
}

#[test]
fn without_a_named_folder_the_one_in_the_data_folder_is_read() {
    let setup = Setup::new();
    let folder = setup.data_dir().join("config");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("quarterdeck.toml"), "no-such-key = 1\n").unwrap();
    let mut command = setup.command(&["config", "check"]);
    command.env_remove("QUARTERDECK_CONFIG_DIR").env("XDG_CONFIG_HOME", setup.folder.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("no-such-key"), "{said}");
}

#[test]
fn a_named_folder_that_is_not_there_is_a_mistake() {
    let setup = Setup::new();
    let missing = setup.folder.path().join("typo");
    let output = setup.run(&["config", "check", "--config-dir", missing.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("there is no folder") && said.contains("hint:"), "{said}");
    assert!(!missing.exists());
}

#[tokio::test]
async fn the_data_folder_of_the_file_is_used_by_daemon_and_command_line() {
    let setup = Setup::new().config("data-dir = \"elsewhere\"\n");
    let data = setup.config_dir().join("elsewhere");
    let mut daemon = setup.command(&["run", "--listen", "127.0.0.1:0"]);
    daemon.env_remove("QUARTERDECK_DATA_DIR").stdout(Stdio::null()).stderr(Stdio::null());
    let _daemon = Ended(daemon.spawn().unwrap());
    eventually("the daemon in its folder", SOON, async || data.join("url").is_file().then_some(())).await;
    let mut status = setup.command(&["status", "--json"]);
    let output = status.env_remove("QUARTERDECK_DATA_DIR").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_check_warns_of_what_can_not_work_and_passes() {
    let setup = Setup::new().config(
        "[instances.\"http-prob/x\"]\nplugin = \"http-prob\"\n\
         [instances.\"http-probe/bare\"]\nplugin = \"http-probe\"\nconfig = { url = \"http://127.0.0.1:1/\" }\n\
         [routes.team]\nevents = [\"incident.open\"]\nnotify = [\"log/default\"]\n\
         [secrets]\nnone = { file = \"nowhere\" }\n",
    );
    let output = setup.run(&["config", "check"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    for warning in [
        "quarterdeck.toml:2:10: instances.\"http-prob/x\".plugin: there is no plugin `http-prob`; hint: did you mean `http-probe`?",
        "instances.\"http-probe/bare\".grants: `http-probe` asks for `http`",
        "routes.team.events[0]: there is no event of the type `incident.open`; hint: did you mean `incident.opened`?",
        "secrets.none.file: ",
    ] {
        assert!(said.contains(warning), "{warning}: {said}");
    }
    assert_eq!(said.lines().filter(|line| line.starts_with("warning: ")).count(), 4, "{said}");
    let output = setup.run(&["config", "check", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((answer["warnings"].as_array().unwrap().len(), &answer["valid"]), (4, &json!(true)), "{answer:#}");
}
