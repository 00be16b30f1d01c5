// A small synchronous HTTP client over `wasi:http`. Redirects are not followed; origins have to be granted (`http`).

import { Rejected, Retry } from "./failure.js";
import { bindingsOf, fakeHost, isComponent } from "./host.js";

/** `code`: invalid, denied, connect, tls, timeout, failed. */
export class HttpError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }

  get name() {
    return "HttpError";
  }

  /** What a call fails with where the plugin does not catch it: what is invalid or denied stays so, anything else may work later. */
  asFailure() {
    return ["invalid", "denied"].includes(this.code) ? new Rejected(this.message) : new Retry(this.message);
  }
}

export class Response {
  constructor({ status = 200, headers = [], body = "", truncated = false } = {}) {
    const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
    Object.assign(this, { status, headers, body: bytes, truncated });
  }

  get isSuccess() {
    return this.status >= 200 && this.status <= 299;
  }

  header(name) {
    return this.headers.find(([own]) => own.toLowerCase() === name.toLowerCase())?.[1];
  }

  text() {
    return new TextDecoder().decode(this.body);
  }

  json() {
    return JSON.parse(this.text());
  }
}

export function send({ method = "GET", url, headers = [], body = "", timeoutMs = 10_000, maxBodyBytes = 1 << 20 }) {
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const request = { method, url, headers, body: bytes, timeoutMs, maxBodyBytes };
  if (!isComponent()) return fakeHost().answer("http", request);
  const exchange = bindingsOf("http");
  if (!exchange) throw new HttpError("denied", "the plugin does not ask for `http`; hint: add it to its `capabilities`");
  return new Response(exchange.send(request));
}

export function get(url, more = {}) {
  return send({ ...more, method: "GET", url });
}

export function post(url, body, more = {}) {
  return send({ ...more, method: "POST", url, body });
}

export function postJson(url, value, more = {}) {
  const headers = [["content-type", "application/json"], ...(more.headers ?? [])];
  return post(url, JSON.stringify(value), { ...more, headers });
}

/** Scheme, authority and the rest of a URL. */
export function splitUrl(url) {
  const [, scheme, authority, path = ""] = /^(https?):\/\/([^/?#\s]+)([^#]*)/.exec(url) ?? [];
  if (!scheme) throw new HttpError("invalid", `\`${url}\` is not an http or https URL`);
  return { scheme, authority, path: path.startsWith("/") ? path : `/${path}` };
}

/** Host and port of a URL, without user information; the port is the scheme's unless given. */
export function hostAndPort(url) {
  const { scheme, authority } = splitUrl(url);
  const [whole, inBrackets, plain, given] = /^(?:\[(.*)\]|([^:]*))(?::([0-9]{1,5}))?$/.exec(authority.replace(/^.*@/, "")) ?? [];
  const port = Number(given ?? (scheme === "https" ? 443 : 80));
  if (whole === undefined || port > 65_535) {
    throw new HttpError("invalid", `\`${url}\` has no port from 0 to 65535 where one should be`);
  }
  return { host: inBrackets ?? plain, port };
}
