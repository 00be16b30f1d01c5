"""Runs programs. Each grant names a program and, optionally, argument patterns. There is no shell in between."""

from dataclasses import dataclass, field

from quarterdeck_sdk.host import Door

_DOOR = Door("exec")


@dataclass
class Command:
    """What to run."""

    #: Absolute path.
    program: str
    #: One by one, as the program gets them.
    arguments: list[str] = field(default_factory=list)
    #: Names and values. Each name has to stand in `environment` of the program's grant.
    environment: list[tuple[str, str]] = field(default_factory=list)
    #: What it can read.
    stdin: str | None = None
    #: Then its whole process group is ended.
    timeout_ms: int = 10_000


@dataclass
class Finished:
    """How it ended."""

    #: Absent when a signal ended it.
    exit_code: int | None = 0
    #: At most 64 KiB, the end kept.
    stdout: str = ""
    #: At most 64 KiB, the end kept.
    stderr: str = ""
    #: One of the two was longer.
    truncated: bool = False
    #: How long it ran.
    duration_ms: int = 0


_command = _DOOR.outward(Command, "run", "command")
_finished = _DOOR.inward("run", Finished)


def run(command: Command) -> Finished:
    """Runs a program to its end. Never run twice by the host."""
    return _DOOR(
        lambda wit: _finished(wit.run(_command(command))),
        lambda host: host.answer(host.exec, command),
    )
