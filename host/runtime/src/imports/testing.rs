//! Sandboxes over ports in memory, for the tests of the doors.

use super::{Doors, DoorsOptions, Vitals};
use crate::sandbox::{Sandbox, Setting};
use async_trait::async_trait;
use quarterdeck_model::clock::ManualClock;
use quarterdeck_model::event::{EventFilter, Offset, StoredEvent};
use quarterdeck_model::id::IdSource;
use quarterdeck_model::plugin::{Digest, Grants, InstanceName, Limits, PluginRef};
use quarterdeck_model::process::{ProcessPhase, ProcessSpec, ProcessStatus, Processes};
use quarterdeck_model::secret::Secrets;
use quarterdeck_model::series::{Part, PartOfRange, Sample, Selector, Series, SeriesData};
use quarterdeck_model::store::{Committed, Document, EventBatch, Page, Store, StoreError, StoreHealth};
use quarterdeck_model::transition::Transition;
use quarterdeck_model::{Span, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::broadcast;

pub(crate) struct Fixture {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) doors: Arc<Doors>,
    own: Arc<RwLock<Option<SocketAddr>>>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Fixture::over(Vec::new())
    }

    /// Trusts the certificate of [`tls_server`], too.
    pub(crate) fn trusting() -> Self {
        Fixture::over(vec![SERVER.0.clone().into_bytes()])
    }

    fn over(tls_roots: Vec<Vec<u8>>) -> Self {
        let store = Arc::new(MemoryStore::default());
        let own = Arc::new(RwLock::new(None));
        let doors = Doors::new(options(store.clone(), own.clone(), tls_roots));
        Fixture { store, doors: doors.unwrap(), own }
    }

    /// The host itself listens on this port of 127.0.0.1.
    pub(crate) fn own(&self, port: u16) {
        *self.own.write().unwrap() = Some(SocketAddr::from(([127, 0, 0, 1], port)));
    }

    pub(crate) fn sandbox(&self, grants: Arc<Grants>) -> Sandbox {
        Sandbox::new(self.setting(grants))
    }

    pub(crate) fn setting(&self, grants: Arc<Grants>) -> Setting {
        Setting {
            instance: InstanceName::from("plugin/one"),
            plugin: PluginRef {
                name: "plugin".to_owned(),
                version: "1.0.0".to_owned(),
                digest: Digest("sha256:00".to_owned()),
            },
            grants,
            limits: Arc::new(Limits::default()),
            pure: false,
            now: Timestamp::from_millis(1_000),
            budget: Span::from_secs(60),
            deadline: Instant::now() + Duration::from_secs(60),
            doors: self.doors.clone(),
            meter: None,
        }
    }

    /// What the audit wrote: `type target: outcome`, sorted. Ends the writer.
    pub(crate) async fn audit(&self) -> Vec<String> {
        self.doors.close().await;
        let batch = self.store.events(Offset(0), &EventFilter::types(["audit."]), 100).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut lines: Vec<String> = batch
            .events
            .iter()
            .map(|StoredEvent { event, .. }| {
                let of = |key: &str| event.data.get(key).map(text).unwrap_or_default();
                format!("{} {}: {}", event.event_type, of("target"), of("outcome"))
            })
            .collect();
        lines.sort();
        lines
    }
}

/// Doors to ports in memory.
pub(crate) fn options(
    store: Arc<MemoryStore>,
    own_origin: Arc<RwLock<Option<SocketAddr>>>,
    tls_roots: Vec<Vec<u8>>,
) -> DoorsOptions {
    DoorsOptions {
        store,
        series: Arc::new(NoSeries),
        processes: Arc::new(NoProcesses),
        secrets: Arc::new(Jefe),
        clock: Arc::new(ManualClock::at(Timestamp::from_millis(1_000))),
        ids: Arc::new(IdSource::seeded(1)),
        own_origin,
        tls_roots,
        vitals: Arc::new(|| Vitals { instances: 7, ..Vitals::default() }),
    }
}

pub(crate) fn grants(set: impl FnOnce(&mut Grants)) -> Arc<Grants> {
    let mut grants = Grants::default();
    set(&mut grants);
    Arc::new(grants)
}

/// A certificate of `CN=localhost` for `localhost` and 127.0.0.1, and its key, both in PEM.
static SERVER: LazyLock<(String, String)> = LazyLock::new(|| {
    let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
});

/// Takes TLS connections, with a certificate of its own making, and answers with what it receives, or to anything that
/// begins like a GET with a page.
pub(crate) async fn tls_server() -> (u16, tokio::task::JoinHandle<()>) {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_slice(SERVER.0.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(SERVER.1.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut buffer = vec![0; 4096];
            let Ok(read) = stream.read(&mut buffer).await else { continue };
            let received = buffer.get(..read).unwrap_or_default();
            let page = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok".as_slice();
            let _ = stream.write_all(if received.starts_with(b"GET ") { page } else { received }).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, task)
}

struct Jefe;

impl Secrets for Jefe {
    fn secret(&self, name: &str) -> Option<Vec<u8>> {
        match name {
            "jefe" => Some(b"Jefe".to_vec()),
            "token" => Some(b"correct-horse-battery".to_vec()),
            // With characters that mean something in JSON, in a form, and in a URL.
            "odd" => Some(b"a\"b&c d\n".to_vec()),
            _ => None,
        }
    }
}

struct NoSeries;

#[async_trait]
impl Series for NoSeries {
    async fn append(&self, _: Vec<Sample>) -> Result<(), StoreError> {
        Ok(())
    }

    fn latest(&self, selector: &Selector, now: Timestamp, _: Span) -> Vec<Sample> {
        vec![Sample { name: selector.metric.clone(), labels: selector.labels.clone(), at: now, value: 1.5 }]
    }

    fn range(&self, _: &Selector, _: Timestamp, _: Timestamp) -> Result<Vec<SeriesData>, StoreError> {
        Ok(Vec::new())
    }

    fn part_of_range(&self, _: &Selector, _: Timestamp, _: Timestamp, _: &Part) -> Result<PartOfRange, StoreError> {
        Ok(PartOfRange::default())
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

struct NoProcesses;

/// What is to be done with a process of this name takes longer than the test waits.
async fn slowly(name: &str) {
    if name == "slow" {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[async_trait]
impl Processes for NoProcesses {
    async fn start(&self, _: &InstanceName, spec: ProcessSpec) -> Result<ProcessStatus, String> {
        slowly(&spec.name).await;
        self.status(&InstanceName::from("a/b"), &spec.name).await
    }

    async fn status(&self, _: &InstanceName, name: &str) -> Result<ProcessStatus, String> {
        let phase = ProcessPhase::Absent;
        Ok(ProcessStatus { name: name.to_owned(), phase, pid: None, exit_code: None, restarts: 0 })
    }

    async fn stop(&self, owner: &InstanceName, name: &str, _: Span) -> Result<ProcessStatus, String> {
        slowly(name).await;
        self.status(owner, name).await
    }
}

#[derive(Default)]
pub(crate) struct MemoryStore {
    documents: Mutex<BTreeMap<(String, String), Value>>,
    events: Mutex<Vec<StoredEvent>>,
    /// It refuses what is to be committed.
    pub(crate) is_full: AtomicBool,
    /// So often.
    pub(crate) refusals: AtomicU32,
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, transition: Transition) -> Result<Committed, StoreError> {
        if self.is_full.load(Ordering::SeqCst) {
            self.refusals.fetch_add(1, Ordering::SeqCst);
            return Err(StoreError::DiskFull { free_bytes: 0, floor_bytes: 1 });
        }
        let mut documents = self.documents.lock().unwrap();
        for write in transition.writes {
            let key = (write.collection, write.id);
            match write.value {
                Some(value) => documents.insert(key, value.decode().unwrap()),
                None => documents.remove(&key),
            };
        }
        let mut events = self.events.lock().unwrap();
        for event in transition.events {
            let offset = Offset(events.len() as u64 + 1);
            events.push(StoredEvent { offset, event: Arc::new(event) });
        }
        Ok(Committed::default())
    }

    fn check_room(&self, _: u64) -> Result<(), StoreError> {
        let is_full = self.is_full.load(Ordering::SeqCst);
        if is_full { Err(StoreError::DiskFull { free_bytes: 0, floor_bytes: 1 }) } else { Ok(()) }
    }

    fn get(&self, collection: &str, id: &str) -> Result<Option<Document>, StoreError> {
        let key = (collection.to_owned(), id.to_owned());
        let value = self.documents.lock().unwrap().get(&key).cloned();
        Ok(value.map(|value| Document { id: id.to_owned(), revision: 1, value }))
    }

    fn list(&self, collection: &str, _: &Page) -> Result<Vec<Document>, StoreError> {
        let documents = self.documents.lock().unwrap();
        let those = documents.iter().filter(|((of, _), _)| of == collection);
        Ok(those.map(|((_, id), value)| Document { id: id.clone(), revision: 1, value: value.clone() }).collect())
    }

    fn events(&self, after: Offset, filter: &EventFilter, limit: usize) -> Result<EventBatch, StoreError> {
        let events = self.events.lock().unwrap();
        let those = events.iter().filter(|stored| stored.offset > after && filter.matches(&stored.event));
        let next = Offset(events.len() as u64);
        Ok(EventBatch { gap: None, events: those.take(limit).cloned().collect(), next })
    }

    fn head(&self) -> Offset {
        Offset(self.events.lock().unwrap().len() as u64)
    }

    fn tail(&self) -> Offset {
        Offset(0)
    }

    fn cursor(&self, _: &str) -> Result<Offset, StoreError> {
        Ok(Offset(0))
    }

    fn live(&self) -> broadcast::Receiver<Arc<Vec<StoredEvent>>> {
        broadcast::channel(1).1
    }

    fn health(&self) -> StoreHealth {
        StoreHealth { writable: true, ..StoreHealth::default() }
    }
}
