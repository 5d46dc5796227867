// The step bodies that run in a dispatch: their attempts, their time limits, and what becomes of what they give or throw.

import type { Dispatch } from "./dispatch.js";
import type { Body, Leaf } from "./leaf.js";
import type { StepInfo } from "./middleware.js";
import { aiUsage, throttle } from "./ai.js";
import { NonRetriable, RetryAfter, encodeError } from "./errors.js";
import { decode, encode } from "./json.js";
import { MAX_ATTEMPTS_DEFAULT, type Backoff, pauseMs } from "./retry.js";

/** What a step's body is given. */
export interface StepContext {
  /** The same for every execution of this step, and for no other step of any run: send it as the Idempotency-Key of what the body calls. */
  readonly key: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** Aborts when the step's time is over, the run was cancelled, or this dispatch may no longer record anything. */
  readonly signal: AbortSignal;
}

/** Thrown into a step that takes longer than its `timeoutMs`. */
export class StepTimeout extends Error {
  override name = "StepTimeout";
}

class Running implements StepContext {
  private aborter: AbortController | undefined;
  private aborted: Error | undefined;
  startedAt = 0;
  constructor(
    readonly leaf: Leaf,
    readonly attempt: number,
    private readonly runId: string,
  ) {}

  get key(): string {
    const { key } = this.leaf;
    // A header takes no other characters.
    return `${this.runId}/${/^[\x20-\x7e]*$/.test(key) ? key : encodeURI(key)}`;
  }

  // Made when it is asked for: most bodies do not.
  get signal(): AbortSignal {
    if (!this.aborter) {
      this.aborter = new AbortController();
      if (this.aborted) this.aborter.abort(this.aborted);
    }
    return this.aborter.signal;
  }

  abort(error: Error) {
    this.aborted ??= error;
    this.aborter?.abort(error);
  }
}

interface AiOptions {
  usage?: Parameters<typeof aiUsage>[1];
}

export class Bodies {
  /** The step whose body is being called at this moment. */
  within: string | undefined;
  private readonly live = new Set<Running>();
  private readonly retries = new Set<() => void>();
  constructor(private readonly dispatch: Dispatch) {}

  get running(): number {
    return this.live.size;
  }

  begin(leaf: Leaf): void {
    const context = new Running(leaf, leaf.attempt, this.dispatch.invoke.run.id);
    context.startedAt = this.dispatch.settings.clock.now();
    this.live.add(context);
    this.execute(context, leaf.work.body!).catch((error: unknown) => this.dispatch.broke(error));
  }

  private async execute(context: Running, body: Body) {
    const { leaf } = context;
    let encoded: string;
    let ai: string | undefined;
    try {
      const value = await this.limited(context, body);
      if (this.dispatch.over) return;
      encoded = encode(value, `the result of step ${leaf.key}`);
      this.dispatch.checkpoints.checkSize(encoded, leaf.key);
      if (leaf.kind === "ai") ai = this.usage(value, body);
    } catch (error) {
      if (this.live.delete(context) && !this.dispatch.over) this.failed(context, body, error);
      return;
    }
    if (!this.live.delete(context)) return;
    this.dispatch.checkpoints.result(leaf, encoded, `${this.facts(context)}${ai ? `,"ai":${ai}` : ""}`);
    if (this.dispatch.checkpoints.early) {
      this.dispatch.takeEarly(leaf, { seq: 0, key: leaf.key, kind: leaf.kind, state: "ok", value: decode(encoded) });
    }
  }

  private usage(value: unknown, body: Body): string | undefined {
    const { settings } = this.dispatch;
    const own = (body.options as AiOptions | undefined)?.usage;
    try {
      const usage = aiUsage(value, own, settings.prices);
      return usage && JSON.stringify(usage);
    } catch (error) {
      // The answer was paid for: it is not lost because nobody can count it.
      settings.warn(`tikku: the usage of a call of a model cannot be read: ${String(error)}`);
      return undefined;
    }
  }

  private limited(context: Running, body: Body): unknown {
    const call = this.around(context, body);
    if (body.timeoutMs === undefined) return call();
    return new Promise((resolve, reject) => {
      const cancel = this.dispatch.settings.clock.timer(body.timeoutMs!, () => {
        const error = new StepTimeout(`step ${context.leaf.key} took longer than ${body.timeoutMs} ms`);
        context.abort(error);
        reject(error);
      });
      Promise.resolve().then(call).then(resolve, reject).finally(cancel);
    });
  }

  private around(context: Running, body: Body): () => unknown {
    let call: () => unknown = () => this.call(context, body);
    const { middleware, invoke } = this.dispatch;
    if (middleware.length === 0) return call;
    const info: StepInfo = { run: invoke.run, workflow: invoke.workflow, version: invoke.version, step: context.leaf.key, kind: context.leaf.kind, attempt: context.attempt };
    for (const { step } of [...middleware].reverse()) {
      const next = call;
      if (step) call = () => step(info, async () => next());
    }
    return call;
  }

  private call(context: Running, body: Body): unknown {
    this.within = context.leaf.key;
    try {
      return body.run(context as never);
    } finally {
      this.within = undefined;
    }
  }

  /** Records a failure: for good, or to be tried again. */
  private failed(context: Running, body: Body, error: unknown) {
    const { leaf, attempt } = context;
    const { workflow, settings, checkpoints } = this.dispatch;
    const encoded = encodeError(error);
    const fields = this.facts(context);
    const limit = body.maxAttempts ?? workflow.options.retry?.maxAttempts ?? MAX_ATTEMPTS_DEFAULT;
    const backoff: Backoff | undefined = (body.options as { backoff?: Backoff } | undefined)?.backoff ?? workflow.options.retry?.backoff;
    const throttled = leaf.kind === "ai" && !isFinal(error) ? throttle(error, settings.clock.now()) : undefined;
    if (throttled !== undefined) {
      const afterMs = Math.ceil(throttled.afterMs ?? pauseMs(backoff, attempt, settings.random));
      return this.retry(leaf, encoded, fields, afterMs, true);
    }
    if (isFinal(error) || attempt >= limit) {
      checkpoints.failure(leaf, encoded, fields);
      if (checkpoints.early) this.dispatch.takeEarly(leaf, { seq: 0, key: leaf.key, kind: leaf.kind, state: "error", error: JSON.parse(encoded) });
      return;
    }
    leaf.attempt = attempt + 1;
    const afterMs = isLater(error) ? error.afterMs : pauseMs(backoff, attempt, settings.random);
    this.retry(leaf, encoded, fields, afterMs, false);
  }

  private retry(leaf: Leaf, encoded: string, fields: string, afterMs: number, free: boolean) {
    const policy = `"retry":{"afterMs":${Math.min(afterMs, 31_536_000_000)}${free ? ',"free":true' : ""}}`;
    this.dispatch.checkpoints.retry(leaf, `{"op":"error","key":${JSON.stringify(leaf.key)},"error":${encoded},${policy}${fields}}`, () => this.repeat(leaf, afterMs));
  }

  /** The engine has it: while other bodies keep this dispatch alive, the next attempt is made here. */
  private repeat(leaf: Leaf, afterMs: number) {
    if (this.live.size === 0) return;
    const cancel = this.dispatch.settings.clock.timer(afterMs, () => {
      this.retries.delete(cancel);
      this.dispatch.again(leaf);
    });
    this.retries.add(cancel);
  }

  /** Fields of an op that tell about the attempt. */
  private facts({ attempt, startedAt, leaf }: Running): string {
    const ms = Math.max(0, Math.round(this.dispatch.settings.clock.now() - startedAt));
    return `,"ms":${ms},"attempt":${attempt}${leaf.kind === "run" ? "" : `,"kind":"${leaf.kind}"`}`;
  }

  abort(reason: string): void {
    for (const context of this.live) context.abort(new Error(reason));
  }

  /** What the reply says about bodies that did not end in time. One that had nearly the whole budget has used an attempt; another one has not. */
  cutOff(): string[] {
    const { settings, invoke, startedAt, workflow } = this.dispatch;
    return [...this.live].map((context) => {
      const { leaf, attempt } = context;
      const whole = context.startedAt - startedAt < invoke.run.budgetMs / 5;
      const body = leaf.work.body!;
      const limit = body.maxAttempts ?? workflow.options.retry?.maxAttempts ?? MAX_ATTEMPTS_DEFAULT;
      const error = encodeError(new StepTimeout(`step ${leaf.key} was still running after ${settings.clock.now() - context.startedAt} ms, when the time of the dispatch was over (${invoke.run.budgetMs} ms)`));
      const retry = !whole ? ',"retry":{"afterMs":0,"free":true}' : attempt < limit ? ',"retry":{"afterMs":1000}' : "";
      return `{"op":"error","key":${JSON.stringify(leaf.key)},"error":${error}${retry}${this.facts(context)}}`;
    });
  }

  /** The dispatch is over: nothing that still runs is recorded. */
  stop(): void {
    this.abort("the dispatch is over");
    this.live.clear();
    for (const cancel of this.retries) cancel();
  }
}

/** By its name, too: a bundle may have this package twice. */
function isLater(error: unknown): error is RetryAfter {
  const { name, afterMs } = (error ?? {}) as { name?: unknown; afterMs?: unknown };
  return error instanceof RetryAfter || (name === "RetryAfter" && Number.isSafeInteger(afterMs) && (afterMs as number) >= 0);
}

function isFinal(error: unknown): boolean {
  return error instanceof NonRetriable || (error as { name?: unknown } | null | undefined)?.name === "NonRetriable" || (error as { nonRetriable?: unknown } | null | undefined)?.nonRetriable === true;
}

