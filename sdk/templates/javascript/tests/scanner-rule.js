import assert from "node:assert/strict";
import test from "node:test";

import plugin from "../src/plugin.js";

test("a line with the word is found", async () => {
  const content = new TextEncoder().encode("fine\nFIXME later\n");
  const findings = await plugin.scannerRule.scan({ word: "FIXME" }, [{ kind: "file", path: "a.txt", content }]);
  assert.deepEqual(findings.map((finding) => finding.line), [2]);
});
