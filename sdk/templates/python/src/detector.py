"""Is this series abnormal?"""

import math
from dataclasses import dataclass
from typing import Annotated

from quarterdeck_sdk import Severity
from quarterdeck_sdk.detector import Detector, Signal, Verdict, Window, words
from quarterdeck_sdk.statistics import median


@dataclass
class Config:
    """What a rule is configured with, laid over what its instance has."""

    factor: Annotated[float, "A sample that is so many times the median of those before it is abnormal."] = 3.0


class {{type}}(Detector[Config]):
    name = "{{name}}"
    version = "0.1.0"
    summary = "Series that jump"

    # Pure: everything that counts is handed in, the time too, and the same input gives the same output.
    def evaluate(self, config: Config, window: Window, state: bytes | None) -> Verdict:
        verdict = Verdict()
        for index, series in enumerate(window.series):
            *before, last = series.value or [0.0]
            # Of the finite samples: none, where there is none yet.
            usual = median(before)
            if usual is not None and math.isfinite(last) and last > usual * config.factor:
                reason = f"is {words.figure(last)}, and was {words.figure(usual)} before"
                verdict.signals.append(Signal(index, Severity.HIGH, last, reason, expected=usual))
        return verdict
