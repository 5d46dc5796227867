// Checks: what is easily forgotten: waits planned in a checkpoint, timeouts of nothing, children that cannot run, an app that moves.

import assert from "node:assert/strict";
import { check } from "../report.mjs";
import { open } from "./checkpoints.mjs";
import { done, error, nap, pauseReason, reply, result, signal } from "./flow.mjs";

const entriesOf = async (run, invoke) => (await run.checkpoint(invoke, [])).json.journal.entries;

check("a wait of no time takes a buffered signal, or times out", {}, async (t) => {
  const script = [reply(nap("nap#0", 3_600_000), "nap#0"), reply(signal("go#0", "go", 0), "go#0"), reply(signal("go#1", "go", 0), "go#1"), reply(done(1))];
  const run = await (await t.flow(script)).start(1);
  await run.until("sleeping");
  await run.signal("go", "early");
  await run.control("wake");
  await run.output();
  const entries = (await run.invoke(4)).journal.entries.slice(1);
  assert.deepEqual(entries.map((entry) => [entry.key, entry.state]), [["go#0", "ok"], ["go#1", "timeout"]]);
});

check("an event, a child and a fetch that are planned in a checkpoint come in later answers", {}, async (t) => {
  const target = t.target();
  const kid = await t.flow([reply(done("grown"))]);
  const { run, invoke, release } = await open(t);
  const name = `kit.corner.${t.nonce}.${Math.random()}`;
  const answer = await run.checkpoint(invoke, [
    { op: "event", key: "e#0", name }, { op: "child", key: "c#0", workflow: kid.name }, { op: "fetch", key: "f#0", request: { url: target.url } },
    { op: "publish", key: "p#0", message: { url: target.url } },
  ]);
  assert.equal(answer.status, 200, answer.text);
  await t.api("POST", "/v1/events", { name, data: 1 });
  const found = await t.stage.until("four entries", async () => {
    const entries = await entriesOf(run, invoke);
    return entries.length === 4 && entries;
  });
  assert.deepEqual(found.map((entry) => [entry.key, entry.state]).sort(), [["c#0", "ok"], ["e#0", "ok"], ["f#0", "ok"], ["p#0", "ok"]]);
  release(reply(done(1)));
  await run.output();
  assert.equal(run.invokes.length, 1);
});

check("an approval that is planned in a checkpoint can be answered during the dispatch", {}, async (t) => {
  const { run, invoke, release } = await open(t);
  await run.checkpoint(invoke, [{ op: "approval", key: "ok#0" }]);
  assert.equal((await run.post(`approvals/${encodeURIComponent("ok#0")}`, { approve: true })).status, 200);
  assert.equal((await entriesOf(run, invoke))[0].value.approved, true);
  release(reply(done(1)));
});

check("a retry that is reported in a checkpoint keeps its number when the dispatch makes it itself", {}, async (t) => {
  const { run, invoke, release } = await open(t, [reply(done(1))]);
  await run.checkpoint(invoke, [error("a#0", "first", { retry: { afterMs: 60_000 }, attempt: 1 })]);
  await run.checkpoint(invoke, [error("a#0", "second", { retry: { afterMs: 60_000 }, attempt: 2 })]);
  release(reply([signal("go#0", "go")], "go#0"));
  await run.signal("go", 1);
  assert.equal((await run.invoke(2)).pending.find((one) => one.key === "a#0").attempt, 3);
});

check("a failed attempt that is reported twice counts once", {}, async (t) => {
  const { run, invoke, release } = await open(t, [reply(done(1))]);
  const failed = [error("a#0", "first", { retry: { afterMs: 60_000 }, attempt: 1 })];
  await run.checkpoint(invoke, failed);
  await run.checkpoint(invoke, failed);
  release(reply([...failed, signal("go#0", "go")], "go#0"));
  await run.signal("go", 1);
  assert.equal((await run.invoke(2)).pending.find((one) => one.key === "a#0").attempt, 2);
});

check("a child of a workflow that nobody serves does not hang its parent without a word", {}, async (t) => {
  const run = await (await t.flow([reply({ op: "child", key: "sub#0", workflow: `kit-nowhere-${t.nonce}` }, "sub#0"), reply(done(1))])).start(1);
  const shown = await t.stage.until("an error of the step, or a pause with a reason", async () => {
    const one = await run.show();
    return (run.invokes.length > 1 || one.status === "paused" || one.status === "failed") && one;
  }, 10_000);
  if (run.invokes.length > 1) assert.equal(run.invokes[1].body.journal.entries[0].state, "error");
  else assert.ok(pauseReason(shown) || shown.error, JSON.stringify(shown).slice(0, 300));
});

check("an app that moves is invoked at its new place, also for runs that wait", {}, async (t) => {
  const old = await t.flow([reply(signal("go#0", "go"), "go#0")]);
  const run = await old.start(1);
  await run.until("waiting");
  const { app } = old;
  const place = `${app.name}-new`;
  t.stage.apps.set(place, app);
  assert.equal((await app.register({ url: `${t.stage.url}/app/${place}` })).status, 200);
  old.script = () => reply(done("moved"));
  // Whoever still comes to the old place finds nothing.
  t.stage.apps.delete(app.name);
  await run.signal("go", 1);
  assert.equal(await run.output(), "moved");
});

check("the end of a run cancels the fetch that it did not wait for", {}, async (t) => {
  const target = t.target(() => ({ status: 503, body: {} }));
  const run = await (await t.flow([reply([{ op: "fetch", key: "f#0", request: { url: target.url, maxAttempts: 10 } }, done("early")])])).start(1);
  assert.equal(await run.output(), "early");
  await run.quiet(500);
  assert.ok(target.length <= 1, `${target.length} calls`);
});

check("the end of a run cancels the children that it did not wait for", {}, async (t) => {
  const kid = await t.flow([reply(signal("go#0", "go"), "go#0")]);
  const flow = await t.flow([reply([{ op: "child", key: "sub#0", workflow: kid.name }, signal("end#0", "end")], "end#0"), reply(done("early"))]);
  const run = await flow.start(1);
  await t.stage.until("the child", () => kid.invokes.size === 1);
  await run.signal("end", 1);
  await run.output();
  await kid.run([...kid.invokes.keys()][0]).until("cancelled");
});

check("keys of every kind of character come back as they were", {}, async (t) => {
  const keys = ["two words#0", "a#b#0", "\u{1F980}#0", "a/b?c=d&e#0", "'; drop table run; --#0", "\\\"{}#0", `${"n".repeat(200)}#0`, "s#999999999"];
  const run = await (await t.flow([reply(keys.map((key, i) => result(key, i))), reply(done(1))])).start(1);
  assert.deepEqual((await run.invoke(2)).journal.entries.map((entry) => entry.key), keys);
});

check("a reply may plan and finish ten thousand steps", {}, async (t) => {
  const ops = Array.from({ length: 10_000 }, (_, i) => result(`s#${i}`, i));
  const run = await (await t.flow([reply(ops), reply(done(1))])).start(1);
  const last = await run.invoke(2);
  assert.equal(last.journal.entries[0].key, "s#0");
  await run.output();
});

check("a run may wait for ten thousand signals", {}, async (t) => {
  const keys = Array.from({ length: 10_000 }, (_, i) => `w#${i}`);
  const run = await (await t.flow([reply(keys.map((key) => signal(key, "go")), { any: keys }), reply(done(1))])).start(1);
  await run.until("waiting");
  await run.signal("go", 1);
  assert.equal((await run.invoke(2)).journal.entries[0].key, "w#0");
});

check("five thousand sleeps of one run that end together are drained", {}, async (t) => {
  const keys = Array.from({ length: 5_000 }, (_, i) => `z#${i}`);
  const run = await (await t.flow([reply(keys.map((key) => nap(key, 1)), { all: keys }), reply(done(1))])).start(1);
  await run.output();
  assert.equal(run.invokes.length, 2);
});
