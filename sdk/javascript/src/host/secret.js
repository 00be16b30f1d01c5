// Secrets that the host uses for the plugin, without handing them over.

import { call } from "../host.js";

export function hmacSha256(name, message) {
  return call("secret", (wit) => wit.hmacSha256(name, message), (host) => host.answer("hmac", name, message));
}

export function headerValue(name) {
  return call("secret", (wit) => wit.headerValue(name), () => `secret:${name}`);
}
