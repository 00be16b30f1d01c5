"""Windows as odd as a detector may ever be handed."""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from quarterdeck_sdk import schema
from quarterdeck_sdk.detector import STATE_BYTES, Detector, Series, Window

T = TypeVar("T")

_WINDOWS = 300
_SERIES = 4
_LENGTH_MS = 2 * 3_600_000
#: Derived samples of a series that the host takes.
_DERIVED = 8
_ENDS_MS = (-(1 << 63), (1 << 63) - 1)


def bears_odd_windows(detector: type[Detector[Any]], config: str) -> None:
    """Calls a detector, under a configuration as JSON, with some hundred windows, one after the other, with the state that it handed back,
    and now and then with none or with rubbish: samples that are no numbers, infinite or at the ends of the range, times that occur twice,
    are out of order, of the future or at the ends of the range, series without samples, and series that come and go. Each is asked twice::

        bears_odd_windows(Jump, '{"factor": 3}')

    Raises `AssertionError`: the detector raises or refuses a window, answers differently the second time, speaks of a series that is not
    there, says a figure that is no finite number, or remembers more than the host keeps.
    """
    read = schema.read(detector.config_type, json.loads(config))
    state: bytes | None = None
    for number, window in enumerate(odd_windows()):
        if number % 50 == 20:
            state = None
        elif number % 50 == 40:
            state = bytes(range(256))
        try:
            verdict, again = (detector().evaluate(read, window, state) for _ in range(2))
        except Exception as error:
            raise AssertionError(f"window {number} is refused: {error!r}") from error
        _assert(verdict == again, f"window {number} is answered differently the second time")
        count = len(window.series)
        for signal in verdict.signals:
            figures = (signal.value, 0.0 if signal.expected is None else signal.expected)
            _assert(0 <= signal.series < count and all(map(math.isfinite, figures)), f"window {number}: {signal}")
        for derived in verdict.derived:
            _assert(0 <= derived.series < count and math.isfinite(derived.value), f"window {number}: {derived}")
        _assert(len(verdict.derived) <= _DERIVED * count, f"window {number}: too many derived samples")
        state = verdict.state
        _assert(state is None or len(state) <= STATE_BYTES, f"window {number}: too large a state")


def odd_windows() -> Iterator[Window]:
    """The same ones every time, and in every SDK."""
    chance = _Chance(42)
    for number in range(_WINDOWS):
        now_ms = 1_700_000_000_000 + number * 1_200_000
        from_ms = now_ms - _LENGTH_MS
        present = [name for name in range(_SERIES) if chance.below(5) > 0]
        yield Window(now_ms, from_ms, [_series(name, from_ms, now_ms, chance) for name in present])


def _series(name: int, from_ms: int, now_ms: int, chance: "_Chance") -> Series:
    count = chance.one_of([0, 1, 2, 10, 60, 120])
    oddity = chance.below(4)
    series = Series({"series": str(name)})
    for step in range(count):
        usual = from_ms + (now_ms - from_ms) * (step + 1) // count
        match oddity, chance.below(12):
            case 1 | 3, 0:
                at_ms, value = usual, chance.one_of([math.nan, math.inf, -math.inf])
            case 1 | 3, 1:
                at_ms, value = usual, chance.one_of([sys.float_info.max, -sys.float_info.max, sys.float_info.min, -0.0])
            case 2 | 3, 2:
                at_ms, value = from_ms, 1.0
            case 2 | 3, 3:
                at_ms, value = now_ms + 60_000, 2.0
            case 2 | 3, 4:
                at_ms, value = chance.one_of(_ENDS_MS), 3.0
            case _, other:
                at_ms, value = usual, float(other) + (float(step) if name % 2 == 0 else 0.0)
        series.at_ms.append(at_ms)
        series.value.append(value)
    return series


class _Chance:
    """The same on every machine (a linear congruence)."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, end: int) -> int:
        self._state = (self._state * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) & 0xFFFF_FFFF_FFFF_FFFF
        return (self._state >> 33) % end

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]


def _assert(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
