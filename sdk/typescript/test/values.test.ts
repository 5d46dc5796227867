// What goes through the journal: values, errors, times, random numbers.

import { describe, expect, test } from "vitest";

import { InvalidValue, NonRetriable, workflow } from "../src/index.js";
import { milliseconds } from "../src/duration.js";
import { encodeError, fromWire } from "../src/errors.js";
import { Seeded } from "../src/seed.js";
import { sha256 } from "../src/sha256.js";
import { FakeEngine, SEED, dispatch, invoke, ok } from "./fake.js";

/** What the code gets for a step's value: when it has just run, and in a replay. */
async function roundTrip(value: unknown): Promise<unknown[]> {
  const engine = new FakeEngine();
  const seen: unknown[] = [];
  const flow = workflow({ name: "flow" }, async (step) => void seen.push(await step.run("s", () => value)));
  await dispatch(flow, invoke(), { mode: "each", transport: engine });
  await dispatch(flow, invoke({ journal: [ok(1, "s#0", engine.entries[0]!.value)] }));
  return seen;
}

describe("values", () => {
  test.each([0, -1.5, 1e300, false, true, "", "ü\u0000\ud83e\udd80", null, [], {}, [0, "", null, false, [1]], { a: { b: [{}] } }])("%j comes back as it was", async (value) => {
    expect(await roundTrip(value)).toEqual([value, value]);
  });

  test("undefined is null, and a field that is undefined is left out", async () => {
    expect(await roundTrip(undefined)).toEqual([null, null]);
    expect(await roundTrip({ a: undefined, b: 1 })).toEqual([{ b: 1 }, { b: 1 }]);
  });

  test("a Date is its ISO text at once, not only in a replay", async () => {
    const at = new Date("2026-11-21T10:00:00Z");
    expect(await roundTrip({ at })).toEqual(Array(2).fill({ at: "2026-11-21T10:00:00.000Z" }));
  });

  const cycle: Record<string, unknown> = { name: "cycle" };
  cycle["self"] = { cycle };
  test.each([
    ["a BigInt", { total: 10n }, "/total"],
    ["a function", { call: () => 1 }, "/call"],
    ["a symbol", [Symbol("x")], "/0"],
    ["NaN", { deep: [{ x: NaN }] }, "/deep/0/x"],
    ["infinity", Infinity, "Infinity"],
    ["a Map", { map: new Map([[1, 2]]) }, "/map"],
    ["a Set", new Set([1]), "Set"],
    ["bytes", { bytes: new Uint8Array(3) }, "base64"],
    ["a Buffer", Buffer.from("x"), "base64"],
    ["an invalid Date", { at: new Date("never") }, "/at"],
    ["a promise within", { later: Promise.resolve(1) }, "awaited"],
    ["a cycle", cycle, "refers to itself"],
  ])("%s is refused when it is recorded, with its place", async (_, value, place) => {
    const flow = workflow({ name: "flow" }, (step) => step.run("s", () => value as never));
    const [op] = (await dispatch(flow)).ops;
    expect(op).toMatchObject({ op: "error", key: "s#0", error: { code: "NOT_RECORDABLE", message: expect.stringContaining(place) } });
    expect(op!["retry"]).toBeUndefined();
  });

  test("an output that cannot be recorded fails the run", async () => {
    expect((await dispatch(workflow({ name: "flow" }, () => ({ n: 1n })))).ops).toMatchObject([{ op: "fail", error: { code: "NOT_RECORDABLE" } }]);
  });

  test("a step's arguments are recorded as they were when it was asked for", async () => {
    const flow = workflow({ name: "flow" }, async (step) => {
      const input = { n: 1 };
      const child = step.invoke("sub", "other", input);
      input.n = 2;
      await child;
    });
    expect((await dispatch(flow)).ops[0]).toMatchObject({ input: { n: 1 } });
  });
});

describe("errors", () => {
  /** What the code catches, live and in a replay. */
  async function caught(thrown: unknown): Promise<[any, any]> {
    const engine = new FakeEngine();
    const seen: unknown[] = [];
    const fail = () => {
      throw thrown;
    };
    const flow = workflow({ name: "flow" }, (step) => step.run("s", fail, { maxAttempts: 1 }).catch((error: unknown) => void seen.push(error)));
    await dispatch(flow, invoke(), { mode: "each", transport: engine });
    await dispatch(flow, invoke({ journal: JSON.parse(JSON.stringify(engine.entries)) }));
    return seen as [unknown, unknown];
  }

  test("keep name, message, stack, code, data and causes", async () => {
    const root = Object.assign(new RangeError("root"), { code: 42 });
    const thrown = Object.assign(new Error("declined", { cause: root }), { name: "PayError", code: "E_PAY", data: { amount: 5 } });
    for (const error of await caught(thrown)) {
      expect(error).toBeInstanceOf(Error);
      expect(error).toMatchObject({ name: "PayError", message: "declined", code: "E_PAY", data: { amount: 5 }, stack: thrown.stack });
      expect(error.cause).toBeInstanceOf(RangeError);
      expect(error.cause).toMatchObject({ message: "root", code: 42, stack: root.stack });
      expect(String(error)).toBe("PayError: declined");
    }
  });

  test("of the standard classes come back as instances of them", async () => {
    for (const error of await caught(new TypeError("x"))) expect(error).toBeInstanceOf(TypeError);
  });

  test("AggregateError keeps its errors", async () => {
    for (const error of await caught(new AggregateError([new TypeError("one"), new Error("two")], "both"))) {
      expect(error).toBeInstanceOf(AggregateError);
      expect(error.message).toBe("both");
      expect(error.errors.map((each: Error) => `${each}`)).toEqual(["TypeError: one", "Error: two"]);
      expect(error.errors[0]).toBeInstanceOf(TypeError);
    }
  });

  test("that are none are errors", async () => {
    for (const error of await caught("just text")) expect(error).toMatchObject({ name: "Error", message: "just text" });
    for (const error of await caught({ reason: "object" })) expect(error).toMatchObject({ name: "Error", data: { reason: "object" } });
    for (const error of await caught(undefined)) expect(error).toBeInstanceOf(Error);
  });

  test("that are large are shortened: stacks first, causes last, to 64 KiB", () => {
    const cause = new Error("the cause");
    const large = new Error("large", { cause });
    large.stack = "at frame\n".repeat(20_000);
    const stacks = JSON.parse(encodeError(large));
    expect(stacks).toMatchObject({ message: "large", cause: { message: "the cause", stack: expect.stringContaining("the cause") } });
    const huge = Object.assign(new Error("ü".repeat(100_000), { cause }), { data: "x".repeat(100_000) });
    const text = encodeError(huge);
    expect(new TextEncoder().encode(text).length).toBeLessThan(65_536);
    expect(JSON.parse(text).cause).toMatchObject({ message: "the cause" });
  });

  test("that refer to themselves end somewhere", () => {
    const error: Error = new Error("loop");
    error.cause = error;
    expect(fromWire(JSON.parse(encodeError(error))).cause).toBeInstanceOf(Error);
  });

  test("of the SDK are told apart by their names", () => {
    expect(new NonRetriable("x", { cause: 1 })).toMatchObject({ name: "NonRetriable", cause: 1 });
    expect(new InvalidValue("the input", [{ message: "too small", path: "n" }]).message).toBe("the input is not valid: n: too small");
  });
});

describe("durations", () => {
  test.each([
    [0, 0],
    [1.2, 2],
    ["500ms", 500],
    ["90s", 90_000],
    ["1h30m", 5_400_000],
    ["7d", 604_800_000],
    ["0.5h", 1_800_000],
    ["2w", 1_209_600_000],
  ] as const)("%j", (duration, ms) => {
    expect(milliseconds(duration)).toBe(ms);
  });
  test.each(["", "7", "7 days", "d7", "-1s", -1, NaN, Infinity])("%j is none", (duration) => {
    expect(() => milliseconds(duration as never)).toThrow(TypeError);
  });
});

describe("what must replay", () => {
  test("random numbers and ids come from the run's seed", async () => {
    const seen: unknown[] = [];
    const flow = workflow({ name: "flow" }, async (step) => {
      seen.push([step.random(), step.uuid(), step.random()]);
      await step.sleep("s", 1);
    });
    await dispatch(flow);
    await dispatch(flow);
    expect(seen[0]).toEqual(seen[1]);
    await dispatch(flow, invoke({ run: { seed: "f".repeat(32) } }));
    expect(seen[2]).not.toEqual(seen[0]);
  });

  test("they are spread evenly, and ids are UUIDs of version 4", () => {
    const seeded = new Seeded(SEED);
    const numbers = Array.from({ length: 10_000 }, () => seeded.random());
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...numbers)).toBeLessThan(1);
    expect(numbers.reduce((sum, each) => sum + each) / 10_000).toBeCloseTo(0.5, 1);
    const ids = new Set(Array.from({ length: 1_000 }, () => seeded.uuid()));
    expect(ids.size).toBe(1_000);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test("the time is a step", async () => {
    const flow = workflow({ name: "flow" }, async (step) => (await step.now()).toISOString());
    expect((await dispatch(flow)).ops).toMatchObject([{ op: "result", key: "now#0" }]);
    expect((await dispatch(flow, invoke({ journal: [ok(1, "now#0", 1_800_000_000_000)] }))).ops).toEqual([{ op: "done", value: "2027-01-15T08:00:00.000Z" }]);
  });
});

test("SHA-256 of what FIPS 180-4 has as examples", () => {
  const hex = (text: string) => Buffer.from(sha256(new TextEncoder().encode(text))).toString("hex");
  expect(hex("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  expect(hex("")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  expect(hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).toBe("248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
});
