// A host for native tests of a plugin's logic, and the built component in the real one. For tests only: it needs Node.js. `testing.d.ts`
// documents it.

export { FakeHost } from "./fake-host.js";
export { Component, ComponentError } from "./testing/component.js";
export { bearsOddWindows, oddWindows } from "./testing/windows.js";
