// Events: one published by the form starts what has a trigger for it.

import assert from "node:assert/strict";
import { press, told } from "../acts.mjs";
import { until } from "../wait.mjs";

export const checks = {
  "an event is published, starts a run, and is listed with its data": async (visit) => {
    const page = await visit.open("/dashboard/events");
    await page.locator("#publish > summary").click();
    await page.locator("#e-name").fill("order.placed");
    await page.locator("#e-data").fill('{"order": 4711}');
    await page.locator("#e-id").fill("by-form");
    await press(page, "Publish").click();
    await told(page);
    const event = (await visit.api.get("/v1/events?name=order.placed")).data.find(({ externalId }) => externalId === "by-form");
    assert.deepEqual([event.data, event.started.length], [{ order: 4711 }, 1]);
    const fold = page.locator(`[id="event-${event.id}"]`);
    await fold.locator("summary").click();
    assert.match(await fold.innerText(), /4711/);
    await fold.locator("a", { hasText: "run_" }).click();
    await page.waitForURL(/\/runs\/run_/);
    await until("the run is over", async () => /Completed/.test(await page.locator(".st.big").innerText()));
  },
  "events are filtered by name": async (visit) => {
    await visit.api.post("/v1/events", { name: "stock.low", data: null });
    const page = await visit.open("/dashboard/events");
    await page.locator("#f-name").fill("stock.low");
    await press(page, "Filter").click();
    await page.waitForURL(/name=stock\.low/);
    assert.deepEqual([...new Set(await page.locator(".folds summary > b").allInnerTexts())], ["stock.low"]);
  },
};
