import unittest

from plugin import Config, {{type}}
from quarterdeck_sdk.sla_calculator import Window


class Test{{type}}(unittest.TestCase):
    def fold(self, *values: float) -> bytes:
        return {{type}}().fold(Config(), Window(at_ms=list(range(len(values))), value=list(values)), None)

    def test_two_halves_merged_are_the_whole(self) -> None:
        merged = {{type}}().merge(Config(), self.fold(1.0, 0.0), self.fold(1.0, 1.0))
        self.assertEqual(merged, self.fold(1.0, 0.0, 1.0, 1.0))
        attainment = {{type}}().finish(Config(target=0.5), merged)
        self.assertEqual((attainment.adjusted.attained, attainment.met), (0.75, True))
