// Checks: sleeps, signals, events, approvals, children, fetch, publish: what is planned, what is waited for, what comes of it.

import assert from "node:assert/strict";
import { check } from "../report.mjs";
import { resumeToken } from "../wire/sign.mjs";

const op = (run, key) => run.applied.find((one) => one.key === key);
const without = ({ op: _op, key: _key, ...fields }) => fields;

check("a sleep parks the run and goes on after it", { workflow: "kit-sleep" }, async (t) => {
  const run = t.run("kit-sleep", { input: { ms: 3_600_000 } });
  await t.host.drive(run, { timers: false });
  assert.deepEqual(op(run, "nap#0"), { op: "sleep", key: "nap#0", forMs: 3_600_000 });
  assert.equal(run.status, "waiting");
  assert.equal(run.dispatches.length, 1);
  await t.host.drive(run);
  assert.equal(run.end.value, "awake");
  assert.deepEqual(await t.keys(run), ["after#0"]);
});

check("a sleep that a person ended goes on", { workflow: "kit-sleep" }, async (t) => {
  const run = await t.drive("kit-sleep", { entries: [{ key: "nap#0", kind: "sleep", value: "woken" }] });
  assert.equal(run.end.value, "awake");
});

check("a sleep until a time names it", { workflow: "kit-sleep-until" }, async (t) => {
  const untilMs = Date.now() + 86_400_000;
  const run = await t.drive("kit-sleep-until", { input: { untilMs } });
  assert.equal(op(run, "nap#0").untilMs, untilMs);
  assert.equal(run.end.value, "awake");
});

check("a sleep that is pending is waited for, and nothing runs early", { workflow: "kit-sleep" }, async (t) => {
  const run = t.run("kit-sleep", { input: { ms: 60_000 }, pending: [{ key: "nap#0", kind: "sleep", waitMs: 30_000 }] });
  const reply = await t.host.dispatch(run);
  assert.equal(reply.await, "nap#0");
  assert.deepEqual(await t.keys(run), []);
});

check("two signals of one name serve two waits in order", { workflow: "kit-signals" }, async (t) => {
  const run = t.run("kit-signals");
  run.signal("go", "first");
  run.signal("go", { second: true });
  await t.host.drive(run);
  assert.deepEqual(run.end.value, ["first", { second: true }]);
  assert.deepEqual(without(op(run, "go#0")), { name: "go", timeoutMs: 60_000 });
});

check("a signal that comes while the run waits resumes it", { workflow: "kit-signal-then-step" }, async (t) => {
  const run = t.run("kit-signal-then-step");
  await t.host.drive(run);
  assert.equal(run.status, "waiting");
  assert.equal(op(run, "go#0").timeoutMs ?? null, null);
  run.signal("go", 0);
  await t.host.drive(run);
  assert.deepEqual(run.end.value, { got: 0 });
  assert.deepEqual(await t.keys(run), ["before#0", "after#0"]);
});

check("a signal whose body is null is no timeout", { workflow: "kit-signals" }, async (t) => {
  const entries = [{ key: "go#0", kind: "signal", value: null }, { key: "go#1", kind: "signal", state: "timeout" }];
  const run = await t.drive("kit-signals", { entries });
  assert.deepEqual(run.end.value, [null, "timeout"]);
});

check("a tree of waits resolves when it can and not before", { workflow: "kit-tree" }, async (t) => {
  const run = t.run("kit-tree");
  await t.host.drive(run, { timers: false });
  assert.deepEqual([...run.pending.keys()].sort(), ["left#0", "limit#0", "right#0"]);
  run.signal("right", "r");
  await t.host.drive(run, { timers: false });
  assert.equal(run.status, "waiting");
  run.signal("left", "l");
  await t.host.drive(run);
  assert.deepEqual(run.end.value, ["l", "r"]);
  assert.ok(run.dispatches.length <= 3, `${run.dispatches.length} dispatches`);
});

check("a race against a sleep is won by the sleep when nothing comes", { workflow: "kit-tree" }, async (t) => {
  const run = t.run("kit-tree");
  await t.host.drive(run, { timers: false });
  run.signal("left", "l");
  await t.host.drive(run);
  assert.deepEqual(run.end.value, ["l", "limit"]);
});

check("an event is waited for with its match and timeout", { workflow: "kit-event" }, async (t) => {
  const run = t.run("kit-event", { input: { id: "inv_7" } });
  await t.host.drive(run, { timers: false });
  assert.deepEqual(without(op(run, "paid#0")), { name: "invoice.paid", match: { "data.id": "inv_7" }, timeoutMs: 60_000 });
  const value = { id: "evt_1", name: "invoice.paid", data: { id: "inv_7" } };
  run.finish("paid#0", { value });
  await t.host.drive(run);
  assert.deepEqual(run.end.value, value);
});

check("an event that does not come is a timeout", { workflow: "kit-event" }, async (t) => {
  assert.equal((await t.drive("kit-event")).end.value, "timeout");
});

check("an approval names its policy, schema, title and timeout", { workflow: "kit-approval" }, async (t) => {
  const run = t.run("kit-approval");
  await t.host.drive(run, { timers: false });
  assert.deepEqual(without(op(run, "ok#0")), { policy: { roles: ["admin"] }, schema: { type: "object" }, timeoutMs: 86_400_000, title: "Ship it?" });
  run.finish("ok#0", { value: { approved: false, data: { why: "late" }, by: "key_1", at: "2026-11-21T10:00:00.000Z" } });
  await t.host.drive(run);
  assert.deepEqual(run.end.value, { approved: false, data: { why: "late" } });
});

check("an approval that nobody answers is a timeout", { workflow: "kit-approval" }, async (t) => {
  assert.equal((await t.drive("kit-approval")).end.value, "timeout");
});

check("a child is started once and its output comes back", { workflow: "kit-child" }, async (t) => {
  const run = t.run("kit-child", { input: { workflow: "kit-sequence", input: { from: "parent" } } });
  await t.host.drive(run);
  const asked = op(run, "sub#0");
  assert.equal(asked.workflow, "kit-sequence");
  assert.deepEqual(asked.input, { from: "parent" });
  run.finish("sub#0", { value: { n: 3 }, run: "run_00000000000000000000000000000001" });
  await t.host.drive(run);
  assert.deepEqual(run.end.value, { output: { n: 3 } });
  assert.equal(run.applied.filter((one) => one.op === "child").length, 1);
});

check("children that are started together are planned together", { workflow: "kit-children" }, async (t) => {
  const run = t.run("kit-children", { input: { n: 50 } });
  await t.host.drive(run);
  assert.equal(run.dispatches.length, 1);
  assert.equal(run.pending.size, 50);
  for (let i = 49; i >= 0; i -= 1) run.finish(`sub#${i}`, { value: i });
  await t.host.drive(run);
  assert.deepEqual(run.end.value, Array.from({ length: 50 }, (_, i) => i));
});

check("a fetch is the engine's to make", { workflow: "kit-fetch" }, async (t) => {
  const run = t.run("kit-fetch", { input: { url: "http://127.0.0.1:9/x" } });
  await t.host.drive(run);
  const { request } = op(run, "call#0");
  assert.equal(request.url, "http://127.0.0.1:9/x");
  assert.equal(request.method, "POST");
  assert.equal(Object.entries(request.headers).find(([name]) => name.toLowerCase() === "x-kit")?.[1], "1");
  run.finish("call#0", { value: { status: 201, headers: {}, body: "made" } });
  await t.host.drive(run);
  assert.deepEqual(run.end.value, { status: 201, body: "made" });
});

check("a publish is the engine's to make", { workflow: "kit-publish" }, async (t) => {
  const run = t.run("kit-publish", { input: { url: "http://127.0.0.1:9/x" } });
  await t.host.drive(run);
  assert.deepEqual(op(run, "mail#0").message, { url: "http://127.0.0.1:9/x", body: { n: 1 } });
  run.finish("mail#0", { value: { id: "msg_1", status: "queued" } });
  await t.host.drive(run);
  assert.deepEqual(run.end.value, { id: "msg_1", status: "queued" });
});

check("a resume URL carries the token of its name", { workflow: "kit-resume" }, async (t) => {
  const run = t.run("kit-resume");
  await t.host.drive(run);
  const expected = `${t.host.url}/v1/runs/${run.id}/resume/go?token=${resumeToken(run.resumeKey, "go")}`;
  run.signal("go", "clicked");
  await t.host.drive(run);
  assert.deepEqual(run.end.value, { url: expected, got: "clicked" });
});

check("continue as new ends the run with the next input", { workflow: "kit-continue" }, async (t) => {
  const run = await t.drive("kit-continue", { input: { n: 2 } });
  assert.equal(run.end.op, "continueAsNew");
  assert.deepEqual(run.end.input, { n: 1 });
  assert.equal((await t.drive("kit-continue", { input: { n: 0 } })).end.value, "end");
});

check("a run that is dispatched too early waits for the same again", { workflow: "kit-tree" }, async (t) => {
  const run = t.run("kit-tree");
  await t.host.drive(run, { timers: false });
  const [first, second] = [run.dispatches[0].reply, await t.host.dispatch(run)];
  assert.deepEqual(second.await, first.await);
  assert.equal(run.status, "waiting");
});
