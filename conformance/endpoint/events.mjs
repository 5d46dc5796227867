// Checks: events wake the runs that wait for them, and start runs.

import assert from "node:assert/strict";
import { check } from "../report.mjs";
import { done, nap, reply } from "./flow.mjs";

let count = 0;
const fresh = () => `kit.event.${Date.now().toString(36)}.${count += 1}`;
const wait = (name, match, timeoutMs) => ({ op: "event", key: "paid#0", name, ...(match && { match }), ...(timeoutMs && { timeoutMs }) });

async function publish(t, name, data, more) {
  const answer = await t.api("POST", "/v1/events", { name, data, ...more });
  assert.equal(answer.status, 202, answer.text);
  return answer.json;
}

check("an event wakes the run that waits for it", {}, async (t) => {
  const name = fresh();
  const run = await (await t.flow([reply(wait(name), "paid#0"), reply(done(1))])).start(1);
  await run.until("waiting");
  const event = await publish(t, name, { id: "inv_1" });
  const [entry] = (await run.invoke(2)).journal.entries;
  assert.deepEqual([entry.kind, entry.state, entry.value], ["event", "ok", { id: event.id, name, data: { id: "inv_1" } }]);
});

check("only an event that matches wakes the run", {}, async (t) => {
  const name = fresh();
  const run = await (await t.flow([reply(wait(name, { "data.customer.id": "c1", "data.total": 5 }), "paid#0"), reply(done(1))])).start(1);
  await run.until("waiting");
  await publish(t, name, { customer: { id: "c2" }, total: 5 });
  await publish(t, name, { total: 5 });
  await publish(t, fresh(), { customer: { id: "c1" }, total: 5 });
  await run.quiet(400);
  await publish(t, name, { customer: { id: "c1" }, total: 5.0 });
  assert.equal((await run.invoke(2)).journal.entries[0].value.data.customer.id, "c1");
});

check("an event before the wait does not count", {}, async (t) => {
  const name = fresh();
  const run = await (await t.flow([reply(nap("nap#0", 3_600_000), "nap#0"), reply(wait(name), "paid#0"), reply(done(1))])).start(1);
  await run.until("sleeping");
  await publish(t, name, { n: 1 });
  await run.control("wake");
  await run.until("waiting");
  await run.quiet(300);
  await publish(t, name, { n: 2 });
  assert.deepEqual((await run.invoke(3)).journal.entries.at(-1).value.data, { n: 2 });
});

check("an event that does not come is a timeout", {}, async (t) => {
  const run = await (await t.flow([reply(wait(fresh(), undefined, 400), "paid#0"), reply(done(1))])).start(1);
  const [entry] = (await run.invoke(2)).journal.entries;
  assert.deepEqual([entry.kind, entry.state], ["event", "timeout"]);
});

check("one event wakes all that wait for it, each once", {}, async (t) => {
  const name = fresh();
  const flow = await t.flow([reply(wait(name), "paid#0"), reply(done(1))]);
  const runs = await Promise.all(Array.from({ length: 10 }, (_, i) => flow.start(i)));
  await Promise.all(runs.map((run) => run.until("waiting")));
  await publish(t, name, 1);
  await Promise.all(runs.map((run) => run.output()));
  assert.ok(runs.every((run) => run.invokes.length === 2));
});

check("an event that is published twice with one id counts once", {}, async (t) => {
  const name = fresh();
  const flow = await t.flow((invoke) => reply(done(invoke.input)), { triggers: [{ event: name }] });
  const [first, second] = [await publish(t, name, 1, { id: `${name}-1` }), await publish(t, name, 1, { id: `${name}-1` })];
  assert.equal(first.id, second.id);
  await publish(t, name, 2);
  await t.stage.until("two runs", () => flow.invokes.size >= 2);
  assert.equal(flow.invokes.size, 2);
});

check("an event starts the workflows whose triggers match", {}, async (t) => {
  const name = fresh();
  const any = { script: (invoke) => reply(done(invoke.input)), triggers: [{ event: name }] };
  const german = { script: (invoke) => reply(done(invoke.input)), triggers: [{ event: name, match: { "data.country": "DE" } }] };
  const app = await t.app([any, german]);
  const event = await publish(t, name, { country: "FR" });
  const [flow, other] = app.flows;
  await t.stage.until("the run that the event started", () => flow.invokes.size === 1);
  const run = flow.run([...flow.invokes.keys()][0]);
  assert.deepEqual(await run.output(), { event: { id: event.id, name, data: { country: "FR" } } });
  await publish(t, name, { country: "DE" });
  await t.stage.until("both are started", () => flow.invokes.size === 2 && other.invokes.size === 1);
});
