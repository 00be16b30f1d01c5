// Appends lines to granted files.

import { Failed, call } from "../host.js";

/** Of one line at most. */
export const LINE_BYTES = 256 << 10;

export function line(path, bytes) {
  call(
    "append",
    (wit) => wit.line(path, bytes),
    (host) => {
      if (bytes.includes(10) || bytes.length > LINE_BYTES) throw new Failed("no line: it is too long, or holds a line end");
      host.lines.push([path, bytes]);
    },
  );
}
