import assert from "node:assert/strict";
import test from "node:test";

import { FakeHost, Rejected, Retry, http } from "quarterdeck-sdk";

import plugin from "../src/plugin.js";

const message = {
  eventType: "incident.opened",
  subject: "inc_1",
  title: "It is down",
  body: "",
  severity: "high",
  labels: {},
  atMs: 0,
  url: "",
  data: "{}",
};

function told(status) {
  const host = new FakeHost({
    http(request) {
      assert.ok(request.headers.some(([name, value]) => name === "idempotency-key" && value === "key-1"));
      return new http.Response({ status });
    },
  });
  return host.run(() => plugin.notifier.notify({ url: "https://example.com/hook" }, message, "key-1"));
}

test("what may work later is tried again and what may not is not", () => {
  assert.equal(told(204).kind, "done");
  assert.throws(() => told(503), Retry);
  assert.throws(() => told(404), Rejected);
});
