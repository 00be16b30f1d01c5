"""What the host does for a plugin. Each module is a capability of its own; a plugin can use those that it names in its
`capabilities`. Every function raises `Denied` where the instance lacks the grant.

Outside a host, that is in a native test, every function fails, unless the test runs inside a `testing.FakeHost`.
"""

import importlib
import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from quarterdeck_sdk import fake_host, failure, mirror

if TYPE_CHECKING:
    from quarterdeck_sdk.fake_host import FakeHost

T = TypeVar("T")

#: Whether this runs in a component (or makes one), not in a native test.
IS_COMPONENT = importlib.util.find_spec("wit_world") is not None


class Error(Exception):
    """Why the host did not do it: one of `Denied`, `Limited` and `Failed`.

    Where a plugin does not catch it, the call fails with what fits: what is denied stays denied until somebody grants it
    (`Rejected`); anything else may work later (`Retry`).
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def as_failure(self) -> failure.Failure:
        """What the call fails with."""
        return failure.Retry(self.message)


class Denied(Error):
    """Not granted, or outside the granted scope; names the grant that would allow it."""

    def as_failure(self) -> failure.Failure:
        return failure.Rejected(self.message)


class Limited(Error):
    """A limit of the instance is used up."""


class Failed(Error):
    """It was tried and did not work."""


def bindings(path: str) -> Any:
    """A module of what was made of `wit/` for this component; `None` where there is none."""
    try:
        return importlib.import_module(f"wit_world.{path}")
    except ModuleNotFoundError:
        return None


class Door:
    """The way to one capability of the host, out of a component; none in a native test."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bindings = bindings(f"imports.{name}")

    def __call__(self, ask: Callable[[Any], T], fake: Callable[["FakeHost"], T]) -> T:
        """Asks the host, or the fake one of a native test."""
        if self.bindings is None:
            if IS_COMPONENT:
                raise Denied(f"the plugin does not ask for `{self.name}`; hint: add it to its `capabilities`")
            return fake(fake_host.current())
        try:
            return ask(self.bindings)
        except Exception as error:
            raise _said(error) or error from None

    def outward(self, source: Any, function: str, parameter: str) -> Any:
        """From a type of this package to a parameter of a function of the bindings."""
        return mirror.way(source, get_type_hints(getattr(self.bindings, function))[parameter]) if self.bindings else None

    def inward(self, function: str, target: Any) -> Any:
        """From what a function of the bindings gives to a type of this package."""
        return mirror.way(get_type_hints(getattr(self.bindings, function))["return"], target) if self.bindings else None


def _said(error: Exception) -> Error | None:
    """The bindings raise `Err(Error_Denied("..."))`."""
    value = getattr(error, "value", None)
    kinds = {"Error_Denied": Denied, "Error_Limited": Limited, "Error_Failed": Failed}
    kind = kinds.get(type(value).__name__)
    return kind(value.value) if kind and value is not None else None

