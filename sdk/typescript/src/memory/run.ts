// A run in memory: its journal, what it waits for, and what each op does to it.

import type { Entry, Kind, Tree, WireError } from "../protocol.js";
import { schemaFaults } from "./json-schema.js";
import { leavesOf, resolves } from "./tree.js";

export type MemoryStatus = "queued" | "sleeping" | "waiting" | "retrying" | "paused" | "completed" | "failed" | "cancelled";

export interface Op {
  op: string;
  key: string;
  [field: string]: any;
}
export interface Plan {
  key: string;
  kind: Kind;
  attempt: number;
  op: Op;
  plannedAt: number;
  dueAt: number | undefined;
}

/** What ops do outside of their run. */
export interface Outside {
  now(): number;
  child(run: MemoryRun, op: Op): MemoryRun | WireError;
  fetch(run: MemoryRun, plan: Plan): void;
  publish(run: MemoryRun, op: Op): unknown;
  continued(run: MemoryRun, op: Op): void;
  ended(run: MemoryRun): void;
}

export class MemoryRun {
  readonly entries: Entry[] = [];
  readonly byKey = new Map<string, Entry>();
  readonly pending = new Map<string, Plan>();
  readonly children: MemoryRun[] = [];
  /** Signals that nobody waited for. */
  signals: [name: string, value: unknown][] = [];
  status: MemoryStatus = "queued";
  awaits: Tree | undefined;
  output: unknown;
  error: WireError | undefined;
  pauseReason: string | undefined;
  diff: unknown;
  continuedBy: MemoryRun | undefined;
  fence = 0;
  attempt = 1;
  dispatches = 0;
  accept: number | undefined;

  constructor(
    readonly id: string,
    readonly workflow: string,
    readonly version: string,
    readonly input: unknown,
    readonly seed: string,
    readonly createdAt: number,
    readonly externalId: string | undefined,
    readonly parent: { run: MemoryRun; key: string } | undefined,
    private readonly outside: Outside,
  ) {}

  get over(): boolean {
    return this.status === "completed" || this.status === "failed" || this.status === "cancelled";
  }

  /** When the next timer of it ends. */
  get dueAt(): number {
    return Math.min(Infinity, ...[...this.pending.values()].map(({ dueAt }) => dueAt ?? Infinity));
  }

  apply(ops: readonly Op[]): Set<string> {
    const recorded = new Set<string>();
    for (const op of ops) {
      if (this.over) break;
      const before = this.entries.length;
      this.one(op);
      if (this.entries.length > before) recorded.add(op.key);
    }
    return recorded;
  }

  record(key: string, kind: Kind, outcome: { state: Entry["state"]; value?: unknown; error?: WireError; run?: string }): void {
    if (this.over || this.byKey.has(key)) return;
    const entry = { seq: this.entries.length + 1, key, kind, ...outcome } as Entry;
    this.entries.push(entry);
    this.byKey.set(key, entry);
    this.pending.delete(key);
  }

  /** Decides whether it is to be dispatched, after something has come in or its dispatch has ended. */
  decide(): void {
    if (this.over || this.status === "paused") return;
    const has = (key: string) => this.byKey.has(key) || !this.pending.has(key);
    if (this.awaits === undefined || resolves(this.awaits, has)) this.status = "queued";
    else this.status = this.waitingKind();
  }

  private waitingKind(): MemoryStatus {
    const kinds = leavesOf(this.awaits!).map((key) => this.pending.get(key)?.kind);
    if (kinds.some((kind) => kind !== undefined && kind !== "sleep" && kind !== "run" && kind !== "ai")) return "waiting";
    return kinds.includes("sleep") ? "sleeping" : "retrying";
  }

  /** Ends the timers that are due, in order; a retry that is due makes it ready. */
  tick(now: number): void {
    const due = [...this.pending.values()].filter(({ dueAt }) => dueAt !== undefined && dueAt <= now).sort((a, b) => a.dueAt! - b.dueAt!);
    let ready = false;
    for (const plan of due) {
      if (plan.kind === "sleep") this.record(plan.key, "sleep", { state: "ok", value: null });
      else if (plan.kind === "run" || plan.kind === "ai") [plan.dueAt, ready] = [undefined, true];
      else this.record(plan.key, plan.kind, { state: "timeout" });
    }
    this.decide();
    if (ready && !this.over && this.status !== "paused") this.status = "queued";
  }

  signal(name: string, value: unknown): void {
    this.signals.push([name, value]);
    for (const plan of this.pending.values()) if (plan.kind === "signal") this.consume(plan);
    this.decide();
  }

  private one(op: Op) {
    switch (op.op) {
      case "result":
        return this.record(op.key, (op["kind"] as Kind) ?? "run", { state: "ok", value: op["value"] ?? null });
      case "error":
        if (op["retry"]) return this.retryLater(op);
        return this.record(op.key, (op["kind"] as Kind) ?? "run", { state: "error", error: op["error"] as WireError });
      case "done":
        return this.end("completed", { output: op["value"] ?? null });
      case "fail":
        return this.end("failed", { error: op["error"] as WireError });
      case "continueAsNew":
        this.end("completed", { output: null });
        return this.outside.continued(this, op);
      case "diverged":
        [this.status, this.pauseReason, this.diff] = ["paused", "nonDeterminism", op["diff"]];
        return;
      case "unserved":
        [this.status, this.pauseReason] = ["paused", "unserved"];
        return;
      default:
        return this.plan(op);
    }
  }

  private retryLater(op: Op) {
    if (this.byKey.has(op.key)) return;
    const { afterMs, free } = op["retry"] as { afterMs: number; free?: boolean };
    const attempt = (op["attempt"] as number) + (free ? 0 : 1);
    const now = this.outside.now();
    this.pending.set(op.key, { key: op.key, kind: (op["kind"] as Kind) ?? "run", attempt, op, plannedAt: now, dueAt: now + afterMs });
  }

  private plan(op: Op) {
    if (this.byKey.has(op.key)) return;
    const known = this.pending.get(op.key);
    if (known) {
      if (op.op === "sleep" && op["forMs"] !== undefined) known.dueAt = known.plannedAt + (op["forMs"] as number);
      return;
    }
    const now = this.outside.now();
    const waits = (op["forMs"] ?? op["timeoutMs"]) as number | undefined;
    const dueAt = op["untilMs"] !== undefined ? (op["untilMs"] as number) : waits !== undefined ? now + waits : undefined;
    const plan: Plan = { key: op.key, kind: op.op as Kind, attempt: 1, op, plannedAt: now, dueAt };
    this.pending.set(op.key, plan);
    if (op.op === "signal") this.consume(plan);
    else if (op.op === "approval") this.ask(plan);
    else if (op.op === "child") this.begin(plan);
    else if (op.op === "fetch") this.outside.fetch(this, plan);
    else if (op.op === "publish") this.record(op.key, "publish", { state: "ok", value: this.outside.publish(this, op) });
  }

  /** Better than a question that nobody can ever answer. */
  private ask({ op, key }: Plan) {
    try {
      if (op["schema"] !== undefined) schemaFaults(op["schema"], null);
    } catch (error) {
      const message = `the schema of this approval cannot be used: ${(error as Error).message}`;
      this.record(key, "approval", { state: "error", error: { name: "InvalidSchema", message } });
    }
  }

  private begin({ op, key }: Plan) {
    const child = this.outside.child(this, op);
    if (child instanceof MemoryRun) this.children.push(child);
    else this.record(key, "child", { state: "error", error: child });
  }

  private consume({ key, op }: Plan) {
    const at = this.signals.findIndex(([name]) => name === op["name"]);
    if (at < 0 || this.byKey.has(key)) return;
    const [[, value]] = this.signals.splice(at, 1) as [[string, unknown]];
    this.record(key, "signal", { state: "ok", value });
  }

  end(status: MemoryStatus, outcome: { output?: unknown; error?: WireError }): void {
    this.status = status;
    this.output = outcome.output;
    this.error = outcome.error;
    this.pending.clear();
    this.outside.ended(this);
  }
}
