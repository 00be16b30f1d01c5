"""Figures and times in the words of a signal's reason."""

import math


def figure(value: float) -> str:
    """A figure with as many digits as a person reads: `97.12`, `0.00123`, `1200000`."""
    magnitude = abs(value)
    if not 1e-6 <= magnitude < 1e15:
        return _scientific(value)
    # Four significant digits, and all of those before the point.
    decimals = min(max(3 - math.floor(math.log10(magnitude)), 0), 10)
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def span(seconds: float) -> str:
    """A length of time, given in seconds: `42 s`, `12 min`, `5 h`, `3.5 days`."""
    units = [(86_400.0, "days"), (3600.0, "h"), (60.0, "min")]
    # Two of a unit, before it is used: `90 min` says more than `1.5 h`.
    length, name = next((unit for unit in units if abs(seconds) >= 2.0 * unit[0]), (1.0, "s"))
    count = seconds / length * 10.0
    if math.isfinite(count):
        count = math.copysign(math.floor(abs(count) + 0.5), count)
    return f"{figure(count / 10.0)} {name}"


def _scientific(value: float) -> str:
    """As few digits as tell the figure from every other: `1e300`."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if value == 0.0:
        return "-0" if math.copysign(1.0, value) < 0.0 else "0"
    texts = (f"{value:.{digits}e}" for digits in range(17))
    mantissa, _, exponent = next(text for text in texts if float(text) == value).partition("e")
    return f"{mantissa}e{int(exponent)}"
