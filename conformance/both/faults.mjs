// Checks over a bad line (`line.mjs`): whatever is lost, doubled or late, every run ends with the right output and each step is recorded once.

import assert from "node:assert/strict";
import { check } from "../report.mjs";

const END_MS = 240_000;
const keysOf = (n, name) => Array.from({ length: n }, (_, i) => `${name}#${i}`).sort();

/** The steps of a run as they were recorded. */
async function recorded(t, run) {
  const keys = [];
  for (let cursor = null; ;) {
    const page = await t.call("GET", `/v1/runs/${run}/steps?limit=200${cursor ? `&cursor=${cursor}` : ""}`, undefined, 200);
    keys.push(...page.data.map((step) => step.key));
    cursor = page.nextCursor;
    if (!cursor) return keys.sort();
  }
}

for (const [workflow, input, output, keys] of [
  ["kit-long", { n: 50, ms: 5 }, { sum: 1_225 }, keysOf(50, "s")],
  ["kit-wide", { n: 30, ms: 20 }, { sum: 435 }, keysOf(30, "w")],
  ["kit-parallel", { leftMs: 30, rightMs: 60 }, ["left", "middle", "right"], ["left#0", "middle#0", "right#0"]],
  ["kit-children", { n: 5 }, Array(5).fill({ n: 3 }), keysOf(5, "sub")],
  ["kit-retry", { failures: 2, maxAttempts: 30 }, undefined, ["flaky#0"]],
  ["kit-sleep", { ms: 300 }, "awake", ["after#0", "nap#0"]],
]) {
  check(`over a bad line ${workflow} with ${JSON.stringify(input)} completes, each step recorded once`, { workflow, faults: true }, async (t) => {
    const runs = await Promise.all(Array.from({ length: 6 }, () => t.start(workflow, input)));
    for (const run of runs) {
      const given = await t.done(run, END_MS);
      if (output !== undefined) assert.deepEqual(given, output);
      assert.deepEqual(await recorded(t, run), keys);
      // What the engine does itself has no body.
      t.count(keys.filter((key) => !/^(sub|nap)#/.test(key)).length, (await t.bodies(run)).length);
    }
  });
}

check("over a bad line signals arrive each once, in order", { workflow: "kit-signals", faults: true }, async (t) => {
  const runs = await Promise.all(Array.from({ length: 6 }, () => t.start("kit-signals", {})));
  for (const run of runs) for (const value of [1, 2]) await t.signal(run, "go", value);
  for (const run of runs) assert.deepEqual(await t.done(run, END_MS), [1, 2]);
});
