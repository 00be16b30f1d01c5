// What the author of a Quarterdeck plugin depends on, alone: a set of functions per kind, plain objects, and the host's imports as
// functions. Not here: anything of the host, and anything that an author would have to know about WIT. `index.d.ts` documents it.

export { capability, configSchema, definePlugin } from "./plugin.js";
export { Failure, Other, Rejected, Retry, done, pending } from "./failure.js";
export { Family, counter, gauge, health, valueOf } from "./collector.js";
export { Condition } from "./condition.js";
export * as detector from "./detector.js";
export * as severity from "./severity.js";
export * as statistics from "./statistics.js";
export { samples } from "./sla-calculator.js";
export { boolean, integer, list, number, object, oneOf, record, string } from "./schema.js";
export { Denied, Failed, HostError, Limited } from "./host.js";
export * as http from "./http.js";
export * as append from "./host/append.js";
export * as clock from "./host/clock.js";
export * as events from "./host/events.js";
export * as exec from "./host/exec.js";
export * as files from "./host/files.js";
export * as kv from "./host/kv.js";
export * as log from "./host/log.js";
export * as metrics from "./host/metrics.js";
export * as process from "./host/process.js";
export * as reveal from "./host/reveal.js";
export * as secret from "./host/secret.js";
export * as system from "./host/system.js";
export * as tcp from "./host/tcp.js";
export { FakeHost } from "./fake-host.js";
