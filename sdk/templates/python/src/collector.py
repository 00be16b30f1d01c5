"""What is true of this target now?"""

import math
from dataclasses import dataclass
from typing import Annotated

from quarterdeck_sdk.collector import Collection, Collector, Family, Health


@dataclass
class Config:
    """What an instance is configured with; what stands here is what an operator reads."""

    amplitude: Annotated[float, "How far the figure swings."] = 0.0


class {{type}}(Collector[Config]):
    name = "{{name}}"
    version = "0.1.0"
    summary = "A figure that swings"

    def collect(self, config: Config, now_ms: int) -> Collection:
        height = config.amplitude * math.sin(now_ms / 60_000)
        return Collection(Health.ok("it swings"), [Family.gauge("{{snake}}_height", "How high it is").value(height)])
