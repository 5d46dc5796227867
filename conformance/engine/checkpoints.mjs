// Checks: when checkpoints are sent, lost, refused or answered late.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { check } from "../report.mjs";

const withOps = (run) => run.checkpoints.filter((one) => one.body.ops.length > 0);

check("in the mode each no body begins before the checkpoint of the one before is answered", { workflow: "kit-sequence", modes: ["each"] }, async (t) => {
  const seen = [];
  const hold = async (record, run) => {
    await sleep(150);
    seen.push((await t.keys(run)).length);
  };
  const run = await t.drive("kit-sequence", { knobs: { beforeAnswer: hold } });
  assert.equal(run.end.value.n, 3);
  assert.deepEqual(seen.slice(0, 2), [1, 2]);
});

check("in the mode batched steps share checkpoints", { workflow: "kit-long", modes: ["batched"] }, async (t) => {
  const run = await t.drive("kit-long", { input: { n: 100 } });
  assert.equal(run.end.value.sum, 4_950);
  assert.ok(withOps(run).length <= 25, `${withOps(run).length} checkpoints for 100 steps`);
});

check("in the mode batched a checkpoint carries at most the steps it was told", { workflow: "kit-long", modes: ["batched"] }, async (t) => {
  const run = await t.drive("kit-long", { input: { n: 100 } });
  for (const one of withOps(run)) assert.ok(one.body.ops.length <= 20, `${one.body.ops.length} ops`);
});

// Long enough for a checkpoint in the mode batched, too.
const SIXTY = { n: 60, ms: 2 };

async function sixty(t, run) {
  assert.equal(run.end.value.sum, 1_770);
  assert.deepEqual(await t.keys(run), Array.from({ length: 60 }, (_, i) => `s#${i}`));
}

check("a checkpoint whose answer is lost is sent again and recorded once", { workflow: "kit-long", modes: ["each", "batched"] }, async (t) => {
  let lost = 0;
  const lose = (record) => (record.body.ops.length > 0 && lost++ === 0 ? { lose: true } : undefined);
  const run = await t.drive("kit-long", { input: SIXTY, knobs: { onCheckpoint: lose } });
  assert.ok(lost > 1, "it was sent again");
  await sixty(t, run);
});

check("a checkpoint that is answered with 503 is sent again after Retry-After", { workflow: "kit-long", modes: ["each", "batched"] }, async (t) => {
  const sent = [];
  const busy = (record) => {
    if (record.body.ops.length === 0) return undefined;
    sent.push(record);
    return sent.length === 1 ? { status: 503, headers: { "retry-after": "1" } } : undefined;
  };
  const run = await t.drive("kit-long", { input: SIXTY, knobs: { onCheckpoint: busy } });
  assert.ok(sent[1].atMs - sent[0].atMs >= 950, `after ${sent[1].atMs - sent[0].atMs} ms`);
  const keys = (one) => one.body.ops.map((op) => op.key);
  assert.deepEqual(keys(sent[1]).slice(0, keys(sent[0]).length), keys(sent[0]));
  await sixty(t, run);
});

check("a 409 stops the dispatch before the next body", { workflow: "kit-sequence", modes: ["each"] }, async (t) => {
  const run = t.run("kit-sequence", { knobs: { onCheckpoint: (record, run, dispatch) => { dispatch.stopped = true; return { status: 409 }; } } });
  const reply = await t.host.dispatch(run);
  assert.deepEqual(reply.ops, []);
  await sleep(200);
  assert.deepEqual(await t.keys(run), ["a#0"]);
});

check("a 409 stops a batched dispatch: no further checkpoint, an empty reply", { workflow: "kit-long", modes: ["batched"] }, async (t) => {
  const run = t.run("kit-long", { input: { n: 1_000, ms: 2 }, knobs: { onCheckpoint: (record, run, dispatch) => { dispatch.stopped = true; return { status: 409 }; } } });
  const reply = await t.host.dispatch(run);
  assert.deepEqual(reply.ops, []);
  const begun = (await t.keys(run)).length;
  await sleep(200);
  assert.equal((await t.keys(run)).length, begun, "no body after the reply");
  assert.ok(begun < 500, `${begun} bodies`);
});

check("pauseRequested: no further step begins, and the reply comes", { workflow: "kit-long", modes: ["each", "batched"] }, async (t) => {
  const pause = () => ({ extra: { pauseRequested: true } });
  const run = t.run("kit-long", { input: { n: 200, ms: 2 }, knobs: { onCheckpoint: pause } });
  const reply = await t.host.dispatch(run);
  assert.ok(!reply.ops.some((op) => op.op === "done"));
  const begun = (await t.keys(run)).length;
  assert.ok(begun < 100, `${begun} bodies`);
  assert.equal(run.entries.length, begun, "what ran is recorded");
  run.knobs.onCheckpoint = undefined;
  await t.host.drive(run);
  assert.equal(run.end.value.sum, 19_900);
  assert.equal((await t.keys(run)).length, 200);
});

check("a dispatch that is delivered twice at the same time records each step once", { workflow: "kit-slow" }, async (t) => {
  const run = t.run("kit-slow", { input: { ms: 300 } });
  const first = t.host.dispatch(run);
  await t.host.until("the body has begun", async () => (await t.keys(run)).length > 0);
  const second = t.host.deliver(run, run.dispatches[0]).catch((error) => error);
  await Promise.all([first, second]);
  // Two deliveries may be two processes, each with a checkpoint in flight.
  run.violations = run.violations.filter((one) => one !== "two checkpoints in flight");
  await t.host.drive(run);
  assert.equal(run.end.value, "after");
  assert.deepEqual(run.entries.map((entry) => entry.key), ["slow#0", "after#0"]);
});

check("of two deliveries of one dispatch one stops soon: bodies do not run twice to the end", { workflow: "kit-long", modes: ["each"] }, async (t) => {
  const run = t.run("kit-long", { input: { n: 40, ms: 25 } });
  const first = t.host.dispatch(run);
  await t.host.until("two bodies have begun", async () => (await t.keys(run)).length > 1);
  const second = t.host.deliver(run, run.dispatches[0]).catch((error) => error);
  await Promise.all([first, second]);
  run.violations = run.violations.filter((one) => one !== "two checkpoints in flight");
  await t.host.drive(run);
  assert.equal(run.end.value.sum, 780);
  const begun = (await t.keys(run)).length;
  assert.ok(begun <= 50, `${begun} bodies for 40 steps`);
});

check("a late dispatch that has lost its fence runs no further body", { workflow: "kit-slow", modes: ["each", "return"] }, async (t) => {
  const run = t.run("kit-slow", { input: { ms: 400 } });
  const late = t.host.dispatch(run).catch((error) => error);
  await t.host.until("the body has begun", async () => (await t.keys(run)).length > 0);
  await t.host.dispatch(run);
  await late;
  await t.host.drive(run);
  const keys = await t.keys(run);
  assert.equal(run.end.value, "after");
  assert.equal(keys.filter((key) => key === "slow#0").length, 2);
  assert.equal(keys.filter((key) => key === "after#0").length, 1);
});
