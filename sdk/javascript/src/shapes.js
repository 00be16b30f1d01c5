// The shapes that bindings have, and those of this package: labels are objects, and whole numbers are numbers.

export function toLabels(labels) {
  return Object.entries(labels).map(([name, value]) => ({ name, value }));
}

export function fromLabels(labels) {
  return Object.fromEntries(labels.map(({ name, value }) => [name, value]));
}

/** The same with a number for each whole one: times and counts are far below where that would lose anything. */
export function withNumbers(value) {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof BigInt64Array || value instanceof BigUint64Array) return Array.from(value, Number);
  if (ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map(withNumbers);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withNumbers(each)]));
  }
  return value;
}
