// The bodies of the workflow protocol, version 1, as docs/protocol.md has them. Unknown fields are ignored.

/** What kind of step an entry records. */
export type Kind = "run" | "ai" | "sleep" | "signal" | "event" | "child" | "approval" | "fetch" | "publish";

/** An error as it stands in the journal. */
export interface WireError {
  name: string;
  message: string;
  stack?: string;
  code?: string | number;
  data?: unknown;
  cause?: WireError;
  runId?: string;
}

/** A finished step. `echo` marks one that the very request recorded: the sender has its value. */
export interface Entry {
  seq: number;
  key: string;
  kind: Kind;
  state: "ok" | "error" | "timeout";
  value?: unknown;
  error?: WireError;
  run?: string;
  echo?: boolean;
}

export interface JournalPage {
  entries: Entry[];
  seq: number;
  next?: string | null;
}

/** A key that was planned and has no entry yet. */
export interface Pending {
  key: string;
  kind: Kind;
  attempt?: number;
  waitMs?: number | null;
}

export interface Invoke {
  v: number;
  kind: "invoke";
  app: string;
  workflow: string;
  version: string;
  run: {
    id: string;
    externalId?: string;
    attempt: number;
    seed: string;
    budgetMs: number;
    createdAt: string;
    parent?: { id: string; key: string };
    accept?: number;
  };
  fence: { gen: number; token: string };
  input: unknown;
  journal: JournalPage;
  pending: Pending[];
  lease: { ms: number; renewMs: number };
  engine: { checkpoint: string; journal: string; resume: string; resumeKey: string };
  limits: { resultBytes: number; steps: number; inlineBytes: number };
}

export interface Describe {
  v: number;
  kind: "describe";
  app: string;
}

export interface CheckpointAnswer {
  v: number;
  journal: JournalPage;
  signals?: { name: string; count: number }[];
  pauseRequested?: boolean;
  cancelled?: boolean;
  leaseMs?: number;
}

/** What a run waits for. */
export type Tree = string | { all: Tree[] } | { any: Tree[] };

/** An event that starts runs; each path of `match` begins with `data`. */
export interface Trigger {
  event: string;
  match?: Record<string, unknown>;
}

/** What a workflow says about its runs when its app is registered. Each `key` is `input` or a path into it. */
export interface Policies {
  triggers?: Trigger[];
  /** At most `limit` runs of the workflow (and key) are dispatched at the same time. */
  concurrency?: { limit: number; key?: string };
  /** At most `limit` runs of the workflow (and key) begin in a period. */
  rateLimit?: { limit: number; periodSeconds: number; key?: string };
  /** One run that is not over per workflow and key: a second start answers it, or cancels it first. */
  singleton?: { key?: string; mode: "skip" | "cancel" };
  /** A start within `seconds` of another replaces that one's input and moves it. */
  debounce?: { key?: string; seconds: number; maxSeconds?: number };
  /** -100 to 100: among runs that wait for a place, one more is 30 s earlier. */
  priority?: number;
}

/** The highest number of ops in one request, and of leaves in a tree. */
export const OPS_MAX = 10_000;
export const SDK = "tikku-typescript/0.1.0";
