// Checks: what pauses a run until a person acts, and that acting helps.

import assert from "node:assert/strict";
import { check } from "../report.mjs";
import { done, pauseReason, reply, result, signal } from "./flow.mjs";

const diverged = { op: "diverged", message: "the code has changed", diff: { expected: [{ key: "a#0", kind: "run" }], asked: [{ key: "x#0", kind: "run" }] } };

async function paused(run, reason) {
  const shown = await run.until("paused");
  assert.equal(pauseReason(shown), reason, JSON.stringify(shown).slice(0, 500));
  await run.quiet(300);
  return shown;
}

check("a run that gets nowhere is paused after ten dispatches", {}, async (t) => {
  const run = await (await t.flow(() => reply([]))).start(1);
  await paused(run, "noProgress");
  assert.ok(run.invokes.length >= 10 && run.invokes.length <= 11, `${run.invokes.length} dispatches`);
});

check("progress starts the count anew", {}, async (t) => {
  const run = await (await t.flow((invoke, number) => (number > 30 ? reply(done(number)) : reply(number % 8 === 0 ? result(`s#${number}`, 1) : [])))).start(1);
  assert.equal(await run.output(), 31);
});

check("a run without progress goes on after resume", {}, async (t) => {
  const flow = await t.flow(() => reply([]));
  const run = await flow.start(1);
  await paused(run, "noProgress");
  flow.script = () => reply(done("healed"));
  await run.control("resume");
  assert.equal(await run.output(), "healed");
});

for (const [what, body] of [
  ["an unknown op", reply({ op: "what", key: "a#0" })],
  ["a bad key", reply(result("no key", 1))],
  ["an op that is no object", reply("done")],
  ["a tree of another kind", reply([], { none: ["a#0"] })],
  ["a leaf that is no key", reply([], "go")],
  ["33 levels", reply([], Array.from({ length: 33 }).reduce((tree) => ({ all: [tree] }), "a#0"))],
  ["an end before the last op", reply([done(1), result("a#0", 1)])],
  ["more than 10,000 ops", reply(Array.from({ length: 10_001 }, (_, i) => signal(`s#${i}`, "s")))],
  ["a negative wait", reply({ op: "sleep", key: "a#0", forMs: -1 })],
  ["ops that are no list", { v: 1, have: 0, ops: { op: "done" } }],
]) {
  check(`a reply with ${what} pauses the run, and nothing of it is recorded`, {}, async (t) => {
    const first = { ...body, ops: Array.isArray(body.ops) && body.ops.length <= 10_000 && body.ops[0]?.op !== "done" ? [result("before#0", 1), ...body.ops] : body.ops };
    const flow = await t.flow([first, reply(done("healed"))]);
    const run = await flow.start(1);
    await paused(run, "protocolError");
    await run.control("resume");
    assert.deepEqual((await run.invoke(2)).journal.entries, []);
    assert.equal(await run.output(), "healed");
  });
}

check("unserved pauses the run until an app registers the version", {}, async (t) => {
  const flow = await t.flow([reply({ op: "unserved", serves: [{ name: "other", version: "1" }] }), reply(done("served"))]);
  const run = await flow.start(1);
  assert.equal(pauseReason(await run.until("paused")), "unserved");
  assert.equal((await flow.app.register()).status, 200);
  assert.equal(await run.output(), "served");
});

check("a version that is described no more pauses its runs, and heals when it is again", {}, async (t) => {
  const flow = await t.flow([reply(signal("go#0", "go"), "go#0"), reply(done("served"))], { versions: ["1"] });
  const run = await flow.start(1);
  await run.until("waiting");
  flow.given.versions = ["2"];
  await flow.app.register();
  await run.signal("go", 1);
  await t.stage.until("the run is paused", async () => (await run.show()).status === "paused");
  assert.equal(pauseReason(await run.show()), "unserved");
  flow.given.versions = ["2", "1"];
  await flow.app.register();
  assert.equal(await run.output(), "served");
});

check("diverged pauses the run with its diff", {}, async (t) => {
  const run = await (await t.flow([reply(result("a#0", 1)), reply(diverged)])).start(1);
  const shown = await paused(run, "nonDeterminism");
  const text = JSON.stringify(shown);
  assert.ok(text.includes("x#0") && text.includes("a#0") && text.includes("the code has changed"), text.slice(0, 600));
});

check("resume after diverged tries again, without accepting", {}, async (t) => {
  const run = await (await t.flow([reply(result("a#0", 1)), reply(diverged), reply(done("old code"))])).start(1);
  await paused(run, "nonDeterminism");
  await run.control("resume");
  assert.equal((await run.invoke(3)).run.accept ?? 0, 0);
  assert.equal(await run.output(), "old code");
});

check("registering the app again after diverged lets its runs try again", {}, async (t) => {
  const flow = await t.flow([reply(result("a#0", 1)), reply(diverged), reply(done("old code"))]);
  const run = await flow.start(1);
  await paused(run, "nonDeterminism");
  assert.equal((await flow.app.register()).status, 200);
  assert.equal(await run.output(), "old code");
});

check("resume with accept tells the endpoint up to where the journal may be left alone", {}, async (t) => {
  const run = await (await t.flow([reply([result("a#0", 1), result("b#0", 2)]), reply(diverged), reply(done("new code"))])).start(1);
  await paused(run, "nonDeterminism");
  await run.control("resume", { accept: true });
  assert.equal((await run.invoke(3)).run.accept, 2);
  assert.equal(await run.output(), "new code");
});

check("a paused run keeps what comes and goes on where it was", {}, async (t) => {
  const run = await (await t.flow([reply(signal("go#0", "go"), "go#0"), reply(done(1))])).start(1);
  await run.until("waiting");
  await run.control("pause");
  await run.signal("go", "kept");
  await run.quiet(300);
  assert.equal((await run.show()).status, "paused");
  await run.control("resume");
  assert.equal((await run.invoke(2)).journal.entries[0].value, "kept");
});
