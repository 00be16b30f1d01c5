// What is true of this target now?

import { definePlugin, gauge, health, number, object } from "quarterdeck-sdk";

export default definePlugin({
  name: "{{name}}",
  version: "0.1.0",
  summary: "A figure that swings",
  // What stands here is what an operator reads.
  config: object({
    amplitude: number("How far the figure swings.").default(0),
  }),

  collector: {
    collect(config, nowMs) {
      const height = config.amplitude * Math.sin(nowMs / 60_000);
      return { health: health.ok("it swings"), families: [gauge("{{snake}}_height", "How high it is").value(height)] };
    },
  },
});
