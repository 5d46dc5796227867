// Checks: every kit workflow on a real engine and a real SDK, seen from outside: what comes out, and how often bodies ran.

import assert from "node:assert/strict";
import { check } from "../report.mjs";

const needs = (workflow) => ({ workflow });
const VALUES = { "0": 0, "false": false, "\"\"": "", "null": null, "[]": [], "{}": {}, "a NUL": "a\u0000b", "unicode": "\u{1F980} \u2028 \u00fc", "2^53-1": 9_007_199_254_740_991, "nested": { a: [{ b: null }] } };

for (const [what, value] of Object.entries(VALUES)) {
  check(`kit-values gives back ${what}`, needs("kit-values"), async (t) => {
    assert.deepEqual(await t.output("kit-values", { value }), value);
  });
}

for (const [workflow, input, output, bodies] of [
  ["kit-sequence", {}, { n: 3 }, 3],
  ["kit-parallel", { leftMs: 100, middleMs: 50 }, ["left", "middle", "right"], 3],
  ["kit-race", { slowMs: 600 }, { winner: "fast", after: "after fast" }, 3],
  ["kit-void", {}, null, 1],
  ["kit-long", { n: 200 }, { sum: 19_900 }, 200],
  ["kit-wide", { n: 200 }, { sum: 19_900 }, 200],
  ["kit-slow", { ms: 1_500 }, "after", 2],
  ["kit-input", { n: 4 }, 8, 1],
  ["kit-retry", { failures: 2, maxAttempts: 3 }, { attempt: 3 }, 3],
  ["kit-trycatch", {}, "undo declined", 3],
  ["kit-catch-parallel", { okMs: 50 }, "after bad", 3],
  ["kit-ai", {}, "hello", 1],
  ["kit-sleep", { ms: 700 }, "awake", 1],
  ["kit-child", { workflow: "kit-sequence", input: null }, { output: { n: 3 } }, 0],
  ["kit-children", { n: 20 }, Array(20).fill({ n: 3 }), 0],
]) {
  check(`${workflow} with ${JSON.stringify(input)}`, needs(workflow), async (t) => {
    const run = await t.start(workflow, input);
    assert.deepEqual(await t.done(run), output);
    assert.equal((await t.bodies(run)).length, bodies, "bodies");
  });
}

check("kit-long with 1.2 MB of values is resumed from its pages", needs("kit-long"), async (t) => {
  const run = await t.start("kit-long", { n: 120, bytes: 10_000 });
  assert.deepEqual(await t.done(run, 120_000), { sum: 7_140 });
  assert.equal((await t.bodies(run)).length, 120);
});

for (const [workflow, name, message] of [["kit-fail", "FlowError", "broken"], ["kit-nonretriable", undefined, "no more"]]) {
  check(`${workflow} fails as it says`, needs(workflow), async (t) => {
    const run = await t.start(workflow, {});
    const { error } = await t.ends(run, "failed");
    assert.equal(error.message, message);
    if (name) assert.deepEqual([error.name, error.code, error.data, error.cause.name], [name, "E_FLOW", { a: 1 }, "RootError"]);
  });
}

check("kit-input fails on a bad input", needs("kit-input"), async (t) => {
  await t.ends(await t.start("kit-input", { n: "x" }), "failed");
});

check("kit-child tells about the failure of its child", needs("kit-child"), async (t) => {
  const output = await t.output("kit-child", { workflow: "kit-fail", input: null });
  assert.equal(output.failed, "ChildFailed");
  assert.match(output.runId, /^run_/);
});

check("kit-retry-after and a provider's 429 wait until they are told to", needs("kit-retry-after"), async (t) => {
  const run = await t.start("kit-retry-after", {});
  const ai = await t.start("kit-ai", { throttle: true });
  for (const one of [run, ai]) {
    const shown = await t.ends(one, "retrying");
    const wait = Date.parse(shown.wakesAt) - Date.parse(shown.startedAt);
    assert.ok(wait >= 19_500 && wait <= 27_000, `waits ${wait} ms`);
  }
});

check("kit-signals takes buffered signals in order", needs("kit-signals"), async (t) => {
  const run = await t.start("kit-signals", {});
  await t.signal(run, "go", "one");
  await t.signal(run, "go", { two: 2 });
  assert.deepEqual(await t.done(run), ["one", { two: 2 }]);
});

check("kit-signal-then-step goes on with the signal", needs("kit-signal-then-step"), async (t) => {
  const run = await t.start("kit-signal-then-step", {});
  await t.ends(run, "waiting");
  await t.signal(run, "go", 0);
  assert.deepEqual(await t.done(run), { got: 0 });
  assert.equal((await t.bodies(run)).length, 2);
});

check("kit-tree waits for both", needs("kit-tree"), async (t) => {
  const run = await t.start("kit-tree", {});
  await t.signal(run, "right", "r");
  await t.signal(run, "left", "l");
  assert.deepEqual(await t.done(run), ["l", "r"]);
});

check("kit-event takes the event that matches", needs("kit-event"), async (t) => {
  const id = `inv_${Date.now()}`;
  const run = await t.start("kit-event", { id });
  await t.ends(run, "waiting");
  for (const other of ["inv_other", id]) await t.call("POST", "/v1/events", { name: "invoice.paid", data: { id: other } }, 202);
  const output = await t.done(run);
  assert.deepEqual([output.name, output.data], ["invoice.paid", { id }]);
});

check("kit-approval is answered", needs("kit-approval"), async (t) => {
  const run = await t.start("kit-approval", {});
  await t.ends(run, "waiting");
  await t.call("POST", `/v1/runs/${run}/approvals/${encodeURIComponent("ok#0")}`, { approve: true, data: { a: 1 } }, 200);
  assert.deepEqual(await t.done(run), { approved: true, data: { a: 1 } });
});

check("kit-resume is resumed by its URL", needs("kit-resume"), async (t) => {
  const run = await t.start("kit-resume", {});
  const shown = await t.ends(run, "waiting");
  const url = shown.steps.find((step) => step.key === "link#0").value;
  const answer = await fetch(url, { method: "POST", body: '"clicked"', headers: { "content-type": "application/json" } });
  assert.equal(answer.status, 202, await answer.text());
  assert.deepEqual(await t.done(run), { url, got: "clicked" });
});

check("kit-continue goes on until its end", needs("kit-continue"), async (t) => {
  let run = await t.start("kit-continue", { n: 3 });
  for (let round = 3; round > 0; round -= 1) run = (await t.ends(run, "completed")).continuedBy;
  assert.equal(await t.done(run), "end");
});

check("kit-fetch and kit-publish reach their URL", needs("kit-fetch"), async (t) => {
  const fetched = await t.output("kit-fetch", { url: t.target });
  assert.equal(fetched.status, 200);
  assert.match((await t.output("kit-publish", { url: t.target })).id, /^msg_/);
});

check("kit-trigger is started by its event", needs("kit-trigger"), async (t) => {
  const data = { kit: true, id: `t-${Date.now()}` };
  const event = await t.call("POST", "/v1/events", { name: "kit.started", data }, 202);
  assert.equal(event.started.length, 1);
  assert.deepEqual(await t.done(event.started[0]), data);
});

check("kit-versions runs the newest version, or the one that is asked for", needs("kit-versions"), async (t) => {
  assert.equal(await t.output("kit-versions", {}), "two");
  assert.equal(await t.output("kit-versions", {}, { version: "1" }), "one");
});

check("kit-random is the same in each run of one seed and different in others", needs("kit-random"), async (t) => {
  assert.notDeepEqual(await t.output("kit-random", {}), await t.output("kit-random", {}));
});

check("kit-diverge stops with a diff, and the old code heals it", needs("kit-diverge"), async (t) => {
  await t.shape(["a", "sleep:b", "c"]);
  const run = await t.start("kit-diverge", {});
  await t.ends(run, "sleeping");
  await t.shape(["x", "sleep:b", "c"]);
  await t.call("POST", `/v1/runs/${run}/wake`, undefined, 200);
  const shown = await t.ends(run, "paused");
  assert.equal(shown.pauseReason, "nonDeterminism");
  assert.match(JSON.stringify(shown.pauseDetail), /x#0/);
  await t.shape(["a", "sleep:b", "c"]);
  await t.call("POST", `/v1/runs/${run}/resume`, undefined, 200);
  const output = await t.done(run);
  assert.deepEqual([output[0], output[2]], ["a", "c"]);
  assert.deepEqual((await t.bodies(run)).map((body) => body.key), ["a#0", "c#0"]);
  await t.shape(["a", "b", "c"]);
});

check("kit-long is paused in the middle and resumed, each body once", needs("kit-long"), async (t) => {
  const run = await t.start("kit-long", { n: 60, ms: 20 });
  await t.until("bodies", async () => (await t.bodies(run)).length > 5);
  await t.call("POST", `/v1/runs/${run}/pause`, undefined, 200);
  await t.ends(run, "paused");
  await t.call("POST", `/v1/runs/${run}/resume`, undefined, 200);
  assert.deepEqual(await t.done(run), { sum: 1_770 });
  assert.equal((await t.bodies(run)).length, 60);
});

check("kit-long is cancelled in the middle and stops", needs("kit-long"), async (t) => {
  const run = await t.start("kit-long", { n: 5_000, ms: 20 });
  await t.until("bodies", async () => (await t.bodies(run)).length > 2);
  await t.call("POST", `/v1/runs/${run}/cancel`, undefined, 200);
  await new Promise((later) => setTimeout(later, 1_000));
  const begun = (await t.bodies(run)).length;
  await new Promise((later) => setTimeout(later, 500));
  assert.equal((await t.bodies(run)).length, begun);
});

check("a hundred runs at the same time all complete", needs("kit-sequence"), async (t) => {
  const runs = await Promise.all(Array.from({ length: 100 }, () => t.start("kit-sequence", {})));
  for (const run of runs) assert.deepEqual(await t.done(run), { n: 3 });
});

check("kit-children joins two hundred children", needs("kit-children"), async (t) => {
  assert.equal((await t.output("kit-children", { n: 200 })).length, 200);
});

check("kit-wide does two thousand steps, each body once", needs("kit-wide"), async (t) => {
  const run = await t.start("kit-wide", { n: 2_000 });
  assert.deepEqual(await t.done(run), { sum: 1_999_000 });
  assert.equal((await t.bodies(run)).length, 2_000);
});

check("a run that is longer than its budget is handed over, each body once; a body longer than its lease is not run again", needs("kit-slow"), async (t) => {
  // The two settings are the app's, so both runs are made while they hold.
  await t.register({ timeoutSeconds: 15, leaseSeconds: 2 });
  const long = await t.start("kit-long", { n: 110, ms: 100 });
  const slow = await t.start("kit-slow", { ms: 6_000 });
  assert.deepEqual(await t.done(slow), "after");
  assert.deepEqual(await t.done(long), { sum: 5_995 });
  assert.deepEqual((await t.bodies(slow)).map((body) => body.key), ["slow#0", "after#0"]);
  assert.equal((await t.bodies(long)).length, 110);
  await t.register({});
});
