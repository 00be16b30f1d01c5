import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { install } from "../src/host.js";
import { CAPABILITIES } from "../src/plugin.js";
import * as sdk from "../src/index.js";

const { FakeHost, append, clock, events, exec, files, http, kv, log, metrics, process, reveal, secret, system, tcp } = sdk;

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

test("a test sets the time and lets it go on", async () => {
  const host = new FakeHost({ nowMs: 1_000 });
  host.run(() => {
    assert.equal(clock.nowMs(), 1_000);
    assert.equal(clock.nowMs(), 1_000, "it stands still");
    host.advance(60_000);
    assert.equal(clock.nowMs(), 61_000);
    host.advance(-61_001);
    assert.equal(clock.nowMs(), -1, "clocks are set back, too");
  });
  await host.run(async () => {
    await null;
    assert.equal(clock.nowMs(), -1);
  });
  // Without a time it is that of the machine.
  const other = new FakeHost();
  const before = clock.nowMs();
  assert.ok(before > 1_600_000_000_000);
  assert.ok(other.run(() => clock.nowMs()) >= before);
  other.advance(3_600_000);
  assert.ok(other.run(() => clock.nowMs()) >= before + 3_600_000);
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
    assert.equal(metrics.latest("up", { b: "" }).length, 2);
    assert.equal(secret.hmacSha256("key", new Uint8Array()).length, 3);
    assert.equal(new TextDecoder().decode(tcp.connect({ kind: "tcp", host: "db", port: 1 }).read(9)), "db");
    assert.equal(system.take(1).topProcesses.length, 1);
  });
});

test("a secret is written to a stream in the place of its name", () => {
  const written = [];
  const stream = { read: () => new Uint8Array(), write: (bytes) => written.push(new TextDecoder().decode(bytes)) };
  const host = new FakeHost({ tcp: () => stream });
  host.run(() => {
    const connection = tcp.connect({ kind: "tcp", host: "a", port: 1 });
    connection.startTls("a");
    connection.writeSecret(new Uint8Array(), "key");
    connection.writeSecret(new TextEncoder().encode("\0user\0"), "mail", true);
  });
  assert.deepEqual(written, ["secret:key", "AHVzZXIAc2VjcmV0Om1haWw="]);
  assert.deepEqual(host.tls, ["a"]);
});

test("files are read in parts, and one that is not there is not", () => {
  const log = new TextEncoder().encode("one\ntwo\n");
  const large = new Uint8Array(files.READ_BYTES + 1);
  new FakeHost({ files: new Map([["/log", [7n, log]], ["/large", [8n, large]]]) }).run(() => {
    const part = files.read("/log", 4, 3);
    assert.deepEqual(part, { bytes: new TextEncoder().encode("two"), sizeBytes: 8, identity: 7n });
    assert.equal(files.read("/log", 99, 3).bytes.length, 0);
    assert.equal(files.read("/large", 0, 1 << 30).bytes.length, files.READ_BYTES);
    assert.equal(files.read("/other", 0, 3), undefined);
  });
  assert.throws(() => files.read("/log", 0, 1), sdk.Failed);
});

test("lines are appended, and what is none is refused", () => {
  const host = new FakeHost();
  const text = (words) => new TextEncoder().encode(words);
  host.run(() => {
    append.line("/log", text("one"));
    assert.throws(() => append.line("/log", text("one\ntwo")), sdk.Failed);
    assert.throws(() => append.line("/log", new Uint8Array(append.LINE_BYTES + 1)), sdk.Failed);
  });
  assert.deepEqual(host.lines, [["/log", text("one")]]);
});

test("file systems are those that are scripted", () => {
  const mounted = [{ device: "/dev/a", mount: "/", filesystem: "ext4", readOnly: false }];
  assert.deepEqual(new FakeHost({ fileSystems: mounted }).run(() => system.fileSystems()), mounted);
  assert.throws(() => new FakeHost().run(() => system.fileSystems()), sdk.Failed);
});

test("a secret is revealed where that is scripted, and denied where it is not", () => {
  new FakeHost({ secrets: new Map([["db", new TextEncoder().encode("hunter2")]]) }).run(() => {
    assert.equal(new TextDecoder().decode(reveal.secret("db")), "hunter2");
    assert.throws(() => reveal.secret("other"), sdk.Denied);
    assert.equal(secret.headerValue("db"), "secret:db");
  });
});

test("a component asks its bindings, and what was not imported is denied with what to do", () => {
  const asked = [];
  const part = { bytes: new Uint8Array([1]), sizeBytes: 9n, identity: 2n ** 63n + 1n };
  const bound = {
    read: (...given) => {
      asked.push(given);
      return given[0] === "/log" ? part : undefined;
    },
  };
  install({ files: bound });
  try {
    assert.deepEqual(files.read("/log", 4, 3), { ...part, sizeBytes: 9 });
    assert.equal(files.read("/gone", 0, 3), undefined);
    assert.deepEqual(asked, [["/log", 4n, 3], ["/gone", 0n, 3]]);
    assert.throws(() => reveal.secret("db"), /does not ask for `reveal`; hint/);
  } finally {
    install(undefined);
  }
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

test("everything that a plugin may import has a function here, and one in the types", () => {
  const text = (path) => readFileSync(new URL(path, import.meta.url), "utf8");
  const [worlds, host, types] = ["../../../wit/worlds/worlds.wit", "../../../wit/host/host.wit", "../src/index.d.ts"].map(text);
  const imports = [...worlds.matchAll(/import quarterdeck:host\/([a-z-]+)@/g)].map(([, name]) => name);
  assert.deepEqual([...CAPABILITIES, "log"].sort(), [...imports, "http"].sort());
  // The one name that JavaScript keeps for itself.
  const renamed = { delete: "remove" };
  for (const name of imports) {
    const body = host.split(`interface ${name} {`)[1].split("\n}")[0];
    const typed = types.split(`export namespace ${name} {`)[1].split("\n}")[0];
    const functions = [...body.matchAll(/^ +([a-z0-9-]+): (?:static )?func/gm)].map(([, own]) => own);
    assert.notEqual(functions.length, 0, name);
    for (const own of functions) {
      const camel = renamed[own] ?? own.replace(/-([a-z0-9])/g, (_, letter) => letter.toUpperCase());
      const found = sdk[name][camel] ?? sdk[name].Connection?.prototype[camel];
      assert.equal(typeof found, "function", `${name}.${camel}`);
      assert.match(typed, new RegExp(`^ +(function )?${camel}\\(`, "m"), `${name}.${camel} in the types`);
    }
  }
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

test("host and port of a URL are found without user information", () => {
  for (const [url, host, port] of [
    ["http://a", "a", 80],
    ["https://[::1]/x", "::1", 443],
    ["https://me:secret@a.example:8443/x?y", "a.example", 8443],
    ["http://[::1]:8080", "::1", 8080],
  ]) {
    assert.deepEqual(http.hostAndPort(url), { host, port });
  }
  for (const url of ["ftp://a", "http://a:", "http://a:x", "http://a:99999", "http://a:80:90"]) {
    assert.throws(() => http.hostAndPort(url), (error) => error.code === "invalid", url);
  }
});

test("addresses and URLs are read as they are written", () => {
  assert.deepEqual(tcp.parse("[::1]:80"), { kind: "tcp", host: "::1", port: 80 });
  assert.deepEqual(tcp.parse("unix:/a"), { kind: "unix", path: "/a" });
  assert.equal(tcp.parse("db:99999"), undefined);
  assert.deepEqual(http.splitUrl("https://a:1?b=c#d"), { scheme: "https", authority: "a:1", path: "/?b=c" });
  assert.throws(() => http.splitUrl("ftp://a"), http.HttpError);
});
