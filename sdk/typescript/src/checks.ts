// What the engine would refuse of a step or a workflow, said where it stands in the code: docs/protocol.md has the rules, tests/vectors their edges.

import type { Policies } from "./protocol.js";
import { InvalidStep, TooLarge } from "./errors.js";
import { LEVELS_MAX, UNFIT, bytesOf, isUnfit, levelsOf } from "./text.js";

const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;
const WORKFLOW_NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/;
const KEY_ID = /^key_[0-9a-f]{32}$/;
const ROLES = ["admin", "publish", "read"];
/** A checkpoint takes 5 MiB; there is more in it than one op. */
const OP_BYTES_MAX = 5 * 1024 * 1024 - 4_096;
const SHOWN_BYTES_MAX = 64 * 1024;
const MATCH_BYTES_MAX = 16 * 1024;

/** Text of so many characters, none of them a control character or half of one. */
function isPlain(text: unknown, max: number): text is string {
  if (typeof text !== "string" || text.length < 1 || (text.length > max && (text.length > 2 * max || [...text].length > max))) return false;
  return !CONTROL.test(text) && text.search(UNFIT) < 0;
}

const shown = (value: unknown) => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 100 ? text : `${text.slice(0, 100)}...`;
};

export function isWorkflowName(name: unknown): boolean {
  return typeof name === "string" && WORKFLOW_NAME.test(name);
}

export const NAME_RULE = "1 to 128 characters of A-Z a-z 0-9 . _ -, not beginning with a full stop";

export function checkStepName(name: unknown): asserts name is string {
  if (!isPlain(name, 200)) throw new InvalidStep(`${shown(name)} cannot name a step: give 1 to 200 characters, none of them a control character or half of a surrogate pair`);
}

function checkPlain(value: unknown, what: string, max: number): void {
  if (!isPlain(value, max)) throw new InvalidStep(`${what} must have 1 to ${max} characters, none of them a control character or half of a surrogate pair: ${shown(value)}`);
}

export function checkSignal(step: string, name: unknown, what: "signal" | "event"): void {
  checkPlain(name, `the name of the ${what} that step ${step} waits for`, 128);
}

export function checkChild(step: string, workflow: unknown, options: { version?: unknown; id?: unknown } | undefined): void {
  if (!isWorkflowName(workflow)) throw new InvalidStep(`step ${step}: ${shown(workflow)} cannot name a workflow: ${NAME_RULE}`);
  checkVersion(step, options?.version);
  if (options?.id !== undefined) checkPlain(options.id, `the id of the child of step ${step}`, 255);
}

export function checkVersion(step: string, version: unknown): void {
  if (version !== undefined) checkPlain(version, `the version that step ${step} asks for`, 64);
}

/** An op with what it carries. */
export function checkOp(step: string, encoded: string): void {
  checkSize(encoded, `what step ${step} asks for`, OP_BYTES_MAX);
}

/** Refuses a value that the engine would refuse. */
export function checkSize(encoded: string, what: string, max: number): void {
  if (encoded.length * 3 <= max) return;
  const size = bytesOf(encoded);
  if (size > max) throw new TooLarge(`${what} has ${size} bytes of JSON; ${max} are allowed`);
}

/** JSON that the engine's database has to read. */
function checkShallow(value: unknown, what: string, max: number): void {
  const encoded = JSON.stringify(value) ?? "null";
  if (encoded.length * 3 > max && bytesOf(encoded) > max) throw new InvalidStep(`${what} must have at most ${max} bytes of JSON`);
  if (levelsOf(encoded) > LEVELS_MAX) throw new InvalidStep(`${what} must have at most ${LEVELS_MAX} levels of arrays and objects`);
  if (isUnfit(encoded)) throw new InvalidStep(`${what} must have no U+0000 and no half of a surrogate pair`);
}

export function checkApproval(step: string, { policy, schema, title, detail }: { policy?: unknown; schema?: unknown; title?: unknown; detail?: unknown }): void {
  const what = `of the approval ${step}`;
  if (policy !== undefined && policy !== null) checkAnswerers(what, policy);
  if (title !== undefined && title !== null && (typeof title !== "string" || [...title].length > 500 || title.includes("\0") || title.search(UNFIT) >= 0)) {
    throw new InvalidStep(`the title ${what} must be a text of at most 500 characters, none of them U+0000 or half of a surrogate pair`);
  }
  if (schema !== undefined && schema !== null) {
    if (typeof schema !== "boolean" && !isObject(schema)) throw new InvalidStep(`the schema ${what} must be a JSON Schema: an object, true or false`);
    checkShallow(schema, `the schema ${what}`, SHOWN_BYTES_MAX);
  }
  if (detail !== undefined) checkShallow(detail, `the detail ${what}`, SHOWN_BYTES_MAX);
}

/** What is mistyped, or computed and empty, must not mean that anybody may answer. */
function checkAnswerers(what: string, policy: unknown): void {
  const { roles, keys, notInitiator, ...unknown } = (isObject(policy) ? policy : { policy }) as Record<string, unknown>;
  const lists = [roles, keys].filter((list) => list !== undefined && list !== null);
  const isOpen = lists.length > 0 && lists.every((list) => Array.isArray(list) && list.length === 0);
  if (Object.keys(unknown).length > 0 || isOpen) {
    throw new InvalidStep(`the policy ${what} must have roles, keys and notInitiator only, and not just empty lists: ${shown(policy)}`);
  }
  if (!isListOf(roles, (role) => ROLES.includes(role))) throw new InvalidStep(`the roles ${what} must be a list of admin, publish and read: ${shown(roles)}`);
  if (!isListOf(keys, (key) => KEY_ID.test(key))) throw new InvalidStep(`the keys ${what} must be a list of at most 100 ids of API keys (key_...): ${shown(keys)}`);
  if (notInitiator !== undefined && notInitiator !== null && typeof notInitiator !== "boolean") throw new InvalidStep(`notInitiator ${what} must be true or false`);
}

function isListOf(list: unknown, fits: (word: string) => boolean): boolean {
  return list === undefined || list === null || (Array.isArray(list) && list.length <= 100 && list.every((word) => typeof word === "string" && fits(word)));
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The match of an event: throws what `make` makes of a sentence. */
export function checkMatch(match: unknown, what: string, make: (message: string) => Error = (message) => new InvalidStep(message)): void {
  if (match === undefined || match === null) return;
  if (!isObject(match)) throw make(`the match of ${what} must be an object from paths to values: ${shown(match)}`);
  const entries = Object.entries(match);
  if (entries.length > 10) throw make(`the match of ${what} must have at most 10 paths; it has ${entries.length}`);
  for (const [path, value] of entries) {
    if (!isPath(path, "data")) throw make(`the match of ${what} has the path ${shown(path)}: a path is data or data.customer.id, of at most 200 characters`);
    const encoded = typeof value === "bigint" ? undefined : JSON.stringify(value);
    // It would be left out, and more events would match.
    if (encoded === undefined) throw make(`the match of ${what} has a value at ${path} that is no JSON`);
    if (isUnfit(encoded)) throw make(`the match of ${what} has a value at ${path} with U+0000 or half of a surrogate pair, which no event can have there`);
    if (levelsOf(encoded) > LEVELS_MAX) throw make(`the match of ${what} must have at most ${LEVELS_MAX} levels of arrays and objects`);
  }
  if (bytesOf(JSON.stringify(match)) > MATCH_BYTES_MAX) throw make(`the match of ${what} must have at most ${MATCH_BYTES_MAX} bytes of JSON`);
}

function isPath(path: unknown, root: string): boolean {
  if (!isPlain(path, 200)) return false;
  const [first, ...parts] = path.split(".");
  return first === root && parts.every((part) => part !== "");
}

interface Definition extends Policies {
  name: unknown;
  version?: unknown;
}

/** Throws a TypeError for what a workflow says about itself and no app could be registered with. */
export function checkDefinition({ name, version, triggers, concurrency, rateLimit, singleton, debounce, priority }: Definition): void {
  if (!isWorkflowName(name)) throw new TypeError(`${shown(name)} cannot name a workflow: ${NAME_RULE}`);
  const of = `of workflow ${String(name)}`;
  if (version !== undefined && !isPlain(version, 64)) throw new TypeError(`the version ${of} must be a text of 1 to 64 characters, none of them a control character: ${shown(version)}`);
  checkTriggers(triggers, of);
  for (const [policy, given] of Object.entries({ concurrency, rateLimit, singleton, debounce })) checkPolicy(policy, given, of);
  checkNumber(concurrency?.limit, 1, 10_000, `concurrency.limit ${of}`, concurrency);
  checkNumber(rateLimit?.limit, 1, 1_000_000, `rateLimit.limit ${of}`, rateLimit);
  checkNumber(rateLimit?.periodSeconds, 1, 2_592_000, `rateLimit.periodSeconds ${of}`, rateLimit);
  if (singleton && !["skip", "cancel"].includes(singleton.mode)) throw new TypeError(`singleton.mode ${of} must be "skip" or "cancel": ${shown(singleton.mode)}`);
  checkNumber(debounce?.seconds, 1, 604_800, `debounce.seconds ${of}`, debounce);
  checkNumber(debounce?.maxSeconds, 1, 604_800, `debounce.maxSeconds ${of}`);
  if (debounce?.maxSeconds !== undefined && debounce.maxSeconds < debounce.seconds) throw new TypeError(`debounce.maxSeconds ${of} must not be below debounce.seconds: ${shown(debounce)}`);
  checkNumber(priority, -100, 100, `priority ${of}`);
}

function checkPolicy(policy: string, given: unknown, of: string): void {
  if (given === undefined) return;
  if (!isObject(given)) throw new TypeError(`${policy} ${of} must be an object: ${shown(given)}`);
  const { key } = given as { key?: unknown };
  if (key !== undefined && !isPath(key, "input")) throw new TypeError(`${policy}.key ${of} must be a path into the start, such as input or input.customerId, of at most 200 characters: ${shown(key)}`);
}

/** `within`: the policy whose field it is, which must be there if that is. */
function checkNumber(value: unknown, min: number, max: number, what: string, within?: object): void {
  if (value === undefined && within === undefined) return;
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) throw new TypeError(`${what} must be a whole number from ${min} to ${max}: ${shown(value)}`);
}

function checkTriggers(triggers: unknown, of: string): void {
  if (triggers === undefined) return;
  if (!Array.isArray(triggers) || triggers.length > 20) throw new TypeError(`the triggers ${of} must be a list of at most 20`);
  for (const trigger of triggers as { event?: unknown; match?: unknown }[]) {
    if (!isPlain(trigger?.event, 128)) throw new TypeError(`the event of a trigger ${of} must have 1 to 128 characters, none of them a control character: ${shown(trigger?.event)}`);
    checkMatch(trigger.match, `a trigger ${of}`, (message) => new TypeError(message));
  }
}
