"""Whether figures go up or down over time by more than chance, and how fast.

The test is that of Mann (1945) and Kendall (1975), with the correction for ties; the slope is that of Theil (1950) and Sen (1968), the
median of the slopes between all pairs of points, and its confidence interval is Sen's. Neighbouring figures that resemble each other make
a trend look surer than it is: the variance is corrected for that as by Hamed & Rao (1998). Figures that begin anew in between (a process
that was restarted) are taken in runs: as Hirsch & Slack (1982) do with seasons, only points of the same run are compared, and what the runs
say is added up.

Every pair of points is looked at, so take a hundred of them (`thinned`), not ten thousand.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from quarterdeck_sdk.statistics import MAD_TO_SIGMA, median, normal_tail, normal_width, quantile


@dataclass(frozen=True)
class Point:
    """A figure at a time."""

    #: Seconds since the beginning of what is looked at.
    seconds: float
    #: The figure.
    value: float


def thinned(at_ms: Sequence[int], value: Sequence[float], from_ms: int, to_ms: int, most: int) -> list[Point]:
    """At most `most` points that are spread evenly over the time from `from_ms` to `to_ms`: the median of each stretch, at the mean of its
    times. What is no finite number, or outside, is left out; the order of the samples does not matter, nor that times occur twice."""
    length = float(max(to_ms - from_ms, 1))
    stretches: list[list[Point]] = [[] for _ in range(max(most, 1))]
    for at, own in zip(at_ms, value):
        offset = float(at - from_ms)
        share = offset / length
        if not math.isfinite(own) or not 0.0 <= share <= 1.0:
            continue
        index = min(int(share * most), max(most - 1, 0))
        stretches[index].append(Point(offset / 1000.0, own))
    points = []
    for stretch in stretches:
        middle = median(point.value for point in stretch)
        if middle is not None:
            points.append(Point(sum(point.seconds for point in stretch) / len(stretch), middle))
    return points


def runs(points: Sequence[Point], usual: float) -> list[Sequence[Point]]:
    """Cuts points where they begin anew: where a figure falls, from one point to the next, by more than a third of the whole range and by
    more than `usual` times the median of such steps. A garbage collector's drops are usual, a restart's is not."""
    values = [point.value for point in points if not math.isnan(point.value)]
    steps = [after.value - before.value for before, after in zip(points, points[1:])]
    limit = (median(abs(step) for step in steps) or 0.0) * usual
    if values:
        limit = max((max(values) - min(values)) / 3.0, limit)
    found = []
    begin = 0
    for index, step in enumerate(steps):
        if -step > limit:
            found.append(points[begin : index + 1])
            begin = index + 1
    if begin < len(points):
        found.append(points[begin:])
    return found


@dataclass(frozen=True)
class Trend:
    """What the figures do over time."""

    #: Change per second.
    slope: float
    #: The slope is at least this, with the confidence that was asked for.
    lower: float
    #: And at most this.
    upper: float
    #: Kendall's: the share of pairs that rise less the share of those that fall, -1 to 1. How well "it only ever rises" fits.
    tau: float
    #: How probable it is that figures without a trend go as far in this direction or the other.
    probability: float
    #: Points that were compared.
    points: int


def trend(runs: Sequence[Sequence[Point]], confidence: float) -> Trend | None:
    """The trend of points that may begin anew in between; `confidence` is that of the slope's interval (0.95). `None` with fewer than four
    points in a run."""
    slopes = []
    score = 0.0
    long = [run for run in runs if len(run) >= 4]
    for run in long:
        for index, a in enumerate(run):
            for b in run[index + 1 :]:
                if b.seconds > a.seconds:
                    rise = b.value - a.value
                    slopes.append(rise / (b.seconds - a.seconds))
                    score += (rise > 0.0) - (rise < 0.0)
    slope = median(slopes)
    if slope is None:
        return None
    variance = sum(_mann_kendall_variance(run) * _resemblance(run, slope) for run in long)
    # One less, because the score goes in steps.
    z = max(abs(score) - 1.0, 0.0) / math.sqrt(variance) if variance > 0.0 else 0.0
    # Sen's interval: as many slopes below the median, and above, as the score strays by.
    share = normal_width(confidence) * math.sqrt(max(variance, 0.0)) / len(slopes) / 2.0
    lower, upper = quantile(slopes, 0.5 - share), quantile(slopes, 0.5 + share)
    if lower is None or upper is None:
        return None
    return Trend(
        slope=slope,
        lower=lower,
        upper=upper,
        tau=score / len(slopes),
        probability=min(2.0 * normal_tail(z), 1.0) if z > 0.0 else 1.0,
        points=sum(len(run) for run in long),
    )


def level(run: Sequence[Point], slope: float, seconds: float) -> tuple[float, float] | None:
    """Where a line of this slope (per second) stands at a time (the median of where each point would have it), and how far points stray
    from it: their median absolute deviation, scaled to a standard deviation."""
    levels = [point.value + slope * (seconds - point.seconds) for point in run]
    middle = median(levels)
    if middle is None:
        return None
    stray = median(abs(other - middle) for other in levels)
    return None if stray is None else (middle, stray * MAD_TO_SIGMA)


def _mann_kendall_variance(run: Sequence[Point]) -> float:
    """The variance of the score of points without a trend, `(n(n-1)(2n+5) - Σ t(t-1)(2t+5)) / 18` with groups of `t` equal figures."""

    def term(n: float) -> float:
        return n * (n - 1.0) * (2.0 * n + 5.0)

    ties = sum(term(len(list(group))) for _, group in groupby(sorted(point.value for point in run)))
    return (term(len(run)) - ties) / 18.0


def _resemblance(run: Sequence[Point], slope: float) -> float:
    """How much greater the variance is because neighbours resemble each other (Hamed & Rao 1998, equation 4), from the autocorrelation of
    the ranks of what the slope leaves over, at lags where it is more than chance. Never below 1: figures that alternate make nothing surer
    here. Lags up to a quarter of the points, beyond which too few pairs are left to say."""
    n = float(len(run))
    mean = (n + 1.0) / 2.0
    strays = [rank - mean for rank in _ranks([point.value - slope * point.seconds for point in run])]
    total = sum(stray * stray for stray in strays)
    if total <= 0.0:
        return 1.0
    found = 0.0
    for lag in range(1, len(run) // 4 + 1):
        correlation = sum(a * b for a, b in zip(strays, strays[lag:])) / total
        if abs(correlation) > 1.96 / math.sqrt(n):
            found += (n - lag) * (n - lag - 1.0) * (n - lag - 2.0) * correlation
    return max(1.0 + 2.0 / (n * (n - 1.0) * (n - 2.0)) * found, 1.0)


def _ranks(values: list[float]) -> list[float]:
    """Ranks from 1, the mean of them for equal figures."""
    ranks = [0.0] * len(values)
    before = 0
    for _, group in groupby(sorted(range(len(values)), key=values.__getitem__), key=values.__getitem__):
        indices = list(group)
        for index in indices:
            ranks[index] = before + (len(indices) + 1) / 2.0
        before += len(indices)
    return ranks
