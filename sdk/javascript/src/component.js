// What a component exports: a set of functions per interface, around the author's. Used by the module that `build.js` writes.

import { Failure, Other, Rejected, Retry } from "./failure.js";
import { HostError } from "./host.js";
import { HttpError } from "./http.js";
import { configSchema } from "./plugin.js";
import { fromLabels, toLabels, withNumbers } from "./shapes.js";

export { install } from "./host.js";

/** What every component exports. */
export function pluginOf(definition) {
  // Made once, while the component is built.
  const manifest = {
    name: definition.name,
    version: definition.version,
    summary: definition.summary,
    configSchema: configSchema(definition),
    capabilities: definition.capabilities,
  };
  return {
    describe: () => manifest,
    validateConfiguration(config) {
      let read;
      try {
        read = definition.config.read(JSON.parse(config));
      } catch (error) {
        throw { payload: [{ pointer: "", message: error.message }] };
      }
      const problems = definition.validate(read);
      if (problems.length > 0) throw { payload: problems };
    },
  };
}

/** The functions of each kind, in the shapes of the bindings. */
export const kinds = {
  collector: (own, read) => ({
    collect: call(read, (config, now) => own.collect(config, Number(now)), ({ health, families = [] }) => ({
      health,
      families: families.map((family) => ({
        ...family,
        labels: family.labels.map(toLabels),
        values: Float64Array.from(family.values),
        atMs: BigInt64Array.from(family.atMs ?? [], BigInt),
      })),
    })),
  }),

  detector: (own, read) => ({
    evaluate: call(
      read,
      (config, { nowMs, fromMs, series }, state) => {
        const column = ({ labels, atMs, value }) => ({ labels: fromLabels(labels), atMs: withNumbers(atMs), value });
        const window = { nowMs: Number(nowMs), fromMs: Number(fromMs), series: series.map(column) };
        return own.evaluate(config, window, state);
      },
      ({ signals = [], state, derived = [] }) => ({
        signals: signals.map((signal) => ({ expected: undefined, ...signal })),
        state,
        derived,
      }),
    ),
  }),

  scannerRule: (own, read) => ({
    interests: call(read, (config) => own.interests(config), ({ kinds, include = [], exclude = [], maxBytes }) => ({
      kinds,
      include,
      exclude,
      maxBytes: BigInt(maxBytes),
    })),
    scan: call(
      read,
      (config, subjects) => own.scan(config, subjects.map(({ tag, val }) => ({ kind: tag, ...val }))),
      (findings) => findings.map((finding) => ({ line: 0, column: 0, cwe: undefined, ...finding })),
    ),
  }),

  correlator: (own, read) => ({
    correlate: call(
      read,
      (config, alert, open, now) => {
        const alertOf = (alert) => ({ ...withNumbers(alert), labels: fromLabels(alert.labels) });
        const incidents = open.map((incident) => ({ ...withNumbers(incident), alerts: incident.alerts.map(alertOf) }));
        return own.correlate(config, alertOf(alert), incidents, Number(now));
      },
      ({ kind, incident, key, title, severity, reason }) => {
        const val = { join: [incident, severity], open: { key, title, severity }, ignore: reason }[kind];
        return { tag: kind, val };
      },
    ),
  }),

  notifier: (own, read) => ({
    notify: call(
      read,
      (config, message, key) =>
        own.notify(config, { ...withNumbers(message), labels: fromLabels(message.labels) }, key),
      outcome,
    ),
    poll: call(read, (config, token) => (own.poll ? own.poll(config, token) : nothingPending()), outcome),
  }),

  deploymentStrategy: (own, read) => ({
    decide: call(
      read,
      (config, deployment, replicas, analysis, promoted, state, now) =>
        own.decide(config, {
          ...withNumbers({ deployment, replicas, analysis }),
          promoted,
          state,
          nowMs: Number(now),
        }),
      ({ next, reason, state }) => ({ move: move(next), reason, state }),
    ),
  }),

  deploymentTarget: (own, read) => ({
    observe: call(read, (config, service) => own.observe(config, service), (replicas) => ({
      replicas: replicas.map((replica) => {
        const whole = { weight: 0, responses: 0, failures: 0, message: "", ...replica };
        return { ...whole, responses: BigInt(whole.responses), failures: BigInt(whole.failures) };
      }),
    })),
    apply: call(read, (config, service, step, key) => own.apply(config, service, stepOf(step), key), outcome),
  }),

  runbookAction: (own, read) => {
    const inputs = (text) => parsed(own.inputs, text, "inputs do");
    return {
      plan: call(read, (config, given) => own.plan(config, inputs(given)), same),
      run: call(read, (config, given, key) => own.run(config, inputs(given), key), outcome),
      poll: call(read, (config, token) => (own.poll ? own.poll(config, token) : nothingPending()), outcome),
      cancel: call(read, (config, token) => own.cancel?.(config, token), () => undefined),
    };
  },

  slaCalculator: (own, read) => ({
    fold: call(read, (config, window, partial) => own.fold(config, withNumbers(window), partial), same),
    merge: call(read, (config, a, b) => own.merge(config, a, b), same),
    finish: call(read, (config, partial) => own.finish(config, partial), ({ met, budgetLeft, ...figures }) => ({ ...figures, met, budgetLeft })),
  }),
};

/** One kind of a definition. */
export function kindOf(definition, key) {
  const read = (text) => parsed(definition.config, text, "configuration does");
  return kinds[key](definition[key], read);
}

/** Reads the configuration, asks the author's function, turns its answer over, and says why it failed. */
function call(read, ask, result) {
  const ended = (error) => {
    throw failure(error);
  };
  return (config, ...given) => {
    try {
      const answer = ask(read(config), ...given);
      return typeof answer?.then === "function" ? answer.then(result).catch(ended) : result(answer);
    } catch (error) {
      return ended(error);
    }
  };
}

function parsed(schema, text, what) {
  try {
    return schema.read(JSON.parse(text));
  } catch (error) {
    throw new Rejected(`the ${what} not fit: ${error.message}`);
  }
}

/** What is no failure is a mistake in the plugin: it ends the call as a trap does. */
function failure(error) {
  const known = error instanceof HostError || error instanceof HttpError ? error.asFailure() : error;
  if (!(known instanceof Failure)) return known;
  if (known instanceof Rejected) return { payload: { tag: "rejected", val: known.message } };
  if (known instanceof Retry) {
    const afterMs = known.afterMs === undefined ? undefined : BigInt(known.afterMs);
    return { payload: { tag: "retry", val: [known.message, afterMs] } };
  }
  return { payload: { tag: "other", val: known.message } };
}

function outcome({ kind, outputs, token, afterMs }) {
  return kind === "done"
    ? { tag: "done", val: JSON.stringify(outputs) }
    : { tag: "pending", val: [token, BigInt(afterMs)] };
}

function move({ kind, count, percent, replicas, spanMs, reason }) {
  const vals = { start: count, weight: percent, retire: replicas, hold: spanMs, pause: reason, "roll-back": reason };
  return { tag: kind, val: kind === "hold" ? BigInt(vals.hold) : vals[kind] };
}

function stepOf({ tag, val }) {
  const [replica, more] = Array.isArray(val) ? val : [val];
  if (tag === "start") return { kind: tag, replica, revision: more };
  return tag === "weight" ? { kind: tag, replica, weight: more } : { kind: tag, replica };
}

function nothingPending() {
  throw new Other("this plugin leaves nothing pending");
}

function same(value) {
  return value;
}
