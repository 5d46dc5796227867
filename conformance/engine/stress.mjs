// Checks: much at a time, and an engine that is out of order.

import assert from "node:assert/strict";
import { check } from "../report.mjs";

check("fifty runs at the same time do not mix", { workflow: "kit-parallel" }, async (t) => {
  const inputs = Array.from({ length: 50 }, (_, i) => ({ leftMs: i % 7, middleMs: i % 5, rightMs: i % 3 }));
  const runs = await Promise.all(inputs.map((input) => t.drive("kit-parallel", { input })));
  for (const run of runs) {
    assert.deepEqual(run.end.value, ["left", "middle", "right"]);
    assert.equal((await t.keys(run)).length, 3);
  }
});

check("a journal of 10,000 steps and 32 MB is resumed", { workflow: "kit-long" }, async (t) => {
  const pad = "x".repeat(3_200);
  const entries = Array.from({ length: 10_000 }, (_, i) => ({ key: `s#${i}`, value: { i, pad } }));
  const run = await t.drive("kit-long", { input: { n: 10_001 }, entries });
  assert.deepEqual(run.end.value, { sum: 50_005_000 });
  assert.deepEqual(await t.keys(run), ["s#10000"]);
});

check("more parallel steps than fit into one reply are reported in several", { workflow: "kit-wide" }, async (t) => {
  const run = await t.drive("kit-wide", { input: { n: 12_000 } });
  assert.deepEqual(run.end.value, { sum: 71_994_000 });
  assert.equal((await t.keys(run)).length, 12_000);
});

check("a page of the journal that is answered with 503 is asked for again", { workflow: "kit-sequence" }, async (t) => {
  let asked = 0;
  const busy = () => (asked++ === 0 ? { status: 503, headers: { "retry-after": "0" } } : undefined);
  const run = await t.drive("kit-sequence", { entries: [{ key: "a#0", value: { n: 5 } }], knobs: { inlineBytes: 0, onPage: busy } });
  assert.deepEqual(run.end.value, { n: 7 });
  assert.deepEqual(await t.keys(run), ["b#0", "c#0"]);
  assert.ok(asked >= 2);
});

check("a page of the journal that is answered with 409 stops the dispatch", { workflow: "kit-sequence" }, async (t) => {
  const run = t.run("kit-sequence", { entries: [{ key: "a#0", value: { n: 5 } }], knobs: { inlineBytes: 0, onPage: () => ({ status: 409 }) } });
  const reply = await t.host.dispatch(run).catch((error) => error);
  assert.ok(reply instanceof Error || reply.ops.length === 0);
  assert.deepEqual(await t.keys(run), []);
});

check("an engine that cannot be reached for checkpoints loses nothing", { workflow: "kit-sequence", modes: ["each", "batched"] }, async (t) => {
  const away = { onCheckpoint: () => ({ lose: true, unrecorded: true }) };
  const run = t.run("kit-sequence", { knobs: away });
  await t.host.dispatch(run).catch(() => {});
  run.knobs.onCheckpoint = undefined;
  await t.host.drive(run);
  assert.deepEqual(run.end.value, { n: 3 });
  assert.deepEqual(run.entries.map((entry) => entry.key), ["a#0", "b#0", "c#0"]);
});
