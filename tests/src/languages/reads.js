import { Denied, capability, definePlugin, files, gauge, health, object, reveal, string } from "quarterdeck-sdk";

function isDenied(path) {
  try {
    files.read(path, 0, 1);
  } catch (error) {
    return error instanceof Denied;
  }
  return false;
}

export default definePlugin({
  name: "reads",
  version: "0.1.0",
  summary: "Reads a file, and a secret",
  capabilities: [capability.required("files", "reads the file"), capability.required("reveal", "says the word")],
  config: object({ path: string("File that it may read."), other: string("File that it may not read.") }),
  collector: {
    collect({ path, other }) {
      const text = (bytes) => new TextDecoder().decode(bytes);
      const part = files.read(path, 4, 100);
      const figures = {
        read_ok: part && text(part.bytes) === "two\n" && part.sizeBytes === 8 && part.identity > 0n,
        read_gone: files.read(`${path}.gone`, 0, 1) === undefined,
        read_denied: isDenied(other),
        secret_ok: text(reveal.secret("word")) === "open sesame",
      };
      const families = Object.entries(figures).map(([name, value]) => gauge(name, "Whether").value(Number(value)));
      return { health: health.ok("it read"), families };
    },
  },
});
