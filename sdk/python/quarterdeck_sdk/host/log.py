"""The instance's log. Always granted; bounded in lines per call. In a component `logging` of the standard library writes here, too."""

import contextlib
import logging
from enum import Enum

from quarterdeck_sdk.host import Door, Failed

_DOOR = Door("log")


class Level(Enum):
    """How loud."""

    #: An operator must act.
    ERROR = "error"
    #: Something went wrong and was dealt with.
    WARN = "warn"
    #: Worth a line in normal operation.
    INFO = "info"
    #: For whoever works on the plugin.
    DEBUG = "debug"
    #: Everything.
    TRACE = "trace"


_level = _DOOR.outward(Level, "write", "level")


def write(level: Level, message: str) -> None:
    """Writes one line. In a test without a host nobody reads it."""
    with contextlib.suppress(Failed):
        _DOOR(
            lambda wit: wit.write(_level(level), message),
            lambda host: host.log.append((level, message)),
        )


def error(message: str) -> None:
    """Writes one line at `Level.ERROR`."""
    write(Level.ERROR, message)


def warn(message: str) -> None:
    """Writes one line at `Level.WARN`."""
    write(Level.WARN, message)


def info(message: str) -> None:
    """Writes one line at `Level.INFO`."""
    write(Level.INFO, message)


def debug(message: str) -> None:
    """Writes one line at `Level.DEBUG`."""
    write(Level.DEBUG, message)


def trace(message: str) -> None:
    """Writes one line at `Level.TRACE`."""
    write(Level.TRACE, message)


class Handler(logging.Handler):
    """Takes what is logged by `logging` to the host."""

    def emit(self, record: logging.LogRecord) -> None:
        levels = [(logging.ERROR, Level.ERROR), (logging.WARNING, Level.WARN), (logging.INFO, Level.INFO)]
        level = next((own for least, own in levels if record.levelno >= least), Level.DEBUG)
        write(level, self.format(record))
