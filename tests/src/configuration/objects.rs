//! Objects that are set and taken away over the API.

use crate::configuration::SOON;
use crate::harness::{Daemon, Setup, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const OBJECTS: &str = "/api/v1/configuration/objects";

async fn put(daemon: &Daemon, object: &str, value: &Value) -> (StatusCode, Value) {
    daemon.call(Method::PUT, &format!("{OBJECTS}/{object}"), Some(value)).await
}

async fn delete(daemon: &Daemon, object: &str) -> (StatusCode, Value) {
    daemon.call(Method::DELETE, &format!("{OBJECTS}/{object}"), None).await
}

async fn version(daemon: &Daemon) -> String {
    daemon.get("/api/v1/configuration").await["version"].as_str().unwrap().to_owned()
}

async fn runs(daemon: &Daemon, instance: &str) {
    eventually("the instance has been called", SOON, async || {
        let (_, instance) = daemon.call(Method::GET, &format!("/api/v1/instances/{instance}"), None).await;
        (instance["state"] == "active" && instance["usage"]["calls"].as_u64() > Some(0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_instance_that_is_set_over_the_api_runs_at_once_and_after_a_restart() {
    let daemon = Setup::new().start().await;
    let value = json!({"plugin": "system", "every": "200ms", "grants": {"system": true}});
    let (status, object) = put(&daemon, "instances/system%2Fsecond", &value).await;
    assert_eq!((status, &object["origin"], &object["api"]), (StatusCode::CREATED, &json!("the API"), &json!("set")));
    runs(&daemon, "system/second").await;
    let first = version(&daemon).await;
    let (status, again) = put(&daemon, "instances/system%2Fsecond", &value).await;
    assert_eq!((status, again), (StatusCode::OK, object), "it is the same");
    assert_eq!(version(&daemon).await, first, "the same again is no new version");
    // Killed, not stopped: what was answered is kept.
    let daemon = daemon.kill().start().await;
    runs(&daemon, "system/second").await;
    assert_eq!(version(&daemon).await, first);
    let (status, gone) = delete(&daemon, "instances/system%2Fsecond").await;
    assert_eq!((status, &gone["value"]), (StatusCode::OK, &Value::Null));
    assert_eq!(daemon.call(Method::GET, "/api/v1/instances/system/second", None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(delete(&daemon, "instances/system%2Fsecond").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_mistake_over_the_api_changes_nothing_and_names_its_place() {
    let daemon = Setup::new().start().await;
    let before = version(&daemon).await;
    let rule = |detector: &str, raise: Value| json!({"detector": detector, "select": {"metric": "m"}, "config": {"raise": raise}});
    let cases = [
        ("instances/log%2Fx", json!({"plgin": "log"}), "/instances/log~1x/plgin", "did you mean `plugin`?"),
        ("rules/x", rule("threshold/none", json!(1)), "/rules/x/detector", "no instance `threshold/none`"),
        ("rules/x", rule("threshold/default", json!("high")), "/rules/x/config/raise", "number"),
        ("rules/x", rule("log/default", json!(1)), "/rules/x/detector", "expected an instance of kind `detector`"),
        ("instances/http-probe%2Fx", json!({"plugin": "http-probe"}), "/instances/http-probe~1x/config", "url"),
        ("rules/Not%20One", rule("threshold/default", json!(1)), "/rules/Not One", "is not a name"),
        ("storage/keep", json!({}), "", "there is no section `storage`"),
    ];
    for (object, value, path, message) in cases {
        let (status, problem) = put(&daemon, object, &value).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{object}: {problem}");
        let errors = problem["errors"].as_array().unwrap();
        let found =
            errors.iter().any(|error| error["path"] == path && error["detail"].as_str().unwrap().contains(message));
        assert!(found, "{object}: {path} {message}: {problem:#}");
    }
    let (status, problem) = delete(&daemon, "instances/threshold%2Fdefault").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "rules need it: {problem}");
    assert_eq!(version(&daemon).await, before);
}

#[tokio::test]
async fn an_object_of_a_file_that_is_deleted_stays_away_until_it_is_reset() {
    let daemon = Setup::new().start().await;
    daemon.setup.write("scans/own.toml", "rules = [\"secrets/default\"]\npaths = [\"/nowhere\"]\n");
    daemon.post("/api/v1/configuration/reload", &json!({})).await;
    let (status, gone) = delete(&daemon, "scans/own").await;
    assert_eq!((status, &gone["api"], &gone["value"]), (StatusCode::OK, &json!("deleted"), &Value::Null));
    daemon.post("/api/v1/configuration/reload", &json!({})).await;
    let daemon = daemon.stop().0.start().await;
    assert_eq!(daemon.get(&format!("{OBJECTS}/scans/own")).await["api"], "deleted");
    assert!(daemon.get("/api/v1/configuration").await["value"]["scans"].get("own").is_none());
    let back = daemon.post(&format!("{OBJECTS}/scans/own/reset"), &json!({})).await;
    assert_eq!((&back["api"], &back["value"]["paths"]), (&Value::Null, &json!(["/nowhere"])));
    assert!(back["origin"].as_str().unwrap().contains("own.toml:"), "{back}");
}

#[tokio::test]
async fn an_object_that_was_kept_and_fits_no_more_is_left_out_at_the_start_and_said() {
    let setup = Setup::new();
    setup.write("instances/threshold/own.toml", "plugin = \"threshold\"\n");
    let daemon = setup.start().await;
    let rule = json!({"detector": "threshold/own", "select": {"metric": "m"}, "config": {"raise": 1}});
    assert_eq!(put(&daemon, "rules/own", &rule).await.0, StatusCode::CREATED);
    std::fs::remove_file(daemon.setup.config_dir().join("instances/threshold/own.toml")).unwrap();
    let (status, problem) = daemon.call(Method::POST, "/api/v1/configuration/reload", Some(&json!({}))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "while it runs, files must leave it whole: {problem}");
    let daemon = daemon.stop().0.start().await;
    let object = daemon.get(&format!("{OBJECTS}/rules/own")).await;
    assert_eq!((&object["api"], &object["value"]), (&json!("set"), &Value::Null));
    assert!(object["problem"].as_str().unwrap().contains("threshold/own"), "{object}");
    let problems = daemon.get("/api/v1/configuration").await["problems"].clone();
    assert_eq!(problems[0]["path"], "/rules/own", "{problems}");
    daemon.setup.write("instances/threshold/own.toml", "plugin = \"threshold\"\n");
    daemon.post("/api/v1/configuration/reload", &json!({})).await;
    let object = daemon.get(&format!("{OBJECTS}/rules/own")).await;
    assert_eq!((&object["problem"], &object["value"]["detector"]), (&Value::Null, &json!("threshold/own")));
}

#[tokio::test]
async fn what_can_not_work_is_taken_and_warned_of() {
    let daemon = Setup::new().start().await;
    let bare = json!({"plugin": "http-probe", "config": {"url": "http://127.0.0.1:1/"}});
    let cases = [
        ("instances/http-prob%2Fx", json!({"plugin": "http-prob"}), "/instances/http-prob~1x/plugin", "`http-probe`?"),
        ("instances/http-probe%2Fbare", bare, "/instances/http-probe~1bare/grants", "asks for `http`"),
        ("secrets/none", json!({"env": "NO_SUCH_VARIABLE"}), "/secrets/none/env", "`NO_SUCH_VARIABLE` is not set"),
        (
            "routes/team",
            json!({"events": ["incident.open"], "notify": ["log/default"]}),
            "/routes/team/events/0",
            "`incident.opened`?",
        ),
    ];
    for (object, value, path, message) in &cases {
        let (status, answer) = put(&daemon, object, value).await;
        assert_eq!(status, StatusCode::CREATED, "{answer:#}");
        let warnings = answer["warnings"].as_array().unwrap();
        assert!(warnings.len() == 1 && warnings[0]["path"] == *path, "{object}: {warnings:?}");
        assert!(warnings[0]["detail"].as_str().unwrap().contains(message), "{object}: {warnings:?}");
    }
    assert_eq!(daemon.get("/api/v1/configuration").await["warnings"].as_array().unwrap().len(), cases.len());
    let reloaded = daemon.post("/api/v1/configuration/reload", &json!({})).await;
    assert_eq!(reloaded["warnings"].as_array().unwrap().len(), cases.len(), "{reloaded:#}");
    let output = daemon.command_line(&["config", "set", "secrets", "other", "file = \"/nowhere/at/all\""]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.starts_with("warning: ") && said.contains("/nowhere/at/all"), "{said}");
}
