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
  // By its tag: a component's bindings have classes of their own, so what they make is an instance of none of these here.
  if (ArrayBuffer.isView(value)) return /^Big/.test(value[Symbol.toStringTag]) ? Array.from(value, Number) : value;
  if (Array.isArray(value)) return value.map(withNumbers);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withNumbers(each)]));
  }
  return value;
}
