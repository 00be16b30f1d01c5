// Conditions on a figure, as people write them: `>= 1`, `< 0.5`, `!= 0`.

const COMPARISONS = {
  "<=": "less-or-equal",
  ">=": "greater-or-equal",
  "==": "equal",
  "!=": "not-equal",
  "<": "less",
  ">": "greater",
  "=": "equal",
};
const HOLDS = {
  less: (value, number) => value < number,
  "less-or-equal": (value, number) => value <= number,
  greater: (value, number) => value > number,
  "greater-or-equal": (value, number) => value >= number,
  equal: (value, number) => value === number,
  "not-equal": (value, number) => value !== number,
};
const WRITTEN = /^\s*(<=|>=|==|!=|<|>|=)\s*([+-]?)(inf|infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)\s*$/i;

export class Condition {
  constructor(comparison, number) {
    Object.assign(this, { comparison, number });
  }

  static parse(text) {
    const [, operator, sign, figure] = WRITTEN.exec(text) ?? [];
    if (!operator) throw new SyntaxError(`\`${text}\` is not a condition; write it like \`>= 1\` or \`< 0.5\``);
    const number = /^inf/i.test(figure) ? Infinity : Number(figure);
    return new Condition(COMPARISONS[operator], sign === "-" ? -number : number);
  }

  holds(value) {
    return !Number.isNaN(value) && HOLDS[this.comparison](value, this.number);
  }

  toString() {
    const operator = Object.keys(COMPARISONS).find((each) => COMPARISONS[each] === this.comparison);
    return `${operator} ${String(this.number).replace("Infinity", "inf")}`;
  }
}
