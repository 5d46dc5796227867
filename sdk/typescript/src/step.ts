// The steps that the code of a workflow takes.

import type { components } from "./api.js";
import type { AiUsage } from "./ai.js";
import type { StepContext } from "./bodies.js";
import type { Dispatch } from "./dispatch.js";
import type { Recorded } from "./json.js";
import { type Retry, checkRetry } from "./retry.js";
import type { AnyWorkflow, InputTo, OutputFrom, Signals } from "./workflow.js";
import { checkApproval, checkChild, checkMatch, checkOp, checkSignal, checkSize, checkVersion } from "./checks.js";
import { type Duration, milliseconds } from "./duration.js";
import { InvalidStep } from "./errors.js";
import { encode } from "./json.js";
import { type Body, StepPromise } from "./leaf.js";
import { type OutputOf, validated } from "./schema.js";
import { hmacBase64url } from "./sha256.js";

export interface StepOptions extends Retry {
  /** The body's time; when it is over `signal` aborts and the attempt has failed. */
  timeoutMs?: number;
}
export interface AiOptions<T> extends StepOptions {
  /** Reads model and tokens from an answer of another shape; `costUsd` too, if you know better than the prices. */
  usage?: (value: T) => Partial<AiUsage> | undefined;
}
interface Named {
  /** The name of the step, if it is not that of what it waits for. */
  as?: string;
}
interface Timed {
  timeout?: Duration;
}
export interface EventOptions extends Named {
  /** Paths that begin with `data`, and the values that they must have. */
  match?: Record<string, unknown>;
}
/** An event that a run waited for. */
export interface ReceivedEvent<Data = unknown> {
  id: string;
  name: string;
  data: Data;
}
export interface ApprovalOptions {
  /** Who may answer. Empty: also whoever has the resume URL. */
  policy?: { roles?: string[]; keys?: string[]; notInitiator?: boolean };
  /** A JSON Schema (2020-12) for `data`. */
  schema?: object;
  title?: string;
  detail?: string;
}
export interface Approval<Data = unknown> {
  approved: boolean;
  data: Data;
  by: string;
  at: string;
}
export interface FetchRequest {
  method?: string;
  headers?: Record<string, string>;
  /** Goes out as JSON; text as it is, if `headers` has a content-type that is not JSON. */
  body?: unknown;
  timeoutSeconds?: number;
  maxAttempts?: number;
}
export interface FetchAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
  bodyBase64?: string;
}
export type PublishMessage = Omit<components["schemas"]["PublishRequest"], "idempotencyKey">;
type Value<S extends Signals, Name extends string> = Name extends keyof S ? OutputOf<S[Name]> : unknown;

/** Each method names a step. A name that comes again is another step: `charge#0`, `charge#1`. */
export class Step<S extends Signals = Signals> {
  readonly #dispatch: Dispatch;
  constructor(dispatch: Dispatch) {
    this.#dispatch = dispatch;
  }

  /** Runs a body and records what it gives. It may run more than once (at least once per attempt); its recorded result is one. */
  run<T>(name: string, body: (context: StepContext) => T | PromiseLike<T>, options?: StepOptions): Promise<Recorded<T>> {
    return this.#dispatch.ask(name, "run", { body: checkedBody(name, body, options) }) as Promise<Recorded<T>>;
  }

  /** A call of a language model: recorded like `run`, with model, tokens and cost; 429, 503 and 529 are waited out as the provider says and spend no attempt. */
  ai<T>(name: string, call: (context: StepContext) => T | PromiseLike<T>, options?: AiOptions<Awaited<T>>): Promise<Recorded<T>> {
    return this.#dispatch.ask(name, "ai", { body: checkedBody(name, call, options) }) as Promise<Recorded<T>>;
  }

  /** Goes on after a time, which costs nothing while it passes. Answers `"woken"` if a person ended it early, else null. */
  sleep(name: string, duration: Duration): Promise<"woken" | null> {
    return this.#op(name, "sleep", { forMs: bounded(name, duration) });
  }

  /** Goes on at a time: a Date, an ISO text or Unix milliseconds. */
  sleepUntil(name: string, time: Date | string | number): Promise<"woken" | null> {
    const untilMs = typeof time === "number" ? time : new Date(time).getTime();
    if (!(untilMs <= YEAR_9999_MS)) throw new InvalidStep(`step ${name}: ${String(time)} is no time that a run can sleep until`);
    return this.#op(name, "sleep", { untilMs: Math.max(0, Math.ceil(untilMs)) });
  }

  /** The next signal of that name, sent before or after: its JSON body, or undefined when the timeout is over. */
  waitForSignal<Name extends (keyof S & string) | (string & {})>(name: Name, options: Named & { timeout: Duration }): Promise<Value<S, Name> | undefined>;
  waitForSignal<Name extends (keyof S & string) | (string & {})>(name: Name, options?: Named): Promise<Value<S, Name>>;
  waitForSignal(name: string, options?: Named & Timed): Promise<unknown> {
    const as = options?.as ?? name;
    checkSignal(as, name, "signal");
    const { signals = {} } = this.#dispatch.workflow.options;
    const schema = Object.prototype.hasOwnProperty.call(signals, name) ? signals[name] : undefined;
    const read = schema && ((value: unknown) => validated(schema, value, `the signal ${name}`));
    return this.#op(as, "signal", { name, ...timeout(as, options) }, { signal: name, ...(read && { read }) });
  }

  /** The next event of that name whose fields have these values, published from now on; undefined when the timeout is over. */
  waitForEvent<Data = unknown>(name: string, options: EventOptions & { timeout: Duration }): Promise<ReceivedEvent<Data> | undefined>;
  waitForEvent<Data = unknown>(name: string, options?: EventOptions): Promise<ReceivedEvent<Data>>;
  waitForEvent(name: string, options?: EventOptions & Timed): Promise<unknown> {
    const { as = name, match } = options ?? {};
    checkSignal(as, name, "event");
    checkMatch(match, `step ${as}`);
    return this.#op(as, "event", { name, ...(match && { match }), ...timeout(as, options) });
  }

  /** Waits for a person's decision; undefined when the timeout is over. A refusal is no error: look at `approved`. */
  approval<Data = unknown>(name: string, options: ApprovalOptions & { timeout: Duration }): Promise<Approval<Data> | undefined>;
  approval<Data = unknown>(name: string, options?: ApprovalOptions): Promise<Approval<Data>>;
  approval(name: string, options: ApprovalOptions & Timed = {}): Promise<unknown> {
    const { policy, schema, title, detail } = options;
    const asked = { policy, schema, title, detail };
    // Encoded first: what is no JSON at all is said as such.
    encode(asked, `what step ${name} asks for`);
    checkApproval(name, asked);
    return this.#op(name, "approval", { ...asked, ...timeout(name, options) });
  }

  /** Starts another workflow, once, and waits for its output. Its failure is thrown here, with its `runId`. */
  invoke<W extends AnyWorkflow>(name: string, workflow: W, input: InputTo<W>, options?: { version?: string; id?: string }): Promise<Recorded<OutputFrom<W>>>;
  invoke<Output = unknown>(name: string, workflow: string, input?: unknown, options?: { version?: string; id?: string }): Promise<Output>;
  invoke(name: string, workflow: AnyWorkflow | string, input?: unknown, options?: { version?: string; id?: string }): Promise<unknown> {
    const target = typeof workflow === "string" ? workflow : (workflow as AnyWorkflow | undefined)?.name;
    const { version, id } = options ?? {};
    checkChild(name, target, options);
    const encoded = encode(input, `the input of step ${name}`);
    checkSize(encoded, `the input of step ${name}`, this.#dispatch.invoke.limits.resultBytes);
    return this.#op(name, "child", { workflow: target, version, id }, { tail: `,"input":${encoded}` });
  }

  /** The engine makes the call, with retries, while this process does nothing. */
  fetch(name: string, url: string | URL, request?: FetchRequest): Promise<FetchAnswer> {
    return this.#op(name, "fetch", { request: { url: String(url), ...request } });
  }

  /** Publishes a message in the transaction that records the step. */
  publish(name: string, message: PublishMessage): Promise<{ id: string; status: string } | { messages: { id: string; status: string; url: string }[] }> {
    if (typeof message !== "object" || message === null) throw new InvalidStep(`step ${name}: a message is an object such as { url, body }`);
    return this.#op(name, "publish", { message });
  }

  /** A URL whose POST sends the signal `name` to this run; for an approval give its key, `"ok#0"`. Whoever has it may send. */
  resumeUrl(name: string): string {
    const { resume, resumeKey } = this.#dispatch.invoke.engine;
    return `${resume}/${encodeURIComponent(name)}?token=${hmacBase64url(resumeKey, `resume:${name}`)}`;
  }

  /** Ends this run and begins a new one of the workflow with its id, its parent and its unread signals. Never returns. */
  continueAsNew(input?: unknown, options?: { version?: string }): Promise<never> {
    checkVersion("continueAsNew", options?.version);
    const encoded = encode(input, "the input of the next run");
    checkSize(encoded, "the input of the next run", this.#dispatch.invoke.limits.resultBytes);
    const given = input === undefined ? "" : `,"input":${encoded}`;
    const version = options?.version === undefined ? "" : `,"version":${JSON.stringify(options.version)}`;
    this.#dispatch.finish(`{"op":"continueAsNew"${given}${version}}`);
    return new Promise<never>(() => {});
  }

  /** As Promise.all: what all gave, or the first failure. The run is dispatched when all of them are over. */
  all<T extends readonly unknown[] | []>(steps: T): Promise<{ -readonly [Key in keyof T]: Awaited<T[Key]> }> {
    return Promise.all(joined(steps)) as never;
  }

  /** As Promise.allSettled. The run is dispatched when all of them are over. */
  allSettled<T extends readonly unknown[] | []>(steps: T): Promise<{ -readonly [Key in keyof T]: PromiseSettledResult<Awaited<T[Key]>> }> {
    return Promise.allSettled(joined(steps)) as never;
  }

  /** As Promise.race: what the first one gave. */
  race<T extends readonly unknown[] | []>(steps: T): Promise<Awaited<T[number]>> {
    return Promise.race(steps) as never;
  }

  /** The time, recorded: the same in every dispatch. It is a step, named `now` unless you say otherwise. */
  now(name = "now"): Promise<Date> {
    return this.#dispatch.ask(name, "run", { body: { run: () => this.#dispatch.settings.clock.now() }, read: (value) => new Date(value as number) }) as Promise<Date>;
  }

  /** A random number from 0 to below 1, the same in every dispatch: drawn from the run's seed, so the order of the calls counts. */
  random(): number {
    return this.#dispatch.seeded.random();
  }

  /** A UUID that is the same in every dispatch, drawn like `random`. */
  uuid(): string {
    return this.#dispatch.seeded.uuid();
  }

  #op(name: string, kind: "sleep" | "signal" | "event" | "child" | "approval" | "fetch" | "publish", fields: object, { tail = "", ...work }: { tail?: string; [more: string]: unknown } = {}): Promise<never> {
    const dispatch = this.#dispatch;
    // Encoded now: the code may change what it gave afterwards.
    const encoded = encode(fields, `what step ${name} asks for`);
    const rest = `${encoded === "{}" ? "" : `,${encoded.slice(1, -1)}`}${tail}}`;
    checkOp(name, rest);
    return dispatch.ask(name, kind, { ...work, op: (key: string) => `{"op":"${kind}","key":${JSON.stringify(key)}${rest}` }) as unknown as Promise<never>;
  }
}

function timeout(step: string, options: Timed | undefined): { timeoutMs?: number } {
  return options?.timeout === undefined ? {} : { timeoutMs: bounded(step, options.timeout) };
}

const TEN_YEARS_MS = 315_360_000_000;
/** The last millisecond of the year 9999. */
const YEAR_9999_MS = 253_402_300_799_999;

/** The milliseconds of a wait, at most ten years of 365 days. */
function bounded(step: string, duration: Duration): number {
  let ms: number;
  try {
    ms = milliseconds(duration);
  } catch (error) {
    throw new InvalidStep(`step ${step}: ${(error as Error).message}`);
  }
  if (ms > TEN_YEARS_MS) throw new InvalidStep(`step ${step}: ${JSON.stringify(duration)} is too long: a wait is at most 3650 days`);
  return ms;
}

/** Mistakes in a policy are thrown where it stands, not when the first attempt has failed. */
function checkedBody(step: string, run: unknown, options: StepOptions | undefined): Body {
  if (typeof run !== "function") throw new InvalidStep(`step ${step} needs a function to run`);
  const { timeoutMs } = options ?? {};
  try {
    checkRetry(options, `of step ${step}`);
    if (timeoutMs !== undefined && !(timeoutMs > 0)) throw new TypeError(`timeoutMs of step ${step} must be a number above 0: ${String(timeoutMs)}`);
  } catch (error) {
    throw new InvalidStep((error as Error).message);
  }
  return { ...options, run, ...(options && { options }) } as Body;
}

/** Marks steps as waited for together. */
function joined(steps: readonly unknown[]): unknown[] {
  const group = {};
  return [...steps].map((step) => {
    if (!(step instanceof StepPromise)) return step;
    step.joinedBy(group);
    return step.quietly((value: unknown) => value);
  });
}
