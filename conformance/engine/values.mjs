// Checks: values come back as they were, from a body and from the journal.

import assert from "node:assert/strict";
import { check } from "../report.mjs";

const VALUES = {
  "the number 0": 0,
  "false": false,
  "the empty string": "",
  "null": null,
  "an empty list": [],
  "an empty object": {},
  "a fraction": 0.1,
  "a large integer": 9_007_199_254_740_991,
  "a negative integer": -2_147_483_649,
  "an exponent": 1e300,
  "unicode beyond the BMP": "gr\u00fc\u00df dich \u{1F980} \u65e5\u672c",
  "a NUL and other control characters": "a\u0000b\u0001\u001f\u007f\n\t",
  "line separators": "\u2028\u2029",
  "a key named like a prototype's": JSON.parse('{"__proto__": {"a": 1}, "constructor": 2, "toString": null}'),
  "an empty key": { "": { "": "" } },
  "deep nesting": Array.from({ length: 60 }).reduce((inner) => ({ inner }), "core"),
  "nulls in lists": [null, [null], { a: null }],
};

for (const [what, value] of Object.entries(VALUES)) {
  check(`${what} comes back from a body and from the journal`, { workflow: "kit-values" }, async (t) => {
    const fresh = await t.drive("kit-values", { input: { value } });
    assert.deepEqual(fresh.entry("echo#0").value, value);
    assert.deepEqual(fresh.end.value ?? null, value);
    const replayed = await t.drive("kit-values", { entries: [{ key: "echo#0", value }] });
    assert.deepEqual(replayed.end.value ?? null, value);
    assert.deepEqual(await t.keys(replayed), []);
  });
}

check("nothing is null", { workflow: "kit-void" }, async (t) => {
  const run = await t.drive("kit-void");
  assert.equal(run.entry("nothing#0").value, null);
  assert.equal(run.end.value ?? null, null);
  const replayed = await t.drive("kit-void", { entries: [{ key: "nothing#0", value: null }] });
  assert.deepEqual(await t.keys(replayed), []);
});

check("a value of 1 MiB comes back", { workflow: "kit-values" }, async (t) => {
  const value = "0123456789abcdef".repeat(65_536);
  const run = await t.drive("kit-values", { input: { value } });
  assert.equal(run.end.value, value);
});

check("a result above the limit is an error of the step, not a loop", { workflow: "kit-long" }, async (t) => {
  const run = await t.drive("kit-long", { input: { n: 1, bytes: 100_000 }, knobs: { resultBytes: 50_000 } }, { max: 20 });
  assert.equal(run.status, "failed");
  assert.equal(run.entry("s#0").state, "error");
  assert.ok(run.checkpoints.every((one) => one.bytes < 60_000), "the value was not sent");
});
