import assert from "node:assert/strict";
import test from "node:test";

import { detector } from "../src/index.js";

const { Memory, Reader, STATE_BYTES, key, words } = detector;
const HOUR_MS = 3_600_000;
const range = (from, to) => Array.from({ length: to - from }, (_, index) => BigInt(from + index));
const withSeries = (memory, series, nowMs) => {
  for (const each of series) memory.set(each, nowMs, new Uint8Array(1000));
  return memory;
};

test("what was written is read, unless it is of another version or too long ago", () => {
  const series = key({ host: "a" });
  const memory = Memory.read(undefined, 1, 0, HOUR_MS);
  memory.set(series, 0, [7]);
  const { state, leftOut } = memory.write();
  assert.deepEqual([leftOut, memory.size], [[], 1]);
  for (const [version, nowMs, expected] of [[1, 1000, Uint8Array.of(7)], [2, 1000, undefined], [1, HOUR_MS + 1000, undefined]]) {
    assert.deepEqual(Memory.read(state, version, nowMs, HOUR_MS).get(series), expected);
  }
});

test("the state is the same bytes in every language", () => {
  const memory = Memory.read(undefined, 1, 0, HOUR_MS);
  memory.set(key({ host: "a", zone: "b" }), 1_700_000_000_999, [7, 8]);
  memory.set(3n, 1_700_000_060_000, []);
  const expected = "0103000000000000003cf15365000090f2b48dd83c9cab00f1536502000708";
  assert.equal(Buffer.from(memory.write().state).toString("hex"), expected);
});

test("the order of labels does not matter", () => {
  assert.equal(key({ a: "1", b: "2" }), key({ b: "2", a: "1" }));
  assert.notEqual(key({ a: "1", b: "2" }), key({ a: "12", b: "" }));
});

test("what does not fit is what was not seen for longest, and then newcomers", () => {
  let memory = withSeries(new Memory(1), range(100, 164), 0);
  memory.remove(100n);
  memory.remove(100n);
  const first = memory.write();
  assert.deepEqual(first.leftOut, []);
  memory = Memory.read(first.state, 1, HOUR_MS, HOUR_MS);
  assert.equal(memory.size, 63);
  // All but one of the old ones are there still, and three newcomers, whose keys are smaller.
  const { state, leftOut } = withSeries(memory, [...range(102, 164), ...range(0, 3)], HOUR_MS).write();
  assert.deepEqual(leftOut, [2n, 101n], "one newcomer too many, and one that has gone");
  assert.ok(state.length <= STATE_BYTES);
});

test("what was not seen for a moment makes no room for newcomers", () => {
  const { state } = withSeries(new Memory(1), range(100, 164), 0).write();
  const memory = Memory.read(state, 1, HOUR_MS - 1000, HOUR_MS);
  withSeries(memory, [...range(101, 164), ...range(0, 3)], HOUR_MS - 1000);
  assert.deepEqual(memory.write().leftOut, [0n, 1n, 2n], "and 100 stays, though it is not seen now");
});

test("rubbish is nothing, and a truncated state is what is whole of it", () => {
  for (const strange of ["", "\u0002rubbish", "\u0001short"]) {
    assert.equal(Memory.read(new TextEncoder().encode(strange), 1, 0, HOUR_MS).size, 0);
  }
  const memory = new Memory(1);
  memory.set(1n, 0, new Uint8Array(10).fill(5));
  memory.set(2n, 0, new Uint8Array(10).fill(6));
  const cut = Memory.read(memory.write().state.slice(0, -1), 1, 0, HOUR_MS);
  assert.deepEqual([cut.get(1n), cut.get(2n)], [new Uint8Array(10).fill(5), undefined]);
  assert.deepEqual(new Memory(1).write(), { state: undefined, leftOut: [] }, "nothing is remembered");
});

test("what can never fit is left out, and times are bounded", () => {
  const memory = new Memory(1);
  memory.set(1n, -5, new Uint8Array(STATE_BYTES));
  memory.set(2n, 2 ** 62, [97]);
  const { state, leftOut } = memory.write();
  assert.deepEqual(leftOut, [1n]);
  assert.deepEqual(Memory.read(state, 1, 0, HOUR_MS).get(2n), Uint8Array.of(97));
  assert.throws(() => new Memory(256), RangeError);
});

test("figures come back as they were written, and none beyond the end", () => {
  const view = new DataView(new ArrayBuffer(40));
  view.setFloat32(4, 1.5, true);
  view.setFloat64(8, NaN, true);
  view.setInt16(16, -3, true);
  view.setUint32(18, 7, true);
  view.setBigUint64(22, 1n << 63n, true);
  view.setBigInt64(30, -5n, true);
  view.setUint16(38, 258, true);
  // A part of a larger buffer, as bindings hand over.
  const reader = new Reader(new Uint8Array(view.buffer, 4));
  assert.deepEqual([reader.f32(), reader.f64(), reader.i16(), reader.u32()], [1.5, undefined, -3, 7]);
  assert.deepEqual([reader.u64(), reader.i64(), reader.u8()], [1n << 63n, -5n, 2]);
  assert.deepEqual([reader.u16(), reader.bytes(-1), reader.bytes(0), reader.isAtEnd()], [undefined, undefined, new Uint8Array(), false]);
  assert.deepEqual([reader.bytes(1), reader.isAtEnd(), reader.u8(), reader.u64(), reader.f64()], [Uint8Array.of(1), true, undefined, undefined, undefined]);
});

test("figures have four digits and no needless zeros", () => {
  for (const [value, text] of [
    [97.123456, "97.12"],
    [0.0012345, "0.001234"],
    [1_200_000.4, "1200000"],
    [1234.5, "1234"],
    [1235.5, "1236"],
    [-100.25, "-100.2"],
    [-0.5, "-0.5"],
    [0, "0"],
    [10, "10"],
    [1e300, "1e300"],
    [-1.25e-7, "-1.25e-7"],
    [Infinity, "inf"],
    [-Infinity, "-inf"],
    [NaN, "NaN"],
  ]) {
    assert.equal(words.figure(value), text);
  }
});

test("spans are in the unit that says most", () => {
  for (const [seconds, text] of [
    [42, "42 s"],
    [90, "90 s"],
    [720, "12 min"],
    [5 * 3600, "5 h"],
    [302_400, "3.5 days"],
    [-0.25, "-0.3 s"],
    [Infinity, "inf days"],
    [NaN, "NaN s"],
  ]) {
    assert.equal(words.span(seconds), text);
  }
});
