// A subscription trial: 14 days of waiting cost nothing; a payment ends them.

import { workflow } from "@tikku/sdk";
import { z } from "zod";
import { mail } from "./services.ts";

export const trial = workflow({ name: "trial", input: z.object({ user: z.string(), email: z.string() }), signals: { payment: z.object({ plan: z.string() }) } }, async (step, input) => {
  await step.run("welcome", ({ key }) => mail(input.email, "welcome to your trial", key));
  const payment = await step.waitForSignal("payment", { timeout: "14d" });
  if (payment) {
    await step.run("thanks", ({ key }) => mail(input.email, `thank you for ${payment.plan}`, key));
    return { converted: true, plan: payment.plan };
  }
  await step.run("goodbye", ({ key }) => mail(input.email, "your trial has ended", key));
  return { converted: false, plan: null };
});
