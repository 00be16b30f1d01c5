"""The built component in the real runtime. `quarterdeck plugin test` says which host that is; for plain pytest, have `quarterdeck` on the
path, or its path in the variable `QUARTERDECK`."""

import unittest
from pathlib import Path

from quarterdeck_sdk.testing import Component


class TestComponent(unittest.TestCase):
    def test_the_host_has_nothing_against_the_component(self) -> None:
        component = Component.build(Path(__file__).parents[1]).with_config({{config}})
        component.check()
