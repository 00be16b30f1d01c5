import assert from "node:assert/strict";
import test from "node:test";

import * as sdk from "../src/index.js";

const { FakeHost, events, exec, http, kv, log, metrics, process, secret, system, tcp } = sdk;

test("keys, lines and events are kept", () => {
  const host = new FakeHost();
  host.run(() => {
    kv.set("text", "a");
    kv.set("bytes", new Uint8Array([1]));
    kv.remove("bytes");
    kv.remove("never");
    log.info("done");
    events.publish("a.b", "subject", { x: 1 });
    assert.equal(kv.getText("text"), "a");
    assert.equal(kv.get("bytes"), undefined);
  });
  assert.deepEqual([...host.kv.keys()], ["text"]);
  assert.deepEqual(host.log, [["info", "done"]]);
  assert.deepEqual(host.events, [["a.b", "subject", { x: 1 }]]);
});

test("what is not scripted fails, and so does everything outside of a host", () => {
  assert.throws(() => kv.get("a"), sdk.Failed);
  log.info("nobody reads it");
  new FakeHost().run(() => {
    assert.throws(() => exec.run({ program: "/bin/true" }), sdk.Failed);
    assert.throws(() => http.get("http://a"), sdk.Failed);
    assert.throws(() => tcp.connect({ kind: "unix", path: "/a" }), sdk.Failed);
    assert.throws(() => tcp.peerCertificate("a", 1), sdk.Failed);
    assert.throws(() => system.take(1), sdk.Failed);
  });
});

test("a host stays until what runs inside it has ended, also when that fails", async () => {
  const host = new FakeHost({ kv: new Map([["a", new Uint8Array([1])]]) });
  const later = host.run(async () => {
    await null;
    return kv.get("a").length;
  });
  assert.equal(await later, 1);
  assert.throws(() => kv.get("a"), sdk.Failed);
  assert.throws(() => host.run(() => JSON.parse("{")));
  assert.throws(() => kv.get("a"), sdk.Failed);
});

test("programs, series, secrets, streams and machines are scripted", () => {
  const point = (labels, value) => ["up", { labels, atMs: 0, value }];
  const host = new FakeHost({
    exec: (command) => ({ stdout: command.arguments.join(" ") + command.timeoutMs }),
    metrics: [point({ a: "1" }, 1), point({ a: "2" }, 0)],
    hmac: (name) => new TextEncoder().encode(name),
    tcp: (address) => ({ read: () => new TextEncoder().encode(address.host), write() {} }),
    system: { topProcesses: [{ pid: 1 }, { pid: 2 }] },
  });
  host.run(() => {
    assert.equal(exec.run({ program: "/bin/echo", arguments: ["a"] }).stdout, "a10000");
    assert.deepEqual(metrics.latest("up", { a: "2" }).map((each) => each.value), [0]);
    assert.equal(secret.hmacSha256("key", new Uint8Array()).length, 3);
    assert.equal(new TextDecoder().decode(tcp.connect({ kind: "tcp", host: "db", port: 1 }).read(9)), "db");
    assert.equal(system.take(1).topProcesses.length, 1);
  });
});

test("a secret is written to a stream in the place of its name", () => {
  const written = [];
  const stream = { read: () => new Uint8Array(), write: (bytes) => written.push(new TextDecoder().decode(bytes)) };
  new FakeHost({ tcp: () => stream }).run(() => {
    const connection = tcp.connect({ kind: "tcp", host: "a", port: 1 });
    connection.startTls("a");
    connection.writeSecret(new Uint8Array(), "key");
    connection.writeSecret(new TextEncoder().encode("\0user\0"), "mail", true);
  });
  assert.deepEqual(written, ["secret:key", "AHVzZXIAc2VjcmV0Om1haWw="]);
});

test("a process runs once under its name", () => {
  new FakeHost().run(() => {
    const spec = { name: "web", program: "/bin/web" };
    assert.equal(process.start(spec).phase, "starting");
    assert.equal(process.start(spec).pid, 1);
    assert.throws(() => process.start({ ...spec, program: "/bin/other" }), sdk.Failed);
    assert.equal(process.stop("web", 100).phase, "absent");
    assert.equal(process.status("web").phase, "absent");
  });
});

test("what is denied or invalid stays so, and anything else may work later", () => {
  assert.ok(new sdk.Denied("x").asFailure() instanceof sdk.Rejected);
  assert.ok(new sdk.Limited("x").asFailure() instanceof sdk.Retry);
  assert.ok(new http.HttpError("denied", "x").asFailure() instanceof sdk.Rejected);
  assert.ok(new http.HttpError("timeout", "x").asFailure() instanceof sdk.Retry);
});

test("a request reaches the scripted host as bytes", () => {
  const host = new FakeHost({
    http(request) {
      assert.deepEqual([request.method, request.timeoutMs], ["POST", 5]);
      return new http.Response({ status: 201, headers: [["X-Id", "7"]], body: request.body });
    },
  });
  const response = host.run(() => http.postJson("https://a/b", { n: 1 }, { timeoutMs: 5 }));
  assert.deepEqual([response.isSuccess, response.header("x-id"), response.json()], [true, "7", { n: 1 }]);
});

test("addresses and URLs are read as they are written", () => {
  assert.deepEqual(tcp.parse("[::1]:80"), { kind: "tcp", host: "::1", port: 80 });
  assert.deepEqual(tcp.parse("unix:/a"), { kind: "unix", path: "/a" });
  assert.equal(tcp.parse("db:99999"), undefined);
  assert.deepEqual(http.splitUrl("https://a:1?b=c#d"), { scheme: "https", authority: "a:1", path: "/?b=c" });
  assert.throws(() => http.splitUrl("ftp://a"), http.HttpError);
});
