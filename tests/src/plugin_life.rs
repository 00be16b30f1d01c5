//! A plugin's whole life, as an operator leads it: over the command line and the API, in a daemon that is restarted now and then.

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
fn write(setup: &Setup, name: &str, bytes: &[u8]) -> PathBuf {
    let path = setup.folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

async fn plugin(daemon: &Daemon, name: &str) -> Value {
    daemon.get(&format!("/api/v1/plugins/{name}")).await
}

#[tokio::test]
async fn a_plugin_is_installed_and_removed_by_the_command_line_and_that_outlives_a_kill() {
    let setup = Setup::new()
        .config("[instances.\"outside/all\"]\nplugin = \"outside\"\nevery = \"1h\"\ngrants = { kv = true }\n");
    let first = crate::harness::guest::build("outside");
    let file = write(&setup, "outside.wasm", &first);
    let broken = write(&setup, "broken.wasm", &first[..first.len() / 2]);
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
        (1..).zip(&contents).map(|(number, bytes)| write(&setup, &format!("v{number}.wasm"), bytes)).collect();
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
    let file = write(&setup, "hostile.wasm", &crate::harness::guest::build("hostile"));
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
    let words = write(&daemon.setup, "words.toml", b"behaviour = \"log-flood\"\n");

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

/// What a web server on this machine answers, by path; of a redirect the `Location`.
async fn serve(pages: Vec<(&'static str, Result<Vec<u8>, String>)>) -> String {
    use axum::response::IntoResponse;
    let pages: std::collections::HashMap<String, Result<Vec<u8>, String>> =
        pages.into_iter().map(|(path, page)| (path.to_owned(), page)).collect();
    let answer = move |uri: axum::http::Uri| {
        let page = pages.get(uri.path()).cloned();
        async move {
            match page {
                Some(Ok(bytes)) => bytes.into_response(),
                Some(Err(to)) => axum::response::Redirect::temporary(&to).into_response(),
                None => axum::http::StatusCode::NOT_FOUND.into_response(),
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap() });
    url
}

/// The command line beside tasks of this test, which have to go on meanwhile.
async fn command_line(daemon: &Daemon, arguments: &[&str]) -> Output {
    let mut command = daemon.setup.command(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_plugin_is_installed_from_a_url_if_it_is_what_it_should_be() {
    let bytes = renumbered(&bundled("threshold"), "0.4.0");
    let digest = sha256(&bytes);
    let large = vec![0; (64 << 20) + 1];
    let url = serve(vec![
        ("/v1/threshold.wasm", Ok(bytes)),
        ("/latest", Err("/v1/threshold.wasm".to_owned())),
        ("/round.wasm", Err("/round.wasm".to_owned())),
        ("/large.wasm", Ok(large)),
        ("/away.wasm", Err("http://192.0.2.1/threshold.wasm".to_owned())),
    ])
    .await;
    let daemon = Setup::new().start().await;
    let at = |path: &str| format!("{url}{path}");
    for (arguments, words) in [
        (vec![at("/none.wasm")], "404"),
        (vec![at("/round.wasm")], "again and again"),
        (vec![at("/away.wasm")], "anybody on the way may change it"),
        (vec![at("/large.wasm")], "more than 67108864 bytes"),
        (vec![at("/latest")], "--name"),
        (vec![at("/v1/threshold.wasm"), "--digest".to_owned(), sha256(b"other")], "nothing was installed"),
        (vec!["http://192.0.2.1/threshold.wasm".to_owned()], "use https"),
        (vec!["ftp://192.0.2.1/threshold.wasm".to_owned()], "nothing that can be installed from"),
    ] {
        let arguments: Vec<&str> =
            ["plugin", "install"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        let refused = command_line(&daemon, &arguments).await;
        assert!(!refused.status.success() && said(&refused).contains(words), "{words}: {}", said(&refused));
    }
    assert_eq!(daemon.items("/api/v1/plugin-files").await, Vec::<Value>::new());
    let from = at("/latest");
    let installed =
        command_line(&daemon, &["plugin", "install", &from, "--name", "threshold", "--digest", &digest]).await;
    assert!(done(&installed).contains("threshold 0.4.0 is in use"), "{}", said(&installed));
    let listed = daemon.get("/api/v1/plugin-files/threshold.wasm").await;
    assert_eq!((&listed["origin"], &listed["digest"]), (&json!(from), &json!(digest)));

    // What says which file is meant is kept behind the `?`, and what may be a key is not.
    for (query, kept) in [("?version=1", "?version=1"), ("?version=1&token=abc", "")] {
        let installed = command_line(&daemon, &["plugin", "install", &at(&format!("/v1/threshold.wasm{query}"))]).await;
        assert_eq!(done(&installed).contains("is not kept"), kept.is_empty(), "{}", said(&installed));
        let listed = daemon.get("/api/v1/plugin-files/threshold.wasm").await;
        assert_eq!(listed["origin"], at(&format!("/v1/threshold.wasm{kept}")));
        let lock = std::fs::read_to_string(daemon.setup.data_dir().join("plugins.lock")).unwrap();
        assert!(lock.contains(&format!("threshold.wasm{kept}\"")) && !lock.contains("token"), "{lock}");
    }
}

/// A real registry, ended with the test.
struct Registry {
    child: std::process::Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    async fn start(program: &std::path::Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", crate::harness::web::free_port());
        let config = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage:\n  filesystem: {{ rootdirectory: {} }}\nhttp: {{ addr: \"{address}\" }}\n",
            folder.path().join("data").display()
        );
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = std::process::Command::new(program);
        command.arg("serve").arg(&file).stdout(log.try_clone().unwrap()).stderr(log);
        let registry = Registry { child: command.spawn().unwrap(), address, _folder: folder };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        eventually("the registry", SOON, async || {
            let answer = http.get(format!("http://{}/v2/", registry.address)).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        registry
    }

    async fn push_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let digest = sha256(bytes);
        let begin = http.post(format!("http://{}/v2/{repository}/blobs/uploads/", self.address)).send().await.unwrap();
        let place = begin.headers()["location"].to_str().unwrap().to_owned();
        let place = if place.starts_with('/') { format!("http://{}{place}", self.address) } else { place };
        let sign = if place.contains('?') { '&' } else { '?' };
        let put = http.put(format!("{place}{sign}digest={digest}")).body(bytes.to_vec()).send().await.unwrap();
        assert_eq!(put.status(), StatusCode::CREATED);
        digest
    }

    /// Stores a component as tools do, and gives the digest of its manifest.
    async fn push(&self, repository: &str, tag: &str, component: &[u8]) -> String {
        let config = br#"{"architecture":"wasm","os":"wasip2","layerDigests":[]}"#;
        let (config_digest, layer) =
            (self.push_blob(repository, config).await, self.push_blob(repository, component).await);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.wasm.config.v0+json", "digest": config_digest, "size": config.len()},
            "layers": [{"mediaType": "application/wasm", "digest": layer, "size": component.len()}],
        })
        .to_string();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let put = http
            .put(format!("http://{}/v2/{repository}/manifests/{tag}", self.address))
            .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
            .body(manifest.clone());
        let put = put.send().await.unwrap();
        let status = put.status();
        assert_eq!(status, StatusCode::CREATED, "{}", put.text().await.unwrap());
        sha256(manifest.as_bytes())
    }
}

#[tokio::test]
async fn a_plugin_is_pulled_from_a_registry_and_pinned_to_what_its_tag_meant() {
    let Some(program) = crate::harness::counterpart::find("docker-registry", "a_plugin_is_pulled_from_a_registry")
    else {
        return;
    };
    let daemon = Setup::new().start().await;
    let registry = Registry::start(&program).await;
    let [first, second] = ["0.5.0", "0.6.0"].map(|version| renumbered(&bundled("threshold"), version));
    let pinned = registry.push("team/threshold", "stable", &first).await;
    let by_tag = format!("oci://{}/team/threshold:stable", registry.address);
    let installed = command_line(&daemon, &["plugin", "install", &by_tag]).await;
    assert!(done(&installed).contains("threshold 0.5.0 is in use as `threshold.wasm`"), "{}", said(&installed));
    let origin = format!("{by_tag}@{pinned}");
    let listed = daemon.get("/api/v1/plugin-files/threshold.wasm").await;
    assert_eq!((&listed["origin"], &listed["digest"]), (&json!(origin), &json!(sha256(&first))));

    // The tag means something else by now, and what was pinned does not.
    registry.push("team/threshold", "stable", &second).await;
    done(&command_line(&daemon, &["plugin", "install", &by_tag]).await);
    assert_eq!(plugin(&daemon, "threshold").await["version"], "0.6.0");
    done(&command_line(&daemon, &["plugin", "install", &origin]).await);
    assert_eq!(plugin(&daemon, "threshold").await["version"], "0.5.0");
    for (reference, words) in [
        (format!("oci://{}/team/threshold:none", registry.address), "has no manifests/none"),
        (format!("oci://{}/team/threshold@{}", registry.address, sha256(b"other")), "has no manifests/sha256"),
        (format!("oci://{}/Team", registry.address), "is no reference"),
    ] {
        let refused = command_line(&daemon, &["plugin", "install", &reference]).await;
        assert!(!refused.status.success() && said(&refused).contains(words), "{words}: {}", said(&refused));
    }
}

#[tokio::test]
async fn a_lock_file_says_what_there_is_and_brings_another_host_to_the_same() {
    let config = "[instances.\"outside/all\"]\nplugin = \"outside\"\nevery = \"1h\"\ngrants = { kv = true }\n";
    let outside = crate::harness::guest::build("outside");
    let threshold = renumbered(&bundled("threshold"), "0.7.0");
    let url = serve(vec![("/outside.wasm", Ok(outside.clone())), ("/threshold.wasm", Ok(threshold.clone()))]).await;
    let daemon = Setup::new().config(config).start().await;
    for name in ["outside", "threshold"] {
        done(&command_line(&daemon, &["plugin", "install", &format!("{url}/{name}.wasm")]).await);
    }
    done(&command_line(&daemon, &["plugin", "grant", "outside/all"]).await);
    let lock = std::fs::read_to_string(daemon.setup.data_dir().join("plugins.lock")).unwrap();
    for words in [
        &sha256(&outside),
        &sha256(&threshold),
        &format!("{url}/outside.wasm"),
        "version = \"0.7.0\"",
        "outside/all",
        "kv = true",
    ] {
        assert!(lock.contains(words), "{words}: {lock}");
    }

    let other = Setup::new().config(config);
    let file = write(&other, "plugins.lock", lock.as_bytes());
    let stray = variant(&bundled("availability"), 41);
    crate::harness::guest::install(&other.plugins_dir(), "stray.wasm", &stray);
    let other = other.start().await;
    let locked = command_line(&other, &["plugin", "install", "--locked", file.to_str().unwrap()]).await;
    assert!(said(&locked).contains("`stray.wasm` is not in the lock"), "{}", said(&locked));
    assert_eq!(locked.status.code(), Some(1), "it is not all that there is");
    let instance = other.get("/api/v1/instances/outside/all").await;
    assert_eq!((&instance["state"], &instance["plugin"]["digest"]), (&json!("active"), &json!(sha256(&outside))));
    assert_eq!(plugin(&other, "threshold").await["digest"], sha256(&threshold));
    done(&command_line(&other, &["plugin", "install", "--locked", file.to_str().unwrap(), "--yes"]).await);
    assert!(!other.setup.plugins_dir().join("stray.wasm").exists());

    // Its own lock follows a removal and a rollback, and brings a file that somebody has changed back out of the host's own store.
    done(&command_line(&other, &["plugin", "remove", "threshold", "--yes"]).await);
    let own = other.setup.data_dir().join("plugins.lock");
    assert!(!std::fs::read_to_string(&own).unwrap().contains("threshold"));
    let changed = variant(&outside, 42);
    crate::harness::guest::install(&other.setup.plugins_dir(), "outside.wasm", &changed);
    other.post("/api/v1/plugins/reload", &json!({})).await;
    assert_eq!(plugin(&other, "outside").await["digest"], sha256(&changed));
    let back = done(&command_line(&other, &["plugin", "install", "--locked"]).await);
    assert!(back.contains("outside 0.1.0 is back"), "{back}");
    assert_eq!(plugin(&other, "outside").await["digest"], sha256(&outside));
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
    let (first, second) =
        (write(&daemon.setup, "first.wasm", &threshold), write(&daemon.setup, "second.wasm", &outside));
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
    let file = write(&setup, "outside.wasm", &crate::harness::guest::build("outside"));
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

#[tokio::test]
async fn a_registry_that_names_parts_by_another_digest_than_sha256_is_not_believed() {
    let component = variant(&bundled("threshold"), 71);
    let long = |bytes: &[u8]| format!("sha512:{}", sha256(bytes).trim_start_matches("sha256:").repeat(2));
    let manifest = |config: &str, layer: &str| {
        let text = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.wasm.config.v0+json", "digest": config, "size": 2},
            "layers": [{"mediaType": "application/wasm", "digest": layer, "size": component.len()}],
        });
        text.to_string().into_bytes()
    };
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": long(b"inner"), "size": 9,
            "platform": {"architecture": "wasm"}}]});
    let (config, layer) = (sha256(b"{}"), sha256(&component));
    let url = serve(vec![
        ("/v2/team/threshold/manifests/index", Ok(index.to_string().into_bytes())),
        ("/v2/team/threshold/manifests/layer", Ok(manifest(&config, &long(&component)))),
        ("/v2/team/threshold/manifests/config", Ok(manifest(&long(b"{}"), &layer))),
    ])
    .await;
    let daemon = Setup::new().start().await;
    for (tag, what) in [("index", "manifest"), ("layer", "layer"), ("config", "config")] {
        let reference = format!("oci://{}/team/threshold:{tag}", url.trim_start_matches("http://"));
        let refused = command_line(&daemon, &["plugin", "install", &reference]).await;
        let text = said(&refused);
        assert_eq!(refused.status.code(), Some(1), "{tag}: {text}");
        assert!(text.contains(&format!("names its {what} by `sha512:")) && text.contains("only sha256"), "{text}");
    }
    assert_eq!(daemon.items("/api/v1/plugin-files").await, Vec::<Value>::new());
}

/// A lock that names these: a file, the plugin in it, its digest, where it comes from.
fn lock_of(plugins: &[(&str, &str, &str, &str)]) -> String {
    let entry = |(file, name, digest, source): &(&str, &str, &str, &str)| {
        format!(
            "[[plugin]]\nfile = \"{file}\"\nname = \"{name}\"\nversion = \"0.1.0\"\ndigest = \"{digest}\"\nsource = \"{source}\"\n\n"
        )
    };
    format!("version = 1\n\n{}", plugins.iter().map(entry).collect::<String>())
}

#[tokio::test]
async fn a_lock_is_brought_as_a_whole_or_nothing_of_it() {
    let (first, second) = (variant(&bundled("threshold"), 81), variant(&bundled("threshold"), 82));
    let outside = crate::harness::guest::build("outside");
    let url = serve(vec![("/threshold.wasm", Ok(second.clone())), ("/outside.wasm", Ok(variant(&outside, 83)))]).await;
    let daemon = Setup::new().start().await;
    let file = write(&daemon.setup, "threshold.wasm", &first);
    done(&command_line(&daemon, &["plugin", "install", file.to_str().unwrap()]).await);
    let (from, other) = (format!("{url}/threshold.wasm"), format!("{url}/outside.wasm"));
    let [of_first, of_second, of_outside] = [&first, &second, &outside].map(|bytes| sha256(bytes));
    let good = ("threshold.wasm", "threshold", of_second.as_str(), from.as_str());
    let wrong = ("outside.wasm", "outside", of_outside.as_str(), other.as_str());
    let nowhere = ("outside.wasm", "outside", of_outside.as_str(), "file:outside.wasm");
    for (bad, words) in [(wrong, "nothing was installed"), (nowhere, "does not say where outside")] {
        let lock = write(&daemon.setup, "bad.lock", lock_of(&[good, bad]).as_bytes());
        let refused = command_line(&daemon, &["plugin", "install", "--locked", lock.to_str().unwrap()]).await;
        let text = said(&refused);
        assert_eq!(refused.status.code(), Some(1), "{text}");
        assert!(text.contains("nothing was changed") && text.contains(words), "{words}: {text}");
        assert_eq!(plugin(&daemon, "threshold").await["digest"], sha256(&first), "the good one waits for the others");
        assert_eq!(daemon.items("/api/v1/plugin-files").await.len(), 1);
    }
    // Also what would come out of the host's own store.
    done(&command_line(&daemon, &["plugin", "install", &from]).await);
    let back = ("threshold.wasm", "threshold", of_first.as_str(), "file:threshold.wasm");
    let lock = write(&daemon.setup, "bad.lock", lock_of(&[back, wrong]).as_bytes());
    let refused = command_line(&daemon, &["plugin", "install", "--locked", lock.to_str().unwrap()]).await;
    assert!(!refused.status.success(), "{}", said(&refused));
    assert_eq!(plugin(&daemon, "threshold").await["digest"], sha256(&second));
    let lock = write(&daemon.setup, "good.lock", lock_of(&[back]).as_bytes());
    let brought = done(&command_line(&daemon, &["plugin", "install", "--locked", lock.to_str().unwrap()]).await);
    assert!(brought.contains("is back"), "{brought}");
    assert_eq!(plugin(&daemon, "threshold").await["digest"], sha256(&first));
}

#[tokio::test]
async fn a_lock_gives_a_content_its_grants_and_its_publisher_only_where_it_names_the_key() {
    let author = Setup::new();
    let key_file = author.folder.path().join("publisher.pem");
    let key = json_of(&author.run(&["plugin", "key", "new", key_file.to_str().unwrap(), "--json"]))["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let file = write(&author, "outside.wasm", &crate::harness::guest::build("outside"));
    done(&author.run(&["plugin", "sign", file.to_str().unwrap(), "--key", key_file.to_str().unwrap()]));
    let signed = std::fs::read(&file).unwrap();
    let digest = sha256(&signed);
    let from = format!("{}/outside.wasm", serve(vec![("/outside.wasm", Ok(signed))]).await);
    let config = format!(
        "[plugins]\ntrusted = [\"{key}\"]\n[instances.\"outside/all\"]\nplugin = \"outside\"\nevery = \"1h\"\ngrants = {{ kv = true }}\n"
    );
    let first = Setup::new().config(&config).start().await;
    done(&command_line(&first, &["plugin", "install", &from]).await);
    let by_digest = ["--digest", digest.as_str()];
    for (more, to) in [(&by_digest[..], &digest), (&[][..], &key)] {
        done(&command_line(&first, &[&["plugin", "grant", "outside/all"], more].concat()).await);
        let lock = std::fs::read(first.setup.data_dir().join("plugins.lock")).unwrap();
        let second = Setup::new().config(&config);
        let lock = write(&second, "plugins.lock", &lock);
        let second = second.start().await;
        done(&command_line(&second, &["plugin", "install", "--locked", lock.to_str().unwrap()]).await);
        let instance = second.get("/api/v1/instances/outside/all").await;
        assert_eq!((&instance["state"], &instance["spec"]["granted-to"]), (&json!("active"), &json!([to])));
        done(&command_line(&first, &["plugin", "revoke", "outside/all"]).await);
    }
}

#[tokio::test]
async fn the_lock_names_what_was_installed_until_it_is_removed_whatever_becomes_of_its_file() {
    let [first, second] = [111, 112].map(|number| variant(&bundled("threshold"), number));
    let setup = Setup::new().own_cache();
    let file = write(&setup, "first.wasm", &first);
    let daemon = setup.start().await;
    let lock = |setup: &Setup| std::fs::read_to_string(setup.data_dir().join("plugins.lock")).unwrap();
    let names_the_first = |setup: &Setup| {
        let lock = lock(setup);
        assert!(lock.contains(&sha256(&first)) && !lock.contains(&sha256(&second)), "{lock}");
    };
    done(&daemon.command_line(&["plugin", "install", file.to_str().unwrap(), "--name", "threshold"]));
    names_the_first(&daemon.setup);

    // Another content in its place, and something that concerns neither.
    crate::harness::guest::install(&daemon.setup.plugins_dir(), "threshold.wasm", &second);
    daemon.post("/api/v1/plugins/reload", &json!({})).await;
    assert_eq!(plugin(&daemon, "threshold").await["digest"], sha256(&second));
    done(&daemon.command_line(&["config", "set", "instances", "log/another", r#"{"plugin": "log"}"#]));
    names_the_first(&daemon.setup);
    // Another plugin that is installed decides nothing about this one.
    let other = write(&daemon.setup, "other.wasm", &variant(&bundled("availability"), 113));
    done(&daemon.command_line(&["plugin", "install", other.to_str().unwrap(), "--name", "availability"]));
    names_the_first(&daemon.setup);
    let daemon = daemon.kill().start().await;
    names_the_first(&daemon.setup);

    // What is damaged while no host runs comes back out of the host's own store.
    let setup = daemon.stop().0;
    let place = setup.plugins_dir().join("threshold.wasm");
    std::fs::write(&place, &first[..first.len() / 2]).unwrap();
    let daemon = setup.start().await;
    names_the_first(&daemon.setup);
    done(&daemon.command_line(&["config", "reset", "instances", "log/another"]));
    names_the_first(&daemon.setup);
    let back = done(&daemon.command_line(&["plugin", "install", "--locked"]));
    assert!(back.contains("threshold 0.1.0 is back"), "{back}");
    assert_eq!(std::fs::read(&place).unwrap(), first);
    assert_eq!(plugin(&daemon, "threshold").await["digest"], sha256(&first));

    done(&daemon.command_line(&["plugin", "remove", "threshold", "--yes"]));
    let now = lock(&daemon.setup);
    assert!(!now.contains("threshold") && now.contains("availability"), "{now}");
    // What was taken away by hand is brought back, unless somebody says that it is to go.
    std::fs::remove_file(daemon.setup.plugins_dir().join("availability.wasm")).unwrap();
    daemon.post("/api/v1/plugins/reload", &json!({})).await;
    assert_eq!(plugin(&daemon, "availability").await["source"], "bundled");
    assert!(lock(&daemon.setup).contains("availability"));
    let asked = daemon.command_line(&["plugin", "remove", "availability"]);
    assert!(!asked.status.success() && said(&asked).contains("--yes"), "{}", said(&asked));
    let removed = done(&daemon.command_line(&["plugin", "remove", "availability", "--yes"]));
    assert!(removed.contains("the lock does not name it any more"), "{removed}");
    assert!(!lock(&daemon.setup).contains("availability"));
    let again = daemon.command_line(&["plugin", "remove", "availability", "--yes"]);
    assert!(!again.status.success() && said(&again).contains("no file of the plugins folder"), "{}", said(&again));
}

#[tokio::test]
async fn what_a_content_was_granted_is_in_the_lock_while_another_one_lies_in_its_place_and_taken_back_it_is_not() {
    let setup = Setup::new()
        .config("[instances.\"outside/all\"]\nplugin = \"outside\"\nevery = \"1h\"\ngrants = { kv = true }\n");
    let outside = crate::harness::guest::build("outside");
    let file = write(&setup, "outside.wasm", &outside);
    let daemon = setup.start().await;
    let lock = || std::fs::read_to_string(daemon.setup.data_dir().join("plugins.lock")).unwrap();
    done(&daemon.command_line(&["plugin", "install", file.to_str().unwrap()]));
    assert!(!lock().contains("outside/all"), "{}", lock());
    done(&daemon.command_line(&["plugin", "grant", "outside/all"]));
    assert!(lock().contains("outside/all"), "{}", lock());
    crate::harness::guest::install(&daemon.setup.plugins_dir(), "outside.wasm", &variant(&outside, 114));
    daemon.post("/api/v1/plugins/reload", &json!({})).await;
    done(&daemon.command_line(&["config", "set", "instances", "log/another", r#"{"plugin": "log"}"#]));
    assert!(lock().contains(&sha256(&outside)) && lock().contains("outside/all"), "{}", lock());
    done(&daemon.command_line(&["plugin", "revoke", "outside/all"]));
    assert!(lock().contains(&sha256(&outside)) && !lock().contains("outside/all"), "{}", lock());
}
