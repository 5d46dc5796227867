// Checks: a run is dispatched when its await tree can resolve, and not before.

import assert from "node:assert/strict";
import { check } from "../report.mjs";
import { done, reply, result, signal } from "./flow.mjs";

const SIGNALS = ["a", "b", "c", "d"].map((name) => signal(`${name}#0`, name));

/** A run that waits for four signals in a tree; the second dispatch is the last. */
async function treed(t, tree) {
  const run = await (await t.flow([reply(SIGNALS, tree), reply(done(1))])).start(1);
  await run.until("waiting");
  return run;
}

for (const [what, tree, early, last] of [
  ["one key", "a#0", ["b", "c"], "a"],
  ["all of two", { all: ["a#0", "b#0"] }, ["b", "c"], "a"],
  ["any of two", { any: ["a#0", "b#0"] }, ["c", "d"], "b"],
  ["any of all", { any: [{ all: ["a#0", "b#0"] }, { all: ["c#0", "d#0"] }] }, ["a", "c"], "d"],
  ["all of any", { all: [{ any: ["a#0", "b#0"] }, { any: ["c#0", "d#0"] }] }, ["a", "b"], "c"],
  ["a nested tree", { all: [{ any: [{ all: ["a#0", "b#0"] }, "c#0"] }, "d#0"] }, ["a", "d"], "b"],
  ["a key twice", { all: ["a#0", "a#0"] }, ["b"], "a"],
]) {
  check(`a run that waits for ${what} is dispatched by the last signal it needs`, {}, async (t) => {
    const run = await treed(t, tree);
    for (const name of early) await run.signal(name, name);
    await run.quiet(400);
    await run.signal(last, last);
    const { entries } = (await run.invoke(2)).journal;
    assert.deepEqual(entries.map((entry) => entry.value), [...early, last], "in the order of the signals");
  });
}

check("a tree whose keys are all there is dispatched at once", {}, async (t) => {
  const run = await (await t.flow([reply([result("a#0", 1), result("b#0", 2)], { all: ["a#0", "b#0"] }), reply(done(1))])).start(1);
  await run.output();
});

check("a tree of deep levels and many leaves works", {}, async (t) => {
  const keys = Array.from({ length: 1_000 }, (_, i) => `w#${i}`);
  let tree = { any: [...keys.slice(0, 999), { all: ["w#999"] }] };
  for (let level = 2; level < 32; level += 1) tree = { all: [tree] };
  const run = await (await t.flow([reply(keys.map((key) => signal(key, key.replace("#", "-"))), tree), reply(done(1))])).start(1);
  await run.until("waiting");
  await run.signal("w-999", 1);
  assert.equal((await run.invoke(2)).journal.entries[0].key, "w#999");
});

check("a leaf that is neither finished nor planned dispatches the run at once, and counts as no progress", {}, async (t) => {
  const run = await (await t.flow(() => reply([], { all: ["ghost#0"] }))).start(1);
  await run.until("paused");
  assert.ok(run.invokes.length >= 9 && run.invokes.length <= 11, `${run.invokes.length} dispatches`);
});

check("all of nothing is there: dispatched at once", {}, async (t) => {
  const run = await (await t.flow([reply([], { all: [] }), reply(done(1))])).start(1);
  await run.output();
});
