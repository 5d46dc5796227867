// @tikku/sdk/testing, and through it whole runs in each of the three modes.

import { describe, expect, test } from "vitest";
import { z } from "zod";

import { NonRetriable, RetryAfter, workflow } from "../src/index.js";
import type { Mode } from "../src/index.js";
import { testRun } from "../src/testing.js";

const MODES: [string, Mode][] = [
  ["each", "each"],
  ["batched", { everyMs: 20, maxSteps: 20 }],
  ["return", "return"],
];

const receipt = workflow({ name: "receipt" }, async (step, input: { order: number }) => ({ number: `R-${await step.run("number", () => input.order)}` }));
const order = workflow({ name: "order-flow", version: "3", input: z.object({ id: z.number(), total: z.number().default(10) }) }, async (step, input) => {
  const charge = await step.run("charge", () => ({ chargeId: `ch_${input.id}`, total: input.total }), { maxAttempts: 5 });
  await step.sleep("cooldown", "7d");
  const review = await step.waitForSignal("review", { timeout: "3d" });
  const draft = await step.ai("llm", async () => ({ model: "m", text: "thanks", usage: { input_tokens: 1, output_tokens: 1 } }));
  const [notify, ship] = await Promise.all([step.run("notify", () => "sent"), step.run("ship", () => "shipped")]);
  const made = await step.invoke("receipt", receipt, { order: input.id });
  return { charge, review: review ?? "none", text: draft.text, notify, ship, made };
});

describe.each(MODES)("%s", (_, checkpoint) => {
  const options = { checkpoint };

  test("the order flow", async () => {
    const run = await testRun(order, { id: 7 }, { ...options, workflows: [receipt] });
    expect(run.status).toBe("sleeping");
    await run.advance("7d");
    expect(run.status).toBe("waiting");
    await run.signal("review", { stars: 5 });
    expect(run.output).toEqual({ charge: { chargeId: "ch_7", total: 10 }, review: { stars: 5 }, text: "thanks", notify: "sent", ship: "shipped", made: { number: "R-7" } });
    expect(run.executions()).toBe(5);
    expect(run.journal.slice(0, 4).map(({ key }) => key)).toEqual(["charge#0", "cooldown#0", "review#0", "llm#0"]);
  });

  test("without the signal it goes on when the timeout is over", async () => {
    const run = await testRun(order, { id: 7 }, { ...options, workflows: [receipt] });
    await run.advance("9d");
    expect(run.status).toBe("waiting");
    await run.advance("1d");
    expect(run.output).toMatchObject({ review: "none" });
  });

  test("early signals are kept, and serve waits in their order", async () => {
    const flow = workflow({ name: "flow" }, async (step) => {
      await step.sleep("nap", "1h");
      return [await step.waitForSignal("go"), await step.waitForSignal("go")];
    });
    const run = await testRun(flow, null, options);
    await run.signal("go", 1);
    await run.signal("go", 2);
    expect(run.status).toBe("sleeping");
    expect((await run.advance("1h")).output).toEqual([1, 2]);
  });

  test("a step is tried again as its backoff says", async () => {
    let count = 0;
    const flow = workflow({ name: "flow" }, (step) =>
      step.run("flaky", () => {
        count += 1;
        if (count < 3) throw new Error(`no ${count}`);
        return count;
      }),
    );
    const run = await testRun(flow, null, options);
    expect([run.status, count]).toEqual(["retrying", 1]);
    await run.advance("999ms");
    expect(count).toBe(1);
    await run.advance(1);
    expect(count).toBe(2);
    expect((await run.advance("2s")).output).toBe(3);
  });

  test("RetryAfter and NonRetriable", async () => {
    let count = 0;
    const flow = workflow({ name: "flow" }, async (step) => {
      const value = await step.run("limited", () => {
        count += 1;
        if (count === 1) throw new RetryAfter("later", "20s");
        return "ok";
      });
      const error = await step.run("fatal", () => { throw new NonRetriable("never"); }).catch((thrown: Error) => thrown);
      return [value, (error as Error).message];
    });
    const run = await testRun(flow, null, options);
    await run.advance("19s");
    expect(count).toBe(1);
    expect((await run.advance("1s")).output).toEqual(["ok", "never"]);
  });

  test("try, catch and compensate", async () => {
    const flow = workflow({ name: "flow" }, async (step) => {
      try {
        await step.run("pay", () => { throw new TypeError("declined"); }, { maxAttempts: 2 });
      } catch (error) {
        return step.run("undo", () => `${error}`);
      }
      return "paid";
    });
    const run = await testRun(flow, null, options);
    expect(run.executions("undo")).toBe(0);
    expect((await run.advance("1m")).output).toBe("TypeError: declined");
    expect(run.executions("pay")).toBe(2);
  });

  test("a failed child is an error with its id, a cancelled one too", async () => {
    const child = workflow({ name: "child" }, async (step, input: { fail: boolean }) => {
      if (input.fail) throw new RangeError("too far");
      await step.sleep("long", "30d");
    });
    const parent = workflow({ name: "parent" }, async (step, input: { fail: boolean }) => {
      try {
        return await step.invoke("child", child, input);
      } catch (error) {
        const { name, runId, cause } = error as Error & { runId: string; cause?: Error };
        return { name, runId, cause: cause && `${cause}` };
      }
    });
    const failed = await testRun(parent, { fail: true }, { ...options, workflows: [child] });
    expect(failed.output).toEqual({ name: "ChildFailed", runId: failed.children[0]!.id, cause: "RangeError: too far" });
    const waiting = await testRun(parent, { fail: false }, { ...options, workflows: [child] });
    await waiting.cancel();
    expect([waiting.status, waiting.children[0]!.status]).toEqual(["cancelled", "cancelled"]);
  });

  test("a join of 100 children needs few dispatches", async () => {
    const child = workflow({ name: "child" }, async (step, i: number) => {
      await step.sleep("nap", i + 1);
      return i;
    });
    const parent = workflow({ name: "parent" }, (step) => Promise.all(Array.from({ length: 100 }, (_, i) => step.invoke("child", child, i))));
    const run = await testRun(parent, null, { ...options, workflows: [child] });
    expect((await run.advance("1s")).output).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(run.dispatches).toBe(2);
  });

  test("a race is decided once", async () => {
    const flow = workflow({ name: "flow" }, async (step) => {
      const first = await Promise.race([step.waitForSignal("go"), step.sleep("limit", "1h").then(() => "late")]);
      await step.sleep("pause", "2h");
      return first;
    });
    const late = await testRun(flow, null, options);
    await late.advance("1h");
    await late.signal("go", "too late");
    expect((await late.advance("2h")).output).toBe("late");
    const early = await testRun(flow, null, options);
    await early.signal("go", "in time");
    expect((await early.advance("3h")).output).toBe("in time");
  });

  test("events: the one that matches, not the one before", async () => {
    const flow = workflow({ name: "flow" }, async (step) => (await step.waitForEvent<{ id: string }>("invoice.paid", { match: { "data.id": "inv_1" }, timeout: "1d" }))?.data ?? "never");
    const run = await testRun(flow, null, options);
    await run.event("invoice.paid", { id: "inv_2" });
    expect(run.status).toBe("waiting");
    await run.event("invoice.paid", { id: "inv_1", total: 5 });
    expect(run.output).toEqual({ id: "inv_1", total: 5 });
    const other = await testRun(flow, null, options);
    expect((await other.advance("1d")).output).toBe("never");
  });

  test("approvals, fetch, publish and mocks of steps", async () => {
    const flow = workflow({ name: "flow" }, async (step) => {
      const answer = await step.approval("ok", { title: "Ship it?", timeout: "1d" });
      if (!answer?.approved) return "no";
      const { body } = await step.fetch("call", "https://example.com/", { method: "POST", body: { n: 1 } });
      await step.publish("mail", { url: "https://example.com/mail" });
      return `${body} ${await step.run("real", () => "never called")} ${answer.by}`;
    });
    const run = await testRun(flow, null, { ...options, fetch: ({ url }) => ({ body: `from ${url}` }), steps: { real: "mocked" } });
    await run.approve("ok", { by: "ana" });
    expect(run.output).toBe("from https://example.com/ mocked ana");
    expect(run.published).toEqual([{ url: "https://example.com/mail" }]);
    const refused = await testRun(flow, null, options);
    expect((await refused.approve("ok#0", { approve: false })).output).toBe("no");
  });

  test("continue as new has a journal of its own, and the signals that were not read", async () => {
    const flow = workflow({ name: "flow" }, async (step, input: { n: number }) => {
      await step.run("work", () => input.n);
      if (input.n > 0) return step.continueAsNew({ n: input.n - 1 });
      return (await step.waitForSignal("go")) as string;
    });
    const run = await testRun(flow, { n: 5 }, options);
    await run.signal("go", "end");
    expect(run.output).toBe("end");
    expect(run.journal.map(({ key }) => key)).toEqual(["work#0", "go#0"]);
    expect(run.executions("work")).toBe(6);
  });

  test("a sleep that the code makes longer or shorter meanwhile is slept once", async () => {
    let length = 3_600_000;
    const flow = workflow({ name: "flow" }, async (step) => {
      const nap = step.sleep("nap", length);
      await Promise.race([nap, step.waitForSignal("look")]);
      await nap;
      return Date.now() > 0;
    });
    const run = await testRun(flow, null, options);
    await run.advance("10m");
    length = 1_800_000;
    await run.signal("look");
    await run.advance("19m");
    expect(run.status).toBe("sleeping");
    expect((await run.advance("1m")).output).toBe(true);
    expect(run.journal.filter(({ kind }) => kind === "sleep")).toHaveLength(1);
  });

  test("a change of the code that does not fit pauses the run and shows the difference", async () => {
    let names = ["a", "b"];
    const flow = workflow({ name: "flow" }, async (step) => {
      for (const name of names) await step.run(name, () => name);
      await step.waitForSignal("go");
      return step.run("last", () => "end");
    });
    const run = await testRun(flow, null, options);
    names = ["a", "x", "b"];
    await run.signal("go");
    expect([run.status, run.pauseReason]).toEqual(["paused", "nonDeterminism"]);
    expect(() => run.output).toThrow('"expected":[{"key":"b#0","kind":"run"}');
    expect(run.executions("x")).toBe(0);
  });

  test("5,000 steps one after the other", async () => {
    const flow = workflow({ name: "flow" }, async (step) => {
      let sum = 0;
      for (let i = 0; i < 5_000; i += 1) sum += await step.run("s", () => i);
      return sum;
    });
    // A dispatch for each step replays all before it; in memory that is a matter of squares.
    const count = checkpoint === "return" ? 300 : 5_000;
    const short = workflow({ name: "flow" }, async (step) => {
      let sum = 0;
      for (let i = 0; i < count; i += 1) sum += await step.run("s", () => i);
      return sum;
    });
    const run = await testRun(checkpoint === "return" ? short : flow, null, options);
    expect(run.output).toBe((count * (count - 1)) / 2);
    expect(run.executions()).toBe(count);
  });

  test("1,000 parallel steps", async () => {
    const flow = workflow({ name: "flow" }, async (step) => (await Promise.all(Array.from({ length: 1_000 }, (_, i) => step.run("s", () => i)))).reduce((sum, i) => sum + i, 0));
    const run = await testRun(flow, null, options);
    expect(run.output).toBe(499_500);
    expect(run.executions()).toBe(1_000);
    expect(run.dispatches).toBeLessThanOrEqual(2);
  });

  test("an input that the schema refuses fails the run before a step", async () => {
    const run = await testRun(order, { id: "seven" } as never, options);
    expect(run.status).toBe("failed");
    expect(run.error).toMatchObject({ name: "InvalidValue", message: expect.stringContaining("id:") });
    expect(run.executions()).toBe(0);
  });
});

test("a child that the test does not know fails and says what to do", async () => {
  const flow = workflow({ name: "flow" }, async (step) => {
    await step.invoke("lost", "not-there");
  });
  const run = await testRun(flow, null);
  expect(run.error).toMatchObject({ message: expect.stringContaining("no app serves not-there") });
});

test("middleware sees each execution, and nothing of a replay", async () => {
  const seen: string[] = [];
  const flow = workflow({ name: "flow" }, async (step) => {
    await step.run("a", () => 1);
    await step.sleep("nap", "1h");
    await step.run("b", () => 2);
    return 3;
  });
  const middleware = {
    async run(info: { workflow: string }, next: () => Promise<unknown>) {
      seen.push(`begin ${info.workflow}`);
      const value = await next();
      seen.push(`end ${value}`);
      return value;
    },
    async step(info: { step: string; attempt: number }, next: () => Promise<unknown>) {
      const value = await next();
      seen.push(`${info.step} ${info.attempt} ${value}`);
      return value;
    },
  };
  const run = await testRun(flow, null, { middleware: [middleware] });
  await run.advance("1h");
  expect(seen).toEqual(["begin flow", "a#0 1 1", "begin flow", "b#0 1 2", "end 3"]);
});

describe("an approval with a schema", () => {
  const schema = { type: "object", required: ["limit"], properties: { limit: { type: "integer", maximum: 500 } } };
  const flow = workflow({ name: "flow" }, (step) => step.approval("ok", { schema }));

  test("waits on when data does not fit, as it does with the engine", async () => {
    const run = await testRun(flow, null);
    for (const data of [undefined, { limit: 501 }, "500"]) await expect(run.approve("ok", { data })).rejects.toThrow("the data of approval ok#0 does not fit its schema: data");
    expect(run.pending).toMatchObject([{ key: "ok#0" }]);
    expect((await run.approve("ok", { data: { limit: 500 } })).output).toMatchObject({ approved: true, data: { limit: 500 } });
  });

  test("is refused without data, and with data that fits only", async () => {
    const run = await testRun(flow, null);
    await expect(run.approve("ok", { approve: false, data: 1 })).rejects.toThrow("data must be of type object");
    expect((await run.approve("ok", { approve: false })).output).toMatchObject({ approved: false, data: null });
  });

  test("that cannot be used fails the step", async () => {
    const odd = workflow({ name: "flow" }, (step) => step.approval("ok", { schema: { unevaluatedItems: false } }));
    expect((await testRun(odd, null)).error).toMatchObject({ name: "InvalidSchema", message: expect.stringContaining("the keyword unevaluatedItems is not supported") });
  });
});

test("a child whose id is taken, and one of a version that nobody serves, are errors", async () => {
  const kid = workflow({ name: "kid" }, (step) => step.sleep("nap", "1d"));
  const caught = (error: Error & { runId?: string }) => [error.name, error.runId];
  const flow = workflow({ name: "flow" }, async (step) => {
    const first = step.invoke("first", kid, 1, { id: "one" });
    const errors = [await step.invoke("second", kid, 2, { id: "one" }).catch(caught), await step.invoke("third", kid, 3, { version: "9" }).catch(caught)];
    await first;
    return errors;
  });
  const run = await testRun(flow, null, { workflows: [kid] });
  expect((await run.advance("1d")).output).toEqual([["ChildExists", run.children[0]!.id], ["UnknownWorkflow", null]]);
});
