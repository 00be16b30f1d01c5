// Processes that the host starts, watches and stops for the instance.

import { Failed, call } from "../host.js";

const absent = (name) => ({ name, phase: "absent", pid: undefined, exitCode: undefined, restarts: 0 });

export function start(spec) {
  const whole = { arguments: [], environment: [], healthUrl: undefined, ...spec };
  return call("process", (wit) => wit.start(whole), (host) => fakeStart(host.processes, whole));
}

export function status(name) {
  return call("process", (wit) => wit.status(name), (host) => host.processes.get(name)?.status ?? absent(name));
}

export function stop(name, graceMs) {
  return call(
    "process",
    (wit) => wit.stop(name, BigInt(graceMs)),
    (host) => {
      host.processes.delete(name);
      return absent(name);
    },
  );
}

function fakeStart(processes, spec) {
  const running = processes.get(spec.name);
  if (running && JSON.stringify(running.spec) !== JSON.stringify(spec)) {
    throw new Failed(`${spec.name} runs with another specification`);
  }
  if (!running) processes.set(spec.name, { spec, status: { ...absent(spec.name), phase: "starting", pid: 1 } });
  return processes.get(spec.name).status;
}
