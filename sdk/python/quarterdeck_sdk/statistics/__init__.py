"""Robust statistics that detectors need: medians and spreads that a few outliers don't move, and, in `trend`, trends that are more than
chance. Nothing here raises over what is no number: such values are left out, and what can't be said is `None`.

The figures are those of every SDK, so that a detector says the same whatever it is written in."""

import math
from collections.abc import Iterable

#: What the median absolute deviation is multiplied with to estimate the standard deviation of normal figures: 1 / Φ⁻¹(3/4).
MAD_TO_SIGMA = 1.482_602_218_505_602


def quantile(values: Iterable[float], q: float) -> float | None:
    """The value below which a share `q` (0 to 1) of the finite values lies, interpolated linearly (Hyndman & Fan 1996, type 7)::

        assert quantile([4.0, 1.0, math.nan, 3.0, 2.0], 0.5) == 2.5
    """
    return _of_sorted(sorted(value for value in values if math.isfinite(value)), q)


def _of_sorted(values: list[float], q: float) -> float | None:
    if not values:
        return None
    if math.isnan(q):
        return math.nan
    rank = min(max(q, 0.0), 1.0) * (len(values) - 1)
    below, above = values[math.floor(rank)], values[math.ceil(rank)]
    share = rank - math.floor(rank)
    # Not `below + share * (above - below)`: the difference of the ends of the range is infinite.
    return below * (1.0 - share) + above * share


def median(values: Iterable[float]) -> float | None:
    """The median of the finite values."""
    return quantile(values, 0.5)


def centre_and_spread(values: Iterable[float]) -> tuple[float, float] | None:
    """The median and the spread around it: the median absolute deviation, scaled to the standard deviation of normal figures::

        centre, spread = centre_and_spread([1.0, 2.0, 3.0, 4.0, 1e9])
        assert centre == 3.0 and abs(spread - 1.4826) < 0.001
    """
    values = list(values)
    centre = median(values)
    if centre is None:
        return None
    deviation = median(abs(value - centre) for value in values)
    return None if deviation is None else (centre, deviation * MAD_TO_SIGMA)


def normal_tail(z: float) -> float:
    """The probability that a standard normal figure is greater than `z` (Abramowitz & Stegun 1964, 26.2.17: off by at most 7.5e-8)::

        assert abs(normal_tail(1.959964) - 0.025) < 1e-6
    """
    t = 1.0 / (1.0 + 0.231_641_9 * abs(z))
    series = 0.0
    for factor in (1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530):
        series = (series + factor) * t
    tail = series * math.exp(-z * z / 2.0) / math.sqrt(2.0 * math.pi)
    return tail if z >= 0.0 else 1.0 - tail


def normal_width(confidence: float) -> float:
    """How many standard deviations either side of the mean hold a share `confidence` (0 to 1) of normal figures: 1.96 for 0.95. Found by
    halving, so as exact as `normal_tail`::

        assert abs(normal_width(0.95) - 1.959964) < 1e-4
    """
    tail = (1.0 - min(max(confidence, 0.0), 1.0)) / 2.0
    low, high = 0.0, 8.0
    for _ in range(60):
        middle = (low + high) / 2.0
        if normal_tail(middle) > tail:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0
