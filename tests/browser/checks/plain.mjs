// Addresses that lead nowhere, and the dashboard in a browser that runs no script.

import assert from "node:assert/strict";
import { link, press, told } from "../acts.mjs";

export const checks = {
  "what does not exist is said in a page of the dashboard, with a way back": async (visit) => {
    visit.expecting(404);
    for (const path of ["/dashboard/nothing", "/dashboard/messages/msg_00000000000000000000000000", "/dashboard/runs/run_00000000000000000000000000"]) {
      const page = await visit.open(path);
      assert.match(await page.locator(".error-page").innerText(), /404/, path);
      assert.ok((await page.locator(".error-page a[href^='/dashboard']").count()) > 0);
    }
  },
  "without a script one signs in, and a message is cancelled by a page that asks": async (visit) => {
    const id = await visit.api.publish({ url: visit.world.to("/ok"), delaySeconds: 3600 });
    const page = await visit.open(`/dashboard/messages/${id}`, { role: null, javaScriptEnabled: false });
    await page.locator("#key").fill(visit.world.key);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL(`**/dashboard/messages/${id}`);
    await link(page, "Cancel").click();
    await page.waitForURL(`**/dashboard/messages/${id}/cancel`);
    await page.locator("#confirm form button").click();
    await told(page);
    assert.equal((await visit.api.message(id)).status, "cancelled");
  },
  "without a script 1,200 messages are cancelled, a press for each thousand": async (visit) => {
    await visit.api.batch(Array.from({ length: 1200 }, () => ({ url: visit.world.to("/ok"), delaySeconds: 3600, labels: ["plain-bulk"] })));
    const page = await visit.open("/dashboard/messages?label=plain-bulk", { javaScriptEnabled: false });
    await page.locator("[data-bulk-all]").check();
    await press(page, "Cancel messages").click();
    await page.locator("#confirm form button").click();
    await press(page, "Go on").click();
    await page.locator("#progress", { hasText: "1,200 of 1,200 cancelled" }).waitFor();
    assert.equal((await visit.api.get("/v1/messages?label=plain-bulk&status=scheduled")).data.length, 0);
  },
};
