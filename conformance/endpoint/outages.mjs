// Checks: an endpoint that is out of order costs the run nothing but time.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { check } from "../report.mjs";
import { open } from "./checkpoints.mjs";
import { done, reply, result, signal } from "./flow.mjs";

const gaps = (run) => run.invokes.slice(1).map((invoke, index) => invoke.atMs - run.invokes[index].atMs);

for (const [what, answer] of [
  ["status 500", { status: 500, body: {} }],
  ["status 404", { status: 404, body: {} }],
  ["status 302", { status: 302, headers: { location: "http://127.0.0.1:1/" } }],
  ["a page of HTML", { headers: { "content-type": "text/html" }, text: "<html>Sign in</html>" }],
  ["half a JSON object", { text: '{"v":1,"ops":[' }],
  ["a JSON list", { text: "[]" }],
  ["a JSON text", { text: '"ok"' }],
  ["nothing", { text: "" }],
  ["a reply as another content type", { headers: { "content-type": "text/plain" }, text: '{"v":1,"have":0,"ops":[{"op":"done"}]}' }],
]) {
  check(`an endpoint that answers with ${what} is tried again after a while`, {}, async (t) => {
    const run = await (await t.flow([answer, reply(done("up again"))])).start(1);
    await run.invoke(1);
    assert.equal(await run.output(), "up again");
    assert.ok(gaps(run)[0] >= 450 && gaps(run)[0] <= 6_000, `after ${gaps(run)[0]} ms`);
  });
}

check("an outage shows as retrying, and the waits grow", {}, async (t) => {
  const run = await (await t.flow((invoke, number) => (number < 4 ? { status: 503, body: {} } : reply(done(1))))).start(1);
  await run.invoke(1);
  await run.until("retrying");
  await run.output();
  const [first, , third] = gaps(run);
  assert.ok(third > first, `gaps ${gaps(run).map(Math.round)}`);
});

check("Retry-After is the least that an outage waits", {}, async (t) => {
  const run = await (await t.flow([{ status: 429, headers: { "retry-after": "3" }, body: {} }, reply(done(1))])).start(1);
  await run.output();
  assert.ok(gaps(run)[0] >= 2_950, `after ${gaps(run)[0]} ms`);
});

check("more outages than a run may be idle do not end it", { slow: true }, async (t) => {
  const run = await (await t.flow((invoke, number) => (number < 7 ? { status: 500, body: {} } : reply(done(1))))).start(1);
  await run.output(180_000);
});

check("an endpoint that is not there is waited for", {}, async (t) => {
  const app = await t.app([{ script: [reply(done("there"))] }]);
  const closed = createServer();
  await new Promise((ready) => closed.listen(0, "127.0.0.1", ready));
  const { port } = closed.address();
  // The app is described once at a port where nobody listens afterwards.
  closed.on("request", (request, response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(app.describe().body));
  });
  assert.equal((await t.api("PUT", `/v1/apps/${app.name}`, { url: `http://127.0.0.1:${port}/` })).status, 200);
  closed.closeAllConnections();
  await new Promise((ended) => closed.close(ended));
  const run = await app.flows[0].start(1);
  await run.until("retrying");
  await app.register();
  assert.equal(await run.output(60_000), "there");
});

check("a connection that breaks after the request is not answered with a second dispatch at once", {}, async (t) => {
  const run = await (await t.flow([{ broken: true }, reply(done(1))], {}, { checkpoint: "each" })).start(1);
  await run.invoke(1);
  await run.quiet(3_000);
  assert.ok(!["completed", "failed"].includes((await run.show()).status));
});

check("a dispatch that was lost is made again when its lease has ended", { slow: true }, async (t) => {
  const run = await (await t.flow([{ broken: true }, reply(done("again"))], {}, { checkpoint: "each" })).start(1);
  const first = await run.invoke(1);
  const second = await run.invoke(2, 180_000);
  assert.ok(second.fence.gen > first.fence.gen);
  assert.ok(gaps(run)[0] >= first.lease.ms - 2_000, `after ${gaps(run)[0]} ms of a lease of ${first.lease.ms}`);
  assert.equal(await run.output(), "again");
});

check("a checkpoint after a broken connection is still taken", {}, async (t) => {
  const { run, invoke, release } = await open(t);
  release({ broken: true });
  await new Promise((later) => setTimeout(later, 500));
  const answer = await run.checkpoint(invoke, [result("a#0", "kept")]);
  assert.equal(answer.status, 200, answer.text);
});

check("a lease that is renewed outlives its first length", { slow: true }, async (t) => {
  const { run, invoke, release } = await open(t);
  const end = Date.now() + invoke.lease.ms * 1.5;
  while (Date.now() < end) {
    await new Promise((later) => setTimeout(later, invoke.lease.renewMs));
    assert.equal((await run.checkpoint(invoke, [])).status, 200);
  }
  assert.equal(run.invokes.length, 1);
  release(reply(done("long")));
  assert.equal(await run.output(), "long");
});

check("a late checkpoint of a lost dispatch counts until a newer one begins", { slow: true }, async (t) => {
  const { run, invoke, release } = await open(t, [reply(signal("go#0", "go"), "go#0")]);
  assert.equal((await run.checkpoint(invoke, [result("a#0", 1)])).status, 200);
  await run.invoke(2, 180_000);
  assert.equal((await run.checkpoint(invoke, [result("b#0", 1)])).status, 409);
  release(reply(done("zombie")));
  await run.until("waiting");
  assert.deepEqual(run.invokes[1].body.journal.entries.map((entry) => entry.key), ["a#0"]);
});
