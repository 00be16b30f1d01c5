import assert from "node:assert/strict";
import test from "node:test";

import plugin from "../src/plugin.js";

test("it begins with all replicas of the candidate and gives them the traffic", async () => {
  const deployment = { service: "web", stable: "r1", candidate: "r2", replicas: 1, startedAtMs: 0 };
  const decide = (replicas) =>
    plugin.deploymentStrategy.decide({ lookAgainMs: 1 }, { deployment, replicas, promoted: false, nowMs: 0 });
  assert.deepEqual((await decide([])).next, { kind: "start", count: 1 });
  const replica = { name: "web-1", revision: "r2", phase: "healthy", weight: 0 };
  assert.deepEqual((await decide([replica])).next, { kind: "weight", percent: 100 });
});
