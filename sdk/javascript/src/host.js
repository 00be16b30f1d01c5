// The way to the host: in a component its bindings, which the module that `build.js` writes installs; in a native test a fake one.

import { Rejected, Retry } from "./failure.js";

export class HostError extends Error {
  get name() {
    return this.constructor.name;
  }

  /** What a call fails with where the plugin does not catch it: what is denied stays denied, anything else may work later. */
  asFailure() {
    return new Retry(this.message);
  }
}

export class Denied extends HostError {
  asFailure() {
    return new Rejected(this.message);
  }
}

export class Limited extends HostError {}

export class Failed extends HostError {}

const KINDS = { denied: Denied, limited: Limited, failed: Failed };

let bindings;
const fakes = [];

/** Called once, in a component. */
export function install(installed) {
  bindings = installed;
}

/** Whether this runs in a component (or makes one), not in a native test. */
export function isComponent() {
  return bindings !== undefined;
}

/** A capability's bindings, for what is no plain call. */
export function bindingsOf(name) {
  return bindings?.[name];
}

export function enter(fake) {
  fakes.push(fake);
}

export function leave(fake) {
  fakes.splice(fakes.indexOf(fake), 1);
}

/** The innermost fake host that runs. */
export function fakeHost() {
  if (fakes.length === 0) throw new Failed("not running in a host");
  return fakes[fakes.length - 1];
}

/** The time that the innermost fake host says, if there is one and it says any. */
export function fakeNowMs() {
  return fakes.at(-1)?.nowMs;
}

/** Asks the host, or the fake one of a native test: `ask` is given the bindings, `fake` the fake host. */
export function call(name, ask, fake) {
  if (!isComponent()) return fake(fakeHost());
  const door = bindings[name];
  if (!door) throw new Denied(`the plugin does not ask for \`${name}\`; hint: add it to its \`capabilities\``);
  try {
    return ask(door);
  } catch (error) {
    const Kind = KINDS[error?.payload?.tag];
    throw Kind ? new Kind(error.payload.val) : error;
  }
}
