// What a collector gives.

export class Family {
  constructor(name, metricType, help) {
    Object.assign(this, { name, metricType, help, labels: [], values: [], atMs: [] });
  }

  static gauge(name, help) {
    return new Family(name, "gauge", help);
  }

  static counter(name, help) {
    return new Family(name, "counter", help);
  }

  value(value) {
    return this.sample({}, value);
  }

  sample(labels, value) {
    this.labels.push(labels);
    this.values.push(value);
    return this;
  }
}

export function gauge(name, help) {
  return Family.gauge(name, help);
}

export function counter(name, help) {
  return Family.counter(name, help);
}

export const health = {
  ok: (message) => ({ state: "ok", message }),
  degraded: (message) => ({ state: "degraded", message }),
  failed: (message) => ({ state: "failed", message }),
};

export function valueOf(collection, name, labels = {}) {
  const sorted = (set) => JSON.stringify(Object.entries(set).sort());
  for (const family of collection.families.filter((family) => family.name === name)) {
    const index = family.labels.findIndex((own) => sorted(own) === sorted(labels));
    if (index >= 0) return family.values[index];
  }
  return undefined;
}
