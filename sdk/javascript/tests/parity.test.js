// What is public in the Rust SDK is public here, under the same name in the manner of JavaScript (`timeoutMs`, "roll-back"), and nothing else
// is: a name that is missing on one side, or that says something else, is one that an author looks for in vain. What can't be the same is listed
// below with the reason.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import test from "node:test";

import * as sdk from "../src/index.js";
import { CAPABILITIES } from "../src/plugin.js";
import * as testing from "../src/testing.js";

const RUST = new URL("../../rust/src/", import.meta.url);
const read = (path, base = import.meta.url) => readFileSync(new URL(path, base), "utf8");

/** Names of the Rust SDK that are written otherwise in JavaScript. */
const RENAMED = {
  // What a plugin is defined by.
  Plugin: "Definition",
  // All kinds are in one module.
  "detector.Window": "DetectorWindow",
  "sla_calculator.Window": "SlaWindow",
  // The language has an `Error` of its own.
  "host.Error": "HostError",
  "http.Error": "http.HttpError",
  // `delete` is a word of the language.
  "host.kv.delete": "kv.remove",
  // A plain object has no functions.
  "collector.Collection.value": "valueOf",
  // As a `Map` has it.
  "detector.Memory.len": "detector.Memory.size",
  "detector.Memory.is_empty": "detector.Memory.size",
  // What makes a request also sends it, with its options.
  "http.Request.get": "http.get",
  "http.Request.post": "http.post",
  "http.Request.header": "http.Options.headers",
  "http.Request.headers": "http.Options.headers",
  "http.Request.timeout_ms": "http.Options.timeoutMs",
  "http.Request.max_body_bytes": "http.Options.maxBodyBytes",
};
/** Names of the Rust SDK that JavaScript has no use for. */
const NEEDLESS = new Set([
  // An object, which can do all of it.
  ...["new", "with", "get", "iter", "is_empty", "sorted"].map((name) => `Labels.${name}`),
  // It is a text.
  "Severity.as_str",
  // What every `Error` has.
  ...["Failure", "host.Error", "http.Error"].map((name) => `${name}.message`),
  // A class says more: `throw new Rejected(...)`.
  ...["rejected", "retry", "other"].map((name) => `Failure.${name}`),
  // Objects as they are written, and what they hold.
  "Outcome.with",
  "Problem.at",
  "collector.Collection.new",
  "collector.Collection.with",
  "collector.Family.new",
  "collector.Family.push",
  "detector.Reader.new",
  "http.Request.new",
  // The language's.
  "json",
  // Builders of configurations.
  "schema",
]);
/** What functions are given otherwise, and why. */
const PARAMETERS = {
  // What is a type in Rust, `config_schema::<Wave>()`.
  configSchema: ["definition"],
  bearsOddWindows: ["plugin", "config"],
  // What has a receiver in Rust.
  "severity.worse": ["one", "other"],
  samples: ["window"],
  "http.send": ["request"],
  // What a builder adds in Rust.
  done: ["outputs"],
  valueOf: ["collection", "name", "labels"],
  // `function` is a word of the language.
  "Component.call": ["name", "input"],
  "http.get": ["url", "options"],
  "http.post": ["url", "body", "options"],
};
/** What JavaScript has beside it: what its author would miss. */
const OWN = new Set([
  // Configurations.
  ...["Schema", "Optional", "Infer", "string", "boolean", "number", "integer", "oneOf", "list", "record", "object"],
  ...["json", "default", "optional", "with", "read"].map((name) => `Schema.${name}`),
  // Definitions, whose kinds are keys.
  ...["Answer", "definePlugin", "Definition.callsOfASandbox"],
  ...["collector", "detector", "scannerRule", "correlator", "notifier"].map((name) => `Definition.${name}`),
  ...["deploymentStrategy", "deploymentTarget", "runbookAction", "slaCalculator"].map((name) => `Definition.${name}`),
  // Beside a field of that name.
  "capability.optional",
  // What is any text in Rust.
  ...CAPABILITIES.map((name) => `Capability.name#${name}`),
  // Short for what is long.
  ...["gauge", "counter", "kv.getText", "http.send", "http.postJson", "http.Response.json", "http.Options"],
  // What `Read` and `Write` are in Rust, and `ToString` and `FromStr`.
  ...["tcp.Connection.read", "tcp.Connection.write", "Stream.read", "Stream.write", "Condition.parse", "Condition.toString"],
]);

/** What a file of the Rust SDK makes public: items, and their fields, variants and functions with their parameters. A function is its own member. */
function declared(text) {
  const found = new Map();
  const shown = new Set();
  const lines = text.split("\n#[cfg(test)]\nmod tests")[0].split("\n");
  const membersOf = (name) => found.get(name) ?? found.set(name, new Map()).get(name);
  for (const [index, line] of lines.entries()) {
    const [, kind, name] = /^pub (?:const )?(fn|struct|enum|trait|const|type) (\w+)/.exec(line) ?? [];
    const [, own] = /^impl(?:<[^>]*>)? (\w+)(?:<[^>]*>)? \{/.exec(line) ?? [];
    if (!own && !(kind && isShown(lines.slice(0, index)))) continue;
    const members = membersOf(own ?? name);
    if (kind) shown.add(name);
    if (kind === "fn") members.set(name, parameters(lines.slice(index)));
    const patterns = { struct: /^    pub (\w+):/, enum: /^    ([A-Z]\w*)/, trait: /^    (?:fn|type|const) (\w+)/ };
    const pattern = own ? /^    pub (?:const )?fn (\w+)/ : patterns[kind];
    if (!pattern || !line.endsWith("{")) continue;
    const end = lines.indexOf("}", index);
    for (let inside = index + 1; inside < end; inside += 1) {
      const [, member] = pattern.exec(lines[inside]) ?? [];
      if (member) members.set(member, / fn /.test(lines[inside]) ? parameters(lines.slice(inside, end)) : undefined);
    }
  }
  // What is public of a type that is not is not.
  return new Map([...found].filter(([item]) => shown.has(item)));
}

/** Of the function that begins with these lines, without the receiver. */
function parameters(lines) {
  const text = lines.slice(0, 12).map((line) => line.trim()).join(" ");
  const [, given] = /^.*?fn \w+(?:<[^(]*>)?\((.*?)\)(?: ->| \{|;| where|$)/.exec(text);
  return [...given.matchAll(/(?:^|[ ,(])_?(\w+): /g)].map(([, name]) => name);
}

/** Whether the attributes of an item leave it in the documentation. */
function isShown(before) {
  const attributes = before.slice(before.findLastIndex((line) => !/^(#\[|\/\/\/)/.test(line)) + 1);
  return !attributes.some((line) => line.includes("doc(hidden)"));
}

/** Every public module of the Rust SDK, `host.tcp`, with what is public in it. */
function modules(name = "", path = "lib.rs") {
  const text = read(path, RUST);
  const folder = name === "" ? "" : path.replace(/\.rs$/, "/");
  const own = declared(text);
  const found = new Map([[name, own]]);
  for (const [, attributes, child] of text.matchAll(/^((?:#.*\n)*)pub mod (\w+);/gm)) {
    if (attributes.includes("doc(hidden)")) continue;
    for (const [inner, items] of modules([name, child].filter(Boolean).join("."), `${folder}${child}.rs`)) found.set(inner, items);
  }
  for (const [, attributes, inner, several, one] of text.matchAll(/^((?:#.*\n)*)pub use (\w+)::(?:\{([^}]*)\}|(\w+));/gm)) {
    const file = `${folder}${inner}.rs`;
    if (attributes.includes("doc(hidden)") || !existsSync(new URL(file, RUST))) continue;
    const inside = declared(read(file, RUST));
    for (const each of (several ?? one).split(",")) {
      const [original, alias = original] = each.trim().split(" as ");
      own.set(alias, inside.get(original));
    }
  }
  return found;
}

/** What types say: paths like `tcp.Connection.read`, with parameters of functions; `State#ok` for a text that a type allows. */
function typed(text) {
  const found = new Map();
  const stack = [];
  const lines = text.split("\n");
  for (const [index, line] of lines.entries()) {
    const item = /^( *)(?:export )?(namespace|interface|class|type|function|const) (\w+)/.exec(line);
    const member = /^( +)(?:static |readonly )*(\w+)\??[(<:]/.exec(line);
    if (!item && !member) continue;
    const [, indent, name] = item ? [item[0], item[1], item[3]] : member;
    stack.length = Math.min(stack.length, indent.length / 2);
    // What stands deeper than its owner is a part of a parameter.
    if (stack.length < indent.length / 2 || name === "constructor") continue;
    const path = [...stack, name].join(".");
    const whole = statement(lines.slice(index));
    const [, given] = /^[^(:=]*\((.*?)\)(?:: |;)/.exec(whole) ?? [];
    const isDescribed = /\*\/$/.test(lines[index - 1]) || found.get(path)?.isDescribed === true;
    found.set(path, { kind: item?.[2], isDescribed, given: given === undefined ? undefined : namesOf(given) });
    if (item?.[2] === "type" || (member && !given)) {
      for (const [, word] of whole.matchAll(/"([a-z-]+)"/g)) found.set(`${path}#${word}`, { isDescribed: true });
    }
    if (line.endsWith("{") && item?.[2] !== "type" && item?.[2] !== "function") stack.push(name);
  }
  return found;
}

function namesOf(given) {
  return [...given.matchAll(/(?:^|, ?)(\w+)\??: /g)].map(([, own]) => own);
}

/** What begins with these lines, to its end. */
function statement(lines) {
  const end = lines.findIndex((line, index) => /[;{]$/.test(line) && !/^ *\| \{ kind/.test(lines[index + 1] ?? ""));
  return lines.slice(0, end + 1).map((line) => line.trim()).join(" ");
}

const TYPES = typed(`${read("../src/index.d.ts")}\n${read("../src/testing.d.ts")}`);

const camel = (name) => (/^[A-Z]/.test(name) ? name : name.replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase()));
const kebab = (name) => name.replace(/(?<!^)[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
const lower = (name) => (name === name.toUpperCase() ? name.toLowerCase() : name[0].toLowerCase() + name.slice(1));
const joined = (...parts) => parts.filter(Boolean).join(".");

/** Where an item of the Rust SDK, or a member of it, may stand here. */
function ways(module, item, member, given) {
  const whole = joined(module, item, member === item ? "" : member);
  if (RENAMED[whole]) return [RENAMED[whole]];
  const space = module.replace(/^host\.?/, "");
  const owners = RENAMED[joined(module, item)] ? [RENAMED[joined(module, item)]] : [joined(space, camel(item)), camel(item)];
  if (member === undefined || member === item) return owners;
  const isVariant = /^[A-Z][a-z]/.test(member);
  const marks = isVariant ? ["#", ".code#"] : [];
  const inside = owners.flatMap((owner) => [
    ...[camel(member), lower(member)].map((name) => `${owner}.${name}`),
    ...marks.map((mark) => `${owner}${mark}${kebab(member)}`),
  ]);
  // Functions may stand beside their type, and variants be classes of their own.
  if (given === undefined && !isVariant) return inside;
  return [...inside, `${lower(item)}.${camel(member)}`, joined(space, camel(member)), camel(member)];
}

/** Every item and member of the Rust SDK that is not needless: its path, where it may stand here, and its parameters. */
function* wanted() {
  for (const [module, items] of modules()) {
    if (NEEDLESS.has(module)) continue;
    for (const [item, members] of items) {
      if (!members.has(item)) yield { path: joined(module, item), places: ways(module, item) };
      for (const [member, given] of members) {
        const path = joined(module, item, member === item ? "" : member);
        if (!NEEDLESS.has(path)) yield { path, places: ways(module, item, member, given), given };
      }
    }
  }
}

test("what is public in Rust is in the types, and nothing else is", () => {
  const missing = [];
  const met = new Set(OWN);
  for (const { path, places } of wanted()) {
    const place = places.find((each) => TYPES.has(each));
    if (place === undefined) missing.push(path);
    else met.add(place);
  }
  assert.deepEqual(missing, [], "public in sdk/rust, and not here");
  const isPart = (path) => [...met].some((each) => each.startsWith(`${path}.`) || each.startsWith(`${path}#`));
  const more = [...TYPES.keys()].filter((path) => !met.has(path) && !isPart(path));
  assert.deepEqual(more, [], "public here, and not in sdk/rust");
  assert.deepEqual([...OWN].filter((path) => !TYPES.has(path)), [], "listed above, and not in the types");
});

test("what is listed above is in Rust", () => {
  const known = new Set();
  for (const [module, items] of modules()) {
    known.add(module);
    for (const [item, members] of items) {
      known.add(joined(module, item));
      for (const member of members.keys()) known.add(joined(module, item, member));
    }
  }
  assert.deepEqual([...NEEDLESS, ...Object.keys(RENAMED)].filter((path) => !known.has(path)), []);
});

test("the parameters of functions have the same names", () => {
  const others = [];
  for (const { path, places, given } of wanted()) {
    const place = places.find((each) => TYPES.has(each));
    const own = TYPES.get(place)?.given;
    if (given === undefined || own === undefined) continue;
    const expected = PARAMETERS[place] ?? given.map(camel);
    if (own.join() !== expected.join()) others.push(`${place}(${own}), in Rust ${path}(${given})`);
  }
  assert.deepEqual(others, []);
});

test("what the types promise is there, and what is there is in the types", () => {
  const missing = [];
  const find = (path) => path.split(".").reduce((owner, name) => owner?.[name], { ...sdk, ...testing });
  for (const [path, { kind }] of TYPES) {
    // A namespace may hold types only.
    if (["function", "class", "const"].includes(kind) && find(path) === undefined) missing.push(path);
  }
  assert.deepEqual(missing, []);
  const more = [];
  const look = (space, path) => {
    for (const [name, value] of Object.entries(space)) {
      const own = joined(path, name);
      if (!TYPES.has(own)) more.push(own);
      else if (TYPES.get(own).kind === "namespace") look(value, own);
    }
  };
  look(sdk, "");
  look(testing, "");
  assert.deepEqual(more, []);
});

test("everything public says what it is", () => {
  const mute = [...TYPES].filter(([path, { kind, isDescribed }]) => kind !== undefined && !isDescribed && path !== "Answer");
  assert.deepEqual(mute.map(([path]) => path), []);
});
