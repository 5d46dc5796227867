// When a step is tried again, and when it has failed for good.

import { describe, expect, test } from "vitest";

import { NonRetriable, RetryAfter, StepTimeout, workflow } from "../src/index.js";
import type { Step, StepOptions } from "../src/index.js";
import { pauseMs } from "../src/retry.js";
import { FakeEngine, dispatch, invoke, until } from "./fake.js";

const failing = (error: unknown, options?: StepOptions, retry?: StepOptions) =>
  workflow({ name: "flow", ...(retry && { retry }) }, (step) =>
    step.run(
      "s",
      () => {
        throw error;
      },
      options,
    ),
  );
const attempt = (number: number) => invoke({ pending: [{ key: "s#0", kind: "run", attempt: number, waitMs: null }] });

describe("attempts", () => {
  test("the first of four failures is retried after a second, the fourth is final", async () => {
    expect((await dispatch(failing(new Error("no")))).ops[0]).toMatchObject({ op: "error", attempt: 1, retry: { afterMs: 1_000 } });
    expect((await dispatch(failing(new Error("no")), attempt(3))).ops[0]).toMatchObject({ attempt: 3, retry: { afterMs: 4_000 } });
    const last = (await dispatch(failing(new Error("no")), attempt(4))).ops[0]!;
    expect(last).toMatchObject({ op: "error", attempt: 4, error: { name: "Error", message: "no" } });
    expect(last["retry"]).toBeUndefined();
  });

  test("a step's own limit counts, then the workflow's", async () => {
    expect((await dispatch(failing(new Error("no"), { maxAttempts: 1 }, { maxAttempts: 9 }))).ops[0]!["retry"]).toBeUndefined();
    expect((await dispatch(failing(new Error("no"), {}, { maxAttempts: 9 }), attempt(8))).ops[0]!["retry"]).toBeDefined();
  });

  test("NonRetriable is final at once, whatever class it is of", async () => {
    const own = Object.assign(new Error("mine"), { nonRetriable: true });
    for (const error of [new NonRetriable("no"), own]) expect((await dispatch(failing(error))).ops[0]!["retry"]).toBeUndefined();
  });

  test("RetryAfter says how long, and spends the attempt", async () => {
    expect((await dispatch(failing(new RetryAfter("later", "20s")))).ops[0]!["retry"]).toEqual({ afterMs: 20_000 });
    const date = (await dispatch(failing(new RetryAfter("later", new Date(Date.now() + 60_000))))).ops[0]!["retry"];
    expect(date.afterMs).toBeGreaterThan(55_000);
    expect((await dispatch(failing(new RetryAfter("later", 1)), attempt(4))).ops[0]!["retry"]).toBeUndefined();
  });

  test("the pauses grow as the backoff says", () => {
    const none = () => 0;
    expect([1, 2, 3, 20].map((n) => pauseMs(undefined, n, none))).toEqual([1_000, 2_000, 4_000, 3_600_000]);
    expect([1, 2, 3].map((n) => pauseMs({ type: "linear", initial: "2s", max: "5s" }, n, none))).toEqual([2_000, 4_000, 5_000]);
    expect([1, 2].map((n) => pauseMs({ type: "fixed", initial: 70 }, n, none))).toEqual([70, 70]);
    expect(pauseMs({ initial: 1_000 }, 1, () => 0.999)).toBeGreaterThanOrEqual(750);
    expect(pauseMs({ initial: 1_000, jitter: false }, 1, () => 0.999)).toBe(1_000);
  });

  test("a step that takes longer than its time has failed an attempt, and its signal aborts", async () => {
    let reason: unknown;
    const flow = workflow({ name: "flow" }, (step) =>
      step.run("s", ({ signal }) => new Promise((resolve) => (signal.addEventListener("abort", () => (reason = signal.reason)), setTimeout(resolve, 500))), { timeoutMs: 20 }),
    );
    expect((await dispatch(flow)).ops[0]).toMatchObject({ error: { name: "StepTimeout", message: "step s#0 took longer than 20 ms" }, retry: {} });
    expect(reason).toBeInstanceOf(StepTimeout);
  });

  test("a failure of the code outside of steps fails the run", async () => {
    const flow = workflow({ name: "flow" }, async () => {
      throw new TypeError("a bug");
    });
    expect((await dispatch(flow)).ops).toMatchObject([{ op: "fail", error: { name: "TypeError", message: "a bug" } }]);
  });
});

describe("parallel steps", () => {
  const flaky = (failures: number) => {
    let count = 0;
    return () => {
      count += 1;
      if (count <= failures) throw new Error(`attempt ${count}`);
      return count;
    };
  };

  test("a flaky one is tried again in the same dispatch while a slow one runs; the slow one runs once", async () => {
    const engine = new FakeEngine();
    let slow = 0;
    let done = false;
    const body = flaky(2);
    const flow = workflow({ name: "flow" }, (step) =>
      Promise.all([
        step.run("flaky", () => {
          const value = body();
          done = true;
          return value;
        }, { backoff: { type: "fixed", initial: 10 } }),
        step.run("slow", () => ((slow += 1), until(() => done))),
      ]),
    );
    const reply = await dispatch(flow, invoke(), { mode: "each", transport: engine });
    expect(reply.ops).toEqual([{ op: "done", value: [3, null] }]);
    expect(slow).toBe(1);
    const attempts = engine.sent.flatMap(({ ops }) => ops).filter(({ key }) => key === "flaky#0");
    expect(attempts.map(({ op, attempt }) => [op, attempt])).toEqual([["error", 1], ["error", 2], ["result", 3]]);
  });

  test("a retry that is due later than the others end leaves the dispatch", async () => {
    const flow = workflow({ name: "flow" }, (step) => Promise.all([step.run("flaky", flaky(1)), step.run("quick", () => 1)]));
    const reply = await dispatch(flow, invoke(), { mode: "each", transport: new FakeEngine() });
    expect(reply).toMatchObject({ await: "flaky#0" });
  });

  test("catch is not entered before the attempts are used up", async () => {
    let caught = 0;
    const flow = workflow({ name: "flow" }, async (step) => {
      try {
        await step.run("s", flaky(9));
      } catch {
        caught += 1;
      }
    });
    const engine = new FakeEngine();
    expect((await dispatch(flow, invoke(), { mode: "each", transport: engine })).await).toBe("s#0");
    expect(caught).toBe(0);
    const pending = [{ key: "s#0", kind: "run" as const, attempt: 4, waitMs: 0 }];
    expect((await dispatch(flow, invoke({ pending }), { mode: "each", transport: engine })).ops).toEqual([{ op: "done" }]);
    expect(caught).toBe(1);
  });
});

test("the number of executions is the same however the attempts come", async () => {
  for (const mode of ["each", { everyMs: 5, maxSteps: 3 }, "return"] as const) {
    let count = 0;
    const flow = workflow({ name: "flow" }, (step: Step<any>) => step.run("s", () => { count += 1; throw new Error("no"); }, { maxAttempts: 3 }));
    for (let number = 1; number <= 3; number += 1) await dispatch(flow, number === 1 ? invoke() : attempt(number), { mode, transport: new FakeEngine() });
    expect(count).toBe(3);
  }
});

test("the key for effects is stable, and fits into a header", async () => {
  const keys: string[] = [];
  const flow = workflow({ name: "flow" }, (step) => Promise.all([step.run("pay", ({ key }) => keys.push(key)), step.run("zahlen für 🦀", ({ key }) => keys.push(key)), step.run("pay", ({ key }) => keys.push(key))]));
  await dispatch(flow);
  await dispatch(flow);
  expect(keys.slice(0, 3)).toEqual(keys.slice(3));
  expect(keys[0]).toBe("run_1/pay#0");
  expect(keys[2]).toBe("run_1/pay#1");
  for (const key of keys) expect(() => new Headers({ "idempotency-key": key })).not.toThrow();
});

test("a time to come back counts from another copy of this package, too", async () => {
  const foreign = Object.assign(new Error("later"), { name: "RetryAfter", afterMs: 20_000 });
  const { ops } = await dispatch(workflow({ name: "flow" }, (step) => step.run("a", () => { throw foreign; })));
  expect(ops).toMatchObject([{ op: "error", key: "a#0", retry: { afterMs: 20_000 } }]);
});
