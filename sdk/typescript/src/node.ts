// The endpoint as a request listener of Node: `http.createServer(serve(...))`, or a handler of Express, mounted before anything that parses the body.

import http, { type IncomingMessage, type ServerResponse } from "node:http";
import https from "node:https";

import { Endpoint, type Served, type ServeOptions, greeting, problem } from "./endpoint.js";
import { type Answer, type Transport, answer, fetchTransport, reason } from "./transport.js";

export type RequestListener = (request: IncomingMessage & { rawBody?: unknown; body?: unknown }, response: ServerResponse, next?: (error?: unknown) => void) => void;

/** Bytes of a request that are read; the engine's are smaller. */
const REQUEST_BYTES_MAX = 6 * 1024 * 1024;

/** Serves workflows to the engine. Checkpoints go over kept connections. */
export function serve(options: ServeOptions): RequestListener {
  const endpoint = new Endpoint(options, options.fetch ? fetchTransport(options.fetch) : nodeTransport());
  return (request, response, next) => {
    respond(endpoint, request).then(
      ({ status, body, contentType }) => {
        response.writeHead(status, { "content-type": contentType, "content-length": Buffer.byteLength(body) });
        response.end(request.method === "HEAD" ? undefined : body);
      },
      (error: unknown) => {
        if (next) return next(error);
        response.writeHead(500).end();
      },
    );
  };
}

async function respond(endpoint: Endpoint, request: Parameters<RequestListener>[0]): Promise<Served> {
  if (request.method === "GET" || request.method === "HEAD") return greeting();
  if (request.method !== "POST") return problem(405, "method-not-allowed", "the engine sends POST");
  const body = await raw(request);
  return body ? endpoint.handle(body, request.headers) : problem(413, "too-large", `a request has at most ${REQUEST_BYTES_MAX} bytes`);
}

/** The bytes as they came: kept by a body parser, or read here. */
async function raw(request: Parameters<RequestListener>[0]): Promise<Uint8Array | undefined> {
  for (const kept of [request.rawBody, request.body]) if (kept instanceof Uint8Array) return kept;
  if (typeof request.rawBody === "string") return new TextEncoder().encode(request.rawBody);
  if (request.readableEnded) throw new Error("the body was parsed before it came here: mount the workflows before express.json(), or use express.raw({ type: '*/*' })");
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > REQUEST_BYTES_MAX) return undefined;
    chunks.push(chunk);
  }
  return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
}

/** Checkpoints over node:http, which costs less per request than fetch. */
export function nodeTransport(): Transport {
  const agents = { "http:": new http.Agent(AGENT), "https:": new https.Agent(AGENT) };
  const send = (method: string, address: string, headers: Record<string, string | number>, body: string | undefined, timeoutMs: number) =>
    new Promise<Answer>((resolve) => {
      const url = parsed(address);
      const { request } = url.protocol === "https:" ? https : http;
      const failed = (error: unknown) => resolve({ status: 0, text: reason(error) });
      const outgoing = request(
        { method, host: url.hostname.replace(/^\[|\]$/g, ""), port: url.port, path: url.pathname + url.search, headers, agent: agents[url.protocol as "http:"] },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("error", failed);
          response.on("end", () => {
            const text = (chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)).toString();
            resolve(answer(response.statusCode ?? 0, text, response.headers["retry-after"]));
          });
        },
      );
      outgoing.setTimeout(timeoutMs, () => outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`)));
      outgoing.on("error", failed);
      outgoing.end(body);
    });
  return {
    post(url, token, body, timeoutMs) {
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json", "content-length": Buffer.byteLength(body) };
      return send("POST", url, headers, body, timeoutMs);
    },
    get: (url, token, timeoutMs) => send("GET", url, { authorization: `Bearer ${token}` }, undefined, timeoutMs),
  };
}

const AGENT = { keepAlive: true, maxSockets: Infinity, maxFreeSockets: 64 };

let last: URL | undefined;
/** Checkpoints of one run follow each other. */
function parsed(url: string): URL {
  if (last?.href !== url) last = new URL(url);
  return last;
}
