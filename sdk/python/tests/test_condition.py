import math
import unittest

from quarterdeck_sdk.condition import Comparison, Condition


class TestCondition(unittest.TestCase):
    def test_what_people_write_is_read_and_written_as_it_was(self) -> None:
        for text, comparison, number, written in [
            ("<= 90", Comparison.LESS_OR_EQUAL, 90.0, "<= 90"),
            ("  >=.5 ", Comparison.GREATER_OR_EQUAL, 0.5, ">= 0.5"),
            ("=1.", Comparison.EQUAL, 1.0, "== 1"),
            ("== -1e3", Comparison.EQUAL, -1000.0, "== -1000"),
            ("!=0", Comparison.NOT_EQUAL, 0.0, "!= 0"),
            ("< -inf", Comparison.LESS, -math.inf, "< -inf"),
            ("> Infinity", Comparison.GREATER, math.inf, "> inf"),
        ]:
            condition = Condition.parse(text)
            self.assertEqual(condition, Condition(comparison, number), text)
            self.assertEqual(str(condition), written)
            self.assertEqual(Condition.parse(written), condition)

    def test_what_is_no_condition_is_told_with_what_would_be(self) -> None:
        for text in ("about 90", "90", ">", "> nan", "> 1_000", "> 0x10", ">> 5", "> 1 2", "=> 1", ""):
            with self.assertRaises(ValueError, msg=text) as caught:
                Condition.parse(text)
            self.assertIn("write it like `>= 1`", str(caught.exception))

    def test_what_is_no_number_fulfils_nothing(self) -> None:
        for text, below, same, above in [
            ("< 1", True, False, False),
            ("<= 1", True, True, False),
            ("> 1", False, False, True),
            (">= 1", False, True, True),
            ("== 1", False, True, False),
            ("!= 1", True, False, True),
        ]:
            condition = Condition.parse(text)
            self.assertEqual([condition.holds(value) for value in (0.0, 1.0, 2.0)], [below, same, above], text)
            self.assertFalse(condition.holds(math.nan), text)
