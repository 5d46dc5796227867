// The client: publish, start and steer runs, answer approvals, and everything else of the API with its types.

import type { components, paths } from "./api.js";
import type { AnyWorkflow, InputTo, ResultOf, SignalsOf } from "./workflow.js";
import { environment } from "./environment.js";
import { type AnswerOf, type Call, type Connection, type MethodOf, type RequestOf, call } from "./request.js";
import { type Run, RunHandle, type RunStatus } from "./handle.js";
import type { Fetch } from "./transport.js";

export interface TikkuOptions {
  /** Default: TIKKU_URL of the environment. */
  url?: string;
  /** Default: TIKKU_API_KEY of the environment. */
  apiKey?: string;
  fetch?: Fetch;
  /** How often a request that was refused with 429 or 503 is sent again; default 2. */
  retries?: number;
}
export interface StartOptions {
  /** Your own id, unique for the workflow: a second start with it answers the run there is. */
  id?: string;
  idempotencyKey?: string;
  delaySeconds?: number;
  version?: string;
  /** At most 10, for filters. */
  labels?: string[];
}
export interface Page<T> {
  data: T[];
  nextCursor: string | null;
}
type Schema = components["schemas"];
interface ListQuery {
  limit?: number;
  cursor?: string;
}
/** An app: where workflows are served, and which. */
export interface App {
  name: string;
  url: string;
  workflows: { name: string; version: string }[];
  /** Why the endpoint could not be asked what it serves. */
  describeError?: string | null;
  [field: string]: unknown;
}
export interface AppOptions {
  url: string;
  /** How long a dispatch may take: 1 to 840, default 60. */
  timeoutSeconds?: number;
  /** An endpoint that is silent for so long counts as lost: 1 to 600, default 30. */
  leaseSeconds?: number;
}

export class Tikku {
  readonly #connection: Connection;

  constructor(options: TikkuOptions = {}) {
    const url = options.url ?? environment()["TIKKU_URL"];
    if (!url) throw new TypeError("no address: give url, or set TIKKU_URL");
    this.#connection = {
      url: url.replace(/\/+$/, ""),
      apiKey: options.apiKey ?? environment()["TIKKU_API_KEY"],
      fetch: options.fetch ?? ((address, init) => fetch(address, init)),
      retries: options.retries ?? 2,
    };
  }

  /** Any request of the API, typed by its path: `request("get", "/v1/messages/{id}", { path: { id } })`. */
  request<Path extends keyof paths, M extends MethodOf<Path>>(
    method: M,
    path: Path,
    ...[given]: {} extends RequestOf<Path, M> ? [RequestOf<Path, M>?] : [RequestOf<Path, M>]
  ): Promise<AnswerOf<Path, M>> {
    const { path: parameters, ...rest } = (given ?? {}) as Omit<Call, "method" | "path"> & { path?: Record<string, unknown> };
    return this.call({ method, path, parameters, ...rest }) as Promise<AnswerOf<Path, M>>;
  }

  /** Any request, untyped. Throws TikkuError for what is refused. */
  call(request: Call): Promise<unknown> {
    return call(this.#connection, request);
  }

  /** Publishes a message: it is stored when this answers, and pushed at least once. */
  publish(message: Schema["PublishRequest"]): Promise<Schema["PublishAnswer"]> {
    return this.request("post", "/v1/messages", { body: message });
  }

  /** Starts a run of a workflow. With an `id` or `idempotencyKey` that was used before it answers that run. */
  async start<W extends AnyWorkflow>(workflow: W, input: InputTo<W>, options?: StartOptions): Promise<RunHandle<ResultOf<W>, SignalsOf<W>>>;
  async start<Output = unknown>(workflow: string, input?: unknown, options?: StartOptions): Promise<RunHandle<Output>>;
  async start(workflow: AnyWorkflow | string, input?: unknown, options: StartOptions = {}): Promise<RunHandle<any, any>> {
    const name = typeof workflow === "string" ? workflow : workflow.name;
    const body = { ...(input !== undefined && { input }), ...options };
    const started = (await this.call({ method: "post", path: "/v1/workflows/{name}/runs", parameters: { name }, body })) as { id: string; deduplicated?: boolean };
    return new RunHandle(this, started.id, started.deduplicated ?? false);
  }

  /** A handle of a run that was started before. */
  run<Output = unknown>(id: string): RunHandle<Output> {
    return new RunHandle<Output>(this, id);
  }

  readonly runs = {
    get: <Output = unknown>(id: string) => this.run<Output>(id).get(),
    /** Newest first. */
    list: (query?: ListQuery & { workflow?: string; version?: string; status?: RunStatus; externalId?: string; label?: string; parent?: string; from?: string; to?: string }) => this.#list<Run>("/v1/runs", query),
    steps: (id: string, query?: ListQuery) => this.#list<Run["steps"][number]>(`/v1/runs/${encodeURIComponent(id)}/steps`, query),
  };

  readonly workflows = { list: (query?: ListQuery) => this.#list<{ name: string; [field: string]: unknown }>("/v1/workflows", query) };

  readonly approvals = { list: (query?: ListQuery & { status?: string }) => this.#list<{ run: string; key: string; [field: string]: unknown }>("/v1/approvals", query) };

  readonly apps = {
    /** Registers where workflows are served; the engine asks the endpoint at once what it serves. */
    put: (name: string, app: AppOptions) => this.call({ method: "put", path: "/v1/apps/{name}", parameters: { name }, body: app }) as Promise<App>,
    /** Asks it again: for after each deployment. */
    describe: (name: string) => this.call({ method: "post", path: "/v1/apps/{name}/describe", parameters: { name } }) as Promise<App>,
    get: (name: string) => this.call({ method: "get", path: "/v1/apps/{name}", parameters: { name } }) as Promise<App>,
    list: (query?: ListQuery) => this.#list<App>("/v1/apps", query),
    delete: (name: string) => this.call({ method: "delete", path: "/v1/apps/{name}", parameters: { name } }) as Promise<void>,
  };

  readonly events = {
    /** Publishes an event: it starts the workflows that it triggers, and wakes the runs that wait for it. */
    publish: (event: { name: string; data?: unknown; id?: string }) => this.call({ method: "post", path: "/v1/events", body: event }) as Promise<{ id: string; started: string[]; woken: string[] }>,
    list: (query?: ListQuery & { name?: string }) => this.#list<{ id: string; name: string; data: unknown }>("/v1/events", query),
  };

  readonly messages = {
    get: (id: string) => this.request("get", "/v1/messages/{id}", { path: { id } }),
    list: (query?: RequestOf<"/v1/messages", "get">["query"]) => this.request("get", "/v1/messages", query ? { query } : {}),
    cancel: (id: string) => this.request("post", "/v1/messages/{id}/cancel", { path: { id } }),
    retry: (id: string) => this.request("post", "/v1/messages/{id}/retry", { path: { id } }),
    resend: (id: string) => this.request("post", "/v1/messages/{id}/resend", { path: { id } }),
    /** Up to 1,000 messages; what is wrong with one is in its own result. */
    batch: (messages: Schema["PublishRequest"][]) => this.request("post", "/v1/messages/batch", { body: { messages } as never }),
  };

  readonly schedules = {
    create: (schedule: RequestOf<"/v1/schedules", "post">["body"]) => this.request("post", "/v1/schedules", { body: schedule } as never),
    get: (id: string) => this.request("get", "/v1/schedules/{id}", { path: { id } }),
    list: (query?: RequestOf<"/v1/schedules", "get">["query"]) => this.request("get", "/v1/schedules", query ? { query } : {}),
    delete: (id: string) => this.request("delete", "/v1/schedules/{id}", { path: { id } }),
    pause: (id: string) => this.request("post", "/v1/schedules/{id}/pause", { path: { id } }),
    resume: (id: string) => this.request("post", "/v1/schedules/{id}/resume", { path: { id } }),
    run: (id: string) => this.request("post", "/v1/schedules/{id}/run", { path: { id } }),
  };

  #list<T>(path: string, query: object | undefined): Promise<Page<T>> {
    return this.call({ method: "get", path, query: query as Record<string, unknown> | undefined }) as Promise<Page<T>>;
  }
}
