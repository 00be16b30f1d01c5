import assert from "node:assert/strict";
import test from "node:test";

import plugin from "../src/plugin.js";

const { fold, merge, finish } = plugin.slaCalculator;
const folded = (...value) =>
  fold({ target: 0.5 }, { fromMs: 0, toMs: 9, atMs: value.map((_, at) => at), value, exclusions: [] });

test("two halves merged are the whole", () => {
  const merged = merge({ target: 0.5 }, folded(1, 0), folded(1, 1));
  assert.deepEqual(merged, folded(1, 0, 1, 1));
  const attainment = finish({ target: 0.5 }, merged);
  assert.deepEqual([attainment.adjusted.attained, attainment.met], [0.75, true]);
});
