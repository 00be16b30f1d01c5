// A stream to a granted host and port, or Unix socket.

import { Failed, call } from "../host.js";
import { withNumbers } from "../shapes.js";

export class Connection {
  #stream;

  constructor(stream) {
    this.#stream = stream;
  }

  read(max) {
    return call("tcp", () => this.#stream.read(max), () => this.#stream.read(max));
  }

  write(bytes) {
    call("tcp", () => this.#stream.write(bytes), () => this.#stream.write(bytes));
  }

  startTls(host) {
    call("tcp", () => this.#stream.startTls(host), (fake) => void fake.tls.push(host));
  }

  writeSecret(before, name, base64 = false) {
    const fake = () => {
      const secret = new TextEncoder().encode(`secret:${name}`);
      const bytes = new Uint8Array([...before, ...secret]);
      this.#stream.write(base64 ? new TextEncoder().encode(btoa(String.fromCharCode(...bytes))) : bytes);
    };
    call("tcp", () => this.#stream.writeSecret(before, name, base64), fake);
  }
}

export function connect(address) {
  const val = address.kind === "unix" ? address.path : [address.host, address.port];
  const stream = call(
    "tcp",
    (wit) => wit.Connection.connect({ tag: address.kind, val }),
    (host) => host.answer("tcp", address),
  );
  return new Connection(stream);
}

export function parse(text) {
  if (text.startsWith("unix:") || text.startsWith("/")) return { kind: "unix", path: text.replace(/^unix:/, "") };
  const [, host, port] = /^\[?([^[\]]+)\]?:(\d{1,5})$/.exec(text) ?? [];
  return host && Number(port) < 65536 ? { kind: "tcp", host, port: Number(port) } : undefined;
}

export function peerCertificate(host, port) {
  return call(
    "tcp",
    (wit) => withNumbers(wit.peerCertificate(host, port)),
    (fake) => {
      const certificate = fake.certificates.get(`${host}:${port}`);
      if (!certificate) throw new Failed(`no certificate of ${host}`);
      return certificate;
    },
  );
}
