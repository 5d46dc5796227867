// The endpoint as a Lambda function behind a function URL or an HTTP API (payload format 2.0).

import { Endpoint, type ServeOptions, greeting, problem } from "./endpoint.js";

export interface LambdaEvent {
  headers: Record<string, string | undefined>;
  body?: string | null;
  isBase64Encoded?: boolean;
  requestContext: { http: { method: string } };
}
export interface LambdaContext {
  getRemainingTimeInMillis?(): number;
}
export interface LambdaResult {
  statusCode: number;
  headers: Record<string, string>;
  body: string;
}

/** Kept back of the function's time: bodies get 3 s to end, and the reply is on its way. */
const RESERVE_MS = 4_000;

/** Serves workflows to the engine. A dispatch ends before the function's time does. */
export function serve(options: ServeOptions): (event: LambdaEvent, context?: LambdaContext) => Promise<LambdaResult> {
  const endpoint = new Endpoint(options);
  return async (event, context) => {
    const { method } = event.requestContext.http;
    const left = context?.getRemainingTimeInMillis?.();
    const limits = left === undefined ? undefined : { budgetMs: Math.max(500, left - RESERVE_MS) };
    const { status, body, contentType } =
      method === "POST"
        ? await endpoint.handle(bytes(event), event.headers, undefined, limits)
        : method === "GET" || method === "HEAD"
          ? greeting()
          : problem(405, "method-not-allowed", "the engine sends POST");
    return { statusCode: status, headers: { "content-type": contentType }, body };
  };
}

function bytes({ body, isBase64Encoded }: LambdaEvent): Uint8Array {
  if (!body) return new Uint8Array();
  return isBase64Encoded ? Uint8Array.from(atob(body), (character) => character.charCodeAt(0)) : new TextEncoder().encode(body);
}
