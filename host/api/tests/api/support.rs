//! A deck to ask, and the check of each answer.

use crate::configuration::Fixed;
use crate::plugins::{Absent, Listed, none};
use crate::schema::Contract;
use axum::Router;
use axum::body::Body;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use quarterdeck_api::{Api, BODY_LIMIT, Options, QueryLimits, openapi, router};
use quarterdeck_bus::Bus;
use quarterdeck_engines::Engines;
use quarterdeck_model::clock::ManualClock;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::event::Event;
use quarterdeck_model::id::IdSource;
use quarterdeck_model::store::Store;
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_scheduler::{Scheduler, SystemClock};
use quarterdeck_storage::{Database, Faults};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub(crate) const TOKEN: &str = "a-token";

pub(crate) struct Deck {
    pub(crate) engines: Arc<Engines>,
    pub(crate) router: Router,
    pub(crate) store: Arc<Database>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) bus: Bus,
    pub(crate) ids: Arc<IdSource>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) faults: Faults,
    pub(crate) contract: Contract,
    _folder: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}")).to_str().unwrap()
    }
}

/// The time at which every test begins.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);

pub(crate) async fn deck() -> Deck {
    deck_with(Catalog::default(), |_| {}).await
}

pub(crate) async fn deck_with(catalog: Catalog, change: impl FnOnce(&mut Options)) -> Deck {
    deck_over(Vec::new(), catalog, change).await
}

/// A document that was there before the host was started.
pub(crate) type Kept = (&'static str, &'static str, Value);

pub(crate) async fn deck_over(kept: Vec<Kept>, catalog: Catalog, change: impl FnOnce(&mut Options)) -> Deck {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(START));
    let mut options = quarterdeck_storage::Options::new(folder.path(), clock.clone());
    options.free_space_floor_bytes = 0;
    let faults = options.faults.clone();
    let store = Database::open(options).unwrap();
    for (collection, id, value) in kept {
        store.commit(Transition::new().put(collection, id, Expected::Any, value)).await.unwrap();
    }
    let shutdown = CancellationToken::new();
    let ids = Arc::new(IdSource::seeded(1));
    let limits = quarterdeck_bus::Options { producer_rate: 100, producer_burst: 2_000 };
    let bus = Bus::new(store.clone(), clock.clone(), limits);
    let scheduler =
        Scheduler::start(Arc::new(SystemClock), quarterdeck_scheduler::Options::default(), shutdown.clone());
    let engines = Engines::start(quarterdeck_engines::Options {
        store: store.clone(),
        series: store.clone(),
        ingest: store.clone(),
        querier: store.clone(),
        bus: bus.clone(),
        scheduler: scheduler.clone(),
        plugins: none(),
        registry: Arc::new(Listed),
        fetch: Arc::new(Absent),
        outside: quarterdeck_engines::monitoring::scrape::Outside::network(),
        clock: clock.clone(),
        ids: ids.clone(),
        catalog,
        public_url: "http://127.0.0.1:7700".to_owned(),
        outbox: quarterdeck_engines::outbox::Options::default(),
        shutdown: shutdown.clone(),
    })
    .await
    .unwrap();
    let engines = Arc::new(engines);
    let mut options = Options {
        store: store.clone(),
        series: store.clone(),
        querier: store.clone(),
        queries: QueryLimits::default(),
        bus: bus.clone(),
        registry: Arc::new(Listed),
        decisions: Arc::new(Listed),
        files: Arc::new(Listed),
        processes: Arc::new(Listed),
        engines: engines.clone(),
        scheduler,
        clock: clock.clone(),
        ids: ids.clone(),
        started_at: START,
        version: "0.0.0",
        token: Some(TOKEN.to_owned()),
        allowed_hosts: vec!["deck.example".to_owned()],
        reads_need_token: false,
        body_limit: BODY_LIMIT,
        stream_buffer: Arc::new(16.into()),
        stall: Span::from_millis(200),
        configuration: Arc::new(Fixed::default()),
        metrics_page: Arc::new(|| "further 1\n".to_owned()),
        shutdown: shutdown.clone(),
    };
    change(&mut options);
    let contract = Contract::new(serde_json::from_str(&openapi()).unwrap());
    let router = router(Arc::new(Api::new(options)));
    Deck { router, engines, store, clock, bus, ids, shutdown, faults, contract, _folder: folder }
}

impl Drop for Deck {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A request as a well-meaning client sends it.
pub(crate) fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header(HOST, "127.0.0.1:7700")
}

impl Deck {
    /// Sends the request as it is, and checks the answer against the document.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        self.check(&method, &path, &answer);
        answer
    }

    /// Panics unless the answer is as the document says.
    fn check(&self, method: &Method, path: &str, answer: &Answer) {
        let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let body = (*method != Method::HEAD).then_some(answer.body.as_slice());
        self.contract.check(method.as_str(), path, answer.status.as_u16(), header, body);
    }

    /// Asks for something that goes on for ever, and checks the head of the answer.
    pub(crate) async fn open(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        self.contract.check("GET", &path, response.status().as_u16(), header, None);
        response
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, body, &[]).await
    }

    pub(crate) async fn post_with(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let mut builder = request(Method::POST, path)
            .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        self.send(builder.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Puts bytes there.
    pub(crate) async fn upload(&self, path: &str, bytes: &[u8], headers: &[(&str, &str)]) -> Answer {
        let mut builder = request(Method::PUT, path).header(AUTHORIZATION, format!("Bearer {TOKEN}"));
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            builder = builder.header(CONTENT_TYPE, "application/octet-stream");
        }
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        self.send(builder.body(Body::from(bytes.to_vec())).unwrap()).await
    }

    /// Any request with the token; a body makes it JSON.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut builder = request(method, path).header(AUTHORIZATION, format!("Bearer {TOKEN}"));
        if body.is_some() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        self.send(builder.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap()).await
    }

    /// Writes a document as an engine would.
    pub(crate) async fn put(&self, collection: &str, id: &str, value: &impl Serialize) {
        let value = serde_json::to_value(value).unwrap();
        self.store.commit(Transition::new().put(collection, id, Expected::Any, value)).await.unwrap();
    }

    /// Publishes events of one type, with numbers as subjects.
    pub(crate) async fn publish(&self, event_type: &str, subjects: std::ops::Range<u32>) {
        for subject in subjects {
            let event = Event::new(&self.ids, START, event_type, subject.to_string());
            self.bus.publish("test", vec![event]).await.unwrap();
        }
    }
}
