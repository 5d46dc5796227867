// Hooks around runs and step bodies: for logs, traces, and what every step needs.

import type { Kind } from "./protocol.js";

export interface RunInfo {
  readonly run: { readonly id: string; readonly attempt: number };
  readonly workflow: string;
  readonly version: string;
}

export interface StepInfo extends RunInfo {
  /** The step's name and occurrence: `charge#0`. */
  readonly step: string;
  readonly kind: Kind;
  readonly attempt: number;
}

export interface Middleware {
  /** Around the workflow's code in each dispatch. `next` settles when the run ends; a run that is suspended leaves it pending. */
  run?(info: RunInfo, next: () => Promise<unknown>): Promise<unknown>;
  /** Around each execution of a step's body; never called for a step that is replayed. */
  step?(info: StepInfo, next: () => Promise<unknown>): Promise<unknown>;
}
