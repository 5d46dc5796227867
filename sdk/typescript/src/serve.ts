// A fetch handler: Next, Hono, Workers, Bun, Deno, and whatever else has Request and Response.

import { Endpoint, type Served, type ServeOptions, greeting, problem } from "./endpoint.js";

export interface FetchHandler {
  /** `second` may be the environment of a Worker, where the signing secret is looked for if nothing else says it. */
  fetch(request: Request, second?: unknown): Promise<Response>;
  GET(request: Request, second?: unknown): Promise<Response>;
  POST(request: Request, second?: unknown): Promise<Response>;
}

/** Serves workflows to the engine. Register the address once: `tikku.apps.put(name, { url })`. */
export function serve(options: ServeOptions): FetchHandler {
  return fetchHandler(new Endpoint(options));
}

export function fetchHandler(endpoint: Endpoint): FetchHandler {
  const handle = async (request: Request, second?: unknown): Promise<Response> => {
    if (request.method === "GET" || request.method === "HEAD") return response(greeting());
    if (request.method !== "POST") return response(problem(405, "method-not-allowed", "the engine sends POST"));
    const body = new Uint8Array(await request.arrayBuffer());
    return response(await endpoint.handle(body, request.headers, second));
  };
  return { fetch: handle, GET: handle, POST: handle };
}

function response({ status, body, contentType }: Served): Response {
  return new Response(body, { status, headers: { "content-type": contentType } });
}
