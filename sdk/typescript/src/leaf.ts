// The promise of one step, which knows who waits for it: so a run that waits for all of 1,000 children is dispatched once, not 1,000 times.
//
// `await p` reads `p.constructor` and nothing else; Promise.all, race, any and allSettled read it and then call `p.then` with functions of their own. Promise.all gives
// each of its parts the same reject function and a resolve function of its own, Promise.race the same two to all. All of that is in the ECMAScript specification (27.2.4).
// Whoever waits in another way counts as waiting for this promise alone, which costs a dispatch and never misses one.

import type { Kind, Tree } from "./protocol.js";
import { OPS_MAX } from "./protocol.js";

type Callback = (value: never) => unknown;
interface Observer {
  resolve: unknown;
  reject: unknown;
  combinator: boolean;
}

let inside = false;

export class StepPromise<T> extends Promise<T> {
  /** `constructor` was read, and `then` has not been called since: it is awaited. */
  open = false;
  alone = false;
  observers: Observer[] | undefined;

  override then<A = T, B = never>(resolve?: ((value: T) => A | PromiseLike<A>) | null, reject?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<A | B> {
    const observer = { resolve, reject, combinator: this.open };
    this.open = false;
    if (this.observers) this.observers.push(observer);
    else this.observers = [observer];
    return this.quietly(resolve, reject);
  }

  /** `then` without being taken for somebody who waits. */
  quietly<A = T, B = never>(resolve?: ((value: T) => A | PromiseLike<A>) | null, reject?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<A | B> {
    inside = true;
    try {
      return super.then(resolve, reject);
    } finally {
      inside = false;
    }
  }

  /** Says that a join of several waits for this one; `group` is the same object for all of them. */
  joinedBy(group: object): void {
    (this.observers ??= []).push({ resolve: undefined, reject: group, combinator: true });
  }
}
Object.defineProperty(StepPromise.prototype, "constructor", {
  configurable: true,
  get(this: StepPromise<unknown>) {
    if (!inside && this !== StepPromise.prototype) {
      if (this.open) this.alone = true;
      this.open = true;
    }
    return Promise;
  },
});

/** Whether this JavaScript engine shows `await` in the way described above; otherwise nothing is concluded from the others either. */
const observable = (() => {
  const probe = new StepPromise<void>(() => {});
  void (async () => {
    await probe;
  })();
  return probe.open;
})();

/** A step as the code asked for it. */
export class Leaf {
  readonly promise: StepPromise<unknown>;
  resolve!: (value: unknown) => void;
  reject!: (error: unknown) => void;
  settled = false;
  /** Whether the engine knows the key already: it is pending, or its op was sent. */
  planned = false;
  /** The number of the next execution of its body. */
  attempt = 1;
  /** The value or the error that its body gave, encoded, until the journal has it: an echoed entry leaves it out. */
  encoded: string | undefined;

  constructor(
    readonly key: string,
    readonly kind: Kind,
    readonly work: Work,
  ) {
    this.promise = new StepPromise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

/** Whether nobody has ever waited for a step that has no result yet. One that lost a race was waited for. */
export function isLeft({ promise, settled, encoded }: Leaf): boolean {
  return observable && !settled && encoded === undefined && !promise.open && !promise.alone && promise.observers === undefined;
}

/** What a step does: a body that runs here, or an op that the engine carries out. `read` makes of a recorded value what the code gets. */
export interface Work {
  body?: Body;
  op?: (key: string) => string;
  /** The name of the signal that it waits for. */
  signal?: string;
  read?: (value: unknown) => unknown;
}

export interface Body {
  run: (context: never) => unknown;
  maxAttempts?: number;
  timeoutMs?: number;
  options?: object;
}

interface Join {
  leaves: Leaf[];
  resolves: Set<unknown>;
}

/**
 * Finds the tree that tells when the code can go on; undefined if it waits for none of the steps. `over` are the functions of combinators that have their answer.
 * Throws a RangeError for more leaves than a tree may have.
 */
export function awaitTree(leaves: Iterable<Leaf>, over: Set<unknown>): Tree | undefined {
  const alone = new Set<string>();
  const joins = new Map<unknown, Join>();
  for (const leaf of leaves) {
    const { promise, key } = leaf;
    if (promise.open || promise.alone || !observable) alone.add(key);
    else if (promise.observers && !join(leaf, promise.observers, joins, over)) alone.add(key);
  }
  const trees: Tree[] = [];
  for (const [reject, { leaves: joined, resolves }] of joins) {
    const keys = joined.map(({ key }) => key);
    const isAll = keys.length > 1 && (resolves.size === keys.length || resolves.has(undefined));
    if (isAll) trees.push({ all: keys });
    if (!isAll || (typeof reject === "function" && isMixed(joined))) for (const leaf of joined) if (!isAll || mayFail(leaf)) alone.add(leaf.key);
  }
  trees.push(...alone);
  return limited(trees);
}

/** Promise.all throws the first failure at once: that of a child must not wait for a sleep of 30 days. Children by themselves are over soon enough, and are waited for together. */
function isMixed(leaves: Leaf[]): boolean {
  return leaves.some(mayFail) && !leaves.every(mayFail);
}

/** Whether its failure comes from elsewhere. A step that runs here fails in a dispatch. */
function mayFail({ kind, work }: Leaf): boolean {
  return kind === "child" || kind === "fetch" || (kind === "signal" && work.read !== undefined);
}

/** Adds a leaf to the joins that wait for it, or answers false when something else waits for it too. */
function join(leaf: Leaf, observers: Observer[], joins: Map<unknown, Join>, over: Set<unknown>): boolean {
  const open = observers.filter(({ combinator, resolve, reject }) => !(combinator && (over.has(resolve) || over.has(reject))));
  if (open.some((observer) => !isCombinator(observer))) return false;
  for (const { resolve, reject } of open) {
    const known = joins.get(reject);
    if (!known) joins.set(reject, { leaves: [leaf], resolves: new Set([resolve]) });
    else {
      known.resolves.add(resolve);
      if (known.leaves.at(-1) !== leaf) known.leaves.push(leaf);
    }
  }
  return true;
}

function isCombinator({ resolve, reject, combinator }: Observer): boolean {
  return combinator && ((resolve === undefined && typeof reject === "object") || (isNative(resolve) && isNative(reject)));
}

function isNative(value: unknown): boolean {
  return typeof value === "function" && (value as Callback).name === "" && Function.prototype.toString.call(value).includes("[native code]");
}

function limited(trees: Tree[]): Tree | undefined {
  if (trees.length === 0) return undefined;
  const count = trees.reduce<number>((sum, tree) => sum + (typeof tree === "string" ? 1 : "all" in tree ? tree.all.length : 0), 0);
  if (count > OPS_MAX) throw new RangeError(`the run waits for ${count} steps at once; ${OPS_MAX} are allowed`);
  return trees.length === 1 ? trees[0] : { any: trees };
}
