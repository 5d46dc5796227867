// Standard Schema: zod and valibot, for inputs, outputs and signals.

import { describe, expect, test } from "vitest";
import * as v from "valibot";
import { z } from "zod";

import { workflow } from "../src/index.js";
import { testRun } from "../src/testing.js";

const schemas = [
  ["zod", z.object({ n: z.number(), note: z.string().default("none") })],
  ["valibot", v.object({ n: v.number(), note: v.optional(v.string(), "none") })],
  ["valibot, asynchronous", v.objectAsync({ n: v.pipeAsync(v.number(), v.checkAsync(async (n) => n < 100, "too large")), note: v.optional(v.string(), "none") })],
] as const;

describe.each(schemas)("%s", (_, schema) => {
  test("the code gets what the schema makes of the input", async () => {
    const flow = workflow({ name: "flow", input: schema }, async (_step, input) => input);
    expect((await testRun(flow, { n: 1 })).output).toEqual({ n: 1, note: "none" });
  });

  test("what it refuses fails the run, with the places", async () => {
    const flow = workflow({ name: "flow", input: schema }, async (step) => step.run("never", () => 1));
    const run = await testRun(flow, { n: "x" } as never);
    expect(run.error).toMatchObject({ name: "InvalidValue", data: { issues: [{ path: "n" }] } });
    expect(run.executions()).toBe(0);
  });

  test("an output is checked before it is recorded", async () => {
    const flow = workflow({ name: "flow", output: schema }, async (step) => ({ n: await step.run("n", () => "not a number" as unknown as number) }));
    const run = await testRun(flow, undefined);
    expect(run.error).toMatchObject({ name: "InvalidValue", message: expect.stringContaining("the output is not valid") });
  });

  test("a signal is checked when it is read, and its failure can be caught", async () => {
    const flow = workflow({ name: "flow", signals: { review: schema } }, async (step) => {
      const first = await step.waitForSignal("review").catch((error: Error) => error.name);
      return [first, await step.waitForSignal("review")];
    });
    const run = await testRun(flow, undefined);
    await run.signal("review", "nonsense" as never);
    await run.signal("review", { n: 2 });
    expect(run.output).toEqual(["InvalidValue", { n: 2, note: "none" }]);
  });
});
