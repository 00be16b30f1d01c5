// What a component says about itself.

import { KINDS } from "./kinds.js";

export const CAPABILITIES = ["kv", "metrics", "events", "system", "exec", "tcp", "process", "secret", "reveal", "files", "http"];

export const capability = {
  required: (name, reason) => ({ name, reason, optional: false }),
  optional: (name, reason) => ({ name, reason, optional: true }),
};

/** Checks what can be said before anything is built; the kinds are optional, and at least one has to be there. */
export function definePlugin(definition) {
  for (const key of ["name", "version", "summary"]) {
    if (typeof definition[key] !== "string") throw new TypeError(`the plugin has no \`${key}\`; hint: ${key}: "..."`);
  }
  if (typeof definition.config?.read !== "function") {
    throw new TypeError("the plugin has no `config`; hint: config: object({})");
  }
  const known = ["name", "version", "summary", "config", "capabilities", "validate", "callsOfASandbox", ...KINDS.map((kind) => kind.key)];
  const unknown = Object.keys(definition).find((key) => !known.includes(key));
  if (unknown) throw new TypeError(`the plugin has a key \`${unknown}\`; hint: the keys are ${known.join(", ")}`);
  const kinds = KINDS.filter((kind) => definition[kind.key]);
  if (kinds.length === 0) {
    throw new TypeError(`the plugin is of no kind; hint: one of ${KINDS.map((kind) => kind.key).join(", ")}`);
  }
  for (const kind of kinds) {
    const missing = kind.functions.find((name) => typeof definition[kind.key][name] !== "function");
    if (missing) throw new TypeError(`\`${kind.key}\` has no function \`${missing}\``);
  }
  for (const { name } of definition.capabilities ?? []) {
    if (!CAPABILITIES.includes(name)) {
      throw new TypeError(`there is no capability \`${name}\`; hint: one of ${CAPABILITIES.join(", ")}`);
    }
  }
  return Object.freeze({ capabilities: [], validate: () => [], callsOfASandbox: 1, ...definition });
}

/** The JSON Schema (2020-12) of a plugin's configuration. */
export function configSchema(definition) {
  return JSON.stringify({ $schema: "https://json-schema.org/draft/2020-12/schema", ...definition.config.json });
}
