// Checks: signals: buffered when early, in order, each consumed once; resume URLs.

import assert from "node:assert/strict";
import { check } from "../report.mjs";
import { resumeToken } from "../wire/sign.mjs";
import { done, nap, reply, signal } from "./flow.mjs";

const twice = [reply(signal("go#0", "go"), "go#0"), reply(signal("go#1", "go"), "go#1"), reply(done(1))];

/** A run that waits for the signal `go`. */
async function waiting(t, script = [reply(signal("go#0", "go"), "go#0"), reply(done(1))]) {
  const run = await (await t.flow(script)).start(1);
  await run.until("waiting");
  return run;
}

check("a signal wakes the run that waits for it, with its body as value", {}, async (t) => {
  const run = await waiting(t);
  await run.quiet(200);
  await run.signal("go", { yes: true });
  const [entry] = (await run.invoke(2)).journal.entries;
  assert.deepEqual([entry.key, entry.kind, entry.state, entry.value], ["go#0", "signal", "ok", { yes: true }]);
});

for (const [what, raw, value] of [["0", "0", 0], ["false", "false", false], ["the empty string", '""', ""], ["null", "null", null], ["no body", "", null]]) {
  check(`a signal whose body is ${what} is a signal`, {}, async (t) => {
    const run = await waiting(t);
    const answer = await t.api("POST", `/v1/runs/${run.id}/signals/go`, undefined, raw === "" ? {} : { raw });
    assert.equal(answer.status, 202, answer.text);
    const [entry] = (await run.invoke(2)).journal.entries;
    assert.deepEqual([entry.state, entry.value], ["ok", value]);
  });
}

check("signals that come early are buffered and serve the waits in order, each once", {}, async (t) => {
  const script = [reply(nap("nap#0", 3_600_000), "nap#0"), ...twice];
  const run = await (await t.flow(script)).start(1);
  await run.until("sleeping");
  for (const value of ["one", "two", "three"]) await run.signal("go", value);
  await run.quiet(200);
  await run.control("wake");
  const entries = (await run.invoke(4)).journal.entries.filter((entry) => entry.kind === "signal");
  assert.deepEqual(entries.map((entry) => [entry.key, entry.value]), [["go#0", "one"], ["go#1", "two"]]);
});

check("a signal of another name does not wake the run", {}, async (t) => {
  const run = await waiting(t);
  await run.signal("stop", 1);
  await run.quiet(400);
  assert.equal((await run.show()).status, "waiting");
});

check("a signal during a dispatch starts no second one and is in the next", {}, async (t) => {
  const flow = await t.flow([]);
  flow.script = async (invoke, number) => {
    if (number > 1) return reply(done(1));
    await flow.run(invoke.run.id).signal("go", "meanwhile");
    await new Promise((later) => setTimeout(later, 400));
    return reply(signal("go#0", "go"), "go#0");
  };
  const run = await flow.start(1);
  const next = await run.invoke(2);
  assert.ok(run.invokes[1].atMs - run.invokes[0].atMs >= 390);
  assert.equal(next.journal.entries[0].value, "meanwhile");
});

check("a wait that times out says so", {}, async (t) => {
  const run = await (await t.flow([reply(signal("go#0", "go", 500), "go#0"), reply(done(1))])).start(1);
  const [entry] = (await run.invoke(2)).journal.entries;
  assert.deepEqual([entry.kind, entry.state], ["signal", "timeout"]);
});

check("a signal after the timeout serves the next wait", {}, async (t) => {
  const script = [reply([signal("go#0", "go", 300), nap("nap#0", 3_600_000)], { all: ["go#0", "nap#0"] }), reply(signal("go#1", "go"), "go#1"), reply(done(1))];
  const run = await (await t.flow(script)).start(1);
  await new Promise((later) => setTimeout(later, 1_500));
  await run.signal("go", "late");
  await run.control("wake");
  const entries = (await run.invoke(3)).journal.entries.filter((entry) => entry.kind === "signal");
  assert.deepEqual(entries.map((entry) => [entry.key, entry.state, entry.value ?? null]), [["go#0", "timeout", null], ["go#1", "ok", "late"]]);
});

check("a signal sent ten times with one Idempotency-Key is one", {}, async (t) => {
  const run = await waiting(t, twice);
  const headers = { "idempotency-key": "click-1" };
  const answers = await Promise.all(Array.from({ length: 10 }, () => t.api("POST", `/v1/runs/${run.id}/signals/go`, 1, { headers })));
  assert.ok(answers.every((answer) => answer.status === 202 || answer.status === 200), answers.map((answer) => answer.status).join());
  await run.invoke(2);
  await run.quiet(400);
});

check("a signal to a finished run is 409, to an unknown one 404", {}, async (t) => {
  const run = await (await t.flow([reply(done(1))])).start(1);
  await run.output();
  assert.equal((await run.post("signals/go", 1)).status, 409);
  assert.equal((await t.api("POST", `/v1/runs/run_${"0".repeat(32)}/signals/go`, 1)).status, 404);
});

check("a hundred signals for a hundred waits arrive each once, in order", {}, async (t) => {
  const keys = Array.from({ length: 100 }, (_, i) => `go#${i}`);
  const run = await waiting(t, [reply(keys.map((key) => signal(key, "go")), { all: keys }), reply(done(1))]);
  for (const n of keys.keys()) await run.signal("go", n);
  const { entries } = (await run.invoke(2)).journal;
  assert.deepEqual(entries.map((entry) => entry.value), [...keys.keys()]);
  assert.equal(run.invokes.length, 2);
});

const resumeUrl = (invoke, name, token = resumeToken(invoke.engine.resumeKey, name)) => `${invoke.engine.resume}/${encodeURIComponent(name)}?token=${token}`;

check("whoever has the resume URL can send the signal", {}, async (t) => {
  const run = await waiting(t);
  const answer = await t.api("POST", resumeUrl(await run.invoke(1), "go"), { from: "mail" }, { key: null });
  assert.equal(answer.status, 202, answer.text);
  assert.deepEqual((await run.invoke(2)).journal.entries[0].value, { from: "mail" });
});

check("a resume URL takes a form's fields and an empty body", {}, async (t) => {
  const run = await waiting(t, twice);
  const url = resumeUrl(await run.invoke(1), "go");
  await t.api("POST", url, undefined, { key: null, raw: "a=1&b=x+y", type: "application/x-www-form-urlencoded" });
  await run.invoke(2);
  await t.api("POST", url, undefined, { key: null });
  assert.deepEqual((await run.invoke(3)).journal.entries.map((entry) => entry.value), [{ a: "1", b: "x y" }, null]);
});

check("a resume URL with a wrong token, or another name's, is refused", {}, async (t) => {
  const run = await waiting(t);
  const invoke = await run.invoke(1);
  for (const token of ["", "x", resumeToken(invoke.engine.resumeKey, "stop"), resumeToken("other", "go")]) {
    assert.equal((await t.api("POST", resumeUrl(invoke, "go", token), 1, { key: null })).status, 403);
  }
  await run.quiet(200);
});

check("opening a resume URL shows a page and sends nothing", {}, async (t) => {
  const run = await waiting(t);
  const answer = await t.api("GET", resumeUrl(await run.invoke(1), "go"), undefined, { key: null });
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get("content-type"), /^text\/html/);
  await run.quiet(300);
});

check("a resume URL of a finished run is 409", {}, async (t) => {
  const run = await (await t.flow([reply(done(1))])).start(1);
  await run.output();
  assert.equal((await t.api("POST", resumeUrl(await run.invoke(1), "go"), 1, { key: null })).status, 409);
});
