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
export function boolean(description?: string): Schema<boolean>;
export function number(description?: string): Schema<number>;
export function integer(description?: string): Schema<number>;
export function oneOf<const T extends readonly string[]>(choices: T, description?: string): Schema<T[number]>;
export function list<T>(item: Schema<T>, description?: string): Schema<T[]>;
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

/** A capability that instances of a plugin ask for. */
export interface Capability {
  name: "kv" | "metrics" | "events" | "system" | "exec" | "tcp" | "process" | "secret" | "reveal" | "files" | "append" | "http";
  /** What it is needed for, in words for the operator who grants it. */
  reason: string;
  /** The plugin works without it, with less to offer. */
  optional: boolean;
}

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

export interface Collector<C> {
  /**
   * Finds something out, on the instance's schedule. A target that is down is a collection whose health says so, not a failure: failure
   * means that nothing could be found out.
   */
  collect(config: C, nowMs: number): Answer<Collection>;
}

export interface Collection {
  health: Health;
  /** A family per metric. */
  families?: Family[];
}

/** How a target is, for a person. */
export interface Health {
  state: "ok" | "degraded" | "failed";
  message: string;
}

export const health: {
  /** All is well. */
  ok(message: string): Health;
  /** It works, but not as it should. */
  degraded(message: string): Health;
  /** It does not work. */
  failed(message: string): Health;
};

/** Samples of one metric, as columns. */
export class Family {
  constructor(name: string, metricType: "gauge" | "counter" | "histogram" | "summary" | "unknown", help: string);
  /** `[a-zA-Z_:][a-zA-Z0-9_:]*`, with the unit as its end (`_bytes`, `_seconds`, `_ratio`). */
  name: string;
  metricType: "gauge" | "counter" | "histogram" | "summary" | "unknown";
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

/** A value that goes up and down. */
export function gauge(name: string, help: string): Family;
/** A value that only grows, by custom `..._total`. */
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

export interface DetectorWindow {
  nowMs: number;
  fromMs: number;
  series: Series[];
}

/** The samples of one series inside the window, oldest first, as two columns of equal length. */
export interface Series {
  labels: Labels;
  atMs: ArrayLike<number>;
  value: ArrayLike<number>;
}

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

// scanner-rule: what is wrong with this subject?

/** Judges files and HTTP responses. Pure: the same input gives the same output. */
export interface ScannerRule<C> {
  /** What the rule wants to see; asked once per scan. */
  interests(config: C): Answer<Interest>;
  /** Called with as many subjects as fit in 1 MiB. */
  scan(config: C, subjects: Subject[]): Answer<Finding[]>;
}

export interface Interest {
  kinds: ("file" | "http-response")[];
  /** Globs over a file's path below the scanned root; absent: all. */
  include?: string[];
  /** Globs, stronger than `include`. */
  exclude?: string[];
  /** Larger files are left out and counted. */
  maxBytes: number;
}

export type Subject =
  | { kind: "file"; path: string; content: Uint8Array }
  | { kind: "http-response"; url: string; status: number; headers: [string, string][]; body: Uint8Array };

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

export interface Incident {
  id: string;
  /** What `open` gave when it was opened. */
  key: string;
  /** The worst so far. */
  severity: Severity;
  openedAtMs: number;
  alerts: Alert[];
}

export type Placement =
  /** Into this incident (its id), which takes that severity if it is worse than its own. */
  | { kind: "join"; incident: string; severity: Severity }
  /** Into a new one. What belongs together has the same key. */
  | { kind: "open"; key: string; title: string; severity: Severity }
  /** Worth no incident; the reason is kept. */
  | { kind: "ignore"; reason: string };

// notifier: tell this recipient

export interface Notifier<C> {
  /**
   * `key` is the same for every attempt of one delivery: hand it on, so that the recipient can drop a second one. `done` carries the
   * receipt. `Retry` is delivered again later, any other failure is not.
   */
  notify(config: C, message: Message, key: string): Answer<Outcome>;
  /** Asked after `pending`, until it is done or fails. */
  poll?(config: C, token: string): Answer<Outcome>;
}

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

export interface Question {
  deployment: {
    service: string;
    /** The revision that ran before; empty on the first deployment. */
    stable: string;
    candidate: string;
    /** How many replicas a revision runs when it has all the traffic. */
    replicas: number;
    startedAtMs: number;
  };
  /** What the target sees. */
  replicas: Replica[];
  /** Counted over the candidate's (and the stable) replicas since the last move of weight. */
  analysis: {
    sinceMs: number;
    responses: number;
    failures: number;
    stableResponses: number;
    stableFailures: number;
  };
  /** A person promoted it since the last call. */
  promoted: boolean;
  /** What the last decision gave back. */
  state?: Uint8Array;
  nowMs: number;
}

export interface Decision {
  next: Move;
  /** Why, for the time line. */
  reason: string;
  /** Handed back at the next call; at most 64 KiB. */
  state?: Uint8Array;
}

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

export interface DeploymentTarget<C> {
  /** Every replica of the service that there is. */
  observe(config: C, service: string): Answer<Replica[]>;
  /**
   * `key` is the same for every attempt of one step. Every step is idempotent: a replica that is so already is done. Answer `pending` while
   * it goes on: the same step is then applied again after that time.
   */
  apply(config: C, service: string, step: Step, key: string): Answer<Outcome>;
}

/** One running copy of a revision. */
export interface Replica {
  /** Unique within the service. */
  name: string;
  revision: string;
  phase: "starting" | "healthy" | "unhealthy" | "draining" | "stopped";
  /** Share of traffic relative to the others, 0 to 256. */
  weight?: number;
  /** Counters since the replica came up: responses, and those with a status of 500 or above. */
  responses?: number;
  failures?: number;
  message?: string;
}

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

export interface Figure {
  /** Good events or samples, and all of them. */
  good: number;
  total: number;
  /** What is compared with the target, in the objective's unit; absent: no data, which is never "met". */
  attained?: number;
}

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
  function set(key: string, value: Uint8Array | string): void;
  /** Removes a key; one that is not there is removed already. */
  function remove(key: string): void;
}

/** The instance's log. Always granted; bounded in lines per call. `console` writes there, too. */
export namespace log {
  type Level = "error" | "warn" | "info" | "debug" | "trace";
  function write(level: Level, message: string): void;
  function error(message: string): void;
  function warn(message: string): void;
  function info(message: string): void;
  function debug(message: string): void;
}

/** Publishes events; each grant names a topic prefix. Committed with the call's result, dropped if the call fails. */
export namespace events {
  /** `data` has at most 64 KiB as JSON. */
  function publish(eventType: string, subject: string, data: Record<string, unknown>): void;
}

/** Reads the host's series. */
export namespace metrics {
  interface Point {
    labels: Labels;
    atMs: number;
    value: number;
  }
  /** The newest sample of every series of that name whose labels include all of `matching`, no older than five minutes. */
  function latest(name: string, matching?: Labels): Point[];
}

/** Runs programs. Each grant names a program and, optionally, argument patterns. There is no shell in between. */
export namespace exec {
  interface Command {
    /** Absolute path. */
    program: string;
    /** One by one, as the program gets them. */
    arguments?: string[];
    environment?: [string, string][];
    /** What it can read. */
    stdin?: string;
    /** Then its whole process group is ended. Unless given, 10 seconds. */
    timeoutMs?: number;
  }
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
  interface Spec {
    /** Unique within the instance. Starting a name that runs with the same spec does nothing. */
    name: string;
    /** Absolute path. */
    program: string;
    arguments?: string[];
    environment?: [string, string][];
    /** Answers 2xx when the process is ready. Checked every 500 ms. */
    healthUrl?: string;
  }
  interface Status {
    name: string;
    phase: "starting" | "healthy" | "unhealthy" | "stopping" | "exited" | "absent";
    pid?: number;
    exitCode?: number;
    /** How often the host started it again. */
    restarts: number;
  }
  /** Starts a process; does nothing if one of that name runs with the same spec, fails if it runs with another. */
  function start(spec: Spec): Status;
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
  interface Snapshot {
    cpus: { name: string; usagePercent: number; frequencyMhz: number }[];
    cpuUsagePercent: number;
    memory: {
      totalBytes: number;
      usedBytes: number;
      availableBytes: number;
      swapTotalBytes: number;
      swapUsedBytes: number;
    };
    load: { one: number; five: number; fifteen: number };
    disks: {
      name: string;
      mount: string;
      filesystem: string;
      totalBytes: number;
      availableBytes: number;
      readBytes: number;
      writtenBytes: number;
    }[];
    /** Counters since the interface came up. */
    networks: {
      name: string;
      receivedBytes: number;
      transmittedBytes: number;
      receivedPackets: number;
      transmittedPackets: number;
      receiveErrors: number;
      transmitErrors: number;
    }[];
    temperatures: { name: string; celsius: number; criticalCelsius?: number }[];
    processCount: number;
    topProcesses: { pid: number; name: string; cpuPercent: number; memoryBytes: number }[];
    bootTimeS: number;
    /** The host itself. */
    host: {
      cpuPercent: number;
      memoryBytes: number;
      uptimeSeconds: number;
      instances: number;
      calls: number;
      callFailures: number;
      logOffset: number;
      outboxDepth: number;
    };
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
  type Address = { kind: "tcp" | "tls"; host: string; port: number } | { kind: "unix"; path: string };
  class Connection {
    /** At most `max` bytes (and 1 MiB); empty at the end of the stream. */
    read(max: number): Uint8Array;
    write(bytes: Uint8Array): void;
    /** Goes on in TLS as `host`, after both sides have agreed to it (STARTTLS). After an error the connection is of no use any more. */
    startTls(host: string): void;
    /**
     * Writes `before` and the named secret after it, the two together in base64 where that is wanted. The plugin never sees the secret;
     * a fake host writes `secret:` and the name.
     */
    writeSecret(before: Uint8Array, name: string, base64?: boolean): void;
  }
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
  interface Options {
    headers?: [string, string][];
    /** For the whole exchange. Unless given, 10 seconds. */
    timeoutMs?: number;
    /** How much of the response's body is kept. Unless given, 1 MiB. */
    maxBodyBytes?: number;
  }
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
  function send(request: Request): Response;
  function get(url: string, options?: Options): Response;
  function post(url: string, body: Uint8Array | string, options?: Options): Response;
  /** Sends that value as JSON. */
  function postJson(url: string, value: unknown, options?: Options): Response;
  /** Scheme, authority and the rest of a URL. */
  function splitUrl(url: string): { scheme: string; authority: string; path: string };
}

/**
 * A host for native tests of a plugin's logic: `new FakeHost({ http: (request) => ... }).run(() => ...)`. What is not scripted fails; what was
 * written can be read from it afterwards.
 */
export class FakeHost {
  constructor(scripted?: {
    kv?: Map<string, Uint8Array>;
    /** Names and newest samples of series. */
    metrics?: [string, metrics.Point][];
    system?: system.Snapshot;
    fileSystems?: system.FileSystem[];
    exec?(command: exec.Command): exec.Finished;
    http?(request: Required<http.Request>): http.Response;
    tcp?(address: tcp.Address): { read(max: number): Uint8Array; write(bytes: Uint8Array): void };
    /** By `host:port`. */
    certificates?: Map<string, tcp.Certificate>;
    hmac?(name: string, message: Uint8Array): Uint8Array;
    /** Secrets that are revealed. */
    secrets?: Map<string, Uint8Array>;
    /** Identities and contents of files, by path. */
    files?: Map<string, [bigint, Uint8Array]>;
  });
  kv: Map<string, Uint8Array>;
  /** Lines that were written. */
  log: [log.Level, string][];
  /** Type, subject and data of what was published. */
  events: [string, string, Record<string, unknown>][];
  /** Hosts that connections went on with in TLS. What is written stays as it is. */
  tls: string[];
  /** Paths and lines that were appended. */
  lines: [string, Uint8Array][];
  /** Processes that were started, and how they are. */
  processes: Map<string, { spec: process.Spec; status: process.Status }>;
  /** Runs `body` inside this host, to its end where it is asynchronous, and gives what it gives. */
  run<T>(body: () => T): T;
}
