// Serves all examples, and registers them with the engine.

import http from "node:http";
import { Tikku } from "@tikku/sdk";
import { serve } from "@tikku/sdk/node";
import { onboarding } from "./onboarding.ts";
import { order, receipt } from "./order.ts";
import { research } from "./research.ts";
import { trial } from "./trial.ts";

export const workflows = [order, receipt, trial, onboarding, research];

const port = Number(process.env.PORT ?? 3100);
http.createServer(serve({ workflows })).listen(port, "127.0.0.1", async () => {
  const url = process.env.APP_URL ?? `http://127.0.0.1:${port}/`;
  const app = await new Tikku().apps.put("examples", { url });
  if (app.describeError) throw new Error(`the engine cannot reach ${url}: ${app.describeError}`);
  console.log(`serving ${app.workflows?.map(({ name }) => name).join(", ")} at ${url}`);
});
