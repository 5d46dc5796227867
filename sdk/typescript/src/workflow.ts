// What a workflow is: a name, a version, and code that takes steps.

import type { Middleware } from "./middleware.js";
import type { Policies } from "./protocol.js";
import type { Recorded } from "./json.js";
import { type Retry, checkRetry } from "./retry.js";
import type { InputOf, OutputOf, StandardSchemaV1 } from "./schema.js";
import type { Step } from "./step.js";
import { checkDefinition } from "./checks.js";

export type Signals = Record<string, StandardSchemaV1>;

/** What the code of a workflow knows about its run. */
export interface RunContext {
  run: {
    id: string;
    externalId: string | undefined;
    /** 1, and one more for every retry of the run by a person. */
    attempt: number;
    parent: { id: string; key: string } | undefined;
    createdAt: Date;
  };
  app: string;
  workflow: string;
  version: string;
}

export interface WorkflowOptions<
  Input extends StandardSchemaV1 | undefined = StandardSchemaV1 | undefined,
  Output extends StandardSchemaV1 | undefined = StandardSchemaV1 | undefined,
  S extends Signals = Signals,
> extends Policies {
  /** 1 to 128 characters of `A-Z a-z 0-9 . _ -`, not beginning with a full stop. */
  name: string;
  /** Default "1". A run stays with the version that it began with. */
  version?: string;
  /** Validates the input, in each dispatch, before the code runs. */
  input?: Input;
  /** Validates what the code returns. */
  output?: Output;
  /** The signals that it waits for, and what they carry. */
  signals?: S;
  /** Of its steps, unless they say otherwise. */
  retry?: Retry;
  middleware?: readonly Middleware[];
}

export interface Workflow<Input = unknown, Output = unknown, S extends Signals = Signals> {
  readonly name: string;
  readonly version: string;
  readonly options: WorkflowOptions;
  readonly handler: (step: Step<S>, input: never, context: RunContext) => unknown;
  /** Not there at run time: what a start takes, what a run gives. */
  readonly types?: { input: Input; output: Output; signals: S };
}
export type AnyWorkflow = Workflow<never, unknown, never> | Workflow<any, any, any>;
/** What a start of the workflow takes. */
export type InputTo<W> = W extends { readonly types?: { input: infer Input } } ? Input : unknown;
/** What its code returns. */
export type OutputFrom<W> = W extends { readonly types?: { output: infer Output } } ? Output : unknown;
/** What a client sees of the output: it went through the journal. */
export type ResultOf<W> = Recorded<OutputFrom<W>>;
export type SignalsOf<W> = W extends { readonly types?: { signals: infer S } } ? S : Signals;

type Returns<Output, Result> = Output extends StandardSchemaV1 ? InputOf<Output> | Promise<InputOf<Output>> : Result | Promise<Result>;
type Given<Output, Result> = Output extends StandardSchemaV1 ? OutputOf<Output> : Result;

/** Defines a workflow. Its code may be run any number of times: what is to happen once belongs into steps. */
export function workflow<const Name extends string, Input extends StandardSchemaV1, Result, Output extends StandardSchemaV1 | undefined = undefined, S extends Signals = Record<never, never>>(
  options: WorkflowOptions<Input, Output, S> & { name: Name; input: Input },
  handler: (step: Step<S>, input: OutputOf<Input>, context: RunContext) => Returns<Output, Result>,
): Workflow<InputOf<Input>, Given<Output, Result>, S> & { readonly name: Name };
/** Without a schema the input has the type that the code gives it, and nothing checks it. */
export function workflow<const Name extends string, Input, Result, Output extends StandardSchemaV1 | undefined = undefined, S extends Signals = Record<never, never>>(
  options: WorkflowOptions<undefined, Output, S> & { name: Name; input?: undefined },
  handler: (step: Step<S>, input: Input, context: RunContext) => Returns<Output, Result>,
): Workflow<Input, Given<Output, Result>, S> & { readonly name: Name };
export function workflow(options: object, handler: (...all: never[]) => unknown): any {
  const given = options as WorkflowOptions;
  checkDefinition(given);
  if (typeof handler !== "function") throw new TypeError(`the code of workflow ${given.name} must be a function`);
  checkRetry(given.retry, `of workflow ${given.name}`);
  return { name: given.name, version: given.version ?? "1", options: given, handler };
}
