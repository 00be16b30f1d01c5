"""Publishes events; each grant names a topic prefix. Committed with the call's result, dropped if the call fails."""

import json
from typing import Any

from quarterdeck_sdk.host import Door

_DOOR = Door("events")


def publish(event_type: str, subject: str, data: dict[str, Any]) -> None:
    """`data` has at most 64 KiB as JSON."""
    text = json.dumps(data)
    _DOOR(
        lambda wit: wit.publish(event_type, subject, text),
        lambda host: host.events.append((event_type, subject, data)),
    )
