// Calls back when every microtask that is queued now, and every one that those queue, has run: until then the code of a workflow may go on by itself.

type Scheduler = (callback: () => void) => void;

declare const process: { release?: { name?: string }; versions?: Record<string, string>; nextTick?: Scheduler } | undefined;

/** Node runs the tick queue when the microtask queue is empty, which is cheaper than a turn of the event loop. Others only look like Node. */
function isNode(): boolean {
  if (typeof process === "undefined" || process.release?.name !== "node" || typeof process.nextTick !== "function") return false;
  const agent = (globalThis as { navigator?: { userAgent?: string } }).navigator?.userAgent ?? "Node.js/";
  return agent.startsWith("Node.js/") && !process.versions?.["bun"] && !("Deno" in globalThis);
}

/** A turn of the event loop, as soon as possible. */
export const nextTurn: Scheduler =
  typeof (globalThis as { setImmediate?: Scheduler }).setImmediate === "function"
    ? (callback) => void (globalThis as unknown as { setImmediate: Scheduler }).setImmediate(callback)
    : (callback) => void setTimeout(callback, 0);

/** Calls back after the microtask queue has run empty. */
export const afterMicrotasks: Scheduler = isNode() ? (callback) => queueMicrotask(() => process!.nextTick!(callback)) : nextTurn;
