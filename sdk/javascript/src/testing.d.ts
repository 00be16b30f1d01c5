/** For tests of a plugin. It needs Node.js, so a plugin itself can't import it. */

import type { Definition, DetectorWindow } from "./index.js";

export { FakeHost } from "./index.js";
export type { Connect, Exec, Fetch, Hmac, Stream } from "./index.js";

/** Why the host did not do it, in its own words. */
export class ComponentError extends Error {}

/**
 * The built component in the real runtime, and what its calls are given.
 *
 * Calls run in the host that is named by the variable `QUARTERDECK`, else the `quarterdeck` on the path: in a sandbox with limits and grants, as an
 * instance would. `quarterdeck plugin test` names itself. A call takes some tenths of a second, the first one the seconds
 * that compiling an engine takes.
 *
 * ```js
 * const component = Component.build(new URL("..", import.meta.url)).withConfig({ amplitude: 2 });
 * component.check();
 * const answer = component.call("collect", { now: "2026-01-01T00:00:30Z" });
 * assert.equal(answer.output.families[0].name, "wave_height");
 * ```
 */
export class Component {
  private constructor();
  /** Builds the component of the plugin in that folder. Throws a `ComponentError`: there is no host, or the plugin does not build. */
  static build(folder: string | URL): Component;
  /** A component that is there already. */
  static open(file: string | URL): Component;
  /** The file. */
  readonly file: string;
  /** The configuration of the instance that is called, as JSON has it. Without it, an empty one. */
  withConfig(config: unknown): Component;
  /** What the instance may touch, as under `grants` in the host's configuration. Without it, nothing. */
  withGrants(grants: unknown): Component;
  /**
   * Calls a function of the component's kind by its name in the interface. The input and the answer are those of `quarterdeck plugin run`:
   * `output` is what the function gave back, and beside it stands what it did. Throws a `ComponentError`: the host refused the configuration, or
   * the call failed.
   */
  call(name: string, input: unknown): any;
  /** Judges the component as `quarterdeck plugin check` does. Throws a `ComponentError`: what it failed in, a line for each. */
  check(): void;
}

/**
 * Calls a detector, under a configuration as JSON, with some hundred windows, one after the other, with the state that it handed back, and now and
 * then with none or with rubbish: samples that are no numbers, infinite or at the ends of the range, times that occur twice, are out of order, of
 * the future or at the ends of the range, series without samples, and series that come and go. Each is asked twice.
 *
 * Throws an `AssertionError`: the detector throws or refuses a window, answers differently the second time, speaks of a series that is not there,
 * says a figure that is no finite number, or remembers more than the host keeps.
 */
export function bearsOddWindows(plugin: Pick<Definition<any>, "config" | "detector">, config: string): Promise<void>;

/** The same ones every time, and in every SDK. */
export function oddWindows(): Generator<DetectorWindow>;
