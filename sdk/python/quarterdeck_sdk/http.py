"""A small synchronous HTTP client over `wasi:http`. Redirects are not followed; origins have to be granted (`http`)."""

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from quarterdeck_sdk import fake_host, failure
from quarterdeck_sdk import host as hosts


class Error(Exception):
    """Why there is no response. Where a plugin does not catch it, the call fails with what fits: what is invalid or denied stays so
    (`Rejected`), anything else may work later (`Retry`)."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def as_failure(self) -> failure.Failure:
        """What the call fails with."""
        return failure.Retry(self.message)


class Invalid(Error):
    """The URL, method or a header can't be sent."""

    def as_failure(self) -> failure.Failure:
        return failure.Rejected(self.message)


class Denied(Error):
    """The origin is not granted."""

    def as_failure(self) -> failure.Failure:
        return failure.Rejected(self.message)


class Connect(Error):
    """No connection: name not found, refused, unreachable."""


class Tls(Error):
    """The certificate or the handshake."""


class Timeout(Error):
    """Not done in time."""


class Failed(Error):
    """Anything else, as a connection that was lost or a response that is not HTTP."""


@dataclass
class Response:
    """A response, whatever its status."""

    status: int = 200
    #: In the order of the response.
    headers: list[tuple[str, str]] = field(default_factory=list)
    #: At most `max_body_bytes` of it.
    body: bytes = b""
    #: There was more of it.
    truncated: bool = False

    def header(self, name: str) -> str | None:
        """The first value of a header, whose name is compared without case."""
        return next((value for own, value in self.headers if own.lower() == name.lower()), None)

    def text(self) -> str:
        """The body as text; what is not UTF-8 is replaced."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """What the body holds as JSON; raises `ValueError` where it is none."""
        return json.loads(self.body)

    @property
    def is_success(self) -> bool:
        """True for 200 to 299."""
        return 200 <= self.status <= 299


@dataclass
class Request:
    """A request."""

    method: str
    #: `http://` or `https://`.
    url: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    #: What is sent.
    body: bytes = b""
    #: For the whole exchange.
    timeout_ms: int = 10_000
    #: How much of the response's body is kept.
    max_body_bytes: int = 1 << 20

    def send(self) -> Response:
        """Sends it and reads the response."""
        if not hosts.IS_COMPONENT:
            return fake_host.current().answer(fake_host.current().http, self)
        if exchange is None:
            raise Denied("the plugin does not ask for `http`; hint: add it to its `capabilities`")
        return exchange.send(self)


def get(url: str, **more: Any) -> Response:
    """Sends a `GET`; what else a `Request` has can be given by name."""
    return Request("GET", url, **more).send()


def post(url: str, body: bytes, **more: Any) -> Response:
    """Sends a `POST`."""
    return Request("POST", url, body=body, **more).send()


def post_json(url: str, value: Any, headers: list[tuple[str, str]] | None = None, **more: Any) -> Response:
    """Sends a `POST` with that value as JSON."""
    headers = [("content-type", "application/json"), *(headers or [])]
    return post(url, json.dumps(value).encode(), headers=headers, **more)


def split_url(url: str) -> tuple[str, str, str]:
    """Scheme, authority and the rest of a URL; raises `Invalid`."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Invalid(f"`{url}` is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise Invalid(f"`{url}` is not an http or https URL")
    return parts.scheme, parts.netloc, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def host_and_port(url: str) -> tuple[str, int]:
    """Host and port of a URL, without user information; the port is the scheme's unless given. Raises `Invalid`::

        assert host_and_port("https://[::1]/x") == ("::1", 443)
    """
    scheme, authority, _ = split_url(url)
    parts = re.fullmatch(r"(?:\[(.*)\]|([^:]*))(?::([0-9]{1,5}))?", authority.rpartition("@")[2])
    port = int(parts[3] or (443 if scheme == "https" else 80)) if parts else -1
    if not parts or port > 65_535:
        raise Invalid(f"`{url}` has no port from 0 to 65535 where one should be")
    return parts[1] or parts[2], port


exchange: Any = None
if hosts.bindings("imports.outgoing_handler") is not None:
    from quarterdeck_sdk import exchange
