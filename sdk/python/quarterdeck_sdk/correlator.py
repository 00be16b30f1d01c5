"""Which incident does this alert belong to, and how severe is it?"""

from dataclasses import dataclass, field

from quarterdeck_sdk.label import Labels
from quarterdeck_sdk.plugin import C, Plugin
from quarterdeck_sdk.severity import Severity


@dataclass
class Alert:
    """An alert that fires."""

    #: Its identity.
    fingerprint: str
    #: The rule's name.
    name: str
    severity: Severity
    #: With `alertname`.
    labels: Labels = field(default_factory=dict)
    #: One line.
    summary: str = ""
    #: When the series became abnormal.
    active_at_ms: int = 0


@dataclass
class Incident:
    """An incident that is open."""

    id: str
    #: What `Open` gave when it was opened.
    key: str
    #: The worst so far.
    severity: Severity
    #: Milliseconds since 1970.
    opened_at_ms: int = 0
    #: Its members.
    alerts: list[Alert] = field(default_factory=list)


@dataclass
class Join:
    """Into this incident, which takes that severity if it is worse than its own."""

    #: The incident's id.
    incident: str
    severity: Severity


@dataclass
class Open:
    """Into a new one."""

    #: What belongs together has the same key.
    key: str
    #: One line.
    title: str
    #: To begin with.
    severity: Severity


@dataclass
class Ignore:
    """Worth no incident; the reason is kept."""

    reason: str


#: Where an alert goes.
Placement = Join | Open | Ignore


class Correlator(Plugin[C]):
    """Gathers alerts in incidents. Pure: the same input gives the same output."""

    def correlate(self, config: C, alert: Alert, open: list[Incident], now_ms: int) -> Placement:
        """Called once for each alert that starts to fire, with every open incident, oldest first. `now_ms`: milliseconds since
        1970, UTC."""
        raise NotImplementedError
