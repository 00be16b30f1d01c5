// What is the next move?

import { definePlugin, integer, object } from "quarterdeck-sdk";

export default definePlugin({
  name: "{{name}}",
  version: "0.1.0",
  summary: "All replicas at once",
  // What a service is configured with, laid over what its instance has.
  config: object({
    lookAgainMs: integer("How long to wait before looking again, milliseconds.").with({ minimum: 1 }).default(1000),
  }),

  deploymentStrategy: {
    decide(config, { deployment, replicas }) {
      const isNew = (replica) => replica.revision === deployment.candidate;
      const candidates = replicas.filter(isNew);
      const old = replicas.filter((replica) => !isNew(replica));
      const healthy = candidates.filter((replica) => replica.phase === "healthy");
      if (candidates.length < deployment.replicas) {
        return { next: { kind: "start", count: deployment.replicas - candidates.length }, reason: "start them all" };
      }
      if (healthy.length < deployment.replicas) {
        return { next: { kind: "hold", spanMs: config.lookAgainMs }, reason: "not all of them are healthy yet" };
      }
      if (candidates.some((replica) => replica.weight === 0)) {
        return { next: { kind: "weight", percent: 100 }, reason: "all of them are healthy" };
      }
      if (old.length === 0) return { next: { kind: "complete" }, reason: "the old ones are gone" };
      const names = old.map((replica) => replica.name);
      return { next: { kind: "retire", replicas: names }, reason: "nobody asks the old ones any more" };
    },
  },
});
