//! Versions: compared, gone back to, exported; by the command line, which speaks to the API.

use crate::harness::{Daemon, Setup};
use serde_json::{Value, json};

fn json_of(daemon: &Daemon, arguments: &[&str]) -> Value {
    let output = daemon.command_line(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn said(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = daemon.command_line(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_command_line_sets_compares_and_goes_back_to_a_version() {
    let setup = Setup::new().config("[scans.own]\nrules = [\"secrets/default\"]\npaths = [\"/a\"]\n");
    let daemon = setup.start().await;
    let first = daemon.get("/api/v1/configuration").await;
    let first_id = first["version"].as_str().unwrap().to_owned();
    said(&daemon, &["config", "set", "scans", "own", "rules = [\"secrets/default\"]\npaths = [\"/b\"]"]);
    said(&daemon, &["config", "set", "instances", "log/second", "{\"plugin\": \"log\"}"]);
    said(&daemon, &["config", "unset", "routes", "log"]);
    let diff = said(&daemon, &["config", "diff", &first_id]);
    assert!(diff.contains("~ scans.own.paths[0]: \"/a\" -> \"/b\""), "{diff}");
    assert!(
        diff.contains("+ instances.\"log/second\".plugin: \"log\"") && diff.contains("- routes.log.notify: ["),
        "{diff}"
    );
    assert!(diff.contains("in force since 2") && diff.contains(", by operator"), "{diff}");
    let newest = said(&daemon, &["config", "diff"]);
    assert!(newest.contains("- routes.log") && !newest.contains("scans.own"), "the newest change alone: {newest}");
    let versions = json_of(&daemon, &["config", "versions", "--json"]);
    assert_eq!(versions.as_array().unwrap().len(), 4, "{versions:#}");
    assert_eq!(versions[3]["id"], json!(first_id));
    let own = json_of(&daemon, &["config", "objects", "--api", "--json"]);
    let names: Vec<&str> = own.as_array().unwrap().iter().map(|object| object["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["log/second", "log", "own"]);

    let restored = json_of(&daemon, &["config", "restore", &first_id, "--json"]);
    assert_eq!((&restored["changed"], &restored["not_restored"]), (&json!(true), &json!([])));
    let now = daemon.get("/api/v1/configuration").await;
    assert_eq!((&now["value"], &now["digest"]), (&first["value"], &first["digest"]));
    let left = json_of(&daemon, &["config", "objects", "--api", "--json"]);
    assert_eq!(left, json!([]), "the files say it all: nothing has to lie over them");
    let second = versions[1]["id"].as_str().unwrap().to_owned();
    said(&daemon, &["config", "restore", &second]);
    let daemon = daemon.stop().0.start().await;
    let now = daemon.get("/api/v1/configuration").await["value"].clone();
    assert_eq!(
        (&now["scans"]["own"]["paths"][0], &now["instances"]["log/second"]["plugin"]),
        (&json!("/b"), &json!("log"))
    );
    said(&daemon, &["config", "reset", "scans", "own"]);
    assert_eq!(daemon.get("/api/v1/configuration").await["value"]["scans"]["own"]["paths"][0], "/a");
    let refused = daemon.command_line(&["config", "set", "scans", "own", "paths = []"]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("scans.own.rules: missing"), "{words}");
}

#[tokio::test]
async fn ten_thousand_instances_are_kept_changed_and_restored() {
    let setup = Setup::new();
    let many: String = (0..10_000)
        .map(|n| format!("[instances.\"http-probe/site-{n}\"]\nplugin = \"http-probe\"\nenabled = false\nconfig.url = \"https://site-{n}.example.com/healthz\"\ngrants.http = [\"https://site-{n}.example.com\"]\n"))
        .collect();
    setup.write("instances/many.toml", &many);
    let daemon = setup.start().await;
    let standing = async |daemon: &Daemon| {
        let now = daemon.get("/api/v1/configuration?pointer=/listen").await;
        (now["version"].as_str().unwrap().to_owned(), now["digest"].as_str().unwrap().to_owned())
    };
    let (first, before) = standing(&daemon).await;
    assert!(!first.is_empty(), "{}", daemon.log());
    said(&daemon, &["config", "set", "instances", "log/second", "{\"plugin\": \"log\"}"]);
    let (second, _) = standing(&daemon).await;
    assert_ne!(first, second);
    let daemon = daemon.kill().start().await;
    assert_eq!(standing(&daemon).await.0, second);
    let kept = daemon.get(&format!("/api/v1/configuration/versions/{second}")).await;
    assert!(kept["value"]["instances"].as_object().unwrap().len() > 10_000);
    assert_eq!(
        kept["value"]["instances"]["http-probe/site-9999"]["grants"]["http"][0],
        "https://site-9999.example.com"
    );
    said(&daemon, &["config", "restore", &first]);
    assert_eq!(standing(&daemon).await.1, before);
    assert!(!daemon.log().contains("could not be kept"), "{}", daemon.log());
}

#[tokio::test]
async fn settings_that_are_no_objects_are_told_and_stay_when_a_version_comes_back() {
    let daemon = Setup::new().config("[correlation]\nminimum-severity = \"high\"\n").start().await;
    let first = daemon.get("/api/v1/configuration").await["version"].as_str().unwrap().to_owned();
    daemon.setup.write("quarterdeck.toml", "[correlation]\nminimum-severity = \"low\"\n");
    daemon.post("/api/v1/configuration/reload", &json!({})).await;
    let restored = daemon.post(&format!("/api/v1/configuration/versions/{first}/restore"), &json!({})).await;
    assert_eq!(restored["changed"], false);
    assert_eq!(restored["not_restored"][0]["pointer"], "/correlation/minimum-severity", "{restored}");
}

#[tokio::test]
async fn what_is_exported_is_valid_and_gives_the_same_settings_elsewhere() {
    let daemon = Setup::new().config("[secrets]\nkey = { env = \"A_KEY\" }\n").start().await;
    said(
        &daemon,
        &[
            "config",
            "set",
            "rules",
            "own",
            "detector = \"threshold/default\"\nselect.metric = \"m\"\nconfig.raise = 1.5",
        ],
    );
    let asks =
        json!({"title": "Restart", "inputs": {"service": null}, "steps": [{"name": "Ask", "action": "http/health"}]});
    said(&daemon, &["config", "set", "runbooks", "restart", &asks.to_string()]);
    said(&daemon, &["config", "unset", "rules", "cpu-high"]);
    let elsewhere = Setup::new();
    std::fs::remove_dir_all(elsewhere.config_dir()).unwrap();
    said(&daemon, &["config", "export", elsewhere.config_dir().to_str().unwrap()]);
    let again = daemon.command_line(&["config", "export", elsewhere.config_dir().to_str().unwrap()]);
    assert!(!again.status.success(), "never over what is there");
    let check = elsewhere.run(&["config", "check"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let settings = async |daemon: &Daemon| {
        let mut value = daemon.get("/api/v1/configuration").await["value"].clone();
        // Each daemon is told its own by a variable; and built-in objects stand in the file where one was taken away.
        for key in ["data-dir", "built-ins"] {
            value.as_object_mut().unwrap().remove(key);
        }
        value
    };
    let other = elsewhere.start().await;
    assert_eq!(settings(&other).await, settings(&daemon).await);
}
