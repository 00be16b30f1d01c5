"""What was attained?"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from quarterdeck_sdk.plugin import C, Plugin


@dataclass
class Window:
    """Samples of one part of the period, oldest first, as two columns. Times are milliseconds since 1970, UTC."""

    #: Where the part begins.
    from_ms: int = 0
    #: Where it ends.
    to_ms: int = 0
    #: When the samples were taken.
    at_ms: list[int] = field(default_factory=list)
    #: As many as there are times.
    value: list[float] = field(default_factory=list)
    #: Spans, with their first and without their last millisecond. A sample inside counts in the raw figure only.
    exclusions: list[tuple[int, int]] = field(default_factory=list)

    def samples(self) -> Iterator[tuple[int, float, bool]]:
        """Every sample, and whether an exclusion holds it."""
        for at_ms, value in zip(self.at_ms, self.value):
            yield at_ms, value, any(first <= at_ms < last for first, last in self.exclusions)


@dataclass
class Figure:
    """One figure."""

    #: Good events or samples.
    good: float = 0.0
    #: All of them.
    total: float = 0.0
    #: What is compared with the target, in the objective's unit; absent: no data, which is never "met".
    attained: float | None = None


@dataclass
class Attainment:
    """What was attained."""

    #: With exclusions taken from numerator and denominator.
    adjusted: Figure
    #: With everything.
    raw: Figure
    #: Whether the adjusted figure meets the target; absent: no data.
    met: bool | None = None
    #: Share of the error budget left: 1 at the start, negative when overspent; absent: no budget, or no data.
    budget_left: float | None = None


class SlaCalculator(Plugin[C]):
    """Says what was attained over a period. Pure, and it folds and merges, so that a month is not read twice:
    `merge(fold(a), fold(b))` equals `fold(a + b)`. `config` is the objective's, laid over the instance's."""

    def fold(self, config: C, window: Window, partial: bytes | None) -> bytes:
        """Adds a part of the period. `partial` is what a fold or merge gave before, absent at the start; at most 256 KiB."""
        raise NotImplementedError

    def merge(self, config: C, a: bytes, b: bytes) -> bytes:
        """Puts two parts together."""
        raise NotImplementedError

    def finish(self, config: C, partial: bytes) -> Attainment:
        """The figures."""
        raise NotImplementedError
