//! Who is signed in. A link signs in once, within ten minutes; the session it begins is kept in the store by the hash of its secret, so that it
//! outlives a restart of the host, and a copy of the store signs nobody in.
//!
//! The cookie is for `/console` only: the API never sees it.

pub(crate) mod all;

use crate::Api;
use crate::paging::blocking;
use crate::problem::Problem;
use crate::server::Peer;
use http::header::{COOKIE, HeaderMap, HeaderValue, ORIGIN, USER_AGENT};
use http::uri::Authority;
use quarterdeck_model::store::Page;
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

pub(crate) const COLLECTION: &str = "console-sessions";
/// How long a link may wait.
pub(crate) const LINK: Span = Span::from_secs(600);
/// Links that wait at once. One more, and the oldest is no longer good.
const LINKS: usize = 32;
/// How long a session lasts after its last use.
const KEPT: Span = Span::from_secs(30 * 86_400);
/// How often a use is written down.
const TOUCH: Span = Span::from_secs(3600);
/// Sessions that are looked at, and may go, when another begins.
const SWEPT: usize = 200;
/// Characters of what a browser or a proxy says that are kept.
const LONGEST: usize = 200;
/// What is to be said to sessions on their next page.
const SAID: usize = 256;

/// What the console remembers while the host runs.
#[derive(Default)]
pub(crate) struct State {
    /// By hash of their code: until when they are good.
    links: Mutex<HashMap<String, Timestamp>>,
    /// By session: what its next page says of the change before.
    said: Mutex<HashMap<String, Said>>,
    /// By session that had a stream: cancelled with its end.
    lasting: Mutex<HashMap<String, CancellationToken>>,
}

/// What is said of a change that was made, and how it is taken back, where that can be done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) undo: Option<Undo>,
}

/// The form that takes a change back. It says what it has seen, as every form does: what somebody else has done since stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Undo {
    pub(crate) to: String,
    pub(crate) fields: Vec<(&'static str, String)>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who is signed in.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Hash of its secret.
    pub(crate) id: String,
    /// Goes with every form. It follows from the secret, and the secret does not follow from it.
    pub(crate) csrf: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    created_at: Timestamp,
    used_at: Timestamp,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    agent: Option<String>,
}

/// Who signs in, as far as the request tells.
pub(crate) struct Who {
    from: Option<String>,
    agent: Option<String>,
}

impl Who {
    pub(crate) fn of(headers: &HeaderMap, peer: &Peer) -> Self {
        let said = |name: &str| {
            let text = String::from_utf8_lossy(headers.get(name)?.as_bytes());
            let text: String = text.trim().chars().filter(|c| !c.is_control()).take(LONGEST).collect();
            Some(text).filter(|text| !text.is_empty())
        };
        let peer = peer.address.map(|address| address.to_string());
        let from = match (said("x-forwarded-for"), peer) {
            (Some(forwarded), Some(peer)) => Some(format!("{forwarded}, through {peer}")),
            (forwarded, peer) => forwarded.or(peer),
        };
        Who { from, agent: said(USER_AGENT.as_str()) }
    }
}

impl Session {
    fn of(secret: &str) -> Self {
        Session { id: hash(&["session", secret]), csrf: hash(&["form", secret]) }
    }
}

/// A new link: the code that signs in once.
pub(crate) fn link(api: &Api) -> Result<String, Problem> {
    let (code, now) = (random()?, api.now());
    let mut links = held(&api.console.links);
    links.retain(|_, until| *until > now);
    if links.len() >= LINKS {
        let oldest = links.iter().min_by_key(|(_, until)| **until).map(|(hash, _)| hash.clone());
        oldest.map(|oldest| links.remove(&oldest));
    }
    links.insert(hash(&["link", &code]), now.plus(LINK));
    Ok(code)
}

/// Begins a session, and gives its secret; `None` if the code is not good, or no more.
pub(crate) async fn begin(api: &Api, code: &str, who: Who) -> Result<Option<String>, Problem> {
    let now = api.now();
    let until = held(&api.console.links).remove(&hash(&["link", code]));
    if until.is_none_or(|until| until <= now) {
        return Ok(None);
    }
    let secret = random()?;
    let record = serde_json::to_value(Record { created_at: now, used_at: now, from: who.from, agent: who.agent });
    let record = record.map_err(|error| Problem::internal(error.to_string()))?;
    let begun = Transition::new().put(COLLECTION, &Session::of(&secret).id, Expected::Absent, record);
    api.options.store.commit(begun).await?;
    if let Err(problem) = sweep(api, now).await {
        tracing::warn!(problem = problem.detail, "sessions that are over could not be removed");
    }
    Ok(Some(secret))
}

/// The session of a request, if it has one that is good.
pub(crate) async fn find(api: &Api, headers: &HeaderMap, host: &Authority) -> Result<Option<Session>, Problem> {
    let secret = cookie(headers, &cookie_name(host)).filter(|secret| secret.len() == 64);
    let Some(secret) = secret else { return Ok(None) };
    let session = Session::of(&secret);
    let Some(found) = api.options.store.get(COLLECTION, &session.id)? else { return Ok(None) };
    // One that can't be read signs nobody in.
    let Ok(mut record) = found.decode::<Record>() else { return Ok(None) };
    let now = api.now();
    let unused = now.since(record.used_at);
    if unused >= KEPT {
        return Ok(None);
    }
    if unused >= TOUCH {
        record.used_at = now;
        if let Ok(record) = serde_json::to_value(record) {
            let used = Transition::new().put(COLLECTION, &session.id, Expected::Revision(found.revision), record);
            // Another request was first, or the disk is full: reading goes on all the same.
            if let Err(error) = api.options.store.commit(used).await {
                tracing::debug!(%error, "the use of a session was not written down");
            }
        }
    }
    Ok(Some(session))
}

pub(crate) async fn end(api: &Api, session: &Session) -> Result<(), Problem> {
    api.options.store.commit(Transition::new().delete(COLLECTION, &session.id, Expected::Any)).await?;
    forget(api, &session.id);
    Ok(())
}

/// What is cancelled when the session ends; `None`, if it has ended since it was found.
pub(super) fn lasting(api: &Api, session: &Session) -> Result<Option<CancellationToken>, Problem> {
    let token = held(&api.console.lasting).entry(session.id.clone()).or_default().clone();
    // Whoever ends it deletes it first.
    if api.options.store.get(COLLECTION, &session.id)?.is_none() {
        forget(api, &session.id);
        return Ok(None);
    }
    Ok(Some(token))
}

/// Of a session that is over, nothing is kept, and its streams end.
fn forget(api: &Api, id: &str) {
    held(&api.console.said).remove(id);
    if let Some(token) = held(&api.console.lasting).remove(id) {
        token.cancel();
    }
}

/// Keeps a word for the next page of a session. It stays on this side, so that nobody can put one into somebody's address.
pub(crate) fn say(api: &Api, session: &Session, said: Said) {
    let mut all = held(&api.console.said);
    if all.len() >= SAID {
        all.clear();
    }
    all.insert(session.id.clone(), said);
}

pub(crate) fn said(api: &Api, session: &Session) -> Option<Said> {
    held(&api.console.said).remove(&session.id)
}

/// Cookies are of a host, not of a port: two hosts of one machine must not sign each other out.
fn cookie_name(host: &Authority) -> String {
    format!("quarterdeck-{}", host.port_u16().unwrap_or_default())
}

/// Sets the cookie; an empty secret takes it away. It comes along with a link from elsewhere, from a chat or a mail: what is read so is shown
/// to nobody else, and what changes anything asks for the secret of the session and for the origin besides.
pub(crate) fn set_cookie(headers: &HeaderMap, host: &Authority, secret: &str) -> Result<HeaderValue, Problem> {
    let age = if secret.is_empty() { 0 } else { KEPT.as_millis() / 1000 };
    let name = cookie_name(host);
    let secure = if came_by_tls(headers) { "; Secure" } else { "" };
    HeaderValue::from_str(&format!("{name}={secret}; Path=/console; Max-Age={age}; HttpOnly; SameSite=Lax{secure}"))
        .map_err(|error| Problem::internal(error.to_string()))
}

/// Whether the browser reached the proxy in front by TLS, as far as one of them says so.
pub(super) fn came_by_tls(headers: &HeaderMap) -> bool {
    let says = |name: &str, word: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.starts_with(word))
    };
    says(ORIGIN.as_str(), "https://") || says("x-forwarded-proto", "https")
}

pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
}

/// 256 bits, as hexadecimal digits.
fn random() -> Result<String, Problem> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Problem::unavailable(format!("the system gives no random numbers: {error}")))?;
    Ok(hexadecimal(&bytes))
}

fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    hexadecimal(&hash.finalize())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn sweep(api: &Api, now: Timestamp) -> Result<(), Problem> {
    let store = std::sync::Arc::clone(&api.options.store);
    let over = blocking(move || {
        let page = Page { limit: SWEPT, ..Page::all() };
        let documents = store.list(COLLECTION, &page)?.into_iter();
        let is_over = |used: Result<Record, _>| used.is_ok_and(|record| now.since(record.used_at) >= KEPT);
        Ok(documents
            .filter(|document| is_over(document.decode::<Record>()))
            .fold(Transition::new(), |all, document| {
                all.delete(COLLECTION, &document.id, Expected::Revision(document.revision))
            }))
    })
    .await?;
    if !over.is_empty() {
        api.options.store.commit(over).await?;
    }
    Ok(())
}
