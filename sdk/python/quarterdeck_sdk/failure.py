"""Why a call failed, and what a kind that acts answers."""

from dataclasses import dataclass, field
from typing import Any


class Failure(Exception):
    """Why a call failed, and with it what the host does next. Raise one of its three kinds.

    Anything else that is raised is a mistake in the plugin: it ends the call as a trap does, with its traceback in the log.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Rejected(Failure):
    """The configuration or the input is wrong; the host does not call again until it changes."""


class Retry(Failure):
    """It may work later; the host backs off, at least `after_ms` milliseconds where something said so."""

    def __init__(self, message: str, after_ms: int | None = None) -> None:
        super().__init__(message)
        self.after_ms = after_ms


class Other(Failure):
    """Anything else. Not tried again."""


@dataclass
class Done:
    """Finished, with these outputs: what JSON can hold."""

    outputs: dict[str, Any] = field(default_factory=dict)


@dataclass
class Pending:
    """Still running: ask again after so many milliseconds."""

    #: At most 4 KiB, handed back to `poll` (and `cancel`).
    token: str
    after_ms: int


#: What a kind that acts answers.
Outcome = Done | Pending
