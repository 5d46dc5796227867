// A run as its starter sees it.

import type { Tikku } from "./client.js";
import type { WireError } from "./protocol.js";
import type { InputOf } from "./schema.js";
import type { Signals } from "./workflow.js";
import { type Duration, milliseconds } from "./duration.js";
import { fromWire } from "./errors.js";

export type RunStatus = "queued" | "running" | "sleeping" | "waiting" | "retrying" | "paused" | "completed" | "failed" | "cancelled";

/** A run as the API shows it. */
export interface Run<Output = unknown> {
  id: string;
  externalId?: string | null;
  workflow: string;
  version: string;
  status: RunStatus;
  input: unknown;
  output?: Output;
  error?: WireError | null;
  steps: { key: string; kind: string; [field: string]: unknown }[];
  [field: string]: unknown;
}

/** The run has failed; `cause` is its error as the workflow threw it. */
export class RunFailed extends Error {
  override name = "RunFailed";
  constructor(
    readonly runId: string,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}
/** The run was cancelled. */
export class RunCancelled extends RunFailed {
  override name = "RunCancelled";
}
/** The run is not over yet; it goes on. */
export class ResultTimeout extends Error {
  override name = "ResultTimeout";
}

const POLL_MS = { first: 100, most: 2_000 };

export class RunHandle<Output = unknown, S extends Signals = Signals> {
  constructor(
    private readonly tikku: Tikku,
    readonly id: string,
    /** Whether the start found the run that an earlier one had made. */
    readonly deduplicated = false,
  ) {}

  get(): Promise<Run<Output>> {
    return this.call("get", "") as Promise<Run<Output>>;
  }

  /** Sends a signal; a second one with the same idempotency key is not sent again. */
  async signal<Name extends (keyof S & string) | (string & {})>(
    name: Name,
    data?: Name extends keyof S ? InputOf<S[Name]> : unknown,
    options?: { idempotencyKey?: string },
  ): Promise<void> {
    const headers = options?.idempotencyKey === undefined ? undefined : { "idempotency-key": options.idempotencyKey };
    await this.call("post", "/signals/{name}", data ?? null, { name }, headers);
  }

  /** Answers an approval; `key` is its name and occurrence (`ok#0`), or the name alone for the first. */
  async approve(key: string, answer: { approve: boolean; data?: unknown; by?: string }): Promise<void> {
    await this.call("post", "/approvals/{key}", answer, { key: key.includes("#") ? key : `${key}#0` });
  }

  cancel = () => this.verb("cancel");
  pause = () => this.verb("pause");
  resume = (options?: { accept?: boolean }) => this.verb("resume", options);
  /** Ends its sleeps now. */
  wake = () => this.verb("wake");
  /** Runs again from the step that failed. */
  retry = () => this.verb("retry");

  /** A new run with this one's results up to a step, with edited input or results. */
  async fork(options: { fromStep?: string; input?: unknown; results?: Record<string, unknown> } = {}): Promise<RunHandle<Output, S>> {
    const made = (await this.call("post", "/fork", options)) as { id: string };
    return new RunHandle<Output, S>(this.tikku, made.id);
  }

  /**
   * Waits until the run is over and answers its output. A run that has continued as new is followed.
   * Throws RunFailed, RunCancelled, or ResultTimeout when the timeout comes first.
   */
  async result(options: { timeout?: Duration; signal?: AbortSignal } = {}): Promise<Output> {
    const end = options.timeout === undefined ? Infinity : Date.now() + milliseconds(options.timeout);
    let id = this.id;
    for (let pause = POLL_MS.first; ; pause = Math.min(pause * 1.5, POLL_MS.most)) {
      const run = await this.tikku.run<Output>(id).get();
      const next = run["continuedBy"];
      if (run.status === "completed" && typeof next === "string") id = next;
      else if (run.status === "completed") return (run.output ?? null) as Output;
      if (run.status === "failed") throw new RunFailed(id, `run ${id} has failed: ${run.error?.message ?? ""}`, run.error ? { cause: fromWire(run.error) } : undefined);
      if (run.status === "cancelled") throw new RunCancelled(id, `run ${id} was cancelled`);
      if (Date.now() + pause > end) throw new ResultTimeout(`run ${id} is ${run.status}, and not over yet`);
      await waited(pause, options.signal);
    }
  }

  private async verb(name: string, body?: object): Promise<Run<Output>> {
    return (await this.call("post", `/${name}`, body)) as Run<Output>;
  }

  private call(method: string, rest: string, body?: unknown, parameters: Record<string, string> = {}, headers?: Record<string, string>): Promise<unknown> {
    return this.tikku.call({ method, path: `/v1/runs/{id}${rest}`, parameters: { id: this.id, ...parameters }, body, headers });
  }
}

function waited(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const stop = () => (clearTimeout(timer), reject(signal!.reason as Error));
    const timer = setTimeout(() => (signal?.removeEventListener("abort", stop), resolve()), ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
