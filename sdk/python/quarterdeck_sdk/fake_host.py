"""A host for native tests of a plugin's logic, which `testing` hands on. A module of its own, since the ways to the host need it: what
starts programs for tests stays out of components.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from quarterdeck_sdk.host.exec import Command, Finished
    from quarterdeck_sdk.host.log import Level
    from quarterdeck_sdk.host.metrics import Point
    from quarterdeck_sdk.host.process import Spec, Status
    from quarterdeck_sdk.host.system import FileSystem, Snapshot
    from quarterdeck_sdk.host.tcp import Address, Certificate
    from quarterdeck_sdk.http import Request, Response

T = TypeVar("T")


class Stream(Protocol):
    """What a fake TCP connection reads from and writes to, as `io.BytesIO` or a socket's `makefile("rwb")`."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; empty at the end of the stream."""
        ...

    def write(self, data: bytes, /) -> Any:
        """Takes all of it."""
        ...


#: Runs a program.
Exec: TypeAlias = "Callable[[Command], Finished]"
#: Answers a request.
Fetch: TypeAlias = "Callable[[Request], Response]"
#: Opens a stream.
Connect: TypeAlias = "Callable[[Address], Stream]"
#: Makes a MAC: the secret's name, the message.
Hmac: TypeAlias = Callable[[str, bytes], bytes]

_running: list[FakeHost] = []


@dataclass
class FakeHost:
    """What the functions of `host` and `http` see inside `with FakeHost(...)`. What is `None` fails."""

    #: Lines that were written.
    log: list[tuple[Level, str]] = field(default_factory=list)
    #: The instance's key-value space.
    kv: dict[str, bytes] = field(default_factory=dict)
    #: Names and newest samples of series.
    metrics: list[tuple[str, Point]] = field(default_factory=list)
    #: Type, subject and data of what was published.
    events: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    #: The machine.
    system: Snapshot | None = None
    #: What is mounted.
    file_systems: list[FileSystem] | None = None
    #: Runs programs.
    exec: Exec | None = None
    #: Answers requests.
    http: Fetch | None = None
    #: Opens streams.
    tcp: Connect | None = None
    #: Hosts that connections went on with in TLS. What is written stays as it is.
    tls: list[str] = field(default_factory=list)
    #: By host and port.
    certificates: dict[tuple[str, int], Certificate] = field(default_factory=dict)
    #: Processes that were started, and how they are.
    processes: dict[str, tuple[Spec, Status]] = field(default_factory=dict)
    #: Makes MACs.
    hmac: Hmac | None = None
    #: Secrets that are revealed.
    secrets: dict[str, bytes] = field(default_factory=dict)
    #: Identities and contents of files, by path.
    files: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    #: Paths and lines that were appended.
    lines: list[tuple[str, bytes]] = field(default_factory=list)
    #: What `clock.now_ms` says: UTC, milliseconds since 1970. It stands still. `None`: the machine's clock.
    now_ms: int | None = None

    def __enter__(self) -> FakeHost:
        _running.append(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _running.remove(self)

    def advance(self, by_ms: int) -> None:
        """Sets the clock that much on, or back where that is negative; from the machine's time where none was set."""
        self.now_ms = (time.time_ns() // 1_000_000 if self.now_ms is None else self.now_ms) + by_ms

    def answer(self, act: Callable[..., T] | None, *given: Any) -> T:
        """What a scripted function says."""
        if act is None:
            raise _failed()
        return act(*given)

    def machine(self) -> Snapshot:
        """The machine, if there is one."""
        if self.system is None:
            raise _failed()
        return self.system

    def mounted(self) -> list[FileSystem]:
        """The file systems, if there are any."""
        if self.file_systems is None:
            raise _failed()
        return self.file_systems


def current() -> FakeHost:
    """The innermost host that runs."""
    if not _running:
        raise _failed()
    return _running[-1]


def now_ms() -> int | None:
    """The time that the innermost host says, if there is one and it says any."""
    return _running[-1].now_ms if _running else None


def _failed() -> Exception:
    from quarterdeck_sdk.host import Failed

    return Failed("not running in a host")
