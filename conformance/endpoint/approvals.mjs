// Checks: approvals: who may answer, what they may say, and until when.

import assert from "node:assert/strict";
import { check } from "../report.mjs";
import { resumeToken } from "../wire/sign.mjs";
import { done, reply } from "./flow.mjs";

const KEY = encodeURIComponent("ok#0");

/** A run that waits for an approval. */
async function asking(t, fields, more = {}) {
  const run = await (await t.flow([reply({ op: "approval", key: "ok#0", ...fields }, "ok#0"), reply(done(1))])).start(1, more);
  await run.until("waiting");
  return run;
}

const answer = (run, body, more) => run.post(`approvals/${KEY}`, body, more);

async function publisher(t) {
  const made = await t.api("POST", "/v1/keys", { name: "kit approvals", role: "publish" });
  assert.equal(made.status, 201, made.text);
  return made.json;
}

check("an answer resumes the run and says who, when and what", {}, async (t) => {
  const run = await asking(t, { title: "Ship it?" });
  const given = await answer(run, { approve: true, data: { note: "fine" } });
  assert.equal(given.status, 200, given.text);
  const [entry] = (await run.invoke(2)).journal.entries;
  assert.deepEqual([entry.key, entry.kind, entry.state], ["ok#0", "approval", "ok"]);
  assert.deepEqual([entry.value.approved, entry.value.data], [true, { note: "fine" }]);
  assert.ok(typeof entry.value.by === "string" && entry.value.by.length > 0, "by");
  assert.ok(!Number.isNaN(Date.parse(entry.value.at)), "at");
});

check("a refusal is an answer", {}, async (t) => {
  const run = await asking(t, {});
  assert.equal((await answer(run, { approve: false })).status, 200);
  assert.equal((await run.invoke(2)).journal.entries[0].value.approved, false);
});

check("a second answer is 409", {}, async (t) => {
  const run = await asking(t, {});
  assert.equal((await answer(run, { approve: true })).status, 200);
  assert.equal((await answer(run, { approve: false })).status, 409);
  assert.equal((await run.invoke(2)).journal.entries[0].value.approved, true);
});

check("of twenty answers at the same time one counts", {}, async (t) => {
  const run = await asking(t, {});
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => answer(run, { approve: true, data: i })));
  assert.deepEqual(answers.map((one) => one.status).sort(), [200, ...Array(19).fill(409)]);
  const right = answers.findIndex((one) => one.status === 200);
  assert.equal((await run.invoke(2)).journal.entries[0].value.data, right);
});

check("data that does not fit the schema is 422, and the run still waits", {}, async (t) => {
  const schema = { type: "object", properties: { amount: { type: "integer", maximum: 10 } }, required: ["amount"], additionalProperties: false };
  const run = await asking(t, { schema });
  for (const data of [undefined, null, {}, { amount: 11 }, { amount: "1" }, { amount: 1, more: 1 }]) {
    assert.equal((await answer(run, { approve: true, data })).status, 422, JSON.stringify(data));
  }
  await run.quiet(200);
  assert.equal((await answer(run, { approve: true, data: { amount: 10 } })).status, 200);
  await run.output();
});

check("a role that the policy does not name is 403", {}, async (t) => {
  const run = await asking(t, { policy: { roles: ["admin"] } });
  const { key } = await publisher(t);
  assert.equal((await answer(run, { approve: true }, { key })).status, 403);
  assert.equal((await answer(run, { approve: true })).status, 200);
});

check("a key that the policy names may answer, another may not", {}, async (t) => {
  const made = await publisher(t);
  const run = await asking(t, { policy: { keys: [made.id] } });
  assert.equal((await answer(run, { approve: true })).status, 403);
  assert.equal((await answer(run, { approve: true }, { key: made.key })).status, 200);
});

check("notInitiator refuses the key that started the run", {}, async (t) => {
  const run = await asking(t, { policy: { notInitiator: true } });
  assert.equal((await answer(run, { approve: true })).status, 403);
  const { key } = await publisher(t);
  assert.equal((await answer(run, { approve: true }, { key })).status, 200);
});

check("an approval that expires is a timeout, and an answer then 409", {}, async (t) => {
  const run = await asking(t, { timeoutMs: 400 });
  const [entry] = (await run.invoke(2)).journal.entries;
  assert.deepEqual([entry.kind, entry.state], ["approval", "timeout"]);
  assert.equal((await answer(run, { approve: true })).status, 409);
});

check("an answer to what nobody asked is 404", {}, async (t) => {
  const run = await asking(t, {});
  assert.equal((await run.post(`approvals/${encodeURIComponent("no#0")}`, { approve: true })).status, 404);
});

check("a resume URL answers an approval without a policy, and no other", {}, async (t) => {
  for (const [policy, status] of [[undefined, 202], [{}, 202], [{ roles: ["admin"] }, 403], [{ notInitiator: true }, 403]]) {
    const run = await asking(t, policy && { policy });
    const { engine } = await run.invoke(1);
    const url = `${engine.resume}/${KEY}?token=${resumeToken(engine.resumeKey, "ok#0")}`;
    const given = await t.api("POST", url, { approve: true, data: 1 }, { key: null });
    assert.ok(given.status === status || (status === 202 && given.status === 200), `${JSON.stringify(policy)}: ${given.status} ${given.text}`);
    if (status === 202) assert.equal((await run.invoke(2)).journal.entries[0].value.data, 1);
  }
});
