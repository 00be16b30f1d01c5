//! Connections: how many, how slow they may be, and how they end.

use axum::Router;
use axum::extract::FromRequestParts;
use http::request::Parts;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// More than there are event streams, so that these leave room for requests.
const CONNECTIONS: usize = 4_096;
const _: () = assert!(CONNECTIONS > crate::STREAMS);
/// For the head of a request; also how long an idle connection is kept.
const HEADER: Duration = Duration::from_secs(30);
/// A client that takes nothing for so long is cut off. Longer than what gives up by itself ([`crate::STALL`]), and can say more.
const WRITE_STALL: Duration = Duration::from_secs(15);
const _: () = assert!(WRITE_STALL.as_secs() > crate::STALL.as_millis() / 1000);
/// What is in flight at the end has so long to finish.
const DRAIN: Duration = Duration::from_secs(3);
/// What comes behind the last answer is read, and thrown away, for so long and up to so many bytes.
const LINGER: Duration = Duration::from_secs(2);
const LEFT_OVER: usize = 8 << 20;
/// After an accept that failed, most often for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Who is at the other end. A request that came over no connection has none.
#[derive(Clone, Default)]
pub(crate) struct Peer {
    pub(crate) address: Option<IpAddr>,
    /// It was cut off, since it took nothing.
    stalled: Arc<AtomicBool>,
}

impl Peer {
    pub(crate) fn has_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn at(address: IpAddr) -> Self {
        Peer { address: Some(address), ..Peer::default() }
    }

    #[cfg(test)]
    pub(crate) fn stall(&self) {
        self.stalled.store(true, Ordering::Relaxed);
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Peer>().cloned().unwrap_or_default())
    }
}

/// Serves until `shutdown`, then takes no more connections, lets requests in flight finish for a few seconds, and returns.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    serve_within(listener, router, shutdown, WRITE_STALL).await;
}

async fn serve_within(listener: TcpListener, router: Router, shutdown: CancellationToken, patience: Duration) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accept = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (router, shutdown) = (router.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection(stream, router, shutdown, patience).await;
                    drop(slot);
                });
            }
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    let drained = timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        warn!(connections = connections.len(), "requests in flight were cut off at the end");
        connections.shutdown().await;
    }
}

async fn connection(stream: TcpStream, router: Router, shutdown: CancellationToken, patience: Duration) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a connection goes on with delays");
    }
    let address = stream.peer_addr().ok().map(|peer| peer.ip());
    let peer = Peer { address, ..Peer::default() };
    let stream = Guarded { stream, patience, waits: None, stalled: peer.stalled.clone() };
    let router = TowerToHyperService::new(router);
    let named = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        router.call(request)
    });
    let mut served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .serve_connection(TokioIo::new(stream), named);
    let ended = tokio::select! {
        ended = poll_fn(|context| served.poll_without_shutdown(context)) => ended,
        () = shutdown.cancelled() => {
            Pin::new(&mut served).graceful_shutdown();
            poll_fn(|context| served.poll_without_shutdown(context)).await
        }
    };
    if let Err(error) = ended {
        // Clients that hang up are not our trouble.
        debug!(%error, "a connection ended early");
    }
    let Guarded { stream, .. } = served.into_parts().io.into_inner();
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = close(stream) => {}
    }
}

/// Closes so that the last answer arrives. A connection that is closed with something unread is reset, and what the other side has not
/// taken by then is lost to it: the refusal of a body that is still being sent, for one.
async fn close(mut stream: TcpStream) {
    let thrown_away = async {
        stream.shutdown().await?;
        let mut waste = vec![0; 16 << 10];
        let mut left = LEFT_OVER;
        while left > 0 {
            match stream.read(&mut waste).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        io::Result::Ok(())
    };
    // However that ends: there is nobody left to be told.
    let _ = timeout(LINGER, thrown_away).await;
}

/// A connection whose writes fail when the other side takes nothing for too long.
struct Guarded {
    stream: TcpStream,
    patience: Duration,
    waits: Option<Pin<Box<Sleep>>>,
    stalled: Arc<AtomicBool>,
}

impl Guarded {
    fn watch<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waits = None;
            return polled;
        }
        let patience = self.patience;
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(patience)));
        match waits.as_mut().poll(context) {
            Poll::Ready(()) => {
                self.stalled.store(true, Ordering::Relaxed);
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, Bytes};
    use axum::routing::get;
    use std::sync::Mutex;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn who_is_cut_off_for_taking_nothing_is_known_by_what_was_being_sent() {
        let seen: Arc<Mutex<Option<Peer>>> = Arc::default();
        let keep = seen.clone();
        let endless = move |peer: Peer| {
            *keep.lock().unwrap() = Some(peer);
            let page = Bytes::from_static(&[b'x'; 64 << 10]);
            async move { Body::from_stream(futures::stream::repeat(Ok::<_, Infallible>(page))) }
        };
        let router = Router::new().route("/", get(endless));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(serve_within(listener, router, shutdown.clone(), Duration::from_millis(100)));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let stalled = async {
            while !seen.lock().unwrap().as_ref().is_some_and(Peer::has_stalled) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), stalled).await.unwrap();
        assert_eq!(seen.lock().unwrap().as_ref().unwrap().address, Some(address.ip()));
        shutdown.cancel();
    }
}
