// Checks: the vectors of tests/vectors/ through the engine's own door: describe replies, matches of events, keys of starts.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { check } from "../report.mjs";
import { done, reply, signal } from "./flow.mjs";

const vectors = (name) => JSON.parse(readFileSync(new URL(`../../tests/vectors/${name}.json`, import.meta.url), "utf8")).cases;

for (const one of vectors("describe")) {
  check(`a describe reply with ${one.name} is ${one.ok ? "taken" : "refused"}`, {}, async (t) => {
    const app = await t.app([]);
    app.describe = () => ({ body: one.reply });
    const answer = await app.register();
    if (one.ok) return assert.equal(answer.status, 200, answer.text);
    const refused = answer.status >= 400 || Boolean(answer.json.describeError);
    return assert.ok(refused, `${answer.status}: ${answer.text}`);
  });
}

check("events match as the vectors say", {}, async (t) => {
  const all = vectors("match");
  const name = (index) => `kit.match.${index}.${t.nonce}`;
  const flow = await t.flow((invoke, number) => (number === 1 ? reply({ op: "event", key: "e#0", name: name(invoke.input), match: all[invoke.input].match }, "e#0") : reply(done(1))));
  const runs = await Promise.all(all.map((_, index) => flow.start(index)));
  await Promise.all(runs.map((run) => run.until("waiting")));
  const wrong = [];
  for (const [index, one] of all.entries()) {
    const { json } = await t.api("POST", "/v1/events", { name: name(index), data: one.data });
    if (json.woken.includes(runs[index].id) !== one.matches) wrong.push(one.name);
  }
  assert.deepEqual(wrong, []);
});

check("triggers match as the vectors say", {}, async (t) => {
  const all = vectors("match");
  const name = (index) => `kit.trigger.${index}.${t.nonce}`;
  await t.app(all.map((one, index) => ({ script: [reply(done(1))], triggers: [{ event: name(index), match: one.match }] })));
  const wrong = [];
  for (const [index, one] of all.entries()) {
    const { json } = await t.api("POST", "/v1/events", { name: name(index), data: one.data });
    if ((json.started.length === 1) !== one.matches) wrong.push(one.name);
  }
  assert.deepEqual(wrong, []);
});

check("keys of starts are the values at their paths", {}, async (t) => {
  // Two starts with one value of the key are one run, with two values two.
  const same = [[{ a: null }, {}], [{ a: null }, 7], [{ a: "x", b: 1 }, { b: 2, a: "x" }], [{ a: { b: 1, c: 2 } }, { a: { b: 1, c: 2 } }], [{ a: 0 }, { a: 0, z: 1 }]];
  const different = [[{ a: 1 }, { a: "1" }], [{ a: false }, { a: null }], [{ a: "" }, {}], [{ a: 0 }, { a: false }], [{ a: ["x"] }, { a: "x" }]];
  for (const [pairs, expected] of [[same, true], [different, false]]) {
    for (const [one, other] of pairs) {
      const flow = await t.flow([reply(signal("go#0", "go"), "go#0")], { singleton: { key: "input.a", mode: "skip" } });
      const runs = [await flow.start(one), await flow.start(other)];
      assert.equal(runs[0].id === runs[1].id, expected, `${JSON.stringify(one)} and ${JSON.stringify(other)}`);
    }
  }
});
