// What detectors remember of each series, and how they say what they found.

export { Memory, Reader, STATE_BYTES, key } from "./detector/memory.js";
export * as words from "./detector/words.js";
