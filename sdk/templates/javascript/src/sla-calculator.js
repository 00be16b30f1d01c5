// What was attained?

import { Rejected, definePlugin, number, object, samples } from "quarterdeck-sdk";

// Good and total, of all samples and of those outside of exclusions: what parts of a period are put together from.
const COUNTS = 4;

function read(partial) {
  if (partial.length !== COUNTS * 8) throw new Rejected(`a partial result has ${COUNTS * 8} bytes`);
  const view = new DataView(partial.buffer, partial.byteOffset, partial.byteLength);
  return Array.from({ length: COUNTS }, (_, index) => view.getFloat64(index * 8));
}

function write(counts) {
  const view = new DataView(new ArrayBuffer(COUNTS * 8));
  counts.forEach((count, index) => view.setFloat64(index * 8, count));
  return new Uint8Array(view.buffer);
}

function figure(good, total) {
  return { good, total, attained: total > 0 ? good / total : undefined };
}

export default definePlugin({
  name: "{{name}}",
  version: "0.1.0",
  summary: "The share of samples above zero",
  // What an objective is configured with, laid over what its instance has.
  config: object({
    target: number("The share of samples that has to be above zero.").default(0.99),
  }),

  slaCalculator: {
    fold(_config, window, partial) {
      const counts = partial ? read(partial) : [0, 0, 0, 0];
      for (const { value, isExcluded } of samples(window)) {
        const good = Number(value > 0);
        const outside = Number(!isExcluded);
        [good, 1, good * outside, outside].forEach((more, index) => (counts[index] += more));
      }
      return write(counts);
    },

    merge(_config, a, b) {
      const others = read(b);
      return write(read(a).map((count, index) => count + others[index]));
    },

    finish(config, partial) {
      const [good, total, adjustedGood, adjustedTotal] = read(partial);
      const adjusted = figure(adjustedGood, adjustedTotal);
      const raw = figure(good, total);
      if (adjusted.attained === undefined) return { adjusted, raw };
      const allowed = 1 - config.target;
      const budgetLeft = allowed > 0 ? 1 - (1 - adjusted.attained) / allowed : undefined;
      return { adjusted, raw, met: adjusted.attained >= config.target, budgetLeft };
    },
  },
});
