import assert from "node:assert/strict";
import test from "node:test";

import { statistics } from "../src/index.js";

const { centreAndSpread, median, normalTail, normalWidth, quantile } = statistics;
const { level, runs, thinned, trend } = statistics.trend;
const MAX = Number.MAX_VALUE;

const near = (figure, expected, most, said) => assert.ok(Math.abs(figure - expected) <= most, `${said}: ${figure}`);
const points = (values) => values.map((value, seconds) => ({ seconds, value }));
const count = (length, value) => Array.from({ length }, (_, index) => value(index));
const of = (...given) => trend(given, 0.95);

/** The same figures on every machine, between -1 and 1. */
function noise(length) {
  let seed = 42n;
  return count(length, () => {
    seed = BigInt.asUintN(64, seed * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n);
    return Number(seed >> 33n) / 2 ** 30 - 1;
  });
}

test("what is no number is left out", () => {
  assert.equal(median([NaN, Infinity, 3, 1, -Infinity]), 2);
  assert.equal(median([NaN]), undefined);
  assert.equal(median([]), undefined);
  assert.equal(centreAndSpread([NaN]), undefined);
  assert.ok(Number.isNaN(quantile([1], NaN)));
});

test("the ends of the range have a median", () => {
  assert.equal(median([MAX, -MAX]), 0);
  assert.equal(median(Float64Array.of(MAX, MAX)), MAX);
});

test("quantiles are interpolated, and values stay as they are", () => {
  const values = [50, 20, 30, 40, 10];
  assert.deepEqual([0, 0.9, 1, 7].map((q) => quantile(values, q)), [10, 46, 50, 50]);
  assert.deepEqual(values, [50, 20, 30, 40, 10]);
  const { centre, spread } = centreAndSpread(new Set([1, 2, 3, 4, 1e9]));
  assert.equal(centre, 3);
  near(spread, 1.4826, 0.001);
});

test("tails and widths are those of the tables", () => {
  for (const [z, tail] of [[0, 0.5], [1, 0.158655], [2.326348, 0.01], [3.090232, 0.001], [-1, 0.841345]]) near(normalTail(z), tail, 1e-6, z);
  for (const [share, width] of [[0.8, 1.281552], [0.9, 1.644854], [0.99, 2.575829]]) near(normalWidth(share), width, 1e-4, share);
});

test("a straight line is found exactly in spite of outliers", () => {
  const values = count(40, (index) => 3 + 2 * index);
  [values[7], values[30]] = [1e9, -1e9];
  const found = of(points(values));
  assert.equal(found.slope, 2);
  assert.ok(found.tau > 0.8 && found.probability < 1e-6);
  assert.deepEqual(level(points(values), 2, 39), { level: 81, stray: 0 });
});

test("equal figures count neither way", () => {
  near(of(points([1, 1, 2, 3, 3, 3, 4, 5, 6, 7])).tau, 41 / 45, 1e-9, "all but four tied pairs rise");
});

test("noise has no trend, and constant figures have none at all", () => {
  const found = of(points(noise(100)));
  assert.ok(found.probability > 0.05 && found.lower < 0 && found.upper > 0);
  const { slope, tau, probability } = of(points(count(50, () => 5)));
  assert.deepEqual([slope, tau, probability], [0, 0, 1]);
});

test("figures are those of every language", () => {
  const { slope, lower, upper, tau, probability } = of(points(noise(24).map((value, index) => 0.05 * index + value)));
  const expected = [0.05565867267903828, 0.027103033498315464, 0.09119378915329736, 0.463768115942029, 0.001631947981030292];
  for (const [index, own] of [slope, lower, upper, tau, probability].entries()) near(own, expected[index], 1e-12, index);
});

test("neighbours that resemble each other make a trend less sure", () => {
  // A slow wave on a weak trend, and the same figures shuffled but for the trend.
  const wave = of(points(count(96, (i) => 0.01 * i + Math.sin(i / 15))));
  const apart = of(points(count(96, (i) => 0.01 * i + Math.sin(((i * 37) % 96) / 15))));
  assert.ok(wave.upper - wave.lower > 1.5 * (apart.upper - apart.lower));
});

test("what begins anew is cut there, and its runs agree", () => {
  const saw = points(count(90, (index) => index % 30));
  const cut = runs(saw, 8);
  assert.deepEqual(cut.map((run) => run.length), [30, 30, 30]);
  const found = of(...cut);
  assert.deepEqual([found.slope, found.tau, found.points], [1, 1, 90]);
  assert.ok(of(saw).tau < 0.4, "taken as a whole it hardly rises");
});

test("usual drops are no restarts", () => {
  // A collector that frees as much every fourth time.
  assert.equal(runs(points(count(80, (index) => (index % 4) + index / 100)), 8).length, 1);
});

test("thinning takes medians, and minds neither order nor duplicates", () => {
  const at = [9_000, 1_000, 1_000, 2_000, 6_000, 99_000, -5];
  const value = [4, 1, 3, NaN, 7, 1, 1];
  assert.deepEqual(thinned(at, value, 0, 10_000, 2), [{ seconds: 1, value: 2 }, { seconds: 7.5, value: 5.5 }]);
  assert.deepEqual(thinned([], [], 0, 0, 0), []);
  assert.equal(thinned([-(2 ** 63), 2 ** 63], [1, 1], -(2 ** 63), 2 ** 63, 3).length, 2);
});

test("the ends of the range and too few points are no trend and no error", () => {
  for (const values of [[MAX, -MAX, 0, -0, MAX, -MAX], [NaN, Infinity, 1, -Infinity, NaN, 2]]) {
    trend(runs(points(values), 8), 0.95);
    of(points(values));
    level(points(values), 1, 0);
  }
  assert.equal(of(points([1, 2, 3])), undefined);
  assert.equal(trend([], 0.95), undefined);
  assert.deepEqual(runs([], 8), []);
  assert.equal(level([], 1, 0), undefined);
});
