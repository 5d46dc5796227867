// What a workflow and an endpoint say about themselves is checked where it stands, with a sentence that says what is allowed.

import { expect, test } from "vitest";

import { RetryAfter, serve, workflow } from "../src/index.js";

test.each([
  [{ singleton: { mode: "queue" } }, 'singleton.mode of workflow flow must be "skip" or "cancel": "queue"'],
  [{ concurrency: { limit: 0 } }, "concurrency.limit of workflow flow must be a whole number from 1 to 10000: 0"],
  [{ concurrency: { limit: "5" } }, 'concurrency.limit of workflow flow must be a whole number from 1 to 10000: "5"'],
  [{ concurrency: 5 }, "concurrency of workflow flow must be an object: 5"],
  [{ concurrency: { limit: 1, key: "event.data.id" } }, 'concurrency.key of workflow flow must be a path into the start, such as input or input.customerId, of at most 200 characters: "event.data.id"'],
  [{ rateLimit: { limit: 1_000_001, periodSeconds: 1 } }, "rateLimit.limit of workflow flow must be a whole number from 1 to 1000000: 1000001"],
  [{ rateLimit: { limit: 1 } }, "rateLimit.periodSeconds of workflow flow must be a whole number from 1 to 2592000: undefined"],
  [{ debounce: { seconds: 0.5 } }, "debounce.seconds of workflow flow must be a whole number from 1 to 604800: 0.5"],
  [{ debounce: { seconds: 5, maxSeconds: 4 } }, 'debounce.maxSeconds of workflow flow must not be below debounce.seconds: {"seconds":5,"maxSeconds":4}'],
  [{ priority: 101 }, "priority of workflow flow must be a whole number from -100 to 100: 101"],
  [{ version: "1\n" }, 'the version of workflow flow must be a text of 1 to 64 characters, none of them a control character: "1\\n"'],
  [{ triggers: [{ event: "" }] }, 'the event of a trigger of workflow flow must have 1 to 128 characters, none of them a control character: ""'],
  [{ triggers: [{ event: "e", match: { id: 1 } }] }, 'the match of a trigger of workflow flow has the path "id": a path is data or data.customer.id, of at most 200 characters'],
  [{ retry: { maxAttempts: 0 } }, "maxAttempts of workflow flow must be a whole number of at least 1: 0"],
  [{ retry: { backoff: { factor: 0.5 } } }, "backoff.factor of workflow flow must be a number of at least 1: 0.5"],
  [{ retry: { backoff: { type: "cubic" } } }, 'backoff.type of workflow flow must be "exponential", "linear" or "fixed": cubic'],
])("a workflow with %j is refused", (options, message) => {
  expect(() => workflow({ name: "flow", ...(options as object) }, () => null)).toThrow(new TypeError(message));
});

test.each([["often"], [{ everyMs: 10 }], [{ everyMs: NaN, maxSteps: 1 }], [{ everyMs: 1, maxSteps: 1.5 }], [null]])("the checkpoint mode %j is refused", (checkpoint) => {
  expect(() => serve({ workflows: [], checkpoint: checkpoint as never })).toThrow('checkpoint must be "each", "return", "batched" or { everyMs, maxSteps }');
});

test("an endpoint without a list of workflows, or with too many, is refused", () => {
  expect(() => serve({} as never)).toThrow("workflows must be a list of at most 1000");
  const many = Array.from({ length: 1_001 }, (_, n) => workflow({ name: `flow-${n}` }, () => null));
  expect(() => serve({ workflows: many })).toThrow("workflows must be a list of at most 1000");
});

test("a time to come back that is none is said at once", () => {
  expect(() => new RetryAfter("later", new Date("soon"))).toThrow("is no duration");
});
