import { afterAll, beforeAll, expect, test } from "vitest";
import { onboarding } from "../src/onboarding.ts";
import { order, receipt } from "../src/order.ts";
import { research } from "../src/research.ts";
import { trial } from "../src/trial.ts";
import { until, World } from "./world.ts";

const world = new World();
beforeAll(() => world.start([order, receipt, trial, onboarding, research]), 120_000);
afterAll(() => world.stop(), 60_000);

const chat = (message: object, tokens: number) => ({ body: { model: "scripted-1", choices: [{ message }], usage: { prompt_tokens: tokens, completion_tokens: 7 } } });
const state = async (id: string) => (await world.tikku.run(id).get()).status;

test("an order is charged once although the first answer was an error, reviewed, shipped, and has a receipt", async () => {
  world.script["/charges"] = [{ status: 503, body: {} }];
  const run = await world.tikku.start(order, { id: "o-1", cents: 4200, email: "a@example.com" }, { id: "o-1" });
  await run.signal("review", { ok: true });
  expect(await run.result({ timeout: "60s" })).toEqual({ status: "fulfilled", shipped: true, receipt: "o-1/ch_1" });
  const charges = world.to("/charges");
  expect(charges.length).toBe(2);
  expect(new Set(charges.map(({ key }) => key)).size).toBe(1);
  const again = await world.tikku.start(order, { id: "o-1", cents: 4200, email: "a@example.com" }, { id: "o-1" });
  expect(again.id).toBe(run.id);
}, 90_000);

test("an order that cannot be shipped is refunded after the last attempt", async () => {
  const run = await world.tikku.start(order, { id: "o-2", cents: 100, email: "refuse@example.com" });
  await until("the charge", async () => (await state(run.id)) === "waiting");
  world.script["/mails"] = Array.from({ length: 2 }, () => ({ status: 400, body: { error: "no such address" } }));
  await run.signal("review", { ok: true });
  expect(await run.result({ timeout: "60s" })).toMatchObject({ status: "refunded" });
  expect(world.to("/refunds").length).toBe(1);
  world.script["/mails"] = [];
}, 90_000);

test("onboarding is begun by an event, and goes on with the events of its user only", async () => {
  const { started } = await world.tikku.events.publish({ name: "user.signed-up", data: { user: "u-7", email: "u7@example.com" } });
  expect(started.length).toBe(1);
  const run = world.tikku.run<{ user: string; done: string[] }>(started[0]!);
  await until("the first wait", async () => (await state(run.id)) === "waiting");
  await world.tikku.events.publish({ name: "profile.completed", data: { user: "somebody else" } });
  await world.tikku.events.publish({ name: "profile.completed", data: { user: "u-7" } });
  await until("the second wait", async () => ((await run.get()) as unknown as { pending: { key: string }[] }).pending.some(({ key }) => key.startsWith("teammate.invited")));
  await world.tikku.events.publish({ name: "teammate.invited", data: { user: "u-7" } });
  expect(await run.result({ timeout: "60s" })).toEqual({ user: "u-7", done: ["profile", "invite"] });
}, 90_000);

test("the agent waits out a 429, calls its tool, asks a person, and pays for no call twice", async () => {
  world.script["/chat/completions"] = [
    { status: 429, headers: { "retry-after": "2" }, body: { error: "slow down" } },
    chat({ role: "assistant", content: null, tool_calls: [{ id: "c1", function: { name: "search", arguments: '{"query":"durable"}' } }] }, 11),
    chat({ role: "assistant", content: "It survives crashes." }, 23),
  ];
  const run = await world.tikku.start(research, { question: "What is durable execution?" });
  await until("the question to a person", async () => (await state(run.id)) === "waiting");
  await run.approve("publish#0", { approve: true, data: { note: "fine" } });
  expect(await run.result({ timeout: "60s" })).toMatchObject({ published: true, report: "It survives crashes." });
  expect(world.to("/chat/completions").length).toBe(3);
  const { ai } = (await run.get()) as unknown as { ai: { inputTokens: number; outputTokens: number } };
  expect(ai).toMatchObject({ inputTokens: 34, outputTokens: 14 });
}, 90_000);
