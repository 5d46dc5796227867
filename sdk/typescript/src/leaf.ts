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

/** Finds the tree that tells when the code can go on. `over` are the functions of combinators that have their answer. */
export function awaitTree(leaves: Iterable<Leaf>, over: Set<unknown>): Tree | undefined {
  const alone: string[] = [];
  const groups = new Map<unknown, { keys: string[]; resolves: Set<unknown> }>();
  const unobserved: string[] = [];
  for (const leaf of leaves) {
    const { promise, key } = leaf;
    if (promise.open || promise.alone || !observable) {
      alone.push(key);
      continue;
    }
    if (!promise.observers) unobserved.push(key);
    else if (!group(key, promise.observers, groups, over)) alone.push(key);
  }
  const trees: Tree[] = [];
  for (const { keys, resolves } of groups.values()) {
    if (keys.length > 1 && (resolves.size === keys.length || resolves.has(undefined))) trees.push({ all: keys });
    else alone.push(...keys);
  }
  trees.push(...new Set(alone));
  // Nobody waits for these yet; but a run that waits for nothing would be dispatched at once.
  if (trees.length === 0) trees.push(...unobserved);
  return limited(trees);
}

/** Adds a leaf to the joins that wait for it, or answers false when something else waits for it too. */
function group(key: string, observers: Observer[], groups: Map<unknown, { keys: string[]; resolves: Set<unknown> }>, over: Set<unknown>): boolean {
  const open = observers.filter(({ combinator, resolve, reject }) => !(combinator && (over.has(resolve) || over.has(reject))));
  if (open.some((observer) => !isCombinator(observer))) return false;
  for (const { resolve, reject } of open) {
    const known = groups.get(reject);
    if (!known) groups.set(reject, { keys: [key], resolves: new Set([resolve]) });
    else {
      known.resolves.add(resolve);
      if (known.keys.at(-1) !== key) known.keys.push(key);
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
