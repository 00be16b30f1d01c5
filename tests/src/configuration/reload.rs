//! What takes effect while the daemon runs, what is checked by plugins, and what is not ours.

use crate::configuration::SOON;
use crate::harness::guest::{bundled, variant};
use crate::harness::{Setup, eventually};
use reqwest::{Method, StatusCode};
use serde_json::json;

const RELOAD: &str = "/api/v1/configuration/reload";

#[tokio::test]
async fn limits_of_events_and_the_log_change_while_it_runs_and_the_rest_is_told() {
    let daemon = Setup::new().start().await;
    assert_eq!(daemon.get("/api/v1/configuration").await["pending_restart"], json!([]));
    let text = "[events]\nproducer-rate = 1\nproducer-burst = 1\n[log]\nformat = \"json\"\nfilter = \"info,quarterdeck_api=debug\"\n[storage]\nkeep-events = \"3days\"\n";
    daemon.setup.write("quarterdeck.toml", text);
    daemon.post(RELOAD, &json!({})).await;
    assert_eq!(daemon.get("/api/v1/configuration").await["pending_restart"], json!(["storage"]));
    eventually("a request in the log, as JSON", SOON, async || {
        daemon.get("/api/v1/status").await;
        let is_wanted = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            line["level"] == "DEBUG" && line["fields"]["route"] == "/api/v1/status"
        };
        daemon.log().lines().any(is_wanted).then_some(())
    })
    .await;
    let event = json!({"type": "custom.tried", "subject": "x"});
    let mut last = StatusCode::OK;
    for _ in 0..5 {
        last = daemon.call(Method::POST, "/api/v1/events", Some(&event)).await.0;
        if last == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS, "the new limit holds");
}

/// What was admitted is in use: a policy is for the next start, and said to be.
#[tokio::test]
async fn a_policy_about_plugins_waits_for_the_next_start_and_is_told() {
    let key = format!("key:{}", "7".repeat(64));
    let daemon = Setup::new().start().await;
    let file = daemon.setup.folder.path().join("mine.wasm");
    std::fs::write(&file, variant(&bundled("threshold"), 91)).unwrap();
    for text in ["[plugins]\nunsigned = \"refuse\"\n".to_owned(), format!("[plugins]\ntrusted = [\"{key}\"]\n")] {
        daemon.setup.write("quarterdeck.toml", &text);
        daemon.post(RELOAD, &json!({})).await;
        assert_eq!(daemon.get("/api/v1/configuration").await["pending_restart"], json!(["plugins"]), "{text}");
    }
    daemon.setup.write("quarterdeck.toml", "");
    daemon.post(RELOAD, &json!({})).await;
    assert_eq!(daemon.get("/api/v1/configuration").await["pending_restart"], json!([]), "it is as at the start again");
    daemon.setup.write("quarterdeck.toml", "[plugins]\nunsigned = \"refuse\"\n");
    daemon.post(RELOAD, &json!({})).await;
    let install = ["plugin", "install", file.to_str().unwrap()];
    let installed = daemon.command_line(&install);
    assert!(installed.status.success(), "the old policy holds: {}", String::from_utf8_lossy(&installed.stderr));
    let daemon = daemon.kill().start().await;
    assert_eq!(daemon.get("/api/v1/configuration").await["pending_restart"], json!([]));
    let refused = daemon.command_line(&install);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not signed"), "the new one does");
    assert_eq!(daemon.get("/api/v1/plugins/threshold").await["source"], "bundled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_written_while_the_daemon_starts_is_taken_up() {
    let setup = Setup::new();
    // All plugins are compiled: the start takes a while.
    let cache = setup.folder.path().join("cache");
    let setup = setup.variable("QUARTERDECK_CACHE_DIR", cache.to_str().unwrap());
    let (token, rules) = (setup.data_dir().join("token"), setup.config_dir().join("instances"));
    let starting = tokio::spawn(setup.start());
    // It is made after the files were read, and before anything that takes long.
    eventually("the token", SOON, async || token.is_file().then_some(())).await;
    std::fs::create_dir_all(&rules).unwrap();
    std::fs::write(rules.join("late.toml"), "[instances.\"log/late\"]\nplugin = \"log\"\n").unwrap();
    let daemon = starting.await.unwrap();
    eventually("the instance", SOON, async || {
        daemon.items("/api/v1/instances").await.into_iter().find(|instance| instance["name"] == "log/late")
    })
    .await;
    let versions = daemon.items("/api/v1/configuration/versions").await;
    assert_eq!(versions.len(), 2, "the start's and this one: {versions:#?}");
}

#[tokio::test]
async fn a_folder_of_objects_that_is_moved_away_is_noticed() {
    let setup = Setup::new();
    setup.write(
        "rules/own.toml",
        "detector = \"threshold/default\"\nselect = { metric = \"m\" }\nconfig = { raise = 1 }\n",
    );
    let daemon = setup.start().await;
    let own = async || daemon.get("/api/v1/configuration").await["value"]["rules"].get("own").cloned();
    assert!(own().await.is_some());
    let versions = daemon.items("/api/v1/configuration/versions").await.len();
    std::fs::rename(daemon.setup.config_dir().join("rules"), daemon.setup.folder.path().join("elsewhere")).unwrap();
    eventually("the rule is gone", SOON, async || own().await.is_none().then_some(())).await;
    std::fs::rename(daemon.setup.folder.path().join("elsewhere"), daemon.setup.config_dir().join("rules")).unwrap();
    eventually("the rule is back", SOON, async || own().await).await;
    assert_eq!(daemon.items("/api/v1/configuration/versions").await.len(), versions + 2);
}

#[tokio::test]
async fn a_main_file_that_is_gone_changes_nothing_and_is_said() {
    let daemon = Setup::new().config("[storage]\nkeep-events = \"3days\"\n").start().await;
    std::fs::remove_file(daemon.setup.config_dir().join("quarterdeck.toml")).unwrap();
    let (status, problem) = daemon.call(Method::POST, RELOAD, Some(&json!({}))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let detail = problem["errors"][0]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("quarterdeck.toml is gone") && detail.contains("hint:"), "{detail}");
    eventually("the watcher says so too", SOON, async || daemon.log().contains("is gone").then_some(())).await;
    assert_eq!(daemon.get("/api/v1/configuration?pointer=/storage/keep-events").await["value"], "3days");
}

/// Each is wrong in the eyes of a plugin alone: `(text, place, what is said)`.
const UNFIT: [(&str, &str, &str); 6] = [
    (
        "[rules.x]\ndetector = \"threshold/default\"\nselect = { metric = \"m\" }\nconfig = { raise = \"high\" }\n",
        ":4:20: rules.x.config.raise",
        "number",
    ),
    (
        "[slos.x]\ncalculator = \"availability/default\"\nselect = { metric = \"m\" }\nconfig = { target = 7.0 }\n",
        ":4:21: slos.x.config.target",
        "7",
    ),
    (
        "[routes.x]\nevents = [\"alert\"]\nnotify = [\"log/default\", \"threshold/default\"]\n",
        ":3:26: routes.x.notify[1]",
        "kind `notifier`",
    ),
    (
        "[runbooks.x]\ntitle = \"x\"\nsteps = [{ name = \"a\", action = \"log/default\" }]\n",
        ":3:33: runbooks.x.steps[0].action",
        "kind `runbook-action`",
    ),
    (
        "[services.x]\ntarget = \"log/default\"\nstrategy = \"canary/default\"\nconfig = { stepz = [1] }\n",
        ":4:20: services.x.config.stepz",
        "unknown key",
    ),
    (
        "[instances.\"webhook/x\"]\nplugin = \"webhook\"\nconfig = { url = 5 }\n",
        ":3:18: instances.\"webhook/x\".config.url",
        "5",
    ),
];

#[tokio::test]
async fn what_a_plugin_does_not_take_is_refused_at_a_reload_with_its_place() {
    let daemon = Setup::new().start().await;
    for (text, place, message) in UNFIT {
        daemon.setup.write("quarterdeck.toml", text);
        let (status, problem) = daemon.call(Method::POST, RELOAD, Some(&json!({}))).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
        let shown = problem["errors"].to_string().replace("\\\"", "\"");
        assert!(shown.contains(&format!("quarterdeck.toml{place}")) && shown.contains(message), "{place}: {shown}");
    }
    assert_eq!(daemon.get("/api/v1/configuration").await["problems"], json!([]));
}

#[test]
fn what_a_plugin_does_not_take_is_found_by_a_check_without_a_daemon() {
    for (text, place, message) in UNFIT {
        let setup = Setup::new().config(text);
        let output = setup.run(&["config", "check"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{text}");
        assert!(said.contains(&format!("quarterdeck.toml{place}")) && said.contains(message), "{place}: {said}");
    }
    let good = Setup::new()
        .config("[rules.x]\ndetector = \"threshold/default\"\nselect = { metric = \"m\" }\nconfig = { raise = 1 }\n");
    let output = good.run(&["config", "check"]);
    assert!(output.status.success() && !good.data_dir().exists(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn what_a_plugin_does_not_take_at_the_start_is_said_with_its_place_and_stops_nothing() {
    let daemon = Setup::new().config(UNFIT[0].0).start().await;
    let problems = daemon.get("/api/v1/configuration").await["problems"].clone();
    assert_eq!(problems[0]["path"], "/rules/x/config/raise", "{problems}");
    assert!(problems[0]["detail"].as_str().unwrap().contains("quarterdeck.toml:4:20"), "{problems}");
    assert!(daemon.log().contains("quarterdeck.toml:4:20"));
}

#[tokio::test]
async fn a_daemon_in_a_pod_starts_in_spite_of_the_service_links_of_its_own_service() {
    let setup = Setup::new()
        .variable("QUARTERDECK_PORT", "tcp://10.0.0.1:7700")
        .variable("QUARTERDECK_SERVICE_HOST", "10.0.0.1")
        .variable("QUARTERDECK_PORT_7700_TCP_ADDR", "10.0.0.1");
    let daemon = setup.start().await;
    assert!(daemon.log().contains("QUARTERDECK_SERVICE_HOST: passed over"), "{}", daemon.log());
}
