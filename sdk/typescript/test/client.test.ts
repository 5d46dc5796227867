// The client against a scripted API.

import { getEventListeners } from "node:events";

import { afterEach, describe, expect, test, vi } from "vitest";
import { z } from "zod";

import { ResultTimeout, RunCancelled, RunFailed, Tikku, TikkuError, asTool, workflow } from "../src/index.js";

interface Seen {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: any;
}
/** A client whose requests are answered in turn, the last answer again and again. */
function client(...answers: { status?: number; body?: unknown; headers?: Record<string, string>; error?: Error }[]): { tikku: Tikku; seen: Seen[] } {
  const seen: Seen[] = [];
  const fetch = async (url: string, init: RequestInit) => {
    seen.push({ method: init.method!, url, headers: init.headers as Record<string, string>, body: init.body === undefined ? undefined : JSON.parse(init.body as string) });
    const { status = 200, body, headers, error } = answers[Math.min(seen.length, answers.length) - 1]!;
    if (error) throw error;
    return new Response(body === undefined ? null : JSON.stringify(body), { status, ...(headers && { headers }) });
  };
  return { tikku: new Tikku({ url: "https://tikku.test/", apiKey: "tk_live_x", fetch }), seen };
}
const flow = workflow({ name: "order-flow", input: z.object({ id: z.number() }) }, async () => ({ ok: true }));
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
});

describe("requests", () => {
  test("publish", async () => {
    const { tikku, seen } = client({ status: 202, body: { id: "msg_1", status: "queued" } });
    expect(await tikku.publish({ url: "https://example.com", body: { n: 1 } })).toEqual({ id: "msg_1", status: "queued" });
    expect(seen).toEqual([
      {
        method: "POST",
        url: "https://tikku.test/v1/messages",
        headers: { accept: "application/json", authorization: "Bearer tk_live_x", "content-type": "application/json" },
        body: { url: "https://example.com", body: { n: 1 } },
      },
    ]);
  });

  test("paths, queries and what is left out of them", async () => {
    const { tikku, seen } = client({ body: { data: [], nextCursor: null } });
    await tikku.request("get", "/v1/messages", { query: { status: "failed", limit: 5 } });
    await tikku.request("get", "/v1/flows/{key}", { path: { key: "a/b ü" } });
    await tikku.runs.list();
    expect(seen.map(({ url }) => url)).toEqual([
      "https://tikku.test/v1/messages?status=failed&limit=5",
      "https://tikku.test/v1/flows/a%2Fb%20%C3%BC",
      "https://tikku.test/v1/runs",
    ]);
  });

  test("address and key come from the environment", async () => {
    vi.stubEnv("TIKKU_URL", "https://env.test");
    vi.stubEnv("TIKKU_API_KEY", "tk_env");
    const seen: unknown[] = [];
    const tikku = new Tikku({ fetch: async (url, init) => (seen.push(url, (init.headers as Record<string, string>)["authorization"]), new Response("{}")) });
    await tikku.apps.list();
    expect(seen).toEqual(["https://env.test/v1/apps", "Bearer tk_env"]);
    vi.stubEnv("TIKKU_URL", "");
    expect(() => new Tikku()).toThrow("set TIKKU_URL");
  });

  test("a problem is an error with its type, status and places", async () => {
    const problem = { type: "urn:tikku:problem:invalid-request", title: "Invalid", status: 400, detail: "no url", errors: [{ pointer: "/url", detail: "is missing" }] };
    const { tikku } = client({ status: 400, body: problem });
    const error = await tikku.publish({ url: "" }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TikkuError);
    expect(error).toMatchObject({ status: 400, type: "invalid-request", message: "no url", errors: [{ pointer: "/url", detail: "is missing" }] });
  });

  test("429 and 503 are waited out; a lost answer is repeated only where that does no harm", async () => {
    vi.useFakeTimers();
    const busy = client({ status: 503, headers: { "retry-after": "2" } }, { status: 429 }, { status: 202, body: { id: "msg_1" } });
    const published = busy.tikku.publish({ url: "https://example.com" });
    await vi.advanceTimersByTimeAsync(1_900);
    expect(busy.seen).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await published).toEqual({ id: "msg_1" });
    const lost = { error: new TypeError("fetch failed", { cause: { code: "ECONNRESET" } }) };
    const once = client(lost);
    await expect(once.tikku.publish({ url: "https://example.com" })).rejects.toThrow("no answer from the engine: fetch failed: ECONNRESET");
    expect(once.seen).toHaveLength(1);
    const again = client(lost, { status: 202, body: { id: "msg_2" } });
    const repeated = again.tikku.publish({ url: "https://example.com", idempotencyKey: "k" });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await repeated).toEqual({ id: "msg_2" });
  });
});

describe("runs", () => {
  test("start answers a handle", async () => {
    const { tikku, seen } = client({ status: 202, body: { id: "run_1", status: "queued" } });
    const run = await tikku.start(flow, { id: 1 }, { id: "order-1", delaySeconds: 5 });
    expect(run.id).toBe("run_1");
    expect(seen[0]).toMatchObject({ method: "POST", url: "https://tikku.test/v1/workflows/order-flow/runs", body: { input: { id: 1 }, id: "order-1", delaySeconds: 5 } });
  });

  test("signals, approvals and verbs", async () => {
    const { tikku, seen } = client({ body: {} });
    const run = tikku.run("run_1");
    await run.signal("review", { stars: 5 }, { idempotencyKey: "k1" });
    await run.signal("go");
    await run.approve("ok", { approve: true });
    await run.cancel();
    await run.resume({ accept: true });
    await run.fork({ fromStep: "b#0", results: { "a#0": 2 } });
    await tikku.events.publish({ name: "invoice.paid", data: { id: 1 } });
    await tikku.apps.put("shop", { url: "https://shop.test/tikku" });
    expect(seen.map(({ method, url, body }) => [method, url.slice("https://tikku.test/v1".length), body])).toEqual([
      ["POST", "/runs/run_1/signals/review", { stars: 5 }],
      ["POST", "/runs/run_1/signals/go", null],
      ["POST", "/runs/run_1/approvals/ok%230", { approve: true }],
      ["POST", "/runs/run_1/cancel", undefined],
      ["POST", "/runs/run_1/resume", { accept: true }],
      ["POST", "/runs/run_1/fork", { fromStep: "b#0", results: { "a#0": 2 } }],
      ["POST", "/events", { name: "invoice.paid", data: { id: 1 } }],
      ["PUT", "/apps/shop", { url: "https://shop.test/tikku" }],
    ]);
    expect(seen[0]!.headers["idempotency-key"]).toBe("k1");
  });

  test("result waits until the run is over, and follows one that continued as new", async () => {
    vi.useFakeTimers();
    const { tikku, seen } = client({ body: { status: "running" } }, { body: { status: "completed", continuedBy: "run_2" } }, { body: { status: "completed", output: { ok: true } } });
    const result = tikku.run("run_1").result();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await result).toEqual({ ok: true });
    expect(seen.map(({ url }) => url.split("/").at(-1))).toEqual(["run_1", "run_1", "run_2"]);
  });

  test("a failed run throws its error as the cause", async () => {
    const { tikku } = client({ body: { status: "failed", error: { name: "TypeError", message: "bug" } } });
    const error = await tikku.run("run_1").result().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RunFailed);
    expect((error as Error).cause).toBeInstanceOf(TypeError);
    await expect(client({ body: { status: "cancelled" } }).tikku.run("r").result()).rejects.toBeInstanceOf(RunCancelled);
  });

  test("a timeout says in which state the run is, and an abort ends the wait", async () => {
    const { tikku } = client({ body: { status: "sleeping" } });
    await expect(tikku.run("run_1").result({ timeout: 50 })).rejects.toThrow(ResultTimeout);
    await expect(tikku.run("run_1").result({ signal: AbortSignal.timeout(20) })).rejects.toMatchObject({ name: "TimeoutError" });
  });
});

test("a long wait leaves nothing behind on the signal that could have ended it", async () => {
  vi.useFakeTimers();
  const { tikku } = client({ body: { status: "running" } }, { body: { status: "running" } }, { body: { status: "completed", output: 7 } });
  const { signal } = new AbortController();
  const result = tikku.run("run_1").result({ signal });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await result).toBe(7);
  expect(getEventListeners(signal, "abort")).toEqual([]);
});

describe("a workflow as a tool", () => {
  test("has the workflow's schema, and one call of the model starts one run", async () => {
    const { tikku, seen } = client({ status: 202, body: { id: "run_1" } }, { body: { status: "completed", output: { ok: true } } });
    const tool = asTool(flow, { client: tikku, description: "Orders" });
    expect(tool).toMatchObject({ description: "Orders", inputSchema: flow.options.input });
    expect(await tool.execute({ id: 1 }, { toolCallId: "call_9" })).toEqual({ ok: true });
    expect(seen[0]!.body).toEqual({ input: { id: 1 }, idempotencyKey: "tool-call_9" });
  });

  test("needs a schema", () => {
    const { tikku } = client({});
    expect(() => asTool(workflow({ name: "loose" }, () => 1), { client: tikku, description: "x" })).toThrow("inputSchema");
  });
});
