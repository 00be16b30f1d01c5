"""Which incident does this alert belong to, and how severe is it?"""

from dataclasses import dataclass
from typing import Annotated

from quarterdeck_sdk.correlator import Alert, Correlator, Incident, Join, Open, Placement


@dataclass
class Config:
    """What an instance is configured with."""

    label: Annotated[str, "Alerts with the same value of this label belong together."] = "instance"


class {{type}}(Correlator[Config]):
    name = "{{name}}"
    version = "0.1.0"
    summary = "Alerts of one place make one incident"

    def correlate(self, config: Config, alert: Alert, open: list[Incident], now_ms: int) -> Placement:
        key = alert.labels.get(config.label, "nowhere")
        for incident in open:
            if incident.key == key:
                return Join(incident.id, alert.severity)
        return Open(key, alert.summary, alert.severity)
