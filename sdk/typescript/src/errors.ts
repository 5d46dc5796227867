// Errors that steer retries, and errors on their way through the journal: name, message, stack, code, data and cause stay.

import type { WireError } from "./protocol.js";
import { type Duration, milliseconds } from "./duration.js";
import { LEVELS_MAX, bytesOf, fit, levelsOf } from "./text.js";

/** Thrown in a step: the step fails now, whatever attempts are left. */
export class NonRetriable extends Error {
  override name = "NonRetriable";
  code?: string | number;
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
  }
}

/** Thrown where a step is asked for in a way that the engine does not take: a name or an id that is too long, a match that is none. */
export class InvalidStep extends NonRetriable {
  override name = "InvalidStep";
}

/** A result, an input or an output that has more bytes than the engine takes. */
export class TooLarge extends NonRetriable {
  override name = "TooLarge";
  override code = "TOO_LARGE";
}

/** What JSON has no place for, where it would be recorded. */
export class NotRecordable extends NonRetriable {
  override name = "NotRecordable";
  override code = "NOT_RECORDABLE";
}

/** Thrown in a step: if attempts are left, the next one is no sooner than this. */
export class RetryAfter extends Error {
  override name = "RetryAfter";
  readonly afterMs: number;
  constructor(message: string, after: Duration | Date, options?: { cause?: unknown }) {
    super(message, options);
    this.afterMs = milliseconds(after instanceof Date ? Math.max(0, after.getTime() - Date.now()) : after);
  }
}

/** What a schema refused: a run's input, a run's output or a signal. Its `data.issues` lists what and where. */
export class InvalidValue extends NonRetriable {
  override name = "InvalidValue";
  readonly data: { issues: { message: string; path?: string }[] };
  constructor(what: string, issues: readonly { message: string; path?: string }[]) {
    super(`${what} is not valid: ${issues.map((issue) => (issue.path ? `${issue.path}: ` : "") + issue.message).join("; ")}`.slice(0, 4_000));
    this.data = { issues: issues.slice(0, 50) };
  }
}

const CAUSES_MAX = 8;
const BYTES_MAX = 60 * 1024;
const STANDARD = new Map<string, ErrorConstructor>([TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError].map((each) => [each.name, each]));

/** The JSON of an error, at most 64 KiB: stacks are shortened before causes and data are left out. */
export function encodeError(thrown: unknown): string {
  const wire = toWire(thrown, 0);
  let encoded = JSON.stringify(wire);
  for (const cut of [cutStacks(2_000), cutStacks(0), dropData, cutTexts, dropCause]) {
    if (bytes(encoded) <= BYTES_MAX && levelsOf(encoded) <= LEVELS_MAX) break;
    cut(wire);
    encoded = JSON.stringify(wire);
  }
  return encoded;
}

/** An error as the journal has it, of the standard class that its name says, or a plain Error with that name. */
export function fromWire(wire: WireError): Error {
  const options = wire.cause === undefined || wire.cause === null ? undefined : { cause: fromWire(wire.cause) };
  const aggregated = wire.name === "AggregateError" ? (wire.data as { errors?: WireError[] } | undefined)?.errors : undefined;
  const error: Error & Record<string, unknown> = Array.isArray(aggregated)
    ? (new AggregateError(aggregated.map(fromWire), wire.message, options) as never)
    : (new (STANDARD.get(wire.name) ?? Error)(wire.message, options) as never);
  if (error.name !== wire.name) define(error, "name", wire.name);
  define(error, "stack", wire.stack ?? `${wire.name}: ${wire.message}`);
  if (wire.code !== undefined) error.code = wire.code;
  if (wire.data !== undefined && !Array.isArray(aggregated)) error.data = wire.data;
  if (wire.runId !== undefined) error.runId = wire.runId;
  return error;
}

function define(error: Error, field: string, value: string) {
  Object.defineProperty(error, field, { value, configurable: true, writable: true, enumerable: false });
}

/** Whatever was thrown: a getter of it may throw as well. */
function toWire(thrown: unknown, depth: number): WireError {
  try {
    const wire = described(thrown, depth);
    wire.name = fit(wire.name) || "Error";
    wire.message = fit(wire.message);
    if (wire.stack !== undefined) wire.stack = fit(wire.stack);
    if (typeof wire.code === "string") wire.code = fit(wire.code);
    if (typeof wire.code === "number" && !Number.isFinite(wire.code)) delete wire.code;
    return wire;
  } catch {
    return { name: "Error", message: "what was thrown cannot be shown" };
  }
}

function described(thrown: unknown, depth: number): WireError {
  if (!isError(thrown)) {
    const message = typeof thrown === "string" ? thrown : (safeJson(thrown) ?? String(thrown));
    const data = typeof thrown === "object" ? plain(thrown) : undefined;
    return data === undefined || data === null ? { name: "Error", message } : { name: "Error", message, data };
  }
  const wire: WireError = { name: String(thrown.name || "Error"), message: String(thrown.message) };
  if (typeof thrown.stack === "string") wire.stack = thrown.stack;
  if (typeof thrown.code === "string" || typeof thrown.code === "number") wire.code = thrown.code;
  if (typeof thrown.runId === "string") wire.runId = thrown.runId;
  if (Array.isArray(thrown.errors) && depth < CAUSES_MAX) wire.data = { errors: thrown.errors.slice(0, 100).map((each) => toWire(each, depth + 1)) };
  else if (plain(thrown.data) !== undefined) wire.data = plain(thrown.data);
  if (thrown.cause !== undefined && thrown.cause !== null && depth < CAUSES_MAX) wire.cause = toWire(thrown.cause, depth + 1);
  return wire;
}

type Thrown = Error & { code?: unknown; data?: unknown; errors?: unknown; runId?: unknown; cause?: unknown };
// Errors of another realm are no instances of this one's Error.
function isError(thrown: unknown): thrown is Thrown {
  return thrown instanceof Error || (typeof thrown === "object" && thrown !== null && typeof (thrown as Thrown).message === "string" && "name" in thrown);
}

function safeJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

/** A value as JSON has it, or undefined if JSON has no place for it. */
function plain(value: unknown): unknown {
  const encoded = safeJson(value);
  // JSON.stringify writes what does not fit as an escape.
  return encoded === undefined ? undefined : JSON.parse(encoded, (_, part: unknown) => (typeof part === "string" ? fit(part) : part));
}

function bytes(text: string): number {
  return text.length > BYTES_MAX / 3 ? bytesOf(text) : text.length;
}

function each(wire: WireError, act: (wire: WireError) => void) {
  act(wire);
  if (wire.cause) each(wire.cause, act);
  const errors = (wire.data as { errors?: unknown } | undefined | null)?.errors;
  if (wire.name === "AggregateError" && Array.isArray(errors)) for (const inner of errors) each(inner as WireError, act);
}

const cutStacks = (length: number) => (wire: WireError) =>
  each(wire, (error) => {
    if (length === 0) delete error.stack;
    else if (error.stack) error.stack = fit(error.stack.slice(0, length));
  });
const dropData = (wire: WireError) => each(wire, (error) => delete error.data);
const cutTexts = (wire: WireError) =>
  each(wire, (error) => {
    error.message = fit(error.message.slice(0, 1_000));
    error.name = fit(error.name.slice(0, 200));
    if (typeof error.code === "string") error.code = fit(error.code.slice(0, 200));
    if (error.runId !== undefined) error.runId = fit(error.runId.slice(0, 200));
  });
const dropCause = (wire: WireError) => delete wire.cause;
