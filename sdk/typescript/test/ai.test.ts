// step.ai: what providers say when they are busy, and what they say they have used.

import { describe, expect, test } from "vitest";

import { workflow } from "../src/index.js";
import { aiUsage, throttle } from "../src/ai.js";
import { FakeEngine, dispatch, invoke, ok } from "./fake.js";

const NOW = Date.parse("2026-11-21T10:00:00Z");
const error = (fields: object) => Object.assign(new Error("busy"), fields);

describe("a busy provider", () => {
  test.each([
    ["OpenAI and Anthropic clients: status, Headers", { status: 429, headers: new Headers({ "retry-after": "20" }) }, 20_000],
    ["the AI SDK: statusCode, responseHeaders", { statusCode: 429, responseHeaders: { "Retry-After": "7" } }, 7_000],
    ["axios: response", { response: { status: 503, headers: { "retry-after": "3" } } }, 3_000],
    ["milliseconds", { status: 429, headers: { "retry-after-ms": "1500" } }, 1_500],
    ["a date", { status: 429, headers: { "retry-after": "Sat, 21 Nov 2026 10:01:00 GMT" } }, 60_000],
    ["Anthropic overloaded", { status: 529, headers: {} }, undefined],
    ["nothing said", { status: 429 }, undefined],
    ["OpenAI's resets are durations", { status: 429, headers: { "x-ratelimit-reset-requests": "1m30.5s", "x-ratelimit-reset-tokens": "20ms" } }, 90_500],
    ["only limits that are used up", { status: 429, headers: { "x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1h", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6s" } }, 6_000],
    ["Anthropic's resets are times", { status: 429, headers: { "anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "2026-11-21T10:00:45Z" } }, 45_000],
    ["a reset in Unix seconds", { status: 429, headers: { "x-ratelimit-reset": String(NOW / 1_000 + 30) } }, 30_000],
    ["a reset in seconds", { status: 429, headers: { "x-ratelimit-reset": "12" } }, 12_000],
    ["the longest counts", { status: 429, headers: { "retry-after": "2", "x-ratelimit-reset-tokens": "9s" } }, 9_000],
    ["the AI SDK's own retries", { name: "AI_RetryError", lastError: error({ statusCode: 429, responseHeaders: { "retry-after": "5" } }) }, 5_000],
    ["a cause", { cause: error({ status: 429, headers: { "retry-after": "4" } }) }, 4_000],
  ])("%s", (_, fields, afterMs) => {
    expect(throttle(error(fields), NOW)).toEqual({ afterMs });
  });

  test.each([[{ status: 500 }], [{ status: 400, headers: { "retry-after": "5" } }], [{}], [{ status: "429" }]])("%j is another error", (fields) => {
    expect(throttle(error(fields), NOW)).toBeUndefined();
    expect(throttle(undefined, NOW)).toBeUndefined();
    expect(throttle("text", NOW)).toBeUndefined();
  });
});

describe("what was used", () => {
  test.each([
    ["OpenAI chat", { model: "gpt-x", choices: [], usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 } }, { model: "gpt-x", inputTokens: 10, outputTokens: 5 }],
    ["OpenAI responses", { model: "gpt-x", usage: { input_tokens: 10, output_tokens: 5 } }, { model: "gpt-x", inputTokens: 10, outputTokens: 5 }],
    ["Anthropic with its cache", { model: "claude-x", usage: { input_tokens: 10, output_tokens: 5, cache_read_input_tokens: 100, cache_creation_input_tokens: 7 } }, { model: "claude-x", inputTokens: 117, outputTokens: 5 }],
    ["the AI SDK", { text: "", usage: { inputTokens: 10, outputTokens: 5, totalTokens: 15 }, response: { modelId: "m" } }, { model: "m", inputTokens: 10, outputTokens: 5 }],
    ["the AI SDK, several steps", { usage: { inputTokens: 1, outputTokens: 1 }, totalUsage: { inputTokens: 30, outputTokens: 20 } }, { model: "unknown", inputTokens: 30, outputTokens: 20 }],
    ["a provider of the AI SDK", { usage: { inputTokens: { total: 3 }, outputTokens: { total: 4 } }, model: "m" }, { model: "m", inputTokens: 3, outputTokens: 4 }],
    ["no usage", { model: "m", text: "hello" }, undefined],
    ["text", "hello", undefined],
    ["nothing", null, undefined],
  ])("%s", (_, value, wanted) => {
    expect(aiUsage(value)).toEqual(wanted);
  });

  test("costs are estimated from the prices given, and from nothing else", () => {
    const answer = { model: "claude-x-20260101", usage: { input_tokens: 1_000_000, output_tokens: 500_000 } };
    expect(aiUsage(answer)).not.toHaveProperty("costUsd");
    const prices = { "claude-*": { inputPerMillion: 1, outputPerMillion: 1 }, "claude-x-*": { inputPerMillion: 3, outputPerMillion: 15 } };
    expect(aiUsage(answer, undefined, prices)).toMatchObject({ costUsd: 10.5 });
    expect(aiUsage(answer, () => ({ costUsd: 2 }), prices)).toMatchObject({ costUsd: 2 });
    expect(aiUsage({ n: 7 }, (value: { n: number }) => ({ model: "own", inputTokens: value.n }))).toEqual({ model: "own", inputTokens: 7, outputTokens: 0 });
  });
});

describe("step.ai", () => {
  const answer = { model: "m", text: "hi", usage: { input_tokens: 1, output_tokens: 2 } };

  test("records model, tokens and cost with the result", async () => {
    const flow = workflow({ name: "flow" }, (step) => step.ai("llm", async () => answer));
    const reply = await dispatch(flow, invoke(), { prices: { m: { inputPerMillion: 1e6, outputPerMillion: 0 } } });
    expect(reply.ops).toMatchObject([{ op: "result", key: "llm#0", kind: "ai", value: answer, ai: { model: "m", inputTokens: 1, outputTokens: 2, costUsd: 1 } }]);
  });

  test("is not called again once it is recorded", async () => {
    let calls = 0;
    const flow = workflow({ name: "flow" }, async (step) => (await step.ai("llm", () => ((calls += 1), answer))).text);
    expect((await dispatch(flow, invoke({ journal: [ok(1, "llm#0", answer, "ai")] }))).ops).toEqual([{ op: "done", value: "hi" }]);
    expect(calls).toBe(0);
  });

  test("waits as long as the provider says, spends no attempt, and is not slept out in the process", async () => {
    const busy = () => {
      throw error({ status: 429, headers: { "retry-after": "20" } });
    };
    const flow = workflow({ name: "flow" }, (step) => step.ai("llm", busy, { maxAttempts: 1 }));
    const reply = await dispatch(flow, invoke(), { mode: "each", transport: new FakeEngine() });
    expect(reply.ops).toMatchObject([{ op: "error", kind: "ai", attempt: 1, retry: { afterMs: 20_000, free: true } }]);
  });

  test("other errors are retried as those of any step", async () => {
    const flow = workflow({ name: "flow" }, (step) =>
      step.ai("llm", () => {
        throw error({ status: 500 });
      }),
    );
    expect((await dispatch(flow)).ops[0]!["retry"]).toEqual({ afterMs: 1_000 });
  });
});

test("a model's name, a price and a reader of usage that are no good cost no answer", async () => {
  const told: string[] = [];
  const paid = { model: `m\0${"n".repeat(300)}`, usage: { input_tokens: 1, output_tokens: 2 } };
  const flow = workflow({ name: "flow" }, async (step) => {
    await step.ai("named", () => paid, { usage: () => ({ costUsd: -1 }) });
    await step.ai("read", () => paid, { usage: () => { throw new Error("no"); } });
  });
  const engine = new FakeEngine();
  await dispatch(flow, invoke(), { mode: "each", transport: engine, warn: (message) => void told.push(message) });
  const ops = engine.sent.flatMap((sent) => sent.ops);
  expect(ops.map(({ op, key, ai }) => [op, key, ai])).toEqual([["result", "named#0", { model: `m\ufffd${"n".repeat(198)}`, inputTokens: 1, outputTokens: 2 }], ["result", "read#0", undefined]]);
  expect(told).toEqual(["tikku: the usage of a call of a model cannot be read: Error: no"]);
});
