// The load generator's arithmetic: clocks, percentiles, bounded concurrency, paced load, and the sink that counts receipts.
// Out of scope: HTTP (wire.mjs) and processes (host.mjs).

export const BODY = 'x'.repeat(256);
export const PUBLISHERS = 16;

/** Milliseconds since the epoch with sub-millisecond resolution; publisher and endpoint share this one clock. */
export const now = () => performance.timeOrigin + performance.now();
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export function percentile(values, p) {
  if (!values.length) return NaN;
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))];
}
export const median = (values) => {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** Calls `send(i)` for i in 0..count with `callers` calls in flight. Returns {startedAt, perSecond, p50, p99} (milliseconds). */
export async function pump(count, send, callers = PUBLISHERS) {
  const latencies = new Float64Array(count);
  let next = 0;
  const startedAt = now();
  await Promise.all(Array.from({ length: callers }, async () => {
    while (next < count) {
      const i = next++;
      const sentAt = now();
      await send(i);
      latencies[i] = now() - sentAt;
    }
  }));
  return { startedAt, perSecond: (count * 1000) / (now() - startedAt), p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) };
}

/** Calls `send(i)` at a fixed rate whatever the answers do (open loop), so that a slow answer does not hide the next one's delay. */
export async function pace(perSecond, seconds, send) {
  const count = perSecond * seconds;
  const startedAt = now();
  const pending = [];
  for (let i = 0; i < count; i++) {
    const wait = startedAt + (i * 1000) / perSecond - now();
    if (wait > 0) await sleep(wait);
    pending.push(send(i));
  }
  await Promise.all(pending);
  return count;
}

/** Polls `condition` until it holds; throws after `limitMs`. An exception inside the
 * condition counts as "not yet", unless it is marked `fatal`. */
export async function until(what, condition, limitMs = 60_000, everyMs = 5) {
  const startedAt = now();
  let last = '';
  for (;;) {
    try {
      if (await condition()) return;
    } catch (error) {
      if (error.fatal) throw error;
      last = `: ${String(error.message ?? error).slice(0, 300)}`;
    }
    if (now() - startedAt > limitMs) throw new Error(`timed out after ${limitMs} ms waiting for ${what}${last}`);
    await sleep(everyMs);
  }
}

/** Counts distinct receipts of one round. A message carries {r: round, i: number in the round, t: time it is measured from}. */
export class Sink {
  round = 0;

  /** Begins a round. One that is given a number counts again what carries that of an earlier round. */
  open(expected, round = this.round + 1) {
    this.round = round;
    this.expected = expected;
    this.seen = new Uint8Array(expected);
    this.received = 0;
    this.duplicates = 0;
    this.latencies = [];
    this.lastAt = 0;
    this.done = new Promise((resolve) => (this.finish = resolve));
    return this.round;
  }

  hit(message) {
    if (message.r !== this.round) return; // a leftover of an earlier round
    if (this.seen[message.i]) {
      this.duplicates++;
      return;
    }
    this.seen[message.i] = 1;
    this.lastAt = now();
    this.latencies.push(this.lastAt - message.t);
    if (++this.received === this.expected) this.finish();
  }

  /** Waits for the last receipt; a system that loses messages or is too slow ends the benchmark with an error, never with a figure. */
  async wait(limitMs) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`received ${this.received} of ${this.expected} within ${limitMs} ms`)), limitMs);
    });
    await Promise.race([this.done, late]).finally(() => clearTimeout(timer));
  }
}
