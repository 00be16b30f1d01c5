//! The exchange, as calls of `wasi:http`.

use super::{Error, Request, Response, split_url};
use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use wasip2::io::poll::{Pollable, poll};
use wasip2::io::streams::StreamError;

/// Runs out once for the whole exchange.
struct Deadline {
    timer: Pollable,
    timeout_ms: u64,
}

impl Deadline {
    fn wait(&self, ready: &Pollable) -> Result<(), Error> {
        // The first of the two may be ready beside the timer: an answer that is there counts.
        if poll(&[ready, &self.timer]).first() == Some(&0) {
            return Ok(());
        }
        Err(Error::Timeout(["no answer within ", &self.timeout_ms.to_string(), " ms"].concat()))
    }
}

pub(super) fn send(request: &Request) -> Result<Response, Error> {
    let nanoseconds = request.timeout_ms.saturating_mul(1_000_000);
    let deadline = Deadline { timer: monotonic_clock::subscribe_duration(nanoseconds), timeout_ms: request.timeout_ms };
    let outgoing = prepare(request)?;
    let options = RequestOptions::new();
    // Not every host supports every one of them; the deadline holds in any case.
    let _ = options.set_connect_timeout(Some(nanoseconds));
    let _ = options.set_first_byte_timeout(Some(nanoseconds));
    let _ = options.set_between_bytes_timeout(Some(nanoseconds));
    let body = outgoing.body().map_err(|()| invalid("its body can't be sent"))?;
    let future = outgoing_handler::handle(outgoing, Some(options)).map_err(error)?;
    write(body, &request.body, &deadline)?;
    let response = answer(&future, &deadline)?;
    read(response, request.max_body_bytes, &deadline)
}

fn prepare(request: &Request) -> Result<OutgoingRequest, Error> {
    let fields = Fields::new();
    for (name, value) in &request.headers {
        fields
            .append(name, value.as_bytes())
            .map_err(|_| Error::Invalid(["header `", name, "` can't be sent"].concat()))?;
    }
    if !request.body.is_empty() && !fields.has("content-length") {
        let _ = fields.append("content-length", request.body.len().to_string().as_bytes());
    }
    let (scheme, authority, path) = split_url(&request.url)
        .ok_or_else(|| Error::Invalid(["`", &request.url, "` is not an http or https URL"].concat()))?;
    let outgoing = OutgoingRequest::new(fields);
    let method = match request.method.as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    };
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    outgoing.set_method(&method).map_err(|()| invalid("its method can't be sent"))?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| invalid("its scheme can't be used"))?;
    outgoing.set_authority(Some(authority)).map_err(|()| invalid("the URL's host is malformed"))?;
    outgoing.set_path_with_query(Some(&path)).map_err(|()| invalid("the URL's path is malformed"))?;
    Ok(outgoing)
}

fn write(body: OutgoingBody, bytes: &[u8], deadline: &Deadline) -> Result<(), Error> {
    if !bytes.is_empty() {
        let stream = body.write().map_err(|()| invalid("its body can't be sent"))?;
        let mut rest = bytes;
        while !rest.is_empty() {
            deadline.wait(&stream.subscribe())?;
            // A peer that does not want the rest closes; what it answers is read all the same.
            let Ok(room) = stream.check_write() else { break };
            let length = usize::try_from(room).unwrap_or(usize::MAX).min(rest.len());
            let Some((now, later)) = rest.split_at_checked(length) else { break };
            if stream.write(now).is_err() {
                break;
            }
            rest = later;
        }
        let _ = stream.flush();
    }
    // Fails when the peer closed early, which its answer explains better.
    let _ = OutgoingBody::finish(body, None);
    Ok(())
}

fn answer(future: &FutureIncomingResponse, deadline: &Deadline) -> Result<IncomingResponse, Error> {
    loop {
        if let Some(answer) = future.get() {
            return answer.map_err(|()| invalid("its answer was taken already"))?.map_err(error);
        }
        deadline.wait(&future.subscribe())?;
    }
}

fn read(response: IncomingResponse, limit: usize, deadline: &Deadline) -> Result<Response, Error> {
    let headers = response
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
        .collect();
    let mut read = Response { status: response.status(), headers, ..Response::default() };
    let incoming = response.consume().map_err(|()| invalid("its answer was taken already"))?;
    let stream = incoming.stream().map_err(|()| invalid("its answer was taken already"))?;
    loop {
        // One byte more than is kept tells whether there was more.
        let want = limit.saturating_sub(read.body.len()).saturating_add(1).min(64 * 1024);
        match stream.read(u64::try_from(want).unwrap_or(u64::MAX)) {
            Ok(bytes) if bytes.is_empty() => deadline.wait(&stream.subscribe())?,
            Ok(bytes) => read.body.extend_from_slice(&bytes),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(failed)) => {
                return Err(wasip2::http::types::http_error_code(&failed)
                    .map_or_else(|| Error::Failed("the answer broke off".to_owned()), error));
            }
        }
        if read.body.len() > limit {
            read.body.truncate(limit);
            read.truncated = true;
            break;
        }
    }
    drop(stream);
    drop(IncomingBody::finish(incoming));
    Ok(read)
}

fn invalid(what: &str) -> Error {
    Error::Invalid(["the request can't be made: ", what].concat())
}

fn error(code: ErrorCode) -> Error {
    let connect = |text: &str| Error::Connect(text.to_owned());
    let tls = |text: &str| Error::Tls(text.to_owned());
    let timeout = |text: &str| Error::Timeout(text.to_owned());
    let failed = |text: &str| Error::Failed(text.to_owned());
    match code {
        ErrorCode::HttpRequestDenied => Error::Denied("the request is not granted".to_owned()),
        ErrorCode::HttpRequestUriInvalid => invalid("its URL is malformed"),
        ErrorCode::DestinationIpProhibited => Error::Denied("the address is not granted".to_owned()),
        ErrorCode::DnsTimeout => timeout("the name was not found in time"),
        ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => connect("the name was not found"),
        ErrorCode::DestinationUnavailable | ErrorCode::DestinationIpUnroutable => connect("the host is unreachable"),
        ErrorCode::ConnectionRefused => connect("connection refused"),
        ErrorCode::ConnectionTerminated => failed("the connection was closed"),
        ErrorCode::ConnectionTimeout => timeout("no connection in time"),
        ErrorCode::ConnectionReadTimeout | ErrorCode::HttpResponseTimeout => timeout("no answer in time"),
        ErrorCode::ConnectionWriteTimeout => timeout("the request was not taken in time"),
        ErrorCode::ConnectionLimitReached => connect("too many connections"),
        ErrorCode::TlsProtocolError => tls("the TLS handshake failed"),
        ErrorCode::TlsCertificateError => tls("the certificate is not trusted"),
        ErrorCode::TlsAlertReceived(_) => tls("the peer refused the TLS handshake"),
        ErrorCode::HttpResponseIncomplete => failed("the answer broke off"),
        ErrorCode::HttpProtocolError => failed("the answer is not HTTP"),
        ErrorCode::InternalError(Some(message)) => Error::Failed(message),
        _ => failed("the exchange failed"),
    }
}
