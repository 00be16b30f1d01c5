//! Where plugins come from: a URL, a registry.

use super::*;

/// What a web server on this machine answers, by path; of a redirect the `Location`.
pub(super) async fn serve(pages: Vec<(&'static str, Result<Vec<u8>, String>)>) -> String {
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
pub(super) async fn command_line(daemon: &Daemon, arguments: &[&str]) -> Output {
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
