// A research agent: the model decides which tool to call, each answer of the model and of a tool is recorded, and nothing is published before a person has agreed.

import { workflow } from "@tikku/sdk";
import { z } from "zod";
import { chat, mail, search, type ChatMessage } from "./services.ts";

const ROUNDS_MAX = 8;
const TOOLS = [
  { type: "function", function: { name: "search", description: "Searches the library", parameters: { type: "object", properties: { query: { type: "string" } }, required: ["query"] } } },
];

export const research = workflow({ name: "research", input: z.object({ question: z.string() }) }, async (step, input) => {
  const messages: ChatMessage[] = [
    { role: "system", content: "Answer the question. Search before you answer." },
    { role: "user", content: input.question },
  ];
  let report: string | null = null;
  for (let round = 0; round < ROUNDS_MAX && report === null; round++) {
    const answer = await step.ai("think", () => chat(messages, TOOLS));
    const message = answer.choices[0]?.message;
    if (!message) throw new Error("the model answered nothing");
    messages.push(message as ChatMessage);
    const calls = message.tool_calls ?? [];
    if (calls.length === 0) report = message.content ?? "";
    // Tools that were asked for together run together.
    const results = await Promise.all(calls.map((call) => step.run(`tool-${call.function.name}`, () => search((JSON.parse(call.function.arguments) as { query: string }).query))));
    results.forEach((result, i) => messages.push({ role: "tool", tool_call_id: calls[i]?.id ?? "", content: result.results.join("\n") }));
  }
  if (report === null) return { published: false, report: null };
  const decision = await step.approval<{ note?: string }>("publish", {
    title: "Publish this report?", detail: report, timeout: "7d", schema: { type: ["object", "null"], properties: { note: { type: "string" } } },
  });
  if (!decision?.approved) return { published: false, report };
  await step.run("send", ({ key }) => mail("readers@example.com", report, key));
  return { published: true, report, by: decision.by };
});
