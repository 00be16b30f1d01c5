"""What a component says about itself."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin

from quarterdeck_sdk import schema

#: The dataclass of a plugin's configuration.
C = TypeVar("C")


@dataclass(frozen=True)
class Capability:
    """A capability that instances of a plugin ask for."""

    #: `http`, `kv`, `metrics`, `events`, `system`, `exec`, `tcp`, `process`, `secret`, `reveal`, `files`, `append`.
    name: str
    #: What it is needed for, in words for the operator who grants it.
    reason: str
    #: The plugin works without it, with less to offer.
    optional: bool = False

    @classmethod
    def required(cls, name: str, reason: str) -> "Capability":
        """The plugin can't work without it."""
        return cls(name, reason)

    @classmethod
    def optionally(cls, name: str, reason: str) -> "Capability":
        """The plugin works without it, with less to offer."""
        return cls(name, reason, optional=True)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a configuration."""

    #: JSON Pointer to the place, "" for the whole.
    pointer: str
    #: What is wrong and what was expected.
    message: str


class Plugin(Generic[C]):
    """What every plugin has beside its kinds, which derive from this: `class Wave(Collector[Config])`.

    Each call has a new object; of kinds that decide it is in a new sandbox, too. What has to be remembered is handed back by the host
    (`state`, `partial`) or stands in `host.kv`: what a module keeps may be gone at the next call.
    """

    #: Kebab-case, `http-probe`.
    name: ClassVar[str]
    #: Semantic version.
    version: ClassVar[str]
    #: One line for a list.
    summary: ClassVar[str]
    #: What instances ask for. Nothing is given that was not granted, and only what is named here can be called.
    capabilities: ClassVar[Sequence[Capability]] = ()
    #: Starting an interpreter takes longer than most calls: a sandbox may serve so many of them, one after another, for one instance under one
    #: configuration, and of kinds that act only. 1: a new one for each.
    calls_of_a_sandbox: ClassVar[int] = 100
    #: The dataclass between the brackets of the kind.
    config_type: ClassVar[type]

    def validate(self, config: C) -> list[Problem]:
        """What a schema cannot say. The configuration has passed the schema already."""
        return []

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        for base in vars(cls).get("__orig_bases__", ()):
            origin, given = get_origin(base), get_args(base)
            if isinstance(origin, type) and issubclass(origin, Plugin) and given and not isinstance(given[0], TypeVar):
                if not isinstance(given[0], type) or not is_dataclass(given[0]):
                    raise TypeError(f"{cls.__name__}: {given[0]!r} is no dataclass; hint: {origin.__name__}[Config]")
                cls.config_type = given[0]


def config_schema(plugin: type[Plugin[Any]]) -> str:
    """The JSON Schema (2020-12) of a plugin's configuration; raises `TypeError` where a field has a type that JSON has not."""
    return json.dumps(schema.of(plugin.config_type))
