// One dispatch against a scripted engine: checkpoints, the lease, what is lost, refused and late.

import { describe, expect, test, vi } from "vitest";

import { NonRetriable, workflow } from "../src/index.js";
import type { Mode, Step } from "../src/index.js";
import { FakeEngine, deferred, dispatch, invoke, ok, until, wait } from "./fake.js";

const MODES: Mode[] = ["each", { everyMs: 20, maxSteps: 5 }, "return"];
const sequence = (names: string[], begun: string[] = []) =>
  workflow({ name: "flow" }, async (step) => {
    const values = [];
    for (const name of names) values.push(await step.run(name, () => (begun.push(name), name)));
    return values;
  });

describe("each", () => {
  test("records every step before the next begins", async () => {
    const engine = new FakeEngine();
    const recorded: number[] = [];
    const flow = workflow({ name: "flow" }, async (step) => {
      for (let i = 0; i < 4; i += 1) await step.run("s", () => void recorded.push(engine.entries.length));
    });
    const reply = await dispatch(flow, invoke(), { mode: "each", transport: engine });
    expect(recorded).toEqual([0, 1, 2, 3]);
    expect(reply).toEqual({ v: 1, have: 4, ops: [{ op: "done" }] });
  });

  test("has one checkpoint in flight, and steps that end meanwhile share the next", async () => {
    const engine = new FakeEngine();
    engine.before = () => wait(20).then(() => undefined);
    const flow = workflow({ name: "flow" }, (step) => Promise.all(Array.from({ length: 50 }, (_, i) => step.run("s", () => wait(i % 5)))));
    await dispatch(flow, invoke(), { mode: "each", transport: engine });
    expect(engine.mostInFlight).toBe(1);
    expect(engine.sent.length).toBeLessThan(6);
    expect(engine.entries).toHaveLength(50);
  });

  test("settles in the order of the answer, not in that of the bodies", async () => {
    const engine = new FakeEngine();
    engine.before = ({ ops }) => void (ops.length > 0 && engine.record("slow#0", "run", { value: "elsewhere" }));
    const flow = workflow({ name: "flow" }, (step) => Promise.race([step.run("fast", () => "fast"), step.run("slow", () => wait(30).then(() => "slow"))]));
    const reply = await dispatch(flow, invoke(), { mode: "each", transport: engine });
    expect(reply.ops).toEqual([{ op: "done", value: "elsewhere" }]);
  });

  test("uses what was recorded before, not what the body gave", async () => {
    const engine = new FakeEngine();
    engine.before = (_, number) => void (number === 1 && engine.record("a#0", "run", { value: 41 }));
    const flow = workflow({ name: "flow" }, async (step) => (await step.run("a", () => 1)) + 1);
    expect((await dispatch(flow, invoke(), { mode: "each", transport: engine })).ops).toEqual([{ op: "done", value: 42 }]);
  });

  test("tells of a wait at once while a body runs, so that its time begins", async () => {
    const engine = new FakeEngine();
    const flow = workflow({ name: "flow" }, (step) => Promise.all([step.sleep("nap", "1h"), step.run("slow", () => until(() => engine.sent.length > 0))]));
    const reply = await dispatch(flow, invoke(), { mode: "each", transport: engine });
    expect(engine.sent[0]!.ops).toEqual([{ op: "sleep", key: "nap#0", forMs: 3_600_000 }]);
    expect(reply).toMatchObject({ ops: [], await: "nap#0" });
  });

  test("a signal that is buffered is taken without another dispatch", async () => {
    const engine = new FakeEngine();
    engine.extra = { signals: [{ name: "go", count: 1 }] };
    engine.before = ({ ops }) => void (ops[0]?.op === "signal" && engine.record("go#0", "signal", { value: 5 }));
    const flow = workflow({ name: "flow" }, async (step) => {
      await step.run("a", () => 1);
      return step.waitForSignal("go");
    });
    expect((await dispatch(flow, invoke(), { mode: "each", transport: engine })).ops).toEqual([{ op: "done", value: 5 }]);
  });

  test("publish is answered within the dispatch", async () => {
    const engine = new FakeEngine();
    const flow = workflow({ name: "flow" }, (step) => step.publish("mail", { url: "https://example.com" }));
    const reply = await dispatch(flow, invoke(), { mode: "each", transport: engine });
    expect(reply.ops).toEqual([{ op: "done", value: { id: "msg_1", status: "queued" } }]);
  });
});

describe("batched", () => {
  const mode: Mode = { everyMs: 10_000, maxSteps: 10 };
  test("goes on before results are recorded, and sends them together", async () => {
    const engine = new FakeEngine();
    const reply = await dispatch(sequence(["a", "b", "c"]), invoke(), { mode, transport: engine });
    expect(engine.sent).toHaveLength(0);
    expect(reply.ops.map(({ op, key }) => key ?? op)).toEqual(["a#0", "b#0", "c#0", "done"]);
  });

  test("never has more than maxSteps results unrecorded", async () => {
    const engine = new FakeEngine();
    engine.before = () => wait(10).then(() => undefined);
    let most = 0;
    let begun = 0;
    const flow = workflow({ name: "flow" }, async (step) => {
      for (let i = 0; i < 100; i += 1) await step.run("s", () => ((begun += 1), (most = Math.max(most, begun - engine.entries.length))));
    });
    await dispatch(flow, invoke(), { mode, transport: engine });
    expect(begun).toBe(100);
    expect(most).toBeLessThanOrEqual(10);
    expect(engine.sent.length).toBeLessThanOrEqual(20);
    expect(engine.mostInFlight).toBe(1);
  });

  test("sends after everyMs while a body runs", async () => {
    const engine = new FakeEngine();
    const flow = workflow({ name: "flow" }, async (step) => {
      await step.run("quick", () => 1);
      await step.run("slow", () => until(() => engine.sent.length > 0));
    });
    await dispatch(flow, invoke(), { mode: { everyMs: 20, maxSteps: 100 }, transport: engine });
    expect(engine.sent[0]!.ops.map(({ key }) => key)).toEqual(["quick#0"]);
  });

  test("stops when another execution recorded something else", async () => {
    const engine = new FakeEngine();
    engine.before = () => void engine.record("s#0", "run", { value: "other" });
    const flow = workflow({ name: "flow" }, async (step) => {
      for (let i = 0; i < 50; i += 1) await step.run("s", () => i);
    });
    const reply = await dispatch(flow, invoke(), { mode: { everyMs: 5, maxSteps: 4 }, transport: engine });
    expect(reply.ops).toEqual([]);
  });

  test("a lost answer is no other execution", async () => {
    const engine = new FakeEngine();
    engine.before = (sent, number) => {
      if (number !== 1) return undefined;
      engine.answer(sent);
      return { status: 0, text: "lost" };
    };
    const flow = sequence(Array.from({ length: 30 }, (_, i) => `s${i}`));
    const reply = await dispatch(flow, invoke(), { mode: { everyMs: 5, maxSteps: 4 }, transport: engine });
    expect(reply.ops.at(-1)?.op).toBe("done");
  });
});

describe("return", () => {
  test("runs what is parallel and replies with all of it", async () => {
    const engine = new FakeEngine();
    const flow = workflow({ name: "flow" }, (step) => Promise.all([step.run("a", () => 1), step.run("b", () => wait(20)), step.sleep("c", 5)]));
    const reply = await dispatch(flow, invoke(), { transport: engine });
    expect(engine.sent).toHaveLength(0);
    expect(reply.ops.map(({ key }) => key).sort()).toEqual(["a#0", "b#0", "c#0"]);
    expect(reply.await).toEqual({ all: ["a#0", "b#0", "c#0"] });
  });

  test("a failure is looked at at once, whatever else a join waits for", async () => {
    const fail = () => {
      throw new NonRetriable("no");
    };
    const reply = await dispatch(workflow({ name: "flow" }, (step) => Promise.all([step.run("a", fail), step.sleep("b", "30d")])));
    expect(reply.ops).toHaveLength(2);
    expect(reply.await).toBeUndefined();
  });

  test("replies with no more ops than fit", async () => {
    const flow = workflow({ name: "flow" }, (step) => Promise.all(Array.from({ length: 12_000 }, () => step.run("s", () => 1))));
    const reply = await dispatch(flow);
    expect(reply.ops).toHaveLength(5_000);
    expect(reply.await).toBeUndefined();
  });
});

describe.each(MODES.slice(0, 2))("the engine takes the run away (%j)", (mode) => {
  test.each([409, 401, 404])("%i stops before the next body, aborts the running one and replies nothing", async (status) => {
    const engine = new FakeEngine();
    engine.before = () => ({ status, text: "{}" });
    const begun: string[] = [];
    let aborted: unknown;
    const flow = workflow({ name: "flow" }, async (step) => {
      const running = step.run("running", async ({ signal }) => {
        signal.addEventListener("abort", () => (aborted = signal.reason));
        await wait(300);
      });
      for (let i = 0; i < 500; i += 1) await step.run("s", () => (begun.push("s"), wait(1)));
      await running;
    });
    const reply = await dispatch(flow, invoke(), { mode, transport: engine });
    expect(reply.ops).toEqual([]);
    expect(engine.sent).toHaveLength(1);
    expect(aborted).toBeInstanceOf(Error);
    const count = begun.length;
    await wait(50);
    expect(begun).toHaveLength(count);
    expect(count).toBeLessThanOrEqual(mode === "each" ? 1 : 6);
  });

  test("a cancelled run stops, too", async () => {
    const engine = new FakeEngine();
    engine.extra = { cancelled: true };
    const begun: string[] = [];
    expect((await dispatch(sequence(Array(100).fill("s"), begun), invoke(), { mode, transport: engine })).ops).toEqual([]);
    expect(begun.length).toBeLessThanOrEqual(6);
  });

  test("a pause lets what runs end and begins nothing more", async () => {
    const engine = new FakeEngine();
    engine.extra = { pauseRequested: true };
    const begun: string[] = [];
    const reply = await dispatch(sequence(Array(100).fill("s"), begun), invoke(), { mode, transport: engine });
    expect(reply.await).toBeUndefined();
    expect(begun.length).toBeLessThanOrEqual(6);
    expect(engine.entries.length + reply.ops.length).toBe(begun.length);
  });
});

describe("checkpoints that go wrong", () => {
  test("no answer: the same is sent again, and the step runs once", async () => {
    const engine = new FakeEngine();
    engine.before = (_, number) => (number === 1 ? { status: 0, text: "ECONNRESET" } : undefined);
    const begun: string[] = [];
    const reply = await dispatch(sequence(["a", "b"], begun), invoke(), { mode: "each", transport: engine });
    expect(reply.ops).toEqual([{ op: "done", value: ["a", "b"] }]);
    expect(begun).toEqual(["a", "b"]);
    expect(engine.sent[1]!.ops).toEqual(engine.sent[0]!.ops);
  });

  test("503 is sent again after Retry-After", async () => {
    const engine = new FakeEngine();
    engine.before = (_, number) => (number === 1 ? { status: 503, text: "", retryAfterMs: 300 } : undefined);
    await dispatch(sequence(["a"]), invoke(), { mode: "each", transport: engine });
    expect(engine.sent[1]!.at - engine.sent[0]!.at).toBeGreaterThanOrEqual(290);
  });

  test("an engine that cannot be reached gets the results in the reply", async () => {
    vi.useFakeTimers();
    try {
      const engine = new FakeEngine();
      engine.before = () => ({ status: 0, text: "ECONNREFUSED" });
      const begun: string[] = [];
      const replied = dispatch(sequence(["a", "b"], begun), invoke(), { mode: "each", transport: engine });
      await vi.advanceTimersByTimeAsync(20_000);
      const reply = await replied;
      expect(reply).toMatchObject({ ops: [{ op: "result", key: "a#0", value: "a" }], await: "a#0" });
      expect(begun).toEqual(["a"]);
    } finally {
      vi.useRealTimers();
    }
  });

  test("422: the engine is shown the same in the reply, which pauses the run", async () => {
    const engine = new FakeEngine();
    engine.before = () => ({ status: 422, text: "{}" });
    const reply = await dispatch(sequence(["a"]), invoke(), { mode: "each", transport: engine });
    expect(reply.ops).toMatchObject([{ op: "result", key: "a#0" }]);
  });

  test("413: the step fails with what the engine says, and can be caught", async () => {
    const engine = new FakeEngine();
    engine.before = ({ ops }) => (ops[0]?.op === "result" && ops[0].key === "big#0" ? { status: 413, text: '{"detail":"the run has more than 1 GiB"}' } : undefined);
    const flow = workflow({ name: "flow" }, (step) => step.run("big", () => "x".repeat(10)).catch((error: Error) => `${error.name}: ${error.message}`));
    const reply = await dispatch(flow, invoke(), { mode: "each", transport: engine });
    expect(reply.ops).toEqual([{ op: "done", value: "TooLarge: the run has more than 1 GiB" }]);
  });

  test("a value that is larger than allowed is an error of its step before it is sent", async () => {
    const engine = new FakeEngine();
    const flow = workflow({ name: "flow" }, (step) => step.run("big", () => "x".repeat(2_000)));
    const reply = await dispatch(flow, invoke({ limits: { resultBytes: 1_000 } }), { mode: "each", transport: engine });
    expect(reply.ops).toMatchObject([{ op: "fail", error: { name: "TooLarge", code: "TOO_LARGE", message: expect.stringContaining("1000 are allowed") } }]);
  });

  test("so is an output that is larger than allowed", async () => {
    const reply = await dispatch(workflow({ name: "flow" }, () => "x".repeat(2_000)), invoke({ limits: { resultBytes: 1_000 } }));
    expect(reply.ops).toMatchObject([{ op: "fail", error: { name: "TooLarge", code: "TOO_LARGE", message: "the output has 2002 bytes of JSON; 1000 are allowed" } }]);
  });

  test("413 of a plan: the run has all that it may have", async () => {
    const engine = new FakeEngine();
    engine.before = ({ ops }) => (ops.length > 0 ? { status: 413, text: '{"detail":"the run has more than 1 GiB"}' } : undefined);
    const flow = workflow({ name: "flow" }, (step) => step.publish("mail", { url: "https://example.com/" }));
    const reply = await dispatch(flow, invoke(), { mode: "each", transport: engine });
    expect(reply.ops).toEqual([{ op: "fail", error: { name: "TooLarge", message: "the run has more than 1 GiB", code: "TOO_LARGE" } }]);
  });

  test("results of more than a reply takes are recorded by two", async () => {
    const large = "x".repeat(4_000_000);
    const flow = workflow({ name: "flow" }, async (step) => (await Promise.all([0, 1, 2, 3].map((n) => step.run(`big-${n}`, () => large)))).length);
    const first = await dispatch(flow);
    expect(first.ops.map(({ key }) => key)).toEqual(["big-0#0", "big-1#0", "big-2#0"]);
    expect(first.await).toBeUndefined();
    const second = await dispatch(flow, invoke({ journal: first.ops.map(({ key, value }, at) => ok(at + 1, key, value)) }));
    expect(second.ops.map(({ key }) => key)).toEqual(["big-3#0"]);
  });

  test("large values go in several requests", async () => {
    const engine = new FakeEngine();
    const flow = workflow({ name: "flow" }, async (step) => (await Promise.all(Array.from({ length: 8 }, () => step.run("s", () => "x".repeat(600_000))))).length);
    const reply = await dispatch(flow, invoke(), { mode: "each", transport: engine });
    expect(reply.ops).toEqual([{ op: "done", value: 8 }]);
    expect(engine.sent.length).toBeGreaterThanOrEqual(4);
  });
});

describe("the lease", () => {
  const lease = { ms: 120, renewMs: 40 };
  test.each(MODES.slice(0, 2))("is renewed while a body runs (%j)", async (mode) => {
    const engine = new FakeEngine();
    await dispatch(workflow({ name: "flow" }, (step) => step.run("slow", () => until(() => engine.sent.length >= 3))), invoke({ lease }), { mode, transport: engine });
    expect(engine.sent.slice(0, 3).map(({ ops }) => ops)).toEqual([[], [], []]);
  });

  test("is not in return mode", async () => {
    const engine = new FakeEngine();
    await dispatch(workflow({ name: "flow" }, (step) => step.run("slow", () => wait(150))), invoke({ lease }), { transport: engine });
    expect(engine.sent).toHaveLength(0);
  });

  test("is renewed by checkpoints that go anyway", async () => {
    const engine = new FakeEngine();
    const busy = workflow({ name: "flow" }, async (step) => {
      for (let i = 0; i < 30; i += 1) await step.run("s", () => wait(20));
    });
    await dispatch(busy, invoke({ lease: { ms: 900, renewMs: 300 } }), { mode: "each", transport: engine });
    expect(engine.sent.filter(({ ops }) => ops.length === 0)).toHaveLength(0);
  });

  test("a renewal brings what has come in meanwhile", async () => {
    const engine = new FakeEngine();
    let after = false;
    const flow = workflow({ name: "flow" }, async (step) => {
      const slow = step.run("slow", () => until(() => after));
      const seen = await step.waitForSignal("go");
      return [seen, await step.run("after", () => (after = true)), await slow];
    });
    engine.before = ({ ops }) => void (ops.length === 0 && engine.record("go#0", "signal", { value: "now" }));
    const reply = await dispatch(flow, invoke({ lease }), { mode: "each", transport: engine });
    expect(reply.ops).toEqual([{ op: "done", value: ["now", true, null] }]);
    expect(engine.entries[0]).toMatchObject({ key: "go#0" });
  });
});

describe("the budget", () => {
  const many = (begun: string[]) =>
    workflow({ name: "flow" }, async (step) => {
      for (let i = 0; i < 1_000; i += 1) await step.run("s", () => (begun.push("s"), wait(10)));
    });

  test("near its end no body begins, and the reply has no await", async () => {
    const begun: string[] = [];
    const reply = await dispatch(many(begun), invoke({ run: { budgetMs: 300 } }), { mode: "each", transport: new FakeEngine() });
    expect(begun.length).toBeLessThan(100);
    expect(reply).toEqual({ v: 1, have: begun.length, ops: [] });
  });

  test("a retry that is due later does not hold up steps that had no time left", async () => {
    const engine = new FakeEngine();
    const flow = workflow({ name: "flow" }, async (step) => {
      const flaky = step.run("flaky", () => wait(150).then(() => Promise.reject(new Error("no"))));
      const rest = step.run("long", () => wait(195)).then(() => step.run("next", () => 1));
      await Promise.all([flaky, rest]);
    });
    const reply = await dispatch(flow, invoke({ run: { budgetMs: 200 } }), { mode: "each", transport: engine });
    // Without ops and without await the engine comes again at once.
    expect(reply).toMatchObject({ ops: [], have: 1 });
    expect(reply.await).toBeUndefined();
    expect(engine.sent.flatMap(({ ops }) => ops).map(({ key, retry }) => [key, retry !== undefined])).toEqual([["flaky#0", true], ["long#0", false]]);
  });

  test("a host may allow less", async () => {
    const begun: string[] = [];
    await dispatch(many(begun), invoke(), { mode: "each", budgetMs: 200, transport: new FakeEngine() });
    expect(begun.length).toBeLessThan(100);
  });

  test("a body that had all of it and did not end has used an attempt; its signal aborted", async () => {
    vi.useFakeTimers();
    try {
      let aborted = false;
      const flow = workflow({ name: "flow" }, (step) => step.run("endless", ({ signal }) => new Promise(() => signal.addEventListener("abort", () => (aborted = true)))));
      const replied = dispatch(flow, invoke({ run: { budgetMs: 1_000 } }), { mode: "each" });
      await vi.advanceTimersByTimeAsync(10_000);
      expect((await replied).ops).toMatchObject([{ op: "error", key: "endless#0", attempt: 1, error: { name: "StepTimeout" }, retry: { afterMs: 1_000 } }]);
      expect(aborted).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });

  test("one that began late has not", async () => {
    vi.useFakeTimers();
    try {
      const flow = workflow({ name: "flow" }, async (step) => {
        await step.run("first", () => wait(600));
        await step.run("endless", () => new Promise(() => {}));
      });
      const replied = dispatch(flow, invoke({ run: { budgetMs: 1_000 } }), { mode: "each" });
      await vi.advanceTimersByTimeAsync(10_000);
      expect((await replied).ops).toMatchObject([{ op: "error", key: "endless#0", retry: { afterMs: 0, free: true } }]);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("the journal", () => {
  test("is read in pages before the code runs", async () => {
    const engine = new FakeEngine();
    engine.pages.set("p2", { entries: [ok(2, "b#0", "B")], seq: 2, next: "p3" });
    engine.pages.set("p3", { entries: [ok(3, "c#0", "C")], seq: 3, next: null });
    const begun: string[] = [];
    const reply = await dispatch(sequence(["a", "b", "c"], begun), invoke({ journal: [ok(1, "a#0", "A")], next: "p2" }), { transport: engine });
    expect(begun).toEqual([]);
    expect(reply).toEqual({ v: 1, have: 3, ops: [{ op: "done", value: ["A", "B", "C"] }] });
  });

  test("of a checkpoint's answer has pages, too", async () => {
    const engine = new FakeEngine();
    engine.before = ({ ops }) => {
      if (ops[0]?.key !== "a#0") return undefined;
      return { status: 200, text: JSON.stringify({ v: 1, journal: { entries: [ok(1, "a#0", "A")], seq: 1, next: "more" } }) };
    };
    engine.pages.set("more", { entries: [ok(2, "go#0", "signalled", "signal")], seq: 2, next: null });
    const flow = workflow({ name: "flow" }, (step) => Promise.all([step.run("a", () => "A"), step.waitForSignal("go")]));
    const reply = await dispatch(flow, invoke(), { mode: "each", transport: engine });
    expect(reply).toEqual({ v: 1, have: 2, ops: [{ op: "done", value: ["A", "signalled"] }] });
  });

  test("that cannot be read ends the dispatch with an error, before any code runs", async () => {
    vi.useFakeTimers();
    try {
      const engine = new FakeEngine();
      engine.get = async () => ({ status: 500, text: "" });
      const begun: string[] = [];
      const replied = dispatch(sequence(["a"], begun), invoke({ next: "p2" }), { transport: engine });
      const refused = expect(replied).rejects.toThrow("the journal cannot be read: the engine answered 500");
      await vi.advanceTimersByTimeAsync(20_000);
      await refused;
      expect(begun).toEqual([]);
    } finally {
      vi.useRealTimers();
    }
  });

  test("of 10,000 steps and 32 MB replays without running a body", async () => {
    const value = { pad: "x".repeat(3_200) };
    const journal = Array.from({ length: 10_000 }, (_, i) => ok(i + 1, `s#${i}`, { i, ...value }));
    let begun = 0;
    const flow = workflow({ name: "flow" }, async (step) => {
      let sum = 0;
      for (let i = 0; i < 10_000; i += 1) sum += (await step.run("s", () => ((begun += 1), { i, ...value }))).i;
      return sum;
    });
    const reply = await dispatch(flow, invoke({ journal }));
    expect(begun).toBe(0);
    expect(reply.ops).toEqual([{ op: "done", value: (10_000 * 9_999) / 2 }]);
  });
});

describe("replay", () => {
  test("settles one entry at a time: what follows it runs before the next, as it did at first", async () => {
    const order: string[] = [];
    const branch = async (step: Step, name: string, hops: number) => {
      await step.run(name, () => name);
      for (let i = 0; i < hops; i += 1) await null;
      order.push(`${name} ${step.random()}`);
    };
    const flow = workflow({ name: "flow" }, (step) => Promise.all([branch(step as Step, "far", 40), branch(step as Step, "near", 0)]));
    await dispatch(flow, invoke({ journal: [ok(1, "far#0", 1), ok(2, "near#0", 2)] }));
    expect(order.map((line) => line.split(" ")[0])).toEqual(["far", "near"]);
  });

  test("code that does something short besides its steps is not taken for diverged", async () => {
    const flow = workflow({ name: "flow" }, async (step) => {
      const late = (async () => {
        await wait(20);
        return step.run("late", () => "never");
      })();
      return [await step.run("new", () => "new"), await late];
    });
    const engine = new FakeEngine([ok(1, "late#0", "late")]);
    const reply = await dispatch(flow, invoke({ journal: engine.entries }), { mode: "each", transport: engine });
    expect(reply.ops).toEqual([{ op: "done", value: ["new", "late"] }]);
  });

  test("a step that is parked enters neither catch nor finally", async () => {
    const entered: string[] = [];
    const flow = workflow({ name: "flow" }, async (step) => {
      try {
        await step.sleep("nap", "1h");
      } catch {
        entered.push("catch");
      } finally {
        entered.push("finally");
      }
    });
    await dispatch(flow);
    await wait(20);
    expect(entered).toEqual([]);
  });

  test("after the reply nothing of the code goes on", async () => {
    const engine = new FakeEngine();
    const gate = deferred();
    const begun: string[] = [];
    const flow = workflow({ name: "flow" }, async (step) => {
      void gate.promise.then(() => step.run("late", () => begun.push("late")));
      await step.sleep("nap", "1h");
    });
    await dispatch(flow, invoke(), { mode: "each", transport: engine });
    gate.resolve();
    await wait(30);
    expect(begun).toEqual([]);
    expect(engine.sent).toHaveLength(0);
  });

  test("a step within a step is refused, instead of waiting for itself", async () => {
    const flow = workflow({ name: "flow" }, (step) => step.run("outer", () => step.sleep("inner", "1h")));
    const reply = await dispatch(flow, invoke(), { mode: "each" });
    expect(reply.ops).toMatchObject([{ op: "fail", error: { name: "InvalidStep", message: "step inner was asked for within step outer#0: a step cannot contain steps" } }]);
  });

  test("a failed step that nobody waits for does not end the process", async () => {
    const flow = workflow({ name: "flow" }, async (step) => {
      void step.run("bad", () => {
        throw new NonRetriable("nobody looks");
      });
      await step.run("good", () => wait(20));
      return "fine";
    });
    const reply = await dispatch(flow, invoke(), { mode: "each" });
    expect(reply.ops).toEqual([{ op: "done", value: "fine" }]);
  });
});

describe("a journal that others wrote", () => {
  const told = (error: unknown) => invoke({ journal: [{ seq: 1, key: "child#0", kind: "child", state: "error", error } as never] });
  const parent = workflow({ name: "flow" }, async (step) => {
    try {
      return await step.invoke("child", "other");
    } catch (error) {
      return (error as Error).name;
    }
  });

  test("may have an error whose cause is null", async () => {
    const reply = await dispatch(parent, told({ name: "ChildCancelled", message: "cancelled", cause: null }));
    expect(reply.ops).toEqual([{ op: "done", value: "ChildCancelled" }]);
  });

  test("that cannot be read fails the dispatch, and nothing else of the process", async () => {
    await expect(dispatch(parent, told({ name: "AggregateError", message: "", data: { errors: [null] } }))).rejects.toThrow(TypeError);
  });
});

describe("a step that was removed", () => {
  const shorter = workflow({ name: "flow" }, async (step) => {
    await step.run("a", () => 1);
    return step.waitForSignal("go");
  });
  const go = (seq: number) => ({ seq, key: "go#0", kind: "signal", state: "ok", value: 1 }) as never;

  test("is noticed when the code ends, if it was recorded before something the code came to", async () => {
    const reply = await dispatch(shorter, invoke({ journal: [ok(1, "a#0", 1), ok(2, "b#0", 2), go(3)] }));
    expect(reply.ops).toMatchObject([{ op: "diverged", diff: { expected: [{ key: "b#0", kind: "run" }], asked: [] } }]);
  });

  test("is no matter when it was recorded after the code had ended", async () => {
    const reply = await dispatch(shorter, invoke({ journal: [ok(1, "a#0", 1), go(2), ok(3, "b#0", 2)] }));
    expect(reply.ops).toEqual([{ op: "done", value: 1 }]);
  });
});

describe("mistakes end a step, never the process", () => {
  const thrown = (code: (step: Step) => unknown) => dispatch(workflow({ name: "flow" }, async (step) => {
    try {
      return await code(step);
    } catch (error) {
      return `${(error as Error).name}: ${(error as Error).message}`;
    }
  }), invoke(), { mode: "return" }).then(({ ops }) => JSON.stringify(ops));

  test.each([
    ["a backoff that is none", (step: Step) => step.run("a", () => 1, { backoff: { type: "fixed", initial: "10y" as never } })],
    ["a factor that shrinks", (step: Step) => step.run("a", () => 1, { backoff: { factor: NaN } })],
    ["no attempt at all", (step: Step) => step.run("a", () => 1, { maxAttempts: 0 })],
    ["a time of nothing", (step: Step) => step.run("a", () => 1, { timeoutMs: 0 })],
    ["a step without a body", (step: Step) => step.run("a", undefined as never)],
    ["a sleep of more than ten years", (step: Step) => step.sleep("a", "4000d")],
    ["a sleep of nobody knows how long", (step: Step) => step.sleep("a", undefined as never)],
    ["a sleep until the year 10000", (step: Step) => step.sleepUntil("a", 253_402_300_800_000)],
    ["a timeout of more than ten years", (step: Step) => step.waitForSignal("a", { timeout: "4000d" })],
    ["a policy with a slip", (step: Step) => step.approval("a", { policy: { rolez: ["admin"] } as never })],
    ["a match that an absent value would widen", (step: Step) => step.waitForEvent("a", { match: { "data.id": undefined } })],
    ["a detail of too many levels", (step: Step) => step.approval("a", { detail: JSON.parse(`${"[".repeat(129)}${"]".repeat(129)}`) as never })],
    ["a message that is none", (step: Step) => step.publish("a", undefined as never)],
    ["an op of more than a request takes", (step: Step) => step.publish("a", { url: "https://example.com/", body: "x".repeat(6_000_000) }), "TooLarge"],
    ["an input of more than a value may have", (step: Step) => step.invoke("a", "kid", "x".repeat(4_194_303)), "TooLarge"],
    ["an input of the next run of more than that", (step: Step) => step.continueAsNew("x".repeat(4_194_303)), "TooLarge"],
    ["half a surrogate pair in a name", (step: Step) => step.run("a\ud800", () => 1)],
  ])("%s is thrown where it stands", async (_, code, name = "InvalidStep") => {
    expect(await thrown(code)).toContain(`"value":"${name}: `);
  });

  test.each([
    ["an input that just fits", (step: Step) => step.invoke("a", "kid", "x".repeat(4_194_302)), "child"],
    ["a sleep until before time began", (step: Step) => step.sleepUntil("a", -1), "sleep"],
    ["the longest sleep", (step: Step) => step.sleep("a", "3650d"), "sleep"],
    ["the latest time", (step: Step) => step.sleepUntil("a", 253_402_300_799_999), "sleep"],
  ])("%s is sent", async (_, code, op) => {
    expect(JSON.parse(await thrown(code))).toMatchObject([{ op, key: "a#0" }]);
  });

  test.each([
    ["of many levels", () => Object.assign(new Error("deep"), { data: JSON.parse(`${"[".repeat(200)}${"]".repeat(200)}`) as unknown }), { message: "deep" }],
    ["with a message that is cut within a pair", () => new Error(`${"m".repeat(999)}\u{1F600}`.padEnd(70_000, "m")), { message: `${"m".repeat(999)}\ufffd` }],
    ["with half a pair in its data", () => Object.assign(new Error("x"), { data: { a: "\ud800" } }), { message: "x", data: { a: "\ufffd" } }],
  ])("an error %s is what the engine takes", async (_, make, error) => {
    const flow = workflow({ name: "flow" }, (step) => step.run("a", () => { throw make(); }, { maxAttempts: 1 }));
    const { ops } = await dispatch(flow, invoke(), { mode: "return" });
    const { stack: _stack, ...got } = ops[0]!["error"] as { stack?: string };
    expect(got).toEqual({ name: "Error", ...error });
  });

  test("an error whose name every object has comes back as an error", async () => {
    const flow = workflow({ name: "flow" }, (step) => step.run("a", () => 1).catch((error: Error) => [error instanceof Error, error.name, error.message]));
    const journal = [{ seq: 1, key: "a#0", kind: "run" as const, state: "error" as const, error: { name: "constructor", message: "m" } }];
    expect((await dispatch(flow, invoke({ journal }))).ops).toEqual([{ op: "done", value: [true, "constructor", "m"] }]);
  });

  test.each([
    ["a NUL", () => new Error("a\0b"), "a\ufffdb"],
    ["half a surrogate pair", () => new Error("a\ud800b"), "a\ufffdb"],
    ["a getter that throws", () => Object.defineProperty(new Error("x"), "message", { get: () => { throw new Error("no"); } }), "what was thrown cannot be shown"],
  ])("an error with %s is recorded", async (_, make, message) => {
    const flow = workflow({ name: "flow" }, (step) => step.run("a", () => { throw make(); }, { maxAttempts: 1 }));
    const { ops } = await dispatch(flow, invoke(), { mode: "return" });
    expect(ops).toMatchObject([{ op: "error", key: "a#0", error: { message } }]);
  });
});
