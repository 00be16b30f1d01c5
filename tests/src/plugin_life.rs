//! A plugin's whole life, as an operator leads it: over the command line and the API, in a daemon that is restarted now and then.

mod locks;
mod sources;

use crate::harness::guest::{bundled, renumbered, sha256, variant};
use crate::harness::{Daemon, Setup, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What a command that has to go well prints.
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

/// A file outside of the host's folders.
async fn plugin(daemon: &Daemon, name: &str) -> Value {
    daemon.get(&format!("/api/v1/plugins/{name}")).await
}

#[tokio::test]
async fn a_plugin_is_installed_and_removed_by_the_command_line_and_that_outlives_a_kill() {
    let setup = Setup::new()
        .config("[instances.\"outside/all\"]\nplugin = \"outside\"\nevery = \"1h\"\ngrants = { kv = true }\n");
    let first = crate::harness::guest::build("outside");
    let file = setup.file("outside.wasm", &first);
    let broken = setup.file("broken.wasm", &first[..first.len() / 2]);
    let daemon = setup.start().await;
    let digest = sha256(&first);

    let wrong = daemon.command_line(&["plugin", "install", file.to_str().unwrap(), "--digest", &sha256(b"other")]);
    assert!(!wrong.status.success() && said(&wrong).contains(&digest), "{}", said(&wrong));
    let refused = daemon.command_line(&["plugin", "install", broken.to_str().unwrap(), "--name", "outside"]);
    assert!(!refused.status.success() && said(&refused).contains("not a whole component"), "{}", said(&refused));
    let escaping = daemon.command_line(&["plugin", "install", file.to_str().unwrap(), "--name", "../config"]);
    assert!(!escaping.status.success() && said(&escaping).contains("can't be a file"), "{}", said(&escaping));
    assert_eq!(daemon.items("/api/v1/plugin-files").await, Vec::<Value>::new());

    let installed = done(&daemon.command_line(&["plugin", "install", file.to_str().unwrap(), "--digest", &digest]));
    for words in
        ["is in use as `outside.wasm`", &digest, "asks for kv: must be able to keep", "plugin grant outside/all"]
    {
        assert!(installed.contains(words), "{words}: {installed}");
    }
    assert_eq!(std::fs::read(daemon.setup.plugins_dir().join("outside.wasm")).unwrap(), first);
    done(&daemon.command_line(&["plugin", "grant", "outside/all"]));
    let daemon = daemon.kill().start().await;
    assert_eq!(plugin(&daemon, "outside").await["digest"], digest);
    assert_eq!(daemon.get("/api/v1/instances/outside/all").await["state"], "active");
    let listed = daemon.get("/api/v1/plugin-files/outside.wasm").await;
    assert_eq!((&listed["origin"], &listed["instances"]), (&json!("file:outside.wasm"), &json!(["outside/all"])));

    // Nobody sits there to be asked.
    let asked = daemon.command_line(&["plugin", "remove", "outside"]);
    assert!(!asked.status.success() && said(&asked).contains("outside/all lose their plugin"), "{}", said(&asked));
    let removed = json_of(&daemon.command_line(&["plugin", "remove", "outside", "--yes", "--json"]));
    assert_eq!((&removed["file"], &removed["bereft"]), (&json!("outside.wasm"), &json!(["outside/all"])));
    assert_eq!(daemon.get("/api/v1/instances/outside/all").await["state"], "missing-plugin");
    let daemon = daemon.kill().start().await;
    let (status, _) = daemon.call(Method::GET, "/api/v1/plugins/outside", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let again = daemon.command_line(&["plugin", "remove", "outside", "--yes"]);
    assert!(!again.status.success(), "{}", said(&again));
}

#[tokio::test]
async fn a_file_is_replaced_only_if_it_still_is_what_was_seen() {
    let daemon = Setup::new().start().await;
    let (first, second) = (variant(&bundled("threshold"), 31), variant(&bundled("threshold"), 32));
    let put = async |bytes: &[u8], tag: Option<&str>| {
        let mut request = daemon
            .http()
            .put(format!("{}/api/v1/plugin-files/threshold.wasm", daemon.url))
            .bearer_auth(&daemon.token)
            .header("Content-Type", "application/wasm")
            .body(bytes.to_vec());
        if let Some(tag) = tag {
            request = request.header("If-Match", tag);
        }
        let response = request.send().await.unwrap();
        let (status, tag) = (response.status(), response.headers().get("etag").cloned());
        daemon.answers().read(&Method::PUT, response).await.unwrap();
        (status, tag.map(|tag| tag.to_str().unwrap().to_owned()))
    };
    assert_eq!(put(&first, Some("*")).await.0, StatusCode::PRECONDITION_FAILED, "there is none to replace");
    let (status, tag) = put(&first, None).await;
    assert_eq!(status, StatusCode::CREATED);
    let seen = tag.unwrap();
    assert_eq!(put(&second, Some(&seen)).await.0, StatusCode::OK);
    assert_eq!(put(&first, Some(&seen)).await.0, StatusCode::PRECONDITION_FAILED, "it has changed");
    assert_eq!(plugin(&daemon, "threshold").await["digest"], sha256(&second));
    // Without the token nothing is changed, and nothing that large is read.
    let anonymous = daemon.http().put(format!("{}/api/v1/plugin-files/threshold.wasm", daemon.url)).body(first.clone());
    // What is not read ends its connection: no other request is to be sent on it.
    let anonymous = anonymous.header("Content-Type", "application/wasm").header("Connection", "close");
    let response = anonymous.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let (status, removed) = daemon.call(Method::DELETE, "/api/v1/plugin-files/threshold.wasm", None).await;
    assert_eq!((status, &removed["serving"]["digest"]), (StatusCode::OK, &json!(sha256(&bundled("threshold")))));
}

#[tokio::test]
async fn a_rollback_brings_the_earlier_version_back_for_good() {
    let setup = Setup::new();
    let contents = ["0.2.0", "0.3.0"].map(|version| renumbered(&bundled("threshold"), version));
    let files: Vec<PathBuf> =
        (1..).zip(&contents).map(|(number, bytes)| setup.file(&format!("v{number}.wasm"), bytes)).collect();
    let daemon = setup.start().await;
    for file in &files {
        done(&daemon.command_line(&["plugin", "install", file.to_str().unwrap(), "--name", "threshold.wasm"]));
    }
    let back = done(&daemon.command_line(&["plugin", "rollback", "threshold"]));
    assert!(back.contains("back on version 0.2.0") && back.contains(&sha256(&contents[0])), "{back}");
    assert_eq!(std::fs::read(daemon.setup.plugins_dir().join("threshold.wasm")).unwrap(), contents[0]);
    let daemon = daemon.kill().start().await;
    let instance = daemon.get("/api/v1/instances/threshold/default").await;
    assert_eq!(instance["plugin"]["digest"], sha256(&contents[0]));

    let shown = json_of(&daemon.command_line(&["plugin", "show", "threshold", "--json"]));
    let versions: Vec<(&str, bool)> = shown["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| (version["version"].as_str().unwrap(), version["serves"].as_bool().unwrap()))
        .collect();
    assert_eq!(versions, [("0.2.0", true), ("0.3.0", false), ("0.1.0", false)]);
    let table = done(&daemon.command_line(&["plugin", "show", "threshold"]));
    assert!(table.contains("0.3.0") && table.contains("file:v2.wasm"), "{table}");

    done(&daemon.command_line(&["plugin", "rollback", "threshold", "--to", "0.3.0"]));
    assert_eq!(plugin(&daemon, "threshold").await["digest"], sha256(&contents[1]));
    let unknown = daemon.command_line(&["plugin", "rollback", "threshold", "--to", "9.9.9"]);
    assert!(!unknown.status.success() && said(&unknown).contains("plugin show threshold"), "{}", said(&unknown));
    // To what came with the host: no file of the name is left.
    done(&daemon.command_line(&["plugin", "rollback", "threshold", "--to", &sha256(&bundled("threshold"))]));
    assert!(!daemon.setup.plugins_dir().join("threshold.wasm").exists());
    assert_eq!(plugin(&daemon, "threshold").await["source"], "bundled");
}

#[tokio::test]
async fn an_instance_is_configured_rested_and_looked_at_by_the_command_line() {
    let setup = Setup::new().config(
        "[instances.\"hostile/one\"]\nplugin = \"hostile\"\nevery = \"100ms\"\nconfig = { behaviour = \"ok\" }\n",
    );
    let file = setup.file("hostile.wasm", &crate::harness::guest::build("hostile"));
    let daemon = setup.start().await;
    done(&daemon.command_line(&["plugin", "install", file.to_str().unwrap()]));
    let shown = json_of(&daemon.command_line(&["plugin", "config", "hostile/one", "--json"]));
    let from = shown["effective"][0]["from"].as_str().unwrap();
    assert!(shown["effective"][0]["value"] == "ok" && from.contains("quarterdeck.toml"), "{shown:#}");

    // What the plugin does not take changes nothing.
    for wrong in [["behaviour=kind", "behaviour"], ["behavour=ok", "behavour"]] {
        let refused = daemon.command_line(&["plugin", "config", "hostile/one", wrong[0]]);
        assert!(!refused.status.success() && said(&refused).contains(wrong[1]), "{}", said(&refused));
    }
    assert_eq!(json_of(&daemon.command_line(&["plugin", "config", "hostile/one", "--json"])), shown);
    let set = done(&daemon.command_line(&["plugin", "config", "hostile/one", "behaviour=trap"]));
    assert!(set.contains("trap") && set.contains("API"), "{set}");
    let words = daemon.setup.file("words.toml", b"behaviour = \"log-flood\"\n");

    // What a panic says is a line like any other.
    let logged = eventually("a line", SOON, async || {
        let lines = json_of(&daemon.command_line(&["plugin", "logs", "hostile/one", "--json"]));
        lines.as_array().unwrap().iter().find(|line| line["message"].as_str().unwrap().contains("on purpose")).cloned()
    })
    .await;
    assert_eq!(
        (&logged["instance"], &logged["digest"]),
        (&json!("hostile/one"), &plugin(&daemon, "hostile").await["digest"])
    );
    done(&daemon.command_line(&["plugin", "config", "hostile/one", "--file", words.to_str().unwrap()]));
    eventually("the flood", SOON, async || {
        let lines = done(&daemon.command_line(&["plugin", "logs", "hostile/one", "--limit", "3"]));
        (lines.lines().count() == 3 && lines.lines().all(|line| line.contains("again and again"))).then_some(())
    })
    .await;
    let unset = daemon.command_line(&["plugin", "config", "hostile/one", "--unset", "behaviour"]);
    assert!(!unset.status.success() && said(&unset).contains("behaviour"), "{}", said(&unset));

    let resting = done(&daemon.command_line(&["plugin", "disable", "hostile/one"]));
    assert!(resting.contains("hostile/one is disabled"), "{resting}");
    let daemon = daemon.kill().start().await;
    assert_eq!(daemon.get("/api/v1/instances/hostile/one").await["state"], "disabled");
    let before = daemon.get("/api/v1/instances/hostile/one").await["usage"]["calls"].clone();
    assert_eq!(before, 0);
    done(&daemon.command_line(&["plugin", "config", "hostile/one", "behaviour=ok"]));
    assert!(done(&daemon.command_line(&["plugin", "enable", "hostile/one"])).contains("is active"));
    eventually("a figure", SOON, async || daemon.latest("metric=hostile_value").await).await;
}

#[tokio::test]
async fn a_signed_plugins_grant_holds_for_what_its_publisher_signs_next() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let author = Setup::new();
    let key = json_of(&author.run(&["plugin", "key", "new", &at("publisher.pem"), "--json"]))["key"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(done(&author.run(&["plugin", "key", "show", &at("publisher.pem")])).trim(), key);
    done(&author.run(&["plugin", "key", "new", &at("stranger.pem")]));
    let outside = crate::harness::guest::build("outside");
    for (file, signer, number) in [("first", "publisher", 51), ("second", "publisher", 52), ("third", "stranger", 53)] {
        std::fs::write(at(file), variant(&outside, number)).unwrap();
        let signed = author.run(&[
            "plugin",
            "sign",
            &at(file),
            "--key",
            &at(&format!("{signer}.pem")),
            "--out",
            &at(&format!("{file}.wasm")),
        ]);
        done(&signed);
    }
    let setup = Setup::new().config(&format!(
        "[plugins]\ntrusted = [\"{key}\"]\nunsigned = \"refuse\"\n[instances.\"outside/all\"]\nplugin = \"outside\"\nevery = \"1h\"\ngrants = {{ kv = true }}\n"
    ));
    let daemon = setup.start().await;
    let install = |file: &str| daemon.command_line(&["plugin", "install", &at(file), "--name", "outside"]);
    let first = done(&install("first.wasm"));
    assert!(first.contains(&format!("signed by {key}, trusted here")), "{first}");
    let granted = done(&daemon.command_line(&["plugin", "grant", "outside/all"]));
    assert!(granted.contains(&format!("{key} has the grants of outside/all")), "{granted}");
    let second = done(&install("second.wasm"));
    assert!(!second.contains("waits for a grant"), "{second}");
    let digest = sha256(&std::fs::read(at("second.wasm")).unwrap());
    let instance = daemon.get("/api/v1/instances/outside/all").await;
    assert_eq!((&instance["state"], &instance["plugin"]["digest"]), (&json!("active"), &json!(digest)));

    for (file, words) in [("third.wasm", "not trusted"), ("third", "not signed")] {
        let refused = install(file);
        assert!(!refused.status.success() && said(&refused).contains(words), "{}", said(&refused));
    }
    let daemon = daemon.kill().start().await;
    let instance = daemon.get("/api/v1/instances/outside/all").await;
    assert_eq!((&instance["state"], &instance["plugin"]["digest"]), (&json!("active"), &json!(digest)));
    // Taken back, it is taken from all of them.
    done(&daemon.command_line(&["plugin", "revoke", "outside/all"]));
    assert_eq!(daemon.get("/api/v1/instances/outside/all").await["state"], "awaiting-grant");
}

#[tokio::test]
async fn a_file_that_holds_another_plugin_is_kept_unless_its_end_is_asked_for_and_the_events_name_who_asked() {
    let daemon = Setup::new().start().await;
    let (threshold, outside) = (variant(&bundled("threshold"), 61), crate::harness::guest::build("outside"));
    let (first, second) = (daemon.setup.file("first.wasm", &threshold), daemon.setup.file("second.wasm", &outside));
    let install = |file: &PathBuf, more: &[&str]| {
        daemon.command_line(&[&["plugin", "install", file.to_str().unwrap(), "--name", "mine"], more].concat())
    };
    done(&install(&first, &[]));
    let refused = install(&second, &[]);
    assert_eq!(refused.status.code(), Some(1));
    for words in ["`mine.wasm` holds another plugin, threshold", "another name", "plugin remove", "--replace"] {
        assert!(said(&refused).contains(words), "{words}: {}", said(&refused));
    }
    let put = daemon.http().put(format!("{}/api/v1/plugin-files/mine.wasm", daemon.url)).bearer_auth(&daemon.token);
    let put = put.header("Content-Type", "application/wasm").body(outside.clone()).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::CONFLICT);
    daemon.answers().read(&Method::PUT, put).await.unwrap();
    assert_eq!(std::fs::read(daemon.setup.plugins_dir().join("mine.wasm")).unwrap(), threshold);
    assert_eq!(plugin(&daemon, "threshold").await["digest"], sha256(&threshold));
    let replaced = done(&install(&second, &["--replace"]));
    assert!(replaced.contains("in place of threshold"), "{replaced}");
    assert_eq!(plugin(&daemon, "outside").await["digest"], sha256(&outside));
    done(&install(&second, &[]));

    done(&daemon.command_line(&["plugin", "install", first.to_str().unwrap(), "--name", "threshold"]));
    done(&daemon.command_line(&["plugin", "rollback", "threshold", "--to", &sha256(&bundled("threshold"))]));
    done(&daemon.command_line(&["plugin", "remove", "outside", "--yes"]));
    for (event_type, subject) in [
        ("plugin.installed", "outside"),
        ("plugin.rolled-back", "threshold"),
        ("plugin.removed", "threshold"),
        ("plugin.removed", "outside"),
    ] {
        let event = eventually(event_type, SOON, async || {
            let events = daemon.items(&format!("/api/v1/events?type={event_type}&limit=100")).await;
            events.into_iter().find(|event| event["subject"] == subject)
        })
        .await;
        assert_eq!(event["principal"], "operator", "{event:#}");
    }
}

#[tokio::test]
async fn a_grant_says_what_it_gives_with_its_scopes_and_leaves_an_event_that_names_who_gave_it() {
    let setup = Setup::new().config(
        "[instances.\"outside/all\"]\nplugin = \"outside\"\nevery = \"1h\"\n[instances.\"outside/all\".grants]\nkv = true\nhttp = [\"https://api.example.com\"]\n",
    );
    let file = setup.file("outside.wasm", &crate::harness::guest::build("outside"));
    let daemon = setup.start().await;
    done(&daemon.command_line(&["plugin", "install", file.to_str().unwrap()]));
    let granted = done(&daemon.command_line(&["plugin", "grant", "outside/all"]));
    for words in [
        "gives kv: keep keys and values in a space of its own",
        "gives http: send HTTP requests to https://api.example.com",
    ] {
        assert!(granted.contains(words), "{words}: {granted}");
    }
    let digest = sha256(&std::fs::read(&file).unwrap());
    let changed = async |wanted: &Value| {
        eventually("the event", SOON, async || {
            let events = daemon.items("/api/v1/events?type=instance.grants-changed&limit=100").await;
            events.into_iter().find(|event| event["data"]["now"]["granted_to"] == *wanted)
        })
        .await
    };
    let event = changed(&json!([digest])).await;
    assert_eq!((&event["principal"], &event["subject"]), (&json!("operator"), &json!("outside/all")));
    assert_eq!(event["data"]["now"]["grants"]["kv"], true, "{event:#}");
    done(&daemon.command_line(&["plugin", "revoke", "outside/all"]));
    assert_eq!(changed(&json!([])).await["data"]["before"]["granted_to"], json!([digest]));
    let granted =
        json_of(&daemon.command_line(&["plugin", "grant", "outside/all", "--grants", r#"{"system": true}"#, "--json"]));
    assert_eq!(granted["given_to"], json!(digest));
    let gives: Vec<&str> = granted["gives"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(gives.iter().any(|line| line.starts_with("system: read facts")), "{granted:#}");
}

#[tokio::test]
async fn a_grant_that_leaves_something_missing_says_so_and_what_would_give_it() {
    let setup = Setup::new().config(
        "[instances.\"http-probe/x\"]\nplugin = \"http-probe\"\nevery = \"1h\"\nconfig = { url = \"http://127.0.0.1:1/\" }\n",
    );
    let daemon = setup.start().await;
    let line = "quarterdeck plugin grant http-probe/x --grants '{\"http\":[\"https://...\"]}'";
    let little = daemon.command_line(&["plugin", "grant", "http-probe/x"]);
    assert_eq!(little.status.code(), Some(1), "{}", said(&little));
    for words in ["http-probe/x still waits: for http", "lacks http: must be able to send", line] {
        assert!(said(&little).contains(words), "{words}: {}", said(&little));
    }
    assert!(!said(&little).contains("has the grants"), "{}", said(&little));
    let shown = done(&daemon.command_line(&["instance", "show", "http-probe/x"]));
    assert!(shown.contains(line), "{shown}");
    let little = daemon.command_line(&["plugin", "grant", "http-probe/x", "--grants", r#"{"kv": true}"#, "--json"]);
    assert_eq!(little.status.code(), Some(1), "{}", said(&little));
    let answer: Value = serde_json::from_slice(&little.stdout).unwrap();
    assert_eq!(answer["awaiting"]["capabilities"][0]["name"], "http", "{answer:#}");

    let http = r#"{"http": ["http://127.0.0.1:1"]}"#;
    let enough = done(&daemon.command_line(&["plugin", "grant", "http-probe/x", "--grants", http]));
    assert!(enough.contains("has the grants of http-probe/x"), "{enough}");
    assert_eq!(daemon.get("/api/v1/instances/http-probe/x").await["state"], "active");
}

#[tokio::test]
async fn where_an_instance_is_meant_a_plugins_name_is_answered_by_its_instances() {
    let setup = Setup::new().config("[instances.\"threshold/second\"]\nplugin = \"threshold\"\n");
    let daemon = setup.start().await;
    for command in ["disable", "enable", "grant", "revoke", "config", "logs"] {
        let refused = daemon.command_line(&["plugin", command, "threshold"]);
        assert_eq!(refused.status.code(), Some(1), "{command}");
        let text = said(&refused);
        assert!(text.contains("`threshold` is a plugin"), "{command}: {text}");
        assert!(text.contains("hint: threshold/default, threshold/second"), "{command}: {text}");
        let unknown = said(&daemon.command_line(&["plugin", command, "nope"]));
        assert!(unknown.contains("there is no instance `nope`; hint: names are `plugin/name`"), "{command}: {unknown}");
    }
}
