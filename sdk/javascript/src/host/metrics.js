// Reads the host's series.

import { call } from "../host.js";
import { fromLabels, toLabels } from "../shapes.js";

export function latest(name, matching = {}) {
  // A label that is not there is as an empty one.
  const fits = ({ labels }) => Object.entries(matching).every(([key, value]) => (labels[key] ?? "") === value);
  return call(
    "metrics",
    (wit) =>
      wit
        .latest(name, toLabels(matching))
        .map(({ labels, atMs, value }) => ({ labels: fromLabels(labels), atMs: Number(atMs), value })),
    (host) => host.metrics.filter(([own, point]) => own === name && fits(point)).map(([, point]) => point),
  );
}
