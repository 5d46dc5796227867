// How checkpoints and journal requests reach the engine.

/** What the engine answered, or `status` 0 when there was no answer. */
export interface Answer {
  status: number;
  text: string;
  retryAfterMs?: number;
}

/** Sends one request; never throws. The Node adapter brings a faster one than fetch. */
export interface Transport {
  post(url: string, token: string, body: string, timeoutMs: number): Promise<Answer>;
  get(url: string, token: string, timeoutMs: number): Promise<Answer>;
}

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export function fetchTransport(fetch: Fetch): Transport {
  const send = async (url: string, init: RequestInit, timeoutMs: number): Promise<Answer> => {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), timeoutMs);
    try {
      const response = await fetch(url, { ...init, signal: abort.signal, redirect: "manual" });
      return answer(response.status, await response.text(), response.headers.get("retry-after"));
    } catch (error) {
      return { status: 0, text: reason(error) };
    } finally {
      clearTimeout(timer);
    }
  };
  return {
    post: (url, token, body, timeoutMs) =>
      send(url, { method: "POST", headers: { authorization: `Bearer ${token}`, "content-type": "application/json" }, body }, timeoutMs),
    get: (url, token, timeoutMs) => send(url, { headers: { authorization: `Bearer ${token}` } }, timeoutMs),
  };
}

export function answer(status: number, text: string, retryAfter: string | null | undefined): Answer {
  const seconds = retryAfter == null ? NaN : Number(retryAfter);
  return Number.isFinite(seconds) ? { status, text, retryAfterMs: Math.max(0, seconds * 1_000) } : { status, text };
}

/** What was wrong with a connection, from the error and its causes. */
export function reason(error: unknown): string {
  const cause = (error as { cause?: { message?: unknown; code?: unknown } } | undefined)?.cause;
  return [(error as Error | undefined)?.message ?? String(error), cause?.code ?? cause?.message].filter(Boolean).join(": ");
}

/** The same address at another origin, for an engine that the endpoint reaches elsewhere than it says. */
export function atOrigin(url: string, origin: string | undefined): string {
  if (origin === undefined) return url;
  const { pathname, search } = new URL(url);
  return origin.replace(/\/+$/, "") + pathname + search;
}
