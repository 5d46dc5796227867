// What a run waits for: found from the promises of steps and who waits for them.

import { describe, expect, test } from "vitest";

import { workflow } from "../src/index.js";
import type { Step } from "../src/index.js";
import { dispatch, invoke, ok, wait } from "./fake.js";

/** The tree that a run is parked with. */
async function parked(code: (step: Step) => Promise<unknown>, journal = invoke().journal.entries) {
  return (await dispatch(workflow({ name: "flow" }, (step) => code(step as Step)), invoke({ journal }))).await;
}
const sleeps = (step: Step, ...names: string[]) => names.map((name) => step.sleep(name, "1h"));

describe("joins", () => {
  test("one step is waited for by its key", async () => {
    expect(await parked((step) => step.sleep("a", 1))).toBe("a#0");
  });

  test("Promise.all waits for all", async () => {
    expect(await parked((step) => Promise.all(sleeps(step, "a", "b", "c")))).toEqual({ all: ["a#0", "b#0", "c#0"] });
  });

  test("Promise.all of 1,000 children is one list", async () => {
    const tree = await parked((step) => Promise.all(Array.from({ length: 1_000 }, (_, i) => step.invoke("child", "other", { i }))));
    expect((tree as { all: string[] }).all).toHaveLength(1_000);
  });

  test("Promise.race, any and allSettled wait for any", async () => {
    for (const join of ["race", "any", "allSettled"] as const) {
      const tree = await parked((step) => (Promise[join] as (steps: unknown[]) => Promise<unknown>)(sleeps(step, "a", "b")));
      expect(tree, join).toEqual({ any: ["a#0", "b#0"] });
    }
  });

  test("step.all and step.allSettled wait for all, step.race for any", async () => {
    expect(await parked((step) => step.all(sleeps(step, "a", "b")))).toEqual({ all: ["a#0", "b#0"] });
    expect(await parked((step) => step.allSettled(sleeps(step, "a", "b")))).toEqual({ all: ["a#0", "b#0"] });
    expect(await parked((step) => step.race(sleeps(step, "a", "b")))).toEqual({ any: ["a#0", "b#0"] });
  });

  test("the failure of a child is not kept waiting by a sleep next to it", async () => {
    const code = (step: Step) => [step.invoke("child", "other"), step.sleep("long", "30d")] as const;
    expect(await parked((step) => Promise.all(code(step)))).toEqual({ any: [{ all: ["child#0", "long#0"] }, "child#0"] });
    expect(await parked((step) => step.all(code(step)))).toEqual({ all: ["child#0", "long#0"] });
  });

  test("two joins are two lists", async () => {
    const tree = await parked((step) => Promise.race([Promise.all(sleeps(step, "a", "b")), Promise.all(sleeps(step, "c", "d")), step.sleep("e", 1)]));
    expect(tree).toEqual({ any: [{ all: ["a#0", "b#0"] }, { all: ["c#0", "d#0"] }, "e#0"] });
  });

  test("of a join only what is missing is listed", async () => {
    const tree = await parked((step) => Promise.all([step.invoke("x", "w"), step.invoke("y", "w"), step.invoke("z", "w")]), [ok(1, "y#0", 1, "child")]);
    expect(tree).toEqual({ all: ["x#0", "z#0"] });
  });
});

describe("whoever waits for a step besides a join is not forgotten", () => {
  test("await", async () => {
    const tree = await parked(async (step) => {
      const [a, b] = sleeps(step, "a", "b");
      void Promise.all([a, b]);
      await a;
      await step.sleep("c", 1);
    });
    expect(tree).toEqual({ any: ["a#0", "b#0"] });
  });

  test("await before the join", async () => {
    const tree = await parked(async (step) => {
      const [a, b] = sleeps(step, "a", "b");
      void (async () => await a)();
      await Promise.all([a, b]);
    });
    expect(tree).toEqual({ any: ["a#0", "b#0"] });
  });

  test("then, catch and finally", async () => {
    for (const wait of ["then", "catch", "finally"] as const) {
      const tree = await parked(async (step) => {
        const [a, b] = sleeps(step, "a", "b");
        void (a as any)[wait](() => {});
        await Promise.all([a, b]);
      });
      expect((tree as { any: unknown[] }).any, wait).toContain("a#0");
    }
  });

  test("an async function that returns it", async () => {
    const tree = await parked(async (step) => {
      const [a, b] = sleeps(step, "a", "b");
      void (async () => a)();
      await Promise.all([a, b]);
    });
    expect(tree).toEqual({ any: ["a#0", "b#0"] });
  });

  test("an executor that counts by itself", async () => {
    const tree = await parked((step) => {
      const steps = sleeps(step, "a", "b", "c");
      return new Promise((resolve, reject) => {
        let count = 0;
        for (const each of steps) each.then((value) => (count += 1) === 2 && resolve(value), reject);
      });
    });
    expect(tree).toEqual({ any: ["a#0", "b#0", "c#0"] });
  });

  test("branches of several steps", async () => {
    const branch = async (step: Step, name: string) => {
      await step.sleep(name, 1);
      await step.run(`${name}2`, () => 1);
    };
    expect(await parked((step) => Promise.all([branch(step, "a"), branch(step, "b")]))).toEqual({ any: ["a#0", "b#0"] });
  });
});

describe("what nobody waits for wakes nobody", () => {
  test("a step that is awaited later", async () => {
    const tree = await parked(async (step) => {
      const reminder = step.sleep("reminder", "1h");
      await step.waitForSignal("go");
      await reminder;
    });
    expect(tree).toBe("go#0");
  });

  test("the losers of a race", async () => {
    const code = async (step: Step) => {
      await Promise.race([step.waitForSignal("go"), step.sleep("limit", "1h")]);
      await step.waitForSignal("next");
    };
    expect(await parked(code, [ok(1, "go#0", 1, "signal")])).toBe("next#0");
  });

  test("the others of a join that has failed", async () => {
    const code = async (step: Step) => {
      await Promise.all([step.invoke("a", "w"), step.invoke("b", "w")]).catch(() => {});
      await step.waitForSignal("next");
    };
    expect(await parked(code, [{ seq: 1, key: "a#0", kind: "child", state: "error", error: { name: "ChildFailed", message: "no" } }])).toBe("next#0");
  });

  test("code that waits for something else is given the time of the dispatch, and then called again", async () => {
    const code = workflow({ name: "flow" }, async (step) => {
      sleeps(step as Step, "a", "b");
      await new Promise(() => {});
    });
    const startedAt = Date.now();
    const reply = await dispatch(code, invoke({ run: { budgetMs: 200 } }));
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(150);
    expect(reply.ops).toHaveLength(2);
    expect(reply.await).toBeUndefined();
  });

  test("and goes on when that comes", async () => {
    const tree = await parked(async (step) => {
      const nap = step.sleep("nap", "1h");
      await wait(30);
      await step.waitForSignal("go");
      await nap;
    });
    expect(tree).toBe("go#0");
  });
});

test("a run that waits for more than 10,000 steps one by one fails and says so", async () => {
  const code = workflow({ name: "flow" }, (step) => Promise.race(Array.from({ length: 10_001 }, () => step.waitForSignal("s"))));
  const pending = Array.from({ length: 10_001 }, (_, i) => ({ key: `s#${i}`, kind: "signal" as const, attempt: 1, waitMs: null }));
  const { ops } = await dispatch(code, invoke({ pending }));
  expect(ops).toMatchObject([{ op: "fail", error: { name: "RangeError" } }]);
});

test("6,000 sleeps that are pending do not keep a run from being parked", async () => {
  const code = workflow({ name: "flow" }, (step) => Promise.all(Array.from({ length: 6_000 }, () => step.sleep("s", "1h"))));
  const pending = Array.from({ length: 6_000 }, (_, i) => ({ key: `s#${i}`, kind: "sleep" as const, attempt: 1, waitMs: 5_000 }));
  const reply = await dispatch(code, invoke({ pending }));
  expect((reply.await as { all: string[] }).all).toHaveLength(6_000);
});
