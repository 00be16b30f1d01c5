// Reads granted files, in parts.

import { call } from "../host.js";

/** Of one read at most. */
export const READ_BYTES = 1 << 20;

export function read(path, offset, max) {
  return call(
    "files",
    (wit) => {
      const part = wit.read(path, BigInt(offset), max);
      // The identity stays as it is: unlike a count it may need all of its bits.
      return part && { ...part, sizeBytes: Number(part.sizeBytes) };
    },
    (host) => {
      if (!host.files.has(path)) return undefined;
      const [identity, whole] = host.files.get(path);
      const bytes = whole.slice(offset, offset + Math.min(max, READ_BYTES));
      return { bytes, sizeBytes: whole.length, identity };
    },
  );
}
