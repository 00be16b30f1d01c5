// Is this series abnormal?

import { definePlugin, number, object } from "quarterdeck-sdk";

export default definePlugin({
  name: "{{name}}",
  version: "0.1.0",
  summary: "Series that jump",
  // What a rule is configured with, laid over what its instance has.
  config: object({
    factor: number("A sample that is so many times the mean of those before it is abnormal.").default(3),
  }),

  detector: {
    // Pure: everything that counts is handed in, the time too, and the same input gives the same output.
    evaluate(config, window) {
      /** @type {import("quarterdeck-sdk").Signal[]} */
      const signals = [];
      for (const [index, series] of window.series.entries()) {
        const before = Array.from(series.value).slice(0, -1);
        const value = series.value[series.value.length - 1];
        const mean = before.reduce((sum, each) => sum + each, 0) / before.length;
        if (before.length > 0 && value > mean * config.factor) {
          const reason = `is ${value}, the mean before was ${mean}`;
          signals.push({ series: index, severity: "high", value, expected: mean, reason });
        }
      }
      return { signals };
    },
  },
});
