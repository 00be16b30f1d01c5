//! `wasi:http/outgoing-handler`: requests of plugins, carried out by the host.

mod client;
mod coding;
mod handler;
mod open;
#[cfg(test)]
mod tests;

pub(super) use client::{Client, Failure, Request, Timeouts};
pub(super) use handler::add_to_linker;

use crate::imports::audit::DENIED;
use crate::imports::secret::Echo;
use crate::imports::sockets::Socket;
use crate::imports::{Act, Caller, policy};
use crate::sandbox::{Capability, Counters, Sandbox};
use ::http::{HeaderMap, Method};
use bytes::Bytes;
use coding::Coding;
use futures::{Stream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use open::Open;
use quarterdeck_model::plugin::Limits;
use reqwest::Url;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

/// Between two pieces of a response, unless the plugin asks for less.
const BETWEEN_BYTES: Duration = Duration::from_secs(60);

type Answer = Result<(::http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

/// What a sandbox's requests go through.
pub(crate) struct Hooks {
    way: Way,
    pure: bool,
    /// How much of the meter is in the sandbox's counters already.
    settled: (u32, u64, u64),
    /// Of the request that is sent next.
    options: Option<RequestOptions>,
}

/// What a request needs on its way; it runs beside the sandbox.
#[derive(Clone)]
struct Way {
    caller: Caller,
    meter: Arc<Meter>,
    /// Of the call.
    sockets: Arc<Semaphore>,
    open: Arc<Open>,
}

/// Requests run beside the sandbox, so they count here; [`Sandbox::settle_http`] carries it over.
struct Meter {
    requests: AtomicU32,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// Host calls and bytes, either way, that the call had left when the meter was last settled.
    calls_left: AtomicU32,
    in_left: AtomicU64,
    out_left: AtomicU64,
    io_bytes: u64,
}

impl Meter {
    fn new(usage: &Counters, limits: &Limits) -> Self {
        let meter = Meter {
            requests: AtomicU32::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            calls_left: AtomicU32::new(0),
            in_left: AtomicU64::new(0),
            out_left: AtomicU64::new(0),
            io_bytes: limits.io_bytes,
        };
        meter.settle(usage, limits);
        meter
    }

    fn settle(&self, usage: &Counters, limits: &Limits) {
        let calls = usage.host_calls.iter().fold(0, |sum: u32, calls| sum.saturating_add(*calls));
        self.calls_left.store(limits.host_calls.saturating_sub(calls), Ordering::Relaxed);
        self.in_left.store(limits.io_bytes.saturating_sub(usage.bytes_in), Ordering::Relaxed);
        self.out_left.store(limits.io_bytes.saturating_sub(usage.bytes_out), Ordering::Relaxed);
    }

    fn receive(&self, bytes: u64) -> Result<(), Error> {
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
        take(&self.in_left, bytes).then_some(()).ok_or(Error::HttpResponseBodySize(Some(self.io_bytes)))
    }

    fn send(&self, bytes: u64) -> Result<(), Error> {
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
        take(&self.out_left, bytes).then_some(()).ok_or(Error::HttpRequestBodySize(Some(self.io_bytes)))
    }
}

/// Takes `wanted` off what is left, if that is enough.
fn take(left: &AtomicU64, wanted: u64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(wanted)).is_ok()
}

impl Sandbox {
    /// Carries what requests used into the call's counters. To be called before those are read.
    pub(crate) fn settle_http(&mut self) {
        let Some(hooks) = &mut self.hooks else { return };
        let meter = &hooks.way.meter;
        let used = (
            meter.requests.load(Ordering::Relaxed),
            meter.bytes_in.load(Ordering::Relaxed),
            meter.bytes_out.load(Ordering::Relaxed),
        );
        let usage = &mut self.usage;
        if let Some(calls) = usage.host_calls.get_mut(Capability::Http as usize) {
            *calls = calls.saturating_add(used.0.saturating_sub(hooks.settled.0));
        }
        usage.bytes_in = usage.bytes_in.saturating_add(used.1.saturating_sub(hooks.settled.1));
        usage.bytes_out = usage.bytes_out.saturating_add(used.2.saturating_sub(hooks.settled.2));
        hooks.settled = used;
        meter.settle(usage, &self.limits);
    }

    /// The call is over: requests under way end, and bodies that were not read.
    pub(crate) fn close_http(&self) {
        if let Some(hooks) = &self.hooks {
            hooks.way.open.close();
        }
    }
}

impl WasiHttpView for Sandbox {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.settle_http();
        let hooks = self.hooks.get_or_insert_with(|| Hooks {
            way: Way {
                caller: Caller {
                    instance: self.instance.clone(),
                    plugin: self.plugin.clone(),
                    grants: self.grants.clone(),
                    doors: self.doors.clone(),
                    patience: self.patience,
                },
                meter: Arc::new(Meter::new(&self.usage, &self.limits)),
                sockets: self.sockets.clone(),
                open: Arc::default(),
            },
            pure: self.pure,
            settled: (0, 0, 0),
            options: None,
        });
        WasiHttpCtxView { hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: ::http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        let options = options.or(self.options.take());
        let (way, pure) = (self.way.clone(), self.pure);
        way.meter.requests.fetch_add(1, Ordering::Relaxed);
        let one_left =
            way.meter.calls_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        Box::new(async move {
            policy::capability_allowed(Capability::Http, pure).map_err(|_| Error::HttpRequestDenied)?;
            if !one_left {
                return Err(Error::InternalError(Some(
                    "no host calls are left; hint: raise `limits.host-calls` of the instance".to_owned(),
                )));
            }
            let url = Url::parse(&request.uri().to_string()).map_err(|_| Error::HttpRequestUriInvalid)?;
            let mut act = way.caller.act(Capability::Http, show(request.method(), &url));
            let carried_out = way.carry_out(&mut act, request, url, options.as_ref());
            let answer = tokio::select! {
                biased;
                () = way.open.ended() => return Err(Error::ConnectionTerminated),
                answer = tokio::time::timeout_at(way.caller.patience.into(), carried_out) => {
                    answer.unwrap_or(Err(Error::HttpResponseTimeout))
                }
            };
            act.end(match &answer {
                Ok((response, _)) => response.status().as_u16().to_string(),
                Err(Error::HttpRequestDenied | Error::DestinationIpProhibited) => DENIED.to_owned(),
                Err(error) => format!("failed: {error:?}"),
            });
            answer
        })
    }
}

/// Without the query: that is where secrets stand.
fn show(method: &Method, url: &Url) -> String {
    format!("{method} {}{}", url.origin().ascii_serialization(), url.path())
}

impl Way {
    async fn carry_out(
        &self,
        act: &mut Act,
        request: ::http::Request<WasiBody>,
        url: Url,
        options: Option<&RequestOptions>,
    ) -> Answer {
        let Way { caller, meter, sockets, open } = self;
        // Before anything is sent anywhere, a question to a name server included.
        policy::origin_allowed(&caller.grants.http, &url).map_err(|reason| denied(caller, &reason))?;
        let asked = url;
        let url = caller.fill_in_url(asked.clone()).map_err(|reason| denied(caller, &reason))?;
        let (parts, body) = request.into_parts();
        let head = head_bytes(&parts.method, &asked, &parts.headers);
        meter.send(head).map_err(|_| Error::HttpRequestHeaderSectionSize(None))?;
        let echo = caller.echo();
        let mut headers = headers(caller, &url, &parts.headers)?;
        if echo.is_some() {
            coding::ask_for_none(&mut headers);
        }
        let body = receive_body(meter, body).await?;
        let carried = caller.carried(&asked, &parts.headers, &body);
        let body = caller.fill_in_body(&url, &parts.headers, body).map_err(|reason| denied(caller, &reason))?;
        let timeouts = Timeouts {
            connect: options.and_then(|options| options.connect_timeout),
            first_byte: options.and_then(|options| options.first_byte_timeout),
        };
        let has_body = parts.method != Method::HEAD;
        // Back-pressure, not an error: the call's own time bounds the wait.
        let of_call = sockets.clone().acquire_owned().await.map_err(|_| Error::ConnectionLimitReached)?;
        let socket = caller.socket(of_call).await.map_err(|_| Error::ConnectionLimitReached)?;
        for name in carried {
            let target = format!("header-value {name} to {}", url.origin().ascii_serialization());
            let mut used = caller.act(Capability::Secret, target);
            used.reserve(caller.patience).await.map_err(no_record)?;
            used.end("ok");
        }
        act.reserve(caller.patience).await.map_err(no_record)?;
        let request = Request { method: parts.method, url, headers, body };
        let doors = &caller.doors;
        let sent = doors.client.send(&doors.runtime, request, caller.grants.http.clone(), timeouts, {
            let doors = doors.clone();
            move |ip, port| doors.is_own(ip, port)
        });
        let response = sent.await.map_err(|failure| refuse(caller, failure))?;
        let between = options.and_then(|options| options.between_bytes_timeout).unwrap_or(BETWEEN_BYTES);
        let mut answer = ::http::Response::new(());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        let mut packed = None;
        if let Some(echo) = &echo {
            echo.headers(answer.headers_mut());
            if has_body {
                packed = Coding::of(answer.headers())?;
                answer.headers_mut().remove(::http::header::CONTENT_ENCODING);
                // A placeholder has another length than what it stands for.
                answer.headers_mut().remove(::http::header::CONTENT_LENGTH);
            }
        }
        let body = bounded(response.bytes_stream(), between, caller.patience, meter.clone(), socket);
        let body = coding::unpacked(body, packed, {
            let meter = meter.clone();
            move |more| meter.receive(more)
        });
        let body = StreamBody::new(open.body(without_echo(body, echo)));
        let processed: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async { Ok(()) });
        Ok((answer.map(|()| body.boxed_unsync()), processed))
    }
}

/// What leaves in front of the body. Of a secret its placeholder counts.
fn head_bytes(method: &Method, url: &Url, headers: &HeaderMap) -> u64 {
    let headers: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    (method.as_str().len() + url.as_str().len() + headers) as u64
}

fn no_record(reason: String) -> Error {
    Error::InternalError(Some(reason))
}

fn denied(caller: &Caller, reason: &str) -> Error {
    // The interface has a code for this and no text: the text goes where an operator looks.
    tracing::warn!(instance = %caller.instance, %reason, "a request was denied");
    Error::HttpRequestDenied
}

fn headers(caller: &Caller, url: &Url, given: &HeaderMap) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let filled = caller.fill_in(url, value).map_err(|reason| denied(caller, &reason))?;
        headers.append(name.clone(), filled.unwrap_or_else(|| value.clone()));
    }
    // The client says where it goes by itself; a second opinion would be smuggling.
    headers.remove(::http::header::HOST);
    headers.remove(::http::header::CONTENT_LENGTH);
    Ok(headers)
}

/// All of it, before the request goes out: so it carries its length, and one that is too large is never begun.
async fn receive_body(meter: &Meter, mut body: WasiBody) -> Result<Bytes, Error> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            meter.send(data.len() as u64)?;
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.into())
}

/// A response's body within the call's bytes and its patience, with a limit on silence.
fn bounded(
    stream: impl Stream<Item = reqwest::Result<Bytes>> + Send + 'static,
    between: Duration,
    patience: Instant,
    meter: Arc<Meter>,
    socket: Socket,
) -> impl Stream<Item = Result<Frame<Bytes>, Error>> + Send {
    futures::stream::unfold(Some((Box::pin(stream), meter, socket)), move |state| async move {
        let (mut stream, meter, socket) = state?;
        let now = Instant::now();
        let until = now.checked_add(between).map_or(patience, |until| until.min(patience));
        let piece = match tokio::time::timeout_at(until.into(), stream.next()).await {
            Err(_) => Err(Error::ConnectionReadTimeout),
            Ok(None) => return None,
            Ok(Some(Err(_))) => Err(Error::HttpResponseIncomplete),
            Ok(Some(Ok(bytes))) => meter.receive(bytes.len() as u64).map(|()| Frame::data(bytes)),
        };
        let next = piece.is_ok().then_some((stream, meter, socket));
        Some((piece, next))
    })
}

/// The same with placeholders where secrets stood.
fn without_echo(
    body: impl Stream<Item = Result<Frame<Bytes>, Error>> + Send + 'static,
    echo: Option<Echo>,
) -> impl Stream<Item = Result<Frame<Bytes>, Error>> + Send {
    futures::stream::unfold(Some((Box::pin(body), echo)), |state| async move {
        let (mut body, mut echo) = state?;
        let Some(echoed) = &mut echo else { return body.next().await.map(|frame| (frame, Some((body, echo)))) };
        match body.next().await {
            Some(Ok(frame)) => {
                let clean = frame.map_data(|piece| echoed.piece(&piece));
                Some((Ok(clean), Some((body, echo))))
            }
            Some(Err(error)) => Some((Err(error), None)),
            None => {
                let rest = echoed.end();
                (!rest.is_empty()).then(|| (Ok(Frame::data(rest)), None))
            }
        }
    })
}

fn refuse(caller: &Caller, failure: Failure) -> Error {
    match failure {
        Failure::Denied(reason) => denied(caller, &reason),
        Failure::AddressDenied(reason) => {
            denied(caller, &reason);
            Error::DestinationIpProhibited
        }
        Failure::NoSuchName(_) => Error::DnsError { rcode: Some("name not found".to_owned()), info_code: None },
        Failure::ConnectTimeout => Error::ConnectionTimeout,
        Failure::ResponseTimeout => Error::HttpResponseTimeout,
        Failure::Refused(_) => Error::ConnectionRefused,
        Failure::Certificate(_) => Error::TlsCertificateError,
        Failure::Tls(_) => Error::TlsProtocolError,
        Failure::Terminated(_) => Error::ConnectionTerminated,
        Failure::Other(reason) => Error::InternalError(Some(reason)),
    }
}
