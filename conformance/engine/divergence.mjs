// Checks: code that does not fit the journal stops before a new body begins; code that fits goes on.

import assert from "node:assert/strict";
import { check } from "../report.mjs";

const needs = { workflow: "kit-diverge" };
const A_AND_B = [{ key: "a#0", value: "a" }, { key: "b#0", value: "b" }];

/** Runs the workflow in a shape over a journal, and puts the first shape back. */
async function shaped(t, shape, given) {
  await t.host.shape(shape);
  try {
    const run = t.run("kit-diverge", given);
    await t.host.drive(run);
    return run;
  } finally {
    await t.host.shape(["a", "b", "c"]);
  }
}

function stopped(run, key) {
  assert.equal(run.end?.op, "diverged");
  assert.ok(run.end.message.length > 0);
  assert.ok(run.end.diff.asked.some((one) => one.key === key), `asked: ${JSON.stringify(run.end.diff)}`);
}

for (const [what, shape, bodies] of [
  ["the same code", ["a", "b", "c"], ["c#0"]],
  ["a step at the end", ["a", "b", "c", "d"], ["c#0", "d#0"]],
  ["recorded steps in another order", ["b", "a", "c"], ["c#0"]],
]) {
  check(`${what} goes on`, needs, async (t) => {
    const run = await shaped(t, shape, { entries: A_AND_B });
    assert.deepEqual(run.end.value, shape);
    assert.deepEqual(await t.keys(run), bodies);
  });
}

for (const [what, shape, asked] of [
  ["a step before the recorded ones", ["x", "a", "b", "c"], "x#0"],
  ["a step between the recorded ones", ["a", "x", "b", "c"], "x#0"],
  ["a recorded step renamed", ["a", "z", "c"], "z#0"],
  ["a recorded step removed", ["b", "c"], "c#0"],
  ["a recorded step that is a sleep now", ["sleep:a", "b", "c"], "a#0"],
]) {
  check(`${what} stops the run before a body`, needs, async (t) => {
    const run = await shaped(t, shape, { entries: A_AND_B });
    stopped(run, asked);
    assert.deepEqual(await t.keys(run), []);
    assert.equal(run.entries.length, 2, "nothing was recorded");
  });
}

check("the diff says what the journal has that nobody asked for", needs, async (t) => {
  const run = await shaped(t, ["a", "z", "c"], { entries: A_AND_B });
  assert.ok(run.end.diff.expected.some((one) => one.key === "b#0" && one.kind === "run"), JSON.stringify(run.end.diff));
  assert.ok(run.end.diff.asked.some((one) => one.key === "z#0" && one.kind === "run"), JSON.stringify(run.end.diff));
});

check("a pending sleep that is a step now stops the run", needs, async (t) => {
  const run = await shaped(t, ["a", "b"], { pending: [{ key: "a#0", kind: "sleep", waitMs: 60_000 }] });
  stopped(run, "a#0");
  assert.deepEqual(await t.keys(run), []);
});

check("a pending step that is a sleep now stops the run", needs, async (t) => {
  const run = await shaped(t, ["sleep:a", "b"], { pending: [{ key: "a#0", kind: "run", attempt: 2, waitMs: 0, retry: true }] });
  stopped(run, "a#0");
});

check("going back to the old code heals", needs, async (t) => {
  const run = await shaped(t, ["x", "a", "b", "c"], { entries: A_AND_B });
  assert.equal(run.end.op, "diverged");
  Object.assign(run, { end: undefined, status: "queued", tree: undefined });
  await t.host.drive(run);
  assert.deepEqual(run.end.value, ["a", "b", "c"]);
  assert.deepEqual(await t.keys(run), ["c#0"]);
});

check("an accepted change goes on with the new code", needs, async (t) => {
  const run = await shaped(t, ["a", "z", "c"], { entries: A_AND_B, accept: 2 });
  assert.deepEqual(run.end.value, ["a", "z", "c"]);
  assert.deepEqual(await t.keys(run), ["z#0", "c#0"]);
});

check("an accepted change covers only what was recorded then", needs, async (t) => {
  const run = await shaped(t, ["a", "z", "c"], { entries: [...A_AND_B, { key: "y#0", value: "y" }], accept: 2 });
  assert.equal(run.end.op, "diverged");
});

check("a sleep is part of the journal like a step", needs, async (t) => {
  const run = await shaped(t, ["a", "sleep:nap", "b"], {});
  assert.deepEqual(run.end.value, ["a", null, "b"]);
  assert.deepEqual(run.entries.map((entry) => entry.kind), ["run", "sleep", "run"]);
});
