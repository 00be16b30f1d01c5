import assert from "node:assert/strict";
import test from "node:test";

import { Condition } from "../src/index.js";

test("what people write is read, and written as it was", () => {
  for (const [text, comparison, number, written] of [
    ["<= 90", "less-or-equal", 90, "<= 90"],
    ["  >=.5 ", "greater-or-equal", 0.5, ">= 0.5"],
    ["=1.", "equal", 1, "== 1"],
    ["== -1e3", "equal", -1000, "== -1000"],
    ["!=0", "not-equal", 0, "!= 0"],
    ["< -inf", "less", -Infinity, "< -inf"],
    ["> Infinity", "greater", Infinity, "> inf"],
  ]) {
    const condition = Condition.parse(text);
    assert.deepEqual(condition, new Condition(comparison, number), text);
    assert.equal(String(condition), written);
    assert.deepEqual(Condition.parse(written), condition);
  }
});

test("what is no condition is told with what would be", () => {
  for (const text of ["about 90", "90", ">", "> nan", "> 1_000", "> 0x10", ">> 5", "> 1 2", "=> 1", ""]) {
    assert.throws(() => Condition.parse(text), /write it like `>= 1`/, text);
  }
});

test("what is no number fulfils nothing", () => {
  for (const [text, ...expected] of [
    ["< 1", true, false, false],
    ["<= 1", true, true, false],
    ["> 1", false, false, true],
    [">= 1", false, true, true],
    ["== 1", false, true, false],
    ["!= 1", true, false, true],
  ]) {
    const condition = Condition.parse(text);
    assert.deepEqual([0, 1, 2].map((value) => condition.holds(value)), expected, text);
    assert.equal(condition.holds(NaN), false, text);
  }
});
