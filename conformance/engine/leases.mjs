// Checks: the lease is renewed while a body runs, and the budget ends a dispatch. Intervals have wide margins: machines are slow at times.

import assert from "node:assert/strict";
import { check } from "../report.mjs";

check("the lease is renewed while a body runs", { workflow: "kit-slow", modes: ["each", "batched"] }, async (t) => {
  const run = await t.drive("kit-slow", { input: { ms: 3_000 }, knobs: { leaseMs: 1_500, renewMs: 500 } });
  assert.equal(run.end.value, "after");
  const renewals = run.checkpoints.filter((one) => one.body.ops.length === 0);
  assert.ok(renewals.length >= 3, `${renewals.length} renewals in 3 s`);
  const at = [run.dispatches[0].begunMs, ...run.checkpoints.map((one) => one.atMs)];
  const gaps = at.slice(1).map((ms, index) => ms - at[index]);
  assert.ok(Math.max(...gaps) < 1_500, `the longest gap was ${Math.round(Math.max(...gaps))} ms of a lease of 1,500`);
});

check("a 409 on a renewal stops the dispatch: the next body never begins", { workflow: "kit-slow", modes: ["each", "batched"] }, async (t) => {
  const stale = (record, run, dispatch) => { dispatch.stopped = true; return { status: 409 }; };
  const run = t.run("kit-slow", { input: { ms: 1_200 }, knobs: { leaseMs: 900, renewMs: 300, onCheckpoint: stale } });
  const reply = await t.host.dispatch(run);
  assert.deepEqual(reply.ops, []);
  await new Promise((done) => setTimeout(done, 1_200));
  assert.deepEqual(await t.keys(run), ["slow#0"]);
});

check("a dispatch ends by itself when its budget is over, and the next goes on", { workflow: "kit-long" }, async (t) => {
  const run = await t.drive("kit-long", { input: { n: 40, ms: 30 }, knobs: { budgetMs: 400 } });
  assert.equal(run.end.value.sum, 780);
  assert.equal((await t.keys(run)).length, 40, "no body ran twice");
  assert.ok(run.dispatches.length >= 2, `${run.dispatches.length} dispatches`);
  for (const one of run.dispatches) assert.ok(one.tookMs < 400 + 5_000, `a reply after ${Math.round(one.tookMs)} ms`);
});

check("no body begins when the budget is over", { workflow: "kit-long", modes: ["each", "batched"] }, async (t) => {
  const run = t.run("kit-long", { input: { n: 100, ms: 20 }, knobs: { budgetMs: 300 } });
  const reply = await t.host.dispatch(run);
  assert.ok(!reply.ops.some((op) => op.op === "done"));
  assert.equal(reply.await ?? undefined, undefined, "it asks to be dispatched again at once");
  assert.equal(run.entries.length, (await t.keys(run)).length, "what ran is recorded");
});

check("a body that outlasts the budget does not hold the reply back", { workflow: "kit-slow", modes: ["each", "batched"] }, async (t) => {
  const run = t.run("kit-slow", { input: { ms: 8_000 }, knobs: { budgetMs: 500 } });
  await t.host.dispatch(run);
  assert.ok(run.dispatches[0].tookMs < 5_500, `the reply came after ${Math.round(run.dispatches[0].tookMs)} ms`);
  assert.deepEqual(await t.keys(run), ["slow#0"]);
});
