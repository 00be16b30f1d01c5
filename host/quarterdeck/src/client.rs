//! Speaks to the daemon's HTTP API.

mod replay;

use crate::arguments::Global;
use crate::output::remark;
use anyhow::{Context, Result, anyhow, bail};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// What the daemon leaves in its data folder so that the command line finds it.
pub(crate) const ADDRESS_FILE: &str = "url";
pub(crate) const TOKEN_FILE: &str = "token";
/// Locked by a daemon that has begun and does not answer yet.
pub(crate) const STARTING_FILE: &str = "starting";

/// The folder that the daemon of this configuration keeps its data in.
pub(crate) fn data_dir(global: &Global) -> Result<PathBuf> {
    match (&global.data_dir, crate::daemon::load_configuration(global)) {
        (None, Ok(loaded)) => Ok(loaded.settings.data_dir),
        // A configuration with a mistake in it must not keep anybody from asking the daemon that runs.
        _ => default_data_dir(global),
    }
}

/// `--data-dir`, or where data is kept if no configuration says otherwise.
pub(crate) fn default_data_dir(global: &Global) -> Result<PathBuf> {
    if let Some(folder) = &global.data_dir {
        return Ok(folder.clone());
    }
    let base = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".local/share")))
        .ok_or_else(|| anyhow!("there is no home folder to keep data in; hint: name one with --data-dir"))?;
    Ok(base.join("quarterdeck"))
}

pub(crate) struct Client {
    base: String,
    token: Option<String>,
    /// Whether the daemon is on this machine, as far as its address tells.
    here: bool,
    announced: bool,
    /// Where the daemon of this folder says that it starts; `None` where another one is meant.
    starting: Option<PathBuf>,
    http: reqwest::Client,
}

/// Items of a list, and how many more there are.
pub(crate) struct Listed {
    pub(crate) items: Vec<Value>,
    /// Counted up to [`COUNTED`].
    pub(crate) left: usize,
}

/// Items that are counted behind those that are asked for.
pub(crate) const COUNTED: usize = 5_000;
/// Items of one request.
const PART: usize = 500;
/// For an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// For an answer to much that was sent: the host gives the sending five minutes, and the compiler two.
const PATIENCE_WITH_BYTES: Duration = Duration::from_secs(450);

/// An answer that is not a success, as the daemon gave it.
#[derive(Debug)]
pub(crate) struct Refused {
    message: String,
    /// The problem document.
    pub(crate) problem: Value,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}

struct Address {
    base: String,
    /// By the daemon or by the user.
    announced: bool,
    here: bool,
    token: Option<String>,
}

/// Where the daemon answers, and the token to be sent there.
fn address(global: &Global, folder: &std::path::Path) -> Result<Address> {
    let written = |path: PathBuf| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let named = match (&global.url, &global.listen) {
        (Some(url), _) => Some(url.trim_end_matches('/').to_owned()),
        (None, Some(listen)) => Some(format!("http://{listen}")),
        (None, None) => written(folder.join(ADDRESS_FILE)),
    };
    if let Some(url) = &global.url {
        check_url(url)?;
    }
    let announced = named.is_some();
    let base = named.unwrap_or_else(|| "http://127.0.0.1:7700".to_owned());
    let here = reqwest::Url::parse(&base).ok().is_some_and(|url| url.host_str().is_some_and(is_loopback));
    let token = match &global.token_file {
        Some(path) => {
            let read = std::fs::read_to_string(path);
            let token = read.with_context(|| format!("failed to read the token in {}", path.display()))?;
            Some(token.trim().to_owned())
        }
        // At an address that nobody named, anybody may be listening; and the token of this machine's daemon is no other machine's.
        None if announced && here => written(folder.join(TOKEN_FILE)),
        None => None,
    };
    Ok(Address { base, announced, here, token })
}

fn check_url(url: &str) -> Result<()> {
    match reqwest::Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => Ok(()),
        _ => bail!("`{url}` is not the URL of a daemon\nhint: it looks like http://127.0.0.1:7700"),
    }
}

/// Whether a daemon holds the file.
fn is_held(path: &std::path::Path) -> bool {
    let Ok(file) = std::fs::File::open(path) else { return false };
    matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))
}

pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Client {
    pub(crate) fn new(global: &Global) -> Result<Self> {
        crate::daemon::install_crypto();
        let folder = data_dir(global)?;
        let Address { base, announced, here, token } = address(global, &folder)?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let starting = global.url.is_none().then(|| folder.join(STARTING_FILE));
        Ok(Client { base, token, here, announced, starting, http })
    }

    /// Whether somebody has said where the daemon is.
    pub(crate) fn is_announced(&self) -> bool {
        self.announced
    }

    /// Where the daemon answers, without a slash at the end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value> {
        self.call(Method::GET, path, query, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::PUT, path, &[], Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value> {
        self.call(Method::DELETE, path, &[], None).await
    }

    /// What is there, and the tag of it.
    pub(crate) async fn get_tagged(&self, path: &str) -> Result<(Value, Option<String>)> {
        let request = self.request(Method::GET, path, &[]).timeout(PATIENCE);
        let response = self.response(true, request).await?;
        let tag = response.headers().get("ETag").and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        Ok((response.json().await.context("failed to read the daemon's answer")?, tag))
    }

    /// Puts it if what is there still has that tag, as it was sent.
    pub(crate) async fn put_if(&self, path: &str, body: &Value, tag: Option<&str>) -> Result<Value> {
        let mut request = self.request(Method::PUT, path, &[]).timeout(PATIENCE).json(body);
        if let Some(tag) = tag {
            request = request.header("If-Match", tag);
        }
        self.answered(false, request).await
    }

    /// Deletes it if it still has that tag.
    pub(crate) async fn delete_if(&self, path: &str, tag: &str) -> Result<Value> {
        let request = self.request(Method::DELETE, path, &[]).timeout(PATIENCE);
        self.answered(false, request.header("If-Match", format!("\"{tag}\""))).await
    }

    /// Sends bytes. The host may have to compile them.
    pub(crate) async fn upload(&self, path: &str, query: &[(&str, String)], bytes: Vec<u8>) -> Result<Value> {
        let request = self.request(Method::PUT, path, query).timeout(PATIENCE_WITH_BYTES);
        self.answered(false, request.header("Content-Type", "application/octet-stream").body(bytes)).await
    }

    /// All items of a list, page by page, at most `limit`.
    pub(crate) async fn list(&self, path: &str, query: &[(&str, String)], limit: usize) -> Result<Vec<Value>> {
        Ok(self.walk(path, query, limit, 0).await?.items)
    }

    /// The first items of a list, and how many more there are.
    pub(crate) async fn first(&self, path: &str, query: &[(&str, String)], limit: usize) -> Result<Listed> {
        self.walk(path, query, limit, COUNTED).await
    }

    async fn walk(&self, path: &str, query: &[(&str, String)], limit: usize, counted: usize) -> Result<Listed> {
        let mut listed = Listed { items: Vec::new(), left: 0 };
        let mut cursor: Option<String> = None;
        while listed.items.len() < limit || (cursor.is_some() && listed.left < counted) {
            let wanted = if listed.items.len() < limit { limit - listed.items.len() } else { PART };
            let mut query = query.to_vec();
            query.push(("limit", wanted.min(PART).to_string()));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let mut page = self.get(path, &query).await?;
            let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) else {
                bail!("the daemon's answer to {path} is not a list");
            };
            match limit.checked_sub(listed.items.len()) {
                None | Some(0) => listed.left += more.len(),
                Some(_) => listed.items.extend(more),
            }
            for one in page.get("unreadable").and_then(Value::as_array).into_iter().flatten() {
                let said = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default();
                remark(&format!("`{}` is left out: {}", said("key"), said("detail")));
            }
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
        Ok(listed)
    }

    /// The event stream behind an offset; lines come as they are sent.
    pub(crate) async fn stream(&self, path: &str, query: &[(&str, String)], last: &str) -> Result<reqwest::Response> {
        let request = self.request(Method::GET, path, query).header("Last-Event-ID", last);
        self.check_started()?;
        let response = self.send(true, request).await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(problem(response).await) }
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, String)]) -> reqwest::RequestBuilder {
        let mut url = format!("{}{path}", self.base);
        for (index, (name, value)) in query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.push_str(&escape(value));
        }
        self.http.request(method, url)
    }

    /// Reading is mostly free at this machine: the token goes only where it is needed.
    async fn send(&self, reads: bool, request: reqwest::RequestBuilder) -> reqwest::Result<reqwest::Response> {
        let Some(token) = &self.token else { return request.send().await };
        match request.try_clone().filter(|_| reads && self.here) {
            None => request.bearer_auth(token).send().await,
            Some(without) => match without.send().await? {
                refused if refused.status() == StatusCode::UNAUTHORIZED => request.bearer_auth(token).send().await,
                response => Ok(response),
            },
        }
    }

    async fn call(&self, method: Method, path: &str, query: &[(&str, String)], body: Option<&Value>) -> Result<Value> {
        let reads = method == Method::GET;
        let mut request = self.request(method, path, query).timeout(PATIENCE);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.answered(reads, request).await
    }

    async fn answered(&self, reads: bool, request: reqwest::RequestBuilder) -> Result<Value> {
        let response = self.response(reads, request).await?;
        match response.status() {
            StatusCode::NO_CONTENT => Ok(Value::Null),
            _ => response.json().await.context("failed to read the daemon's answer"),
        }
    }

    /// An answer that is a success.
    async fn response(&self, reads: bool, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        self.check_started()?;
        let response = self.send(reads, request).await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(problem(response).await) }
    }

    /// One that starts says where it answers when it does.
    fn check_started(&self) -> Result<()> {
        if !self.announced && self.starting.as_deref().is_some_and(is_held) { Err(is_starting()) } else { Ok(()) }
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        if self.starting.as_deref().is_some_and(is_held) {
            return is_starting();
        }
        anyhow!(
            "failed to reach the daemon at {}: {}\nhint: start it with `quarterdeck run`, or name another one with --url or --data-dir",
            self.base,
            deepest(error)
        )
    }
}

fn is_starting() -> anyhow::Error {
    anyhow!(
        "the daemon is starting: at its first start it compiles its plugins, once\nhint: ask again in a few seconds"
    )
}

/// The cause at the bottom says what went wrong; those above say only that something did.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Turns a problem document, or an error of the Prometheus API, into an error with its hint.
async fn problem(response: reqwest::Response) -> anyhow::Error {
    let status = response.status();
    let document: Value = response.json().await.unwrap_or_default();
    let text = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
    let title = text("detail")
        .or_else(|| text("title"))
        .or_else(|| text("error"))
        .unwrap_or_else(|| "the daemon refused".to_owned());
    let hint = match status {
        StatusCode::UNAUTHORIZED => "\nhint: run this as the daemon's user, or give --token-file",
        _ => "",
    };
    let errors = document.get("errors").and_then(Value::as_array).into_iter().flatten();
    let details = errors.filter_map(|error| error.get("detail").and_then(Value::as_str));
    let mistakes: String =
        details.filter(|detail| !title.contains(*detail)).map(|detail| format!("\n  {detail}")).collect();
    anyhow::Error::new(Refused { message: format!("{title} ({status}){mistakes}{hint}"), problem: document })
}

/// Percent-encodes everything but unreserved characters (RFC 3986).
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a data folder with a token, and perhaps an address, gives under these flags.
    fn found(written: Option<&str>, url: Option<&str>, token_file: bool) -> (String, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(TOKEN_FILE), "the-token\n").unwrap();
        std::fs::write(folder.path().join("other"), "another\n").unwrap();
        if let Some(written) = written {
            std::fs::write(folder.path().join(ADDRESS_FILE), written).unwrap();
        }
        let global = Global {
            url: url.map(str::to_owned),
            token_file: token_file.then(|| folder.path().join("other")),
            ..Global::default()
        };
        let found = address(&global, folder.path()).unwrap();
        (found.base, found.token)
    }

    #[test]
    fn the_token_goes_to_an_address_that_the_daemon_or_the_user_named_on_this_machine() {
        let token = |written, url| found(written, url, false).1;
        assert_eq!(token(Some("http://127.0.0.1:4000"), None).as_deref(), Some("the-token"));
        assert_eq!(token(None, Some("http://localhost:4000/")).as_deref(), Some("the-token"));
        assert_eq!(token(None, Some("http://[::1]:4000")).as_deref(), Some("the-token"));
    }

    #[test]
    fn what_is_no_url_is_told_as_such() {
        for wrong in ["nonsense", "127.0.0.1:7700", "localhost:7700", "file:///tmp"] {
            let global = Global { url: Some(wrong.to_owned()), ..Global::default() };
            let error = address(&global, std::path::Path::new("/nowhere")).err().unwrap().to_string();
            assert!(error.starts_with(&format!("`{wrong}` is not the URL of a daemon\nhint: ")), "{error}");
        }
    }

    #[test]
    fn a_daemon_that_has_begun_and_does_not_answer_yet_is_starting() {
        let folder = tempfile::tempdir().unwrap();
        let global = Global { data_dir: Some(folder.path().to_owned()), ..Global::default() };
        let started = || Client::new(&global).unwrap().check_started();
        assert!(started().is_ok(), "there is none");
        let file = std::fs::File::create(folder.path().join(STARTING_FILE)).unwrap();
        assert!(started().is_ok(), "there was one");
        file.lock().unwrap();
        assert!(started().unwrap_err().to_string().starts_with("the daemon is starting"));
        std::fs::write(folder.path().join(ADDRESS_FILE), "http://127.0.0.1:1").unwrap();
        assert!(started().is_ok(), "it said where");
        drop(file);
    }

    #[test]
    fn an_address_that_nobody_named_and_another_machine_do_not_get_this_machines_token() {
        assert_eq!(found(None, None, false), ("http://127.0.0.1:7700".to_owned(), None));
        for url in [
            "https://deck.example",
            "http://10.0.0.1:7700",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
        ] {
            assert_eq!(found(Some("http://127.0.0.1:4000"), Some(url), false).1, None, "{url}");
            assert_eq!(found(None, Some(url), true).1.as_deref(), Some("another"), "{url}: named by hand");
        }
    }
    #[test]
    fn a_token_that_cannot_be_read_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let global = Global { token_file: Some(folder.path().join("nope")), ..Global::default() };
        let error = format!("{:#}", address(&global, folder.path()).err().unwrap());
        assert!(error.contains("nope: No such file"), "{error}");
    }
}
