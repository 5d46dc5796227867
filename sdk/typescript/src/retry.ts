// When a step that failed is tried again.

import { type Duration, milliseconds } from "./duration.js";

/** How often a step is tried, and the pauses between its attempts. */
export interface Retry {
  /** 1 or more; default 4. */
  maxAttempts?: number;
  /** Default: exponential from 1 s to 1 h, with jitter. */
  backoff?: Backoff;
}

export type Backoff =
  | { type?: "exponential"; initial?: Duration; factor?: number; max?: Duration; jitter?: boolean }
  | { type: "linear"; initial?: Duration; max?: Duration; jitter?: boolean }
  | { type: "fixed"; initial?: Duration; jitter?: boolean };

export const MAX_ATTEMPTS_DEFAULT = 4;

const TYPES = ["exponential", "linear", "fixed"];

/** Throws a TypeError for a policy that is none. */
export function checkRetry(retry: Retry | undefined, of: string): void {
  const { maxAttempts, backoff } = retry ?? {};
  if (maxAttempts !== undefined && !(Number.isInteger(maxAttempts) && maxAttempts >= 1)) throw new TypeError(`maxAttempts ${of} must be a whole number of at least 1: ${String(maxAttempts)}`);
  if (backoff === undefined) return;
  if (backoff.type !== undefined && !TYPES.includes(backoff.type)) throw new TypeError(`backoff.type ${of} must be "exponential", "linear" or "fixed": ${String((backoff as { type: unknown }).type)}`);
  const { factor } = backoff as { factor?: number };
  if (factor !== undefined && !(factor >= 1 && Number.isFinite(factor))) throw new TypeError(`backoff.factor ${of} must be a number of at least 1: ${String(factor)}`);
  pauseMs(backoff, 1, () => 0);
}

/** The pause after attempt number `attempt` (from 1) failed. Jitter takes away up to a quarter. */
export function pauseMs(backoff: Backoff | undefined, attempt: number, random: () => number): number {
  const initial = milliseconds(backoff?.initial ?? 1_000);
  const max = backoff?.type === "fixed" ? initial : milliseconds(backoff?.max ?? 3_600_000);
  const factor = backoff?.type === "linear" || backoff?.type === "fixed" ? 1 : (backoff?.factor ?? 2);
  const grown = backoff?.type === "linear" ? initial * attempt : initial * factor ** (attempt - 1);
  const jitter = (backoff?.jitter ?? true) ? 1 - random() / 4 : 1;
  return Math.round(Math.min(max, grown) * jitter);
}
