// Checks: things that happen at the same moment. Each is tried many times at random distances, because none of them may ever go wrong.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { check } from "../report.mjs";
import { open } from "./checkpoints.mjs";
import { OVER, done, reply, result, signal } from "./flow.mjs";

const some = (most) => sleep(Math.random() * most);
const times = (n, each) => Promise.all(Array.from({ length: n }, (_, i) => each(i)));

check("a signal at any moment around a park is never lost", {}, async (t) => {
  const ROUNDS = 5;
  const flow = await t.flow(async (invoke) => {
    await some(15);
    const have = invoke.journal.entries.length;
    return have < ROUNDS ? reply(signal(`go#${have}`, "go"), `go#${have}`) : reply(done(invoke.journal.entries.map((entry) => entry.value)));
  });
  await times(40, async () => {
    const run = await flow.start(1);
    for (let round = 0; round < ROUNDS; round += 1) {
      await some(30);
      await run.signal("go", round);
    }
    assert.deepEqual(await run.output(), [0, 1, 2, 3, 4]);
  });
});

check("a signal and its timeout at the same moment: one of the two, and the signal is not lost", {}, async (t) => {
  const flow = await t.flow([reply(signal("go#0", "go", 300), "go#0"), reply(signal("go#1", "go"), "go#1"), reply(done(1))]);
  await times(30, async () => {
    const run = await flow.start(1);
    await run.invoke(1);
    await sleep(270 + Math.random() * 60);
    await run.signal("go", "once");
    const [first] = (await run.invoke(2)).journal.entries;
    if (first.state === "ok") return assert.equal(first.value, "once");
    const [, second] = (await run.invoke(3)).journal.entries;
    return assert.deepEqual([first.state, second.state, second.value], ["timeout", "ok", "once"]);
  });
});

check("a cancel at any moment ends the run, and nothing is dispatched after it", {}, async (t) => {
  const flow = await t.flow(async (invoke, number) => {
    await some(10);
    return reply(result(`s#${number}`, number));
  });
  await times(30, async () => {
    const run = await flow.start(1);
    await some(200);
    await run.control("cancel");
    const atMs = performance.now();
    await sleep(300);
    assert.equal((await run.show()).status, "cancelled");
    // One dispatch may have been on its way.
    assert.ok(run.invokes.filter((invoke) => invoke.atMs > atMs).length <= 1, "dispatched after the cancel");
  });
});

check("pauses and resumes at any moment lose nothing and double nothing", {}, async (t) => {
  const STEPS = 40;
  const flow = await t.flow(async (invoke) => {
    await some(5);
    const have = invoke.journal.entries.length;
    return have < STEPS ? reply(result(`s#${have}`, have)) : reply(done(invoke.journal.entries.map((entry) => entry.value)));
  });
  await times(10, async () => {
    const run = await flow.start(1);
    for (let i = 0; i < 10; i += 1) {
      await some(40);
      const verb = await run.post(i % 2 === 0 ? "pause" : "resume");
      if (OVER.includes((await run.show()).status)) break;
      assert.equal(verb.status, 200, verb.text);
    }
    await run.post("resume");
    assert.deepEqual(await run.output(), Array.from({ length: STEPS }, (_, i) => i));
  });
});

check("of ten values for one key at the same time one is recorded, and all are told the same", {}, async (t) => {
  const { run, invoke, release } = await open(t, [reply(done(1))]);
  const answers = await times(10, (i) => run.checkpoint(invoke, [result("a#0", i)]));
  release(reply([]));
  const [entry] = (await run.invoke(2)).journal.entries;
  for (const [i, answer] of answers.entries()) {
    const [told] = answer.json.journal.entries;
    assert.equal(told.echo ? i : told.value, entry.value);
  }
});

check("children that end while their parent parks are never lost", {}, async (t) => {
  const app = await t.app([{ script: async (invoke) => { await some(30); return reply(done(invoke.input)); } }, { script: [] }]);
  const [kid, parent] = app.flows;
  parent.script = async (invoke, number) => {
    if (number === 1) {
      await run(invoke).checkpoint(invoke, [0, 1, 2].map((i) => ({ op: "child", key: `sub#${i}`, workflow: kid.name, input: i })));
      await some(40);
      return reply([], { all: ["sub#0", "sub#1", "sub#2"] });
    }
    return reply(done(invoke.journal.entries.map((entry) => entry.value).sort()));
  };
  const run = (invoke) => parent.run(invoke.run.id);
  await times(30, async () => assert.deepEqual(await (await parent.start(1)).output(), [0, 1, 2]));
});
