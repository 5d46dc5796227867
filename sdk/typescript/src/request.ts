// Typed requests to the HTTP API: paths, parameters, bodies and answers are those of its OpenAPI document.

import type { paths } from "./api.js";
import type { Fetch } from "./transport.js";
import { reason } from "./transport.js";

type Methods = "get" | "put" | "post" | "delete" | "patch" | "head";
/** The methods that a path has. */
export type MethodOf<Path extends keyof paths> = { [M in Methods]: paths[Path] extends Record<M, { responses: unknown }> ? M : never }[Methods];
type Operation<Path extends keyof paths, M> = M extends keyof paths[Path] ? NonNullable<paths[Path][M]> : never;
type Parameters_<Op, Where extends string> = Op extends { parameters: Partial<Record<Where, infer P>> } ? NonNullable<P> : never;
type BodyOf<Op> = Op extends { requestBody?: infer Body } ? (NonNullable<Body> extends { content: infer Content } ? Content[keyof Content] : never) : never;
type Content<Response> = Response extends { content: infer Types } ? ([keyof Types] extends [never] ? undefined : Types[keyof Types]) : undefined;
type Success = 200 | 201 | 202 | 203 | 204 | 207;
/** What a request answers. */
export type AnswerOf<Path extends keyof paths, M> = Operation<Path, M> extends { responses: infer R } ? { [Status in keyof R & Success]: Content<R[Status]> }[keyof R & Success] : never;

type Part<Name extends string, T> = [T] extends [never] ? { [K in Name]?: undefined } : {} extends T ? { [K in Name]?: T } : { [K in Name]: T };
/** What a request takes: path and query parameters, headers, a body. */
export type RequestOf<Path extends keyof paths, M> = Part<"path", Parameters_<Operation<Path, M>, "path">> &
  Part<"query", Parameters_<Operation<Path, M>, "query">> &
  Part<"body", BodyOf<Operation<Path, M>>> & { headers?: Record<string, string>; signal?: AbortSignal };

/** A refusal of the API, or no answer at all (`status` 0). */
export class TikkuError extends Error {
  override name = "TikkuError";
  readonly status: number;
  /** The last part of the problem's type, such as `not-found`; empty without a problem. */
  readonly type: string;
  readonly errors: { pointer: string; detail: string }[];
  constructor(status: number, problem: { type?: string; title?: string; detail?: string; errors?: { pointer: string; detail: string }[] }, options?: { cause?: unknown }) {
    super(problem.detail ?? problem.title ?? `the engine answered ${status}`, options);
    this.status = status;
    this.type = problem.type?.split(":").at(-1) ?? "";
    this.errors = problem.errors ?? [];
  }
}

export interface Call {
  method: string;
  /** With parameters in braces. */
  path: string;
  parameters?: Record<string, unknown> | undefined;
  query?: Record<string, unknown> | undefined;
  body?: unknown;
  headers?: Record<string, string> | undefined;
  signal?: AbortSignal | undefined;
}
export interface Connection {
  url: string;
  apiKey: string | undefined;
  fetch: Fetch;
  /** How often a request is tried again that was refused with 429 or 503, or got no answer and may be repeated. */
  retries: number;
}

/** Sends one request, with retries, and answers its parsed body. Throws TikkuError. */
export async function call(connection: Connection, request: Call): Promise<unknown> {
  const { method, path, parameters, query, body, headers, signal } = request;
  const url = connection.url + path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(parameters?.[name]))) + search(query);
  const init: RequestInit = { method: method.toUpperCase(), headers: { accept: "application/json", ...headers } };
  if (connection.apiKey) (init.headers as Record<string, string>)["authorization"] ??= `Bearer ${connection.apiKey}`;
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    (init.headers as Record<string, string>)["content-type"] ??= "application/json";
  }
  if (signal) init.signal = signal;
  for (let attempt = 0; ; attempt += 1) {
    const { value, error, waitMs } = await once(connection.fetch, url, init);
    if (!error) return value;
    const again = error.status === 429 || error.status === 503 || (error.status === 0 && repeatable(request));
    if (!again || attempt >= connection.retries || signal?.aborted) throw error;
    await new Promise((resolve) => setTimeout(resolve, Math.max(waitMs, 200 * 2 ** attempt)));
  }
}

async function once(fetch: Fetch, url: string, init: RequestInit): Promise<{ value?: unknown; error?: TikkuError; waitMs: number }> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, init);
    text = await response.text();
  } catch (error) {
    return { error: new TikkuError(0, { detail: `no answer from the engine: ${reason(error)}` }, { cause: error }), waitMs: 0 };
  }
  const parsed = text === "" ? undefined : json(text);
  if (response.ok) return { value: parsed, waitMs: 0 };
  // Longer waits are the caller's to decide.
  const waitMs = Math.min(10_000, Number(response.headers.get("retry-after") ?? 0) * 1_000 || 0);
  return { error: new TikkuError(response.status, typeof parsed === "object" && parsed !== null ? parsed : { detail: text.slice(0, 500) || undefined! }), waitMs };
}

/** Whether a second delivery of the request does no harm. */
function repeatable({ method, body }: Call): boolean {
  return !["post", "patch"].includes(method.toLowerCase()) || typeof (body as { idempotencyKey?: unknown } | undefined)?.idempotencyKey === "string";
}

function search(query: Record<string, unknown> | undefined): string {
  const entries = Object.entries(query ?? {}).filter(([, value]) => value !== undefined);
  return entries.length === 0 ? "" : `?${new URLSearchParams(entries.map(([name, value]) => [name, String(value)]))}`;
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
