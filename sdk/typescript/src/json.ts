// Values on their way into the journal: encoded once, and refused when they would come back as something else.

import { NotRecordable } from "./errors.js";

const DEPTH_MAX = 500;

/** What a value of type T is after it went through the journal: dates are text, nothing is null, methods are gone. */
export type Recorded<T> = 0 extends 1 & T
  ? T
  : T extends string | number | boolean | null
    ? T
    : T extends undefined | void
      ? null
      : T extends { toJSON(): infer Shown }
        ? Recorded<Shown>
        : T extends bigint | symbol | ((...args: never[]) => unknown)
          ? never
          : T extends readonly unknown[]
            ? { [Key in keyof T]: Recorded<T[Key]> }
            : T extends object
              ? { [Key in keyof T]: Field<T[Key]> }
              : T;
type Field<T> = undefined extends T ? Recorded<Exclude<T, undefined>> | undefined : Recorded<T>;

/**
 * The JSON of a value. `undefined` is null, a field that is undefined is left out, a Date is its ISO text.
 * Throws NotRecordable, with the path, for what JSON has no place for: BigInt, functions, symbols, NaN and infinities, maps, sets, binary data, cycles.
 */
export function encode(value: unknown, what: string): string {
  switch (typeof value) {
    case "undefined":
      return "null";
    case "string":
    case "boolean":
      return JSON.stringify(value);
    case "object":
      if (value === null) return "null";
  }
  check(value, what, "", 0);
  try {
    return JSON.stringify(value) ?? "null";
  } catch (error) {
    throw refused(what, "", (error as Error).message);
  }
}

/** The value that the journal will give back for an encoded one. */
export function decode(encoded: string): unknown {
  return encoded === "null" ? null : JSON.parse(encoded);
}

function check(value: unknown, what: string, path: string, depth: number): void {
  switch (typeof value) {
    case "number":
      if (!Number.isFinite(value)) throw refused(what, path, `${value} has no JSON; use null or text`);
      return;
    case "bigint":
      throw refused(what, path, "a BigInt has no JSON; use text");
    case "function":
      throw refused(what, path, "a function cannot be recorded");
    case "symbol":
      throw refused(what, path, "a symbol cannot be recorded");
    case "object":
      if (value !== null) checkObject(value, what, path, depth);
  }
}

function checkObject(value: object, what: string, path: string, depth: number): void {
  if (depth > DEPTH_MAX) throw refused(what, path.slice(0, 100), `it refers to itself, or is nested more than ${DEPTH_MAX} deep`);
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at += 1) check(value[at], what, `${path}/${at}`, depth + 1);
    return;
  }
  // What has toJSON says itself how it is written: dates, URLs, decimals of libraries.
  if (typeof (value as { toJSON?: unknown }).toJSON === "function" && !ArrayBuffer.isView(value)) {
    if (value instanceof Date && Number.isNaN(value.getTime())) throw refused(what, path, "an invalid Date has no JSON");
    return;
  }
  if (value instanceof Map || value instanceof Set) throw refused(what, path, `a ${value.constructor.name} would be written as {}; use an array or an object`);
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) throw refused(what, path, "binary data has no JSON; use base64 text");
  if (typeof (value as { then?: unknown }).then === "function") throw refused(what, path, "a promise was not awaited");
  for (const key in value) {
    if (!Object.prototype.hasOwnProperty.call(value, key)) continue;
    const field = (value as Record<string, unknown>)[key];
    // Short-cut for what most fields are.
    if (typeof field === "string" || typeof field === "boolean" || field === undefined) continue;
    check(field, what, `${path}/${key}`, depth + 1);
  }
}

function refused(what: string, path: string, why: string): NotRecordable {
  return new NotRecordable(`${what} cannot be recorded${path && ` (at ${path})`}: ${why}`);
}
