// Apps: registered, synced, edited, deleted; one that cannot be synced says why.

import assert from "node:assert/strict";
import { confirm, press, told } from "../acts.mjs";

const panel = (page, name) => page.locator("section.app", { has: page.locator(`[id="app-${name}"]`) });

export const checks = {
  "an app is synced, and the time of it moves": async (visit) => {
    const before = (await visit.api.get("/v1/apps/shop")).describedAt;
    const page = await visit.open("/dashboard/workflows");
    assert.match(await panel(page, "shop").innerText(), /order[\s\S]*event order\.placed/);
    await panel(page, "shop").getByRole("button", { name: "Sync" }).click();
    await told(page, /serves 7 workflows/);
    assert.notEqual((await visit.api.get("/v1/apps/shop")).describedAt, before);
  },
  "an app is registered, fails to sync with the reason, is given another address, and is deleted": async (visit) => {
    visit.expecting(400, 409, 422, 502, 503);
    const page = await visit.open("/dashboard/workflows");
    await page.locator("#register > summary").click();
    await page.locator("#name").fill("depot");
    await page.locator("#url").fill(visit.world.to("/fail/app"));
    await press(page, "Register and sync").click();
    await panel(page, "depot").locator(".callout.bad").waitFor();
    assert.ok((await visit.api.get("/v1/apps/depot")).describeError);
    await panel(page, "depot").getByRole("link", { name: "Edit" }).click();
    await page.waitForURL(/edit=depot/);
    await page.locator("#register #url").fill(visit.world.to("/fail/app2"));
    await press(page, "Register and sync").click();
    await panel(page, "depot").waitFor();
    assert.equal((await visit.api.get("/v1/apps/depot")).url, visit.world.to("/fail/app2"));
    await confirm(page, panel(page, "depot").getByRole("link", { name: "Delete" }), /depot/);
    assert.equal((await visit.api.raw("GET", "/v1/apps/depot")).status, 404);
  },
};
