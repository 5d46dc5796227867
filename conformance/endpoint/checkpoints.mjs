// Checks: checkpoints: what they record and answer, and when they are refused.

import assert from "node:assert/strict";
import { check } from "../report.mjs";
import { done, error, fail, nap, reply, result, signal } from "./flow.mjs";

/** A run whose first dispatch stays open until `release(reply)` is called; answers both with the invoke. */
export async function open(t, rest = [], how = { checkpoint: "each" }) {
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  const flow = await t.flow(async (invoke, number) => (number === 1 ? held : rest[number - 2]), {}, how);
  const run = await flow.start(1);
  return { flow, run, invoke: await run.invoke(1), release };
}

const keys = (answer) => answer.json.journal.entries.map((entry) => entry.key);

check("a checkpoint records, renews the lease and answers the entries after have", {}, async (t) => {
  const { run, invoke, release } = await open(t);
  const first = await run.checkpoint(invoke, [result("a#0", { n: 1 }), result("b#0", 2)]);
  assert.equal(first.status, 200, first.text);
  assert.equal(first.json.v, 1);
  assert.ok(first.json.leaseMs > 0);
  assert.deepEqual([first.json.pauseRequested, first.json.cancelled, first.json.signals], [false, false, []]);
  assert.deepEqual(first.json.journal.entries.map(({ seq, key, kind, state, echo }) => [seq, key, kind, state, echo]), [[1, "a#0", "run", "ok", true], [2, "b#0", "run", "ok", true]]);
  assert.ok(first.json.journal.entries.every((entry) => !("value" in entry)), "the sender has the values");
  assert.deepEqual([first.json.journal.seq, first.json.journal.next], [2, null]);
  const second = await run.checkpoint(invoke, [result("c#0", 3)], { have: 1 });
  assert.deepEqual(second.json.journal.entries.map(({ key, value, echo }) => [key, value, echo ?? false]), [["b#0", 2, false], ["c#0", undefined, true]]);
  release(reply(done(1)));
  await run.output();
});

check("an empty checkpoint renews the lease and answers what there is", {}, async (t) => {
  const { run, invoke, release } = await open(t);
  await run.checkpoint(invoke, [result("a#0", 1)]);
  const answer = await run.checkpoint(invoke, [], { have: 1 });
  assert.deepEqual([answer.status, keys(answer), answer.json.journal.seq], [200, [], 1]);
  release(reply(done(1)));
});

check("a checkpoint that is sent twice records once", {}, async (t) => {
  const { run, invoke, release } = await open(t, [reply(done(1))]);
  const ops = [result("a#0", 1), signal("go#0", "go"), error("x#0", "no", { retry: { afterMs: 60_000 } })];
  await run.checkpoint(invoke, ops);
  const again = await run.checkpoint(invoke, ops);
  assert.deepEqual([again.status, keys(again)], [200, ["a#0"]]);
  release(reply([], "go#0"));
  await run.signal("go", 1);
  const next = await run.invoke(2);
  assert.deepEqual(next.journal.entries.map((entry) => entry.key), ["a#0", "go#0"]);
  assert.deepEqual(next.pending.map(({ key, attempt }) => [key, attempt]).sort(), [["x#0", 2]]);
});

check("ten copies of one checkpoint at the same time record once", {}, async (t) => {
  const { run, invoke, release } = await open(t, [reply(done(1))]);
  const answers = await Promise.all(Array.from({ length: 10 }, () => run.checkpoint(invoke, [result("a#0", "v"), result("b#0", "w")])));
  assert.ok(answers.every((answer) => answer.status === 200), answers.map((answer) => answer.status).join());
  release(reply([]));
  assert.deepEqual((await run.invoke(2)).journal.entries.map(({ seq, key, value }) => [seq, key, value]), [[1, "a#0", "v"], [2, "b#0", "w"]]);
});

check("a value that was recorded before is in the answer", {}, async (t) => {
  const { run, invoke, release } = await open(t);
  await run.checkpoint(invoke, [result("a#0", "first")]);
  const answer = await run.checkpoint(invoke, [result("a#0", "second"), result("b#0", 1)]);
  const [entry] = answer.json.journal.entries;
  assert.deepEqual([entry.value, entry.echo ?? false], ["first", false]);
  release(reply(done(1)));
});

check("a signal for a wait that was planned in a checkpoint is in a later answer", {}, async (t) => {
  const { run, invoke, release } = await open(t);
  await run.checkpoint(invoke, [signal("go#0", "go")]);
  await run.signal("go", "now");
  assert.deepEqual((await run.checkpoint(invoke, [])).json.journal.entries.map(({ key, value }) => [key, value]), [["go#0", "now"]]);
  release(reply(done(1)));
  await run.output();
  assert.equal(run.invokes.length, 1);
});

check("sleeps and timeouts that end during the dispatch are in a later answer", {}, async (t) => {
  const { run, invoke, release } = await open(t);
  await run.checkpoint(invoke, [nap("nap#0", 200), signal("go#0", "go", 100)]);
  const entries = await t.stage.until("both entries", async () => {
    const found = (await run.checkpoint(invoke, [])).json.journal.entries;
    return found.length === 2 && found;
  }, 5_000);
  assert.deepEqual(entries.map(({ key, state }) => [key, state]), [["go#0", "timeout"], ["nap#0", "ok"]]);
  release(reply(done(1)));
  await run.output();
});

check("buffered signals are named with their number", {}, async (t) => {
  const { run, invoke, release } = await open(t);
  for (const name of ["go", "go", "stop"]) await run.signal(name, 1);
  const { signals } = (await run.checkpoint(invoke, [])).json;
  assert.deepEqual(signals.sort((a, b) => (a.name < b.name ? -1 : 1)), [{ name: "go", count: 2 }, { name: "stop", count: 1 }]);
  release(reply(done(1)));
});

check("a checkpoint without the right token is 401", {}, async (t) => {
  const [one, other] = [await open(t), await open(t)];
  for (const token of [null, "", "x", `${one.invoke.fence.token}x`, other.invoke.fence.token, t.stage.key]) {
    const answer = await one.run.checkpoint(one.invoke, [result("a#0", 1)], { token });
    assert.equal(answer.status, 401, `${token}: ${answer.text}`);
  }
  assert.deepEqual(keys(await one.run.checkpoint(one.invoke, [])), []);
  one.release(reply(done(1)));
  other.release(reply(done(1)));
});

check("a checkpoint that breaks a rule is 422 and records nothing", {}, async (t) => {
  const { run, invoke, release } = await open(t);
  for (const ops of [[result("a#0", 1), done(1)], [result("a#0", 1), { op: "what", key: "b#0" }], [result("a#0", 1), result("no key", 1)], [result("a#0", 1), fail("no")], "ops"]) {
    const answer = await run.checkpoint(invoke, ops);
    assert.equal(answer.status, 422, `${JSON.stringify(ops)}: ${answer.status} ${answer.text}`);
    assert.equal(answer.json.type, "urn:tikku:problem:protocol");
  }
  assert.deepEqual(keys(await run.checkpoint(invoke, [])), []);
  release(reply(done(1)));
  await run.output();
});

check("unknown fields of a checkpoint are ignored", {}, async (t) => {
  const { run, invoke, release } = await open(t);
  assert.equal((await run.checkpoint(invoke, [{ ...result("a#0", 1), novelty: 1 }], { more: { novelty: [] } })).status, 200);
  release(reply(done(1)));
});

check("a checkpoint under an older fence is 409 and records nothing", {}, async (t) => {
  const { run, invoke, release } = await open(t, [reply(signal("go#0", "go"), "go#0")]);
  release(reply([]));
  await run.invoke(2);
  const answer = await run.checkpoint(invoke, [result("late#0", 1)]);
  assert.deepEqual([answer.status, answer.json.type], [409, "urn:tikku:problem:stale"]);
  await run.until("waiting");
  assert.equal((await run.checkpoint(invoke, [])).status, 409);
});

check("a checkpoint after the end of the run is 409", {}, async (t) => {
  const { run, invoke, release } = await open(t);
  release(reply(done(1)));
  await run.output();
  assert.equal((await run.checkpoint(invoke, [result("late#0", 1)])).status, 409);
});

check("a checkpoint after a cancel is 409, and the reply changes nothing", {}, async (t) => {
  const { run, invoke, release } = await open(t);
  await run.checkpoint(invoke, [result("a#0", 1)]);
  await run.control("cancel");
  assert.equal((await run.checkpoint(invoke, [result("b#0", 1)])).status, 409);
  release(reply(done("too late")));
  await run.quiet(300);
  const shown = await run.until("cancelled");
  assert.equal(shown.output ?? null, null);
});

check("a reply after checkpoints may repeat their ops", {}, async (t) => {
  const { run, invoke, release } = await open(t, [reply(done(1))]);
  await run.checkpoint(invoke, [result("a#0", 1)]);
  release({ v: 1, have: 1, ops: [result("a#0", 2), result("b#0", 3)] });
  assert.deepEqual((await run.invoke(2)).journal.entries.map(({ key, value }) => [key, value]), [["a#0", 1], ["b#0", 3]]);
});

check("a value above 4 MiB is 413, one of 4 MiB is not", {}, async (t) => {
  const { run, invoke, release } = await open(t);
  const limit = invoke.limits.resultBytes;
  assert.equal((await run.checkpoint(invoke, [result("big#0", "x".repeat(limit))])).status, 413);
  assert.equal((await run.checkpoint(invoke, [result("fits#0", "x".repeat(limit - 2))])).status, 200);
  assert.equal((await run.checkpoint(invoke, [result("a#0", "x".repeat(2_700_000)), result("b#0", "x".repeat(2_700_000))])).status, 413, "the request");
  release(reply(done(1)));
});
