// Checks: apps, starting runs, and what comes with an invoke.

import assert from "node:assert/strict";
import { check } from "../report.mjs";
import { done, fail, reply, result } from "./flow.mjs";

const once = [reply(done("ok"))];

check("registering an app asks it what it serves and shows it", {}, async (t) => {
  const app = await t.app([{ script: once, triggers: [{ event: "kit.none" }] }, { script: once }]);
  assert.equal(app.answer.status, 201);
  assert.ok(app.described >= 1);
  assert.deepEqual(app.answer.json.workflows.map((one) => one.name).sort(), app.flows.map((one) => one.name).sort());
  assert.equal((await app.register()).status, 200);
});

check("an app that does not say what it serves cannot run anything", {}, async (t) => {
  const app = await t.app([{ script: once }]);
  app.describe = () => ({ status: 500, body: {} });
  const fresh = await t.api("PUT", `/v1/apps/${app.name}-x`, { url: app.url });
  assert.ok(fresh.status >= 400 || fresh.json.workflows.length === 0, fresh.text);
  const start = await t.api("POST", `/v1/workflows/${app.name}-x-0/runs`, { input: 1 });
  assert.ok(start.status === 404 || start.status === 422, start.text);
});

check("a start is accepted, dispatched once and completed", {}, async (t) => {
  const flow = await t.flow([reply(done({ total: 7 }))]);
  const answer = await t.api("POST", `/v1/workflows/${flow.name}/runs`, { input: { order: 1 } });
  assert.equal(answer.status, 202);
  assert.match(answer.json.id, /^run_[0-9a-f]{32}$/);
  const run = flow.run(answer.json.id);
  const invoke = await run.invoke(1);
  assert.deepEqual(invoke.input, { order: 1 });
  assert.deepEqual(invoke.journal.entries, []);
  assert.equal(invoke.workflow, flow.name);
  assert.equal(invoke.run.attempt, 1);
  assert.equal(invoke.run.externalId, undefined);
  assert.equal(invoke.run.parent, undefined);
  assert.deepEqual(await run.output(), { total: 7 });
  await run.quiet(300);
});

check("the same id and input give the same run", {}, async (t) => {
  const flow = await t.flow(once);
  const first = await t.api("POST", `/v1/workflows/${flow.name}/runs`, { input: { a: 1 }, id: "order-1" });
  const run = flow.run(first.json.id);
  assert.equal((await run.invoke(1)).run.externalId, "order-1");
  await run.output();
  const again = await t.api("POST", `/v1/workflows/${flow.name}/runs`, { input: { a: 1 }, id: "order-1" });
  assert.deepEqual([again.status, again.json.id], [200, run.id]);
  assert.equal((await t.api("POST", `/v1/workflows/${flow.name}/runs`, { input: { a: 2 }, id: "order-1" })).status, 422);
  await run.quiet(200);
});

check("the same idempotency key gives the same run, and another input 422", {}, async (t) => {
  const flow = await t.flow(once);
  const idempotencyKey = `${flow.name}-key`;
  const run = await flow.start({ a: 1 }, { idempotencyKey });
  assert.equal((await flow.start({ a: 1 }, { idempotencyKey })).id, run.id);
  assert.equal((await t.api("POST", `/v1/workflows/${flow.name}/runs`, { input: { a: 2 }, idempotencyKey })).status, 422);
});

check("twenty starts of one id at the same time give one run", {}, async (t) => {
  const flow = await t.flow(once);
  const runs = await Promise.all(Array.from({ length: 20 }, () => flow.start(1, { id: "same" })));
  assert.equal(new Set(runs.map((run) => run.id)).size, 1);
  await runs[0].output();
  assert.equal(runs[0].invokes.length, 1);
});

check("a delayed start waits", {}, async (t) => {
  const flow = await t.flow(once);
  const begun = performance.now();
  const run = await flow.start(1, { delaySeconds: 2 });
  await run.invoke(1);
  assert.ok(run.invokes[0].atMs - begun >= 1_900, `after ${run.invokes[0].atMs - begun} ms`);
});

check("a start of an unknown workflow is 404", {}, async (t) => {
  assert.equal((await t.api("POST", "/v1/workflows/kit-nowhere/runs", { input: 1 })).status, 404);
});

check("new runs get the version that was described first, others the one they name", {}, async (t) => {
  const flow = await t.flow((invoke) => reply(done(invoke.version)), { versions: ["2", "1"] });
  assert.equal(await (await flow.start(1)).output(), "2");
  assert.equal(await (await flow.start(1, { version: "1" })).output(), "1");
});

check("a run stays with its version when a newer one is registered", {}, async (t) => {
  const flow = await t.flow((invoke, n) => (n === 1 ? reply({ op: "signal", key: "go#0", name: "go" }, "go#0") : reply(done(invoke.version))), { versions: ["1"] });
  const run = await flow.start(1);
  await run.invoke(1);
  flow.given.versions = ["2", "1"];
  assert.equal((await flow.app.register()).status, 200);
  await run.signal("go", 1);
  assert.equal(await run.output(), "1");
  assert.equal(await (await flow.start(2).then(async (other) => { await other.invoke(1); await other.signal("go", 1); return other; })).output(), "2");
});

for (const [what, raw] of [["0", "0"], ["false", "false"], ["the empty string", '""'], ["null", "null"], ["an empty list", "[]"], ["an integer beyond 2^53", "12345678901234567890"],
  ["a NUL in a text", '"a\\u0000b"'], ["unicode beyond the BMP", '"\u{1F980} \\ud83e\\udd80"'], ["the order of keys", '{"b":1,"a":2,"__proto__":3}'], ["a fraction of zero", "1.0"]]) {
  check(`${what} comes back as input, as a result and as output`, {}, async (t) => {
    const flow = await t.flow((invoke, n) => (n === 1
      ? { text: `{"v":1,"have":0,"ops":[{"op":"result","key":"a#0","value":${raw}}]}` }
      : { text: `{"v":1,"have":1,"ops":[{"op":"done","value":${raw}}]}` }));
    const answer = await t.api("POST", `/v1/workflows/${flow.name}/runs`, undefined, { raw: `{"input":${raw}}` });
    assert.equal(answer.status, 202, answer.text);
    const run = flow.run(answer.json.id);
    await run.invoke(2);
    assert.deepEqual(run.invokes[0].body.input, JSON.parse(raw));
    assert.deepEqual(run.invokes[1].body.journal.entries[0].value, JSON.parse(raw));
    if (raw.startsWith("123")) assert.ok(run.invokes[1].text.includes(`"value":${raw}`) && run.invokes[0].text.includes(`"input":${raw}`), "digit by digit");
    assert.deepEqual((await run.until("completed")).output, JSON.parse(raw));
  });
}

check("the seed differs between runs, the resume key too", {}, async (t) => {
  const flow = await t.flow(once);
  const [a, b] = [await (await flow.start(1)).invoke(1), await (await flow.start(2)).invoke(1)];
  assert.notEqual(a.run.seed, b.run.seed);
  assert.notEqual(a.engine.resumeKey, b.engine.resumeKey);
  assert.notEqual(a.fence.token, b.fence.token);
});

check("a run that fails keeps its error with all its parts", {}, async (t) => {
  const error = { name: "PayError", message: "declined", stack: "at x", code: "E_PAY", data: { n: 0 }, cause: { name: "Root", message: "r", cause: { name: "Deep", message: "" } } };
  const flow = await t.flow([reply({ op: "fail", error })]);
  const run = await flow.start(1);
  assert.deepEqual((await run.until("failed")).error, error);
  await run.quiet(200);
});

check("unknown fields of a reply are ignored", {}, async (t) => {
  const flow = await t.flow([{ v: 1, have: 0, novelty: [1], ops: [{ ...result("a#0", 1), novelty: {} }, { ...done(2), novelty: 1 }] }]);
  assert.equal(await (await flow.start(1)).output(), 2);
});

check("a run that fails does not take its neighbours with it", {}, async (t) => {
  const flow = await t.flow((invoke) => reply(invoke.input % 2 ? fail("odd") : done("even")));
  const runs = await Promise.all([0, 1, 2, 3].map((n) => flow.start(n)));
  for (const [n, run] of runs.entries()) await run.until(n % 2 ? "failed" : "completed");
});
