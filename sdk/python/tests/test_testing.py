import json
import math
import os
import struct
import sys
import tempfile
import unittest
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from quarterdeck_sdk import Severity
from quarterdeck_sdk.detector import STATE_BYTES, Derived, Detector, Signal, Verdict, Window
from quarterdeck_sdk.testing import Component, ComponentError, bears_odd_windows, odd_windows


@dataclass
class Config:
    limit: float = 1.0


class Above(Detector[Config]):
    def evaluate(self, config: Config, window: Window, state: bytes | None) -> Verdict:
        verdict = Verdict(state=b"seen")
        for index, series in enumerate(window.series):
            value = series.value[-1] if series.value else math.nan
            if math.isfinite(value) and value > config.limit:
                verdict.signals.append(Signal(index, Severity.LOW, value, "is above"))
        return verdict


class TestOddWindows(unittest.TestCase):
    def test_the_windows_are_the_same_every_time_and_in_every_language(self) -> None:
        digest = 0xCBF2_9CE4_8422_2325
        for window in odd_windows():
            data = struct.pack("<qq", window.now_ms, window.from_ms)
            for series in window.series:
                data += series.labels["series"].encode()
                data += b"".join(struct.pack("<qd", *sample) for sample in zip(series.at_ms, series.value))
            for byte in data:
                digest = (digest ^ byte) * 0x0100_0000_01B3 & 0xFFFF_FFFF_FFFF_FFFF
        self.assertEqual(digest, 0xF352_4231_80C8_9133)

    def test_a_detector_that_bears_them_passes(self) -> None:
        bears_odd_windows(Above, "{}")
        bears_odd_windows(Above, '{"limit": -1e308}')

    def test_one_that_does_not_is_told_in_what(self) -> None:
        class Careless(Above):
            def evaluate(self, config: Config, window: Window, state: bytes | None) -> Verdict:
                return Verdict([Signal(0, Severity.LOW, series.value[-1], "is") for series in window.series])

        class Moody(Above):
            calls = 0

            def evaluate(self, config: Config, window: Window, state: bytes | None) -> Verdict:
                Moody.calls += 1
                return Verdict(state=bytes([Moody.calls % 2]))

        class Fixed(Above):
            said = Verdict()

            def evaluate(self, config: Config, window: Window, state: bytes | None) -> Verdict:
                return self.said

        def says(verdict: Verdict) -> type[Fixed]:
            return type("Says", (Fixed,), {"said": verdict, "config_type": Config})

        for detector, expected in [
            (Careless, "is refused: IndexError"),
            (Moody, "answered differently the second time"),
            (says(Verdict([Signal(4, Severity.LOW, 1.0, "is")])), "window 0: Signal(series=4"),
            (says(Verdict([Signal(0, Severity.LOW, 1.0, "is", expected=math.inf)])), "expected=inf"),
            (says(Verdict(derived=[Derived(0, "bit", math.nan)])), "window 0: Derived(series=0"),
            (says(Verdict(derived=[Derived(0, "bit", 1.0)] * 33)), "too many derived samples"),
            (says(Verdict(state=bytes(STATE_BYTES + 1))), "too large a state"),
        ]:
            with self.assertRaises(AssertionError) as caught:
                bears_odd_windows(detector, "{}")
            self.assertIn(expected, str(caught.exception))
        self.assertRaises(ValueError, bears_odd_windows, Above, '{"limits": 1}')


# In the place of the host: says what it was asked.
STAND_IN = """#!{python}
import json, os, sys
verb, arguments = sys.argv[2], sys.argv[3:]
if verb == "build" and arguments[-1] == "broken":
    sys.exit("error: it does not build\\n")
if verb == "check" and "--grants" not in arguments:
    findings = [("exports", "passed", "fine"), ("size", "failed", "too large"), ("schema", "warned", "odd")]
    names = ("check", "verdict", "detail")
    print(json.dumps({{"findings": [dict(zip(names, finding)) for finding in findings]}}))
    sys.exit(1)
if verb == "check" and "--config" not in arguments:
    sys.exit("error: no such file\\n")
print("no JSON" if verb == "build" and arguments[-1] == "odd" else json.dumps({{"component": "a.wasm", "asked": sys.argv[1:], "cache": os.environ["QUARTERDECK_CACHE_DIR"]}}))
"""


class TestComponent(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        host = Path(folder.name, "host")
        host.write_text(STAND_IN.format(python=sys.executable))
        host.chmod(0o755)
        variable = mock.patch.dict(os.environ, {"QUARTERDECK": str(host)})
        variable.start()
        self.addCleanup(variable.stop)

    def test_a_host_that_is_not_there_is_named_with_what_to_do(self) -> None:
        with mock.patch.dict(os.environ, {"QUARTERDECK": "/nowhere/quarterdeck"}):
            component = Component.open("a.wasm")
        with self.assertRaises(ComponentError) as caught:
            component.check()
        self.assertIn("`/nowhere/quarterdeck`", str(caught.exception))
        self.assertIn("hint: put it on the path, or name it in QUARTERDECK", str(caught.exception))

    def test_a_call_hands_over_what_it_was_given_and_only_that(self) -> None:
        component = Component.build(Path("folder"))
        self.assertEqual(component.file, Path("a.wasm"))
        asked = component.call("collect", {"now": 1})["asked"]
        self.assertEqual(asked, ["plugin", "run", "a.wasm", "collect", "--input", '{"now": 1}'])
        given = component.with_config({"a": 2}).with_grants({"http": ["http://a"]})
        asked = given.call("collect", None)["asked"]
        self.assertEqual(asked[3:5] + asked[5:7], ["--config", '{"a": 2}', "--grants", '{"http": ["http://a"]}'])
        self.assertIn("plugin", component.call("collect", {})["asked"], "the first one is as it was")
        given.check()

    def test_what_was_compiled_is_kept_from_one_call_to_the_next(self) -> None:
        component = Component.open("a.wasm")
        with mock.patch.dict(os.environ):
            os.environ.pop("QUARTERDECK_CACHE_DIR", None)
            folders = {component.call("collect", {})["cache"] for _ in range(2)}
        self.assertEqual([Path(folder).stat().st_mode & 0o777 for folder in folders], [0o700])
        with mock.patch.dict(os.environ, {"QUARTERDECK_CACHE_DIR": "/own"}):
            self.assertEqual(component.call("collect", {})["cache"], "/own")

    def test_what_the_host_says_against_it_is_the_error(self) -> None:
        for act, expected in [
            (lambda: Component.build("broken"), "error: it does not build"),
            (lambda: Component.build("odd"), "the host did not answer in JSON: "),
            (lambda: Component.open("a.wasm").check(), "size: too large\nschema: odd"),
            (lambda: Component.open("a.wasm").with_grants({}).check(), "error: no such file"),
        ]:
            with self.assertRaises(ComponentError) as caught:
                act()
            self.assertTrue(str(caught.exception).startswith(expected), caught.exception)
