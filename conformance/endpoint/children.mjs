// Checks: children: started once, their end is an entry of the parent, cancelling goes down.

import assert from "node:assert/strict";
import { check } from "../report.mjs";
import { done, fail, reply, signal } from "./flow.mjs";

const child = (key, workflow, input, more) => ({ op: "child", key, workflow, input, ...more });

/** A parent whose script is given the name of its child's workflow. */
async function family(t, childScript, parentScript) {
  const app = await t.app([{ script: childScript }, { script: [] }]);
  const [kid, parent] = app.flows;
  parent.script = parentScript(kid.name);
  return { kid, parent, run: await parent.start({ parent: true }) };
}

const kidRun = async (t, kid) => {
  await t.stage.until("the child's dispatch", () => kid.invokes.size > 0);
  return kid.run([...kid.invokes.keys()][0]);
};

check("a child gets its input and parent, and its output is the parent's entry", {}, async (t) => {
  const { kid, run } = await family(t, (invoke) => reply(done({ doubled: invoke.input.n * 2 })), (name) => [reply(child("sub#0", name, { n: 21 }), "sub#0"), reply(done(1))]);
  const [entry] = (await run.invoke(2)).journal.entries;
  const grown = await kidRun(t, kid);
  const invoke = await grown.invoke(1);
  assert.deepEqual(invoke.input, { n: 21 });
  assert.deepEqual(invoke.run.parent, { id: run.id, key: "sub#0" });
  assert.deepEqual([entry.kind, entry.state, entry.value, entry.run], ["child", "ok", { doubled: 42 }, grown.id]);
});

check("a child's failure is an error with its id and cause", {}, async (t) => {
  const { kid, run } = await family(t, [reply({ op: "fail", error: { name: "PayError", message: "declined" } })], (name) => [reply(child("sub#0", name), "sub#0"), reply(done(1))]);
  const [entry] = (await run.invoke(2)).journal.entries;
  assert.deepEqual([entry.kind, entry.state, entry.error.name], ["child", "error", "ChildFailed"]);
  assert.equal(entry.error.runId, (await kidRun(t, kid)).id);
  assert.deepEqual([entry.error.cause.name, entry.error.cause.message], ["PayError", "declined"]);
});

check("a child that is cancelled is an error", {}, async (t) => {
  const { kid, run } = await family(t, [reply(signal("go#0", "go"), "go#0")], (name) => [reply(child("sub#0", name), "sub#0"), reply(done(1))]);
  const grown = await kidRun(t, kid);
  await grown.until("waiting");
  await grown.control("cancel");
  const [entry] = (await run.invoke(2)).journal.entries;
  assert.deepEqual([entry.state, entry.error.name, entry.error.runId], ["error", "ChildCancelled", grown.id]);
});

check("a child op that is sent again starts no second child", {}, async (t) => {
  const { kid, run } = await family(t, [reply(signal("go#0", "go"), "go#0"), reply(done("grown"))], (name) => [
    reply([child("sub#0", name), child("sub#0", name), signal("on#0", "on")], "on#0"),
    reply(child("sub#0", name), "sub#0"),
    reply(done(1)),
  ]);
  const grown = await kidRun(t, kid);
  await grown.until("waiting");
  await run.signal("on", 1);
  await run.invoke(2);
  await grown.signal("go", 1);
  await run.output();
  assert.equal(kid.invokes.size, 1);
});

check("cancelling the parent cancels its children and theirs", {}, async (t) => {
  const app = await t.app([{ script: [reply(signal("go#0", "go"), "go#0")] }, { script: [] }, { script: [] }]);
  const [leaf, middle, top] = app.flows;
  middle.script = [reply([child("l#0", leaf.name), child("l#1", leaf.name)], { all: ["l#0", "l#1"] })];
  top.script = [reply([child("m#0", middle.name), child("m#1", middle.name)], { all: ["m#0", "m#1"] })];
  const run = await top.start(1);
  await t.stage.until("four grandchildren", () => leaf.invokes.size === 4);
  await run.control("cancel");
  const kids = [...middle.invokes.keys()].map((id) => middle.run(id)).concat([...leaf.invokes.keys()].map((id) => leaf.run(id)));
  for (const kid of kids) await kid.until("cancelled");
  assert.equal(run.invokes.length, 1);
});

check("fifty children wake their parent a few times, not fifty", {}, async (t) => {
  const keys = Array.from({ length: 50 }, (_, i) => `sub#${i}`);
  const { run } = await family(t, (invoke) => reply(done(invoke.input)), (name) => (invoke, number) => (number === 1
    ? reply(keys.map((key, i) => child(key, name, i)), { all: keys })
    : reply(done(invoke.journal.entries.map((entry) => [entry.key, entry.value])))));
  const output = await run.output();
  assert.deepEqual(output.sort((a, b) => a[1] - b[1]), keys.map((key, i) => [key, i]));
  assert.equal(run.invokes.length, 2, "it waits for all of them");
});

check("the first of several children wins an any", {}, async (t) => {
  const { kid, run } = await family(t, (invoke) => (invoke.input === "quick" ? reply(done("quick")) : reply(signal("go#0", "go"), "go#0")), (name) => [
    reply([child("slow#0", name, "slow"), child("quick#0", name, "quick")], { any: ["slow#0", "quick#0"] }), reply(done(1))]);
  const { entries } = (await run.invoke(2)).journal;
  assert.deepEqual(entries.map((entry) => entry.key), ["quick#0"]);
  await run.output();
  for (const id of kid.invokes.keys()) kid.run(id);
});

check("a child's failure does not fail the parent by itself", {}, async (t) => {
  const { run } = await family(t, [reply(fail("no"))], (name) => [reply(child("sub#0", name), "sub#0"), reply(done("caught"))]);
  assert.equal(await run.output(), "caught");
});

check("a child can be given its own id", {}, async (t) => {
  const id = `kit-${Date.now()}`;
  const { kid, run } = await family(t, [reply(done(1))], (name) => [reply(child("sub#0", name, 1, { id }), "sub#0"), reply(done(1))]);
  await run.output();
  assert.equal((await (await kidRun(t, kid)).invoke(1)).run.externalId, id);
});
