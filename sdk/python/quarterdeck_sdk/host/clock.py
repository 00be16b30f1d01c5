"""The time of day. Always granted."""

import time

from quarterdeck_sdk import fake_host, host


def now_ms() -> int:
    """UTC, milliseconds since 1970. In a kind that decides it is the time that its input says, and stands still for the whole call; in one
    that acts it is the host's. In a native test it is what the `testing.FakeHost` around it says, and the machine's own without one or where that
    says nothing.
    """
    said = None if host.IS_COMPONENT else fake_host.now_ms()
    return time.time_ns() // 1_000_000 if said is None else said
