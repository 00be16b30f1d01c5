import assert from "node:assert/strict";
import test from "node:test";

import { boolean, integer, list, number, object, oneOf, record, string } from "../src/index.js";

const config = object(
  {
    url: string("Where to."),
    timeoutMs: integer("How long.").with({ minimum: 1 }).default(5000),
    mode: oneOf(["fast", "slow"]).default("fast"),
    inner: object({ count: integer("How many.") }),
    tags: record(list(number())).default({}),
    quiet: boolean().optional(),
  },
  "What an instance is configured with.",
);
const whole = { url: "http://a", inner: { count: 2 } };

test("the schema has kebab-case keys, descriptions, defaults and what is required", () => {
  assert.equal(config.json.description, "What an instance is configured with.");
  assert.deepEqual(config.json.required, ["url", "inner"]);
  assert.equal(config.json.additionalProperties, false);
  const timeout = { type: "integer", description: "How long.", minimum: 1, default: 5000 };
  assert.deepEqual(config.json.properties["timeout-ms"], timeout);
  assert.deepEqual(config.json.properties.mode, { enum: ["fast", "slow"], default: "fast" });
});

test("what fits is read, and what is absent has its default", () => {
  const read = config.read({ ...whole, "timeout-ms": 10, tags: { a: [1, 2.5] } });
  assert.deepEqual(read, {
    url: "http://a",
    timeoutMs: 10,
    mode: "fast",
    inner: { count: 2 },
    tags: { a: [1, 2.5] },
    quiet: undefined,
  });
});

test("a default is a new one for each", () => {
  config.read(whole).tags.mine = [1];
  assert.deepEqual(config.read(whole).tags, {});
});

test("what does not fit is told with its place", () => {
  for (const [change, expected] of [
    [{ url: 1 }, "/url: expected a text, not a number"],
    [{ url: null }, "/url: expected a text, not null"],
    [{ "timeout-ms": 1.5 }, "/timeout-ms: expected a whole number, not a number"],
    [{ inner: {} }, "/inner/count: is missing"],
    [{ inner: [] }, "/inner: expected an object, not a list"],
    [{ mode: "odd" }, "/mode: `odd` is none of fast, slow"],
    [{ tags: { a: ["x"] } }, "/tags/a/0: expected a number, not a text"],
    [{ timeoutMs: 1 }, "/timeoutMs: unknown key; hint: the keys are url, timeout-ms, mode"],
  ]) {
    assert.throws(() => config.read({ ...whole, ...change }), (error) => error.message.includes(expected), expected);
  }
});
