// Robust statistics that detectors need: medians and spreads that a few outliers don't move, and, in `trend`, trends that are more than
// chance. Nothing here throws over what is no number: such values are left out, and what can't be said is `undefined`.

export * as trend from "./statistics/trend.js";

/** What the median absolute deviation is multiplied with to estimate the standard deviation of normal figures: 1 / Φ⁻¹(3/4). */
export const MAD_TO_SIGMA = 1.482_602_218_505_602;

/** Hyndman & Fan 1996, type 7. */
export function quantile(values, q) {
  const sorted = Float64Array.from(values).filter(Number.isFinite).sort();
  if (sorted.length === 0) return undefined;
  if (Number.isNaN(q)) return NaN;
  const rank = Math.min(Math.max(q, 0), 1) * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(rank)], sorted[Math.ceil(rank)]];
  const share = rank - Math.floor(rank);
  // Not `below + share * (above - below)`: the difference of the ends of the range is infinite.
  return below * (1 - share) + above * share;
}

export function median(values) {
  return quantile(values, 0.5);
}

export function centreAndSpread(values) {
  const all = Float64Array.from(values);
  const centre = median(all);
  if (centre === undefined) return undefined;
  const deviation = median(all.map((value) => Math.abs(value - centre)));
  return deviation === undefined ? undefined : { centre, spread: deviation * MAD_TO_SIGMA };
}

/** Abramowitz & Stegun 1964, 26.2.17. */
export function normalTail(z) {
  const t = 1 / (1 + 0.231_641_9 * Math.abs(z));
  const polynomial = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
  const series = polynomial.reduce((sum, factor) => (sum + factor) * t, 0);
  const tail = (series * Math.exp((-z * z) / 2)) / Math.sqrt(2 * Math.PI);
  return z >= 0 ? tail : 1 - tail;
}

export function normalWidth(confidence) {
  const tail = (1 - Math.min(Math.max(confidence, 0), 1)) / 2;
  let [low, high] = [0, 8];
  for (let step = 0; step < 60; step += 1) {
    const middle = (low + high) / 2;
    if (normalTail(middle) > tail) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
