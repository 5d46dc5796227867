// @tikku/sdk/testing: runs a workflow in memory, with a clock that the test moves.

import type { Entry, WireError } from "./protocol.js";
import type { AnyWorkflow, InputTo, ResultOf, SignalsOf } from "./workflow.js";
import type { InputOf } from "./schema.js";
import type { Mode } from "./checkpoints.js";
import type { Middleware, StepInfo } from "./middleware.js";
import type { Prices } from "./ai.js";
import type { MemoryRun, MemoryStatus } from "./memory/run.js";
import { type Duration, milliseconds } from "./duration.js";
import { fromWire } from "./errors.js";
import { MemoryEngine } from "./memory/engine.js";
import { schemaFaults } from "./memory/json-schema.js";

export interface TestOptions {
  /** The workflows that `step.invoke` and events start. */
  workflows?: readonly AnyWorkflow[];
  /** What steps do instead of their bodies, by name (`charge`) or key (`charge#1`): a value, or a function. */
  steps?: Record<string, unknown>;
  /** Answers `step.fetch`: fields of `{ status, headers, body }`. */
  fetch?: (request: { url: string; [field: string]: unknown }) => unknown;
  /** Default `each`. The result of a workflow does not depend on it. */
  checkpoint?: Mode;
  /** What the clock says at first; default 2026-01-01. */
  now?: Date;
  middleware?: readonly Middleware[];
  prices?: Prices;
}

/** A run under test. Bodies of steps run in real time; sleeps, timeouts and retries pass when the test moves the clock. */
export class TestRun<W extends AnyWorkflow = AnyWorkflow> {
  readonly #engine: MemoryEngine;
  readonly #executed: StepInfo[];
  #run: MemoryRun;
  #events = 0;

  private constructor(engine: MemoryEngine, run: MemoryRun, executed: StepInfo[]) {
    this.#engine = engine;
    this.#run = run;
    this.#executed = executed;
  }

  /** Starts a run, which goes on until it waits for something or is over. */
  static async start<W extends AnyWorkflow>(workflow: W, input: InputTo<W>, options: TestOptions = {}): Promise<TestRun<W>> {
    const executed: StepInfo[] = [];
    const steps = options.steps ?? {};
    const mock: Middleware = {
      async step(info, next) {
        executed.push(info);
        const name = info.step.slice(0, info.step.lastIndexOf("#"));
        const found = [info.step, name].find((key) => Object.prototype.hasOwnProperty.call(steps, key));
        if (found === undefined) return next();
        const given = steps[found];
        return typeof given === "function" ? (given as (info: StepInfo) => unknown)(info) : given;
      },
    };
    const { fetch, prices } = options;
    const engine = new MemoryEngine({
      mode: options.checkpoint ?? "each",
      startAt: (options.now ?? new Date("2026-01-01T00:00:00Z")).getTime(),
      workflows: [workflow, ...(options.workflows ?? [])],
      middleware: [...(options.middleware ?? []), mock],
      ...(fetch && { fetch }),
      ...(prices && { prices }),
    });
    const test = new TestRun<W>(engine, engine.start(workflow.name, input, { version: workflow.version }), executed);
    await engine.settle();
    return test;
  }

  /** The run, or the one that it continued as. */
  get #last(): MemoryRun {
    while (this.#run.continuedBy) this.#run = this.#run.continuedBy;
    return this.#run;
  }

  get id(): string {
    return this.#last.id;
  }
  get status(): MemoryStatus {
    return this.#last.status;
  }
  /** Why it is paused: `nonDeterminism`, `unserved` or `noProgress`. */
  get pauseReason(): string | undefined {
    return this.#last.pauseReason;
  }
  get journal(): readonly Entry[] {
    return this.#last.entries;
  }
  /** Keys that have no result yet: what it waits for, and what will be tried again. */
  get pending(): { key: string; kind: string; dueAt: Date | undefined }[] {
    return [...this.#last.pending.values()].map(({ key, kind, dueAt }) => ({ key, kind, dueAt: dueAt === undefined ? undefined : new Date(dueAt) }));
  }
  /** How often its endpoint was called. */
  get dispatches(): number {
    return this.#last.dispatches;
  }
  /** What its steps have published. */
  get published(): readonly unknown[] {
    return this.#engine.published;
  }
  /** What its endpoint warned of: steps that the code has returned without awaiting. */
  get warnings(): readonly string[] {
    return this.#engine.warnings;
  }
  /** The test's clock. */
  get now(): Date {
    return new Date(this.#engine.now());
  }
  get error(): Error | undefined {
    const { error } = this.#last;
    return error && fromWire(error);
  }

  /** The output. Throws the error that the run failed with, or one that says what it still waits for. */
  get output(): ResultOf<W> {
    const run = this.#last;
    if (run.status === "completed") return run.output as ResultOf<W>;
    if (run.error) throw fromWire(run.error as WireError);
    const waits = this.pending.map(({ key, kind }) => `${key} (${kind})`).join(", ");
    throw new Error(`the run is ${run.status}${run.pauseReason ? ` (${run.pauseReason}: ${JSON.stringify(run.diff)})` : ""}${waits && `, and waits for ${waits}`}`);
  }

  /** How often the bodies of a step began, by name or key; of all steps without one. */
  executions(step?: string): number {
    return this.#executed.filter(({ step: key }) => step === undefined || key === step || key.slice(0, key.lastIndexOf("#")) === step).length;
  }

  /** Moves the clock; what becomes due on the way happens in its order. */
  async advance(duration: Duration): Promise<this> {
    await this.#engine.advance(milliseconds(duration));
    return this;
  }

  async signal<Name extends (keyof SignalsOf<W> & string) | (string & {})>(name: Name, data?: Name extends keyof SignalsOf<W> ? InputOf<SignalsOf<W>[Name]> : unknown): Promise<this> {
    if (this.#last.over) throw new Error(`the run is ${this.status}`);
    this.#last.signal(name, data === undefined ? null : JSON.parse(JSON.stringify(data)));
    await this.#engine.settle();
    return this;
  }

  /** Publishes an event to all runs of the test. */
  async event(name: string, data?: unknown): Promise<this> {
    this.#events += 1;
    this.#engine.event(name, data, `evt_${this.#events}`);
    await this.#engine.settle();
    return this;
  }

  /** Answers an approval, by name or key. Throws, and the approval still waits, if `data` does not fit its schema; a refusal needs no data. */
  async approve(key: string, answer: { approve?: boolean; data?: unknown; by?: string } = {}): Promise<this> {
    const full = key.includes("#") ? key : [...this.#last.pending.keys()].find((each) => each.startsWith(`${key}#`));
    if (full === undefined || this.#last.pending.get(full)?.kind !== "approval") throw new Error(`no approval ${key} is waited for`);
    const { approve = true, by = "key_test" } = answer;
    const data: unknown = answer.data === undefined ? null : JSON.parse(JSON.stringify(answer.data));
    const { schema } = this.#last.pending.get(full)!.op as { schema?: unknown };
    const faults = schema !== undefined && (approve || answer.data !== undefined) ? schemaFaults(schema, data) : [];
    if (faults.length > 0) throw new Error(`the data of approval ${full} does not fit its schema: ${faults.map(({ pointer, detail }) => `data${pointer} ${detail}`).join("; ")}`);
    this.#last.record(full, "approval", { state: "ok", value: { approved: approve, data, by, at: this.now.toISOString() } });
    this.#last.decide();
    await this.#engine.settle();
    return this;
  }

  async cancel(): Promise<this> {
    this.#engine.cancel(this.#last);
    await new Promise<void>((resolve) => queueMicrotask(resolve));
    await this.#engine.settle();
    return this;
  }

  /** The runs that this one started, in their order. */
  get children(): { id: string; workflow: string; input: unknown; status: MemoryStatus }[] {
    return this.#last.children.map(({ id, workflow, input, status }) => ({ id, workflow, input, status }));
  }
}

/** Starts a run of a workflow in memory: `const run = await testRun(order, { id: 1 })`. */
export const testRun: typeof TestRun.start = (workflow, input, options) => TestRun.start(workflow, input, options);
