// The rules for replies and checkpoints, written by hand: what they break comes back as a list of {pointer, detail}.
// `docs/protocol.schema.json` says the same; `check-schema.mjs` compares the two over `tests/vectors/`.

import { leaves, levels } from "./tree.mjs";

export const OPS_MAX = 10_000;
export const LEAVES_MAX = 10_000;
export const LEVELS_MAX = 32;
export const TERMINAL = new Set(["done", "fail", "continueAsNew", "diverged", "unserved"]);

const KEY = /^([^\u0000-\u001f\u007f-\u009f]{1,200})#(0|[1-9][0-9]{0,8})$/u;
const PLAIN = /^[^\u0000-\u001f\u007f-\u009f]+$/u;
const KEY_ID = /^key_[0-9a-f]{32}$/;
const ROLES = ["admin", "publish", "read"];
const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/;
const RETRY_MS_MAX = 31_536_000_000;
const SLEEP_MS_MAX = 315_360_000_000;
const UNTIL_MS_MAX = 253_402_300_799_999;
const MATCH_BYTES_MAX = 16 * 1024;
const SHOWN_BYTES_MAX = 64 * 1024;
const VALUE_LEVELS_MAX = 128;

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value) => typeof value === "string" && value.length > 0;
const isPlain = (value, max = 128) => typeof value === "string" && PLAIN.test(value) && [...value].length <= max;
const isShallow = (value, bytes) => value === undefined || (Buffer.byteLength(JSON.stringify(value)) <= bytes && depth(value) <= VALUE_LEVELS_MAX);
const depth = (value) => (typeof value === "object" && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depth)) : 0);
const isSchema = (value) => (isObject(value) || typeof value === "boolean") && isShallow(value, SHOWN_BYTES_MAX);
const isCount = (value, max = Number.MAX_SAFE_INTEGER) => Number.isInteger(value) && value >= 0 && value <= max;

/** Says whether this is a key: a step's name, `#` and its occurrence. */
export function isKey(value) {
  return typeof value === "string" && KEY.test(value);
}

/** Says whether this names a workflow. */
export function isWorkflowName(value) {
  return typeof value === "string" && NAME.test(value);
}

const optional = (rule) => (value) => value === undefined || rule(value);
const version = (value) => isPlain(value, 64);
const timeout = optional((value) => isCount(value, SLEEP_MS_MAX));
const any = () => true;

function isError(value, depth = 0) {
  return isObject(value) && ["name", "message"].every((field) => typeof value[field] === "string" && !value[field].includes("\0")) && depth < 64
    && ["stack", "runId"].every((field) => value[field] === undefined || typeof value[field] === "string")
    && ["undefined", "string", "number"].includes(typeof value.code)
    && (value.cause === undefined || value.cause === null || isError(value.cause, depth + 1));
}

const isPath = (path) => isPlain(path, 200) && path.split(".").every((part, at) => (at === 0 ? part === "data" : part !== ""));
const isMatch = (value) => isObject(value) && Object.keys(value).length <= 10 && Object.keys(value).every(isPath) && isShallow(value, MATCH_BYTES_MAX);
const isListOf = (fits) => (list) => Array.isArray(list) && list.length <= 100 && list.every((one) => typeof one === "string" && fits(one));
const POLICY = { roles: isListOf((role) => ROLES.includes(role)), keys: isListOf((key) => KEY_ID.test(key)), notInitiator: (flag) => typeof flag === "boolean" };
const isPolicy = (value) => isObject(value)
  && Object.entries(value).every(([field, given]) => Object.hasOwn(POLICY, field) && POLICY[field](given))
  && !(["roles", "keys"].some((list) => value[list]) && ["roles", "keys"].every((list) => !value[list]?.length));
const isTitle = (value) => typeof value === "string" && [...value].length <= 500 && !value.includes("\0");
const isAi = (value) => isObject(value) && typeof value.model === "string" && [...value.model].length <= 200 && !value.model.includes("\0") && isCount(value.inputTokens) && isCount(value.outputTokens)
  && (value.costUsd === undefined || value.costUsd === null || (typeof value.costUsd === "number" && value.costUsd >= 0));
const isRetry = (value) => isObject(value) && isCount(value.afterMs, RETRY_MS_MAX)
  && ["free", "resetMs"].every((flag) => value[flag] === undefined || typeof value[flag] !== "object");
const isCallRequest = (value) => isObject(value) && isText(value.url);
const isKeyList = (value) => Array.isArray(value) && value.every((one) => isObject(one) && isKey(one.key) && isText(one.kind));
const isDiff = (value) => isObject(value) && isKeyList(value.expected) && isKeyList(value.asked);
const isServes = (value) => Array.isArray(value) && value.every((one) => isObject(one) && isText(one.name) && isText(one.version));

const outcome = { key: isKey, ms: optional((ms) => typeof ms === "number" && ms >= 0), attempt: optional((n) => isCount(n) && n > 0),
  kind: optional((kind) => kind === "run" || kind === "ai"), ai: optional(isAi) };

/** Every op with the rules of its fields; `end`: what ends the run takes no key. */
const OPS = {
  result: { ...outcome, value: any },
  error: { ...outcome, error: isError, retry: optional(isRetry) },
  sleep: { key: isKey, forMs: optional((ms) => isCount(ms, SLEEP_MS_MAX)), untilMs: optional((ms) => isCount(ms, UNTIL_MS_MAX)) },
  signal: { key: isKey, name: isPlain, timeoutMs: timeout },
  event: { key: isKey, name: isPlain, match: optional(isMatch), timeoutMs: timeout },
  child: { key: isKey, workflow: isWorkflowName, input: any, version: optional(version), id: optional((id) => isPlain(id, 255)) },
  approval: { key: isKey, policy: optional(isPolicy), schema: optional(isSchema), timeoutMs: timeout,
    title: optional(isTitle), detail: (value) => isShallow(value, SHOWN_BYTES_MAX) },
  fetch: { key: isKey, request: isCallRequest },
  publish: { key: isKey, message: isObject },
  done: { value: any },
  fail: { error: isError },
  continueAsNew: { input: any, version: optional(version) },
  diverged: { diff: isDiff, message: (text) => typeof text === "string" },
  unserved: { serves: isServes },
};

function opProblems(op, at) {
  if (!isObject(op)) return [{ pointer: at, detail: "an op is an object" }];
  const rules = Object.hasOwn(OPS, op.op) ? OPS[op.op] : undefined;
  if (!rules) return [{ pointer: `${at}/op`, detail: "no such op" }];
  const found = Object.entries(rules)
    .filter(([field, holds]) => !holds(op[field]))
    .map(([field]) => ({ pointer: `${at}/${field}`, detail: "not what the protocol allows" }));
  if (op.op === "sleep" && (op.forMs === undefined) === (op.untilMs === undefined)) found.push({ pointer: at, detail: "forMs or untilMs" });
  return found;
}

function treeProblems(tree, at) {
  if (typeof tree === "string") return isKey(tree) ? [] : [{ pointer: at, detail: "not a key" }];
  const kinds = isObject(tree) ? ["all", "any"].filter((kind) => Array.isArray(tree[kind])) : [];
  if (kinds.length !== 1) return [{ pointer: at, detail: "a key, {all} or {any}" }];
  return tree[kinds[0]].flatMap((branch, index) => treeProblems(branch, `${at}/${kinds[0]}/${index}`));
}

function opsProblems(body) {
  if (!isObject(body)) return [{ pointer: "", detail: "a JSON object" }];
  const found = [];
  if (body.v !== 1) found.push({ pointer: "/v", detail: "1" });
  if (body.have !== undefined && !isCount(body.have)) found.push({ pointer: "/have", detail: "a seq" });
  if (!Array.isArray(body.ops)) return [...found, { pointer: "/ops", detail: "a list" }];
  if (body.ops.length > OPS_MAX) return [...found, { pointer: "/ops", detail: `at most ${OPS_MAX}` }];
  return [...found, ...body.ops.flatMap((op, index) => opProblems(op, `/ops/${index}`))];
}

/** What a reply breaks. */
export function replyProblems(body) {
  const found = opsProblems(body);
  if (found.length > 0) return found;
  body.ops.forEach((op, index) => {
    if (TERMINAL.has(op.op) && index < body.ops.length - 1) found.push({ pointer: `/ops/${index}`, detail: "the last op" });
  });
  if (body.await === undefined || body.await === null) return found;
  if (TERMINAL.has(body.ops.at(-1)?.op)) found.push({ pointer: "/await", detail: "not with a terminal op" });
  found.push(...treeProblems(body.await, "/await"));
  if (found.length > 0) return found;
  if (levels(body.await) > LEVELS_MAX) found.push({ pointer: "/await", detail: `at most ${LEVELS_MAX} levels` });
  else if (leaves(body.await).length > LEAVES_MAX) found.push({ pointer: "/await", detail: `at most ${LEAVES_MAX} leaves` });
  return found;
}

/** What a checkpoint's request breaks. */
export function checkpointProblems(body) {
  const found = opsProblems(body);
  if (found.length > 0) return found;
  return body.ops.flatMap((op, index) => (TERMINAL.has(op.op) ? [{ pointer: `/ops/${index}`, detail: "not in a checkpoint" }] : []));
}
