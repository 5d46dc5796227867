// Random programs under random faults, in each mode: every run completes, nothing recorded runs again, and a replay of the journal comes to the same end.

import { describe, expect, test } from "vitest";

import { workflow } from "../src/index.js";
import type { Mode, Step } from "../src/index.js";
import { MemoryEngine } from "../src/memory/engine.js";
import type { MemoryRun } from "../src/memory/run.js";
import { Seeded } from "../src/seed.js";
import { dispatch, invoke } from "./fake.js";

type Node =
  | { do: "run"; name: string; failures: number; ms: number }
  | { do: "sleep"; name: string; ms: number }
  | { do: "child"; name: string }
  | { do: "all" | "race" | "seq"; parts: Node[] };

function program(dice: Seeded, depth: number): Node {
  const roll = dice.random();
  // Few names: occurrences are to be many.
  const name = `n${Math.floor(dice.random() * 4)}`;
  if (depth === 0 || roll < 0.35) return { do: "run", name, failures: dice.random() < 0.3 ? Math.floor(dice.random() * 3) : 0, ms: Math.floor(dice.random() * 3) };
  if (roll < 0.45) return { do: "sleep", name: `z${name}`, ms: Math.floor(dice.random() * 5_000) };
  if (roll < 0.5) return { do: "child", name: `c${name}` };
  const parts = Array.from({ length: 1 + Math.floor(dice.random() * 3) }, () => program(dice, depth - 1));
  return { do: roll < 0.65 ? "all" : roll < 0.75 ? "race" : "seq", parts };
}

interface Log {
  begun: string[];
  failed: Map<string, number>;
}
/** Runs a program; its value tells what it came to, race by race. */
async function perform(step: Step, node: Node, log: Log): Promise<unknown> {
  switch (node.do) {
    case "sleep":
      return step.sleep(node.name, node.ms);
    case "child":
      return step.invoke(node.name, "child", { random: step.random() });
    case "seq": {
      const values = [];
      for (const part of node.parts) values.push(await perform(step, part, log));
      return values;
    }
    case "all":
      return Promise.all(node.parts.map((part) => perform(step, part, log)));
    case "race":
      return Promise.race(node.parts.map(async (part, at) => [at, await perform(step, part, log)]));
    case "run": {
      const { name, failures, ms } = node;
      const body = async ({ key }: { key: string }) => {
        log.begun.push(key);
        if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
        const failed = log.failed.get(key) ?? 0;
        if (failed < failures) {
          log.failed.set(key, failed + 1);
          throw new Error(`failure ${failed}`);
        }
        return `${name} ${step.random() >= 0}`;
      };
      return step.run(name, body, { maxAttempts: 100, backoff: { type: "fixed", initial: 500 } });
    }
  }
}

const child = workflow({ name: "child" }, (step, input: { random: number }) => step.run("echo", () => input.random));

async function simulate(seed: number, mode: Mode): Promise<void> {
  const dice = new Seeded(seed.toString(16).padStart(32, "5"));
  const tree: Node = { do: "seq", parts: Array.from({ length: 4 }, () => program(dice, 3)) };
  const log: Log = { begun: [], failed: new Map() };
  const flow = workflow({ name: "flow" }, (step) => perform(step as Step, tree, log));
  const recordedAt = new Map<string, number>();
  let disturbances = 0;
  const disturb = (run: MemoryRun) => {
    for (const { key, kind } of run.entries) if (kind === "run" && !recordedAt.has(`${run.id}/${key}`)) recordedAt.set(`${run.id}/${key}`, log.begun.length);
    if (disturbances > 20 || dice.random() > 0.15) return undefined;
    disturbances += 1;
    return (["lost", "busy", "stale"] as const)[Math.floor(dice.random() * 3)];
  };
  const engine = new MemoryEngine({ mode, startAt: 0, workflows: [flow, child], middleware: [], disturb });
  const run = engine.start("flow", null);
  await engine.settle();
  for (let hours = 0; !run.over && hours < 20; hours += 1) await engine.advance(3_600_000);

  expect(run.status, JSON.stringify({ reason: run.pauseReason, diff: run.diff, error: run.error, pending: [...run.pending.keys()] })).toBe("completed");
  expect(new Set(run.entries.map(({ key }) => key)).size).toBe(run.entries.length);
  // What was recorded when a checkpoint went out has not begun afterwards.
  for (const [key, at] of recordedAt) expect(log.begun.lastIndexOf(key), key).toBeLessThan(at);
  // The journal alone leads to the same end, without a body.
  const begun = log.begun.length;
  const replayed = await dispatch(flow, invoke({ journal: structuredClone(run.entries), run: { id: run.id, seed: run.seed } }));
  expect(replayed.ops).toEqual([{ op: "done", value: run.output }]);
  expect(log.begun).toHaveLength(begun);
}

const SEEDS = Number(process.env["SEEDS"] ?? 60);
describe.each<[string, Mode]>([
  ["each", "each"],
  ["batched", { everyMs: 2, maxSteps: 4 }],
  ["return", "return"],
])("%s", (_, mode) => {
  test(`${SEEDS} programs`, { timeout: 120_000 }, async () => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      await simulate(seed, mode).catch((error: Error) => {
        error.message = `seed ${seed}: ${error.message}`;
        throw error;
      });
    }
  });
});
