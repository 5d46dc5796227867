// An engine in memory with a clock of its own. It speaks the protocol through the same code that serves real dispatches; only HTTP and the database are left out.

import type { Entry, WireError } from "../protocol.js";
import type { AnyWorkflow } from "../workflow.js";
import type { Middleware } from "../middleware.js";
import type { Mode } from "../checkpoints.js";
import type { Transport } from "../transport.js";
import { systemClock } from "../clock.js";
import { Dispatch, type Settings } from "../dispatch.js";
import { canonical } from "./json-schema.js";
import { type Op, type Outside, MemoryRun, type Plan } from "./run.js";

export interface EngineOptions {
  mode: Mode;
  startAt: number;
  workflows: readonly AnyWorkflow[];
  middleware: readonly Middleware[];
  prices?: Settings["prices"];
  /** Answers `step.fetch`. */
  fetch?: (request: { url: string; [field: string]: unknown }) => unknown;
  /** What happens to a checkpoint: its answer is lost, it is refused for now, or the dispatch was given up before it came. */
  disturb?: (run: MemoryRun) => "lost" | "busy" | "stale" | undefined;
}

/** Dispatches in a row that bring nothing, after which a run is paused. */
const IDLE_MAX = 10;

export class MemoryEngine implements Outside {
  readonly runs: MemoryRun[] = [];
  readonly published: unknown[] = [];
  readonly warnings: string[] = [];
  private time: number;
  private readonly idle = new Map<MemoryRun, number>();
  private fetches: Promise<void>[] = [];

  constructor(private readonly options: EngineOptions) {
    this.time = options.startAt;
  }

  now(): number {
    return this.time;
  }

  start(workflow: string, input: unknown, more: { version?: string | undefined; id?: string | undefined; parent?: MemoryRun["parent"] } = {}): MemoryRun {
    const served = this.options.workflows.find(({ name, version }) => name === workflow && (more.version === undefined || version === more.version));
    const number = (this.runs.length + 1).toString(16).padStart(32, "0");
    const seed = number.replaceAll("0", "7");
    const run = new MemoryRun(`run_${number}`, workflow, more.version ?? served?.version ?? "1", json(input), seed, this.time, more.id, more.parent, this);
    this.runs.push(run);
    return run;
  }

  /** Dispatches until every run waits for something, or is over. */
  async settle(): Promise<void> {
    for (;;) {
      const ready = this.runs.filter(({ status }) => status === "queued");
      if (ready.length === 0 && this.fetches.length === 0) return;
      const fetches = this.fetches;
      this.fetches = [];
      await Promise.all([...ready.map((run) => this.dispatch(run)), ...fetches]);
    }
  }

  /** Moves the clock, stopping at each timer on the way. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms;
    await this.settle();
    for (;;) {
      const next = Math.min(...this.runs.filter((run) => !run.over && run.status !== "paused").map(({ dueAt }) => dueAt));
      if (!(next <= end)) break;
      this.time = Math.max(this.time, next);
      for (const run of this.runs) if (run.status !== "paused") run.tick(this.time);
      await this.settle();
    }
    this.time = end;
  }

  event(name: string, data: unknown, id: string): void {
    for (const run of this.runs) {
      for (const { kind, key, op } of [...run.pending.values()]) {
        if (kind === "event" && op["name"] === name && matches(op["match"] as never, json(data))) run.record(key, "event", { state: "ok", value: { id, name, data: json(data) } });
      }
      run.decide();
    }
    for (const { name: workflow, options } of this.options.workflows) {
      const triggered = options.triggers?.some((trigger) => trigger.event === name && matches(json(trigger.match) as never, json(data)));
      if (triggered) this.start(workflow, { event: { id, name, data } });
    }
  }

  cancel(run: MemoryRun): void {
    if (run.over) return;
    run.fence += 1;
    run.end("cancelled", {});
    for (const child of run.children) this.cancel(child);
  }

  child(parent: MemoryRun, op: Op): MemoryRun | WireError {
    const name = op["workflow"] as string;
    const [version, id] = [op["version"], op["id"]] as (string | undefined)[];
    const known = this.runs.find((run) => id !== undefined && run.externalId === id && run.workflow === name);
    if (known) return { name: "ChildExists", message: `${known.id} has this id, or the place of this singleton`, runId: known.id };
    const isServed = this.options.workflows.some((workflow) => workflow.name === name && (version === undefined || workflow.version === version));
    if (isServed) return this.start(name, op["input"], { version, id, parent: { run: parent, key: op.key } });
    return { name: "UnknownWorkflow", message: `no app serves ${name}${version === undefined ? "" : ` version ${version}`}: name it in "workflows" of the test` };
  }

  fetch(run: MemoryRun, plan: Plan): void {
    const request = plan.op["request"] as { url: string };
    const answer = async () => {
      if (!this.options.fetch) throw new Error(`the test answers no fetch: give "fetch" (asked for ${request.url})`);
      return { status: 200, headers: {}, body: "", ...(json(await this.options.fetch(request)) as object) };
    };
    const done = answer().then(
      (value) => run.record(plan.key, "fetch", { state: "ok", value }),
      (error: Error) => run.record(plan.key, "fetch", { state: "error", error: { name: error.name, message: error.message } }),
    );
    this.fetches.push(done.then(() => run.decide()));
  }

  publish(_run: MemoryRun, op: Op): unknown {
    this.published.push(op["message"]);
    return { id: `msg_${this.published.length.toString(16).padStart(32, "0")}`, status: "queued" };
  }

  continued(run: MemoryRun, op: Op): void {
    const next = this.start(run.workflow, op["input"], { version: (op["version"] as string | undefined) ?? run.version, parent: run.parent });
    next.signals = run.signals.splice(0);
    run.continuedBy = next;
  }

  ended(run: MemoryRun): void {
    if (!run.parent || run.continuedBy || run.parent.run.over) return;
    const { run: parent, key } = run.parent;
    // A run that continues as new says so after it has ended.
    queueMicrotask(() => {
      if (run.continuedBy) return;
      const failed = run.status === "failed" ? "ChildFailed" : "ChildCancelled";
      const error: WireError = { name: failed, message: run.error?.message ?? `run ${run.id} was cancelled`, runId: run.id, ...(run.error && { cause: run.error }) };
      parent.record(key, "child", run.status === "completed" ? { state: "ok", value: run.output, run: run.id } : { state: "error", error, run: run.id });
      parent.decide();
    });
  }

  private async dispatch(run: MemoryRun) {
    const workflow = this.options.workflows.find(({ name, version }) => name === run.workflow && version === run.version);
    if (!workflow) return void run.apply([{ op: "unserved", key: "" }]);
    run.fence += 1;
    run.dispatches += 1;
    const { fence } = run;
    const before = run.entries.length + run.pending.size;
    const reply = JSON.parse(await new Dispatch(this.invoke(run), workflow, this.settings(run, fence)).run()) as { ops: Op[]; await?: MemoryRun["awaits"] };
    if (run.fence !== fence || run.over) return;
    run.apply(reply.ops);
    run.awaits = reply.await;
    const progress = run.entries.length + run.pending.size !== before || reply.ops.length > 0;
    this.idle.set(run, progress ? 0 : (this.idle.get(run) ?? 0) + 1);
    if (this.idle.get(run)! >= IDLE_MAX) [run.status, run.pauseReason] = ["paused", "noProgress"];
    run.tick(this.time);
  }

  private invoke(run: MemoryRun) {
    const { id, externalId, attempt, seed, createdAt, parent, accept } = run;
    const text = JSON.stringify({
      v: 1,
      kind: "invoke",
      app: "test",
      workflow: run.workflow,
      version: run.version,
      run: { id, externalId, attempt, seed, budgetMs: 2_000_000_000, createdAt: new Date(createdAt).toISOString(), accept, parent: parent && { id: parent.run.id, key: parent.key } },
      fence: { gen: run.fence, token: `${run.fence}.test` },
      input: run.input ?? null,
      journal: { entries: run.entries, seq: run.entries.length, next: null },
      pending: [...run.pending.values()].map(({ key, kind, attempt, dueAt }) => ({ key, kind, attempt, waitMs: dueAt === undefined ? null : Math.max(0, dueAt - this.time) })),
      lease: { ms: 2_000_000_000, renewMs: 2_000_000_000 },
      engine: { checkpoint: "memory:checkpoint", journal: "memory:journal", resume: `https://tikku.test/v1/runs/${id}/resume`, resumeKey: seed },
      limits: { resultBytes: 4_194_304, steps: 100_000, inlineBytes: 196_608 },
    });
    return JSON.parse(text) as never;
  }

  private settings(run: MemoryRun, fence: number): Settings {
    const transport: Transport = {
      post: async (_url, _token, body) => {
        const disturbance = this.options.disturb?.(run);
        if (disturbance === "stale") run.fence += 1;
        if (run.fence !== fence || run.over) return { status: 409, text: "{}" };
        if (disturbance === "busy") return { status: 503, text: "" };
        const text = this.checkpoint(run, body);
        return disturbance === "lost" ? { status: 0, text: "the answer was lost" } : { status: 200, text };
      },
      get: async () => ({ status: 404, text: "{}" }),
    };
    const { mode, middleware, prices } = this.options;
    return { mode, transport, middleware, prices, warn: (message) => void this.warnings.push(message), engineUrl: undefined, budgetMs: undefined, random: () => 0, clock: { now: () => this.time, timer: systemClock.timer } };
  }

  private checkpoint(run: MemoryRun, body: string): string {
    const { have, ops } = JSON.parse(body) as { have: number; ops: Op[] };
    const recorded = run.apply(ops);
    const entries = run.entries.slice(have).map((entry): Entry => {
      if (!recorded.has(entry.key) || (entry.kind !== "run" && entry.kind !== "ai")) return entry;
      const { value: _, ...rest } = entry;
      return { ...rest, echo: true };
    });
    return JSON.stringify({ v: 1, journal: { entries, seq: run.entries.length, next: null }, signals: run.signals.map(([name]) => ({ name, count: 1 })), pauseRequested: false, cancelled: false });
  }
}

/** Whether data has these values at these paths. */
export function matches(match: Record<string, unknown> | undefined, data: unknown): boolean {
  return Object.entries(match ?? {}).every(([path, wanted]) => {
    const found = path.split(".").reduce<unknown>((at, part) => (isMember(at, part) ? (at as Record<string, unknown>)[part] : undefined), { data });
    return found !== undefined && canonical(found) === canonical(wanted);
  });
}

function isMember(value: unknown, name: string): boolean {
  if (typeof value !== "object" || value === null || (Array.isArray(value) && !/^\d+$/.test(name))) return false;
  return Object.prototype.hasOwnProperty.call(value, name);
}

function json(value: unknown): unknown {
  return value === undefined ? null : JSON.parse(JSON.stringify(value));
}
