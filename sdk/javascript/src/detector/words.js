// Figures and times in the words of a signal's reason.

export function figure(value) {
  const magnitude = Math.abs(value);
  if (!(magnitude >= 1e-6 && magnitude < 1e15)) return scientific(value);
  // Four significant digits, and all of those before the point.
  const decimals = Math.min(Math.max(3 - Math.floor(Math.log10(magnitude)), 0), 10);
  const text = fixed(value, decimals);
  return text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
}

export function span(seconds) {
  const units = [[86_400, "days"], [3600, "h"], [60, "min"]];
  // Two of a unit, before it is used: `90 min` says more than `1.5 h`.
  const [length, name] = units.find(([length]) => Math.abs(seconds) >= 2 * length) ?? [1, "s"];
  const count = (seconds / length) * 10;
  return `${figure((Math.sign(count) * Math.round(Math.abs(count))) / 10)} ${name}`;
}

/** Like `toFixed`, but a tie goes to the even digit, as it does in other languages. */
function fixed(value, decimals) {
  // No figure of this size has more digits.
  const exact = Math.abs(value).toFixed(80);
  const cut = exact.indexOf(".") + 1 + decimals;
  const kept = exact.slice(0, cut).replace(/\.$/, "");
  const isDown = /^50*$/.test(exact.slice(cut)) && "02468".includes(kept.at(-1));
  return isDown ? `${value < 0 ? "-" : ""}${kept}` : value.toFixed(decimals);
}

/** As few digits as tell the figure from every other: `1e300`. */
function scientific(value) {
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  return value.toExponential().replace("e+", "e").replace("Infinity", "inf");
}
