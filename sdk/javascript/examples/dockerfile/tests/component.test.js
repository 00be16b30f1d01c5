// The built component in the real runtime. `quarterdeck plugin test` says which host that is; for plain `npm test`, have `quarterdeck` on the path,
// or its path in the variable `QUARTERDECK`.

import assert from "node:assert/strict";
import test from "node:test";

import { Component, ComponentError } from "quarterdeck-sdk/testing";

test("the component finds what stands in a file, in the host", () => {
  const component = Component.build(new URL("..", import.meta.url)).withConfig({ registries: ["mine.example"] });
  component.check();
  assert.deepEqual(component.call("interests", {}).output.kinds, ["file"]);
  const subjects = [{ path: "Dockerfile", content: "FROM debian:13\nUSER app\n" }];
  const found = component.call("scan", { subjects }).output;
  assert.deepEqual(found.map(({ rule, line }) => [rule, line]), [["dockerfile/foreign-registry", 1]]);
  assert.throws(() => component.withConfig({ registry: "mine.example" }).call("interests", {}), ComponentError);
});
