"""A stream to a granted host and port, or Unix socket."""

import base64 as encoding
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from quarterdeck_sdk.host import Door, Failed

_DOOR = Door("tcp")


@dataclass(frozen=True)
class Tcp:
    """Host and port, in the clear."""

    host: str
    port: int


@dataclass(frozen=True)
class Tls:
    """Host and port; the host of the plugin does the handshake and checks the certificate."""

    host: str
    port: int


@dataclass(frozen=True)
class Unix:
    """Path of a Unix socket."""

    path: str


#: Where to.
Address = Tcp | Tls | Unix


def parse(text: str) -> Address | None:
    """`/run/a.sock` and `unix:/run/a.sock` are Unix sockets, `host:port` is TCP."""
    if text.startswith(("unix:", "/")):
        return Unix(text.removeprefix("unix:"))
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    return Tcp(host, int(port)) if host and port.isdecimal() and int(port) < 65536 else None


@dataclass
class Certificate:
    """What the peer of a TLS handshake presented, whether trusted or not."""

    #: Whose it is.
    subject: str = ""
    #: Who says so.
    issuer: str = ""
    #: Seconds since 1970.
    not_before_s: int = 0
    #: Seconds since 1970.
    not_after_s: int = 0
    #: DNS names and addresses that it is good for.
    names: list[str] = field(default_factory=list)


_certificate = _DOOR.inward("peer_certificate", Certificate)


class Connection:
    """An open stream: `with tcp.connect(Tcp("db", 5432)) as connection`."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, max: int) -> bytes:
        """At most `max` bytes (and 1 MiB); empty at the end of the stream."""
        return _DOOR(lambda wit: self._stream.read(max), lambda host: self._stream.read(max))

    def write(self, data: bytes) -> None:
        """Sends all of it."""
        _DOOR(lambda wit: self._stream.write(data), lambda host: self._stream.write(data) and None)

    def start_tls(self, host: str) -> None:
        """Goes on in TLS as `host`, after both sides have agreed to it (STARTTLS). After an error the connection is of no use any more."""
        _DOOR(lambda wit: self._stream.start_tls(host), lambda fake: fake.tls.append(host))

    def write_secret(self, before: bytes, name: str, base64: bool = False) -> None:
        """Writes `before` and the named secret after it, the two together in base64 where that is wanted. The plugin is not handed the
        secret: where the peer says it again, a placeholder is read. A peer that says it in another form than as it is or in base64 -
        encrypted, compressed, in parts - defeats that. A fake host writes `secret:` and the name."""

        def fake() -> None:
            data = before + b"secret:" + name.encode()
            self._stream.write(encoding.b64encode(data) if base64 else data)

        _DOOR(lambda wit: self._stream.write_secret(before, name, base64), lambda host: fake())

    def close(self) -> None:
        """Ends the stream; so does the end of the call."""
        self.__exit__(None, None, None)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.__exit__(kind, error, trace)


def connect(address: Address) -> Connection:
    """Fails after five seconds without an answer."""
    return Connection(_DOOR(lambda wit: _connected(wit, address), lambda host: host.answer(host.tcp, address)))


def _connected(wit: Any, address: Address) -> Any:
    match address:
        case Tcp(host, port):
            return wit.Connection.connect(wit.Address_Tcp((host, port)))
        case Tls(host, port):
            return wit.Connection.connect(wit.Address_Tls((host, port)))
        case Unix(path):
            return wit.Connection.connect(wit.Address_Unix(path))


def peer_certificate(host: str, port: int) -> Certificate:
    """Does a TLS handshake and says what the peer presented."""

    def fake(certificates: dict[tuple[str, int], Certificate]) -> Certificate:
        if (host, port) not in certificates:
            raise Failed(f"no certificate of {host}")
        return certificates[host, port]

    return _DOOR(
        lambda wit: _certificate(wit.peer_certificate(host, port)),
        lambda fake_host: fake(fake_host.certificates),
    )
