import assert from "node:assert/strict";
import test from "node:test";

import { FakeHost } from "quarterdeck-sdk";

import plugin from "../src/plugin.js";

test("a replica that is started twice is there once and gone when it is stopped", () => {
  const { apply, observe } = plugin.deploymentTarget;
  new FakeHost().run(() => {
    const start = { kind: "start", replica: "web-1", revision: "r1" };
    apply({}, "web", start, "key-1");
    apply({}, "web", start, "key-1");
    assert.deepEqual(observe({}, "web").map((replica) => replica.revision), ["r1"]);
    apply({}, "web", { kind: "stop", replica: "web-1" }, "key-2");
    assert.deepEqual(observe({}, "web"), []);
  });
});
