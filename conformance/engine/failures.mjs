// Checks: errors keep their name, message, code, data and cause on every way they take.

import assert from "node:assert/strict";
import { check } from "../report.mjs";

function sameError(error, expected) {
  const { cause, ...fields } = expected;
  for (const [field, value] of Object.entries(fields)) assert.deepEqual(error[field], value, field);
  if (cause) {
    assert.ok(error.cause, "a cause");
    sameError(error.cause, cause);
  }
}

check("a step's error is recorded with name, message, code, data and cause", { workflow: "kit-retry" }, async (t) => {
  const run = await t.drive("kit-retry", { input: { failures: 9, maxAttempts: 1 } });
  const expected = { name: "FlakyError", message: "attempt 1", code: "E_FLAKY", data: { k: 1 }, cause: { name: "RootError", message: "root" } };
  sameError(run.entry("flaky#0").error, expected);
  sameError(run.end.error, expected);
});

check("an error of the workflow's own code fails the run with all its parts", { workflow: "kit-fail" }, async (t) => {
  const run = await t.drive("kit-fail");
  assert.equal(run.end.op, "fail");
  sameError(run.end.error, { name: "FlowError", message: "broken", code: "E_FLOW", data: { a: 1 }, cause: { name: "RootError", message: "root" } });
});

check("an error from the journal is the error that was recorded", { workflow: "kit-retry" }, async (t) => {
  const error = { name: "FlakyError", message: "from before", code: "E_OLD", data: { k: 7 }, cause: { name: "RootError", message: "deep", cause: { name: "Error", message: "deeper" } } };
  const run = await t.drive("kit-retry", { entries: [{ key: "flaky#0", state: "error", error }] });
  assert.deepEqual(await t.keys(run), []);
  sameError(run.end.error, error);
});

check("an error stays within 64 KiB", { workflow: "kit-trycatch" }, async (t) => {
  const error = { name: "PayError", message: "m".repeat(40_000), stack: "at x\n".repeat(4_000) };
  const run = await t.drive("kit-trycatch", { entries: [{ key: "pay#0", state: "error", error }] });
  assert.equal(run.end.value, `undo ${"m".repeat(40_000)}`);
});

check("a bad input fails the run before a step", { workflow: "kit-input" }, async (t) => {
  for (const input of [{ n: "two" }, {}, null, [1]]) {
    const run = await t.drive("kit-input", { input });
    assert.equal(run.end?.op, "fail", JSON.stringify(input));
    assert.deepEqual(await t.keys(run), []);
    assert.ok(run.end.error.message.length > 0);
  }
  const good = await t.drive("kit-input", { input: { n: 21 } });
  assert.equal(good.end.value, 42);
});

check("a child's failure surfaces as an error with the child's id", { workflow: "kit-child" }, async (t) => {
  const run = t.run("kit-child");
  await t.host.drive(run);
  const error = { name: "ChildFailed", message: "the child failed", runId: "run_00000000000000000000000000000001", cause: { name: "FlowError", message: "broken" } };
  run.finish("sub#0", { state: "error", error, run: error.runId });
  await t.host.drive(run);
  assert.equal(run.end.value.failed, "ChildFailed");
  assert.equal(run.end.value.runId, error.runId);
});

check("a child's cancellation surfaces as an error", { workflow: "kit-child" }, async (t) => {
  const run = t.run("kit-child");
  await t.host.drive(run);
  run.finish("sub#0", { state: "error", error: { name: "ChildCancelled", message: "cancelled", runId: "run_00000000000000000000000000000002" } });
  await t.host.drive(run);
  assert.equal(run.end.value.failed, "ChildCancelled");
});
