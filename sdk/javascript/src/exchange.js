// An HTTP exchange, as calls of `wasi:http`. A component that asks for `http` brings it along.

import { HttpError, splitUrl } from "./http.js";

const METHODS = ["get", "head", "post", "put", "delete", "connect", "options", "trace", "patch"];
const CHUNK_BYTES = 64 * 1024;
const DISPOSE = Symbol.dispose ?? Symbol.for("dispose");

/** What is said for each code; the code of `HttpError`, and the words. */
const WORDS = {
  "HTTP-request-denied": ["denied", "the request is not granted"],
  "destination-IP-prohibited": ["denied", "the address is not granted"],
  "HTTP-request-URI-invalid": ["invalid", "the request can't be made: its URL is malformed"],
  "DNS-timeout": ["timeout", "the name was not found in time"],
  "DNS-error": ["connect", "the name was not found"],
  "destination-not-found": ["connect", "the name was not found"],
  "destination-unavailable": ["connect", "the host is unreachable"],
  "destination-IP-unroutable": ["connect", "the host is unreachable"],
  "connection-refused": ["connect", "connection refused"],
  "connection-terminated": ["failed", "the connection was closed"],
  "connection-timeout": ["timeout", "no connection in time"],
  "connection-read-timeout": ["timeout", "no answer in time"],
  "HTTP-response-timeout": ["timeout", "no answer in time"],
  "connection-write-timeout": ["timeout", "the request was not taken in time"],
  "connection-limit-reached": ["connect", "too many connections"],
  "TLS-protocol-error": ["tls", "the TLS handshake failed"],
  "TLS-certificate-error": ["tls", "the certificate is not trusted"],
  "TLS-alert-received": ["tls", "the peer refused the TLS handshake"],
  "HTTP-response-incomplete": ["failed", "the answer broke off"],
  "HTTP-protocol-error": ["failed", "the answer is not HTTP"],
};

/** `wit`: types, handler, clock and poll as the bindings have them. */
export function exchange(wit) {
  return { send: (request) => send(wit, request) };
}

function send(wit, request) {
  const timer = wit.clock.subscribeDuration(BigInt(request.timeoutMs) * 1_000_000n);
  const wait = (ready) => {
    const first = Array.from(wit.poll([ready, timer]));
    drop(ready);
    // The first of the two may be ready beside the timer: an answer that is there counts.
    if (!first.includes(0)) {
      throw new HttpError("timeout", `no answer within ${request.timeoutMs} ms`);
    }
  };
  const outgoing = prepare(wit, request);
  const options = new wit.types.RequestOptions();
  const nanoseconds = BigInt(request.timeoutMs) * 1_000_000n;
  // Not every host supports every one of them; the deadline holds in any case.
  tried(() => options.setConnectTimeout(nanoseconds));
  tried(() => options.setFirstByteTimeout(nanoseconds));
  tried(() => options.setBetweenBytesTimeout(nanoseconds));
  const body = outgoing.body();
  const future = said(() => wit.handle(outgoing, options));
  write(wit, body, request.body, wait);
  let answer;
  while ((answer = future.get()) === undefined) wait(future.subscribe());
  const response = read(wit, taken(taken(answer)), request.maxBodyBytes, wait);
  drop(future);
  drop(timer);
  return response;
}

function prepare(wit, { method, url, headers, body }) {
  const { scheme, authority, path } = splitUrl(url);
  const encoder = new TextEncoder();
  const entries = headers.map(([name, value]) => [name, encoder.encode(value)]);
  if (body.length > 0 && !headers.some(([name]) => name.toLowerCase() === "content-length")) {
    entries.push(["content-length", encoder.encode(String(body.length))]);
  }
  const invalid = (what, make) => {
    try {
      return make();
    } catch {
      throw new HttpError("invalid", `the request can't be made: ${what}`);
    }
  };
  const fields = invalid("a header can't be sent", () => wit.types.Fields.fromList(entries));
  const outgoing = new wit.types.OutgoingRequest(fields);
  const tag = method.toLowerCase();
  const known = METHODS.includes(tag) ? { tag } : { tag: "other", val: method };
  invalid("its method can't be sent", () => outgoing.setMethod(known));
  invalid("its scheme can't be used", () => outgoing.setScheme({ tag: scheme.toUpperCase() }));
  invalid("the URL's host is malformed", () => outgoing.setAuthority(authority));
  invalid("the URL's path is malformed", () => outgoing.setPathWithQuery(path));
  return outgoing;
}

function write(wit, body, bytes, wait) {
  let rest = bytes;
  if (rest.length > 0) {
    const stream = body.write();
    while (rest.length > 0) {
      wait(stream.subscribe());
      // A peer that does not want the rest closes; what it answers is read all the same.
      const wrote = tried(() => {
        const room = Math.min(Number(stream.checkWrite()), rest.length);
        stream.write(rest.subarray(0, room));
        rest = rest.subarray(room);
      });
      if (!wrote) break;
    }
    tried(() => stream.flush());
    drop(stream);
  }
  // Fails when the peer closed early, which its answer explains better.
  tried(() => wit.types.OutgoingBody.finish(body, undefined));
}

function read(wit, response, limit, wait) {
  const decoder = new TextDecoder();
  const fields = response.headers();
  const headers = fields.entries().map(([name, value]) => [name, decoder.decode(value)]);
  drop(fields);
  const status = response.status();
  const incoming = response.consume();
  const stream = incoming.stream();
  const parts = [];
  let length = 0;
  while (length <= limit) {
    // One byte more than is kept tells whether there was more.
    let some;
    try {
      some = stream.read(BigInt(Math.min(limit - length + 1, CHUNK_BYTES)));
    } catch (error) {
      if (error?.payload?.tag === "closed") break;
      throw broken(wit, error);
    }
    if (some.length === 0) wait(stream.subscribe());
    parts.push(some);
    length += some.length;
  }
  drop(stream);
  drop(incoming);
  drop(response);
  const body = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return { status, headers, body: body.subarray(0, limit), truncated: length > limit };
}

/** Takes a result apart. */
function taken(result) {
  if (result?.tag === "err") throw words(result.val);
  return result?.tag === "ok" ? result.val : result;
}

function said(ask) {
  try {
    return ask();
  } catch (error) {
    throw error?.payload ? words(error.payload) : error;
  }
}

function broken(wit, error) {
  if (error?.payload?.tag !== "last-operation-failed") return error;
  const code = wit.types.httpErrorCode(error.payload.val);
  return code ? words(code) : new HttpError("failed", "the answer broke off");
}

function words(code) {
  if (code?.tag === "internal-error" && code.val) return new HttpError("failed", code.val);
  const [kind, message] = WORDS[code?.tag] ?? ["failed", "the exchange failed"];
  return new HttpError(kind, message);
}

function tried(act) {
  try {
    act();
    return true;
  } catch {
    return false;
  }
}

/** Ends a resource now, what came out of another before that one: whenever the engine clears up, the order is any. */
function drop(resource) {
  resource[DISPOSE]?.();
}
