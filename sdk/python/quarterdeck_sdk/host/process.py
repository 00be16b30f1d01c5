"""Processes that the host starts, watches and stops for the instance, across restarts of the host."""

from dataclasses import dataclass, field
from enum import Enum

from quarterdeck_sdk.host import Door, Failed

_DOOR = Door("process")


@dataclass
class Spec:
    """What to run."""

    #: Unique within the instance. Starting a name that runs with the same spec does nothing.
    name: str
    #: Absolute path.
    program: str
    #: One by one, as the program gets them.
    arguments: list[str] = field(default_factory=list)
    #: Names and values. Each name has to stand in `environment` of the program's grant.
    environment: list[tuple[str, str]] = field(default_factory=list)
    #: Answers 2xx when the process is ready. Checked every 500 ms.
    health_url: str | None = None


class Phase(Enum):
    """How a process is."""

    #: Not ready yet.
    STARTING = "starting"
    #: Ready.
    HEALTHY = "healthy"
    #: Runs, and fails its health check.
    UNHEALTHY = "unhealthy"
    #: Asked to stop.
    STOPPING = "stopping"
    #: Ended, without being asked to.
    EXITED = "exited"
    #: There is none of that name.
    ABSENT = "absent"


@dataclass
class Status:
    """How a process is."""

    #: As in its `Spec`.
    name: str
    phase: Phase
    #: While it runs.
    pid: int | None = None
    #: After it ended; absent when a signal ended it.
    exit_code: int | None = None
    #: How often the host started it again.
    restarts: int = 0


_spec = _DOOR.outward(Spec, "start", "spec")
_status = _DOOR.inward("start", Status)


def start(spec: Spec) -> Status:
    """Starts a process; does nothing if one of that name runs with the same spec, fails if it runs with another."""
    return _DOOR(lambda wit: _status(wit.start(_spec(spec))), lambda host: _fake_start(host.processes, spec))


def status(name: str) -> Status:
    """How a process is; `Phase.ABSENT` if there is none."""
    return _DOOR(
        lambda wit: _status(wit.status(name)),
        lambda host: host.processes[name][1] if name in host.processes else Status(name, Phase.ABSENT),
    )


def stop(name: str, grace_ms: int) -> Status:
    """SIGTERM, after `grace_ms` SIGKILL, to the whole group."""
    return _DOOR(lambda wit: _status(wit.stop(name, grace_ms)), lambda host: _fake_stop(host.processes, name))


def _fake_start(processes: dict[str, tuple[Spec, Status]], spec: Spec) -> Status:
    running, status = processes.setdefault(spec.name, (spec, Status(spec.name, Phase.STARTING, pid=1)))
    if running != spec:
        raise Failed(f"{spec.name} runs with another specification")
    return status


def _fake_stop(processes: dict[str, tuple[Spec, Status]], name: str) -> Status:
    processes.pop(name, None)
    return Status(name, Phase.ABSENT)
