// Checks: the journal is replayed, in its order, and what it says counts.

import assert from "node:assert/strict";
import { check } from "../report.mjs";

check("a sequence of steps completes, each body once", { workflow: "kit-sequence" }, async (t) => {
  const run = await t.drive("kit-sequence");
  assert.deepEqual(run.end, { op: "done", value: { n: 3 } });
  assert.deepEqual(await t.keys(run), ["a#0", "b#0", "c#0"]);
  assert.deepEqual(run.entries.map((entry) => entry.key), ["a#0", "b#0", "c#0"]);
});

check("with checkpoints a sequence takes one dispatch", { workflow: "kit-sequence", modes: ["each", "batched"] }, async (t) => {
  assert.equal((await t.drive("kit-sequence")).dispatches.length, 1);
});

check("without checkpoints each reply brings one step of a sequence", { workflow: "kit-sequence", modes: ["return"] }, async (t) => {
  const run = await t.drive("kit-sequence");
  const results = run.dispatches.map((one) => one.reply.ops.filter((op) => op.op === "result").length);
  assert.ok(results.every((count) => count <= 1), `results per reply: ${results}`);
  assert.equal(run.checkpoints.length, 0);
});

check("bodies get their attempt and a stable key", { workflow: "kit-retry" }, async (t) => {
  const run = await t.drive("kit-retry", { input: { failures: 2, maxAttempts: 3 } });
  const other = await t.drive("kit-retry", { input: { failures: 0, maxAttempts: 3 } });
  const [bodies, others] = [await t.host.bodies(run), await t.host.bodies(other)];
  assert.deepEqual(bodies.map((body) => body.attempt), [1, 2, 3]);
  assert.ok(typeof bodies[0].stepKey === "string" && bodies[0].stepKey.length > 0);
  assert.equal(new Set(bodies.map((body) => body.stepKey)).size, 1, "the same key in every attempt");
  assert.notEqual(bodies[0].stepKey, others[0].stepKey, "another key in another run");
});

check("recorded steps do not run again", { workflow: "kit-sequence" }, async (t) => {
  const run = await t.drive("kit-sequence", { entries: [{ key: "a#0", value: { n: 1 } }, { key: "b#0", value: { n: 2 } }] });
  assert.deepEqual(run.end.value, { n: 3 });
  assert.deepEqual(await t.keys(run), ["c#0"]);
});

check("a recorded value counts, whatever the body would return", { workflow: "kit-sequence" }, async (t) => {
  const run = await t.drive("kit-sequence", { entries: [{ key: "a#0", value: { n: 41 } }] });
  assert.deepEqual(run.end.value, { n: 43 });
});

check("a full journal ends the run without a body", { workflow: "kit-sequence" }, async (t) => {
  const entries = ["a", "b", "c"].map((name, index) => ({ key: `${name}#0`, value: { n: index + 1 } }));
  const run = t.run("kit-sequence", { entries });
  const reply = await t.host.dispatch(run);
  assert.deepEqual(reply.ops, [{ op: "done", value: { n: 3 } }]);
  assert.equal(reply.have, 3);
  assert.deepEqual(await t.keys(run), []);
});

check("the first write wins: a value that was recorded before is the one that counts", { workflow: "kit-sequence", modes: ["each", "return"] }, async (t) => {
  const before = (record, run) => { run.record("a#0", { value: { n: 41 } }); };
  const run = await t.drive("kit-sequence", { knobs: { onCheckpoint: before, beforeReply: before } });
  assert.deepEqual(run.end.value, { n: 43 });
});

check("an error that was recorded before a result is thrown", { workflow: "kit-trycatch" }, async (t) => {
  const run = await t.drive("kit-trycatch", { entries: [{ key: "pay#0", state: "error", error: { name: "PayError", message: "no card" } }] });
  assert.equal(run.end.value, "undo no card");
  assert.deepEqual(await t.keys(run), ["undo#0"]);
});

for (const [winner, loser] of [["fast", "slow"], ["slow", "fast"]]) {
  check(`a race that ${winner} won in the journal is won by it in replay`, { workflow: "kit-race" }, async (t) => {
    const entries = [winner, loser].map((name) => ({ key: `${name}#0`, value: name }));
    const run = await t.drive("kit-race", { entries });
    assert.deepEqual(run.end.value, { winner, after: `after ${winner}` });
    assert.deepEqual(await t.keys(run), ["after#0"]);
  });
}

check("the order of a checkpoint's answer decides a race, not the order in which bodies end", { workflow: "kit-race", modes: ["each"] }, async (t) => {
  const slowFirst = (record, run) => { run.record("slow#0", { value: "slow" }); };
  const run = await t.drive("kit-race", { input: { fastMs: 0, slowMs: 300 }, knobs: { onCheckpoint: slowFirst } });
  assert.deepEqual(run.entries.slice(0, 2).map((entry) => entry.key), ["slow#0", "fast#0"]);
  assert.deepEqual(run.end.value, { winner: "slow", after: "after slow" });
});

check("the journal is read over many pages", { workflow: "kit-long" }, async (t) => {
  const entries = Array.from({ length: 40 }, (_, i) => ({ key: `s#${i}`, value: { i, pad: "x".repeat(100) } }));
  const run = await t.drive("kit-long", { input: { n: 42, bytes: 100 }, entries, knobs: { inlineBytes: 500, pageBytes: 1_000 } });
  assert.deepEqual(run.end.value, { sum: 861 });
  assert.deepEqual(await t.keys(run), ["s#40", "s#41"]);
  assert.ok(run.pages >= 5, `${run.pages} pages`);
});

check("a journal without an inline entry is read from its pages", { workflow: "kit-sequence" }, async (t) => {
  const run = await t.drive("kit-sequence", { entries: [{ key: "a#0", value: { n: 5 } }], knobs: { inlineBytes: 0 } });
  assert.deepEqual(run.end.value, { n: 7 });
  assert.deepEqual(await t.keys(run), ["b#0", "c#0"]);
});

check("a checkpoint's answer may have pages too", { workflow: "kit-wide", modes: ["each", "batched"] }, async (t) => {
  const others = (record, run) => { for (let i = 5; i < 40; i += 1) run.record(`w#${i}`, { value: i + 1_000 }); };
  const run = await t.drive("kit-wide", { input: { n: 40, ms: 20 }, knobs: { onCheckpoint: others, pageBytes: 400 } });
  assert.deepEqual(run.end.value, { sum: 780 + 35 * 1_000 });
});

check("random numbers and ids come from the seed", { workflow: "kit-random" }, async (t) => {
  const seed = "0123456789abcdef0123456789abcdef";
  const [one, same, other] = [await t.drive("kit-random", { seed }), await t.drive("kit-random", { seed }), await t.drive("kit-random")];
  assert.deepEqual(one.end.value, same.end.value);
  assert.notDeepEqual(one.end.value, other.end.value);
  assert.ok(one.end.value.random >= 0 && one.end.value.random < 1);
});
