// Whether figures go up or down over time by more than chance, and how fast.
//
// The test is that of Mann (1945) and Kendall (1975), with the correction for ties; the slope is that of Theil (1950) and Sen (1968), the
// median of the slopes between all pairs of points, and its confidence interval is Sen's. Neighbouring figures that resemble each other make
// a trend look surer than it is: the variance is corrected for that as by Hamed & Rao (1998). Figures that begin anew in between (a process that
// was restarted) are taken in runs: as Hirsch & Slack (1982) do with seasons, only points of the same run are compared, and what the runs say is
// added up.

import { MAD_TO_SIGMA, median, normalTail, normalWidth, quantile } from "../statistics.js";

export function thinned(atMs, value, fromMs, toMs, most) {
  const length = Math.max(toMs - fromMs, 1);
  const stretches = Array.from({ length: Math.max(most, 1) }, () => []);
  for (let at = 0; at < Math.min(atMs.length, value.length); at += 1) {
    const offset = atMs[at] - fromMs;
    const share = offset / length;
    if (!Number.isFinite(value[at]) || !(share >= 0 && share <= 1)) continue;
    const index = Math.min(Math.floor(share * most), Math.max(most - 1, 0));
    stretches[index].push({ seconds: offset / 1000, value: value[at] });
  }
  return stretches
    .filter((stretch) => stretch.length > 0)
    .map((stretch) => ({
      seconds: sum(stretch.map((point) => point.seconds)) / stretch.length,
      value: median(stretch.map((point) => point.value)),
    }));
}

export function runs(points, usual) {
  const values = points.map((point) => point.value).filter((value) => !Number.isNaN(value));
  const steps = points.slice(1).map((point, index) => point.value - points[index].value);
  const range = values.reduce((most, value) => Math.max(most, value), -Infinity) - values.reduce((least, value) => Math.min(least, value), Infinity);
  const usually = (median(steps.map(Math.abs)) ?? 0) * usual;
  const limit = range / 3 > usually ? range / 3 : usually;
  const found = [];
  let begin = 0;
  for (const [index, step] of steps.entries()) {
    if (-step > limit) {
      found.push(points.slice(begin, index + 1));
      begin = index + 1;
    }
  }
  if (begin < points.length) found.push(points.slice(begin));
  return found;
}

export function trend(runs, confidence) {
  const long = runs.filter((run) => run.length >= 4);
  const slopes = [];
  let score = 0;
  for (const run of long) {
    for (let first = 0; first < run.length; first += 1) {
      for (let second = first + 1; second < run.length; second += 1) {
        const [a, b] = [run[first], run[second]];
        if (!(b.seconds > a.seconds)) continue;
        const rise = b.value - a.value;
        slopes.push(rise / (b.seconds - a.seconds));
        score += rise > 0 ? 1 : rise < 0 ? -1 : 0;
      }
    }
  }
  const slope = median(slopes);
  if (slope === undefined) return undefined;
  const variance = sum(long.map((run) => mannKendallVariance(run) * resemblance(run, slope)));
  // One less, because the score goes in steps.
  const z = variance > 0 ? Math.max(Math.abs(score) - 1, 0) / Math.sqrt(variance) : 0;
  // Sen's interval: as many slopes below the median, and above, as the score strays by.
  const share = (normalWidth(confidence) * Math.sqrt(Math.max(variance, 0))) / slopes.length / 2;
  return {
    slope,
    lower: quantile(slopes, 0.5 - share),
    upper: quantile(slopes, 0.5 + share),
    tau: score / slopes.length,
    probability: z > 0 ? Math.min(2 * normalTail(z), 1) : 1,
    points: sum(long.map((run) => run.length)),
  };
}

export function level(run, slope, seconds) {
  const levels = run.map((point) => point.value + slope * (seconds - point.seconds));
  const middle = median(levels);
  if (middle === undefined) return undefined;
  const stray = median(levels.map((other) => Math.abs(other - middle)));
  return stray === undefined ? undefined : { level: middle, stray: stray * MAD_TO_SIGMA };
}

/** The variance of the score of points without a trend, `(n(n-1)(2n+5) - Σ t(t-1)(2t+5)) / 18` with groups of `t` equal figures. */
function mannKendallVariance(run) {
  const term = (n) => n * (n - 1) * (2 * n + 5);
  const counts = new Map();
  for (const { value } of run) counts.set(value, (counts.get(value) ?? 0) + 1);
  return (term(run.length) - sum([...counts.values()].map(term))) / 18;
}

/**
 * How much greater the variance is because neighbours resemble each other (Hamed & Rao 1998, equation 4), from the autocorrelation of the ranks of
 * what the slope leaves over, at lags where it is more than chance. Never below 1: figures that alternate make nothing surer here. Lags up to a
 * quarter of the points, beyond which too few pairs are left to say.
 */
function resemblance(run, slope) {
  const n = run.length;
  const mean = (n + 1) / 2;
  const strays = ranks(run.map((point) => point.value - slope * point.seconds)).map((rank) => rank - mean);
  const total = sum(strays.map((stray) => stray * stray));
  if (total <= 0) return 1;
  let found = 0;
  for (let lag = 1; lag <= Math.floor(n / 4); lag += 1) {
    const correlation = sum(strays.slice(lag).map((stray, index) => stray * strays[index])) / total;
    if (Math.abs(correlation) > 1.96 / Math.sqrt(n)) found += (n - lag) * (n - lag - 1) * (n - lag - 2) * correlation;
  }
  return Math.max(1 + (2 / (n * (n - 1) * (n - 2))) * found, 1);
}

/** Ranks from 1, the mean of them for equal figures. */
function ranks(values) {
  const order = values.map((value, index) => ({ value, index })).sort((a, b) => a.value - b.value);
  const found = new Array(values.length);
  for (let begin = 0; begin < order.length; ) {
    let end = begin + 1;
    while (end < order.length && order[end].value === order[begin].value) end += 1;
    for (const { index } of order.slice(begin, end)) found[index] = (begin + end + 1) / 2;
    begin = end;
  }
  return found;
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
