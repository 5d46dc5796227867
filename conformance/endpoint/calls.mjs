// Checks: fetch and publish, which the engine does itself.

import assert from "node:assert/strict";
import { check } from "../report.mjs";
import { verified } from "../wire/sign.mjs";
import { done, reply } from "./flow.mjs";

const call = (request) => [reply({ op: "fetch", key: "call#0", request }, "call#0"), reply(done(1))];
const entryOf = async (run) => (await run.invoke(2)).journal.entries[0];

check("a fetch calls the URL unsigned and gives the answer", {}, async (t) => {
  const target = t.target(() => ({ status: 201, headers: { "x-kit": "answer" }, body: { made: true } }));
  const run = await (await t.flow(call({ url: target.url, method: "PUT", headers: { "x-kit": "asked" }, body: { n: 1 } }))).start(1);
  const entry = await entryOf(run);
  assert.deepEqual([entry.kind, entry.state, entry.value.status], ["fetch", "ok", 201]);
  assert.equal(entry.value.headers["x-kit"], "answer");
  const body = typeof entry.value.body === "string" ? JSON.parse(entry.value.body) : entry.value.body;
  assert.deepEqual(body, { made: true });
  assert.equal(target.length, 1);
  assert.deepEqual([target[0].method, target[0].headers["x-kit"], JSON.parse(target[0].text)], ["PUT", "asked", { n: 1 }]);
  assert.equal(target[0].headers["webhook-signature"], undefined);
});

check("a fetch without a method is a GET without a body", {}, async (t) => {
  const target = t.target();
  const run = await (await t.flow(call({ url: target.url }))).start(1);
  await entryOf(run);
  assert.deepEqual([target[0].method, target[0].text], ["GET", ""]);
});

check("a fetch that is answered with 404 is not retried and no error", {}, async (t) => {
  const target = t.target(() => ({ status: 404, text: "gone" }));
  const entry = await entryOf(await (await t.flow(call({ url: target.url, maxAttempts: 3 }))).start(1));
  assert.deepEqual([entry.state, entry.value.status, entry.value.body], ["ok", 404, "gone"]);
  assert.equal(target.length, 1);
});

check("a fetch that is answered with 503 is retried", {}, async (t) => {
  const target = t.target((_, number) => (number === 1 ? { status: 503, body: {} } : { status: 200, text: "up" }));
  const entry = await entryOf(await (await t.flow(call({ url: target.url, maxAttempts: 3 }))).start(1));
  assert.deepEqual([entry.value.status, entry.value.body, target.length], [200, "up", 2]);
});

check("a fetch whose attempts end in 500 gives that answer", {}, async (t) => {
  const target = t.target(() => ({ status: 500, text: "down" }));
  const entry = await entryOf(await (await t.flow(call({ url: target.url, maxAttempts: 1 }))).start(1));
  assert.deepEqual([entry.state, entry.value.status, entry.value.body], ["ok", 500, "down"]);
});

check("a fetch that gets no answer is an error", {}, async (t) => {
  const entry = await entryOf(await (await t.flow(call({ url: "http://127.0.0.1:1/", maxAttempts: 1 }))).start(1));
  assert.deepEqual([entry.kind, entry.state], ["fetch", "error"]);
  assert.ok(entry.error.message.length > 0);
});

check("a fetch keeps bytes that are no text", {}, async (t) => {
  const target = t.target(() => ({ status: 200, headers: { "content-type": "application/octet-stream" }, text: Buffer.from([0, 255, 254, 1]) }));
  const { value } = await entryOf(await (await t.flow(call({ url: target.url }))).start(1));
  assert.deepEqual([...Buffer.from(value.bodyBase64, "base64")], [0, 255, 254, 1]);
});

check("a fetch op that is sent again makes no second call", {}, async (t) => {
  const target = t.target();
  const op = { op: "fetch", key: "call#0", request: { url: target.url } };
  const run = await (await t.flow([reply([op, op], "call#0"), reply([op, done(1)])])).start(1);
  await run.output();
  await run.quiet(300);
  assert.equal(target.length, 1);
});

check("a publish sends a signed message once and gives its id", {}, async (t) => {
  const target = t.target();
  const op = { op: "publish", key: "mail#0", message: { url: target.url, body: { n: 1 } } };
  const run = await (await t.flow([reply([op, op], "mail#0"), reply([op, done(1)])])).start(1);
  const entry = await entryOf(run);
  assert.deepEqual([entry.kind, entry.state], ["publish", "ok"]);
  assert.match(entry.value.id, /^msg_/);
  await t.stage.until("the message", () => target.length === 1);
  assert.ok(verified(t.stage.secret, target[0].headers, target[0].text));
  assert.deepEqual(JSON.parse(target[0].text), { n: 1 });
  assert.equal(target[0].headers["webhook-id"], entry.value.id);
  await run.quiet(300);
  assert.equal(target.length, 1);
});

check("a publish that is no valid message is an error of the step", {}, async (t) => {
  const entry = await entryOf(await (await t.flow([reply({ op: "publish", key: "mail#0", message: { url: "no url", colour: 1 } }, "mail#0"), reply(done(1))])).start(1));
  assert.deepEqual([entry.kind, entry.state], ["publish", "error"]);
  assert.ok(entry.error.message.length > 0);
});
