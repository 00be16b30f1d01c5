//! All sessions: which there are, and how one of them, or all but one, are ended. What they are known by outside is the beginning of the hash
//! that the store has them by: it is no secret, and nobody signs in with it.

use super::{COLLECTION, KEPT, Record, SWEPT, Session, forget};
use crate::Api;
use crate::paging::{List, Order, Slice, blocking, read};
use crate::problem::Problem;
use axum::Json;
use quarterdeck_model::Timestamp;
use quarterdeck_model::store::{Document, Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

/// Digits of an id.
const DIGITS: usize = 16;

/// A browser that is signed in to the console.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConsoleSession")]
pub(crate) struct Shown {
    pub(crate) id: String,
    /// When somebody signed in.
    pub(crate) created_at: Timestamp,
    /// When it was used last, to the hour. It is over 30 days later.
    pub(crate) used_at: Timestamp,
    /// The address that signed in; behind a proxy that says it, what the proxy says and its own address. `null`: not known.
    pub(crate) from: Option<String>,
    /// What the browser says that it is. `null`: nothing.
    pub(crate) agent: Option<String>,
}

/// The id by which the session is shown.
pub(crate) fn id(session: &Session) -> &str {
    session.id.get(..DIGITS).unwrap_or(&session.id)
}

/// Whether a session may have this id.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn shown(document: &Document) -> Result<Shown, StoreError> {
    let Record { created_at, used_at, from, agent } = document.decode()?;
    Ok(Shown { id: document.id.chars().take(DIGITS).collect(), created_at, used_at, from, agent })
}

/// Those that are not over, by id.
pub(crate) async fn list(api: &Api, slice: Slice) -> Result<List<Shown>, Problem> {
    let (store, told, now) = (Arc::clone(&api.options.store), Arc::clone(&api.unreadable), api.now());
    blocking(move || {
        let lasts = |session: &Shown| now.since(session.used_at) < KEPT;
        read(&*store, &told, COLLECTION, Order::Id, slice, shown, lasts).map(|Json(list)| list)
    })
    .await
}

/// Ends one.
pub(crate) async fn end(api: &Api, id: &str) -> Result<(), Problem> {
    let none = || Problem::no_document("sessions", id);
    if !is_id(id) {
        return Err(none());
    }
    let (store, prefix) = (Arc::clone(&api.options.store), id.to_ascii_lowercase());
    let found = blocking(move || Ok(store.list(COLLECTION, &Page { prefix, limit: 1, ..Page::all() })?.pop())).await?;
    let document = found.ok_or_else(none)?;
    remove(api, std::slice::from_ref(&document)).await
}

/// Ends all, but the one of this id; gives how many those were.
pub(crate) async fn end_all(api: &Api, but: Option<&str>) -> Result<usize, Problem> {
    let but = but.map(str::to_ascii_lowercase);
    let (mut after, mut ended) = (None, 0);
    loop {
        let (store, page) = (Arc::clone(&api.options.store), Page { after, limit: SWEPT, ..Page::all() });
        let mut documents = blocking(move || Ok(store.list(COLLECTION, &page)?)).await?;
        let Some(last) = documents.last() else { return Ok(ended) };
        after = Some(last.id.clone());
        documents.retain(|document| but.as_ref().is_none_or(|but| !document.id.starts_with(but.as_str())));
        remove(api, &documents).await?;
        ended += documents.len();
    }
}

async fn remove(api: &Api, documents: &[Document]) -> Result<(), Problem> {
    if documents.is_empty() {
        return Ok(());
    }
    let gone = documents.iter().fold(Transition::new(), |all, one| all.delete(COLLECTION, &one.id, Expected::Any));
    api.options.store.commit(gone).await?;
    documents.iter().for_each(|document| forget(api, &document.id));
    tracing::info!(sessions = documents.len(), "sessions of the console were ended");
    Ok(())
}
