// Checks: concurrency, singletons, debounce and rates of workflows.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { check } from "../report.mjs";
import { done, nap, reply, signal } from "./flow.mjs";

/** A workflow whose dispatches take 150 ms; `most` is how many there were at a time, by input.k. */
async function measured(t, described) {
  const now = new Map();
  const most = new Map();
  const flow = await t.flow(async (invoke) => {
    const k = invoke.input.k;
    now.set(k, (now.get(k) ?? 0) + 1);
    most.set(k, Math.max(most.get(k) ?? 0, now.get(k)));
    await sleep(150);
    now.set(k, now.get(k) - 1);
    return reply(done(1));
  }, described);
  return { flow, most };
}

check("no more runs than the limit are dispatched at the same time", {}, async (t) => {
  const { flow, most } = await measured(t, { concurrency: { limit: 2 } });
  const runs = await Promise.all(Array.from({ length: 8 }, () => flow.start({ k: 1 })));
  await Promise.all(runs.map((run) => run.output()));
  assert.equal(most.get(1), 2);
});

check("the limit is for each key", {}, async (t) => {
  const { flow, most } = await measured(t, { concurrency: { limit: 1, key: "input.k" } });
  const runs = await Promise.all(Array.from({ length: 8 }, (_, i) => flow.start({ k: i % 2 })));
  await Promise.all(runs.map((run) => run.output()));
  assert.deepEqual([most.get(0), most.get(1)], [1, 1]);
});

check("a run that sleeps or waits holds no place", {}, async (t) => {
  const flow = await t.flow((invoke, number) => (invoke.input === "first" && number === 1 ? reply([nap("nap#0", 3_600_000), signal("go#0", "go")], { any: ["nap#0", "go#0"] }) : reply(done(1))), { concurrency: { limit: 1 } });
  const first = await flow.start("first");
  await first.until("sleeping").catch(() => first.until("waiting"));
  await (await flow.start("second")).output(10_000);
});

check("a singleton that skips answers the run there is", {}, async (t) => {
  const flow = await t.flow([reply(signal("go#0", "go"), "go#0"), reply(done(1))], { singleton: { key: "input.k", mode: "skip" } });
  const run = await flow.start({ k: 1 });
  await run.until("waiting");
  assert.equal((await flow.start({ k: 1, more: true })).id, run.id);
  assert.notEqual((await flow.start({ k: 2 })).id, run.id);
  await run.signal("go", 1);
  await run.output();
  assert.notEqual((await flow.start({ k: 1 })).id, run.id);
});

check("a singleton that cancels takes the place of the run there is", {}, async (t) => {
  const flow = await t.flow([reply(signal("go#0", "go"), "go#0"), reply(done(1))], { singleton: { mode: "cancel" } });
  const run = await flow.start(1);
  await run.until("waiting");
  const next = await flow.start(2);
  assert.notEqual(next.id, run.id);
  await run.until("cancelled");
  await next.until("waiting");
});

check("starts within the debounce become one run with the last input", {}, async (t) => {
  const flow = await t.flow((invoke) => reply(done(invoke.input)), { debounce: { seconds: 2, key: "input.k" } });
  const runs = [];
  for (const n of [1, 2, 3]) runs.push(await flow.start({ k: "a", n }));
  assert.equal(new Set(runs.map((run) => run.id)).size, 1);
  assert.deepEqual(await runs[0].output(), { k: "a", n: 3 });
  assert.equal(runs[0].invokes.length, 1);
});

check("a rate limit spreads first dispatches over its periods", {}, async (t) => {
  const flow = await t.flow((invoke) => reply(done(invoke.input)), { rateLimit: { limit: 2, periodSeconds: 2 } });
  const runs = await Promise.all([1, 2, 3, 4].map((n) => flow.start(n)));
  await Promise.all(runs.map((run) => run.output()));
  const at = runs.map((run) => run.invokes[0].atMs).sort((a, b) => a - b);
  // Two fixed windows may meet: of any three dispatches two lie in different ones.
  assert.ok(at[3] - at[0] >= 900, `all four within ${at[3] - at[0]} ms`);
});

check("runs that wait for a place go in the order of their starts", {}, async (t) => {
  const order = [];
  const script = async (invoke) => { order.push(invoke.input); await sleep(300); return reply(done(1)); };
  const flow = await t.flow(script, { concurrency: { limit: 1 } });
  const first = await flow.start("first");
  await first.invoke(1);
  const later = [await flow.start("second"), await flow.start("third")];
  await Promise.all(later.map((run) => run.output()));
  assert.deepEqual(order, ["first", "second", "third"]);
});
