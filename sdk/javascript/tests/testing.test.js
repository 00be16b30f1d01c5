import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import * as sdk from "../src/index.js";
import { Component, ComponentError, FakeHost, bearsOddWindows, oddWindows } from "../src/testing.js";

const plugin = (evaluate) =>
  sdk.definePlugin({
    name: "above",
    version: "0.1.0",
    summary: "Above",
    config: sdk.object({ limit: sdk.number().default(1) }),
    detector: { evaluate },
  });
const above = plugin(async ({ limit }, { series }) => {
  const last = series.map(({ value }) => value.at(-1));
  const signals = last.flatMap((value, index) =>
    Number.isFinite(value) && value > limit ? [{ series: index, severity: "low", value, reason: "is above" }] : [],
  );
  return { signals, state: Uint8Array.of(1) };
});

test("the windows are the same every time and in every language", () => {
  const bytes = [];
  const view = new DataView(new ArrayBuffer(16));
  // The last of 64 bits is no number here: it stands for what plugins in other languages see.
  const whole = (at) => (at >= 2 ** 63 ? 2n ** 63n - 1n : BigInt(at));
  const add = (at, put, second) => {
    view.setBigInt64(0, whole(at), true);
    put.call(view, 8, second, true);
    bytes.push(...new Uint8Array(view.buffer));
  };
  for (const { nowMs, fromMs, series } of oddWindows()) {
    add(nowMs, view.setBigInt64, BigInt(fromMs));
    for (const { labels, atMs, value } of series) {
      bytes.push(labels.series.charCodeAt(0));
      atMs.forEach((at, index) => add(at, view.setFloat64, value[index]));
    }
  }
  let digest = 0xcbf2_9ce4_8422_2325n;
  for (const byte of bytes) digest = BigInt.asUintN(64, (digest ^ BigInt(byte)) * 0x0100_0000_01b3n);
  assert.equal(digest, 0xf352_4231_80c8_9133n);
});

test("a detector that bears them passes", async () => {
  await bearsOddWindows(above, "{}");
  await bearsOddWindows(above, '{"limit": -1e308}');
  await bearsOddWindows(plugin(() => ({})), "{}");
});

test("one that does not is told in what", async () => {
  let calls = 0;
  const signal = (series, value, expected) => ({ signals: [{ series, severity: "low", value, expected, reason: "is" }] });
  for (const [evaluate, expected] of [
    [(_, { series }) => series.map(({ value }) => value[0].toFixed()), "is refused: TypeError"],
    [() => ({ state: Uint8Array.of((calls += 1) % 2) }), "answered differently the second time"],
    [() => signal(4, 1), 'window 0: {"series":4'],
    [() => signal(0, 1, Infinity), '"expected":"Infinity"'],
    [() => ({ derived: [{ series: 0, metric: "bit", value: NaN }] }), 'window 0: {"series":0'],
    [() => ({ derived: Array.from({ length: 33 }, () => ({ series: 0, metric: "bit", value: 1 })) }), "too many derived samples"],
    [() => ({ state: new Uint8Array(sdk.detector.STATE_BYTES + 1) }), "too large a state"],
  ]) {
    await assert.rejects(bearsOddWindows(plugin(evaluate), "{}"), (error) => {
      assert.ok(error instanceof assert.AssertionError && error.message.includes(expected), error.message);
      return true;
    });
  }
  await assert.rejects(bearsOddWindows(above, '{"limits": 1}'), TypeError);
});

test("the fake host is the same from here", () => assert.equal(FakeHost, sdk.FakeHost));

// In the place of the host: says what it was asked.
const STAND_IN = `#!${process.execPath}
const [, verb, ...given] = process.argv.slice(2);
const fail = (message) => {
  console.error(message);
  process.exit(1);
};
if (verb === "build" && given.at(-1) === "broken") fail("error: it does not build");
if (verb === "check" && !given.includes("--grants")) {
  const finding = (check, verdict, detail) => ({ check, verdict, detail });
  const findings = [finding("exports", "passed", "fine"), finding("size", "failed", "too large"), finding("schema", "warned", "odd")];
  console.log(JSON.stringify({ findings }));
  process.exit(1);
}
if (verb === "check" && !given.includes("--config")) fail("error: no such file");
if (verb === "build" && given.at(-1) === "odd") console.log("no JSON");
else console.log(JSON.stringify({ component: "a.wasm", asked: process.argv.slice(2), cache: process.env.QUARTERDECK_CACHE_DIR }));
`;

function withVariable(t, name, value) {
  const before = process.env[name];
  const set = (to) => (to === undefined ? delete process.env[name] : (process.env[name] = to));
  set(value);
  t.after(() => set(before));
}

function withHost(t) {
  const folder = mkdtempSync(join(tmpdir(), "stand-in-"));
  const host = join(folder, "host.cjs");
  writeFileSync(host, STAND_IN);
  chmodSync(host, 0o755);
  withVariable(t, "QUARTERDECK", host);
  t.after(() => rmSync(folder, { recursive: true }));
}

test("a host that is not there is named with what to do", (t) => {
  withVariable(t, "QUARTERDECK", "/nowhere/quarterdeck");
  assert.throws(() => Component.open("a.wasm").check(), (error) => {
    assert.ok(error instanceof ComponentError);
    assert.match(error.message, /`\/nowhere\/quarterdeck`.*hint: put it on the path, or name it in QUARTERDECK/);
    return true;
  });
});

test("a call hands over what it was given, and only that", (t) => {
  withHost(t);
  const component = Component.build(new URL("file:///folder/"));
  assert.equal(component.file, "a.wasm");
  const plain = ["plugin", "run", "a.wasm", "collect", "--input", '{"now":1}'];
  assert.deepEqual(component.call("collect", { now: 1 }).asked, plain);
  const given = component.withConfig({ a: 2 }).withGrants({ http: ["http://a"] });
  const { asked } = given.call("collect");
  assert.deepEqual(asked.slice(3), ["--config", '{"a":2}', "--grants", '{"http":["http://a"]}', "collect", "--input", "null"]);
  assert.deepEqual(component.call("collect", { now: 1 }).asked, plain, "the first one is as it was");
  given.check();
});

test("what was compiled is kept from one call to the next", (t) => {
  withHost(t);
  withVariable(t, "QUARTERDECK_CACHE_DIR", undefined);
  const component = Component.open("a.wasm");
  const folders = new Set([1, 2].map(() => component.call("collect", {}).cache));
  assert.deepEqual([...folders].map((folder) => statSync(folder).mode & 0o777), [0o700]);
  process.env.QUARTERDECK_CACHE_DIR = "/own";
  assert.equal(component.call("collect", {}).cache, "/own");
});

test("what the host says against it is the error", (t) => {
  withHost(t);
  for (const [act, expected] of [
    [() => Component.build("broken"), "error: it does not build"],
    [() => Component.build("odd"), "the host did not answer in JSON: "],
    [() => Component.open("a.wasm").check(), "size: too large\nschema: odd"],
    [() => Component.open("a.wasm").withGrants({}).check(), "error: no such file"],
  ]) {
    assert.throws(act, (error) => error instanceof ComponentError && error.message.startsWith(expected));
  }
});
