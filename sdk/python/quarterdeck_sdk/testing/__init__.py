"""A host for native tests of a plugin's logic::

    with FakeHost() as host:
        kv.set("seen", b"yes")
        assert kv.get("seen") == b"yes"
    assert host.kv == {"seen": b"yes"}

A plugin that reads the time with `host.clock.now_ms` sees the one that the test sets::

    with FakeHost(now_ms=1_767_225_600_000) as host:
        before = clock.now_ms()
        host.advance(60_000)
        assert clock.now_ms() == before + 60_000

`Component` is for tests of the built component in the real one, and `bears_odd_windows` tries a detector with whatever may come.
"""

from quarterdeck_sdk.fake_host import Connect, Exec, FakeHost, Fetch, Hmac, Stream
from quarterdeck_sdk.testing.component import Component, ComponentError
from quarterdeck_sdk.testing.windows import bears_odd_windows, odd_windows

__all__ = [
    "Component",
    "ComponentError",
    "Connect",
    "Exec",
    "FakeHost",
    "Fetch",
    "Hmac",
    "Stream",
    "bears_odd_windows",
    "odd_windows",
]
