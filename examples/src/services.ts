// What the examples call outside: a payment and mail service, and a language model. Everything goes over HTTP, so that a test can stand in for it.

import { NonRetriable } from "@tikku/sdk";

const services = () => process.env.SERVICES_URL ?? "http://127.0.0.1:3101";

async function post<T>(url: string, body: unknown, headers: Record<string, string> = {}): Promise<T> {
  const answer = await fetch(url, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json", ...headers } });
  if (answer.ok) return (await answer.json()) as T;
  const problem = Object.assign(new Error(`${url} answered ${answer.status}: ${(await answer.text()).slice(0, 200)}`), { status: answer.status, headers: answer.headers });
  // What the service says is wrong with the request stays wrong.
  if (answer.status >= 400 && answer.status < 500 && ![408, 425, 429].includes(answer.status)) throw new NonRetriable(problem.message, { cause: problem });
  throw problem;
}

/** Charges once per key, however often it is called. */
export const charge = (cents: number, key: string) => post<{ chargeId: string }>(`${services()}/charges`, { cents }, { "idempotency-key": key });
export const refund = (chargeId: string, key: string) => post<{ refunded: true }>(`${services()}/refunds`, { chargeId }, { "idempotency-key": key });
export const mail = (to: string, template: string, key: string) => post<{ sent: true }>(`${services()}/mails`, { to, template }, { "idempotency-key": key });
export const search = (query: string) => post<{ results: string[] }>(`${services()}/search`, { query });

export interface ChatMessage {
  role: "system" | "user" | "assistant" | "tool";
  content: string | null;
  tool_calls?: { id: string; function: { name: string; arguments: string } }[];
  tool_call_id?: string;
}
export interface ChatAnswer {
  model: string;
  choices: { message: ChatMessage }[];
  usage: { prompt_tokens: number; completion_tokens: number };
}

/** One call of an OpenAI-compatible model. A 429 is thrown with its headers: step.ai reads how long to wait. */
export const chat = (messages: ChatMessage[], tools: unknown[]) =>
  post<ChatAnswer>(`${process.env.OPENAI_BASE_URL ?? "https://api.openai.com/v1"}/chat/completions`, { model: process.env.OPENAI_MODEL ?? "gpt-4.1-mini", messages, tools },
    { authorization: `Bearer ${process.env.OPENAI_API_KEY ?? ""}` });
