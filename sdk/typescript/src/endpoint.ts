// An endpoint that serves workflows, without HTTP: verified bytes in, status and body out. The adapters of each runtime use it.

import type { Prices } from "./ai.js";
import type { Describe, Invoke } from "./protocol.js";
import type { Middleware } from "./middleware.js";
import type { AnyWorkflow } from "./workflow.js";
import { SDK } from "./protocol.js";
import { systemClock } from "./clock.js";
import type { Mode } from "./checkpoints.js";
import { environment } from "./environment.js";
import { Dispatch, type Settings } from "./dispatch.js";
import { type Fetch, type Transport, fetchTransport } from "./transport.js";
import { type Secrets, verifier } from "./verify.js";

export interface ServeOptions {
  /** The first of a name is what new runs get; others of that name serve runs of older versions. */
  workflows: readonly AnyWorkflow[];
  /** Default: TIKKU_SIGNING_SECRET of the environment. Several while they are rotated. */
  signingSecret?: Secrets;
  signingSecrets?: readonly string[];
  /** Default `each`. `return` for endpoints that cannot reach the engine. */
  checkpoint?: Mode | "batched";
  /** Where this endpoint reaches the engine, if not at the address that the engine says. */
  engineUrl?: string;
  /** Upper limit of a dispatch, if this host allows less time than the engine does. */
  budgetMs?: number;
  /** What AI models cost, for the estimate that is recorded with each call. */
  prices?: Prices;
  middleware?: readonly Middleware[];
  /** Told what was answered with 500 or 503: a journal that cannot be read, a bug. Errors of workflows are in their runs. */
  onError?: (error: unknown) => void;
  /** Told what is probably a mistake: steps that the code has returned without awaiting. Default: console.warn. */
  onWarning?: (message: string) => void;
  /** Default: the global fetch. */
  fetch?: Fetch;
}

export interface Served {
  status: number;
  body: string;
  contentType: string;
}

/** What `batched` means if nothing else is said. */
const BATCHED = { everyMs: 50, maxSteps: 20 };
const PROTOCOL = 1;
const WORKFLOWS_MAX = 1_000;
/** How many answers are kept, and of what length: signatures are good for five minutes. */
const REMEMBERED = 1_000;
const REMEMBERED_CHARACTERS = 4_096;
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class Endpoint {
  private readonly workflows = new Map<string, AnyWorkflow>();
  private readonly settings: Settings;
  private verify: ReturnType<typeof verifier> | undefined;
  /** What dispatches were answered with, or will be: one that is delivered twice, or replayed by somebody, is run once. */
  private readonly dispatches = new Map<string, Promise<Served>>();

  constructor(
    private readonly options: ServeOptions,
    transport?: Transport,
  ) {
    if (!Array.isArray(options.workflows) || options.workflows.length > WORKFLOWS_MAX) throw new TypeError(`workflows must be a list of at most ${WORKFLOWS_MAX}`);
    for (const workflow of options.workflows) {
      const name = `${workflow.name} ${workflow.version}`;
      if (this.workflows.has(name)) throw new TypeError(`the workflow ${workflow.name} is served twice with version ${workflow.version}`);
      this.workflows.set(name, workflow);
    }
    const mode = modeOf(options.checkpoint);
    this.settings = {
      mode,
      transport: transport ?? fetchTransport(options.fetch ?? ((url, init) => fetch(url, init))),
      clock: systemClock,
      random: Math.random,
      engineUrl: options.engineUrl,
      budgetMs: options.budgetMs,
      prices: options.prices,
      middleware: options.middleware ?? [],
      warn: options.onWarning ?? ((message) => console.warn(message)),
    };
  }

  /** Handles one request of the engine. `bindings` has the signing secret if nothing else says it, `limits` what this call has less than others. */
  async handle(body: Uint8Array, headers: Parameters<ReturnType<typeof verifier>>[1], bindings?: unknown, limits?: { budgetMs: number }): Promise<Served> {
    let id: string;
    let request: Describe | Invoke;
    try {
      this.verify ??= verifier(this.options.signingSecrets ?? this.options.signingSecret ?? secretOf(bindings));
    } catch (error) {
      return this.failed(error);
    }
    try {
      const text = UTF8.decode(body);
      id = this.verify(text, headers);
      request = JSON.parse(text) as Describe | Invoke;
    } catch (error) {
      if (error instanceof SyntaxError) return problem(400, "bad-request", "the body is no JSON");
      return problem(401, "unauthorized", `the signature does not fit: ${(error as Error).message}`);
    }
    if (request.v !== PROTOCOL) return problem(400, "protocol-version", `version ${String(request.v)} of the protocol is not spoken here`, { versions: [PROTOCOL] });
    if (request.kind === "describe") return json(JSON.stringify(this.describe()));
    if (request.kind !== "invoke") return problem(400, "bad-request", `unknown kind ${JSON.stringify((request as { kind: unknown }).kind)}`);
    return this.once(id, request, limits);
  }

  private once(id: string, invoke: Invoke, limits?: { budgetMs: number }): Promise<Served> {
    const known = this.dispatches.get(id);
    if (known) return known;
    const served = this.invoke(invoke, limits);
    this.dispatches.set(id, served);
    void served.then(({ status, body }) => {
      if (status !== 200 || body.length > REMEMBERED_CHARACTERS) this.dispatches.delete(id);
      else if (this.dispatches.size > REMEMBERED) this.dispatches.delete(this.dispatches.keys().next().value!);
    });
    return served;
  }

  private async invoke(invoke: Invoke, limits?: { budgetMs: number }): Promise<Served> {
    const workflow = this.workflows.get(`${invoke.workflow} ${invoke.version}`);
    if (!workflow) return json(this.unserved(invoke));
    try {
      return json(await new Dispatch(invoke, workflow, limits ? this.limited(limits.budgetMs) : this.settings).run());
    } catch (error) {
      return this.failed(error);
    }
  }

  private limited(budgetMs: number): Settings {
    return { ...this.settings, budgetMs: Math.min(budgetMs, this.settings.budgetMs ?? Infinity) };
  }

  private unserved(invoke: Invoke): string {
    const serves = this.options.workflows.slice(0, WORKFLOWS_MAX).map(({ name, version }) => ({ name, version }));
    return JSON.stringify({ v: PROTOCOL, have: invoke.journal.seq, ops: [{ op: "unserved", serves }] });
  }

  private describe() {
    const { mode } = this.settings;
    return {
      v: PROTOCOL,
      sdk: SDK,
      checkpoint: typeof mode === "object" ? "batched" : mode,
      workflows: this.options.workflows.map(({ name, version, options }) => {
        const { triggers, concurrency, rateLimit, singleton, debounce, priority, retry } = options;
        const shown = retry?.maxAttempts === undefined ? undefined : { maxAttempts: retry.maxAttempts };
        return { name, version, triggers, retry: shown, concurrency, rateLimit, singleton, debounce, priority };
      }),
    };
  }

  private failed(error: unknown): Served {
    this.options.onError?.(error);
    // The engine comes again: nothing of the run is lost.
    return problem(503, "unavailable", error instanceof Error ? error.message : String(error));
  }
}

function modeOf(checkpoint: ServeOptions["checkpoint"] = "each"): Mode {
  if (checkpoint === "batched") return BATCHED;
  if (checkpoint === "each" || checkpoint === "return") return checkpoint;
  const { everyMs, maxSteps } = (checkpoint ?? {}) as { everyMs?: unknown; maxSteps?: unknown };
  const fits = Number.isFinite(everyMs) && (everyMs as number) >= 0 && Number.isInteger(maxSteps) && (maxSteps as number) >= 1;
  if (!fits) throw new TypeError(`checkpoint must be "each", "return", "batched" or { everyMs, maxSteps } with everyMs of at least 0 and maxSteps of at least 1: ${JSON.stringify(checkpoint)}`);
  return checkpoint;
}

function secretOf(bindings: unknown): string {
  const bound = (bindings as { TIKKU_SIGNING_SECRET?: unknown } | undefined)?.TIKKU_SIGNING_SECRET;
  return typeof bound === "string" ? bound : (environment()["TIKKU_SIGNING_SECRET"] ?? "");
}

export function json(body: string): Served {
  return { status: 200, body, contentType: "application/json" };
}

export function problem(status: number, type: string, detail: string, more: object = {}): Served {
  const titles: Record<number, string> = { 400: "Bad request", 401: "Unauthorized", 405: "Method not allowed", 413: "Content too large", 503: "Unavailable" };
  return { status, body: JSON.stringify({ type: `urn:tikku:problem:${type}`, title: titles[status], status, detail, ...more }), contentType: "application/problem+json" };
}

/** What a browser sees at the endpoint's address. */
export function greeting(): Served {
  return json(JSON.stringify({ sdk: SDK, protocol: [PROTOCOL] }));
}
