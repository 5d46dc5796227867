// Flow control: a key pinned, paused, resumed and unpinned; the breaker of a destination that fails, reset.

import assert from "node:assert/strict";
import { link, press, told } from "../acts.mjs";
import { until } from "../wait.mjs";

const row = (page, text) => page.locator("main tbody tr", { hasText: text });

export const checks = {
  "a flow key is pinned, its limits changed, paused, resumed and unpinned": async (visit) => {
    const flow = async () => visit.api.get("/v1/flows/mailer");
    const page = await visit.open("/dashboard/flows");
    await link(page, "Pin a key").click();
    await page.locator("#flow-key").fill("mailer");
    await page.locator("#parallelism").fill("3");
    await press(page, "Pin").click();
    await told(page, /mailer/);
    assert.deepEqual([(await flow()).parallelism, (await flow()).pinned], [3, true]);
    await row(page, "mailer").getByRole("link", { name: "Limits" }).click();
    await page.locator("#rate").fill("10");
    await page.locator("#period").fill("60");
    await press(page, "Pin").click();
    await told(page);
    assert.deepEqual([(await flow()).rate, (await flow()).periodSeconds], [10, 60]);
    await row(page, "mailer").getByRole("button", { name: "Pause" }).click();
    await told(page);
    assert.equal((await flow()).paused, true);
    const id = await visit.api.publish({ url: visit.world.to("/ok"), flowControl: { key: "mailer" } });
    await until("the page says that one waits", async () => (await row(page, "mailer").locator("[data-l=waiting]").innerText()) === "1");
    await row(page, "mailer").getByRole("button", { name: "Resume" }).click();
    await told(page);
    await visit.world.messageIs(id, "delivered");
    await row(page, "mailer").getByRole("button", { name: "Unpin" }).click();
    await told(page);
    const after = await visit.api.raw("GET", "/v1/flows/mailer");
    assert.ok(after.status === 404 || JSON.parse(after.text).pinned === false, after.text);
  },
  "the open breaker of a destination that fails is seen and reset": async (visit) => {
    const url = visit.world.to("/fail/breaker");
    await visit.api.batch(Array.from({ length: 130 }, () => ({ url, maxAttempts: 1, labels: ["breaker"] })));
    const open = async () => (await visit.api.get("/v1/breakers?status=open")).data.find(({ destination }) => url.startsWith(destination) || destination.startsWith(url));
    await until("its breaker opens", open);
    const page = await visit.open("/dashboard/flows?status=open");
    await until("the page shows it", async () => (await page.locator("main tbody tr", { hasText: "Open" }).count()) > 0);
    await row(page, "Open").getByRole("button", { name: "Reset" }).first().click();
    await told(page, /closed/);
    assert.equal(await open(), undefined);
  },
};
