// Windows as odd as a detector may ever be handed.

import { AssertionError } from "node:assert";
import { isDeepStrictEqual } from "node:util";

import { STATE_BYTES } from "../detector.js";

const WINDOWS = 300;
const SERIES = 4;
const LENGTH_MS = 2 * 3_600_000;
/** Derived samples of a series that the host takes. */
const DERIVED = 8;
/** As a plugin is handed the first and the last of 64 bits. */
const ENDS_MS = [-(2 ** 63), 2 ** 63];
const SMALLEST = 2 ** -1022;

export async function bearsOddWindows(plugin, config) {
  const read = plugin.config.read(JSON.parse(config));
  let state;
  let number = 0;
  for (const window of oddWindows()) {
    if (number % 50 === 20) state = undefined;
    if (number % 50 === 40) state = Uint8Array.from({ length: 256 }, (_, index) => index);
    const { signals = [], derived = [], ...rest } = await twice(plugin, read, window, state, number);
    const count = window.series.length;
    const isThere = ({ series }) => Number.isInteger(series) && series >= 0 && series < count;
    const wrong = (what) => holds(false, `window ${number}: ${JSON.stringify(what, plainly)}`);
    for (const signal of signals) {
      if (!isThere(signal) || ![signal.value, signal.expected ?? 0].every(Number.isFinite)) wrong(signal);
    }
    for (const each of derived) {
      if (!isThere(each) || !Number.isFinite(each.value)) wrong(each);
    }
    holds(derived.length <= DERIVED * count, `window ${number}: too many derived samples`);
    state = rest.state;
    holds(state === undefined || state.length <= STATE_BYTES, `window ${number}: too large a state`);
    number += 1;
  }
}

async function twice(plugin, config, window, state, number) {
  let verdicts;
  try {
    verdicts = [await plugin.detector.evaluate(config, window, state), await plugin.detector.evaluate(config, window, state)];
  } catch (error) {
    throw new AssertionError({ message: `window ${number} is refused: ${error}` });
  }
  holds(isDeepStrictEqual(...verdicts), `window ${number} is answered differently the second time`);
  return verdicts[0];
}

export function* oddWindows() {
  const chance = new Chance(42n);
  for (let number = 0; number < WINDOWS; number += 1) {
    const nowMs = 1_700_000_000_000 + number * 1_200_000;
    const fromMs = nowMs - LENGTH_MS;
    const present = Array.from({ length: SERIES }, (_, name) => name).filter(() => chance.below(5) > 0);
    yield { nowMs, fromMs, series: present.map((name) => series(name, fromMs, nowMs, chance)) };
  }
}

function series(name, fromMs, nowMs, chance) {
  const count = chance.oneOf([0, 1, 2, 10, 60, 120]);
  const oddity = chance.below(4);
  const samples = Array.from({ length: count }, (_, step) => {
    const usual = fromMs + Math.floor(((nowMs - fromMs) * (step + 1)) / count);
    const which = chance.below(12);
    if (oddity === 1 || oddity === 3) {
      if (which === 0) return [usual, chance.oneOf([NaN, Infinity, -Infinity])];
      if (which === 1) return [usual, chance.oneOf([Number.MAX_VALUE, -Number.MAX_VALUE, SMALLEST, -0])];
    }
    if (oddity === 2 || oddity === 3) {
      if (which === 2) return [fromMs, 1];
      if (which === 3) return [nowMs + 60_000, 2];
      if (which === 4) return [chance.oneOf(ENDS_MS), 3];
    }
    return [usual, which + (name % 2 === 0 ? step : 0)];
  });
  return {
    labels: { series: String(name) },
    atMs: samples.map(([atMs]) => atMs),
    value: Float64Array.from(samples, ([, value]) => value),
  };
}

/** The same on every machine (a linear congruence). */
class Chance {
  #state;

  constructor(seed) {
    this.#state = seed;
  }

  below(end) {
    this.#state = BigInt.asUintN(64, this.#state * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n);
    return Number(this.#state >> 33n) % end;
  }

  oneOf(choices) {
    return choices[this.below(choices.length)];
  }
}

/** JSON has no word for what is no finite number. */
function plainly(_, value) {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

function holds(isTrue, message) {
  if (!isTrue) throw new AssertionError({ message });
}
