// JSON Schema (2020-12) as the engine checks it for approvals (shared/domain/src/json_schema.rs): the same keywords, the same refusals.

export interface SchemaFault {
  /** A JSON pointer from the value on. */
  pointer: string;
  detail: string;
}

/** A schema that cannot be used. */
export class SchemaError extends Error {
  override name = "SchemaError";
}

type Json = any;
type Members = Record<string, Json>;

const DEPTH_MAX = 64;
const STEPS_MAX = 200_000;
const ERRORS_MAX = 10;
const UNKNOWN = ["unevaluatedItems", "unevaluatedProperties", "$dynamicRef", "$recursiveRef", "$anchor"];
const TYPES = ["null", "boolean", "object", "array", "number", "string", "integer"];
const BOUNDS: [string, string, (value: number, bound: number) => boolean][] = [
  ["minimum", "at least", (value, bound) => value >= bound],
  ["maximum", "at most", (value, bound) => value <= bound],
  ["exclusiveMinimum", "above", (value, bound) => value > bound],
  ["exclusiveMaximum", "below", (value, bound) => value < bound],
];

/** What of a value does not fit the schema. Throws SchemaError for a schema that cannot be used. */
export function schemaFaults(schema: unknown, value: unknown): SchemaFault[] {
  const check = new Check(schema);
  check.apply(schema, value, "", 0);
  return check.faults;
}

class Check {
  faults: SchemaFault[] = [];
  private steps = 0;
  constructor(private readonly root: Json) {}

  private refuse(pointer: string, detail: string) {
    if (this.faults.length < ERRORS_MAX) this.faults.push({ pointer, detail });
  }

  /** Whether the value fits a schema, without a word about why not. */
  private fits(schema: Json, value: Json, depth: number): boolean {
    const said = this.faults;
    this.faults = [];
    this.apply(schema, value, "", depth + 1);
    const own = this.faults;
    this.faults = said;
    return own.length === 0;
  }

  apply(schema: Json, value: Json, at: string, depth: number): void {
    this.steps += 1;
    if (depth > DEPTH_MAX || this.steps > STEPS_MAX) throw new SchemaError("it is nested too deeply, or costs too much");
    if (schema === true) return;
    if (schema === false) return this.refuse(at, "must be absent");
    if (!isObject(schema)) throw new SchemaError("a schema is an object, true or false");
    const unknown = UNKNOWN.find((keyword) => has(schema, keyword));
    if (unknown) throw new SchemaError(`the keyword ${unknown} is not supported`);
    if (has(schema, "$ref")) this.apply(this.target(schema["$ref"]), value, at, depth + 1);
    this.kind(schema, value, at);
    if (typeof value === "number") this.number(schema, value, at);
    else if (typeof value === "string") this.text(schema, value, at);
    else if (Array.isArray(value)) this.array(schema, value, at, depth);
    else if (isObject(value)) this.object(schema, value, at, depth);
    this.combined(schema, value, at, depth);
  }

  private target(reference: Json): Json {
    if (typeof reference !== "string") throw new SchemaError("$ref must be a string");
    if (!/^#(\/|$)/.test(reference)) throw new SchemaError(`only references within the schema, such as #/$defs/a, are supported, not ${reference}`);
    let found = this.root;
    for (const part of decoded(reference).slice(1).split("/").slice(1)) {
      const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
      if (!(isObject(found) || Array.isArray(found)) || !has(found, name)) throw new SchemaError(`${reference} leads to nothing`);
      found = (found as Members)[name];
    }
    return found;
  }

  private kind(schema: Members, value: Json, at: string) {
    if (has(schema, "type")) {
      const types = schema["type"];
      if (typeof types !== "string" && !Array.isArray(types)) throw new SchemaError("type must be a string or an array of strings");
      const names = (Array.isArray(types) ? types.filter((name) => typeof name === "string") : [types]) as string[];
      const odd = names.find((name) => !TYPES.includes(name));
      if (odd !== undefined) throw new SchemaError(`${odd} is no type`);
      if (!names.some((name) => isA(value, name))) this.refuse(at, `must be of type ${names.join(" or ")}`);
    }
    if (has(schema, "enum")) {
      if (!Array.isArray(schema["enum"])) throw new SchemaError("enum must be an array");
      if (!schema["enum"].some((one) => canonical(one) === canonical(value))) this.refuse(at, `must be one of ${shown(schema["enum"])}`);
    }
    if (has(schema, "const") && canonical(schema["const"]) !== canonical(value)) this.refuse(at, `must be ${shown(schema["const"])}`);
  }

  private number(schema: Members, value: number, at: string) {
    for (const [keyword, words, fits] of BOUNDS) {
      if (!has(schema, keyword)) continue;
      if (typeof schema[keyword] !== "number") throw new SchemaError(`${keyword} must be a number`);
      if (!fits(value, schema[keyword])) this.refuse(at, `must be ${words} ${schema[keyword]}`);
    }
    if (has(schema, "multipleOf")) {
      const size = schema["multipleOf"];
      if (typeof size !== "number" || !(size > 0)) throw new SchemaError("multipleOf must be a number above 0");
      const times = value / size;
      if (!(Number.isFinite(times) && Math.abs(times - Math.round(times)) <= Number.EPSILON * Math.max(Math.abs(times), 1))) this.refuse(at, `must be a multiple of ${size}`);
    }
  }

  private text(schema: Members, value: string, at: string) {
    this.count(schema, ["minLength", "maxLength"], [...value].length, "characters", at);
    if (!has(schema, "pattern")) return;
    if (typeof schema["pattern"] !== "string") throw new SchemaError("pattern must be a string");
    if (!matches(schema["pattern"], value)) this.refuse(at, `must match the pattern ${JSON.stringify(schema["pattern"])}`);
  }

  private count(schema: Members, [least, most]: [string, string], n: number, what: string, at: string) {
    const [min, max] = [natural(schema, least), natural(schema, most)];
    if (min !== undefined && n < min) this.refuse(at, `must have at least ${min} ${what}`);
    if (max !== undefined && n > max) this.refuse(at, `must have at most ${max} ${what}`);
  }

  private array(schema: Members, items: Json[], at: string, depth: number) {
    this.count(schema, ["minItems", "maxItems"], items.length, "entries", at);
    const first = schema["prefixItems"] ?? [];
    if (!Array.isArray(first)) throw new SchemaError("prefixItems must be an array");
    items.forEach((item, index) => {
      if (index < first.length) this.apply(first[index], item, `${at}/${index}`, depth + 1);
      else if (has(schema, "items")) this.apply(schema["items"], item, `${at}/${index}`, depth + 1);
    });
    if (schema["uniqueItems"] === true && new Set(items.map(canonical)).size < items.length) this.refuse(at, "must not have an entry twice");
    if (has(schema, "contains")) {
      const n = items.filter((item) => this.fits(schema["contains"], item, depth)).length;
      if (n < (natural(schema, "minContains") ?? 1) || n > (natural(schema, "maxContains") ?? Infinity)) this.refuse(at, `has ${n} entries of the kind that it must have`);
    }
  }

  private object(schema: Members, members: Members, at: string, depth: number) {
    this.count(schema, ["minProperties", "maxProperties"], Object.keys(members).length, "members", at);
    for (const name of strings(schema["required"], "required")) if (!has(members, name)) this.refuse(at, `must have ${name}`);
    const [properties, patterns] = [submap(schema, "properties"), Object.entries(submap(schema, "patternProperties"))];
    for (const [name, value] of Object.entries(members)) {
      const inner = `${at}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
      const own = [...(has(properties, name) ? [properties[name]] : []), ...patterns.filter(([pattern]) => matches(pattern, name)).map(([, each]) => each)];
      for (const each of own) this.apply(each, value, inner, depth + 1);
      if (own.length === 0 && has(schema, "additionalProperties")) {
        if (schema["additionalProperties"] === false) this.refuse(inner, "is not a member that it may have");
        else this.apply(schema["additionalProperties"], value, inner, depth + 1);
      }
      if (has(schema, "propertyNames") && !this.fits(schema["propertyNames"], name, depth)) this.refuse(inner, "has a name that is not allowed");
    }
    for (const [name, needed] of Object.entries(submap(schema, "dependentRequired"))) {
      if (!has(members, name)) continue;
      for (const other of strings(needed, "dependentRequired")) if (!has(members, other)) this.refuse(at, `must have ${other}, because it has ${name}`);
    }
    for (const [name, own] of Object.entries(submap(schema, "dependentSchemas"))) if (has(members, name)) this.apply(own, members, at, depth + 1);
  }

  private combined(schema: Members, value: Json, at: string, depth: number) {
    for (const own of list(schema, "allOf")) this.apply(own, value, at, depth + 1);
    for (const [keyword, words] of [["anyOf", "must fit at least one of several schemas"], ["oneOf", "must fit exactly one of several schemas"]] as const) {
      const all = list(schema, keyword);
      const n = all.filter((own) => this.fits(own, value, depth)).length;
      if (all.length > 0 && (n === 0 || (n > 1 && keyword === "oneOf"))) this.refuse(at, words);
    }
    if (has(schema, "not") && this.fits(schema["not"], value, depth)) this.refuse(at, "must not fit the schema that it fits");
    if (!has(schema, "if")) return;
    const branch = this.fits(schema["if"], value, depth) ? "then" : "else";
    if (has(schema, branch)) this.apply(schema[branch], value, at, depth + 1);
  }
}

function has(object: object, name: string): boolean {
  return Object.prototype.hasOwnProperty.call(object, name);
}

function isObject(value: Json): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isA(value: Json, name: string): boolean {
  if (name === "integer") return Number.isInteger(value);
  if (name === "null") return value === null;
  if (name === "array") return Array.isArray(value);
  return name === "object" ? isObject(value) : typeof value === name;
}

/** The same text for values that are equal. */
export function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const pairs = Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}:${canonical(each)}`);
  return `{${pairs.sort().join(",")}}`;
}

function shown(value: Json): string {
  const text = JSON.stringify(value);
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new SchemaError(`${text} is no JSON pointer`);
  }
}

function matches(pattern: string, text: string): boolean {
  if (/\(\?<[=!]|\\[pPk]/.test(pattern)) throw new SchemaError(`the pattern ${pattern}: has something that is not supported: look-behind, \\p or \\k`);
  try {
    return new RegExp(pattern, "u").test(text);
  } catch {
    throw new SchemaError(`the pattern ${pattern}: is no regular expression`);
  }
}

function natural(schema: Members, keyword: string): number | undefined {
  if (!has(schema, keyword)) return undefined;
  const value: Json = schema[keyword];
  if (!Number.isInteger(value) || value < 0) throw new SchemaError(`${keyword} must be a whole number`);
  return value as number;
}

function strings(value: Json, keyword: string): string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.some((each) => typeof each !== "string")) throw new SchemaError(`${keyword} must be an array of strings`);
  return value as string[];
}

function submap(schema: Members, keyword: string): Members {
  const value: Json = schema[keyword] === undefined ? {} : schema[keyword];
  if (!isObject(value)) throw new SchemaError(`${keyword} must be an object`);
  return value;
}

function list(schema: Members, keyword: string): Json[] {
  const value: Json = schema[keyword];
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length === 0) throw new SchemaError(`${keyword} must be an array of schemas`);
  return value;
}
