// Carry out this move; what do you see?

import { capability, definePlugin, done, kv, object } from "quarterdeck-sdk";

/** Revision and weight of each replica. */
function known(service) {
  return JSON.parse(kv.getText(`replicas/${service}`) ?? "{}");
}

export default definePlugin({
  name: "{{name}}",
  version: "0.1.0",
  summary: "Replicas that are only remembered",
  capabilities: [capability.required("kv", "remembers the replicas")],
  config: object({}),

  deploymentTarget: {
    observe(_config, service) {
      const replicas = Object.entries(known(service));
      return replicas.map(([name, { revision, weight }]) => ({ name, revision, phase: "healthy", weight }));
    },

    // Every step may come twice: what is so already is done.
    apply(_config, service, step) {
      const replicas = known(service);
      const is = Object.hasOwn(replicas, step.replica);
      if (step.kind === "start" && !is) replicas[step.replica] = { revision: step.revision, weight: 0 };
      if (step.kind === "weight" && is) replicas[step.replica].weight = step.weight;
      if (step.kind === "stop") delete replicas[step.replica];
      kv.set(`replicas/${service}`, JSON.stringify(replicas));
      return done();
    },
  },
});
