// Configurations and inputs: each builder is a JSON Schema, and reads what fits it out of JSON. Keys are in kebab-case in JSON and in
// camel case in JavaScript; unknown ones are an error.

class Schema {
  constructor(json, check, given = {}) {
    Object.assign(this, { json, check, isOptional: false, ...given });
  }

  /** Absent is as that value. */
  default(value) {
    return new Schema({ ...this.json, default: value }, this.check, { isOptional: true, fallback: value });
  }

  /** May be absent: it is `undefined` then. */
  optional() {
    return new Schema(this.json, this.check, { isOptional: true });
  }

  /** Other words of JSON Schema: `minimum`, `pattern`, `format`, ... The host checks them for a configuration. */
  with(words) {
    return new Schema({ ...this.json, ...words }, this.check, { isOptional: this.isOptional, fallback: this.fallback });
  }

  /** What fits out of what `JSON.parse` gave; throws a `TypeError` that says where, and what was expected. */
  read(value, at = "") {
    return this.check(value, at);
  }
}

export function string(description) {
  return plain("string", description, "a text", (value) => typeof value === "string");
}

export function boolean(description) {
  return plain("boolean", description, "a boolean", (value) => typeof value === "boolean");
}

export function number(description) {
  return plain("number", description, "a number", (value) => typeof value === "number");
}

export function integer(description) {
  return plain("integer", description, "a whole number", Number.isInteger);
}

export function oneOf(choices, description) {
  return new Schema(described({ enum: choices }, description), (value, at) => {
    if (!choices.includes(value)) throw wrong(at, `\`${value}\` is none of ${choices.join(", ")}`);
    return value;
  });
}

export function list(item, description) {
  return new Schema(described({ type: "array", items: item.json }, description), (value, at) => {
    if (!Array.isArray(value)) throw wrong(at, `expected a list, not ${nameOf(value)}`);
    return value.map((each, index) => item.read(each, `${at}/${index}`));
  });
}

export function record(item, description) {
  return new Schema(described({ type: "object", additionalProperties: item.json }, description), (value, at) => {
    if (!isObject(value)) throw wrong(at, `expected an object, not ${nameOf(value)}`);
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, item.read(each, `${at}/${key}`)]));
  });
}

export function object(fields, description) {
  const keys = Object.entries(fields).map(([name, field]) => ({ name, key: kebab(name), field }));
  const json = { type: "object", properties: {}, additionalProperties: false };
  for (const { key, field } of keys) json.properties[key] = field.json;
  const required = keys.filter(({ field }) => !field.isOptional).map(({ key }) => key);
  if (required.length > 0) json.required = required;
  return new Schema(described(json, description), (value, at) => {
    if (!isObject(value)) throw wrong(at, `expected an object, not ${nameOf(value)}`);
    const unknown = Object.keys(value).find((key) => !keys.some((known) => known.key === key));
    if (unknown !== undefined) {
      const hint = keys.map(({ key }) => key).join(", ") || "none";
      throw wrong(`${at}/${unknown}`, `unknown key; hint: the keys are ${hint}`);
    }
    const read = {};
    for (const { name, key, field } of keys) {
      if (Object.hasOwn(value, key)) read[name] = field.read(value[key], `${at}/${key}`);
      else if (field.isOptional) read[name] = structuredCopy(field.fallback);
      else throw wrong(`${at}/${key}`, "is missing");
    }
    return read;
  });
}

function plain(type, description, words, fits) {
  return new Schema(described({ type }, description), (value, at) => {
    if (!fits(value)) throw wrong(at, `expected ${words}, not ${nameOf(value)}`);
    return value;
  });
}

function described(json, description) {
  return description === undefined ? json : { ...json, description };
}

function structuredCopy(value) {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

function kebab(name) {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function nameOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return { string: "a text", number: "a number", boolean: "a boolean" }[typeof value] ?? "an object";
}

function wrong(at, message) {
  return new TypeError(`${at || "/"}: ${message}`);
}
