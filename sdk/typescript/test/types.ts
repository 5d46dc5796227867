// Compiled, never run: what the types know.

import * as v from "valibot";
import { z } from "zod";

import { type Recorded, Tikku, asTool, serve, workflow } from "../src/index.js";
import { testRun } from "../src/testing.js";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(..._proof: Equal<A, B> extends true ? [] : [never]) => {};

// The input is what the schema makes of it; a start takes what the schema takes.
export const order = workflow(
  { name: "order", input: z.object({ id: z.string(), count: z.number().default(1) }), signals: { review: v.object({ stars: v.number() }) } },
  async (step, input) => {
    same<typeof input, { id: string; count: number }>();
    const made = await step.run("made", () => ({ at: new Date(), none: undefined, big: 1 as number | undefined, list: [new Date()] }));
    same<typeof made, { at: string; none: undefined; big: number | undefined; list: string[] }>();
    const nothing = await step.run("nothing", () => {});
    same<typeof nothing, null>();
    const review = await step.waitForSignal("review");
    same<typeof review, { stars: number }>();
    const timed = await step.waitForSignal("review", { timeout: "3d" });
    same<typeof timed, { stars: number } | undefined>();
    const other = await step.waitForSignal("other");
    same<typeof other, unknown>();
    // @ts-expect-error there is no such unit
    await step.sleep("x", "7 fortnights");
    const [first, second] = await step.all([step.run("a", () => 1), step.run("b", async () => "two")]);
    same<typeof first, number>();
    same<typeof second, string>();
    return { total: input.count, at: made.at };
  },
);

export const parent = workflow({ name: "parent" }, async (step, input: { n: number }) => {
  const child = await step.invoke("child", order, { id: "1" });
  same<typeof child, { total: number; at: string }>();
  // @ts-expect-error the id is missing
  await step.invoke("child", order, { count: 1 });
  return input.n;
});

export async function starts(tikku: Tikku) {
  await tikku.start(parent, { n: 1 });
  // @ts-expect-error the code says what it takes
  await tikku.start(parent, { n: "1" });
}
// Without a schema and a type nothing is known of the input.
// @ts-expect-error it may have no id
export const loose = workflow({ name: "loose" }, async (_step, input) => input.id);

// An output that the schema describes.
export const checked = workflow({ name: "checked", output: z.object({ n: z.number() }) }, async () => ({ n: 1 }));
// @ts-expect-error the output has another type
export const wrong = workflow({ name: "wrong", output: z.object({ n: z.number() }) }, async () => ({ n: "1" }));

export async function client(tikku: Tikku) {
  const run = await tikku.start(order, { id: "1" });
  const output = await run.result({ timeout: "1m" });
  same<typeof output, { total: number; at: string }>();
  await run.signal("review", { stars: 5 });
  // @ts-expect-error stars are numbers
  await run.signal("review", { stars: "5" });
  // @ts-expect-error the id is missing
  await tikku.start(order, {});
  const loose = await tikku.start<{ x: 1 }>("by-name", { anything: true });
  same<Awaited<ReturnType<typeof loose.result>>, { x: 1 }>();

  const message = await tikku.request("get", "/v1/messages/{id}", { path: { id: "msg_1" } });
  message.attempts.map(({ responseStatus }) => responseStatus);
  // @ts-expect-error the path has a parameter
  await tikku.request("get", "/v1/messages/{id}");
  // @ts-expect-error there is no such method
  await tikku.request("patch", "/v1/messages");
  // @ts-expect-error there is no such field
  await tikku.publish({ url: "https://example.com", delay: 5 });

  const tool = asTool(order, { client: tikku, description: "Orders" });
  same<Awaited<ReturnType<typeof tool.execute>>, { total: number; at: string }>();
}

export async function harness() {
  const run = await testRun(order, { id: "1" });
  same<typeof run.output, { total: number; at: string }>();
  // @ts-expect-error stars are numbers
  await run.signal("review", { stars: "5" });
}

export const { GET, POST, fetch } = serve({ workflows: [order, parent, checked], checkpoint: { everyMs: 50, maxSteps: 20 } });

same<Recorded<any>, any>();
same<Recorded<unknown>, unknown>();
same<Recorded<Map<string, number>["get"]>, never>();
same<Recorded<[1, Date | undefined]>, [1, string | null]>();
