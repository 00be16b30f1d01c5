"""Is this series abnormal?"""

from dataclasses import dataclass, field

from quarterdeck_sdk.detector import words
from quarterdeck_sdk.detector.memory import STATE_BYTES, Memory, Reader, key
from quarterdeck_sdk.label import Labels
from quarterdeck_sdk.plugin import C, Plugin
from quarterdeck_sdk.severity import Severity

__all__ = [
    "STATE_BYTES",
    "Derived",
    "Detector",
    "Memory",
    "Reader",
    "Series",
    "Signal",
    "Verdict",
    "Window",
    "key",
    "words",
]


@dataclass
class Series:
    """The samples of one series inside the window, oldest first, as two columns of equal length."""

    labels: Labels = field(default_factory=dict)
    #: Milliseconds since 1970.
    at_ms: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)


@dataclass
class Window:
    """What there is to judge. Times are milliseconds since 1970, UTC."""

    #: The time of the evaluation.
    now_ms: int = 0
    #: Where the window begins.
    from_ms: int = 0
    #: Every series that the rule selects.
    series: list[Series] = field(default_factory=list)


@dataclass
class Signal:
    """One judgement about one series."""

    #: Index into the window's series.
    series: int
    severity: Severity
    #: What was measured.
    value: float
    #: For a person: `is 97, at or above 90`.
    reason: str
    #: What would be normal, where that can be said.
    expected: float | None = None


@dataclass
class Derived:
    """What the detector says of one series as a sample of its own, at the time of the evaluation: whether it is an anomaly, what was
    expected. Stored with the labels of that series and the rule's name as `rule`, and queried like any other."""

    #: Index into the window's series.
    series: int
    #: Name of the metric: `anomaly_bit`.
    metric: str
    #: Its value now.
    value: float


@dataclass
class Verdict:
    """Which series are abnormal, and what to remember."""

    #: A series without a signal is normal.
    signals: list[Signal] = field(default_factory=list)
    #: Handed back at the next call of the same rule; at most 64 KiB.
    state: bytes | None = None
    #: Samples of its own; at most eight for each series of the window.
    derived: list[Derived] = field(default_factory=list)


class Detector(Plugin[C]):
    """Judges series. Pure: the same input gives the same output."""

    def evaluate(self, config: C, window: Window, state: bytes | None) -> Verdict:
        """Called once per evaluation of a rule, with every series that the rule selects. `config` is the rule's, laid over the
        instance's: let what only a rule can know be `None` by default, and reject the call where it is missing. `state` is what
        the last call for that rule gave back."""
        raise NotImplementedError
