// One severity scale everywhere.

/** Worst first. */
const SCALE = ["critical", "high", "medium", "low", "info"];

/** The worse of the two. */
export function worse(one, other) {
  return SCALE.indexOf(other) < SCALE.indexOf(one) ? other : one;
}
