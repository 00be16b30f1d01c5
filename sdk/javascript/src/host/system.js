// Facts about the machine that the host runs on.

import { call } from "../host.js";
import { withNumbers } from "../shapes.js";

export function take(top) {
  return call(
    "system",
    (wit) => withNumbers(wit.take(top)),
    (host) => {
      const machine = host.answer("system");
      return { ...machine, topProcesses: machine.topProcesses.slice(0, top) };
    },
  );
}

export function fileSystems() {
  return call(
    "system",
    (wit) => withNumbers(wit.fileSystems()),
    (host) => host.answer("fileSystems"),
  );
}
