// Runs programs.

import { call } from "../host.js";

export function run(command) {
  const whole = { arguments: [], environment: [], stdin: undefined, timeoutMs: 10_000, ...command };
  return call(
    "exec",
    (wit) => {
      const finished = wit.run({ ...whole, timeoutMs: BigInt(whole.timeoutMs) });
      return { ...finished, durationMs: Number(finished.durationMs) };
    },
    (host) => host.answer("exec", whole),
  );
}
