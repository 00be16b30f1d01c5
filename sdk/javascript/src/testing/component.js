// The built component in the real runtime: `quarterdeck plugin build`, `check` and `run`, from a test.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export class ComponentError extends Error {
  get name() {
    return "ComponentError";
  }
}

export class Component {
  #given;

  constructor(given) {
    this.#given = given;
  }

  static build(folder) {
    const program = host();
    const built = parsed(said(program, ["plugin", "build", "--json", pathOf(folder)]));
    if (typeof built?.component !== "string") throw new ComponentError("`quarterdeck plugin build` names no component");
    return new Component({ program, file: built.component });
  }

  static open(file) {
    return new Component({ program: host(), file: pathOf(file) });
  }

  get file() {
    return this.#given.file;
  }

  withConfig(config) {
    return new Component({ ...this.#given, config });
  }

  withGrants(grants) {
    return new Component({ ...this.#given, grants });
  }

  call(name, input) {
    return parsed(said(this.#given.program, [...this.#arguments("run"), name, "--input", JSON.stringify(input ?? null)]));
  }

  check() {
    const judged = run(this.#given.program, [...this.#arguments("check"), "--json"]);
    if (judged.status === 0) return;
    let findings;
    try {
      ({ findings } = JSON.parse(judged.stdout));
    } catch {
      throw failed(judged);
    }
    if (!Array.isArray(findings)) throw failed(judged);
    const poor = findings.filter(({ verdict }) => verdict !== "passed");
    throw new ComponentError(poor.map(({ check, detail }) => `${check}: ${detail}`).join("\n"));
  }

  #arguments(verb) {
    const { file, config, grants } = this.#given;
    const given = [["--config", config], ["--grants", grants]].filter(([, value]) => value !== undefined);
    return ["plugin", verb, file, ...given.flatMap(([flag, value]) => [flag, JSON.stringify(value)])];
  }
}

function host() {
  return process.env.QUARTERDECK || "quarterdeck";
}

function pathOf(place) {
  return place instanceof URL ? fileURLToPath(place) : place;
}

let kept;

/** Where the host keeps what it compiled from one call to the next; goes when the tests end. */
function compiled() {
  if (kept === undefined) {
    kept = mkdtempSync(join(tmpdir(), "quarterdeck-compiled-"));
    process.once("exit", () => rmSync(kept, { recursive: true, force: true }));
  }
  return kept;
}

function run(program, given) {
  // A runner of tests must not take what the component's own tools say for its own.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  env.QUARTERDECK_CACHE_DIR ||= compiled();
  const ended = spawnSync(program, given, { encoding: "utf8", env, maxBuffer: Infinity, stdio: ["ignore", "pipe", "pipe"] });
  if (ended.error) {
    const hint = "put it on the path, or name it in QUARTERDECK";
    throw new ComponentError(`failed to run \`${program}\`: ${ended.error.message}; hint: ${hint}`);
  }
  return ended;
}

function said(program, given) {
  const ended = run(program, given);
  if (ended.status !== 0) throw failed(ended);
  return ended.stdout;
}

function failed(ended) {
  return new ComponentError(ended.stderr.trim());
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ComponentError(`the host did not answer in JSON: ${error.message}`);
  }
}
