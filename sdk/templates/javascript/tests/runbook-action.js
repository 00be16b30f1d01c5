import assert from "node:assert/strict";
import test from "node:test";

import { Rejected, done } from "quarterdeck-sdk";

import plugin from "../src/plugin.js";

test("it greets", () => {
  const run = (name) => plugin.runbookAction.run({ greeting: "hello" }, { name }, "key-1");
  assert.deepEqual(run("you"), done({ said: "hello, you" }));
  assert.throws(() => run(""), Rejected);
});
