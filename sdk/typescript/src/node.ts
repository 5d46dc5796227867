// The endpoint as a request listener of Node: `http.createServer(serve(...))`, or a handler of Express, mounted before anything that parses the body.

import type { IncomingMessage, ServerResponse } from "node:http";

import { Endpoint, type Served, type ServeOptions, greeting, problem } from "./endpoint.js";
import { socketTransport } from "./connection.js";
import { type FetchHandler, fetchHandler } from "./serve.js";
import { fetchTransport } from "./transport.js";

export type RequestListener = (request: IncomingMessage & { rawBody?: unknown; body?: unknown }, response: ServerResponse, next?: (error?: unknown) => void) => void;

/** Bytes of a request that are read: an input and an entry of 4 MiB each, and the keys that are pending. */
const REQUEST_BYTES_MAX = 16 * 1024 * 1024;

/** Serves workflows to the engine. Checkpoints go over kept connections. */
export function serve(options: ServeOptions): RequestListener {
  const endpoint = onSockets(options);
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

/** A fetch handler under Node, for Next, Hono and the like: the one of `@tikku/sdk` with the checkpoints of this module. */
export function serveFetch(options: ServeOptions): FetchHandler {
  return fetchHandler(onSockets(options));
}

function onSockets(options: ServeOptions): Endpoint {
  return new Endpoint(options, options.fetch ? fetchTransport(options.fetch) : socketTransport());
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
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= REQUEST_BYTES_MAX) chunks.push(chunk);
      else resolve(undefined);
    });
    request.on("end", () => resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
    request.on("error", reject);
  });
}
