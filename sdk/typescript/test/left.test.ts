// Steps that the code has returned without awaiting: they do not hold the run, and the endpoint says so.

import { describe, expect, test, vi } from "vitest";

import { workflow } from "../src/index.js";
import type { Step } from "../src/index.js";
import { testRun } from "../src/testing.js";
import { FakeEngine, deferred, dispatch, invoke } from "./fake.js";

const LEFT = (keys: string) => [`tikku: flow (version 1, run_1) has returned without awaiting ${keys}: what such a step has not recorded by then is lost, and a child is cancelled. Await every step.`];

async function warnings(code: (step: Step) => unknown): Promise<string[]> {
  const told: string[] = [];
  await dispatch(workflow({ name: "flow" }, code as never), invoke(), { mode: "each", transport: new FakeEngine(), warn: (message) => void told.push(message) });
  return told;
}

describe("a step that nobody awaits", () => {
  test("is not begun once the code has returned, and is named", async () => {
    const body = vi.fn();
    expect(await warnings((step) => { void step.run("mail", body); void step.sleep("nap", "1h"); return 1; })).toEqual(LEFT("mail#0, nap#0"));
    expect(body).not.toHaveBeenCalled();
  });

  test("that is under way is aborted, and named", async () => {
    const ended = deferred<string>();
    const told = await warnings(async (step) => {
      void step.run("slow", ({ signal }) => new Promise((resolve) => signal.addEventListener("abort", () => { ended.resolve(`${signal.reason}`); resolve(0); })));
      await step.run("fast", () => 1);
    });
    expect(told).toEqual(LEFT("slow#0"));
    expect(await ended.promise).toBe("Error: the dispatch is over");
  });

  test("but is recorded by then has done its work", async () => {
    expect(await warnings(async (step) => { void step.run("log", () => 1); await step.run("a", () => 1); await step.run("b", () => 1); })).toEqual([]);
  });

  test("is told of by the test harness too", async () => {
    const kid = workflow({ name: "kid" }, (step) => step.sleep("nap", "1d"));
    const flow = workflow({ name: "flow" }, async (step) => { void step.invoke("kid", kid, null); await step.run("a", () => 1); return "done"; });
    const run = await testRun(flow, null, { workflows: [kid] });
    expect([run.output, run.warnings.length]).toEqual(["done", 1]);
    expect(run.warnings[0]).toContain("kid#0");
  });
});

test.each([
  ["the loser of a race", async (step: Step) => void (await Promise.race([step.run("a", () => 1), step.sleep("limit", "1h")]))],
  ["what a failed join leaves", async (step: Step) => void (await Promise.all([step.run("a", () => { throw new Error("no"); }, { maxAttempts: 1 }), step.sleep("b", "1h")]).catch(() => 0))],
  ["a promise that is returned", (step: Step) => step.run("a", () => 1)],
  ["a promise with a handler of its own", async (step: Step) => { step.sleep("a", "1h").catch(() => 0); await step.run("b", () => 1); }],
  ["code that throws", async (step: Step) => { void step.sleep("a", "1h"); await step.run("b", () => 1); throw new Error("no"); }],
])("nothing is said of %s", async (_, code) => {
  expect(await warnings(code)).toEqual([]);
});

test("an endpoint that says nothing else warns on the console", async () => {
  const { serve } = await import("../src/index.js");
  const { SECRET, signed } = await import("./fake.js");
  const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
  try {
    const flow = workflow({ name: "flow" }, (step) => { void step.run("mail", () => 1); });
    const body = JSON.stringify(invoke());
    await serve({ workflows: [flow], signingSecret: SECRET, checkpoint: "return" }).POST(new Request("http://x/", { method: "POST", body, headers: signed(body) }));
    expect(warn.mock.calls).toEqual([LEFT("mail#0")]);
  } finally {
    warn.mockRestore();
  }
});
