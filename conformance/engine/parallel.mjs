// Checks: steps that run at the same time, and many steps.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { check } from "../report.mjs";

check("parallel steps have all begun before the first result is reported", { workflow: "kit-parallel" }, async (t) => {
  let begun;
  const look = async (record, run) => {
    if (begun === undefined && (record.body ?? record).ops.some((op) => op.op === "result")) begun = await t.keys(run);
  };
  const run = await t.drive("kit-parallel", { input: { leftMs: 200, middleMs: 300, rightMs: 250 }, knobs: { onCheckpoint: look, beforeReply: look } });
  assert.deepEqual(begun, ["left#0", "middle#0", "right#0"]);
  assert.deepEqual(run.end.value, ["left", "middle", "right"]);
  assert.equal((await t.keys(run)).length, 3, "each body ran once");
});

check("parallel steps come back in the order of the calls", { workflow: "kit-parallel" }, async (t) => {
  const run = await t.drive("kit-parallel", { input: { leftMs: 150, middleMs: 80, rightMs: 0 } });
  assert.deepEqual(run.end.value, ["left", "middle", "right"]);
});

check("parallel steps travel together when there are no checkpoints", { workflow: "kit-wide", modes: ["return"] }, async (t) => {
  const run = await t.drive("kit-wide", { input: { n: 30 } });
  assert.equal(run.dispatches[0].reply.ops.filter((op) => op.op === "result").length, 30);
  assert.ok(run.dispatches.length <= 2, `${run.dispatches.length} dispatches`);
});

check("the first to finish wins a race", { workflow: "kit-race" }, async (t) => {
  const run = await t.drive("kit-race", { input: { fastMs: 0, slowMs: 400 } });
  assert.equal(run.entries[0].key, "fast#0");
  assert.deepEqual(run.end.value, { winner: "fast", after: "after fast" });
});

check("steps that finish during a checkpoint share the next one", { workflow: "kit-wide", modes: ["each", "batched"] }, async (t) => {
  const run = await t.drive("kit-wide", { input: { n: 40 }, knobs: { beforeAnswer: () => sleep(50) } });
  assert.equal(run.end.value.sum, 780);
  assert.ok(run.checkpoints.length <= 20, `${run.checkpoints.length} checkpoints for 40 steps`);
});

check("a branch that fails is caught while the other goes on, and nothing runs twice", { workflow: "kit-catch-parallel" }, async (t) => {
  const run = await t.drive("kit-catch-parallel", { input: { okMs: 100 } });
  assert.equal(run.end.value, "after bad");
  const keys = await t.keys(run);
  assert.deepEqual([...keys].sort(), ["after#0", "bad#0", "good#0"]);
});

check("occurrences number the steps of a loop", { workflow: "kit-long" }, async (t) => {
  const run = await t.drive("kit-long", { input: { n: 25 } });
  assert.deepEqual(run.entries.map((entry) => entry.key), Array.from({ length: 25 }, (_, i) => `s#${i}`));
  assert.equal(run.end.value.sum, 300);
});

check("a thousand steps in a row complete, each body once", { workflow: "kit-long", modes: ["each", "batched"] }, async (t) => {
  const run = await t.drive("kit-long", { input: { n: 1_000 } });
  assert.equal(run.end.value.sum, 499_500);
  assert.equal((await t.keys(run)).length, 1_000);
});

check("a thousand parallel steps complete, each body once", { workflow: "kit-wide" }, async (t) => {
  const run = await t.drive("kit-wide", { input: { n: 1_000 } });
  assert.equal(run.end.value.sum, 499_500);
  assert.equal((await t.keys(run)).length, 1_000);
});

check("what a checkpoint sends does not grow with the journal", { workflow: "kit-long", modes: ["each"] }, async (t) => {
  const run = await t.drive("kit-long", { input: { n: 300, bytes: 200 } });
  const sent = run.checkpoints.filter((one) => one.body.ops.length > 0).map((one) => one.bytes);
  assert.ok(Math.max(...sent.slice(-20)) <= sent[0] + 20, `first ${sent[0]} bytes, last ${sent.at(-1)}`);
});
