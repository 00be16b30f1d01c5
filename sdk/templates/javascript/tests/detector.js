import assert from "node:assert/strict";
import test from "node:test";

import { bearsOddWindows } from "quarterdeck-sdk/testing";

import plugin from "../src/plugin.js";

test("a jump is abnormal and a steady series is not", async () => {
  const series = (...value) => ({ labels: {}, atMs: value.map((_, index) => index), value });
  const window = { nowMs: 0, fromMs: 0, series: [series(1, 1, 9), series(1, 1, 1), series()] };
  const verdict = await plugin.detector.evaluate({ factor: 3 }, window);
  assert.deepEqual(verdict.signals.map((signal) => signal.series), [0]);
  // Whatever else a series may hold is borne.
  await bearsOddWindows(plugin, "{}");
});
