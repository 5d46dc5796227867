// The app of the checks, on the TypeScript SDK: waits, a failure, children and parallel branches, a model's tokens.

import http from "node:http";
import { workflow } from "../../sdk/typescript/dist/index.js";
import { serve } from "../../sdk/typescript/dist/node.js";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const charged = new Set();
/** What `charge-card` does; a check mends it. */
export const card = { works: false };

const order = workflow({ name: "order", version: "3" }, async (step, input) => {
  const charge = await step.run("charge", async () => {
    if (!charged.has(input.order) && charged.add(input.order)) throw new Error("the gateway answered 502");
    await sleep(120);
    return { chargeId: `ch_${input.order}`, amount: 24.9 };
  }, { maxAttempts: 5, backoff: { type: "fixed", initial: "1s" } });
  await Promise.all([
    step.run("notify", async () => { await sleep(150); return { sent: true }; }),
    step.run("reserve", async () => { await sleep(300); return "shelf B"; }),
    step.invoke("receipt", "receipt", { order: input.order }),
  ]);
  await step.sleep("settle", "1s");
  const review = await step.waitForSignal("review", { timeout: "3d" });
  return { charge, review };
});

const receipt = workflow({ name: "receipt" }, async (step, input) => step.run("render", () => `<p>Receipt ${input?.order}</p>`));

const refund = workflow({ name: "refund" }, async (step, input) => {
  const decision = await step.approval("pay", { title: `Pay back order ${input.order}?`, detail: "24.90 EUR to the card.", timeout: "3d" });
  return { paid: decision?.approved ?? false };
});

const cardCharge = workflow({ name: "charge-card" }, async (step) => step.run("charge", () => {
  if (!card.works) throw new Error("the card has expired");
  return "charged";
}, { maxAttempts: 2, backoff: { type: "fixed", initial: "1s" } }));

const story = workflow({ name: "story" }, async (step, input) => {
  const answer = await step.ai("outline", () => ({ model: "gpt-5-mini", choices: [{ message: { content: `A story of ${input.topic}` } }], usage: { prompt_tokens: 1204, completion_tokens: 310 } }));
  return answer.choices[0].message.content;
});

const nap = workflow({ name: "nap" }, async (step) => step.sleep("long", "1h"));

const placed = workflow({ name: "on-order", triggers: [{ event: "order.placed" }] }, async (step) => step.run("note", () => "noted"));

const WORKFLOWS = [order, receipt, refund, cardCharge, story, nap, placed];

/** Serves it on a port of its own. */
export async function listen(signingSecret) {
  const prices = { "gpt-5-mini": { inputPerMillion: 0.25, outputPerMillion: 2 } };
  const server = http.createServer(serve({ workflows: WORKFLOWS, signingSecret, prices, onError: () => {} }));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => { server.closeAllConnections(); server.close(); } };
}
