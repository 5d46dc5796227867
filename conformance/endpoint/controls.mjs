// Checks: cancel, pause, resume, retry, fork and continue as new, at rest and during a dispatch.

import assert from "node:assert/strict";
import { check } from "../report.mjs";
import { open } from "./checkpoints.mjs";
import { done, error, fail, nap, reply, result, signal } from "./flow.mjs";

const waits = [reply(signal("go#0", "go"), "go#0"), reply(done(1))];

check("a run that waits, sleeps or is late is cancelled and never dispatched again", {}, async (t) => {
  for (const [status, op] of [["waiting", signal("x#0", "x")], ["sleeping", nap("x#0", 1_000)], ["retrying", error("x#0", "no", { retry: { afterMs: 1_000 } })]]) {
    const run = await (await t.flow([reply(op, "x#0")])).start(1);
    await run.until(status);
    assert.equal((await run.control("cancel")).status, "cancelled");
    await run.quiet(1_300);
  }
});

check("what is over cannot be cancelled, paused, resumed or woken", {}, async (t) => {
  const run = await (await t.flow([reply(done(1))])).start(1);
  await run.output();
  for (const verb of ["cancel", "pause", "resume", "wake"]) assert.equal((await run.post(verb)).status, 409, verb);
});

check("a pause during a dispatch is told, keeps its results and stops before the next", {}, async (t) => {
  const { run, invoke, release } = await open(t, [reply(done("resumed"))]);
  await run.control("pause");
  const answer = await run.checkpoint(invoke, [result("a#0", 1)]);
  assert.deepEqual([answer.status, answer.json.pauseRequested], [200, true]);
  release({ v: 1, have: 1, ops: [result("b#0", 2)] });
  await run.until("paused");
  await run.quiet(300);
  await run.control("resume");
  assert.deepEqual((await run.invoke(2)).journal.entries.map((entry) => entry.key), ["a#0", "b#0"]);
  assert.equal(await run.output(), "resumed");
});

check("a pause during a dispatch that ends the run does not keep it from ending", {}, async (t) => {
  const { run, release } = await open(t);
  await run.control("pause");
  release(reply(done("over")));
  assert.equal(await run.output(), "over");
});

check("a pause that is taken back during the dispatch leaves no trace", {}, async (t) => {
  const { run, invoke, release } = await open(t, [reply(done("on"))]);
  await run.control("pause");
  await run.control("resume");
  assert.equal((await run.checkpoint(invoke, [])).json.pauseRequested, false);
  release(reply(result("a#0", 1)));
  assert.equal(await run.output(), "on");
});

check("a timer that ends while the run is paused counts when it is resumed", {}, async (t) => {
  const run = await (await t.flow([reply(nap("nap#0", 500), "nap#0"), reply(done(1))])).start(1);
  await run.until("sleeping");
  await run.control("pause");
  await run.quiet(1_200);
  await run.control("resume");
  assert.equal((await run.invoke(2)).journal.entries[0].value, null);
});

check("a pause and a resume leave a wait as it was", {}, async (t) => {
  const run = await (await t.flow(waits)).start(1);
  await run.until("waiting");
  await run.control("pause");
  await run.control("resume");
  await run.until("waiting");
  await run.quiet(300);
  await run.signal("go", 1);
  await run.output();
  assert.equal(run.invokes.length, 2);
});

check("retry runs a failed run again from the step that failed", {}, async (t) => {
  const script = (invoke, number) => [
    reply(result("a#0", 1)), reply({ op: "error", key: "b#0", error: { name: "E", message: "no" } }), reply({ op: "fail", error: { name: "E", message: "no" } }),
    reply(result("b#0", "now")), reply(done("healed")),
  ][number - 1];
  const run = await (await t.flow(script)).start(1);
  await run.until("failed");
  await run.control("retry");
  const fourth = await run.invoke(4);
  assert.equal(fourth.run.attempt, 2);
  assert.deepEqual(fourth.journal.entries.map((entry) => entry.key), ["a#0"]);
  await run.until("completed");
  assert.deepEqual([fourth.journal.next, (await run.invoke(5)).journal.next], [null, null], "all of it is inline");
  assert.deepEqual((await run.invoke(5)).journal.entries.map(({ key, state }) => [key, state]), [["a#0", "ok"], ["b#0", "ok"]]);
});

check("a run that has not failed cannot be retried", {}, async (t) => {
  const run = await (await t.flow([reply(done(1))])).start(1);
  await run.output();
  assert.equal((await run.post("retry")).status, 409);
});

check("a fork begins before its step, with edited results, and leaves its source alone", {}, async (t) => {
  const flow = await t.flow((invoke) => {
    const have = invoke.journal.entries.length;
    return have < 3 ? reply(result(["a#0", "b#0", "c#0"][have], have + 1)) : reply(done(invoke.journal.entries.map((entry) => entry.value)));
  });
  const run = await flow.start({ n: 1 }, { id: "source" });
  assert.deepEqual(await run.output(), [1, 2, 3]);
  const answer = await run.post("fork", { fromStep: "c#0", results: { "b#0": "edited" } });
  assert.equal(answer.status, 202, answer.text);
  const fork = flow.run(answer.json.id);
  const first = await fork.invoke(1);
  assert.deepEqual(first.journal.entries.map(({ seq, key, value }) => [seq, key, value]), [[1, "a#0", 1], [2, "b#0", "edited"]]);
  assert.deepEqual(first.input, { n: 1 });
  assert.notEqual(first.run.seed, run.invokes[0].body.run.seed);
  assert.deepEqual(await fork.output(), [1, "edited", 3]);
  assert.deepEqual(await run.output(), [1, 2, 3]);
});

check("a fork may have another input", {}, async (t) => {
  const flow = await t.flow((invoke, number) => (number === 1 ? reply(result("a#0", 1)) : reply(done(invoke.input))));
  const run = await flow.start("old");
  await run.output();
  const answer = await run.post("fork", { fromStep: "a#0", input: "new" });
  const fork = flow.run(answer.json.id);
  assert.deepEqual((await fork.invoke(1)).journal.entries, []);
  assert.equal(await fork.output(), "new");
});

check("a fork from a step that the run never reached has all that it had", {}, async (t) => {
  const flow = await t.flow((invoke) => (invoke.journal.entries.length === 0 ? reply(result("a#0", 1)) : reply(done(invoke.journal.entries[0].value))));
  const run = await flow.start(1);
  await run.output();
  const answer = await run.post("fork", { fromStep: "b#0", results: { "a#0": 2 } });
  assert.equal(answer.status, 202, answer.text);
  assert.equal(await flow.run(answer.json.id).output(), 2);
});

check("a fork that edits the result of a step which is not copied is refused", {}, async (t) => {
  const flow = await t.flow([reply(result("a#0", 1)), reply(done(1))]);
  const run = await flow.start(1);
  await run.output();
  const answer = await run.post("fork", { fromStep: "a#0", results: { "a#0": 2 } });
  assert.ok([400, 422].includes(answer.status), answer.text);
});

check("continue as new goes on in a new run with the id, the input and the unread signals", {}, async (t) => {
  const flow = await t.flow(async (invoke, number) => {
    if (invoke.input.round === 1 && number === 1) return reply(signal("go#0", "go"), "go#0");
    if (invoke.input.round === 1) return reply({ op: "continueAsNew", input: { round: 2 } });
    return number === 1 ? reply(signal("go#0", "go"), "go#0") : reply(done(invoke.journal.entries[0].value));
  });
  const run = await flow.start({ round: 1 }, { id: "loop" });
  await run.until("waiting");
  await run.control("pause");
  for (const value of ["one", "two"]) await run.signal("go", value);
  await run.control("resume");
  await run.until("completed");
  await t.stage.until("the new run", () => flow.invokes.size === 2);
  const next = flow.run([...flow.invokes.keys()][1]);
  assert.equal((await next.invoke(1)).run.externalId, "loop");
  assert.deepEqual((await next.invoke(1)).journal.entries, []);
  assert.equal(await next.output(), "two");
});

check("a parent waits for the run that its child goes on as", {}, async (t) => {
  const app = await t.app([{ script: (invoke) => (invoke.input < 3 ? reply({ op: "continueAsNew", input: invoke.input + 1 }) : reply(done("third"))) }, { script: [] }]);
  const [kid, parent] = app.flows;
  parent.script = [reply({ op: "child", key: "sub#0", workflow: kid.name, input: 1 }, "sub#0"), reply(done(1))];
  const run = await parent.start(1);
  const [entry] = (await run.invoke(2)).journal.entries;
  assert.deepEqual([entry.state, entry.value], ["ok", "third"]);
  assert.equal(kid.invokes.size, 3);
});

check("what a run still waited for when it ended comes to nothing", {}, async (t) => {
  const run = await (await t.flow([reply([signal("go#0", "go"), nap("nap#0", 500), fail("no")])])).start(1);
  await run.until("failed");
  await run.quiet(900);
});

check("a retry of a run that waited for a signal waits for it again", {}, async (t) => {
  const run = await (await t.flow([reply([signal("go#0", "go"), fail("no")]), reply(signal("go#0", "go"), "go#0"), reply(done("got it"))])).start(1);
  await run.until("failed");
  await run.control("retry");
  await run.until("waiting");
  await run.signal("go", 1);
  assert.equal(await run.output(), "got it");
});
