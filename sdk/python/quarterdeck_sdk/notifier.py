"""Tell this recipient."""

from dataclasses import dataclass, field

from quarterdeck_sdk.failure import Other, Outcome
from quarterdeck_sdk.label import Labels
from quarterdeck_sdk.plugin import C, Plugin
from quarterdeck_sdk.severity import Severity


@dataclass
class Message:
    """What to tell."""

    #: Type of the event that it is about: `alert.firing`, `incident.opened`.
    event_type: str
    #: What the event is about.
    subject: str
    #: One line.
    title: str
    #: Text, of any length.
    body: str
    severity: Severity
    #: Of the alert or incident.
    labels: Labels = field(default_factory=dict)
    #: Milliseconds since 1970, UTC.
    at_ms: int = 0
    #: Page of the subject on this host.
    url: str = ""
    #: The event's data, as a JSON object.
    data: str = "{}"


class Notifier(Plugin[C]):
    """Tells a recipient."""

    def notify(self, config: C, message: Message, key: str) -> Outcome:
        """`key` is the same for every attempt of one delivery: hand it on, so that the recipient can drop a second one. `Done`
        carries the receipt. `Retry` is delivered again later, any other failure is not."""
        raise NotImplementedError

    def poll(self, config: C, token: str) -> Outcome:
        """Asked after `Pending`, until it is done or fails."""
        raise Other("this notifier leaves nothing pending")
