// Series that rise, and how often each was seen.

import { Condition, definePlugin, detector, object, statistics, string } from "quarterdeck-sdk";

const { Memory, Reader, key, words } = detector;
const { runs, thinned, trend } = statistics.trend;

export default definePlugin({
  name: "learns",
  version: "0.1.0",
  summary: "Series that rise",
  config: object({ rises: string("By how much a second.").default("> 0") }),

  detector: {
    evaluate(config, window, state) {
      const memory = Memory.read(state, 1, window.nowMs, 3_600_000);
      const signals = [];
      for (const [index, series] of window.series.entries()) {
        const own = key(series.labels);
        const seen = new Reader(memory.get(own) ?? new Uint8Array()).u32() ?? 0;
        memory.set(own, window.nowMs, new Uint8Array(Uint32Array.of(seen + 1).buffer));
        const points = thinned(series.atMs, series.value, window.fromMs, window.nowMs, 20);
        const found = trend(runs(points, 8), 0.95);
        const { spread } = statistics.centreAndSpread(series.value) ?? { spread: 0 };
        if (found && Condition.parse(config.rises).holds(found.slope)) {
          const reason = `rises by ${words.figure(found.slope)}, strays by ${words.figure(spread)}, seen ${seen} times`;
          signals.push({ series: index, severity: "low", value: found.slope, expected: found.lower, reason });
        }
      }
      return { signals, state: memory.write().state };
    },
  },
});
