//! Out of an OCI registry, by the distribution API: a manifest and the one layer in it that is a component. The clients that there are bring
//! an HTTP stack with features of its own, and with it a second build of ours; what is needed here are two requests and a token.
//!
//! A tag may lead elsewhere tomorrow. So what it led to is resolved to the manifest's digest, checked, and kept with the tag.

use super::web::{body, client, deepest};
use super::{Component, check_size, digest, is_loopback};
use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quarterdeck_model::plugin::Digest;
use quarterdeck_model::plugin::files::MAX_COMPONENT_BYTES;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// What components are stored as: by the convention for artefacts, and by older tools.
const LAYERS: [&str; 2] = ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];
const TITLE: &str = "org.opencontainers.image.title";
/// Registries have to take no larger manifests.
const MANIFEST_BYTES: u64 = 4 << 20;

/// `oci://registry/repository:tag`, `...@sha256:<64 hex>`, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    /// Of the manifest.
    digest: Option<Digest>,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci://{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl FromStr for Reference {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            anyhow!(
                "`{text}` is no reference\nhint: oci://registry.example/team/plugin:1.0.0, or ...@sha256:<64 hexadecimal digits>"
            )
        };
        let rest = text.strip_prefix("oci://").ok_or_else(wrong)?;
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest(digest.to_owned()))),
            None => (rest, None),
        };
        let (registry, rest) = rest.split_once('/').ok_or_else(wrong)?;
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag.to_owned())),
            None => (rest, None),
        };
        let part = |part: &str| {
            let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            part.bytes().all(|byte| lower(byte) || matches!(byte, b'.' | b'_' | b'-'))
                && part.bytes().next().is_some_and(lower)
        };
        let is_tag = |tag: &String| {
            (1..=128).contains(&tag.len())
                && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
                && !tag.starts_with(['.', '-'])
        };
        let is_host = !registry.is_empty()
            && Url::parse(&format!("https://{registry}/")).is_ok_and(|url| url.username().is_empty());
        let good = is_host
            && repository.split('/').all(part)
            && tag.as_ref().is_none_or(is_tag)
            && digest.as_ref().is_none_or(|digest| is_sha256(&digest.0));
        if !good {
            return Err(wrong());
        }
        Ok(Reference { registry: registry.to_owned(), repository: repository.to_owned(), tag, digest })
    }
}

impl Reference {
    /// What is asked for: the digest where there is one.
    fn wanted(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => &digest.0,
            (None, Some(tag)) => tag,
            (None, None) => "latest",
        }
    }

    fn is_here(&self) -> bool {
        let host = Url::parse(&format!("https://{}/", self.registry)).ok();
        host.as_ref().and_then(Url::host_str).is_some_and(is_loopback)
    }

    fn base(&self) -> String {
        // A registry on this machine has no certificate, and needs none.
        let here = self.is_here();
        format!("{}://{}/v2/{}", if here { "http" } else { "https" }, self.registry, self.repository)
    }
}

#[derive(Debug, Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    platform: Value,
}

impl Descriptor {
    /// The digest, if what comes can be held against it. Another algorithm is a promise that nobody here checks.
    fn checkable(&self, what: &str, source: &str) -> Result<&str> {
        if is_sha256(&self.digest) {
            return Ok(&self.digest);
        }
        bail!(
            "{source} names its {what} by `{}`, and only sha256 is checked here\nhint: push it again with a tool that writes sha256",
            self.digest.chars().take(160).collect::<String>().escape_debug()
        )
    }
}

fn is_sha256(digest: &str) -> bool {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    /// Of an index.
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

pub(super) async fn fetch(source: &str) -> Result<Component> {
    let mut reference: Reference = source.parse()?;
    let mut registry = Registry {
        http: client(reference.is_here(), false)?,
        base: reference.base(),
        registry: reference.registry.clone(),
        login: None,
    };
    let (manifest, mut found) = registry.manifest(reference.wanted()).await?;
    reference.digest = Some(found);
    let mut manifest = manifest;
    if !manifest.manifests.is_empty() {
        let of_platform = wasm_manifest(&manifest.manifests).ok_or_else(|| {
            anyhow!("{source} is an index without a manifest for wasm; hint: name the manifest by its digest")
        })?;
        let inner = of_platform.checkable("manifest", source)?.to_owned();
        (manifest, found) = registry.manifest(&inner).await?;
        reference.digest = Some(found);
    }
    let layer = component_layer(&manifest.layers).ok_or_else(|| {
        let types: Vec<&str> = manifest.layers.iter().map(|layer| layer.media_type.as_str()).collect();
        anyhow!(
            "{source} holds no component: its layers are {}",
            if types.is_empty() { "none".to_owned() } else { types.join(", ") }
        )
    })?;
    if let Some(config) = &manifest.config {
        config.checkable("config", source)?;
    }
    let of_layer = layer.checkable("layer", source)?;
    check_size(layer.size, source)?;
    let response = registry.get(&format!("blobs/{of_layer}"), None).await?;
    let bytes = body(response, source, MAX_COMPONENT_BYTES).await?;
    let digest = digest(&bytes);
    if digest.0 != of_layer {
        bail!("{source}: the registry sends {digest} as {of_layer}");
    }
    let last = reference.repository.rsplit('/').next().unwrap_or_default();
    Ok(Component { bytes, digest, file: format!("{last}.wasm"), origin: reference.to_string() })
}

/// The layer that is a component: the one of its type, else the only one whose name says so.
fn component_layer(layers: &[Descriptor]) -> Option<&Descriptor> {
    let mut typed = layers.iter().filter(|layer| LAYERS.contains(&layer.media_type.as_str()));
    if let Some(first) = typed.next() {
        // Several could be meant.
        return typed.next().is_none().then_some(first);
    }
    let named = |layer: &&Descriptor| layer.annotations.get(TITLE).is_some_and(|title| title.ends_with(".wasm"));
    let mut named = layers.iter().filter(named);
    named.next().filter(|_| named.next().is_none())
}

fn wasm_manifest(manifests: &[Descriptor]) -> Option<&Descriptor> {
    let is_wasm = |one: &&Descriptor| one.platform.get("architecture").and_then(Value::as_str) == Some("wasm");
    manifests.iter().find(is_wasm).or(manifests.first().filter(|_| manifests.len() == 1))
}

struct Registry {
    http: Client,
    base: String,
    registry: String,
    login: Option<HeaderValue>,
}

impl Registry {
    /// The manifest, and the digest of what was read.
    async fn manifest(&mut self, reference: &str) -> Result<(Manifest, Digest)> {
        let response = self.get(&format!("manifests/{reference}"), Some(&format!("{MANIFEST}, {INDEX}"))).await?;
        let said =
            response.headers().get("Docker-Content-Digest").and_then(|said| said.to_str().ok()).map(str::to_owned);
        let bytes = body(response, reference, MANIFEST_BYTES).await?;
        let found = digest(&bytes);
        let asked = reference.starts_with("sha256:").then_some(reference);
        if let Some(other) = [asked, said.as_deref()].into_iter().flatten().find(|wanted| *wanted != found.0) {
            bail!("the registry {} sends the manifest {found} as {other}", self.registry);
        }
        let manifest = serde_json::from_slice(&bytes).context("the registry's manifest can't be read")?;
        Ok((manifest, found))
    }

    /// Asks, and once more with what the registry wants to see.
    async fn get(&mut self, path: &str, accept: Option<&str>) -> Result<Response> {
        let response = self.send(path, accept).await?;
        let response = if response.status() == StatusCode::UNAUTHORIZED && self.login.is_none() {
            self.login = Some(self.log_in(&response).await?);
            self.send(path, accept).await?
        } else {
            response
        };
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::NOT_FOUND => bail!("the registry {} has no {path} in this repository", self.registry),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => bail!(
                "the registry {} does not let us read {path}\nhint: `docker login {}`, or whatever writes its file",
                self.registry,
                self.registry
            ),
            status => bail!("the registry {} answers {status} to {path}", self.registry),
        }
    }

    async fn send(&self, path: &str, accept: Option<&str>) -> Result<Response> {
        let mut request = self.http.get(format!("{}/{path}", self.base));
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(login) = &self.login {
            request = request.header(AUTHORIZATION, login);
        }
        request
            .send()
            .await
            .map_err(|error| anyhow!("failed to reach the registry {}: {}", self.registry, deepest(&error)))
    }

    /// What the registry asks for: a token that somebody else gives, or a name and a password.
    async fn log_in(&self, refused: &Response) -> Result<HeaderValue> {
        let asked = refused.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kept = kept_login(&self.registry).map(|kept| format!("Basic {kept}"));
        let (scheme, parameters) = asked.split_once(' ').unwrap_or((asked, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            let kept =
                kept.ok_or_else(|| anyhow!("the registry {0} wants a login\nhint: `docker login {0}`", self.registry))?;
            return Ok(secret(&kept)?);
        }
        let parameters = challenge(parameters);
        let realm = parameters.get("realm").and_then(|realm| Url::parse(realm).ok());
        let mut realm =
            realm.ok_or_else(|| anyhow!("the registry {} does not say where its tokens come from", self.registry))?;
        if realm.scheme() != "https" && !realm.host_str().is_some_and(is_loopback) {
            bail!("the registry {} has its tokens given out without TLS", self.registry);
        }
        for name in ["service", "scope"] {
            if let Some(value) = parameters.get(name) {
                realm.query_pairs_mut().append_pair(name, value);
            }
        }
        let mut request = self.http.get(realm);
        if let Some(kept) = &kept {
            request = request.header(AUTHORIZATION, secret(kept)?);
        }
        let response = request.send().await.map_err(|error| anyhow!("failed to get a token: {}", deepest(&error)))?;
        if !response.status().is_success() {
            bail!("failed to get a token for {}: {}", self.registry, response.status());
        }
        let answer: Value = serde_json::from_slice(&body(response, "the token", MANIFEST_BYTES).await?)?;
        let token = ["token", "access_token"].into_iter().find_map(|name| answer.get(name)?.as_str());
        let token = token.ok_or_else(|| anyhow!("who gives out the tokens of {} gives none", self.registry))?;
        Ok(secret(&format!("Bearer {token}"))?)
    }
}

fn secret(text: &str) -> Result<HeaderValue, reqwest::header::InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// `realm="https://auth.example/token",service="registry"`
fn challenge(text: &str) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').map_or((after, ""), |(value, next)| (value, next)),
        };
        parameters.insert(name.trim().to_ascii_lowercase(), value.to_owned());
        rest = next.trim_start_matches([',', ' ']);
    }
    parameters
}

/// Where `docker login`, `podman login` and `oras login` keep a name and a password: base64 of `name:password`.
fn kept_login(registry: &str) -> Option<String> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| std::env::home_dir().map(|home| home.join(".docker")))?;
    let kept: Value = serde_json::from_slice(&std::fs::read(folder.join("config.json")).ok()?).ok()?;
    let login = kept.get("auths")?.get(registry)?.get("auth")?.as_str()?;
    STANDARD.decode(login).is_ok_and(|login| login.contains(&b':')).then(|| login.to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_are_read_and_written() {
        let hex = format!("sha256:{}", "ab".repeat(32));
        for text in [
            "oci://registry.example/team/plugin:1.0.0".to_owned(),
            "oci://127.0.0.1:5000/plugin".to_owned(),
            format!("oci://registry.example:8443/a/b/c@{hex}"),
            format!("oci://registry.example/a_b.c-d:latest@{hex}"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
        for wrong in [
            "oci://",
            "oci://registry",
            "oci:///a",
            "oci://r/A",
            "oci://r/a:",
            "oci://r/a:-x",
            "oci://r/../a",
            "oci://r/a/",
            "oci://r/a@sha256:12",
            "oci://r/a@md5:x",
            "https://r/a",
            "oci://user@r/a",
            "oci://r/a b",
        ] {
            assert!(wrong.parse::<Reference>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_a_registry_of_this_machine_is_asked_without_tls() {
        let base = |text: &str| text.parse::<Reference>().unwrap().base();
        assert_eq!(base("oci://localhost:5000/a"), "http://localhost:5000/v2/a");
        assert_eq!(base("oci://registry.example/a/b"), "https://registry.example/v2/a/b");
        assert_eq!(base("oci://10.0.0.1/a"), "https://10.0.0.1/v2/a");
    }

    #[test]
    fn the_one_component_among_the_layers_is_taken() {
        let layers = |layers: Value| serde_json::from_value::<Vec<Descriptor>>(layers).unwrap();
        let of = |layers: &[Descriptor]| component_layer(layers).map(|layer| layer.digest.clone());
        let wasm = json!({"mediaType": "application/wasm", "digest": "sha256:1", "size": 1});
        let named = json!({"mediaType": "application/octet-stream", "digest": "sha256:2", "size": 1, "annotations": {TITLE: "a.wasm"}});
        let other =
            json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:3", "size": 1});
        assert_eq!(of(&layers(json!([other, wasm, named]))).as_deref(), Some("sha256:1"));
        assert_eq!(of(&layers(json!([other, named]))).as_deref(), Some("sha256:2"));
        assert_eq!(of(&layers(json!([wasm, wasm]))), None);
        assert_eq!(of(&layers(json!([other]))), None);
    }

    #[test]
    fn what_is_named_by_another_digest_than_sha256_is_refused() {
        let named = |digest: &str| {
            let descriptor: Descriptor = serde_json::from_value(json!({"digest": digest, "size": 1})).unwrap();
            descriptor.checkable("layer", "oci://r/a").map(str::to_owned).map_err(|error| error.to_string())
        };
        let good = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(named(&good), Ok(good));
        for wrong in [format!("sha512:{}", "ab".repeat(64)), "sha256:ab".to_owned(), "md5:x\u{1b}[2J".to_owned()] {
            let refused = named(&wrong).unwrap_err();
            let words = format!("names its layer by `{}`", wrong.escape_debug());
            assert!(refused.contains(&words) && refused.contains("only sha256 is checked"), "{refused}");
        }
    }

    #[test]
    fn a_challenge_is_taken_apart() {
        let asked = challenge(
            r#"realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#,
        );
        assert_eq!(asked["realm"], "https://auth.example/token");
        assert_eq!(asked["scope"], "repository:a/b:pull,push");
        assert_eq!(challenge("realm=plain, service=x")["service"], "x");
        assert!(challenge("").is_empty());
    }
}
