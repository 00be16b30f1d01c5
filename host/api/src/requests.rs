//! Counts requests, for `/metrics`.

use http::{Method, StatusCode};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Requests(Mutex<BTreeMap<Key, Count>>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The route, not the path: there are few of them.
    pub(crate) route: String,
    pub(crate) method: &'static str,
    pub(crate) status: u16,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Count {
    pub(crate) requests: u64,
    /// Until the head of the response was ready.
    pub(crate) time: Duration,
}

impl Requests {
    pub(crate) fn count(&self, method: &Method, route: &str, status: StatusCode, time: Duration) {
        let key = Key { route: route.to_owned(), method: known(method), status: status.as_u16() };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_default();
        count.requests += 1;
        count.time += time;
    }

    pub(crate) fn counts(&self) -> BTreeMap<Key, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A client may invent methods, but no series.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
