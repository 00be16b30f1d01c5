"""What is true of this target now?"""

from dataclasses import dataclass, field
from enum import Enum

from quarterdeck_sdk.label import Labels
from quarterdeck_sdk.plugin import C, Plugin


class MetricType(Enum):
    """What the figures of a family are."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    SUMMARY = "summary"
    UNKNOWN = "unknown"


@dataclass
class Family:
    """Samples of one metric, as columns."""

    #: `[a-zA-Z_:][a-zA-Z0-9_:]*`, with the unit as its end (`_bytes`, `_seconds`, `_ratio`).
    name: str
    metric_type: MetricType
    #: One line.
    help: str
    #: As many as there are values.
    labels: list[Labels] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    #: Milliseconds since 1970 for each of them; empty: all are of the time of the call.
    at_ms: list[int] = field(default_factory=list)

    @classmethod
    def gauge(cls, name: str, help: str) -> "Family":
        """A value that goes up and down."""
        return cls(name, MetricType.GAUGE, help)

    @classmethod
    def counter(cls, name: str, help: str) -> "Family":
        """A value that only grows, by custom `..._total`."""
        return cls(name, MetricType.COUNTER, help)

    def value(self, value: float) -> "Family":
        """Adds a sample without labels."""
        return self.sample({}, value)

    def sample(self, labels: Labels, value: float) -> "Family":
        """Adds a sample."""
        self.labels.append(labels)
        self.values.append(value)
        return self


class State(Enum):
    """See `Health`."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass
class Health:
    """How a target is, for a person."""

    state: State
    #: One line.
    message: str

    @classmethod
    def ok(cls, message: str) -> "Health":
        """All is well."""
        return cls(State.OK, message)

    @classmethod
    def degraded(cls, message: str) -> "Health":
        """It works, but not as it should."""
        return cls(State.DEGRADED, message)

    @classmethod
    def failed(cls, message: str) -> "Health":
        """It does not work."""
        return cls(State.FAILED, message)


@dataclass
class Collection:
    """What was found out: how the target is, and a family per metric."""

    health: Health
    families: list[Family] = field(default_factory=list)

    def value(self, name: str, labels: Labels | None = None) -> float | None:
        """The value of a series, for tests of a collector."""
        for family in self.families:
            if family.name == name:
                for own, value in zip(family.labels, family.values):
                    if own == (labels or {}):
                        return value
        return None


class Collector(Plugin[C]):
    """Finds something out, on the instance's schedule."""

    def collect(self, config: C, now_ms: int) -> Collection:
        """A target that is down is a `Collection` whose health says so, not a failure: failure means that nothing could be
        found out. `now_ms`: milliseconds since 1970, UTC."""
        raise NotImplementedError
