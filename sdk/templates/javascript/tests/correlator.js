import assert from "node:assert/strict";
import test from "node:test";

import plugin from "../src/plugin.js";

test("the first alert opens an incident and the next one joins it", async () => {
  const labels = { instance: "web-1" };
  const alert = { fingerprint: "f1", name: "down", severity: "high", labels, summary: "web-1 is down", activeAtMs: 0 };
  const first = await plugin.correlator.correlate({ label: "instance" }, alert, [], 0);
  assert.deepEqual(first, { kind: "open", key: "web-1", title: "web-1 is down", severity: "high" });
  const incident = { id: "inc_1", key: "web-1", severity: "high", openedAtMs: 0, alerts: [alert] };
  const second = await plugin.correlator.correlate({ label: "instance" }, alert, [incident], 0);
  assert.deepEqual(second, { kind: "join", incident: "inc_1", severity: "high" });
});
