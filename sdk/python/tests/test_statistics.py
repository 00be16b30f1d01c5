import math
import sys
import unittest

from quarterdeck_sdk.statistics import centre_and_spread, median, normal_tail, normal_width, quantile
from quarterdeck_sdk.statistics.trend import Point, Trend, level, runs, thinned, trend

MAX = sys.float_info.max


class TestStatistics(unittest.TestCase):
    def test_what_is_no_number_is_left_out(self) -> None:
        self.assertEqual(median([math.nan, math.inf, 3.0, 1.0, -math.inf]), 2.0)
        self.assertIsNone(median([math.nan]))
        self.assertIsNone(median([]))
        self.assertIsNone(centre_and_spread([math.nan]))
        self.assertTrue(math.isnan(quantile([1.0], math.nan) or 0.0))

    def test_the_ends_of_the_range_have_a_median(self) -> None:
        self.assertEqual(median([MAX, -MAX]), 0.0)
        self.assertEqual(median([MAX, MAX]), MAX)

    def test_quantiles_are_interpolated_and_values_stay_as_they_are(self) -> None:
        values = [50.0, 20.0, 30.0, 40.0, 10.0]
        self.assertEqual([quantile(values, q) for q in (0.0, 0.9, 1.0, 7.0)], [10.0, 46.0, 50.0, 50.0])
        self.assertEqual(values, [50.0, 20.0, 30.0, 40.0, 10.0])
        centre, spread = centre_and_spread(iter([1.0, 2.0, 3.0, 4.0, 1e9])) or (0.0, 0.0)
        self.assertEqual(centre, 3.0)
        self.assertAlmostEqual(spread, 1.4826, delta=0.001)

    def test_tails_and_widths_are_those_of_the_tables(self) -> None:
        for z, tail in [(0.0, 0.5), (1.0, 0.158_655), (2.326_348, 0.01), (3.090_232, 0.001), (-1.0, 0.841_345)]:
            self.assertAlmostEqual(normal_tail(z), tail, delta=1e-6)
        for confidence, width in [(0.8, 1.281_552), (0.9, 1.644_854), (0.99, 2.575_829)]:
            self.assertAlmostEqual(normal_width(confidence), width, delta=1e-4)


def points(values: list[float]) -> list[Point]:
    return [Point(float(index), value) for index, value in enumerate(values)]


def noise(count: int) -> list[float]:
    """The same figures on every machine, between -1 and 1."""
    seed, found = 42, []
    for _ in range(count):
        seed = (seed * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) & 0xFFFF_FFFF_FFFF_FFFF
        found.append((seed >> 33) / (1 << 30) - 1.0)
    return found


class TestTrend(unittest.TestCase):
    def of(self, *runs: list[Point]) -> Trend:
        found = trend(runs, 0.95)
        assert found is not None
        return found

    def test_a_straight_line_is_found_exactly_in_spite_of_outliers(self) -> None:
        values = [3.0 + 2.0 * index for index in range(40)]
        values[7], values[30] = 1e9, -1e9
        found = self.of(points(values))
        self.assertEqual(found.slope, 2.0)
        self.assertGreater(found.tau, 0.8)
        self.assertLess(found.probability, 1e-6)
        self.assertEqual(level(points(values), 2.0, 39.0), (81.0, 0.0))

    def test_equal_figures_count_neither_way(self) -> None:
        found = self.of(points([1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 4.0, 5.0, 6.0, 7.0]))
        self.assertAlmostEqual(found.tau, 41.0 / 45.0, msg="all but four tied pairs rise")

    def test_noise_has_no_trend_and_constant_figures_have_none_at_all(self) -> None:
        found = self.of(points(noise(100)))
        self.assertTrue(found.probability > 0.05 and found.lower < 0.0 < found.upper, found)
        found = self.of(points([5.0] * 50))
        self.assertEqual((found.slope, found.tau, found.probability), (0.0, 0.0, 1.0))

    def test_figures_are_those_of_every_language(self) -> None:
        found = self.of(points([0.05 * index + value for index, value in enumerate(noise(24))]))
        expected = (0.05565867267903828, 0.027103033498315464, 0.09119378915329736, 0.463768115942029, 0.001631947981030292)
        for own, figure in zip((found.slope, found.lower, found.upper, found.tau, found.probability), expected):
            self.assertAlmostEqual(own, figure, delta=1e-12)

    def test_neighbours_that_resemble_each_other_make_a_trend_less_sure(self) -> None:
        # A slow wave on a weak trend, and the same figures shuffled but for the trend.
        wave = self.of(points([0.01 * i + math.sin(i / 15.0) for i in range(96)]))
        apart = self.of(points([0.01 * i + math.sin((i * 37 % 96) / 15.0) for i in range(96)]))
        self.assertGreater(wave.upper - wave.lower, 1.5 * (apart.upper - apart.lower))

    def test_what_begins_anew_is_cut_there_and_its_runs_agree(self) -> None:
        saw = points([float(index % 30) for index in range(90)])
        cut = runs(saw, 8.0)
        self.assertEqual([len(run) for run in cut], [30, 30, 30])
        found = self.of(*map(list, cut))
        self.assertEqual((found.slope, found.tau, found.points), (1.0, 1.0, 90))
        self.assertLess(self.of(saw).tau, 0.4, "taken as a whole it hardly rises")

    def test_usual_drops_are_no_restarts(self) -> None:
        # A collector that frees as much every fourth time.
        self.assertEqual(len(runs(points([index % 4 + index / 100.0 for index in range(80)]), 8.0)), 1)

    def test_thinning_takes_medians_and_minds_neither_order_nor_duplicates(self) -> None:
        at = [9_000, 1_000, 1_000, 2_000, 6_000, 99_000, -5]
        value = [4.0, 1.0, 3.0, math.nan, 7.0, 1.0, 1.0]
        self.assertEqual(thinned(at, value, 0, 10_000, 2), [Point(1.0, 2.0), Point(7.5, 5.5)])
        self.assertEqual(thinned([], [], 0, 0, 0), [])
        low, high = -(1 << 63), (1 << 63) - 1
        self.assertEqual(len(thinned([low, high], [1.0, 1.0], low, high, 3)), 2)

    def test_the_ends_of_the_range_and_too_few_points_are_no_trend_and_no_error(self) -> None:
        wild = points([MAX, -MAX, 0.0, -0.0, MAX, -MAX])
        odd = points([math.nan, math.inf, 1.0, -math.inf, math.nan, 2.0])
        for each in (wild, odd):
            trend(runs(each, 8.0), 0.95)
            trend([each], 0.95)
            level(each, 1.0, 0.0)
        self.assertIsNone(trend([points([1.0, 2.0, 3.0])], 0.95))
        self.assertIsNone(trend([], 0.95))
        self.assertEqual(runs([], 8.0), [])
        self.assertIsNone(level([], 1.0, 0.0))
