// Time of this process, as an argument: the test harness brings its own.

export interface Clock {
  now(): number;
  /** Calls back once; answers what takes it back. */
  timer(ms: number, callback: () => void): () => void;
}

// Longer timers fire at once (setTimeout counts in 32 bits).
const TIMER_MAX = 2_147_483_647;

export const systemClock: Clock = {
  now: () => Date.now(),
  timer(ms, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(0, ms), TIMER_MAX));
    return () => clearTimeout(timer);
  },
};
