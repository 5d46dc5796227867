// An order: charge, let a person look at it, ship and notify side by side, send a receipt by a workflow of its own; refund when it cannot be fulfilled.

import { workflow } from "@tikku/sdk";
import { z } from "zod";
import { charge, mail, refund } from "./services.ts";

const Order = z.object({ id: z.string(), cents: z.number().int().positive(), email: z.string() });

export const receipt = workflow({ name: "receipt-flow", input: z.object({ order: z.string(), chargeId: z.string(), email: z.string() }) }, async (step, input) => {
  await step.run("mail", ({ key }) => mail(input.email, `receipt for ${input.order}`, key));
  return { receipt: `${input.order}/${input.chargeId}` };
});

export const order = workflow({ name: "order-flow", version: "1", input: Order, signals: { review: z.object({ ok: z.boolean() }) } }, async (step, input) => {
  const { chargeId } = await step.run("charge", ({ key }) => charge(input.cents, key), { maxAttempts: 5 });
  const review = await step.waitForSignal("review", { timeout: "3d" });
  if (!review?.ok) {
    await step.run("refund", ({ key }) => refund(chargeId, key));
    return { status: review ? ("rejected" as const) : ("expired" as const) };
  }
  try {
    const [, shipped] = await Promise.all([
      step.run("notify", ({ key }) => mail(input.email, "on its way", key)),
      step.run("ship", ({ key }) => mail("warehouse@example.com", `ship ${input.id}`, key), { maxAttempts: 3 }),
    ]);
    const { receipt: number } = await step.invoke("receipt", receipt, { order: input.id, chargeId, email: input.email });
    return { status: "fulfilled" as const, shipped: shipped.sent, receipt: number };
  } catch (error) {
    // Entered only when a step has no attempts left: compensation never races a retry.
    await step.run("compensate", ({ key }) => refund(chargeId, key));
    return { status: "refunded" as const, reason: (error as Error).message };
  }
});
