// A host for native tests of a plugin's logic. A module of its own: what starts programs for tests (`testing.js`) needs Node.js.

import { Failed, enter, leave } from "./host.js";

export class FakeHost {
  constructor(scripted = {}) {
    Object.assign(this, {
      log: [],
      kv: new Map(),
      metrics: [],
      events: [],
      tls: [],
      certificates: new Map(),
      processes: new Map(),
      secrets: new Map(),
      files: new Map(),
      lines: [],
      ...scripted,
    });
  }

  /** Runs `body` inside this host, to its end where it is asynchronous, and gives what it gives. */
  run(body) {
    enter(this);
    let result;
    try {
      result = body();
    } catch (error) {
      leave(this);
      throw error;
    }
    if (typeof result?.then === "function") return result.finally(() => leave(this));
    leave(this);
    return result;
  }

  /** Sets the clock that much on, or back where that is negative; from the machine's time where none was set. */
  advance(byMs) {
    this.nowMs = (this.nowMs ?? Date.now()) + byMs;
  }

  /** What a scripted function says; what is not scripted fails. */
  answer(name, ...given) {
    const act = this[name];
    if (act === undefined) throw new Failed("not running in a host");
    return typeof act === "function" ? act(...given) : act;
  }
}
