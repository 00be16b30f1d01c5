import assert from "node:assert/strict";
import test from "node:test";
import { runInNewContext } from "node:vm";

import { kindOf, pluginOf } from "../src/component.js";
import * as sdk from "../src/index.js";

const { definePlugin, object, string } = sdk;
const said = { name: "wave", version: "0.1.0", summary: "Swings" };
const collector = { collect: () => ({ health: sdk.health.ok("fine") }) };

test("what a plugin lacks is said before anything is built", () => {
  for (const [definition, expected] of [
    [{ ...said, name: undefined, config: object({}), collector }, "no `name`"],
    [{ ...said, collector }, "no `config`"],
    [{ ...said, config: object({}) }, "of no kind"],
    [{ ...said, config: object({}), colector: collector }, "key `colector`"],
    [{ ...said, config: object({}), scannerRule: { scan() {} } }, "no function `interests`"],
    [{ ...said, config: object({}), collector, capabilities: [{ name: "file" }] }, "no capability `file`"],
  ]) {
    assert.throws(() => definePlugin(definition), (error) => error.message.includes(expected), expected);
  }
});

test("a configuration is checked by its schema and by the plugin", () => {
  const validate = ({ url }) => (url.startsWith("http") ? [] : [{ pointer: "/url", message: "is no URL" }]);
  const { describe, validateConfiguration } = pluginOf(
    definePlugin({ ...said, config: object({ url: string("Where to.") }), validate, collector }),
  );
  assert.equal(JSON.parse(describe().configSchema).properties.url.description, "Where to.");
  assert.equal(describe().configSchema, sdk.configSchema({ config: object({ url: string("Where to.") }) }));
  const problems = (config) => {
    try {
      validateConfiguration(config);
      return [];
    } catch (error) {
      return error.payload;
    }
  };
  assert.deepEqual(problems('{"url": "http://a"}'), []);
  assert.deepEqual(problems('{"url": "a"}'), [{ pointer: "/url", message: "is no URL" }]);
  assert.match(problems('{"uri": "a"}')[0].message, /unknown key/);
});

test("the worse severity is the one that stands first", () => {
  assert.equal(sdk.severity.worse("low", "high"), "high");
  assert.equal(sdk.severity.worse("high", "low"), "high");
  assert.equal(sdk.severity.worse("info", "info"), "info");
});

test("a collection finds a series by its labels", () => {
  const family = sdk.Family.gauge("up", "Whether it is").sample({ a: "1", b: "2" }, 1).sample({ a: "2" }, 0);
  const collection = { health: sdk.health.ok("fine"), families: [sdk.Family.counter("up", "Not this one"), family] };
  assert.equal(sdk.valueOf(collection, "up", { b: "2", a: "1" }), 1);
  assert.equal(sdk.valueOf(collection, "up"), undefined);
});

test("failures go over in their kind, and a mistake stays what it is", () => {
  const ended = (thrown) => {
    const definition = definePlugin({
      ...said,
      config: object({}),
      collector: {
        collect() {
          throw thrown;
        },
      },
    });
    try {
      return kindOf(definition, "collector").collect("{}", 0n);
    } catch (error) {
      return error;
    }
  };
  assert.deepEqual(ended(new sdk.Rejected("no")).payload, { tag: "rejected", val: "no" });
  assert.deepEqual(ended(new sdk.Retry("later", 5)).payload, { tag: "retry", val: ["later", 5n] });
  assert.deepEqual(ended(new sdk.Other("odd")).payload, { tag: "other", val: "odd" });
  assert.deepEqual(ended(new sdk.Denied("no kv")).payload, { tag: "rejected", val: "no kv" });
  assert.ok(ended(new RangeError("bug")) instanceof RangeError);
});

test("an answer goes over in the shapes of the bindings, at once or later", async () => {
  const family = sdk.gauge("up", "Whether").sample({ a: "1" }, 1);
  const make = (collect) =>
    kindOf(definePlugin({ ...said, config: object({}), collector: { collect } }), "collector").collect("{}", 7n);
  const collection = (nowMs) => ({ health: sdk.health.ok(String(nowMs)), families: [family] });
  for (const answer of [make((_, now) => collection(now)), await make(async (_, now) => collection(now))]) {
    assert.equal(answer.health.message, "7");
    assert.deepEqual(answer.families[0].labels, [[{ name: "a", value: "1" }]]);
    assert.deepEqual(answer.families[0].values, Float64Array.of(1));
  }
});

test("times are numbers, whoever made them", () => {
  // As bindings do, whose classes are not those of the plugin.
  const made = runInNewContext("({ atMs: BigInt64Array.of(5n, -6n), value: Float64Array.of(1, 2), exclusions: [[1n, 2n]] })");
  const seen = [];
  const definition = definePlugin({
    ...said,
    config: object({}),
    detector: { evaluate: (_, window) => (seen.push(window), {}) },
    slaCalculator: { fold: (_, window) => seen.push(window), merge() {}, finish() {} },
  });
  kindOf(definition, "detector").evaluate("{}", { nowMs: 7n, fromMs: 1n, series: [{ labels: [], ...made }] });
  kindOf(definition, "slaCalculator").fold("{}", { fromMs: 1n, toMs: 9n, ...made });
  const [{ series, ...window }, part] = seen;
  assert.deepEqual(window, { nowMs: 7, fromMs: 1 });
  assert.equal(JSON.stringify([series[0].atMs, part.atMs, part.exclusions]), "[[5,-6],[5,-6],[[1,2]]]");
  assert.equal(series[0].value, made.value, "columns of figures go through as they are");
});

test("steps, moves and placements keep their kind", () => {
  const seen = [];
  const definition = definePlugin({
    ...said,
    config: object({}),
    deploymentTarget: { observe: () => [], apply: (_config, _service, step) => (seen.push(step), sdk.done()) },
    deploymentStrategy: { decide: (_config, { replicas }) => ({ next: replicas[0], reason: "" }) },
  });
  const { apply } = kindOf(definition, "deploymentTarget");
  apply("{}", "web", { tag: "start", val: ["web-1", "r1"] }, "k");
  apply("{}", "web", { tag: "weight", val: ["web-1", 5] }, "k");
  apply("{}", "web", { tag: "stop", val: "web-1" }, "k");
  assert.deepEqual(seen, [
    { kind: "start", replica: "web-1", revision: "r1" },
    { kind: "weight", replica: "web-1", weight: 5 },
    { kind: "stop", replica: "web-1" },
  ]);
  const { decide } = kindOf(definition, "deploymentStrategy");
  const moved = (next) => decide("{}", {}, [next], {}, false, undefined, 0n).move;
  assert.deepEqual(moved({ kind: "hold", spanMs: 5 }), { tag: "hold", val: 5n });
  assert.deepEqual(moved({ kind: "roll-back", reason: "why" }), { tag: "roll-back", val: "why" });
  assert.deepEqual(moved({ kind: "retire", replicas: ["a"] }), { tag: "retire", val: ["a"] });
});
