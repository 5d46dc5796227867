// Checks: attempts, their waits, and when a step has failed for good.

import assert from "node:assert/strict";
import { check } from "../report.mjs";

const errorsOf = (run) => run.applied.filter((op) => op.op === "error");

check("a step that fails is tried again after its wait, with the next attempt number", { workflow: "kit-retry" }, async (t) => {
  const run = await t.drive("kit-retry", { input: { failures: 1, maxAttempts: 3 } });
  assert.deepEqual(run.end.value, { attempt: 2 });
  const [failed] = errorsOf(run);
  assert.equal(failed.key, "flaky#0");
  assert.equal(failed.retry.afterMs, 1_000);
  assert.ok(!failed.retry.free);
  assert.equal((await t.keys(run)).length, 2);
});

check("a step that has spent its attempts fails for good, and its error ends the run", { workflow: "kit-retry" }, async (t) => {
  const run = await t.drive("kit-retry", { input: { failures: 9, maxAttempts: 3 } });
  assert.equal(run.status, "failed");
  assert.equal((await t.keys(run)).length, 3);
  assert.deepEqual(errorsOf(run).map((op) => Boolean(op.retry)), [true, true, false]);
  assert.equal(run.end.error.name, "FlakyError");
  assert.equal(run.end.error.message, "attempt 3");
});

check("one attempt means one", { workflow: "kit-retry" }, async (t) => {
  const run = await t.drive("kit-retry", { input: { failures: 9, maxAttempts: 1 } });
  assert.equal((await t.keys(run)).length, 1);
  assert.equal(errorsOf(run).at(-1).retry, undefined);
});

check("a pending step before its time does not run, nor is it planned again", { workflow: "kit-retry" }, async (t) => {
  const run = t.run("kit-retry", { pending: [{ key: "flaky#0", kind: "run", attempt: 2, waitMs: 60_000, retry: true }] });
  const reply = await t.host.dispatch(run);
  assert.deepEqual(await t.keys(run), []);
  assert.deepEqual(reply.ops, []);
  assert.ok(JSON.stringify(reply.await ?? null).includes("flaky#0"), "it waits for the step");
});

check("a pending step whose time has come runs as the attempt that the engine says", { workflow: "kit-retry" }, async (t) => {
  const run = t.run("kit-retry", { input: { failures: 9, maxAttempts: 3 }, pending: [{ key: "flaky#0", kind: "run", attempt: 3, waitMs: 0, retry: true }] });
  await t.host.drive(run);
  assert.deepEqual((await t.host.bodies(run)).map((body) => body.attempt), [3]);
  assert.equal(run.status, "failed");
});

check("an error that cannot be retried fails at once", { workflow: "kit-nonretriable" }, async (t) => {
  const run = await t.drive("kit-nonretriable");
  assert.equal((await t.keys(run)).length, 1);
  assert.equal(run.status, "failed");
  assert.equal(run.end.error.message, "no more");
  assert.equal(errorsOf(run)[0].retry, undefined);
});

check("an error that names its wait is retried after that wait", { workflow: "kit-retry-after" }, async (t) => {
  const run = await t.drive("kit-retry-after");
  assert.equal(run.end.value, "ok");
  const { afterMs } = errorsOf(run)[0].retry;
  assert.ok(afterMs >= 20_000 && afterMs <= 25_000, `after ${afterMs} ms`);
  assert.equal((await t.keys(run)).length, 2);
});

check("a catch is not entered while the step has attempts left", { workflow: "kit-trycatch" }, async (t) => {
  const run = await t.drive("kit-trycatch");
  assert.equal(run.end.value, "undo declined");
  assert.deepEqual(await t.keys(run), ["pay#0", "pay#0", "undo#0"]);
});

check("a provider's 429 waits what it says and spends no attempt", { workflow: "kit-ai" }, async (t) => {
  const run = await t.drive("kit-ai", { input: { throttle: true } });
  assert.equal(run.end.value, "hello");
  const [limited] = errorsOf(run);
  assert.equal(limited.retry.free, true);
  assert.ok(limited.retry.afterMs >= 20_000, `after ${limited.retry.afterMs} ms`);
  assert.equal((await t.keys(run)).length, 2, "the call that succeeded was made once");
});

check("an ai step records its model and tokens", { workflow: "kit-ai" }, async (t) => {
  const run = await t.drive("kit-ai");
  const result = run.applied.find((op) => op.key === "llm#0" && op.op === "result");
  assert.equal(result.kind, "ai");
  assert.equal(result.ai.model, "kit-1");
  assert.equal(result.ai.inputTokens, 12);
  assert.equal(result.ai.outputTokens, 34);
  assert.equal(run.entry("llm#0").kind, "ai");
});

check("a recorded ai call is never made again", { workflow: "kit-ai" }, async (t) => {
  const run = await t.drive("kit-ai", { entries: [{ key: "llm#0", kind: "ai", value: { model: "kit-1", text: "before", usage: {} } }] });
  assert.equal(run.end.value, "before");
  assert.deepEqual(await t.keys(run), []);
});

check("a branch in backoff does not make its finished neighbour run again", { workflow: "kit-parallel" }, async (t) => {
  const run = t.run("kit-parallel", { entries: [{ key: "right#0", value: "right" }], pending: [{ key: "left#0", kind: "run", attempt: 2, waitMs: 30_000, retry: true }] });
  await t.host.dispatch(run);
  assert.deepEqual(await t.keys(run), ["middle#0"]);
  await t.host.drive(run);
  assert.deepEqual(run.end.value, ["left", "middle", "right"]);
  assert.deepEqual((await t.host.bodies(run)).map((body) => [body.key, body.attempt]), [["middle#0", 1], ["left#0", 2]]);
});
