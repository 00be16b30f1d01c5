// Makes a component of a plugin: `node build.js [FOLDER]`. What it needs (rolldown, componentize-js) is found from the plugin's folder.
//
// The plugin's folder has `package.json`, whose `main` is the module that has the plugin as its default export (`src/plugin.js`, or
// `.ts`). What the component imports is what the plugin asks for. Prints where the component is.

import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import { KINDS } from "./kinds.js";

const HERE = dirname(fileURLToPath(import.meta.url));
const WIT = resolve(HERE, "../../../wit");
const VERSION = "0.1.0";
const HTTP = {
  types: "wasi:http/types@0.2.0",
  handler: "wasi:http/outgoing-handler@0.2.0",
  clock: "wasi:clocks/monotonic-clock@0.2.0",
  poll: "wasi:io/poll@0.2.0",
};

/** Whichever other copy of the SDK the plugin's folder may have. */
const OWN = {
  "quarterdeck-sdk/component": join(HERE, "component.js"),
  "quarterdeck-sdk/exchange": join(HERE, "exchange.js"),
  "quarterdeck-sdk/testing": join(HERE, "testing.js"),
  "quarterdeck-sdk": join(HERE, "index.js"),
};

/** The plugin can't be built; the message says what to do. */
class Unfit extends Error {}

async function build(folder) {
  const tool = await tools(folder);
  const made = join(folder, "build");
  rmSync(made, { recursive: true, force: true });
  mkdirSync(made, { recursive: true });
  const main = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).main ?? "src/plugin.js";
  const source = join(folder, main);
  if (!existsSync(source)) throw new Unfit(`there is no ${main}; hint: \`main\` of package.json names the plugin's module`);

  // As it is natively, to see what it is.
  const native = join(made, "native.mjs");
  await bundle(tool, source, native);
  const definition = (await import(pathToFileURL(native).href)).default;
  if (!definition?.config?.json) throw new Unfit(`${main} exports no plugin; hint: export default definePlugin({ ... })`);
  const asked = definition.capabilities.map(({ name }) => name);
  const kinds = KINDS.filter((kind) => definition[kind.key]);

  const reuse = definition.callsOfASandbox > 1;
  interfaces(join(made, "wit"), asked, kinds, reuse);
  const entry = join(made, "entry.js");
  writeFileSync(entry, moduleOf(source, asked, kinds, reuse));
  const whole = join(made, "component.js");
  await bundle(tool, entry, whole);
  const features = asked.includes("http") ? ["fetch-event"] : ["fetch-event", "http"];
  const { component } = await tool.componentize({
    sourcePath: whole,
    witPath: join(made, "wit"),
    worldName: "component",
    disableFeatures: features,
  });
  const path = join(made, `${definition.name}.wasm`);
  writeFileSync(path, component);
  return path;
}

/** Of the plugin's own folder, or of one above it. */
async function tools(folder) {
  const { resolve: find } = createRequire(join(folder, "package.json"));
  try {
    const [rolldown, componentize] = await Promise.all(
      ["rolldown", "@bytecodealliance/componentize-js"].map((name) => import(pathToFileURL(located(find, name)).href)),
    );
    return { rolldown: rolldown.rolldown, componentize: componentize.componentize };
  } catch (error) {
    throw new Unfit(`${error.message}; hint: npm install`);
  }
}

/** Where a package's module is: `require` does not see what is for `import` only. */
function located(find, name) {
  const places = find.paths(name).map((place) => join(place, name, "package.json"));
  const manifest = places.find((place) => existsSync(place));
  if (!manifest) throw new Unfit(`${name} is not installed`);
  const { exports, main } = JSON.parse(readFileSync(manifest, "utf8"));
  const root = exports?.["."] ?? exports ?? main;
  const entry = typeof root === "string" ? root : (root.import?.default ?? root.import ?? root.default);
  return join(dirname(manifest), entry);
}

async function bundle({ rolldown }, input, file) {
  const made = await rolldown({
    input,
    platform: "neutral",
    resolve: { alias: OWN },
    external: [/^(quarterdeck|wasi):/],
    logLevel: "warn",
  });
  const { output } = await made.write({ file, format: "esm" });
  await made.close();
  const forTests = join(HERE, "testing");
  if (output.some(({ moduleIds = [] }) => moduleIds.some((id) => id.startsWith(forTests)))) {
    throw new Unfit("quarterdeck-sdk/testing is for tests: it needs Node.js, which a component has not");
  }
}

/** The component's module: what the host gives goes to the SDK, what the plugin is goes out. */
function moduleOf(source, asked, kinds, reuse) {
  const doors = ["log", ...asked.filter((name) => name !== "http")];
  const lines = doors.map((name) => `import * as ${name} from "quarterdeck:host/${name}@${VERSION}";`);
  const given = [...doors];
  if (asked.includes("http")) {
    lines.push('import { exchange } from "quarterdeck-sdk/exchange";');
    lines.push(`import * as types from "${HTTP.types}";`, `import { handle } from "${HTTP.handler}";`);
    lines.push(`import * as clock from "${HTTP.clock}";`, `import { poll } from "${HTTP.poll}";`);
    given.push("http: exchange({ types, handle, clock, poll })");
  }
  lines.push('import { install, kindOf, pluginOf } from "quarterdeck-sdk/component";');
  lines.push(`import definition from ${JSON.stringify(source)};`);
  lines.push(`install({ ${given.join(", ")} });`, "export const plugin = pluginOf(definition);");
  if (reuse) lines.push("export const reuse = { calls: () => definition.callsOfASandbox };");
  lines.push(...kinds.map(({ key }) => `export const ${key} = kindOf(definition, "${key}");`));
  return `${lines.join("\n")}\n`;
}

/** The version of a kind's package, as its interface says it. */
function version(name) {
  return /^package [^@]+@([^;]+);/m.exec(readFileSync(join(WIT, name, `${name}.wit`), "utf8"))[1];
}

/** The world of the component: what the plugin is of, and what it asks for. */
function interfaces(target, asked, kinds, reuse) {
  const lines = [`import quarterdeck:host/log@${VERSION};`, `export quarterdeck:plugin/plugin@${VERSION};`];
  if (reuse) lines.push(`export quarterdeck:plugin/reuse@${VERSION};`);
  for (const name of asked) {
    lines.push(...(name === "http" ? Object.values(HTTP) : [`quarterdeck:host/${name}@${VERSION}`]).map((each) => `import ${each};`));
  }
  lines.push(...kinds.map(({ name }) => `export quarterdeck:${name}/${name}@${version(name)};`));
  for (const name of readdirSync(WIT)) {
    const isPackage = !name.includes(".") && name !== "worlds" && name !== "compat";
    if (isPackage) cpSync(join(WIT, name), join(target, "deps", name), { recursive: true });
  }
  if (asked.includes("http")) cpSync(join(HERE, "wasi"), join(target, "deps"), { recursive: true });
  const world = lines.map((line) => `    ${line}`).join("\n");
  writeFileSync(join(target, "world.wit"), `package quarterdeck:built;\n\nworld component {\n${world}\n}\n`);
}

try {
  console.log(await build(resolve(process.argv[2] ?? ".")));
} catch (error) {
  console.error(`error: ${error instanceof Unfit || error instanceof TypeError ? error.message : error.stack}`);
  process.exit(1);
}
