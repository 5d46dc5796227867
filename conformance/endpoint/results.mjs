// Checks: results and errors of steps, retries, and that the first write wins.

import assert from "node:assert/strict";
import { check } from "../report.mjs";
import { done, error, reply, result } from "./flow.mjs";

const entries = (invoke) => invoke.journal.entries.map(({ seq, key, kind, state, value }) => ({ seq, key, kind, state, ...(state === "ok" && { value }) }));

check("a result is an entry of the next dispatch, which comes at once", {}, async (t) => {
  const flow = await t.flow([reply(result("a#0", { n: 1 })), reply([result("b#0", 2), result("c#0", 3)]), reply(done(1))]);
  const run = await flow.start(1);
  await run.output();
  assert.deepEqual(entries(await run.invoke(3)), [
    { seq: 1, key: "a#0", kind: "run", state: "ok", value: { n: 1 } },
    { seq: 2, key: "b#0", kind: "run", state: "ok", value: 2 },
    { seq: 3, key: "c#0", kind: "run", state: "ok", value: 3 },
  ]);
});

check("a result without a value is null", {}, async (t) => {
  const flow = await t.flow([reply({ op: "result", key: "a#0" }), reply(done(1))]);
  const run = await flow.start(1);
  assert.equal((await run.invoke(2)).journal.entries[0].value, null);
});

check("an ai result keeps its kind and is shown with model and tokens", {}, async (t) => {
  const ai = { model: "kit-1", inputTokens: 12, outputTokens: 34, costUsd: 0.001 };
  const flow = await t.flow([reply(result("llm#0", "hi", { kind: "ai", ai, ms: 5 })), reply(done(1))]);
  const run = await flow.start(1);
  await run.output();
  assert.equal((await run.invoke(2)).journal.entries[0].kind, "ai");
  const step = (await run.show()).steps.find((one) => one.key === "llm#0");
  assert.deepEqual([step.ai.model, step.ai.inputTokens, step.ai.outputTokens], ["kit-1", 12, 34]);
});

check("an error for good is an entry with all its parts", {}, async (t) => {
  const full = { name: "PayError", message: "declined", stack: "at x", code: "E", data: [1], cause: { name: "Root", message: "r" } };
  const flow = await t.flow([reply({ op: "error", key: "a#0", error: full }), reply(done(1))]);
  const run = await flow.start(1);
  const [entry] = (await run.invoke(2)).journal.entries;
  assert.deepEqual([entry.kind, entry.state, entry.error], ["run", "error", full]);
});

check("the first write wins: a second result or error for a key changes nothing", {}, async (t) => {
  const flow = await t.flow([
    reply([result("a#0", "first"), result("a#0", "second")]),
    reply([result("a#0", "third"), error("a#0", "no"), error("a#0", "no", { retry: { afterMs: 0 } }), { op: "sleep", key: "a#0", forMs: 1 }, result("b#0", 1)]),
    reply(done(1)),
  ]);
  const run = await flow.start(1);
  await run.output();
  assert.deepEqual(entries(await run.invoke(3)).map(({ key, value }) => [key, value]), [["a#0", "first"], ["b#0", 1]]);
});

check("an error that is retried is pending with the next attempt, and dispatched after its wait", {}, async (t) => {
  const flow = await t.flow([reply(error("a#0", "no", { retry: { afterMs: 2_500 } }), "a#0"), reply(done(1))]);
  const run = await flow.start(1);
  await run.until("retrying");
  const { pending } = await run.invoke(2);
  assert.ok(run.invokes[1].atMs - run.invokes[0].atMs >= 2_450, `after ${run.invokes[1].atMs - run.invokes[0].atMs} ms`);
  assert.deepEqual(pending, [{ key: "a#0", kind: "run", attempt: 2, waitMs: 0 }]);
});

check("a free retry keeps the number of the attempt", {}, async (t) => {
  const flow = await t.flow([reply(error("a#0", "busy", { retry: { afterMs: 100, free: true } }), "a#0"), reply(error("a#0", "no", { retry: { afterMs: 100 } }), "a#0"), reply(done(1))]);
  const run = await flow.start(1);
  assert.equal((await run.invoke(2)).pending[0].attempt, 1);
  assert.equal((await run.invoke(3)).pending[0].attempt, 2);
});

check("a retry dispatches the run whatever its tree waits for", {}, async (t) => {
  const flow = await t.flow([reply([{ op: "signal", key: "go#0", name: "go" }, error("a#0", "no", { retry: { afterMs: 300 } })], "go#0"), reply(done(1))]);
  const run = await flow.start(1);
  const { pending } = await run.invoke(2);
  assert.deepEqual(pending.map((one) => [one.key, one.kind, one.attempt]).sort(), [["a#0", "run", 2], ["go#0", "signal", 1]]);
});

check("a step in backoff shows how long it still waits", {}, async (t) => {
  const flow = await t.flow([reply([{ op: "signal", key: "go#0", name: "go" }, error("a#0", "no", { retry: { afterMs: 60_000 } })], { any: ["go#0", "a#0"] }), reply(done(1))]);
  const run = await flow.start(1);
  await run.invoke(1);
  await run.signal("go", 1);
  const one = (await run.invoke(2)).pending.find(({ key }) => key === "a#0");
  assert.ok(one.waitMs > 50_000 && one.waitMs <= 60_000, `waitMs ${one.waitMs}`);
});

check("a branch in backoff does not hold up a reply that waits for nothing", {}, async (t) => {
  const first = reply([{ op: "signal", key: "go#0", name: "go" }, error("x#0", "no", { retry: { afterMs: 20_000 } })], { any: ["go#0", "x#0"] });
  const flow = await t.flow([first, reply(result("y#0", 1)), reply(done(1))]);
  const run = await flow.start(1);
  await run.invoke(1);
  await run.signal("go", 1);
  await run.output(15_000);
});

check("a result after a retry ends the step", {}, async (t) => {
  const flow = await t.flow([reply(error("a#0", "no", { retry: { afterMs: 0 } }), "a#0"), reply(result("a#0", "yes", { attempt: 2 })), reply(done(1))]);
  const run = await flow.start(1);
  const last = await run.invoke(3);
  assert.deepEqual(last.pending, []);
  assert.equal(last.journal.entries[0].value, "yes");
});

check("every attempt of a step is kept and shown", {}, async (t) => {
  const flow = await t.flow([reply(error("a#0", "first", { retry: { afterMs: 0 } }), "a#0"), reply(error("a#0", "second", { retry: { afterMs: 0 } }), "a#0"), reply(result("a#0", 1, { attempt: 3 })), reply(done(1))]);
  const run = await flow.start(1);
  await run.output();
  const shown = JSON.stringify((await run.show()).steps.find((one) => one.key === "a#0"));
  assert.ok(shown.includes("first") && shown.includes("second"), shown);
});
