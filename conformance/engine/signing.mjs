// Checks: signatures, describe, versions of the protocol and of workflows.

import assert from "node:assert/strict";
import { check } from "../report.mjs";
import { signature, signedHeaders } from "../wire/sign.mjs";

const DESCRIBE = JSON.stringify({ v: 1, kind: "describe", app: "kit" });
const OTHER_SECRET = `whsec_${Buffer.from("another secret, 24 bytes").toString("base64")}`;
const now = () => Math.floor(Date.now() / 1000);

/** A describe whose headers are changed before it is sent. */
async function describe(t, change, timestamp = now()) {
  const headers = signedHeaders(t.secret, "inv_kit_1", DESCRIBE, timestamp);
  change?.(headers, t);
  return t.host.post(DESCRIBE, { headers });
}

const refused = {
  "a request without a signature": (headers) => delete headers["webhook-signature"],
  "a request without any webhook header": (headers) => Object.keys(headers).forEach((name) => delete headers[name]),
  "a request without an id": (headers) => delete headers["webhook-id"],
  "a request without a timestamp": (headers) => delete headers["webhook-timestamp"],
  "a signature made with another secret": (headers) => Object.assign(headers, signedHeaders(OTHER_SECRET, "inv_kit_1", DESCRIBE)),
  "a signature over another body": (headers, t) => Object.assign(headers, signedHeaders(t.secret, "inv_kit_1", "{}")),
  "a changed id": (headers) => { headers["webhook-id"] = "inv_kit_2"; },
  "a changed timestamp": (headers) => { headers["webhook-timestamp"] = String(now() + 2); },
  "a timestamp that is no number": (headers) => { headers["webhook-timestamp"] = "soon"; },
  "a signature of another version only": (headers) => { headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", "v2,"); },
  "an empty signature": (headers) => { headers["webhook-signature"] = "v1,"; },
};
for (const [what, change] of Object.entries(refused)) {
  check(`${what} is refused with 401`, {}, async (t) => {
    assert.equal((await describe(t, change)).status, 401);
  });
}

for (const [what, seconds, status] of [["six minutes old", -360, 401], ["six minutes ahead", 360, 401], ["four minutes old", -240, 200], ["four minutes ahead", 240, 200]]) {
  check(`a signed request that is ${what} is answered with ${status}`, {}, async (t) => {
    assert.equal((await describe(t, undefined, now() + seconds)).status, status);
  });
}

check("one right signature among others is enough", {}, async (t) => {
  const stamp = now();
  const wrong = signature(OTHER_SECRET, "inv_kit_1", stamp, DESCRIBE);
  const answer = await describe(t, (headers) => { headers["webhook-signature"] = `v1a,zzz ${wrong} ${headers["webhook-signature"]}`; }, stamp);
  assert.equal(answer.status, 200);
});

check("an unsigned invoke runs nothing", { workflow: "kit-sequence" }, async (t) => {
  const run = t.run("kit-sequence");
  const body = t.host.invokeBody(run, { gen: 1, token: "1.a" });
  assert.equal((await t.host.post(body, { headers: {} })).status, 401);
  assert.deepEqual(await t.keys(run), []);
});

check("describe names the SDK, its checkpoint mode and its workflows", {}, async (t) => {
  assert.equal(t.described.v, 1);
  assert.match(t.described.sdk, /^[^/]+\/\d+\.\d+/);
  assert.equal(t.described.checkpoint, t.mode);
  for (const { name, version } of t.described.workflows) {
    assert.match(name, /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/);
    assert.ok(typeof version === "string" && version.length >= 1 && version.length <= 64, `${name}: version ${version}`);
  }
});

check("describe gives triggers and policies", { workflow: "kit-trigger" }, async (t) => {
  const flow = t.described.workflows.find((one) => one.name === "kit-trigger");
  assert.deepEqual(flow.triggers, [{ event: "kit.started", match: { "data.kit": true } }]);
  assert.deepEqual(flow.concurrency, { limit: 2, key: "input.event.data.id" });
});

check("describe lists the newest version of a workflow first", { workflow: "kit-versions" }, async (t) => {
  assert.deepEqual(t.described.workflows.filter((one) => one.name === "kit-versions").map((one) => one.version), ["2", "1"]);
});

check("a run gets the code of its version", { workflow: "kit-versions" }, async (t) => {
  assert.equal((await t.drive("kit-versions", { version: "1" })).end.value, "one");
  assert.equal((await t.drive("kit-versions", { version: "2" })).end.value, "two");
});

for (const [what, workflow, version] of [["an unknown workflow", "kit-nowhere", "1"], ["an unknown version", "kit-sequence", "77"]]) {
  check(`${what} is unserved, and the reply says what is served`, { workflow: "kit-sequence" }, async (t) => {
    const run = t.run(workflow, { version });
    const reply = await t.host.dispatch(run);
    assert.deepEqual(reply.ops.map((op) => op.op), ["unserved"]);
    assert.ok(reply.ops[0].serves.some((one) => one.name === "kit-sequence" && one.version === "1"));
    assert.deepEqual(await t.keys(run), []);
  });
}

check("another version of the protocol is refused with the versions that are known", {}, async (t) => {
  const answer = await t.host.post({ v: 99, kind: "describe", app: "kit" });
  assert.equal(answer.status, 400);
  assert.equal(answer.json.type, "urn:tikku:problem:protocol-version");
  assert.deepEqual(answer.json.versions, [1]);
});

check("unknown fields are ignored", { workflow: "kit-sequence" }, async (t) => {
  const extra = { novelty: { deep: [1] }, hints: null };
  const run = t.run("kit-sequence", { entries: [{ key: "a#0", value: { n: 1 } }], knobs: { extra } });
  run.entries[0].novelty = { deep: true };
  await t.host.drive(run);
  assert.deepEqual(run.end, { op: "done", value: { n: 3 } });
  assert.equal((await t.host.post({ v: 1, kind: "describe", app: "kit", ...extra })).status, 200);
});

check("a body that is no JSON is refused", {}, async (t) => {
  const { status } = await t.host.post("{\"v\": 1,");
  assert.ok(status >= 400 && status < 500, `status ${status}`);
});
