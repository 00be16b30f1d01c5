"""An HTTP exchange, as calls of `wasi:http`. Can be imported in a component that asks for `http` only."""

from collections.abc import Callable
from typing import Any

# What componentize-py makes of the interfaces; no type checker can see it.
from wit_world.imports import (  # pyright: ignore[reportMissingImports]
    monotonic_clock,
    outgoing_handler,
    poll,
    streams,
    wasi_http_types,
)

from quarterdeck_sdk import http

wit = wasi_http_types

_METHODS: dict[str, Callable[[], Any]] = {
    "GET": wit.Method_Get,
    "HEAD": wit.Method_Head,
    "POST": wit.Method_Post,
    "PUT": wit.Method_Put,
    "DELETE": wit.Method_Delete,
    "OPTIONS": wit.Method_Options,
    "PATCH": wit.Method_Patch,
}

_CHUNK_BYTES = 64 * 1024


class _Deadline:
    """Runs out once for the whole exchange."""

    def __init__(self, timeout_ms: int) -> None:
        self.timeout_ms = timeout_ms
        self.timer = monotonic_clock.subscribe_duration(timeout_ms * 1_000_000)

    def wait(self, ready: Any) -> None:
        # The first of the two may be ready beside the timer: an answer that is there counts.
        with ready:
            first = poll.poll([ready, self.timer])
        if 0 not in first:
            raise http.Timeout(f"no answer within {self.timeout_ms} ms")


def send(request: http.Request) -> http.Response:
    """Sends it and reads the response."""
    deadline = _Deadline(request.timeout_ms)
    outgoing = _prepare(request)
    options = wit.RequestOptions()
    for limit in (options.set_connect_timeout, options.set_first_byte_timeout, options.set_between_bytes_timeout):
        # Not every host supports every one of them; the deadline holds in any case.
        _tried(lambda: limit(request.timeout_ms * 1_000_000))
    body = outgoing.body()
    try:
        future = outgoing_handler.handle(outgoing, options)
    except Exception as error:
        raise _error(error) from None
    _write(body, request.body, deadline)
    return _read(_answer(future, deadline), request.max_body_bytes, deadline)


def _prepare(request: http.Request) -> Any:
    headers = list(request.headers)
    if request.body and not any(name.lower() == "content-length" for name, _ in headers):
        headers.append(("content-length", str(len(request.body))))
    scheme, authority, path = http.split_url(request.url)
    try:
        fields = wit.Fields.from_list([(name, value.encode()) for name, value in headers])
    except Exception:
        raise http.Invalid("a header can't be sent") from None
    outgoing = wit.OutgoingRequest(fields)
    method = _METHODS.get(request.method)
    for what, set_it in (
        ("its method can't be sent", lambda: outgoing.set_method(method() if method else wit.Method_Other(request.method))),
        ("its scheme can't be used", lambda: outgoing.set_scheme(wit.Scheme_Https() if scheme == "https" else wit.Scheme_Http())),
        ("the URL's host is malformed", lambda: outgoing.set_authority(authority)),
        ("the URL's path is malformed", lambda: outgoing.set_path_with_query(path)),
    ):
        if not _tried(set_it):
            raise http.Invalid(f"the request can't be made: {what}")
    return outgoing


def _write(body: Any, rest: bytes, deadline: _Deadline) -> None:
    if rest:
        with body.write() as stream:
            while rest:
                deadline.wait(stream.subscribe())
                # A peer that does not want the rest closes; what it answers is read all the same.
                try:
                    room = stream.check_write()
                    stream.write(rest[:room])
                except Exception:
                    break
                rest = rest[room:]
            _tried(stream.flush)
    # Fails when the peer closed early, which its answer explains better.
    _tried(lambda: wit.OutgoingBody.finish(body, None))


def _answer(future: Any, deadline: _Deadline) -> Any:
    while (answer := future.get()) is None:
        deadline.wait(future.subscribe())
    # A result of a result of the response, of which some may have been taken off by the bindings.
    while hasattr(answer, "value"):
        if type(answer).__name__ == "Err":
            raise _error(answer)
        answer = answer.value
    return answer


def _read(response: Any, limit: int, deadline: _Deadline) -> http.Response:
    headers = [(name, value.decode(errors="replace")) for name, value in response.headers().entries()]
    kept = bytearray()
    with response.consume() as incoming, incoming.stream() as stream:
        while len(kept) <= limit:
            # One byte more than is kept tells whether there was more.
            try:
                some = stream.read(min(limit - len(kept) + 1, _CHUNK_BYTES))
            except Exception as error:
                if isinstance(getattr(error, "value", None), streams.StreamError_Closed):
                    break
                raise _broken(error) from None
            if some:
                kept += some
            else:
                deadline.wait(stream.subscribe())
    return http.Response(response.status(), headers, bytes(kept[:limit]), truncated=len(kept) > limit)


def _broken(error: Exception) -> Exception:
    failed: Any = getattr(error, "value", None)
    if not isinstance(failed, streams.StreamError_LastOperationFailed):
        return error
    code = wasi_http_types.http_error_code(failed.value)
    return http.Failed("the answer broke off") if code is None else _said(code)


def _tried(act: Callable[[], Any]) -> bool:
    try:
        act()
    except Exception:
        return False
    return True


def _error(error: Any) -> Exception:
    return _said(error.value) if hasattr(error, "value") else error


def _said(code: Any) -> http.Error:
    words: list[tuple[type[http.Error], str, tuple[str, ...]]] = [
        (http.Denied, "the request is not granted", ("HttpRequestDenied",)),
        (http.Denied, "the address is not granted", ("DestinationIpProhibited",)),
        (http.Invalid, "the request can't be made: its URL is malformed", ("HttpRequestUriInvalid",)),
        (http.Timeout, "the name was not found in time", ("DnsTimeout",)),
        (http.Connect, "the name was not found", ("DnsError", "DestinationNotFound")),
        (http.Connect, "the host is unreachable", ("DestinationUnavailable", "DestinationIpUnroutable")),
        (http.Connect, "connection refused", ("ConnectionRefused",)),
        (http.Failed, "the connection was closed", ("ConnectionTerminated",)),
        (http.Timeout, "no connection in time", ("ConnectionTimeout",)),
        (http.Timeout, "no answer in time", ("ConnectionReadTimeout", "HttpResponseTimeout")),
        (http.Timeout, "the request was not taken in time", ("ConnectionWriteTimeout",)),
        (http.Connect, "too many connections", ("ConnectionLimitReached",)),
        (http.Tls, "the TLS handshake failed", ("TlsProtocolError",)),
        (http.Tls, "the certificate is not trusted", ("TlsCertificateError",)),
        (http.Tls, "the peer refused the TLS handshake", ("TlsAlertReceived",)),
        (http.Failed, "the answer broke off", ("HttpResponseIncomplete",)),
        (http.Failed, "the answer is not HTTP", ("HttpProtocolError",)),
    ]
    name = type(code).__name__.rpartition("_")[2]
    for kind, message, names in words:
        if name in names:
            return kind(message)
    said = getattr(code, "value", None)
    return http.Failed(said if name == "InternalError" and said else "the exchange failed")
