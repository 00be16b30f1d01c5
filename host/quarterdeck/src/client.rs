//! Speaks to the daemon's HTTP API.

use crate::arguments::Global;
use anyhow::{Context, Result, anyhow, bail};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::path::PathBuf;

/// What the daemon leaves in its data folder so that the command line finds it.
pub(crate) const ADDRESS_FILE: &str = "url";
pub(crate) const TOKEN_FILE: &str = "token";

/// The folder that the daemon of this configuration keeps its data in.
fn data_dir(global: &Global) -> Result<PathBuf> {
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
    http: reqwest::Client,
}

impl Client {
    pub(crate) fn new(global: &Global) -> Result<Self> {
        crate::daemon::install_crypto();
        let folder = data_dir(global)?;
        let written = |path: PathBuf| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let base = match (&global.url, &global.listen) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Some(listen)) => format!("http://{listen}"),
            (None, None) => written(folder.join(ADDRESS_FILE)).unwrap_or_else(|| "http://127.0.0.1:7700".to_owned()),
        };
        let announced = written(folder.join(ADDRESS_FILE)).is_some() || global.url.is_some() || global.listen.is_some();
        let token = match &global.token_file {
            Some(path) => Some(written(path.clone()).with_context(|| format!("failed to read {}", path.display()))?),
            // At an address that nobody named, anybody may be listening.
            None if announced => written(folder.join(TOKEN_FILE)),
            None => None,
        };
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Client { base, token, http })
    }

    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value> {
        self.call(Method::GET, path, query, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    /// All items of a list, page by page, at most `limit`.
    pub(crate) async fn list(&self, path: &str, query: &[(&str, String)], limit: usize) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        while items.len() < limit {
            let mut query = query.to_vec();
            query.push(("limit", (limit - items.len()).min(500).to_string()));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let mut page = self.get(path, &query).await?;
            let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) else {
                bail!("the daemon's answer to {path} is not a list");
            };
            items.extend(more);
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
        items.truncate(limit);
        Ok(items)
    }

    /// The event stream; lines come as they are sent.
    pub(crate) async fn stream(&self, path: &str, query: &[(&str, String)]) -> Result<reqwest::Response> {
        let response = self.request(Method::GET, path, query).send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(problem(response).await) }
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, String)]) -> reqwest::RequestBuilder {
        let reads = method == Method::GET;
        let mut url = format!("{}{path}", self.base);
        for (index, (name, value)) in query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.push_str(&escape(value));
        }
        let request = self.http.request(method, url);
        // Reading is free: the token goes only where it is needed.
        match &self.token {
            Some(token) if !reads => request.bearer_auth(token),
            _ => request,
        }
    }

    async fn call(&self, method: Method, path: &str, query: &[(&str, String)], body: Option<&Value>) -> Result<Value> {
        let mut request = self.request(method, path, query).timeout(std::time::Duration::from_secs(60));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        match response.status() {
            StatusCode::NO_CONTENT => Ok(Value::Null),
            status if status.is_success() => response.json().await.context("failed to read the daemon's answer"),
            _ => Err(problem(response).await),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        anyhow!(
            "failed to reach the daemon at {}: {}\nhint: start it with `quarterdeck run`, or name another one with --url or --data-dir",
            self.base,
            deepest(error)
        )
    }
}

/// The cause at the bottom says what went wrong; those above say only that something did.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Turns a problem document into an error with its hint.
async fn problem(response: reqwest::Response) -> anyhow::Error {
    let status = response.status();
    let document: Value = response.json().await.unwrap_or_default();
    let text = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
    let title = text("detail").or_else(|| text("title")).unwrap_or_else(|| "the daemon refused".to_owned());
    let hint = match status {
        StatusCode::UNAUTHORIZED => "\nhint: run this as the daemon's user, or give --token-file",
        _ => "",
    };
    anyhow!("{title} ({status}){hint}")
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
