// A workflow as a tool that an agent of the AI SDK may call.

import type { Tikku } from "./client.js";
import type { Duration } from "./duration.js";
import type { AnyWorkflow, InputTo, ResultOf } from "./workflow.js";
import type { StandardSchemaV1 } from "./schema.js";

/** Has the shape of the AI SDK's `tool({ description, inputSchema, execute })`. */
export interface WorkflowTool<Input, Output> {
  description: string;
  /** The workflow's own input schema, or the one given. */
  inputSchema: StandardSchemaV1<Input>;
  execute(input: Input, call?: { toolCallId?: string; abortSignal?: AbortSignal }): Promise<Output>;
}

export interface ToolOptions {
  client: Tikku;
  description: string;
  /** For a workflow that has no input schema. */
  inputSchema?: StandardSchemaV1;
  /** How long a call waits for the run; it goes on all the same. */
  timeout?: Duration;
}

/**
 * Makes a tool that starts a run and waits for its output. One call of the model starts one run, however often it is repeated. An agent that is a workflow itself
 * runs its tools as steps of its own instead: `step.invoke(...)` between its calls of `step.ai`.
 */
export function asTool<W extends AnyWorkflow>(workflow: W, options: ToolOptions): WorkflowTool<InputTo<W>, ResultOf<W>> {
  const inputSchema = options.inputSchema ?? workflow.options.input;
  if (!inputSchema) throw new TypeError(`the workflow ${workflow.name} has no input schema: give inputSchema, so that the model knows what to send`);
  const execute = async (input: InputTo<W>, call?: { toolCallId?: string; abortSignal?: AbortSignal }): Promise<unknown> => {
    const key = call?.toolCallId === undefined ? undefined : { idempotencyKey: `tool-${call.toolCallId}` };
    const run = await options.client.start(workflow, input, key);
    return run.result({ ...(options.timeout !== undefined && { timeout: options.timeout }), ...(call?.abortSignal && { signal: call.abortSignal }) });
  };
  return { description: options.description, inputSchema: inputSchema as never, execute: execute as never };
}
