//! What a call has open over HTTP. It ends with the call, also where its sandbox goes on: a body that nobody reads on would keep its
//! descriptor for as long as the guest keeps its handle.

use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use hyper::body::Frame;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;
use tokio_util::sync::CancellationToken;
use wasmtime_wasi_http::Error;

type Piece = Result<Frame<Bytes>, Error>;
type Body = Mutex<Option<BoxStream<'static, Piece>>>;

#[derive(Default)]
pub(super) struct Open {
    ended: CancellationToken,
    bodies: Mutex<Vec<Weak<Body>>>,
}

impl Open {
    /// Returns when the call is over.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// The same body, for as long as the call is not over.
    pub(super) fn body<S>(&self, body: S) -> impl Stream<Item = Piece> + Send + use<S>
    where
        S: Stream<Item = Piece> + Send + 'static,
    {
        let body: BoxStream<'static, Piece> = Box::pin(body);
        let body: Arc<Body> = Arc::new(Mutex::new(Some(body)));
        {
            let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
            bodies.retain(|known| known.strong_count() > 0);
            bodies.push(Arc::downgrade(&body));
        }
        if self.ended.is_cancelled() {
            self.close();
        }
        futures::stream::poll_fn(move |context| {
            let mut body = body.lock().unwrap_or_else(PoisonError::into_inner);
            match body.as_mut() {
                Some(body) => body.as_mut().poll_next(context),
                None => Poll::Ready(Some(Err(Error::ConnectionTerminated))),
            }
        })
    }

    /// The call is over: requests under way end, and so do bodies that were not read to their end.
    pub(super) fn close(&self) {
        self.ended.cancel();
        let bodies = std::mem::take(&mut *self.bodies.lock().unwrap_or_else(PoisonError::into_inner));
        for body in bodies.iter().filter_map(Weak::upgrade) {
            let closed = body.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(closed);
        }
    }
}
