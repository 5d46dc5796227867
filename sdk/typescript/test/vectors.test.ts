// The vectors that the engine's tests and the other SDK read, too.

import { readFileSync } from "node:fs";
import { describe, expect, test, vi } from "vitest";

import { WebhookVerificationError, serve, verify, workflow } from "../src/index.js";
import { matches } from "../src/memory/engine.js";
import { SchemaError, schemaFaults } from "../src/memory/json-schema.js";
import type { Step } from "../src/index.js";
import type { Entry, Pending, Tree } from "../src/protocol.js";
import { hmacBase64url } from "../src/sha256.js";
import { dispatch, invoke, type SentOp } from "./fake.js";

function vectors<Case>(name: string): Case[] {
  return (JSON.parse(readFileSync(new URL(`../../../tests/vectors/${name}.json`, import.meta.url), "utf8")) as { cases: Case[] }).cases;
}

type Statement = Record<string, any>;
interface Replay {
  name: string;
  program: Statement[];
  journal: Entry[];
  pending?: Pending[];
  accept?: number;
  expect: { bodies: string[]; ops: SentOp[]; awaits?: string[] };
}

async function interpret(step: Step, program: Statement[], begun: string[]): Promise<unknown[]> {
  const values = [];
  for (const statement of program) values.push(await perform(step, statement, begun));
  return values;
}

async function perform(step: Step, statement: Statement, begun: string[]): Promise<unknown> {
  if ("run" in statement) {
    const body = ({ key }: { key: string }) => {
      begun.push(key.slice(key.indexOf("/") + 1));
      if ("throws" in statement) throw new Error(statement["throws"]);
      return statement["returns"];
    };
    return step.run(statement["run"], body, { maxAttempts: 1 });
  }
  if ("sleep" in statement) return step.sleep(statement["sleep"], statement["ms"]);
  if ("signal" in statement) {
    const { signal, timeoutMs } = statement;
    const value = await step.waitForSignal(signal, (timeoutMs === undefined ? {} : { timeout: timeoutMs }) as { timeout: number });
    return value === undefined ? "timeout" : value;
  }
  if ("child" in statement) return step.invoke(statement["child"], statement["workflow"] as string);
  if ("all" in statement) return Promise.all((statement["all"] as Statement[][]).map((branch) => interpret(step, branch, begun)));
  if ("any" in statement) {
    const branches = (statement["any"] as Statement[][]).map(async (branch, at) => ({ branch: at, value: await interpret(step, branch, begun) }));
    return Promise.race(branches);
  }
  try {
    return { value: await interpret(step, statement["try"], begun) };
  } catch (error) {
    return { caught: (error as Error).message, value: await interpret(step, statement["catch"], begun) };
  }
}

describe("replay", () => {
  test.each(vectors<Replay>("replay").map((each) => [each.name, each] as const))("%s", async (_, { program, journal, pending, accept, expect: wanted }) => {
    const begun: string[] = [];
    const flow = workflow({ name: "flow" }, (step) => interpret(step as Step, program, begun));
    const request = invoke({ journal, ...(pending && { pending }), run: accept === undefined ? {} : { accept } });
    const reply = await dispatch(flow, request);
    expect(begun).toEqual(wanted.bodies);
    // A sleep that is pending is told again, because its length may have changed; the engine takes it for no change.
    const told = reply.ops.filter(({ op, key }) => !(op === "sleep" && pending?.some((each) => each.key === key)));
    expect(told.slice().sort(byKey)).toMatchObject(wanted.ops.slice().sort(byKey));
    if (wanted.awaits) expect(leaves(reply.await!).slice().sort()).toEqual(wanted.awaits.slice().sort());
  });
});

const byKey = (a: SentOp, b: SentOp) => `${a.key}`.localeCompare(`${b.key}`);
function leaves(tree: Tree): string[] {
  return typeof tree === "string" ? [tree] : ("all" in tree ? tree.all : tree.any).flatMap(leaves);
}

test.each(vectors<{ resumeKey: string; name: string; token: string }>("resume"))("the token of a resume URL for $name", ({ resumeKey, name, token }) => {
  expect(hmacBase64url(resumeKey, `resume:${name}`)).toBe(token);
});

interface Signed {
  name: string;
  secret?: string;
  secrets?: string[];
  id?: string;
  timestamp?: string;
  signature?: string;
  body: string;
  nowSeconds: number;
  ok: boolean;
}
test.each(vectors<Signed>("signatures"))("a signature: $name", ({ secret, secrets, id, timestamp, signature, body, nowSeconds, ok }) => {
  vi.useFakeTimers({ now: nowSeconds * 1_000 });
  try {
    const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature };
    const check = () => verify(new TextEncoder().encode(body), headers, secrets ?? secret!);
    if (ok) expect(() => check()).not.toThrow();
    else expect(check).toThrow(WebhookVerificationError);
  } finally {
    vi.useRealTimers();
  }
});

test.each(vectors<{ workflow: string; ok: boolean }>("workflow-names"))("the name of a workflow: $workflow", ({ workflow: name, ok }) => {
  const define = () => workflow({ name }, () => null);
  if (ok) expect(define().name).toBe(name);
  else expect(define).toThrow(TypeError);
});

test.each(vectors<{ key: string; ok: boolean }>("keys").filter(({ key }) => key.endsWith("#0")))("the name of a step: $key", async ({ key, ok }) => {
  const name = key.slice(0, -2);
  const reply = await dispatch(workflow({ name: "flow" }, (step) => step.run(name, () => 1)));
  expect(reply.ops[0]).toMatchObject(ok ? { op: "result", key } : { op: "fail", error: { name: "InvalidStep" } });
});

interface OpVector {
  name: string;
  op: Record<string, any>;
  ok: boolean;
}
/** Asks for the step that an op plans, as the code of a workflow does. */
function plan(step: Step, { op, key, name, workflow: target, ...fields }: Record<string, any>): unknown {
  const as = (key as string).slice(0, -2);
  const { timeoutMs, ...options } = fields;
  if (timeoutMs !== undefined) options["timeout"] = timeoutMs;
  if (op === "sleep") return fields["untilMs"] === undefined ? step.sleep(as, fields["forMs"]) : step.sleepUntil(as, fields["untilMs"]);
  if (op === "signal") return step.waitForSignal(name, { ...options, as });
  if (op === "event") return step.waitForEvent(name, { ...options, as });
  if (op === "child") return step.invoke(as, target as string, fields["input"], options);
  return step.approval(as, options);
}
const PLANS = ["sleep", "signal", "event", "child", "approval"];
/** What the SDK puts right (a past time) or what its methods cannot say. */
const UNSAYABLE = (op: Record<string, any>) => typeof op["key"] !== "string" || !op["key"].endsWith("#0") || (op["op"] === "sleep" && "forMs" in op === "untilMs" in op) || op["untilMs"] < 0 || op["forMs"] === "1d";
test.each(vectors<OpVector>("ops").filter(({ op }) => PLANS.includes(op["op"]) && !UNSAYABLE(op)))("a step: $name", async ({ op, ok }) => {
  const { ops } = await dispatch(workflow({ name: "flow" }, (step) => plan(step as Step, op)));
  expect(ops[0]).toMatchObject(ok ? { op: op["op"], key: op["key"] } : { op: "fail", error: { name: "InvalidStep" } });
});

interface DescribeVector {
  name: string;
  reply: { workflows: any[]; checkpoint?: any };
  ok: boolean;
}
test.each(vectors<DescribeVector>("describe"))("an app: $name", ({ reply, ok }) => {
  const define = () => serve({ workflows: reply.workflows?.map((each) => workflow(each, () => null)), signingSecret: "whsec_dGlra3U=", ...(reply.checkpoint && { checkpoint: reply.checkpoint }) });
  if (ok) expect(define).not.toThrow();
  else expect(define).toThrow(TypeError);
});

test.each(vectors<{ name: string; match: Record<string, unknown>; data: unknown; matches: boolean }>("match"))("an event in the test harness: $name", (vector) => {
  expect(matches(vector.match, vector.data)).toBe(vector.matches);
});

interface SchemaVector {
  name: string;
  schema: unknown;
  takes?: unknown[];
  refuses?: { value: unknown; pointers?: string[] }[];
  unusable?: boolean;
}
test.each(vectors<SchemaVector>("schemas"))("a schema: $name", ({ schema, takes = [], refuses = [], unusable }) => {
  for (const value of takes) expect(schemaFaults(schema, value)).toEqual([]);
  for (const { value, pointers } of refuses) {
    const found = schemaFaults(schema, value).map(({ pointer }) => pointer);
    expect(found).not.toEqual([]);
    if (pointers) expect(found).toEqual(pointers);
  }
  if (unusable) expect(() => [1, "x", {}].map((value) => schemaFaults(schema, value))).toThrow(SchemaError);
});
