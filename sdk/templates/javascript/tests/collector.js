import assert from "node:assert/strict";
import test from "node:test";

import { valueOf } from "quarterdeck-sdk";

import plugin from "../src/plugin.js";

test("without an amplitude it stands still", async () => {
  const collection = await plugin.collector.collect({ amplitude: 0 }, 1_000);
  assert.equal(valueOf(collection, "{{snake}}_height"), 0);
});
