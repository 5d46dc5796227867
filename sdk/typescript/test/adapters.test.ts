// The endpoint over HTTP: fetch handlers, Node, Express, Lambda; signatures, describe, and what is not spoken.

import http from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import { afterAll, describe, expect, test } from "vitest";

import { serve as serveFetch, workflow } from "../src/index.js";
import type { ServeOptions } from "../src/index.js";
import { serve as serveLambda } from "../src/lambda.js";
import { socketTransport } from "../src/connection.js";
import { serve as serveNode, serveFetch as serveNodeFetch } from "../src/node.js";
import { FakeEngine, SECRET, dispatch, invoke, signed, wait, type Sent } from "./fake.js";

const servers: http.Server[] = [];
afterAll(() => {
  for (const server of servers) server.close().closeAllConnections();
});
async function listen(listener: http.RequestListener): Promise<string> {
  const server = http.createServer(listener).listen(0, "127.0.0.1");
  servers.push(server);
  await new Promise((resolve) => server.once("listening", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An engine that takes checkpoints over HTTP. */
async function engine(): Promise<{ url: string; fake: FakeEngine; connections: () => number; tokens: Set<string | undefined> }> {
  const fake = new FakeEngine();
  const tokens = new Set<string | undefined>();
  const sockets = new Set<unknown>();
  const url = await listen((request, response) => {
    sockets.add(request.socket);
    tokens.add(request.headers.authorization);
    let text = "";
    request.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    request.on("end", () => {
      const sent = JSON.parse(text) as Sent;
      fake.sent.push(sent);
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(fake.answer(sent)));
    });
  });
  return { url, fake, connections: () => sockets.size, tokens };
}

const sum = workflow({ name: "flow", triggers: [{ event: "x", match: { "data.y": 1 } }], concurrency: { limit: 2 }, retry: { maxAttempts: 7 } }, async (step) => {
  let total = 0;
  for (let i = 0; i < 20; i += 1) total += await step.run("s", () => i);
  return total;
});
const old = workflow({ name: "flow", version: "0" }, async () => "old");

type Send = (body: string, headers: Record<string, string>) => Promise<{ status: number; type: string; body: any }>;
const options: ServeOptions = { workflows: [sum, old], signingSecret: SECRET };

const overHttp = (listener: (options: ServeOptions) => http.RequestListener) => async (given: ServeOptions): Promise<Send> => {
  const url = await listen(listener(given));
  return async (body, headers) => {
    const response = await fetch(url, { method: "POST", body, headers });
    return { status: response.status, type: response.headers.get("content-type")!, body: await response.json() };
  };
};
const adapters: [string, (options: ServeOptions) => Promise<Send>][] = [
  ["node:http", overHttp((given) => serveNode(given))],
  ["Express", overHttp((given) => express().post("/", serveNode(given)).use(express.json()) as never)],
  ["Express with express.raw", overHttp((given) => express().use(express.raw({ type: "*/*" })).post("/", serveNode(given)) as never)],
  [
    "a fetch handler",
    async (given) => {
      const { POST } = serveFetch(given);
      return async (body, headers) => {
        const response = await POST(new Request("https://app.test/tikku", { method: "POST", body, headers }));
        return { status: response.status, type: response.headers.get("content-type")!, body: await response.json() };
      };
    },
  ],
  [
    "a fetch handler under Node",
    async (given) => {
      const { POST } = serveNodeFetch(given);
      return async (body, headers) => {
        const response = await POST(new Request("https://app.test/tikku", { method: "POST", body, headers }));
        return { status: response.status, type: response.headers.get("content-type")!, body: await response.json() };
      };
    },
  ],
  ...[false, true].map((isBase64Encoded): [string, (options: ServeOptions) => Promise<Send>] => [
    `Lambda${isBase64Encoded ? " with base64" : ""}`,
    async (given) => {
      const handler = serveLambda(given);
      return async (body, headers) => {
        const text = isBase64Encoded ? Buffer.from(body).toString("base64") : body;
        const result = await handler({ headers, body: text, isBase64Encoded, requestContext: { http: { method: "POST" } } }, { getRemainingTimeInMillis: () => 30_000 });
        return { status: result.statusCode, type: result.headers["content-type"]!, body: JSON.parse(result.body) };
      };
    },
  ]),
];

describe.each(adapters)("%s", (_, adapter) => {
  const describeBody = JSON.stringify({ v: 1, kind: "describe", app: "shop" });

  test("describes what it serves", async () => {
    const send = await adapter({ ...options, checkpoint: "batched" });
    const { status, type, body } = await send(describeBody, signed(describeBody));
    expect([status, type]).toEqual([200, "application/json"]);
    expect(body).toEqual({
      v: 1,
      sdk: "tikku-typescript/0.1.0",
      checkpoint: "batched",
      workflows: [
        { name: "flow", version: "1", triggers: [{ event: "x", match: { "data.y": 1 } }], concurrency: { limit: 2 }, retry: { maxAttempts: 7 } },
        { name: "flow", version: "0" },
      ],
    });
  });

  test("runs a dispatch, with checkpoints over HTTP", async () => {
    const { url, fake, tokens } = await engine();
    const send = await adapter({ ...options, engineUrl: url });
    const body = JSON.stringify(invoke());
    const answer = await send(body, signed(body));
    expect(answer).toMatchObject({ status: 200, body: { v: 1, have: 20, ops: [{ op: "done", value: 190 }] } });
    expect(fake.entries).toHaveLength(20);
    expect([...tokens]).toEqual(["Bearer 7.secret"]);
  });

  test("takes the version that a run has", async () => {
    const send = await adapter(options);
    const body = JSON.stringify({ ...invoke(), version: "0" });
    expect((await send(body, signed(body))).body.ops).toEqual([{ op: "done", value: "old" }]);
  });

  test("says what it serves when it does not have the version", async () => {
    const send = await adapter(options);
    const body = JSON.stringify({ ...invoke(), version: "9" });
    expect((await send(body, signed(body))).body.ops).toEqual([{ op: "unserved", serves: [{ name: "flow", version: "1" }, { name: "flow", version: "0" }] }]);
  });

  test("refuses what is not signed, signed by another, altered, or too old", async () => {
    const send = await adapter(options);
    const other = "whsec_YW5vdGhlciBzZWNyZXQsIGxvbmcgZW5vdWdo";
    const old = { ...signed(describeBody), "webhook-timestamp": "1700000000" };
    for (const [body, headers] of [[describeBody, {}], [describeBody, signed(describeBody, "inv_1", other)], [`${describeBody} `, signed(describeBody)], [describeBody, old]] as const) {
      expect(await send(body, headers)).toMatchObject({ status: 401, type: "application/problem+json", body: { type: "urn:tikku:problem:unauthorized" } });
    }
  });

  test("takes either secret while they are rotated", async () => {
    const other = "whsec_YW5vdGhlciBzZWNyZXQsIGxvbmcgZW5vdWdo";
    for (const signingSecret of [[other, SECRET], `${other} ${SECRET}`, `${SECRET},${other}`]) {
      const send = await adapter({ ...options, signingSecret });
      expect((await send(describeBody, signed(describeBody))).status).toBe(200);
      expect((await send(describeBody, signed(describeBody, "inv_1", other))).status).toBe(200);
    }
  });

  test("another version of the protocol is answered with those that are spoken", async () => {
    const send = await adapter(options);
    const body = JSON.stringify({ v: 2, kind: "describe" });
    expect(await send(body, signed(body))).toMatchObject({ status: 400, body: { type: "urn:tikku:problem:protocol-version", versions: [1] } });
  });

  test("without a secret nothing is served", async () => {
    const told: unknown[] = [];
    const send = await adapter({ workflows: [sum], onError: (error) => told.push(error) });
    expect((await send(describeBody, signed(describeBody))).status).toBe(503);
    expect(told).toHaveLength(1);
  });
});

test("a dispatch that is delivered twice runs once", async () => {
  let begun = 0;
  const slow = workflow({ name: "flow" }, (step) => step.run("slow", async () => ((begun += 1), await wait(100), "done")));
  const { POST } = serveFetch({ workflows: [slow], signingSecret: SECRET, checkpoint: "return" });
  const body = JSON.stringify(invoke());
  const send = async () => (await POST(new Request("https://app.test/", { method: "POST", body, headers: signed(body) }))).json();
  const [first, second] = await Promise.all([send(), send()]);
  expect(first).toEqual(second);
  // Also when it comes again after its end, from whoever has recorded it.
  expect(await send()).toEqual(first);
  expect(begun).toBe(1);
});

test("a Worker has its secret in the environment that it is called with", async () => {
  const { fetch } = serveFetch({ workflows: [sum] });
  const body = JSON.stringify({ v: 1, kind: "describe" });
  const request = () => new Request("https://app.test/", { method: "POST", body, headers: signed(body) });
  expect((await fetch(request())).status).toBe(503);
  expect((await fetch(request(), { TIKKU_SIGNING_SECRET: SECRET })).status).toBe(200);
});

test("GET shows that it is there, and no more; other methods are refused", async () => {
  const handler = serveFetch(options);
  const shown = await handler.GET(new Request("https://app.test/"));
  expect(await shown.json()).toEqual({ sdk: "tikku-typescript/0.1.0", protocol: [1] });
  expect((await handler.fetch(new Request("https://app.test/", { method: "PUT", body: "x" }))).status).toBe(405);
});

test("a body that was parsed before is an error that says how to mount the workflows", async () => {
  const url = await listen(express().use(express.json()).post("/", serveNode(options)).use(((error, _request, response, _next) => response.status(500).send(error.message)) as express.ErrorRequestHandler) as never);
  const body = JSON.stringify({ v: 1, kind: "describe" });
  const response = await fetch(url, { method: "POST", body, headers: signed(body) });
  expect([response.status, await response.text()]).toEqual([500, expect.stringContaining("before express.json()")]);
});

test("the same workflow and version cannot be served twice", () => {
  expect(() => serveFetch({ workflows: [sum, sum] })).toThrow("served twice");
});

describe("the transport of Node", () => {
  test("keeps its connection", async () => {
    const { url, fake, connections } = await engine();
    const transport = socketTransport();
    for (let i = 0; i < 10; i += 1) expect((await transport.post(url, "t", JSON.stringify({ v: 1, have: 0, ops: [{ op: "result", key: `ü${i}#0` }] }), 1_000)).status).toBe(200);
    expect(connections()).toBe(1);
    expect(fake.entries.map(({ key }) => key)).toContain("ü9#0");
  });

  test("says what was wrong instead of throwing", async () => {
    const transport = socketTransport();
    const url = await listen((_request, response) => void setTimeout(() => response.end("late"), 500));
    expect(await transport.post(url, "t", "{}", 50)).toEqual({ status: 0, text: "no answer within 50 ms" });
    const closed = await listen((request) => void request.socket.destroy());
    expect(await transport.get(closed, "t", 1_000)).toMatchObject({ status: 0 });
    expect(await transport.get("http://127.0.0.1:1/", "t", 1_000)).toMatchObject({ status: 0, text: expect.stringContaining("ECONNREFUSED") });
  });

  test("a connection that the engine closed meanwhile costs no step", async () => {
    const fake = new FakeEngine();
    const url = await listen((request, response) => {
      let text = "";
      request.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      request.on("end", () => response.writeHead(200, { connection: "close" }).end(JSON.stringify(fake.answer(JSON.parse(text)))));
    });
    const request = invoke();
    request.engine.checkpoint = `${url}/checkpoint`;
    expect((await dispatch(sum, request, { mode: "each", transport: socketTransport() })).ops).toEqual([{ op: "done", value: 190 }]);
  });
});
