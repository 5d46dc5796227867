#!/usr/bin/env node
// Checks docs/protocol.schema.json: against the examples of docs/protocol.md, against tests/vectors/, and against the rules that the fake engine uses.

import { readFileSync } from "node:fs";
import Ajv from "ajv/dist/2020.js";
import { checkpointProblems, isKey, isWorkflowName, replyProblems } from "./wire/rules.mjs";
import { resumeToken, signature } from "./wire/sign.mjs";
import { resolves } from "./wire/tree.mjs";

const root = new URL("../", import.meta.url);
const read = (path) => readFileSync(new URL(path, root), "utf8");
const vectors = (name) => JSON.parse(read(`tests/vectors/${name}.json`)).cases;

const schema = JSON.parse(read("docs/protocol.schema.json"));
const ajv = new Ajv({ strict: true, strictRequired: false, strictTypes: false, validateFormats: false, allErrors: true });
ajv.addSchema(schema);
const validators = new Map();
let checks = 0;
const faults = [];

function expect(what, right) {
  checks += 1;
  if (!right) faults.push(what);
}

/** What the schema of a body finds wrong, as pointers. */
function schemaErrors(name, value) {
  if (!validators.has(name)) validators.set(name, ajv.compile({ $ref: `${schema.$id}#/$defs/${name}` }));
  const validate = validators.get(name);
  return validate(value) ? [] : validate.errors.map((error) => `${error.instancePath} ${error.message}`);
}

/** Says which body an example of the page is. */
function bodyOf(example) {
  if (example.kind === "describe") return "describeRequest";
  if (example.kind === "invoke") return "invoke";
  if (example.workflows) return "describeReply";
  if (example.await !== undefined) return "reply";
  return example.journal ? "checkpointAnswer" : "checkpointRequest";
}

function page() {
  const examples = [...read("docs/protocol.md").matchAll(/```json\n([\s\S]*?)```/g)].map((block) => JSON.parse(block[1]));
  const names = examples.map(bodyOf);
  const all = ["describeRequest", "describeReply", "invoke", "reply", "checkpointRequest", "checkpointAnswer"];
  expect(`the page's examples are ${names.join(", ")}`, JSON.stringify(names) === JSON.stringify(all));
  examples.forEach((example, index) => {
    const errors = schemaErrors(names[index], example);
    expect(`example ${names[index]} of the page: ${errors.join("; ")}`, errors.length === 0);
  });
}

/** A reply that is too long to be written in a vector. */
function generated({ ops, levels, leaves }) {
  const keys = (n) => Array.from({ length: n }, (_, i) => `s#${i}`);
  const reply = { v: 1, have: 0, ops: keys(ops ?? 0).map((key) => ({ op: "signal", key, name: "s" })) };
  if (levels) reply.await = Array.from({ length: levels }).reduce((tree) => ({ all: [tree] }), "s#0");
  if (leaves) reply.await = { any: keys(leaves) };
  return reply;
}

function form(file, body, schemaName, rules) {
  for (const one of vectors(file)) {
    const value = body(one);
    const where = `${file}.json, ${one.name ?? one.key ?? one.workflow}`;
    const errors = schemaErrors(schemaName, value);
    expect(`${where}: the schema says ${errors.join("; ") || "ok"}`, (errors.length === 0) === (one.ok || one.schema === false));
    if (!rules) continue;
    const found = rules(value);
    const named = one.ok ? found.length === 0 : found.some(({ pointer }) => pointer === one.pointer || pointer.startsWith(`${one.pointer}/`));
    expect(`${where}: the rules say ${JSON.stringify(found).slice(0, 300)}`, named);
  }
}

/** An op's own rules: those of a reply that has it alone, with pointers from the op on. */
function opRules(op) {
  return replyProblems({ v: 1, have: 0, ops: [op] }).map(({ pointer, detail }) => ({ pointer: pointer.replace("/ops/0", ""), detail }));
}

const textRule = (holds) => (value) => (holds(value) ? [] : [{ pointer: "", detail: "no" }]);
const withPointer = (holds) => (value) => textRule(holds)(value).map((fault) => ({ ...fault, pointer: "undefined/" }));

page();
form("ops", (one) => one.op, "op", opRules);
form("replies", (one) => one.reply ?? generated(one.generate), "reply", replyProblems);
form("checkpoints", (one) => one.request, "checkpointRequest", checkpointProblems);
form("describe", (one) => one.reply, "describeReply");
form("keys", (one) => one.key, "key", withPointer(isKey));
form("workflow-names", (one) => one.workflow, "workflowName", withPointer(isWorkflowName));
for (const one of vectors("trees")) {
  expect(`trees.json, ${one.name}: the schema`, schemaErrors("tree", one.tree).length === 0);
  expect(`trees.json, ${one.name}: resolves`, resolves(one.tree, (key) => one.finished.includes(key)) === one.resolves);
}
for (const one of vectors("match")) expect(`match.json, ${one.name}: the schema`, schemaErrors("match", one.match).length === 0);
for (const one of vectors("start-keys")) expect(`start-keys.json, ${one.name}: the schema`, schemaErrors("path", one.key).length === 0);
for (const one of vectors("policies")) expect(`policies.json, ${one.name}: the schema`, schemaErrors("policy", one.policy).length === 0);
for (const one of vectors("resume")) expect(`resume.json, ${one.name}`, resumeToken(one.resumeKey, one.name) === one.token);
for (const one of vectors("signatures")) {
  const right = one.signature.split(" ").includes(signature(one.secret, one.id, one.timestamp, one.body));
  const near = Math.abs(one.nowSeconds - Number(one.timestamp)) <= 300;
  expect(`signatures.json, ${one.name}`, (right && near) === one.ok);
}
for (const one of vectors("replay")) {
  for (const entry of one.journal) expect(`replay.json, ${one.name}: an entry`, schemaErrors("entry", entry).length === 0);
  for (const pending of one.pending ?? []) expect(`replay.json, ${one.name}: pending`, schemaErrors("pending", pending).length === 0);
}

for (const fault of faults) console.error(`FAIL ${fault}`);
console.log(`${checks} checks, ${faults.length} failed`);
process.exit(faults.length > 0 ? 1 : 0);
