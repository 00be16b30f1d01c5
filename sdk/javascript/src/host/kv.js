// The instance's own key-value space.

import { call } from "../host.js";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function get(key) {
  return call("kv", (wit) => wit.get(key), (host) => host.kv.get(key));
}

export function set(key, value) {
  const bytes = typeof value === "string" ? encoder.encode(value) : value;
  call("kv", (wit) => wit.set(key, bytes), (host) => host.kv.set(key, bytes));
}

export function remove(key) {
  call("kv", (wit) => wit.delete(key), (host) => host.kv.delete(key));
}

export function getText(key) {
  const bytes = get(key);
  return bytes === undefined ? undefined : decoder.decode(bytes);
}
