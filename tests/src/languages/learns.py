"""Series that rise, and how often each was seen."""

import struct
from dataclasses import dataclass
from typing import Annotated

from quarterdeck_sdk import Severity
from quarterdeck_sdk.condition import Condition
from quarterdeck_sdk.detector import Detector, Memory, Reader, Signal, Verdict, Window, key, words
from quarterdeck_sdk.statistics import centre_and_spread
from quarterdeck_sdk.statistics.trend import runs, thinned, trend


@dataclass
class Config:
    rises: Annotated[str, "By how much a second."] = "> 0"


class Learns(Detector[Config]):
    name = "learns"
    version = "0.1.0"
    summary = "Series that rise"

    def evaluate(self, config: Config, window: Window, state: bytes | None) -> Verdict:
        memory = Memory.read(state, 1, window.now_ms, 3_600_000)
        verdict = Verdict()
        for index, series in enumerate(window.series):
            own = key(series.labels)
            seen = Reader(memory.get(own) or b"").u32() or 0
            memory.set(own, window.now_ms, struct.pack("<I", seen + 1))
            points = thinned(series.at_ms, series.value, window.from_ms, window.now_ms, 20)
            found = trend(runs(points, 8.0), 0.95)
            _, spread = centre_and_spread(series.value) or (0.0, 0.0)
            if found and Condition.parse(config.rises).holds(found.slope):
                reason = f"rises by {words.figure(found.slope)}, strays by {words.figure(spread)}, seen {seen} times"
                verdict.signals.append(Signal(index, Severity.LOW, found.slope, reason, expected=found.lower))
        verdict.state, _ = memory.write()
        return verdict
