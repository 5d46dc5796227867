// One dispatch of a run: replays the journal, runs what is new, records it and makes the reply.
//
// The code of the workflow runs until it waits for steps only. Then (`turn`) one entry is given to its promise, and the code runs again until it waits: so it sees
// entries in the order of the journal, in every dispatch, however far apart they were recorded. When no entry is left that it asks for, new work begins.
// Suspending is no exception: promises of what is not there yet stay as they are, and the reply is sent.

import type { Prices } from "./ai.js";
import type { Clock } from "./clock.js";
import { type Entry, type Invoke, type Kind, OPS_MAX, type Pending } from "./protocol.js";
import type { AnyWorkflow } from "./workflow.js";
import type { Middleware } from "./middleware.js";
import { Bodies } from "./bodies.js";
import { Checkpoints, type Mode, agrees } from "./checkpoints.js";
import { afterMicrotasks, nextTurn } from "./drain.js";
import { checkSize, checkStepName } from "./checks.js";
import { InvalidStep, encodeError, fromWire } from "./errors.js";
import { Heap } from "./heap.js";
import { decode, encode } from "./json.js";
import { Leaf, type Work, awaitTree, isLeft } from "./leaf.js";
import { bytesOf } from "./text.js";
import { diverged } from "./divergence.js";
import { Seeded } from "./seed.js";
import { Step } from "./step.js";
import type { Transport } from "./transport.js";
import { validated } from "./schema.js";

export interface Settings {
  mode: Mode;
  transport: Transport;
  clock: Clock;
  random: () => number;
  engineUrl: string | undefined;
  budgetMs: number | undefined;
  prices: Prices | undefined;
  middleware: readonly Middleware[];
  /** Told what is probably a mistake, and nothing that has failed. */
  warn: (message: string) => void;
}

/** No body begins in the last part of the budget. */
const CLOSING_MS = 1_000;
/** How long bodies and a checkpoint may still take after the budget; the engine waits 5 s. */
const GRACE_MS = 3_000;
/** How long code that waits for something else than steps may be behind before the journal counts as not asked for. */
const PATIENCE_MS = 100;
/** The engine reads replies of at most 16 MiB; an await tree takes some of that. */
const REPLY_BYTES_MAX = 12 * 1024 * 1024;
/** In `return` mode all ops must fit into the reply. */
const BEGUN_MAX = 5_000;

export class Dispatch {
  /** Steps that were asked for and have no entry. */
  private readonly leaves = new Map<string, Leaf>();
  private readonly pending = new Map<string, Pending>();
  readonly seeded: Seeded;
  readonly bodies: Bodies;
  readonly checkpoints: Checkpoints;
  readonly middleware: readonly Middleware[];
  /** Nothing settles and nothing begins any more. */
  over = false;
  /** No new body begins: the budget is nearly over. */
  closing = false;
  startedAt: number;
  /** Entries that nobody asked for yet. */
  private readonly unasked = new Map<string, Entry>();
  private readonly parked = new Set<Leaf>();
  private readonly occurrences = new Map<string, number>();
  private readonly recorded = new Heap<[Leaf, Entry]>(([, entry]) => entry.seq);
  /** Results of `batched` that are not in the journal yet, in the order in which they came. */
  private early: [Leaf, Entry][] = [];
  private fresh: Leaf[] = [];
  /** The last entry that the code has come to. */
  private replayed = 0;
  private held = false;
  private begun = 0;
  private terminal: string | undefined;
  private readonly finished = new Set<unknown>();
  private scheduled = false;
  private patience: "untried" | "waiting" | "over" = "untried";
  private graced = false;
  private cancelTimers: (() => void)[] = [];
  private conclude!: (reply: string) => void;
  private crash!: (error: unknown) => void;
  private readonly reply = new Promise<string>((resolve, reject) => {
    this.conclude = resolve;
    this.crash = reject;
  });

  constructor(
    readonly invoke: Invoke,
    readonly workflow: AnyWorkflow,
    readonly settings: Settings,
  ) {
    this.startedAt = settings.clock.now();
    // Whoever runs the dispatch hears of it; until then nobody listens.
    this.reply.catch(() => {});
    this.seeded = new Seeded(invoke.run.seed);
    this.middleware = [...settings.middleware, ...(workflow.options.middleware ?? [])];
    this.bodies = new Bodies(this);
    this.checkpoints = new Checkpoints(this);
    for (const pending of invoke.pending) this.pending.set(pending.key, pending);
  }

  /** Runs the dispatch and answers the body of its reply. Throws when the journal cannot be read. */
  async run(): Promise<string> {
    const { clock } = this.settings;
    const budget = Math.min(this.invoke.run.budgetMs, this.settings.budgetMs ?? Infinity);
    this.cancelTimers = [
      clock.timer(Math.max(0, budget - Math.min(CLOSING_MS, budget / 10)), () => this.close()),
      clock.timer(budget, () => this.bodies.abort("the time of this dispatch is over")),
      clock.timer(budget + GRACE_MS, () => this.end([...this.checkpoints.drain(), ...this.bodies.cutOff()])),
    ];
    this.checkpoints.start();
    try {
      this.take(this.invoke.journal.entries);
      await this.checkpoints.readPages(this.invoke.journal);
      if (!this.over) void this.execute();
      return await this.reply;
    } finally {
      this.over = true;
      for (const cancel of this.cancelTimers) cancel();
      this.checkpoints.stop();
      this.bodies.stop();
    }
  }

  private async execute() {
    const { workflow, invoke } = this;
    const program = async () => {
      const input = workflow.options.input ? await validated(workflow.options.input, invoke.input, "the input") : invoke.input;
      const { id, externalId, attempt, parent, createdAt } = invoke.run;
      const context = { run: { id, externalId, attempt, parent, createdAt: new Date(createdAt) }, workflow: invoke.workflow, version: invoke.version, app: invoke.app };
      const output: unknown = await workflow.handler(new Step(this) as never, input as never, context);
      return workflow.options.output ? await validated(workflow.options.output, output, "the output") : output;
    };
    const around = this.middleware.reduceRight<() => Promise<unknown>>(
      (next, { run }) => (run ? () => run({ run: invoke.run, workflow: invoke.workflow, version: invoke.version }, next) : next),
      program,
    );
    try {
      const output = await around();
      const encoded = encode(output, "the output");
      checkSize(encoded, "the output", invoke.limits.resultBytes);
      this.tellLeft();
      this.finish(output === undefined ? '{"op":"done"}' : `{"op":"done","value":${encoded}}`);
    } catch (error) {
      this.finish(`{"op":"fail","error":${encodeError(error)}}`);
    }
  }

  /** Steps that nobody waits for are not begun, or not recorded, once the code has returned: seldom what was meant. */
  private tellLeft() {
    const left = this.over || this.terminal ? [] : [...this.leaves.values()].filter(isLeft).map(({ key }) => key);
    if (left.length === 0) return;
    const { workflow, version, run } = this.invoke;
    const list = left.slice(0, 10).join(", ") + (left.length > 10 ? ` and ${left.length - 10} more` : "");
    this.settings.warn(`tikku: ${workflow} (version ${version}, ${run.id}) has returned without awaiting ${list}: what such a step has not recorded by then is lost, and a child is cancelled. Await every step.`);
  }

  /** Ends the run with a terminal op, once the journal has what came before. */
  finish(op: string): void {
    if (this.over || this.terminal) return;
    // Recorded before something that the code did come to: it was removed. What came later may have been under way when the code ended the first time.
    const accepted = this.invoke.run.accept ?? 0;
    const removed = [...this.unasked.values()].filter(({ seq }) => seq > accepted && seq < this.replayed);
    if (removed.length > 0) return this.diverge(removed, []);
    this.terminal = op;
    this.schedule();
  }

  /** Asks for a step. The promise settles from the journal, or never in this dispatch. */
  ask(name: string, kind: Kind, work: Work): Leaf["promise"] {
    if (this.over || this.terminal) return new Leaf("", kind, work).promise;
    checkStepName(name);
    if (this.bodies.within) throw new InvalidStep(`step ${name} was asked for within step ${this.bodies.within}: a step cannot contain steps`);
    const occurrence = this.occurrences.get(name) ?? 0;
    this.occurrences.set(name, occurrence + 1);
    const leaf = new Leaf(`${name}#${occurrence}`, kind, work);
    const entry = this.unasked.get(leaf.key);
    if (entry) {
      this.unasked.delete(leaf.key);
      this.accept(leaf, entry);
    } else {
      this.leaves.set(leaf.key, leaf);
      this.plan(leaf);
    }
    this.graced = false;
    this.schedule();
    return leaf.promise;
  }

  /** An entry for a step that was asked for. */
  private accept(leaf: Leaf, entry: Entry) {
    this.parked.delete(leaf);
    this.replayed = Math.max(this.replayed, entry.seq);
    if (entry.kind !== leaf.kind) this.diverge([{ key: entry.key, kind: entry.kind }], [leaf]);
    else this.recorded.push([leaf, entry]);
  }

  private plan(leaf: Leaf) {
    this.parked.add(leaf);
    const pending = this.pending.get(leaf.key);
    if (!pending) return void this.fresh.push(leaf);
    if (pending.kind !== leaf.kind) return this.diverge([{ key: pending.key, kind: pending.kind }], [leaf]);
    leaf.planned = true;
    leaf.attempt = pending.attempt ?? 1;
    if (leaf.work.body && !((pending.waitMs ?? 0) > 0)) this.fresh.push(leaf);
    // A sleep whose length was changed is told, once: the engine counts from its first registration.
    else if (leaf.kind === "sleep") this.fresh.push(leaf);
  }

  /** Entries of the invoke, a page or a checkpoint's answer, in order. */
  take(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const leaf = this.leaves.get(entry.key);
      if (!leaf) {
        this.unasked.set(entry.key, entry);
        continue;
      }
      if (entry.echo && leaf.encoded !== undefined) restore(entry, leaf.encoded);
      if (!leaf.settled) this.accept(leaf, entry);
      else if (!agrees(leaf, entry)) return this.halt(`${entry.key} was recorded by another execution`);
      leaf.encoded = undefined;
      this.leaves.delete(entry.key);
    }
    if (entries.length > 0) this.schedule();
  }

  /** A result that the code gets before the journal has it. */
  takeEarly(leaf: Leaf, entry: Entry): void {
    this.early.push([leaf, entry]);
    this.schedule();
  }

  /** Begins a body again in this dispatch. */
  again(leaf: Leaf): void {
    if (this.over || leaf.settled) return;
    this.fresh.push(leaf);
    this.schedule();
  }

  schedule(): void {
    if (this.scheduled || this.over) return;
    this.scheduled = true;
    afterMicrotasks(() => {
      try {
        this.turn();
      } catch (error) {
        this.broke(error);
      }
    });
  }

  private turn() {
    this.scheduled = false;
    if (this.over) return;
    if (this.terminal) return this.pump();
    if (this.checkpoints.half) this.checkpoints.flush();
    const next = this.recorded.pop() ?? this.early.shift();
    if (next) {
      this.settle(...next);
      return this.schedule();
    }
    if (this.fresh.length > 0 && !this.begin()) return;
    this.pump();
  }

  private settle(leaf: Leaf, entry: Entry) {
    if (leaf.settled) return;
    leaf.settled = true;
    this.parked.delete(leaf);
    this.graced = false;
    const failed = entry.state === "error";
    for (const observer of leaf.promise.observers ?? []) {
      const call = failed ? observer.reject : observer.resolve;
      if (call && observer.combinator) this.finished.add(call);
    }
    if (failed) {
      // Nobody may be waiting for it, which must not end the process.
      void leaf.promise.quietly(undefined, () => {});
      leaf.reject(fromWire(entry.error ?? { name: "Error", message: "" }));
    } else if (entry.state === "timeout") leaf.resolve(undefined);
    else this.resolve(leaf, entry);
  }

  private resolve(leaf: Leaf, entry: Entry) {
    let value: unknown = entry.value ?? null;
    try {
      if (leaf.work.read) value = leaf.work.read(entry.value);
    } catch (error) {
      void leaf.promise.quietly(undefined, () => {});
      return leaf.reject(error);
    }
    leaf.resolve(value);
  }

  /** Begins what is new, or answers false while it is unclear whether the code fits the journal. */
  private begin(): boolean {
    const asked = this.fresh.filter((leaf) => !leaf.planned);
    if (asked.length > 0 && this.hasUnasked()) {
      this.suspect(asked);
      return false;
    }
    const fresh = this.fresh;
    this.fresh = [];
    for (const leaf of fresh) {
      if (leaf.settled) continue;
      if (this.mayBegin(leaf)) {
        this.begun += 1;
        if (leaf.work.body) this.bodies.begin(leaf);
        else this.checkpoints.plan(leaf, leaf.work.op!(leaf.key));
      } else if (!leaf.planned || leaf.work.body) {
        this.fresh.push(leaf);
      }
    }
    this.held = this.fresh.length > 0;
    return true;
  }

  /** New work is asked for while the journal has more: the code may still come to it, if it waits for something else than steps meanwhile. */
  private suspect(asked: Leaf[]) {
    if (this.patience === "over") return this.diverge([...this.unasked.values()], asked);
    if (this.patience === "waiting") return;
    this.patience = "waiting";
    const cancel = this.settings.clock.timer(PATIENCE_MS, () => {
      this.patience = "over";
      this.schedule();
    });
    this.cancelTimers.push(cancel);
  }

  private mayBegin(leaf: Leaf): boolean {
    const { checkpoints } = this;
    if (checkpoints.pauseRequested || (this.closing && leaf.work.body)) return false;
    return checkpoints.returning ? this.begun < BEGUN_MAX : !checkpoints.full;
  }

  private hasUnasked(): boolean {
    const accepted = this.invoke.run.accept ?? 0;
    for (const entry of this.unasked.values()) if (entry.seq > accepted) return true;
    return false;
  }

  /** Nothing more happens by itself: sends what is to be sent, or replies. */
  private pump() {
    const { checkpoints, bodies } = this;
    if (checkpoints.busy) return;
    if (this.terminal) {
      if (checkpoints.tooMany) return checkpoints.flush();
      return this.end([...checkpoints.drain(), this.terminal]);
    }
    if (checkpoints.wanted(bodies.running, this.held)) return checkpoints.flush();
    if (bodies.running > 0) return;
    if (this.held) return this.end(checkpoints.drain());
    if (this.parked.size === 0) return this.stall();
    if (!this.graced) {
      // Code that does something short besides its steps gets a turn before the run is parked.
      this.graced = true;
      return nextTurn(() => this.schedule());
    }
    this.park();
  }

  private park() {
    const { checkpoints } = this;
    try {
      const tree = awaitTree(this.parked, this.finished);
      if (checkpoints.decisive) this.end(checkpoints.drain());
      else if (tree === undefined) this.stall();
      else this.end(checkpoints.drain(), tree);
    } catch (error) {
      this.end([...checkpoints.drain(), `{"op":"fail","error":${encodeError(error)}}`]);
    }
  }

  /** The code waits for something that is no step: it gets the time that there is. */
  private stall() {
    if (this.closing) this.end(this.checkpoints.drain());
  }

  private close() {
    this.closing = true;
    this.schedule();
  }

  private diverge(expected: { key: string; kind: Kind }[], asked: Leaf[]): void {
    if (this.over || this.terminal) return;
    this.end([...this.checkpoints.drain(), diverged(expected, asked)]);
  }

  /** The run goes on elsewhere, or is over: nothing settles, nothing is begun, and nobody reads the reply. */
  halt(reason: string): void {
    this.bodies.abort(reason);
    this.end([]);
  }

  /** A journal that this code cannot read, or a fault of ours, must not end the process that serves others: the engine comes again. */
  broke(error: unknown): void {
    this.over = true;
    this.crash(error);
  }

  /** Replies. */
  end(ops: string[], tree?: unknown): void {
    if (this.over) return;
    this.over = true;
    const fitting = fittingOps(ops);
    // Without the rest the run is dispatched again at once, and does the rest again.
    const wait = tree === undefined || fitting.length < ops.length ? "" : `,"await":${JSON.stringify(tree)}`;
    this.conclude(`{"v":1,"have":${this.checkpoints.have},"ops":[${fitting.join(",")}]${wait}}`);
  }
}

/** The first ops, as many as a reply has room for. */
function fittingOps(ops: string[]): string[] {
  let size = 0;
  const end = ops.findIndex((op, at) => (size += op.length * 3 < REPLY_BYTES_MAX / OPS_MAX ? op.length * 3 : bytesOf(op)) > REPLY_BYTES_MAX && at > 0);
  return end < 0 ? ops : ops.slice(0, end);
}

/** Gives an entry what the engine left out because this process had sent it. */
function restore(entry: Entry, encoded: string) {
  if (entry.state === "error") entry.error ??= JSON.parse(encoded);
  else entry.value = decode(encoded);
}
