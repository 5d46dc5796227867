// One run of the fake engine: its journal, what is planned, its signals, on a clock that only moves when told. Out of scope: HTTP.

import { randomBytes } from "node:crypto";
import { checkpointProblems, replyProblems } from "../wire/rules.mjs";
import { leaves, resolves } from "../wire/tree.mjs";

const WAITING_KINDS = new Set(["signal", "event", "approval", "child", "fetch", "publish"]);
const hex = (bytes) => randomBytes(bytes).toString("hex");

/** The journal of a run, following docs/protocol.md. What an endpoint breaks is collected in `violations`. */
export class Run {
  constructor(workflow, given = {}) {
    this.id = `run_${given.hex ?? hex(16)}`;
    this.workflow = workflow;
    this.version = given.version ?? "1";
    this.input = given.input === undefined ? {} : given.input;
    this.seed = given.seed ?? hex(16);
    this.accept = given.accept;
    this.resumeKey = hex(16);
    this.gen = 0;
    this.nowMs = 0;
    this.entries = [];
    this.byKey = new Map();
    this.pending = new Map();
    this.signals = [];
    this.tree = undefined;
    this.status = "queued";
    this.violations = [];
    this.dispatches = [];
    this.checkpoints = [];
    this.applied = [];
    this.knobs = { budgetMs: 30_000, leaseMs: 30_000, renewMs: 10_000, inlineBytes: 196_608, pageBytes: 1_048_576, resultBytes: 4_194_304, ...given.knobs };
    for (const entry of given.entries ?? []) this.record(entry.key, entry);
    for (const one of given.pending ?? []) this.pending.set(one.key, { attempt: 1, dueMs: one.waitMs ?? null, ...one });
  }

  entry(key) {
    return this.byKey.get(key);
  }

  /** Records an entry unless there is one; answers whether it did. */
  record(key, { kind = "run", state = "ok", value, error, run }) {
    if (this.entry(key) || ["completed", "failed"].includes(this.status)) return false;
    const what = state === "ok" ? { value: value === undefined ? null : value } : { ...(error && { error }) };
    const entry = { seq: this.entries.length + 1, key, kind, state, ...what, ...(run && { run }) };
    this.entries.push(entry);
    this.byKey.set(key, entry);
    this.pending.delete(key);
    return true;
  }

  /** Ends a pending wait with an entry of its kind. */
  finish(key, outcome) {
    const pending = this.pending.get(key);
    if (!pending) throw new Error(`${key} is not pending`);
    return this.record(key, { kind: pending.kind, ...outcome });
  }

  signal(name, value) {
    const waiter = [...this.pending.values()].find((one) => one.kind === "signal" && one.op?.name === name);
    if (waiter) this.record(waiter.key, { kind: "signal", value });
    else this.signals.push({ name, value });
  }

  /** Moves the clock and materialises what has fallen due, in (due, key) order. */
  advance(ms) {
    this.nowMs += ms;
    const due = [...this.pending.values()].filter((one) => one.dueMs !== null && one.dueMs <= this.nowMs);
    due.sort((a, b) => a.dueMs - b.dueMs || (a.key < b.key ? -1 : 1));
    for (const one of due) {
      if (one.kind === "sleep") this.record(one.key, { kind: "sleep", value: null });
      else if (WAITING_KINDS.has(one.kind)) this.record(one.key, { kind: one.kind, state: "timeout" });
    }
  }

  nextDueMs() {
    const due = [...this.pending.values()].map((one) => one.dueMs).filter((ms) => ms !== null && ms > this.nowMs);
    return due.length > 0 ? Math.min(...due) : undefined;
  }

  /** Says whether the run is to be dispatched now. */
  dispatchable() {
    if (this.status !== "queued" && this.status !== "waiting") return false;
    if (this.tree === undefined) return true;
    const retry = [...this.pending.values()].some((one) => one.retry && one.dueMs !== null && one.dueMs <= this.nowMs);
    const lost = leaves(this.tree).some((key) => !this.entry(key) && !this.pending.has(key));
    return retry || lost || resolves(this.tree, (key) => Boolean(this.entry(key)));
  }

  /** Takes the ops of a checkpoint or a reply; answers the keys that this request recorded. */
  apply(ops) {
    const recorded = [];
    for (const op of ops) {
      this.applied.push(op);
      if (this.#plan(op)) recorded.push(op.key);
    }
    return recorded;
  }

  #plan(op) {
    if (op.op === "result") return this.record(op.key, { kind: op.kind ?? "run", value: op.value });
    if (op.op === "error" && !op.retry) return this.record(op.key, { kind: op.kind ?? "run", state: "error", error: op.error });
    if (op.op === "error") return this.#retry(op);
    if (op.op === "done" || op.op === "continueAsNew") this.status = "completed";
    if (op.op === "fail") this.status = "failed";
    if (op.op === "diverged" || op.op === "unserved") this.status = "paused";
    if (op.key === undefined) this.end = op;
    else if (!this.entry(op.key) && !this.pending.has(op.key)) this.#wait(op);
    return false;
  }

  #retry(op) {
    if (this.entry(op.key)) return false;
    const attempt = (this.pending.get(op.key)?.attempt ?? 1) + (op.retry.free ? 0 : 1);
    this.pending.set(op.key, { key: op.key, kind: op.kind ?? "run", attempt, retry: true, dueMs: this.nowMs + op.retry.afterMs });
    return false;
  }

  #wait(op) {
    const forMs = op.forMs ?? op.timeoutMs ?? (op.untilMs === undefined ? null : Math.max(0, op.untilMs - Date.now()));
    this.pending.set(op.key, { key: op.key, kind: op.op, attempt: 1, dueMs: forMs === null ? null : this.nowMs + forMs, op });
    const buffered = op.op === "signal" ? this.signals.findIndex((one) => one.name === op.name) : -1;
    if (buffered >= 0) this.record(op.key, { kind: "signal", value: this.signals.splice(buffered, 1)[0].value });
  }

  /** Checks a checkpoint's request or a reply against the rules. */
  inspect(what, body) {
    const found = what === "reply" ? replyProblems(body) : checkpointProblems(body);
    for (const { pointer, detail } of found) this.violations.push(`${what}: ${pointer}: ${detail} in ${JSON.stringify(body).slice(0, 600)}`);
    if (found.length > 0) return;
    if (body.have === undefined && body.ops.length > 0) this.violations.push(`${what}: no "have"`);
    if (body.have > this.entries.length) this.violations.push(`${what}: have ${body.have}, but there are ${this.entries.length} entries`);
    for (const op of body.ops) {
      const kind = this.entry(op.key)?.kind ?? this.pending.get(op.key)?.kind;
      const asked = op.op === "result" || op.op === "error" ? (op.kind ?? "run") : op.op;
      if (op.key !== undefined && kind !== undefined && kind !== asked) this.violations.push(`${what}: ${op.key} is a ${kind}, not a ${asked}`);
    }
  }

  /** The entries after `seq` that fit in so many bytes, at least one. */
  page(seq, bytes) {
    const entries = [];
    let size = 0;
    for (let at = seq; at < this.entries.length; at += 1) {
      const entry = this.entries[at];
      size += Buffer.byteLength(JSON.stringify(entry));
      if (size > bytes && (entries.length > 0 || bytes === 0)) break;
      entries.push(entry);
    }
    const last = entries.at(-1)?.seq ?? seq;
    return { entries, seq: last, next: last < this.entries.length ? `after-${last}` : null };
  }

  pendingList() {
    return [...this.pending.values()].map(({ key, kind, attempt, dueMs }) => (
      { key, kind, attempt, waitMs: dueMs === null ? null : Math.max(0, dueMs - this.nowMs) }));
  }
}
