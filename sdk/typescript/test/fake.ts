// A scripted engine for tests of single dispatches: it builds invoke requests, answers checkpoints as the protocol says, and keeps what it was sent.

import { Webhook } from "standardwebhooks";

import { Dispatch, type Settings } from "../src/dispatch.js";
import type { AnyWorkflow } from "../src/workflow.js";
import type { Answer, Transport } from "../src/transport.js";
import type { Entry, Invoke, Kind, Pending, Tree } from "../src/protocol.js";
import { systemClock } from "../src/clock.js";

export const SECRET = "whsec_dGlra3UgdHlwZXNjcmlwdCB0ZXN0cw==";
export const SEED = "00112233445566778899aabbccddeeff";

export interface Reply {
  v: number;
  have: number;
  ops: SentOp[];
  await?: Tree;
}
export interface SentOp {
  op: string;
  key: string;
  [field: string]: any;
}
export interface Sent {
  have: number;
  ops: SentOp[];
  at: number;
}

export const ok = (seq: number, key: string, value: unknown, kind: Kind = "run"): Entry => ({ seq, key, kind, state: "ok", value });

export function invoke(more: { journal?: Entry[]; next?: string | null; pending?: Pending[]; run?: Partial<Invoke["run"]>; lease?: Invoke["lease"]; input?: unknown; limits?: Partial<Invoke["limits"]> } = {}): Invoke {
  const entries = more.journal ?? [];
  return {
    v: 1,
    kind: "invoke",
    app: "test",
    workflow: "flow",
    version: "1",
    run: { id: "run_1", attempt: 1, seed: SEED, budgetMs: 60_000, createdAt: "2026-11-21T10:00:00.000Z", ...more.run },
    fence: { gen: 7, token: "7.secret" },
    input: more.input ?? null,
    journal: { entries, seq: entries.at(-1)?.seq ?? 0, next: more.next ?? null },
    pending: more.pending ?? [],
    lease: more.lease ?? { ms: 30_000, renewMs: 10_000 },
    engine: { checkpoint: "http://engine.test/checkpoint", journal: "http://engine.test/journal", resume: "http://engine.test/resume", resumeKey: "ab12cd34ef56ab12cd34ef56ab12cd34" },
    limits: { resultBytes: 4_194_304, steps: 100_000, inlineBytes: 196_608, ...more.limits },
  };
}

/** Answers checkpoints from a journal in memory; `before` may answer in its place. */
export class FakeEngine implements Transport {
  readonly sent: Sent[] = [];
  readonly pages = new Map<string, { entries: Entry[]; seq: number; next: string | null }>();
  inFlight = 0;
  mostInFlight = 0;
  extra: object = {};
  before: (sent: Sent, number: number) => Promise<Answer | undefined> | Answer | undefined = () => undefined;

  constructor(readonly entries: Entry[] = []) {}

  async post(_url: string, _token: string, body: string): Promise<Answer> {
    const sent = { ...(JSON.parse(body) as Omit<Sent, "at">), at: Date.now() };
    this.sent.push(sent);
    this.inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    await new Promise((resolve) => setTimeout(resolve, 1));
    const instead = await this.before(sent, this.sent.length);
    this.inFlight -= 1;
    return instead ?? { status: 200, text: JSON.stringify(this.answer(sent)) };
  }

  async get(url: string): Promise<Answer> {
    const page = this.pages.get(new URL(url).searchParams.get("cursor") ?? "");
    return page ? { status: 200, text: JSON.stringify({ v: 1, ...page }) } : { status: 404, text: "{}" };
  }

  record(key: string, kind: Kind, outcome: Partial<Entry>): void {
    if (!this.entries.some((entry) => entry.key === key)) this.entries.push({ seq: this.entries.length + 1, key, kind, state: "ok", ...outcome });
  }

  answer({ have, ops }: Sent): object {
    const before = this.entries.length;
    for (const op of ops) {
      if (op.op === "result") this.record(op.key, op["kind"] ?? "run", { value: op["value"] ?? null });
      if (op.op === "error" && !op["retry"]) this.record(op.key, op["kind"] ?? "run", { state: "error", error: op["error"] });
      if (op.op === "publish") this.record(op.key, "publish", { value: { id: "msg_1", status: "queued" } });
    }
    const entries = this.entries
      .filter(({ seq }) => seq > have)
      .map((entry) => {
        if (entry.seq <= before || entry.kind === "publish") return entry;
        const { value: _, ...rest } = entry;
        return { ...rest, echo: true };
      });
    return { v: 1, journal: { entries, seq: this.entries.length, next: null }, signals: [], pauseRequested: false, cancelled: false, leaseMs: 30_000, ...this.extra };
  }
}

/** Runs one dispatch. */
export async function dispatch(workflow: AnyWorkflow, request: Invoke = invoke(), settings: Partial<Settings> = {}): Promise<Reply> {
  const full: Settings = { mode: "return", transport: new FakeEngine(), clock: systemClock, random: () => 0, engineUrl: undefined, budgetMs: undefined, prices: undefined, middleware: [], warn: () => {}, ...settings };
  return JSON.parse(await new Dispatch(structuredClone(request), workflow, full).run()) as Reply;
}

/** The headers of a request that the engine signs. */
export function signed(body: string, id = "inv_1", secret = SECRET): Record<string, string> {
  const now = new Date();
  return {
    "content-type": "application/json",
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(now.getTime() / 1_000)),
    "webhook-signature": new Webhook(secret).sign(id, now, body),
  };
}

export const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Waits until something is so, however long that takes; the test's own time limit ends it. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await wait(2);
}

/** A promise and its ends, for a test to decide when something happens. */
export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let ends!: { resolve: (value: T) => void; reject: (error: unknown) => void };
  const promise = new Promise<T>((resolve, reject) => (ends = { resolve, reject }));
  return { promise, ...ends };
}
