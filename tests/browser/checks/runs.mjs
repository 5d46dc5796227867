// Runs: started, signalled, approved, rejected, paused, resumed, woken, cancelled, retried, forked and compared; what the waterfall shows.

import assert from "node:assert/strict";
import { card } from "../app.mjs";
import { confirm, idOf, link, press, told } from "../acts.mjs";
import { until } from "../wait.mjs";

const nap = async (visit) => {
  const id = await visit.api.start("nap", { labels: ["nap"] });
  await visit.world.waits(id, "long");
  return id;
};
const step = (page, key) => page.locator("li[data-row]", { has: page.locator(".wf-key", { hasText: new RegExp(`^${key}`) }) });

export const checks = {
  "a run is started by the form": async (visit) => {
    const page = await visit.open("/dashboard/workflows");
    await page.locator("tr", { hasText: "receipt" }).getByRole("link", { name: "Start" }).click();
    await page.locator("#input").fill('{"order": 7}');
    await page.locator("#ext").fill("by-form");
    await page.locator("#labels").fill("form, eu");
    await press(page, "Start the run").click();
    await page.waitForURL(/\/runs\/run_[^/]+$/);
    await told(page);
    const id = idOf(page);
    await visit.world.runIs(id, "completed");
    const run = await visit.api.run(id);
    assert.deepEqual([run.workflow, run.externalId, run.input, run.labels], ["receipt", "by-form", { order: 7 }, ["form", "eu"]]);
    await until("the page says that it is over", async () => /Completed/.test(await page.locator(".st.big").innerText()));
  },
  "an input that is no JSON comes back as it was typed, with the reason": async (visit) => {
    visit.expecting(400, 422);
    const page = await visit.open("/dashboard/workflows/receipt/start");
    await page.locator("#input").fill("{no json");
    await press(page, "Start the run").click();
    await page.locator("#form-errors").waitFor();
    assert.equal(await page.locator("#input").inputValue(), "{no json");
  },
  "a run's waterfall shows attempts, parallel branches, waits and its child": async (visit) => {
    const page = await visit.open(`/dashboard/runs/${visit.world.order}`);
    assert.deepEqual(await page.locator(".wf-rows .lane-start, .wf-rows .lane-mid, .wf-rows .lane-end").count(), 3, "three steps side by side");
    const head = (key) => step(page, key).locator("summary").first();
    assert.match(await head("charge").innerText(), /2 attempts/);
    await head("charge").click();
    const charge = await step(page, "charge").innerText();
    for (const part of ["the gateway answered 502", "ch_181"]) assert.ok(charge.includes(part), `${part} in: ${charge}`);
    assert.ok((await page.locator(".wf-bar .b-wait").count()) > 0, "the sleep is drawn as a wait");
    await head("receipt").click();
    await step(page, "receipt").locator(".wf-body a").first().click();
    await page.waitForURL(/\/runs\/run_/);
    assert.match(await page.locator("h1").innerText(), /receipt/);
    await page.locator(`main a[href="/dashboard/runs/${visit.world.order}"]`).first().waitFor();
  },
  "tokens and cost of AI steps stand in the run": async (visit) => {
    const page = await visit.open(`/dashboard/runs/${visit.world.story}`);
    await step(page, "outline").locator("summary").first().click();
    const text = await page.locator("main").innerText();
    for (const part of ["1,204", "310", "gpt-5-mini", "$0.0009"]) assert.ok(text.includes(part), `${part} in: ${text}`);
  },
  "a run that waits for a signal gets it by the form, and goes on": async (visit) => {
    const id = await visit.api.start("order", { input: { order: 901 } });
    await visit.world.waits(id, "review");
    const page = await visit.open(`/dashboard/runs/${id}`);
    await page.locator("form.answer textarea").fill('{"good": true}');
    await press(page, "Send signal").click();
    await told(page, /review/);
    await visit.world.runIs(id, "completed");
    assert.deepEqual((await visit.api.run(id)).output.review, { good: true });
    await until("the page shows the end", async () => /Completed/.test(await page.locator(".st.big").innerText()));
  },
  "a run is approved where it is shown": async (visit) => {
    const id = await visit.api.start("refund", { input: { order: 5 } });
    await visit.world.waits(id, "pay");
    const page = await visit.open(`/dashboard/runs/${id}`);
    await press(page, "Approve").click();
    await told(page, /Approved/);
    await visit.world.runIs(id, "completed");
    assert.deepEqual((await visit.api.run(id)).output, { paid: true });
  },
  "a decision is rejected in the list of approvals": async (visit) => {
    const id = await visit.api.start("refund", { input: { order: 6 } });
    await visit.world.waits(id, "pay");
    const page = await visit.open("/dashboard/approvals");
    const panel = page.locator("section.approval", { hasText: id });
    await panel.getByRole("button", { name: "Reject" }).click();
    await told(page, /Rejected/);
    assert.match(page.url(), /approvals/);
    await visit.world.runIs(id, "completed");
    assert.deepEqual((await visit.api.run(id)).output, { paid: false });
  },
  "a run is paused and resumed": async (visit) => {
    const id = await nap(visit);
    const page = await visit.open(`/dashboard/runs/${id}`);
    await press(page, "Pause").click();
    await told(page);
    await visit.world.runIs(id, "paused");
    await page.reload();
    await press(page, "Resume").click();
    await told(page);
    await until("it is not paused", async () => (await visit.api.run(id)).status !== "paused");
  },
  "a run that sleeps is woken": async (visit) => {
    const id = await nap(visit);
    const page = await visit.open(`/dashboard/runs/${id}`);
    await press(page, "Wake now").click();
    await told(page);
    await visit.world.runIs(id, "completed");
    assert.equal((await visit.api.run(id)).output, "woken");
  },
  "a run is cancelled": async (visit) => {
    const id = await nap(visit);
    const page = await visit.open(`/dashboard/runs/${id}`);
    await confirm(page, link(page, "Cancel"), /Cancelled/);
    await visit.world.runIs(id, "cancelled");
  },
  "runs that were picked are cancelled together": async (visit) => {
    const ids = [await nap(visit), await nap(visit)];
    const page = await visit.open("/dashboard/runs?label=nap&status=sleeping");
    if ((await page.locator(`[id="c-${ids[0]}"]`).count()) === 0) await page.goto("/dashboard/runs?label=nap");
    for (const id of ids) await page.locator(`[id="c-${id}"]`).check();
    await confirm(page, press(page, "Cancel runs"), /2/);
    for (const id of ids) await visit.world.runIs(id, "cancelled");
  },
  "a failed run is retried and succeeds": async (visit) => {
    const id = await visit.api.start("charge-card", {});
    await visit.world.runIs(id, "failed");
    card.works = true;
    try {
      const page = await visit.open(`/dashboard/runs/${id}`);
      assert.match(await page.locator(".callout.bad").innerText(), /the card has expired/);
      await confirm(page, link(page, "Retry"));
      await visit.world.runIs(id, "completed");
    } finally {
      card.works = false;
    }
  },
  "a run is forked from a step with another input, and the two are compared": async (visit) => {
    const page = await visit.open(`/dashboard/runs/${visit.world.order}`);
    await link(page, "Fork…").click();
    await page.waitForURL(/\/fork/);
    await page.locator("input[name=fromStep]").nth(1).check();
    await page.locator("#input").fill('{"order": 181, "items": ["book"], "forked": true}');
    await press(page, "Fork").click();
    await page.waitForURL((at) => !at.pathname.endsWith("/fork"));
    await told(page, /fork/);
    const id = idOf(page);
    const run = await visit.api.run(id);
    assert.deepEqual([run.forkedFrom?.id ?? run.forkedFrom, run.input.forked], [visit.world.order, true]);
    await visit.world.waits(id, "review");
    await page.getByRole("link", { name: "Compare it with the first one" }).click();
    await page.waitForURL(/\/runs\/diff\?/);
    const text = await page.locator("main").innerText();
    assert.match(text, /forked/);
    assert.ok((await page.locator(".diff-steps li").count()) >= 4, text);
  },
  "two runs that were picked in the list are compared": async (visit) => {
    const page = await visit.open("/dashboard/runs?workflow=order");
    await page.locator(`[id="c-${visit.world.order}"]`).check();
    assert.ok(await press(page, "Compare two").isDisabled());
    await page.locator(`[id="c-${visit.world.order2}"]`).check();
    await press(page, "Compare two").click();
    await page.waitForURL(/\/runs\/diff\?/);
    assert.match(await page.locator("main").innerText(), /order-1[\s\S]*order-2/);
  },
  "runs are filtered by workflow and status, and the address says how": async (visit) => {
    const page = await visit.open("/dashboard/runs");
    await page.locator("#f-workflow").selectOption("charge-card");
    await page.waitForURL(/workflow=charge-card/);
    await page.locator(".chips a", { hasText: "Failed" }).click();
    await page.waitForURL(/status=failed/);
    const shown = await page.locator("[data-row] .main b").allInnerTexts();
    assert.deepEqual([...new Set(shown)], ["charge-card"]);
  },
};
