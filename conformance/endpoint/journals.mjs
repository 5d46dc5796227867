// Checks: long journals: what is inline, and the pages of the rest.

import assert from "node:assert/strict";
import { check } from "../report.mjs";
import { open } from "./checkpoints.mjs";
import { done, reply, result } from "./flow.mjs";

const PAD = "x".repeat(10_000);
const steps = (from, to) => Array.from({ length: to - from }, (_, i) => result(`s#${from + i}`, { i: from + i, pad: PAD }));

/** Reads the pages after an invoke's inline entries. */
async function pages(t, invoke, token = invoke.fence.token) {
  const found = [...invoke.journal.entries];
  let count = 0;
  for (let next = invoke.journal.next; next !== null; count += 1) {
    const page = await t.api("GET", `${invoke.engine.journal}?cursor=${encodeURIComponent(next)}`, undefined, { key: token });
    assert.equal(page.status, 200, page.text);
    assert.ok(page.text.length <= 1_048_576 + 20_000 || page.json.entries.length === 1, `a page of ${page.text.length} bytes`);
    assert.ok(page.json.entries.length > 0, "no empty page");
    assert.equal(page.json.seq, page.json.entries.at(-1).seq);
    found.push(...page.json.entries);
    next = page.json.next;
  }
  return { found, count };
}

check("a long journal is inline up to its limit, and its pages give the rest", {}, async (t) => {
  const flow = await t.flow([reply(steps(0, 150)), reply(steps(150, 300)), reply(done(1))]);
  const run = await flow.start(1);
  const invoke = await run.invoke(3);
  const inline = JSON.stringify(invoke.journal.entries).length;
  assert.ok(inline <= invoke.limits.inlineBytes + 20_000, `${inline} bytes inline`);
  assert.ok(invoke.journal.next !== null);
  const twin = await open(t);
  twin.release(reply(done(1)));
  assert.equal((await t.api("GET", `${invoke.engine.journal}?after=0`, undefined, { key: null })).status, 401);
  assert.equal((await t.api("GET", `${invoke.engine.journal}?after=0`, undefined, { key: twin.invoke.fence.token })).status, 401);
});

check("the pages of a dispatch that runs have every entry, in order", {}, async (t) => {
  let got;
  const flow = await t.flow(async (invoke, number) => {
    if (number === 1) return reply(steps(0, 150));
    if (number === 2) return reply(steps(150, 300));
    got = await pages(t, invoke);
    return reply(done(1));
  });
  await (await flow.start(1)).output();
  assert.deepEqual(got.found.map((entry) => entry.seq), Array.from({ length: 300 }, (_, i) => i + 1));
  assert.ok(got.found.every((entry, i) => entry.value.i === i && entry.value.pad === PAD));
  assert.ok(got.count >= 2, `${got.count} pages`);
});

check("after begins behind an entry", {}, async (t) => {
  const { run, invoke, release } = await open(t);
  await run.checkpoint(invoke, [result("a#0", 1), result("b#0", 2), result("c#0", 3)]);
  const page = await t.api("GET", `${invoke.engine.journal}?after=1`, undefined, { key: invoke.fence.token });
  assert.deepEqual([page.json.v, page.json.entries.map((entry) => [entry.key, entry.value]), page.json.seq, page.json.next], [1, [["b#0", 2], ["c#0", 3]], 3, null]);
  release(reply(done(1)));
});

check("one entry larger than the inline limit comes in a page", {}, async (t) => {
  let got;
  const flow = await t.flow(async (invoke, number) => {
    if (number === 1) return reply([result("a#0", 1), result("big#0", "x".repeat(1_500_000)), result("c#0", 3)]);
    got = await pages(t, invoke);
    return reply(done(1));
  });
  await (await flow.start(1)).output();
  assert.deepEqual(got.found.map((entry) => entry.key), ["a#0", "big#0", "c#0"]);
  assert.equal(got.found[1].value.length, 1_500_000);
});

check("a checkpoint's answer is read on in pages", {}, async (t) => {
  const { run, invoke, release } = await open(t);
  for (let from = 0; from < 400; from += 100) assert.equal((await run.checkpoint(invoke, steps(from, from + 100), { have: from })).status, 200);
  const answer = await run.checkpoint(invoke, [], { have: 0 });
  const { found } = await pages(t, { ...invoke, journal: answer.json.journal });
  assert.deepEqual(found.map((entry) => entry.seq), Array.from({ length: 400 }, (_, i) => i + 1));
  release(reply(done(1)));
});

check("a journal is not given to an older fence", {}, async (t) => {
  const { run, invoke, release } = await open(t, [reply(done(1))]);
  release(reply(result("a#0", 1)));
  await run.output();
  const page = await t.api("GET", `${invoke.engine.journal}?after=0`, undefined, { key: invoke.fence.token });
  assert.ok([401, 409].includes(page.status), `status ${page.status}`);
});

check("two thousand steps of one run are all there", {}, async (t) => {
  const small = (from, to) => Array.from({ length: to - from }, (_, i) => result(`s#${from + i}`, from + i));
  let got;
  const flow = await t.flow(async (invoke, number) => {
    if (number < 3) return reply(small((number - 1) * 1_000, number * 1_000));
    got = await pages(t, invoke);
    return reply(done(1));
  });
  await (await flow.start(1)).output();
  assert.deepEqual(got.found.map((entry) => entry.value), Array.from({ length: 2_000 }, (_, i) => i));
});
