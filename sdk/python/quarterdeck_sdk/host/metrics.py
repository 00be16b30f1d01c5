"""Reads the host's series."""

from dataclasses import dataclass

from quarterdeck_sdk.host import Door
from quarterdeck_sdk.label import Labels

_DOOR = Door("metrics")


@dataclass
class Point:
    """One sample of one series."""

    labels: Labels
    #: Milliseconds since 1970.
    at_ms: int
    value: float


_matching = _DOOR.outward(Labels, "latest", "matching")
_points = _DOOR.inward("latest", list[Point])


def latest(name: str, matching: Labels | None = None) -> list[Point]:
    """The newest sample of every series of that name whose labels include all of `matching`, no older than five minutes."""
    wanted = matching or {}

    def fits(point: Point) -> bool:
        # A label that is not there is as an empty one.
        return all(point.labels.get(own, "") == value for own, value in wanted.items())

    return _DOOR(
        lambda wit: _points(wit.latest(name, _matching(wanted))),
        lambda host: [point for own, point in host.metrics if own == name and fits(point)],
    )
