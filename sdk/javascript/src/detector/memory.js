// What a detector remembers of each series, in the 64 KiB that the host keeps for a rule. The bytes are those of every SDK: a detector that is
// written anew in another language goes on with what it learned.

/** What the host keeps for a rule at most, in bytes. */
export const STATE_BYTES = 64 * 1024;
/** Not seen for so long, a series makes room for another one. */
const LATELY_SECONDS = 3_600;
/** Of one series: key, seconds since 1970, and how many bytes follow. */
const HEADER_BYTES = 14;

const encoder = new TextEncoder();

export class Memory {
  #version;
  #entries = new Map();

  constructor(version) {
    if (!Number.isInteger(version) || version < 0 || version > 0xff) {
      throw new RangeError(`the version ${version} is not one of 0 to 255`);
    }
    this.#version = version;
  }

  static read(state, version, nowMs, keepMs) {
    const memory = new Memory(version);
    const reader = new Reader(state ?? new Uint8Array());
    if (reader.u8() !== version) return memory;
    for (;;) {
      const [key, seen, length] = [reader.u64(), reader.u32(), reader.u16()];
      const bytes = length === undefined ? undefined : reader.bytes(length);
      if (bytes === undefined) return memory;
      if (nowMs - seen * 1000 <= keepMs) memory.#entries.set(key, { seen, isNew: false, bytes: bytes.slice() });
    }
  }

  get(key) {
    return this.#entries.get(key)?.bytes;
  }

  set(key, nowMs, bytes) {
    const seen = Math.min(Math.max(Math.floor(nowMs / 1000), 0), 0xffff_ffff);
    this.#entries.set(key, { seen, isNew: this.#entries.get(key)?.isNew ?? true, bytes: Uint8Array.from(bytes) });
  }

  remove(key) {
    this.#entries.delete(key);
  }

  get size() {
    return this.#entries.size;
  }

  write() {
    const entries = [...this.#entries];
    const newest = entries.reduce((most, [, { seen }]) => Math.max(most, seen), 0);
    const lately = ({ seen }) => (newest - seen < LATELY_SECONDS ? newest : seen);
    entries.sort(([a, one], [b, other]) =>
      lately(other) - lately(one) || Number(one.isNew) - Number(other.isNew) || other.seen - one.seen || (a < b ? -1 : 1));
    const out = new Uint8Array(STATE_BYTES);
    const view = new DataView(out.buffer);
    out[0] = this.#version;
    let at = 1;
    const leftOut = [];
    for (const [key, { seen, bytes }] of entries) {
      if (bytes.length > 0xffff || at + HEADER_BYTES + bytes.length > STATE_BYTES) {
        leftOut.push(key);
        continue;
      }
      view.setBigUint64(at, key, true);
      view.setUint32(at + 8, seen, true);
      view.setUint16(at + 12, bytes.length, true);
      out.set(bytes, at + HEADER_BYTES);
      at += HEADER_BYTES + bytes.length;
    }
    return { state: at > 1 ? out.slice(0, at) : undefined, leftOut };
  }
}

/** FNV-1a in two halves: an engine without a compiler takes long over large whole numbers. */
export function key(labels) {
  let [high, low] = [0xcbf2_9ce4, 0x8422_2325];
  const add = (byte) => {
    low = (low ^ byte) >>> 0;
    // Times 2^40 + 0x1b3.
    const product = low * 0x1b3;
    high = (Math.imul(high, 0x1b3) + Math.floor(product / 2 ** 32) + (low << 8)) >>> 0;
    low = product >>> 0;
  };
  const pairs = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const text of pairs.flat()) {
    encoder.encode(text).forEach(add);
    add(0xff);
  }
  return (BigInt(high) << 32n) | BigInt(low);
}

export class Reader {
  #bytes;
  #view;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  bytes(count) {
    const at = this.#take(count);
    return at === undefined ? undefined : this.#bytes.subarray(at, at + count);
  }

  u8() {
    return this.#figure(1, "getUint8");
  }

  u16() {
    return this.#figure(2, "getUint16");
  }

  i16() {
    return this.#figure(2, "getInt16");
  }

  u32() {
    return this.#figure(4, "getUint32");
  }

  u64() {
    return this.#figure(8, "getBigUint64");
  }

  i64() {
    return this.#figure(8, "getBigInt64");
  }

  f32() {
    return finite(this.#figure(4, "getFloat32"));
  }

  f64() {
    return finite(this.#figure(8, "getFloat64"));
  }

  isAtEnd() {
    return this.#at === this.#bytes.length;
  }

  #figure(count, get) {
    const at = this.#take(count);
    return at === undefined ? undefined : this.#view[get](at, true);
  }

  /** Where the next so many bytes begin, and goes on behind them; nothing where there are fewer. */
  #take(count) {
    if (count < 0 || this.#at + count > this.#bytes.length) return undefined;
    const at = this.#at;
    this.#at += count;
    return at;
  }
}

function finite(value) {
  return Number.isFinite(value) ? value : undefined;
}
