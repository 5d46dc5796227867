// What step.ai knows about providers: how they say "too many requests", and where they put their token counts.

import { fit } from "./text.js";

/** US dollars per million tokens. There is no built-in list: prices change, so they are yours to give. */
export interface Price {
  inputPerMillion: number;
  outputPerMillion: number;
}
/** Prices by the model's name, as the provider's answer has it. A name that ends in `*` stands for all that begin so; the longest counts. */
export type Prices = Record<string, Price>;

/** What is recorded with an AI step, and summed for its run. `costUsd` is an estimate from the prices given. */
export interface AiUsage {
  model: string;
  inputTokens: number;
  outputTokens: number;
  costUsd?: number;
}

const THROTTLED = new Set([429, 503, 529]);
const COST_MAX = 1e9;
const WAIT_MAX_MS = 31_536_000_000;

/** Whether a provider asks to come back later, and after how long if it says so. Undefined: another error. */
export function throttle(error: unknown, now: number): { afterMs: number | undefined } | undefined {
  for (let at = error as Shape | undefined, depth = 0; at && typeof at === "object" && depth < 5; depth += 1) {
    const status = [at.status, at.statusCode, at.response?.status].find((value) => typeof value === "number");
    if (status !== undefined && THROTTLED.has(status)) {
      const headers = at.headers ?? at.responseHeaders ?? at.response?.headers;
      return { afterMs: headers ? waitMs(reader(headers), now) : undefined };
    }
    // The AI SDK wraps what its own retries ran into.
    at = at.lastError ?? at.cause;
  }
  return undefined;
}

interface Shape {
  status?: number;
  statusCode?: number;
  headers?: unknown;
  responseHeaders?: unknown;
  response?: { status?: number; headers?: unknown };
  lastError?: Shape;
  cause?: Shape;
}
type Read = (name: string) => string | undefined;

function reader(headers: unknown): Read {
  if (typeof (headers as Headers).get === "function") return (name) => (headers as Headers).get(name) ?? undefined;
  const lower = new Map(Object.entries(headers as Record<string, unknown>).map(([name, value]) => [name.toLowerCase(), String(Array.isArray(value) ? value[0] : value)]));
  return (name) => lower.get(name);
}

/** The longest of the waits that the headers name: a shorter one would be refused again. */
function waitMs(header: Read, now: number): number | undefined {
  const waits = [number(header("retry-after-ms")), retryAfter(header("retry-after"), now)];
  // Of the limits only those that are used up count; a provider tells the reset of the others too.
  for (const part of ["", "-requests", "-tokens"]) {
    if (usedUp(header(`x-ratelimit-remaining${part}`), part)) waits.push(reset(header(`x-ratelimit-reset${part}`), now));
  }
  for (const part of ["requests", "tokens", "input-tokens", "output-tokens"]) {
    if (usedUp(header(`anthropic-ratelimit-${part}-remaining`), part)) waits.push(reset(header(`anthropic-ratelimit-${part}-reset`), now));
  }
  const known = waits.filter((wait) => wait !== undefined && Number.isFinite(wait) && wait >= 0) as number[];
  return known.length === 0 ? undefined : Math.min(Math.max(...known), WAIT_MAX_MS);
}

function usedUp(remaining: string | undefined, _part: string): boolean {
  return remaining === undefined || Number(remaining) <= 0;
}

function number(text: string | undefined): number | undefined {
  return text === undefined || text.trim() === "" ? undefined : Number(text);
}

/** Retry-After (RFC 9110, 10.2.3): seconds or a date. */
function retryAfter(text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined;
  const seconds = Number(text);
  return Number.isFinite(seconds) ? seconds * 1_000 : Math.max(0, Date.parse(text) - now);
}

/** A reset: a time (RFC 3339 or Unix), seconds, or a duration such as `1m30.5s` or `20ms`. */
function reset(text: string | undefined, now: number): number | undefined {
  if (text === undefined || text.trim() === "") return undefined;
  const value = Number(text);
  if (Number.isFinite(value)) return value > 1e12 ? Math.max(0, value - now) : value > 1e9 ? Math.max(0, value * 1_000 - now) : value * 1_000;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s|d)/g)];
  if (parts.length > 0 && parts.map(([part]) => part).join("") === text.trim()) {
    const units: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
    return Math.ceil(parts.reduce((sum, [, count, unit]) => sum + Number(count) * units[unit!]!, 0));
  }
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : Math.max(0, time - now);
}

/** Model and tokens of a provider's answer: OpenAI, Anthropic and AI SDK shapes, or what `own` reads from it. */
export function aiUsage(value: unknown, own?: (value: never) => Partial<AiUsage> | undefined, prices?: Prices): AiUsage | undefined {
  const found = { ...shown(value), ...own?.(value as never) };
  if (found.model === undefined && found.inputTokens === undefined && found.outputTokens === undefined) return undefined;
  const usage: AiUsage = { model: named(found.model), inputTokens: whole(found.inputTokens), outputTokens: whole(found.outputTokens) };
  const price = prices && priceOf(usage.model, prices);
  const cost = found.costUsd ?? (price && (usage.inputTokens * price.inputPerMillion + usage.outputTokens * price.outputPerMillion) / 1e6);
  if (cost !== undefined && cost >= 0 && cost <= COST_MAX) usage.costUsd = cost;
  return usage;
}

// What is only shown is shortened and cleaned, not refused: the answer has its price already.
function named(model: unknown): string {
  return fit([...fit(String(model ?? "unknown"))].slice(0, 200).join(""));
}

function shown(value: unknown): Partial<AiUsage> {
  if (typeof value !== "object" || value === null) return {};
  const { usage, totalUsage, model, modelId, response } = value as Record<string, never>;
  const counts = (totalUsage ?? usage ?? {}) as Record<string, unknown>;
  const found: Partial<AiUsage> = {};
  const name = [model, modelId, (response as { modelId?: unknown } | undefined)?.modelId].find((each) => typeof each === "string");
  if (name !== undefined) found.model = name;
  const input = first(counts, ["prompt_tokens", "input_tokens", "inputTokens", "promptTokens"]);
  const output = first(counts, ["completion_tokens", "output_tokens", "outputTokens", "completionTokens"]);
  if (input === undefined && output === undefined) return {};
  // Anthropic counts what went through its cache apart.
  const cached = [counts["cache_creation_input_tokens"], counts["cache_read_input_tokens"]].reduce<number>((sum, each) => sum + whole(each), 0);
  return { ...found, inputTokens: whole(input) + cached, outputTokens: whole(output) };
}

function first(counts: Record<string, unknown>, names: string[]): unknown {
  return names.map((name) => counts[name]).find((value) => value !== undefined && value !== null);
}

// The AI SDK's newer answers have an object with a total.
function whole(value: unknown): number {
  const count = typeof value === "object" && value !== null ? (value as { total?: unknown }).total : value;
  return typeof count === "number" && Number.isFinite(count) && count > 0 ? Math.round(count) : 0;
}

function priceOf(model: string, prices: Prices): Price | undefined {
  if (Object.prototype.hasOwnProperty.call(prices, model)) return prices[model];
  const fitting = Object.keys(prices).filter((name) => name.endsWith("*") && model.startsWith(name.slice(0, -1)));
  const longest = fitting.sort((left, right) => right.length - left.length)[0];
  return longest === undefined ? undefined : prices[longest];
}
