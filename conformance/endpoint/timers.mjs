// Checks: sleeps, and waking them.

import assert from "node:assert/strict";
import { check } from "../report.mjs";
import { done, nap, reply } from "./flow.mjs";

const gap = (run, number) => run.invokes[number].atMs - run.invokes[number - 1].atMs;

check("a sleep ends when it is over, with null", {}, async (t) => {
  const flow = await t.flow([reply(nap("nap#0", 1_200), "nap#0"), reply(done(1))]);
  const run = await flow.start(1);
  const [entry] = (await run.invoke(2)).journal.entries;
  assert.deepEqual([entry.key, entry.kind, entry.state, entry.value], ["nap#0", "sleep", "ok", null]);
  assert.ok(gap(run, 1) >= 1_150, `after ${gap(run, 1)} ms`);
  assert.equal(run.invokes.length, 2);
});

check("a sleep until a time ends then", {}, async (t) => {
  const untilMs = Date.now() + 1_500;
  const flow = await t.flow([reply({ op: "sleep", key: "nap#0", untilMs }, "nap#0"), reply(done(1))]);
  const run = await flow.start(1);
  await run.invoke(2);
  assert.ok(Date.now() >= untilMs - 50);
});

check("a sleep until a time that is past is over at once", {}, async (t) => {
  const flow = await t.flow([reply({ op: "sleep", key: "nap#0", untilMs: 1_000 }, "nap#0"), reply(done(1))]);
  await (await flow.start(1)).output(5_000);
});

check("a sleep of nothing is an entry", {}, async (t) => {
  const flow = await t.flow([reply(nap("nap#0", 0), "nap#0"), reply(done(1))]);
  const run = await flow.start(1);
  assert.equal((await run.invoke(2)).journal.entries[0].key, "nap#0");
});

check("a run that sleeps a year shows when it wakes and is not dispatched", {}, async (t) => {
  const flow = await t.flow([reply(nap("nap#0", 31_536_000_000), "nap#0")]);
  const run = await flow.start(1);
  const shown = await run.until("sleeping");
  assert.ok(JSON.stringify(shown).includes(String(new Date().getUTCFullYear() + 1)), "the time stands there");
  await run.quiet(700);
});

check("wake ends a sleep with \"woken\"", {}, async (t) => {
  const flow = await t.flow([reply(nap("nap#0", 3_600_000), "nap#0"), reply(done(1))]);
  const run = await flow.start(1);
  await run.until("sleeping");
  await run.control("wake");
  assert.equal((await run.invoke(2)).journal.entries[0].value, "woken");
});

check("a sleep that is registered again does not start again", {}, async (t) => {
  const wait = [nap("nap#0", 3_000), { op: "signal", key: "go#0", name: "go" }];
  const flow = await t.flow([reply(wait, { any: ["nap#0", "go#0"] }), reply(nap("nap#0", 3_000), "nap#0"), reply(done(1))]);
  const run = await flow.start(1);
  await run.invoke(1);
  await new Promise((later) => setTimeout(later, 1_800));
  await run.signal("go", 1);
  await run.invoke(3);
  const total = run.invokes[2].atMs - run.invokes[0].atMs;
  assert.ok(total >= 2_950 && total < 4_700, `the sleep took ${total} ms`);
});

check("a sleep that the code shortens ends as if it had been that long from the first", {}, async (t) => {
  const wait = [nap("nap#0", 3_600_000), { op: "signal", key: "go#0", name: "go" }];
  const flow = await t.flow([reply(wait, { any: ["nap#0", "go#0"] }), reply(nap("nap#0", 200), "nap#0"), reply(done(1))]);
  const run = await flow.start(1);
  await run.invoke(1);
  await run.signal("go", 1);
  assert.deepEqual((await run.invoke(3)).journal.entries.map((entry) => entry.key), ["go#0", "nap#0"]);
});

check("timers of one run end in their order", {}, async (t) => {
  const flow = await t.flow([reply([nap("late#0", 900), nap("early#0", 300)], { all: ["late#0", "early#0"] }), reply(done(1))]);
  const run = await flow.start(1);
  assert.deepEqual((await run.invoke(2)).journal.entries.map((entry) => entry.key), ["early#0", "late#0"]);
  assert.equal(run.invokes.length, 2);
});
