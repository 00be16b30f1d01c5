/**
 * What the author of a Quarterdeck plugin depends on, alone. The kinds and their names are those of every SDK; times are milliseconds
 * since 1970, UTC. A function may answer at once or with a promise.
 */

// Configurations

/** A type that is read out of JSON, and its JSON Schema. */
export interface Schema<T> {
  readonly json: Record<string, unknown>;
  /** Absent is as that value. */
  default(value: T): Optional<T>;
  /** May be absent: it is `undefined` then. */
  optional(): Optional<T | undefined>;
  /** Other words of JSON Schema: `minimum`, `pattern`, `format`, ... The host checks them for a configuration. */
  with(words: Record<string, unknown>): this;
  /** What fits out of what `JSON.parse` gave; throws a `TypeError` that says where, and what was expected. */
  read(value: unknown): T;
}

/** A type that may be absent in JSON. */
export interface Optional<T> extends Schema<T> {}

/** What a schema reads. */
export type Infer<S> = S extends Schema<infer T> ? T : never;

/** The description is what an operator reads. */
export function string(description?: string): Schema<string>;
/** `true` or `false`. */
export function boolean(description?: string): Schema<boolean>;
/** Any number. */
export function number(description?: string): Schema<number>;
/** A whole number. */
export function integer(description?: string): Schema<number>;
/** One of these texts. */
export function oneOf<const T extends readonly string[]>(choices: T, description?: string): Schema<T[number]>;
/** A list of what an item is. */
export function list<T>(item: Schema<T>, description?: string): Schema<T[]>;
/** An object with keys of any name. */
export function record<T>(item: Schema<T>, description?: string): Schema<Record<string, T>>;
/** Keys are in camel case here, and in kebab-case in JSON; unknown ones are an error. */
export function object<F extends Record<string, Schema<any>>>(
  fields: F,
  description?: string,
): Schema<{ [K in keyof F]: Infer<F[K]> }>;

// What every plugin has

type Answer<T> = T | Promise<T>;

/** Names and values. */
export type Labels = Record<string, string>;
/** Worst first. */
export type Severity = "critical" | "high" | "medium" | "low" | "info";

/** One severity scale everywhere. */
export namespace severity {
  /** The worse of the two. */
  function worse(one: Severity, other: Severity): Severity;
}

/** A capability that instances of a plugin ask for. */
export interface Capability {
  name: "kv" | "metrics" | "events" | "system" | "exec" | "tcp" | "process" | "secret" | "reveal" | "files" | "append" | "http";
  /** What it is needed for, in words for the operator who grants it. */
  reason: string;
  /** The plugin works without it, with less to offer. */
  optional: boolean;
}

/** What instances of a plugin ask for: `capability.required("http", "asks the page")`. */
export const capability: {
  /** The plugin can't work without it. */
  required(name: Capability["name"], reason: string): Capability;
  /** The plugin works without it, with less to offer. */
  optional(name: Capability["name"], reason: string): Capability;
};

/** One thing that is wrong with a configuration. */
export interface Problem {
  /** JSON Pointer to the place, "" for the whole. */
  pointer: string;
  /** What is wrong and what was expected. */
  message: string;
}

/** A plugin: what it says of itself, and at least one kind. */
export interface Definition<C, I = unknown> {
  /** Kebab-case, `http-probe`. */
  name: string;
  /** Semantic version. */
  version: string;
  /** One line for a list. */
  summary: string;
  /** What instances ask for. Nothing is given that was not granted, and only what is named here can be called. */
  capabilities?: Capability[];
  /** `object({ ... })`: what an instance is configured with. */
  config: Schema<C>;
  /** What a schema cannot say. The configuration has passed the schema already. */
  validate?(config: C): Problem[];
  /**
   * A sandbox may serve so many calls, one after another, for one instance under one configuration, and of kinds that act only. Unless given 1: a
   * new one for each.
   */
  callsOfASandbox?: number;
  collector?: Collector<C>;
  detector?: Detector<C>;
  scannerRule?: ScannerRule<C>;
  correlator?: Correlator<C>;
  notifier?: Notifier<C>;
  deploymentStrategy?: DeploymentStrategy<C>;
  deploymentTarget?: DeploymentTarget<C>;
  runbookAction?: RunbookAction<C, I>;
  slaCalculator?: SlaCalculator<C>;
}

/**
 * The default export of a plugin's module: `export default definePlugin({ ... })`. Tests call its kinds as they are: those that it was given are
 * there.
 */
export function definePlugin<C, I = unknown>(definition: Definition<C, I>): Required<Definition<C, I>>;
/** The JSON Schema (2020-12) of a plugin's configuration. */
export function configSchema(definition: { config: Schema<any> }): string;

/**
 * Why a call failed, and with it what the host does next: throw one of its three kinds. Anything else that is thrown is a mistake in the
 * plugin: it ends the call as a trap does, with its stack in the log.
 */
export class Failure extends Error {}
/** The configuration or the input is wrong; the host does not call again until it changes. */
export class Rejected extends Failure {}
/** It may work later; the host backs off, at least so many milliseconds where something said so. */
export class Retry extends Failure {
  constructor(message: string, afterMs?: number);
}
/** Anything else. Not tried again. */
export class Other extends Failure {}

/** What a kind that acts answers. */
export type Outcome =
  | { kind: "done"; outputs: Record<string, unknown> }
  | { kind: "pending"; token: string; afterMs: number };

/** Finished, with these outputs: what JSON can hold. */
export function done(outputs?: Record<string, unknown>): Outcome;
/** Still running: a token of at most 4 KiB, and after how many milliseconds to ask again. */
export function pending(token: string, afterMs: number): Outcome;

// collector: what is true of this target now?

/** Finds something out, on the instance's schedule. */
export interface Collector<C> {
  /**
   * Finds something out, on the instance's schedule. A target that is down is a collection whose health says so, not a failure: failure
   * means that nothing could be found out.
   */
  collect(config: C, nowMs: number): Answer<Collection>;
}

/** What was found out. */
export interface Collection {
  health: Health;
  /** A family per metric. */
  families?: Family[];
}

/** How a target is, for a person. */
export interface Health {
  state: State;
  /** One line. */
  message: string;
}

/** `ok`: all is well. `degraded`: it works, but not as it should. `failed`: it does not work. */
export type State = "ok" | "degraded" | "failed";

/** How a target is: `health.ok("it answers")`. */
export const health: {
  /** All is well. */
  ok(message: string): Health;
  /** It works, but not as it should. */
  degraded(message: string): Health;
  /** It does not work. */
  failed(message: string): Health;
};

/** What the figures of a family are. */
export type MetricType = "gauge" | "counter" | "histogram" | "summary" | "unknown";

/** Samples of one metric, as columns. */
export class Family {
  constructor(name: string, metricType: MetricType, help: string);
  /** A value that goes up and down. */
  static gauge(name: string, help: string): Family;
  /** A value that only grows, by custom `..._total`. */
  static counter(name: string, help: string): Family;
  /** `[a-zA-Z_:][a-zA-Z0-9_:]*`, with the unit as its end (`_bytes`, `_seconds`, `_ratio`). */
  name: string;
  metricType: MetricType;
  /** One line. */
  help: string;
  /** As many as there are values. */
  labels: Labels[];
  values: number[];
  /** A time for each of them; empty: all are of the time of the call. */
  atMs: number[];
  /** Adds a sample without labels. */
  value(value: number): this;
  /** Adds a sample. */
  sample(labels: Labels, value: number): this;
}

/** `Family.gauge`. */
export function gauge(name: string, help: string): Family;
/** `Family.counter`. */
export function counter(name: string, help: string): Family;
/** The value of a series, for tests of a collector. */
export function valueOf(collection: Collection, name: string, labels?: Labels): number | undefined;

// detector: is this series abnormal?

/** Judges series. Pure: the same input gives the same output. */
export interface Detector<C> {
  /**
   * Called once per evaluation of a rule, with every series that the rule selects. `config` is the rule's, laid over the instance's: let
   * what only a rule can know be `optional()`, and reject the call where it is missing. `state` is what the last call for that rule gave back.
   */
  evaluate(config: C, window: DetectorWindow, state?: Uint8Array): Answer<Verdict>;
}

/** What there is to judge. */
export interface DetectorWindow {
  /** The time of the evaluation. */
  nowMs: number;
  /** Where the window begins. */
  fromMs: number;
  /** Every series that the rule selects. */
  series: Series[];
}

/** The samples of one series inside the window, oldest first, as two columns of equal length. */
export interface Series {
  /** Its dimensions. */
  labels: Labels;
  atMs: ArrayLike<number>;
  value: ArrayLike<number>;
}

/** Which series are abnormal, and what to remember. */
export interface Verdict {
  /** A series without a signal is normal. */
  signals?: Signal[];
  /** Handed back at the next call of the same rule; at most 64 KiB. */
  state?: Uint8Array;
  /** Samples of its own; at most eight for each series of the window. */
  derived?: Derived[];
}

/**
 * What the detector says of one series as a sample of its own, at the time of the evaluation: whether it is an anomaly, what was expected.
 * Stored with the labels of that series and the rule's name as `rule`, and queried like any other.
 */
export interface Derived {
  /** Index into the window's series. */
  series: number;
  /** Name of the metric: `anomaly_bit`. */
  metric: string;
  /** Its value now. */
  value: number;
}

/** One judgement about one series. */
export interface Signal {
  /** Index into the window's series. */
  series: number;
  severity: Severity;
  /** What was measured. */
  value: number;
  /** What would be normal, where that can be said. */
  expected?: number;
  /** For a person: `is 97, at or above 90`. */
  reason: string;
}

/** What detectors remember of each series, and how they say what they found. */
export namespace detector {
  /** What the host keeps for a rule at most, in bytes. */
  const STATE_BYTES: number;

  /** Stands for a set of labels, whatever their order, in 64 bits (FNV-1a). */
  function key(labels: Labels): bigint;

  /**
   * A few bytes for each series. Where they don't fit, those that were not seen for longest are left out; of those that were seen within the last
   * hour, newcomers: what has been learned is worth more than what has not, also where its series misses a moment. The bytes are those of every
   * SDK: a detector that is written anew in another language goes on with what it learned.
   *
   * ```js
   * const memory = detector.Memory.read(state, 1, window.nowMs, 3_600_000);
   * for (const { labels } of window.series) {
   *   const seen = memory.get(detector.key(labels))?.[0] ?? 0;
   *   memory.set(detector.key(labels), window.nowMs, [Math.min(seen + 1, 255)]);
   * }
   * return { signals, state: memory.write().state };
   * ```
   */
  class Memory {
    /** An empty one, of a version from 0 to 255; throws a `RangeError` over another. */
    constructor(version: number);
    /**
     * What `write` of the same version wrote, without what was not seen for longer than `keepMs` milliseconds. What can't be read is nothing: then
     * everything is learned anew.
     */
    static read(state: Uint8Array | undefined, version: number, nowMs: number, keepMs: number): Memory;
    /** What is remembered of a series. */
    get(key: bigint): Uint8Array | undefined;
    /** Remembers it, at most 64 KiB less a few bytes. */
    set(key: bigint, nowMs: number, bytes: Iterable<number>): void;
    /** Forgets it. */
    remove(key: bigint): void;
    /** How many series it knows. */
    readonly size: number;
    /** The state to hand back (`undefined`, if nothing is remembered), and which series did not fit. */
    write(): { state: Uint8Array | undefined; leftOut: bigint[] };
  }

  /**
   * Takes figures off the front of bytes, lowest byte first, as a `DataView` writes them with `littleEndian`. What is not there is `undefined`, and
   * leaves the rest as it is.
   */
  class Reader {
    /** Reads from the beginning. */
    constructor(bytes: Uint8Array);
    /** So many bytes. */
    bytes(count: number): Uint8Array | undefined;
    /** One byte. */
    u8(): number | undefined;
    /** Two bytes. */
    u16(): number | undefined;
    /** Two bytes, which may be negative. */
    i16(): number | undefined;
    /** Four bytes. */
    u32(): number | undefined;
    /** Eight bytes. */
    u64(): bigint | undefined;
    /** Eight bytes, which may be negative. */
    i64(): bigint | undefined;
    /** Four bytes; what is no finite number can't have been written. */
    f32(): number | undefined;
    /** Eight bytes; what is no finite number can't have been written. */
    f64(): number | undefined;
    /** Whether everything was taken. */
    isAtEnd(): boolean;
  }

  /** Figures and times in the words of a signal's reason. */
  namespace words {
    /** A figure with as many digits as a person reads: `97.12`, `0.00123`, `1200000`. */
    function figure(value: number): string;
    /** A length of time: `42 s`, `12 min`, `5 h`, `3.5 days`. */
    function span(seconds: number): string;
  }
}

/**
 * Robust statistics that detectors need: medians and spreads that a few outliers don't move, and trends that are more than chance. Nothing here
 * throws over what is no number: such values are left out, and what can't be said is `undefined`. The figures are those of every SDK.
 */
export namespace statistics {
  /** What the median absolute deviation is multiplied with to estimate the standard deviation of normal figures: 1 / Φ⁻¹(3/4). */
  const MAD_TO_SIGMA: number;
  /** The value below which a share `q` (0 to 1) of the finite values lies, interpolated linearly (Hyndman & Fan 1996, type 7). */
  function quantile(values: Iterable<number> | ArrayLike<number>, q: number): number | undefined;
  /** The median of the finite values. */
  function median(values: Iterable<number> | ArrayLike<number>): number | undefined;
  /** The median and the spread around it: the median absolute deviation, scaled to the standard deviation of normal figures. */
  function centreAndSpread(values: Iterable<number> | ArrayLike<number>): { centre: number; spread: number } | undefined;
  /** The probability that a standard normal figure is greater than `z` (Abramowitz & Stegun 1964, 26.2.17: off by at most 7.5e-8). */
  function normalTail(z: number): number;
  /**
   * How many standard deviations either side of the mean hold a share `confidence` (0 to 1) of normal figures: 1.96 for 0.95. Found by halving, so
   * as exact as `normalTail`.
   */
  function normalWidth(confidence: number): number;

  /**
   * Whether figures go up or down over time by more than chance, and how fast: the test of Mann and Kendall with the variance of Hamed & Rao (1998),
   * the slope of Theil and Sen. Figures that begin anew in between (a process that was restarted) are taken in runs. Every pair of points is looked
   * at, so take a hundred of them (`thinned`), not ten thousand.
   */
  namespace trend {
    /** A figure at a time. */
    interface Point {
      /** Seconds since the beginning of what is looked at. */
      seconds: number;
      value: number;
    }
    /** What the figures do over time. */
    interface Trend {
      /** Change per second. */
      slope: number;
      /** The slope is at least this, with the confidence that was asked for. */
      lower: number;
      /** And at most this. */
      upper: number;
      /** Kendall's: the share of pairs that rise less the share of those that fall, -1 to 1. How well "it only ever rises" fits. */
      tau: number;
      /** How probable it is that figures without a trend go as far in this direction or the other. */
      probability: number;
      /** Points that were compared. */
      points: number;
    }
    /**
     * At most `most` points that are spread evenly over the time from `fromMs` to `toMs`: the median of each stretch, at the mean of its times. What
     * is no finite number, or outside, is left out; the order of the samples does not matter, nor that times occur twice.
     */
    function thinned(atMs: ArrayLike<number>, value: ArrayLike<number>, fromMs: number, toMs: number, most: number): Point[];
    /**
     * Cuts points where they begin anew: where a figure falls, from one point to the next, by more than a third of the whole range and by more than
     * `usual` times the median of such steps. A garbage collector's drops are usual, a restart's is not.
     */
    function runs(points: Point[], usual: number): Point[][];
    /**
     * The trend of points that may begin anew in between; `confidence` is that of the slope's interval (0.95). `undefined` with fewer than four
     * points in a run.
     */
    function trend(runs: Point[][], confidence: number): Trend | undefined;
    /**
     * Where a line of this slope (per second) stands at a time (the median of where each point would have it), and how far points stray from it:
     * their median absolute deviation, scaled to a standard deviation.
     */
    function level(run: Point[], slope: number, seconds: number): { level: number; stray: number } | undefined;
  }
}

/** How a figure is compared: `<`, `<=`, `>`, `>=`, `==` (also written `=`), `!=`. */
export type Comparison = "less" | "less-or-equal" | "greater" | "greater-or-equal" | "equal" | "not-equal";

/** A comparison with a number, as people write it: `>= 1`, `< 0.5`, `!= 0`. */
export class Condition {
  constructor(comparison: Comparison, number: number);
  /** Reads what a person wrote; throws a `SyntaxError` where it is no condition. */
  static parse(text: string): Condition;
  /** How it is compared. */
  comparison: Comparison;
  /** With what. */
  number: number;
  /** Whether a figure fulfils it. What is not a number fulfils nothing. */
  holds(value: number): boolean;
  /** `>= 1` */
  toString(): string;
}

// scanner-rule: what is wrong with this subject?

/** Judges files and HTTP responses. Pure: the same input gives the same output. */
export interface ScannerRule<C> {
  /** What the rule wants to see; asked once per scan. */
  interests(config: C): Answer<Interest>;
  /** Called with as many subjects as fit in 1 MiB. */
  scan(config: C, subjects: Subject[]): Answer<Finding[]>;
}

/** What a rule wants to see. */
export interface Interest {
  /** Files, responses, or both. */
  kinds: SubjectKind[];
  /** Globs over a file's path below the scanned root; absent: all. */
  include?: string[];
  /** Globs, stronger than `include`. */
  exclude?: string[];
  /** Larger files are left out and counted. */
  maxBytes: number;
}

/** See `Subject`. */
export type SubjectKind = "file" | "http-response";

/** What is looked at. */
export type Subject = ({ kind: "file" } & File) | ({ kind: "http-response" } & HttpResponse);

/** A file below the scanned root. */
export interface File {
  /** Below the root, with `/` between its parts. */
  path: string;
  /** All of it. */
  content: Uint8Array;
}

/** The answer of a page that was fetched. */
export interface HttpResponse {
  /** As it was asked for. */
  url: string;
  status: number;
  /** In the order of the response; a name may stand more than once, in any case. */
  headers: [string, string][];
  /** The first 64 KiB. */
  body: Uint8Array;
}

/** One thing that is wrong. */
export interface Finding {
  /** Index into the subjects of the call. */
  subject: number;
  /** Stable, kebab-case: `secrets/aws-access-key`. */
  rule: string;
  /** One line, the same for every finding of the rule. */
  title: string;
  severity: Severity;
  /** What was seen, with secrets masked. */
  message: string;
  /** What to do instead. */
  remediation: string;
  /** From 1. */
  line?: number;
  /** From 1. */
  column?: number;
  /** CWE number, where there is one. */
  cwe?: number;
  /** The same as long as the finding is the same, also when lines above it move. */
  fingerprint: string;
}

// correlator: which incident does this alert belong to, and how severe is it?

/** Gathers alerts in incidents. Pure: the same input gives the same output. */
export interface Correlator<C> {
  /** Called once for each alert that starts to fire, with every open incident, oldest first. */
  correlate(config: C, alert: Alert, open: Incident[], nowMs: number): Answer<Placement>;
}

/** An alert that fires. */
export interface Alert {
  fingerprint: string;
  /** The rule's name. */
  name: string;
  severity: Severity;
  labels: Labels;
  summary: string;
  /** When the series became abnormal. */
  activeAtMs: number;
}

/** An incident that is open. */
export interface Incident {
  id: string;
  /** What `open` gave when it was opened. */
  key: string;
  /** The worst so far. */
  severity: Severity;
  openedAtMs: number;
  alerts: Alert[];
}

/** Where an alert goes. */
export type Placement =
  /** Into this incident (its id), which takes that severity if it is worse than its own. */
  | { kind: "join"; incident: string; severity: Severity }
  /** Into a new one. What belongs together has the same key. */
  | { kind: "open"; key: string; title: string; severity: Severity }
  /** Worth no incident; the reason is kept. */
  | { kind: "ignore"; reason: string };

// notifier: tell this recipient

/** Tells a recipient. */
export interface Notifier<C> {
  /**
   * `key` is the same for every attempt of one delivery: hand it on, so that the recipient can drop a second one. `done` carries the
   * receipt. `Retry` is delivered again later, any other failure is not.
   */
  notify(config: C, message: Message, key: string): Answer<Outcome>;
  /** Asked after `pending`, until it is done or fails. */
  poll?(config: C, token: string): Answer<Outcome>;
}

/** What to tell. */
export interface Message {
  /** Type of the event that it is about: `alert.firing`, `incident.opened`. */
  eventType: string;
  subject: string;
  /** One line. */
  title: string;
  /** Text, of any length. */
  body: string;
  severity: Severity;
  labels: Labels;
  atMs: number;
  /** Page of the subject on this host. */
  url: string;
  /** The event's data, as a JSON object. */
  data: string;
}

// deployment-strategy: what is the next move?

/** Decides how a deployment goes on. Pure: the same input gives the same output. */
export interface DeploymentStrategy<C> {
  /** Called when the last move is done. */
  decide(config: C, question: Question): Answer<Decision>;
}

/** How things stand. */
export interface Question {
  /** What is deployed. */
  deployment: Deployment;
  /** What the target sees. */
  replicas: Replica[];
  /** What happened to the traffic. */
  analysis: Analysis;
  /** A person promoted it since the last call. */
  promoted: boolean;
  /** What the last decision gave back. */
  state?: Uint8Array;
  nowMs: number;
}

/** What is deployed. */
export interface Deployment {
  /** Its name. */
  service: string;
  /** The revision that ran before; empty on the first deployment. */
  stable: string;
  /** The revision that is to run. */
  candidate: string;
  /** How many replicas a revision runs when it has all the traffic. */
  replicas: number;
  startedAtMs: number;
}

/** Counted over the candidate's (and the stable) replicas since the last move of weight. */
export interface Analysis {
  /** Since when. */
  sinceMs: number;
  /** Of the candidate. */
  responses: number;
  /** Of the candidate: with a status of 500 or above. */
  failures: number;
  /** Of the stable revision. */
  stableResponses: number;
  /** Of the stable revision: with a status of 500 or above. */
  stableFailures: number;
}

/** A move, and why. */
export interface Decision {
  next: Move;
  /** Why, for the time line. */
  reason: string;
  /** Handed back at the next call; at most 64 KiB. */
  state?: Uint8Array;
}

/** What to do next. */
export type Move =
  /** Start so many more replicas of the candidate. */
  | { kind: "start"; count: number }
  /** The candidate's share of the traffic, in percent. The host divides it over the replicas. */
  | { kind: "weight"; percent: number }
  /** Drain and stop these replicas. */
  | { kind: "retire"; replicas: string[] }
  /** Look again after so many milliseconds. */
  | { kind: "hold"; spanMs: number }
  /** Wait for a person's promotion; says what for. */
  | { kind: "pause"; reason: string }
  /** The candidate is the stable revision now. Refused by the host while the candidate has not all the traffic. */
  | { kind: "complete" }
  /** Go back: the host takes all traffic from the candidate and retires it. */
  | { kind: "roll-back"; reason: string };

// deployment-target: carry out this move; what do you see?

/** Carries out moves of a deployment, and says what it sees. */
export interface DeploymentTarget<C> {
  /** Every replica of the service that there is. */
  observe(config: C, service: string): Answer<Replica[]>;
  /**
   * `key` is the same for every attempt of one step. Every step is idempotent: a replica that is so already is done. Answer `pending` while
   * it goes on: the same step is then applied again after that time.
   */
  apply(config: C, service: string, step: Step, key: string): Answer<Outcome>;
}

/** How far a replica is. `unhealthy`: failing its health check, or gone without being asked to. `draining`: finishing what is in flight. */
export type Phase = "starting" | "healthy" | "unhealthy" | "draining" | "stopped";

/** One running copy of a revision. */
export interface Replica {
  /** Unique within the service. */
  name: string;
  /** What it runs. */
  revision: string;
  phase: Phase;
  /** Share of traffic relative to the others, 0 to 256. */
  weight?: number;
  /** Counters since the replica came up: responses, and those with a status of 500 or above. */
  responses?: number;
  failures?: number;
  message?: string;
}

/** One step of a move. */
export type Step =
  /** Start a replica of a revision, with no traffic. */
  | { kind: "start"; replica: string; revision: string }
  /** Give a replica a weight, 0 to 256. */
  | { kind: "weight"; replica: string; weight: number }
  /** No new connections; done when those in flight have ended or the grace of the configuration is over. */
  | { kind: "drain"; replica: string }
  /** Stop it and forget it. */
  | { kind: "stop"; replica: string };

// runbook-action: do this step, or say what it would do

/** Carries out one step of a runbook. */
export interface RunbookAction<C, I> {
  /** `object({ ... })`: what the step is given (`with` in the runbook), with its placeholders filled in. */
  inputs: Schema<I>;
  /** What `run` would do, in words for a person, and the effects that it would ask for. `undefined`: it can't tell. */
  plan(config: C, inputs: I): Answer<string | undefined>;
  /**
   * `key` is the same for every attempt of one step: use it so that doing it twice does no harm.
   *
   * The failure says what is known. `Rejected`: nothing was done. `Other`: it has ended, and failed. Both are tried again up to the step's
   * `attempts`. `Retry`: it may have been done all the same; it is tried again only if the step is `idempotent`, and else ends as `unknown`.
   */
  run(config: C, inputs: I, key: string): Answer<Outcome>;
  /** Asked after `pending`, until it is done or fails. */
  poll?(config: C, token: string): Answer<Outcome>;
  /** The run was cancelled: stop what the token stands for. Called at least once, also after a restart. */
  cancel?(config: C, token: string): Answer<void>;
}

// sla-calculator: what was attained?

/** Pure, and it folds and merges, so that a month is not read twice: `merge(fold(a), fold(b))` equals `fold(a + b)`. */
export interface SlaCalculator<C> {
  /** Adds a part of the period. `partial` is what a fold or merge gave before, absent at the start; at most 256 KiB. */
  fold(config: C, window: SlaWindow, partial?: Uint8Array): Answer<Uint8Array>;
  /** Puts two parts together. */
  merge(config: C, a: Uint8Array, b: Uint8Array): Answer<Uint8Array>;
  /** The figures. */
  finish(config: C, partial: Uint8Array): Answer<Attainment>;
}

/** Samples of one part of the period, oldest first, as two columns. */
export interface SlaWindow {
  fromMs: number;
  toMs: number;
  atMs: number[];
  value: ArrayLike<number>;
  /** Spans, with their first and without their last millisecond. A sample inside counts in the raw figure only. */
  exclusions: [number, number][];
}

/** Every sample, and whether an exclusion holds it. */
export function samples(window: SlaWindow): Iterable<{ atMs: number; value: number; isExcluded: boolean }>;

/** One figure. */
export interface Figure {
  /** Good events or samples, and all of them. */
  good: number;
  total: number;
  /** What is compared with the target, in the objective's unit; absent: no data, which is never "met". */
  attained?: number;
}

/** What was attained. */
export interface Attainment {
  /** With exclusions taken from numerator and denominator. */
  adjusted: Figure;
  /** With everything. */
  raw: Figure;
  /** Whether the adjusted figure meets the target; absent: no data. */
  met?: boolean;
  /** Share of the error budget left: 1 at the start, negative when overspent; absent: no budget, or no data. */
  budgetLeft?: number;
}

// What the host does for a plugin

/**
 * Why the host did not do it. Where a plugin does not catch it, the call fails with what fits: what is denied stays denied until somebody
 * grants it, anything else may work later.
 */
export class HostError extends Error {}
/** Not granted, or outside the granted scope; names the grant that would allow it. */
export class Denied extends HostError {}
/** A limit of the instance is used up. */
export class Limited extends HostError {}
/** It was tried and did not work. */
export class Failed extends HostError {}

/**
 * The instance's own key-value space, bounded by its quota. Writes are committed with the call's result, and dropped if the call fails. Keys
 * have at most 512 bytes, values 256 KiB.
 */
export namespace kv {
  /** The value of a key. Sees this call's own writes. */
  function get(key: string): Uint8Array | undefined;
  /** The same as text. */
  function getText(key: string): string | undefined;
  /** Sets the value of a key; a text as UTF-8. */
  function set(key: string, value: Uint8Array | string): void;
  /** Removes a key; one that is not there is removed already. */
  function remove(key: string): void;
}

/** The instance's log. Always granted; bounded in lines per call. `console` writes there, too. */
export namespace log {
  /** How loud. `error`: an operator must act. `debug`: for whoever works on the plugin. */
  type Level = "error" | "warn" | "info" | "debug" | "trace";
  /** Writes one line. */
  function write(level: Level, message: string): void;
  /** Writes one line at `error`. */
  function error(message: string): void;
  /** Writes one line at `warn`. */
  function warn(message: string): void;
  /** Writes one line at `info`. */
  function info(message: string): void;
  /** Writes one line at `debug`. */
  function debug(message: string): void;
  /** Writes one line at `trace`. */
  function trace(message: string): void;
}

/** Publishes events; each grant names a topic prefix. Committed with the call's result, dropped if the call fails. */
export namespace events {
  /** `data` has at most 64 KiB as JSON. */
  function publish(eventType: string, subject: string, data: Record<string, unknown>): void;
}

/** The time of day. Always granted. */
export namespace clock {
  /**
   * UTC, milliseconds since 1970. In a kind that decides it is the time that its input says, and stands still for the whole call; in one that acts
   * it is the host's. In a native test it is what the `FakeHost` around it says, and the machine's own without one or where that says nothing.
   */
  function nowMs(): number;
}

/** Reads the host's series. */
export namespace metrics {
  /** One sample of one series. */
  interface Point {
    labels: Labels;
    atMs: number;
    value: number;
  }
  /** The newest sample of every series of that name whose labels include all of `matching`, no older than five minutes. */
  function latest(name: string, matching?: Labels): Point[];
}

/** Runs programs. Each grant names a program and, optionally, argument patterns and variables. There is no shell in between. */
export namespace exec {
  /** What to run. */
  interface Command {
    /** Absolute path. */
    program: string;
    /** One by one, as the program gets them. */
    arguments?: string[];
    /** Names and values. Each name has to stand in `environment` of the program's grant. */
    environment?: [string, string][];
    /** What it can read. */
    stdin?: string;
    /** Then its whole process group is ended. Unless given, 10 seconds. */
    timeoutMs?: number;
  }
  /** How it ended. */
  interface Finished {
    /** Absent when a signal ended it. */
    exitCode?: number;
    /** At most 64 KiB each, the end kept. */
    stdout: string;
    stderr: string;
    /** One of the two was longer. */
    truncated: boolean;
    durationMs: number;
  }
  /** Runs a program to its end. Never run twice by the host. */
  function run(command: Command): Finished;
}

/** Processes that the host starts, watches and stops for the instance, across restarts of the host. */
export namespace process {
  /** What to run. */
  interface Spec {
    /** Unique within the instance. Starting a name that runs with the same spec does nothing. */
    name: string;
    /** Absolute path. */
    program: string;
    arguments?: string[];
    /** Names and values. Each name has to stand in `environment` of the program's grant. */
    environment?: [string, string][];
    /** Answers 2xx when the process is ready. Checked every 500 ms. */
    healthUrl?: string;
  }
  /** How a process is. `unhealthy`: runs, and fails its health check. `exited`: ended, without being asked to. `absent`: there is none. */
  type Phase = "starting" | "healthy" | "unhealthy" | "stopping" | "exited" | "absent";
  /** How a process is. */
  interface Status {
    /** As in its `Spec`. */
    name: string;
    phase: Phase;
    /** While it runs. */
    pid?: number;
    /** After it ended; absent when a signal ended it. */
    exitCode?: number;
    /** How often the host started it again. */
    restarts: number;
  }
  /** Starts a process; does nothing if one of that name runs with the same spec, fails if it runs with another. */
  function start(spec: Spec): Status;
  /** How a process is; `absent` if there is none. */
  function status(name: string): Status;
  /** SIGTERM, after `graceMs` SIGKILL, to the whole group. */
  function stop(name: string, graceMs: number): Status;
}

/** Secrets that the host uses for the plugin, without handing them over. */
export namespace secret {
  /** The MAC of `message` under the named secret. */
  function hmacSha256(name: string, message: Uint8Array): Uint8Array;
  /**
   * An opaque text that the host replaces by the secret in the headers, and in the path and query of the URL, of a request to a granted origin.
   */
  function headerValue(name: string): string;
}

/**
 * Secrets, as they are, for protocols in which the plugin has to say them. A grant of its own (`reveal`): where `secret` does, prefer that.
 */
export namespace reveal {
  /** The named secret, without line ends behind it. It belongs into no message and no log. */
  function secret(name: string): Uint8Array;
}

/** Reads granted files, in parts. Each grant names a file, or a folder by a `/` at its end. */
export namespace files {
  /** Of one read at most. */
  const READ_BYTES: number;
  /** A part of a file. */
  interface Part {
    /** Empty at the end of the file. */
    bytes: Uint8Array;
    /** Of the whole file. */
    sizeBytes: number;
    /**
     * Stays the same while the file is renamed, and differs between files that there are at one time. It has all of its 64 bits;
     * `String(identity)` is what JSON can hold.
     */
    identity: bigint;
  }
  /**
   * At most `max` bytes (and `READ_BYTES`) from `offset` on. `undefined`: there is no such file. What is no plain file is refused, and so is
   * a link that leads out of a granted folder.
   */
  function read(path: string, offset: number, max: number): Part | undefined;
}

/** Appends lines to granted files. Each grant names a file, or a folder by a `/` at its end. */
export namespace append {
  /** Of one line at most. */
  const LINE_BYTES: number;
  /**
   * Appends `bytes`, at most `LINE_BYTES` without a line end in them, and a line end. A file that is not there is made. When it returns, the
   * line is on the disk; where it fails, the line may be there.
   */
  function line(path: string, bytes: Uint8Array): void;
}

/** Facts about the machine that the host runs on. */
export namespace system {
  /** Everything at once, so that figures belong together. */
  interface Snapshot {
    /** One per core. */
    cpus: Cpu[];
    /** Of all cores together, 0 to 100. */
    cpuUsagePercent: number;
    memory: Memory;
    load: Load;
    /** One per mounted file system. */
    disks: Disk[];
    /** One per interface. */
    networks: Network[];
    /** One per sensor; a virtual machine has none. */
    temperatures: Temperature[];
    /** Processes in all. */
    processCount: number;
    /** Those that use the CPU most, first. */
    topProcesses: Process[];
    /** When the machine came up, seconds since 1970. */
    bootTimeS: number;
    /** The host itself. */
    host: Vitals;
  }
  /** A core. */
  interface Cpu {
    name: string;
    /** 0 to 100. */
    usagePercent: number;
    frequencyMhz: number;
  }
  /** Memory and swap of the whole machine. */
  interface Memory {
    totalBytes: number;
    usedBytes: number;
    /** What programs could still have. */
    availableBytes: number;
    swapTotalBytes: number;
    swapUsedBytes: number;
  }
  /** Load averages over one, five and fifteen minutes. */
  interface Load {
    one: number;
    five: number;
    fifteen: number;
  }
  /** A mounted file system. What was read and written are counters. */
  interface Disk {
    /** The device. */
    name: string;
    /** Where it is mounted. */
    mount: string;
    filesystem: string;
    totalBytes: number;
    /** What a user could still have. */
    availableBytes: number;
    readBytes: number;
    writtenBytes: number;
  }
  /** A network interface; counters since it came up. */
  interface Network {
    name: string;
    receivedBytes: number;
    transmittedBytes: number;
    receivedPackets: number;
    transmittedPackets: number;
    receiveErrors: number;
    transmitErrors: number;
  }
  /** A sensor. */
  interface Temperature {
    name: string;
    celsius: number;
    /** Where the machine would switch itself off. */
    criticalCelsius?: number;
  }
  /** A process. */
  interface Process {
    pid: number;
    name: string;
    /** Of one core: may be above 100. */
    cpuPercent: number;
    /** Resident. */
    memoryBytes: number;
  }
  /** The host itself. */
  interface Vitals {
    /** Of one core: may be above 100. */
    cpuPercent: number;
    /** Resident. */
    memoryBytes: number;
    /** Since its start. */
    uptimeSeconds: number;
    /** Instances of plugins. */
    instances: number;
    /** Calls of plugins since the start. */
    calls: number;
    /** Those of them that failed. */
    callFailures: number;
    /** Of the newest event. */
    logOffset: number;
    /** Effects that wait for their delivery. */
    outboxDepth: number;
  }
  /** Everything at once, so that figures belong together. `top` bounds the processes, by CPU. */
  function take(top: number): Snapshot;
  /** What a file system holds. */
  interface Space {
    totalBytes: number;
    /** All free blocks. */
    freeBytes: number;
    /** Those of them that are not kept for root. */
    availableBytes: number;
    /** Zero where their number is not fixed. */
    inodesTotal: number;
    inodesFree: number;
  }
  /** One that is mounted. */
  interface FileSystem {
    device: string;
    mount: string;
    filesystem: string;
    readOnly: boolean;
    /** Absent: it does not answer, as a network file system whose server is gone. It is not waited for. */
    space?: Space;
  }
  /** Those that are mounted and hold something, network ones too, by mount. */
  function fileSystems(): FileSystem[];
}

/** A stream to a granted host and port, or Unix socket. */
export namespace tcp {
  /** Where to. With `tls` the host of the plugin does the handshake and checks the certificate. */
  type Address = { kind: "tcp" | "tls"; host: string; port: number } | { kind: "unix"; path: string };
  /** An open stream. */
  class Connection {
    /** At most `max` bytes (and 1 MiB); empty at the end of the stream. */
    read(max: number): Uint8Array;
    write(bytes: Uint8Array): void;
    /** Goes on in TLS as `host`, after both sides have agreed to it (STARTTLS). After an error the connection is of no use any more. */
    startTls(host: string): void;
    /**
     * Writes `before` and the named secret after it, the two together in base64 where that is wanted. The plugin is not handed the
     * secret: where the peer says it again, a placeholder is read. A peer that says it in another form than as it is or in base64 -
     * encrypted, compressed, in parts - defeats that. A fake host writes `secret:` and the name.
     */
    writeSecret(before: Uint8Array, name: string, base64?: boolean): void;
  }
  /** What the peer of a TLS handshake presented, whether trusted or not. Times are seconds since 1970. */
  interface Certificate {
    subject: string;
    issuer: string;
    notBeforeS: number;
    notAfterS: number;
    names: string[];
  }
  /** Fails after five seconds without an answer. */
  function connect(address: Address): Connection;
  /** `/run/a.sock` and `unix:/run/a.sock` are Unix sockets, `host:port` is TCP. */
  function parse(text: string): Address | undefined;
  /** Does a TLS handshake and says what the peer presented, whether trusted or not. */
  function peerCertificate(host: string, port: number): Certificate;
}

/** A small synchronous HTTP client. Redirects are not followed; origins have to be granted (`http`). */
export namespace http {
  /** What else a request may have. */
  interface Options {
    headers?: [string, string][];
    /** For the whole exchange. Unless given, 10 seconds. */
    timeoutMs?: number;
    /** How much of the response's body is kept. Unless given, 1 MiB. */
    maxBodyBytes?: number;
  }
  /** A request. */
  interface Request extends Options {
    /** Unless given, `GET`. */
    method?: string;
    /** `http://` or `https://`. */
    url: string;
    body?: Uint8Array | string;
  }
  /** A response, whatever its status. */
  class Response {
    constructor(given?: {
      status?: number;
      headers?: [string, string][];
      body?: Uint8Array | string;
      truncated?: boolean;
    });
    status: number;
    headers: [string, string][];
    /** At most `maxBodyBytes` of it. */
    body: Uint8Array;
    /** There was more of it. */
    truncated: boolean;
    /** True for 200 to 299. */
    readonly isSuccess: boolean;
    /** The first value of a header, whose name is compared without case. */
    header(name: string): string | undefined;
    text(): string;
    json(): any;
  }
  /** Why there is no response. What is invalid or denied stays so, anything else may work later. */
  class HttpError extends Error {
    constructor(code: HttpError["code"], message: string);
    code: "invalid" | "denied" | "connect" | "tls" | "timeout" | "failed";
  }
  /** Sends it and reads the response. Throws an `HttpError`. */
  function send(request: Request): Response;
  /** Sends a `GET`. */
  function get(url: string, options?: Options): Response;
  /** Sends a `POST`. */
  function post(url: string, body: Uint8Array | string, options?: Options): Response;
  /** Sends that value as JSON. */
  function postJson(url: string, value: unknown, options?: Options): Response;
  /** Scheme, authority and the rest of a URL. Throws an `HttpError`, `invalid`. */
  function splitUrl(url: string): { scheme: string; authority: string; path: string };
  /** Host and port of a URL, without user information; the port is the scheme's unless given. Throws an `HttpError`, `invalid`. */
  function hostAndPort(url: string): { host: string; port: number };
}

/** Runs a program, in a native test. */
export type Exec = (command: exec.Command) => exec.Finished;
/** Answers a request, in a native test. */
export type Fetch = (request: Required<http.Request>) => http.Response;
/** Opens a stream, in a native test. */
export type Connect = (address: tcp.Address) => Stream;
/** Makes a MAC: the secret's name, the message. */
export type Hmac = (name: string, message: Uint8Array) => Uint8Array;
/** What a fake TCP connection reads from and writes to. */
export interface Stream {
  /** At most `max` bytes; empty at the end of the stream. */
  read(max: number): Uint8Array;
  write(bytes: Uint8Array): void;
}

/**
 * A host for native tests of a plugin's logic: `new FakeHost({ http: (request) => ... }).run(() => ...)`. What is not scripted fails; what was
 * written can be read from it afterwards.
 */
export class FakeHost {
  constructor(scripted?: Partial<Omit<FakeHost, "run" | "advance">>);
  /** Lines that were written. */
  log: [log.Level, string][];
  /** The instance's key-value space. */
  kv: Map<string, Uint8Array>;
  /** Names and newest samples of series. */
  metrics: [string, metrics.Point][];
  /** Type, subject and data of what was published. */
  events: [string, string, Record<string, unknown>][];
  /** The machine. */
  system?: system.Snapshot;
  /** Its file systems. */
  fileSystems?: system.FileSystem[];
  /** Runs programs. */
  exec?: Exec;
  /** Answers requests. */
  http?: Fetch;
  /** Opens streams. */
  tcp?: Connect;
  /** Hosts that connections went on with in TLS. What is written stays as it is. */
  tls: string[];
  /** By `host:port`. */
  certificates: Map<string, tcp.Certificate>;
  /** Paths and lines that were appended. */
  lines: [string, Uint8Array][];
  /** Processes that were started, and how they are. */
  processes: Map<string, { spec: process.Spec; status: process.Status }>;
  /** Makes MACs. */
  hmac?: Hmac;
  /** Secrets that are revealed. */
  secrets: Map<string, Uint8Array>;
  /** Identities and contents of files, by path. */
  files: Map<string, [bigint, Uint8Array]>;
  /** What `clock.nowMs` says: UTC, milliseconds since 1970. It stands still. Without it, the machine's clock. */
  nowMs?: number;
  /** Sets the clock that much on, or back where that is negative; from the machine's time where none was set. */
  advance(byMs: number): void;
  /** Runs `body` inside this host, to its end where it is asynchronous, and gives what it gives. */
  run<T>(body: () => T): T;
}
