// The instance's log.

import { call, fakeHost, isComponent } from "../host.js";

export function write(level, message) {
  if (!isComponent()) {
    // In a test without a host nobody reads it.
    try {
      fakeHost();
    } catch {
      return;
    }
  }
  call("log", (wit) => wit.write(level, message), (host) => host.log.push([level, message]));
}

export const error = (message) => write("error", message);
export const warn = (message) => write("warn", message);
export const info = (message) => write("info", message);
export const debug = (message) => write("debug", message);
export const trace = (message) => write("trace", message);
