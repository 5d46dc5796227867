// What goes to the engine while a dispatch runs: results and plans on their way, the lease, and the entries that come back.

import type { Dispatch } from "./dispatch.js";
import type { Leaf } from "./leaf.js";
import type { CheckpointAnswer, Entry, JournalPage } from "./protocol.js";
import { checkSize } from "./checks.js";
import { atOrigin } from "./transport.js";

/** How results are reported. In `batched` the code goes on before they are recorded: a crash repeats at most `maxSteps` of them. */
export type Mode = "each" | "return" | { everyMs: number; maxSteps: number };

interface Op {
  json: string;
  leaf: Leaf;
  /** The code cannot go on without the engine's answer. */
  urgent: boolean;
  decisive?: boolean;
  /** It goes along with something else; it is no reason to send anything. */
  idle?: boolean;
  acknowledged?: () => void;
}

const CHUNK_OPS = 5_000;
const CHUNK_CHARACTERS = 1_000_000;
const REPLY_OPS = 9_000;
/** Tries of one checkpoint before its results travel in the reply instead. */
const TRIES = 6;
const REQUEST_MS = 15_000;
const ENDED = new Set([401, 403, 404, 409, 410]);

export class Checkpoints {
  have = 0;
  pauseRequested = false;
  private outbox: Op[] = [];
  private sending: Op[] | undefined;
  private due = false;
  private broken = false;
  private single = false;
  private renewedAt: number;
  private signals = new Set<string>();
  private cancelRenewal: (() => void) | undefined;
  private cancelBatch: (() => void) | undefined;

  constructor(private readonly dispatch: Dispatch) {
    this.renewedAt = dispatch.startedAt;
  }

  /** Results travel in the reply. */
  get returning(): boolean {
    return this.dispatch.settings.mode === "return" || this.broken;
  }

  /** Promises settle before their results are recorded. */
  get early(): boolean {
    return typeof this.dispatch.settings.mode === "object";
  }

  get busy(): boolean {
    return this.sending !== undefined;
  }

  /** As many results are on their way as a crash may repeat. */
  get full(): boolean {
    const { mode } = this.dispatch.settings;
    return typeof mode === "object" && this.outbox.length + (this.sending?.length ?? 0) >= mode.maxSteps;
  }

  /** Time to send, so that the code need not stand still until there is an answer. */
  get half(): boolean {
    const { mode } = this.dispatch.settings;
    return typeof mode === "object" && !this.broken && this.outbox.length >= Math.ceil(mode.maxSteps / 2);
  }

  /** Whether the reply records something that a join may not wait for the others with: a failure, or what is decided only then. */
  get decisive(): boolean {
    return this.returning && this.outbox.some(({ decisive }) => decisive);
  }

  get tooMany(): boolean {
    return !this.returning && this.outbox.length > REPLY_OPS;
  }

  start(): void {
    if (!this.returning) this.renewIn(this.dispatch.invoke.lease.renewMs * 0.9);
  }

  stop(): void {
    this.cancelRenewal?.();
    this.cancelBatch?.();
  }

  result(leaf: Leaf, encoded: string, facts: string): void {
    leaf.encoded = encoded;
    const value = encoded === "null" ? "" : `,"value":${encoded}`;
    this.add({ json: `{"op":"result","key":${JSON.stringify(leaf.key)}${value}${facts}}`, leaf, urgent: !this.early });
  }

  failure(leaf: Leaf, encoded: string, facts: string): void {
    leaf.encoded = encoded;
    this.add({ json: `{"op":"error","key":${JSON.stringify(leaf.key)},"error":${encoded}${facts}}`, leaf, urgent: !this.early, decisive: true });
  }

  retry(leaf: Leaf, json: string, acknowledged: () => void): void {
    leaf.planned = true;
    this.add({ json, leaf, urgent: false, acknowledged });
  }

  /** An op that the engine carries out. */
  plan(leaf: Leaf, json: string): void {
    this.add({ json, leaf, urgent: leaf.kind === "publish", decisive: leaf.kind === "publish", idle: leaf.planned });
    leaf.planned = true;
  }

  private add(op: Op) {
    this.outbox.push(op);
    const { mode, clock } = this.dispatch.settings;
    if (typeof mode === "object" && !this.cancelBatch) {
      this.cancelBatch = clock.timer(mode.everyMs, () => {
        this.cancelBatch = undefined;
        this.due = this.outbox.length > 0;
        this.dispatch.schedule();
      });
    }
    this.dispatch.schedule();
  }

  /** Refuses a value that the engine would refuse. */
  checkSize(encoded: string, key: string): void {
    checkSize(encoded, `the result of step ${key}`, this.dispatch.invoke.limits.resultBytes);
  }

  /** Whether to send something now. */
  wanted(running: number, held: boolean): boolean {
    if (this.returning) return false;
    if (this.due) return true;
    if (this.outbox.length === 0) return false;
    if (this.outbox.length > REPLY_OPS) return true;
    const { mode } = this.dispatch.settings;
    // A reply without await must not consist of retries alone: the engine would wait for the first of them.
    if (this.half || (held && !this.pauseRequested)) return true;
    return this.outbox.some(({ urgent, idle, leaf }) => urgent || (!idle && running > 0 && mode === "each") || (!idle && this.isBuffered(leaf)));
  }

  /** A wait for a signal that is there already needs no new dispatch. */
  private isBuffered({ work }: Leaf): boolean {
    return work.signal !== undefined && this.signals.has(work.signal);
  }

  /** What has not been sent, or has no answer yet, for the reply. */
  drain(): string[] {
    const ops = [...(this.sending ?? []), ...this.outbox];
    this.outbox = [];
    return ops.map(({ json }) => json);
  }

  flush(): void {
    if (this.sending || this.dispatch.over) return;
    const chunk = this.chunk();
    this.sending = chunk;
    this.due = false;
    void this.send(chunk);
  }

  private chunk(): Op[] {
    if (this.outbox.length <= 1) return this.outbox.splice(0);
    let size = 0;
    let count = 0;
    const limit = this.single ? 1 : CHUNK_OPS;
    for (const { json } of this.outbox) {
      size += json.length;
      if (count > 0 && (size > CHUNK_CHARACTERS || count >= limit)) break;
      count += 1;
    }
    return count === this.outbox.length ? this.outbox.splice(0) : this.outbox.splice(0, count);
  }

  private async send(ops: Op[]) {
    const { dispatch } = this;
    const { invoke, settings } = dispatch;
    const body = `{"v":1,"have":${this.have},"ops":[${ops.map(({ json }) => json).join(",")}]}`;
    const url = atOrigin(invoke.engine.checkpoint, settings.engineUrl);
    for (let attempt = 1; ; attempt += 1) {
      this.renewedAt = settings.clock.now();
      const { status, text, retryAfterMs } = await settings.transport.post(url, invoke.fence.token, body, REQUEST_MS);
      if (dispatch.over) return;
      if (status === 200) return this.answered(ops, text);
      if (ENDED.has(status)) return dispatch.halt(`the engine answered ${status}: this dispatch is over`);
      if (status === 413) return this.tooLarge(ops, text);
      // A rule is broken: the engine finds the same in the reply, and pauses the run for a person to see.
      if (status === 422 || attempt >= TRIES) return this.giveUp(ops);
      await new Promise<void>((resolve) => settings.clock.timer(Math.max(retryAfterMs ?? 0, 50 * 2 ** attempt), resolve));
      if (dispatch.over) return;
    }
  }

  private async answered(ops: Op[], text: string) {
    let answer: CheckpointAnswer;
    try {
      answer = JSON.parse(text) as CheckpointAnswer;
      if (answer.cancelled) return this.dispatch.halt("the run was cancelled");
      this.signals = new Set(answer.signals?.map(({ name }) => name));
      this.pauseRequested = answer.pauseRequested ?? false;
      if (answer.journal.next) {
        this.receive(answer.journal);
        await this.readPages(answer.journal);
        if (this.dispatch.over) return;
      }
    } catch {
      return this.giveUp(ops);
    }
    this.sending = undefined;
    if (!answer.journal.next) this.receive(answer.journal);
    for (const { acknowledged } of ops) acknowledged?.();
    this.dispatch.schedule();
  }

  private receive(page: JournalPage) {
    const fresh = page.entries.filter(({ seq }) => seq > this.have);
    this.have = Math.max(this.have, page.seq, fresh.at(-1)?.seq ?? 0);
    this.dispatch.take(fresh);
  }

  /** Reads the pages after one. Throws when one cannot be read. */
  async readPages(page: JournalPage): Promise<void> {
    const { invoke, settings } = this.dispatch;
    const journal = atOrigin(invoke.engine.journal, settings.engineUrl);
    this.have = Math.max(this.have, page.seq);
    let next = page.next;
    for (let attempt = 1; next; ) {
      const { status, text, retryAfterMs } = await settings.transport.get(`${journal}?cursor=${encodeURIComponent(next)}`, invoke.fence.token, REQUEST_MS);
      if (this.dispatch.over) return;
      if (status === 200) {
        const read: JournalPage = JSON.parse(text) as JournalPage;
        this.receive(read);
        next = read.next;
        attempt = 1;
      } else if (ENDED.has(status)) {
        return this.dispatch.halt(`the engine answered ${status}: this dispatch is over`);
      } else if (attempt >= TRIES) {
        throw new Error(`the journal cannot be read: the engine answered ${status === 0 ? text : status}`);
      } else {
        await new Promise<void>((resolve) => settings.clock.timer(Math.max(retryAfterMs ?? 0, 50 * 2 ** attempt), resolve));
        attempt += 1;
      }
    }
  }

  private tooLarge(ops: Op[], text: string) {
    this.sending = undefined;
    if (ops.length !== 1) {
      this.single = true;
      this.outbox.unshift(...ops);
    } else {
      const { leaf, json } = ops[0]!;
      const error = JSON.stringify({ name: "TooLarge", message: detail(text), code: "TOO_LARGE" });
      // A plan cannot be recorded as failed, and where a short error has no room nothing has: the run has all that it may have.
      if (!leaf.work.body || json.includes('"name":"TooLarge"')) return this.dispatch.finish(`{"op":"fail","error":${error}}`);
      this.outbox.unshift({ json: `{"op":"error","key":${JSON.stringify(leaf.key)},"error":${error},"kind":"${leaf.kind}"}`, leaf, urgent: true });
    }
    this.due = true;
    this.dispatch.schedule();
  }

  /** The engine cannot be reached from here: what there is goes into the reply. */
  private giveUp(ops: Op[]) {
    this.sending = undefined;
    this.broken = true;
    this.outbox.unshift(...ops);
    this.dispatch.schedule();
  }

  private renewIn(ms: number) {
    this.cancelRenewal = this.dispatch.settings.clock.timer(ms, () => {
      if (this.dispatch.over || this.broken) return;
      const renew = this.dispatch.invoke.lease.renewMs * 0.9;
      const since = this.dispatch.settings.clock.now() - this.renewedAt;
      if (since >= renew && !this.sending) this.flush();
      this.renewIn(since >= renew ? renew : renew - since);
    });
  }
}

/** Whether an entry says what this process gave to the code before it was recorded. */
export function agrees(leaf: Leaf, entry: Entry): boolean {
  if (entry.echo || leaf.encoded === undefined) return true;
  return entry.state === "error" ? entry.error?.message === (JSON.parse(leaf.encoded) as { message?: string } | null)?.message : JSON.stringify(entry.value ?? null) === leaf.encoded;
}

function detail(text: string): string {
  try {
    return String((JSON.parse(text) as { detail?: unknown }).detail ?? "the engine found it too large");
  } catch {
    return "the engine found it too large";
  }
}
