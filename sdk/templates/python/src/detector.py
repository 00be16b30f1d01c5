"""Is this series abnormal?"""

from dataclasses import dataclass
from typing import Annotated

from quarterdeck_sdk import Severity
from quarterdeck_sdk.detector import Detector, Signal, Verdict, Window


@dataclass
class Config:
    """What a rule is configured with, laid over what its instance has."""

    factor: Annotated[float, "A sample that is so many times the mean of those before it is abnormal."] = 3.0


class {{type}}(Detector[Config]):
    name = "{{name}}"
    version = "0.1.0"
    summary = "Series that jump"

    # Pure: everything that counts is handed in, the time too, and the same input gives the same output.
    def evaluate(self, config: Config, window: Window, state: bytes | None) -> Verdict:
        verdict = Verdict()
        for index, series in enumerate(window.series):
            *before, last = series.value or [0.0]
            if not before:
                continue
            mean = sum(before) / len(before)
            if last > mean * config.factor:
                reason = f"is {last}, the mean before was {mean}"
                verdict.signals.append(Signal(index, Severity.HIGH, last, reason, expected=mean))
        return verdict
