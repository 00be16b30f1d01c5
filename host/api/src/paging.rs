//! Lists: `{"items": [...], "next_cursor": ...}`, asked for with `limit` and `cursor`.

use crate::Api;
use crate::extract::{Params, bad};
use crate::problem::Problem;
use crate::unreadable::{Told, Unreadable};
use axum::Json;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quarterdeck_model::store::{Document, Page, Store, StoreError};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

const LIMIT: usize = 100;
const MOST: usize = 1000;
/// Documents looked at for one page: a filter that matches little gives a short page and a cursor instead of a long wait.
const LOOK_AT: usize = 10_000;

/// A part of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    /// Hand it back as `cursor` for the next part; `null` at the end.
    pub(crate) next_cursor: Option<String>,
    /// Documents that would have been looked at for this part and can't be read, whatever is filtered for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unreadable: Vec<Unreadable>,
}

/// Parameters of every list, for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the derive")]
pub(crate) struct Slicing {
    /// Items at most, 1 to 1000; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_cursor` of the part before.
    cursor: Option<String>,
}

/// Which part of a list is wanted.
pub(crate) struct Slice {
    pub(crate) limit: usize,
    /// Behind the item of this key.
    pub(crate) after: Option<String>,
}

impl Slice {
    pub(crate) fn of(params: &Params) -> Result<Self, Problem> {
        let after = params.parsed("cursor", "what this list gave as `next_cursor`", |text| {
            String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()
        })?;
        Ok(Slice { limit: limit(params)?, after })
    }
}

pub(crate) fn limit(params: &Params) -> Result<usize, Problem> {
    match params.number("limit")? {
        None => Ok(LIMIT),
        Some(limit) if (1..=MOST).contains(&limit) => Ok(limit),
        Some(_) => Err(bad("limit", &format!("it is out of bounds; hint: give 1 to {MOST}"))),
    }
}

pub(crate) fn cursor(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// A part of what is in memory. `items` come in the order of their keys, which are unique.
pub(crate) fn part<T>(items: impl IntoIterator<Item = T>, slice: &Slice, key: impl Fn(&T) -> &str) -> Json<List<T>> {
    let behind = |item: &T| slice.after.as_deref().is_none_or(|after| key(item) > after);
    let mut rest = items.into_iter().filter(behind).peekable();
    let items: Vec<T> = rest.by_ref().take(slice.limit).collect();
    let next_cursor = rest.peek().and(items.last()).map(|last| cursor(key(last)));
    Json(List { items, next_cursor, unreadable: Vec::new() })
}

/// In which order a collection is listed.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    /// What was created last comes first.
    Newest,
    /// By id.
    Id,
}

/// A part of a collection of the store.
pub(crate) async fn stored<T: DeserializeOwned + Send + 'static>(
    api: &Api,
    collection: &'static str,
    order: Order,
    slice: Slice,
    keep: impl Fn(&T) -> bool + Send + 'static,
) -> Result<Json<List<T>>, Problem> {
    let (store, told) = (Arc::clone(&api.options.store), Arc::clone(&api.unreadable));
    blocking(move || read(&*store, &told, collection, order, slice, Document::decode, keep)).await
}

/// Reads documents until the part is full. What `decode` can't read is named beside them, and counts as one of them.
pub(crate) fn read<T>(
    store: &dyn Store,
    told: &Told,
    collection: &str,
    order: Order,
    slice: Slice,
    decode: impl Fn(&Document) -> Result<T, StoreError>,
    keep: impl Fn(&T) -> bool,
) -> Result<Json<List<T>>, Problem> {
    let mut page = Page {
        after: slice.after,
        prefix: String::new(),
        limit: slice.limit.saturating_add(1),
        newest_first: matches!(order, Order::Newest),
    };
    let (mut items, mut unreadable) = (Vec::new(), Vec::new());
    let mut looked_at = 0;
    loop {
        let documents = store.list(collection, &page)?;
        let more = documents.len() == page.limit;
        for document in documents {
            if items.len() + unreadable.len() == slice.limit || looked_at >= LOOK_AT {
                // `page.after` is the last one that was looked at.
                return Ok(Json(List { items, next_cursor: page.after.as_deref().map(cursor), unreadable }));
            }
            looked_at += 1;
            match decode(&document) {
                Ok(item) => items.extend(Some(item).filter(&keep)),
                Err(error) => {
                    let one = Unreadable::new(collection, &document, &error);
                    told.log(&one);
                    unreadable.push(one);
                }
            }
            page.after = Some(document.id);
        }
        if !more {
            return Ok(Json(List { items, next_cursor: None, unreadable }));
        }
    }
}

/// Runs what reads the disk or computes for long beside the threads that serve.
pub(crate) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, Problem> + Send + 'static,
) -> Result<R, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Problem::internal(format!("reading ended early: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(query: &str) -> Result<Slice, Problem> {
        Slice::of(&Params::read(query).unwrap())
    }

    #[test]
    fn a_list_is_walked_from_cursor_to_cursor() {
        let names = ["a", "b", "c", "d", "e"];
        let mut seen = Vec::new();
        let mut query = "limit=2".to_owned();
        loop {
            let Json(list) = part(names, &slice(&query).unwrap(), |name| name);
            seen.extend(list.items);
            match list.next_cursor {
                Some(cursor) => query = format!("limit=2&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(seen, names);
    }

    #[test]
    fn limits_and_cursors_that_make_no_sense_are_refused() {
        for query in ["limit=0", "limit=1001", "limit=x", "cursor=%25%25", "limit=1&limit=2"] {
            assert_eq!(slice(query).err().map(|problem| problem.status), Some(400), "{query}");
        }
    }
}
