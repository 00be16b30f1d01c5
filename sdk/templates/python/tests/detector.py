import unittest

from plugin import Config, {{type}}
from quarterdeck_sdk.detector import Series, Window
from quarterdeck_sdk.testing import bears_odd_windows


class Test{{type}}(unittest.TestCase):
    def test_a_jump_is_abnormal_and_a_steady_series_is_not(self) -> None:
        window = Window(series=[Series(value=[1.0, 1.0, 9.0]), Series(value=[1.0, 1.0, 1.0]), Series()])
        verdict = {{type}}().evaluate(Config(), window, None)
        self.assertEqual([signal.series for signal in verdict.signals], [0])
        # Whatever else a series may hold is borne.
        bears_odd_windows({{type}}, "{}")
