import { expect, test } from "vitest";
import { testRun } from "@tikku/sdk/testing";
import { trial } from "../src/trial.ts";

const steps = { welcome: { sent: true }, thanks: { sent: true }, goodbye: { sent: true } };
const input = { user: "u-1", email: "a@example.com" };

test("a payment on day 3 ends the trial", async () => {
  const run = await testRun(trial, input, { steps });
  await run.advance("3d");
  expect(run.status).toBe("waiting");
  await run.signal("payment", { plan: "pro" });
  expect(run.output).toEqual({ converted: true, plan: "pro" });
  expect([run.executions("thanks"), run.executions("goodbye")]).toEqual([1, 0]);
});

test("without a payment it ends after 14 days and not before", async () => {
  const run = await testRun(trial, input, { steps });
  await run.advance("13d");
  expect(run.status).toBe("waiting");
  await run.advance("1d");
  expect(run.output).toEqual({ converted: false, plan: null });
  expect(run.executions("welcome")).toBe(1);
});
