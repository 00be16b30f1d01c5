// The built component in the real runtime. `quarterdeck plugin test` says which host that is; for plain `npm test`, have `quarterdeck` on
// the path, or its path in the variable `QUARTERDECK`.

import test from "node:test";

import { Component } from "quarterdeck-sdk/testing";

test("the host has nothing against the component", () => {
  const component = Component.build(new URL("..", import.meta.url)).withConfig({{config}});
  component.check();
});
