"""What was attained?"""

import struct
from dataclasses import dataclass
from typing import Annotated

from quarterdeck_sdk import Rejected
from quarterdeck_sdk.sla_calculator import Attainment, Figure, SlaCalculator, Window


@dataclass
class Config:
    """What an objective is configured with, laid over what its instance has."""

    target: Annotated[float, "The share of samples that has to be above zero."] = 0.99


# Good and total, of all samples and of those outside of exclusions: what parts of a period are put together from.
COUNTS = struct.Struct("<4Q")
MOST = 2**64 - 1


class {{type}}(SlaCalculator[Config]):
    name = "{{name}}"
    version = "0.1.0"
    summary = "The share of samples above zero"

    def fold(self, config: Config, window: Window, partial: bytes | None) -> bytes:
        counts = list(read(partial)) if partial else [0, 0, 0, 0]
        for _, value, is_excluded in window.samples():
            counts[0] += value > 0
            counts[1] += 1
            counts[2] += value > 0 and not is_excluded
            counts[3] += not is_excluded
        return COUNTS.pack(*(min(count, MOST) for count in counts))

    def merge(self, config: Config, a: bytes, b: bytes) -> bytes:
        return COUNTS.pack(*(min(one + other, MOST) for one, other in zip(read(a), read(b))))

    def finish(self, config: Config, partial: bytes) -> Attainment:
        good, total, adjusted_good, adjusted_total = read(partial)
        adjusted = figure(adjusted_good, adjusted_total)
        allowed = 1.0 - config.target
        if adjusted.attained is None:
            return Attainment(adjusted, figure(good, total))
        budget_left = 1.0 - (1.0 - adjusted.attained) / allowed if allowed > 0 else None
        return Attainment(adjusted, figure(good, total), adjusted.attained >= config.target, budget_left)


def read(partial: bytes) -> tuple[int, ...]:
    if len(partial) != COUNTS.size:
        raise Rejected(f"a partial result has {COUNTS.size} bytes")
    return COUNTS.unpack(partial)


def figure(good: int, total: int) -> Figure:
    return Figure(float(good), float(total), good / total if total else None)
