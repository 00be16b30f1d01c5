//! A small HTTP server that keeps what it is sent: the other end of webhooks and probes.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::watch;

#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shared: Shared,
    server: tokio::task::JoinHandle<()>,
}

/// Status and `Retry-After`.
type Answer = (u16, Option<u32>);

#[derive(Clone)]
struct Shared {
    received: Arc<Mutex<Vec<Received>>>,
    status: Arc<AtomicU16>,
    /// What the next requests are answered with, before `status` holds: status and `Retry-After`.
    next: Arc<Mutex<VecDeque<Answer>>>,
    /// Paths that begin so are answered only when it is empty again.
    held: watch::Sender<String>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let shared = Shared {
            received: Arc::default(),
            status: Arc::new(AtomicU16::new(200)),
            next: Arc::default(),
            held: watch::Sender::new(String::new()),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(keep).with_state(shared.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Receiver { address, shared, server }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What every request is answered with from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    /// What one of the next requests is answered with, and the `Retry-After` (in seconds) that it is told.
    pub(crate) fn answer_once(&self, status: u16, retry_after: Option<u32>) {
        self.shared.next.lock().unwrap().push_back((status, retry_after));
    }

    /// Keeps those waiting that ask for a path that begins so, until `release`. What they send is kept at once.
    pub(crate) fn hold(&self, path: &str) {
        self.shared.held.send_replace(path.to_owned());
    }

    pub(crate) fn release(&self) {
        self.shared.held.send_replace(String::new());
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn keep(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    let query = uri.query().unwrap_or_default().to_owned();
    shared.received.lock().unwrap().push(Received { path: path.clone(), query, headers, body, at: Instant::now() });
    let mut held = shared.held.subscribe();
    let _ = held.wait_for(|held| held.is_empty() || !path.starts_with(held.as_str())).await;
    let next = shared.next.lock().unwrap().pop_front();
    let (status, retry_after) = next.unwrap_or_else(|| (shared.status.load(Ordering::SeqCst), None));
    let after = retry_after.map(|seconds| [("retry-after", seconds.to_string())]);
    (StatusCode::from_u16(status).unwrap(), after, "ok").into_response()
}
