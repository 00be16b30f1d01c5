// Is this series abnormal?

import { definePlugin, detector, number, object, statistics } from "quarterdeck-sdk";

const { figure } = detector.words;

export default definePlugin({
  name: "{{name}}",
  version: "0.1.0",
  summary: "Series that jump",
  // What a rule is configured with, laid over what its instance has.
  config: object({
    factor: number("A sample that is so many times the median of those before it is abnormal.").default(3),
  }),

  detector: {
    // Pure: everything that counts is handed in, the time too, and the same input gives the same output.
    evaluate(config, window) {
      /** @type {import("quarterdeck-sdk").Signal[]} */
      const signals = [];
      for (const [index, series] of window.series.entries()) {
        const value = series.value[series.value.length - 1];
        // Of the finite samples: none, where there is none yet.
        const usual = statistics.median(Array.from(series.value).slice(0, -1));
        if (usual !== undefined && Number.isFinite(value) && value > usual * config.factor) {
          const reason = `is ${figure(value)}, and was ${figure(usual)} before`;
          signals.push({ series: index, severity: "high", value, expected: usual, reason });
        }
      }
      return { signals };
    },
  },
});
