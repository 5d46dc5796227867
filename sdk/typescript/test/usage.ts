// Compiled, never run: the generated types say what the API takes and answers, and refuse what it does not.

import type { components, operations, paths } from "../src/api.js";

type PublishRequest = components["schemas"]["PublishRequest"];
type Body<Answer extends { content: object }> = Answer["content"][keyof Answer["content"]];

// A url is enough; what has a default may be absent.
export const shortest: PublishRequest = { url: "https://example.com/hook" };

export const full: PublishRequest = {
  fanout: "orders",
  body: { order: 7, lines: [] },
  method: "PUT",
  headers: { "x-tenant": "t1" },
  delaySeconds: 60,
  backoff: { type: "fixed", initialSeconds: 1 },
  labels: ["new"],
  idempotencyKey: "order-7",
};

// @ts-expect-error durations are numbers
export const text: PublishRequest = { url: "https://example.com/hook", delaySeconds: "60" };
// @ts-expect-error there is no such method
export const method: PublishRequest = { url: "https://example.com/hook", method: "TRACE" };
// @ts-expect-error there is no such field
export const typo: PublishRequest = { url: "https://example.com/hook", delay: 60 };

// Lists answer a page and a cursor, and take a status of the seven.
type Page = Body<operations["listMessages"]["responses"][200]>;
export const cursor = (page: Page): string | null | undefined => page.nextCursor;
export const filter: NonNullable<operations["listMessages"]["parameters"]["query"]> = { status: "failed", limit: 200 };
// @ts-expect-error a message is never lost
export const state: NonNullable<operations["listMessages"]["parameters"]["query"]> = { status: "lost" };

// A message comes with its attempts, and every refusal is a problem.
type Message = Body<paths["/v1/messages/{id}"]["get"]["responses"][200]>;
export const statuses = (message: Message): (number | null | undefined)[] => message.attempts.map((attempt) => attempt.responseStatus);
type Missing = Body<paths["/v1/messages/{id}"]["get"]["responses"][404]>;
export const pointers = (problem: Missing): string[] => (problem.errors ?? []).map((error) => error.pointer);
