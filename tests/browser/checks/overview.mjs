// The first page, and the navigation where there is no room for it.

import assert from "node:assert/strict";

export const checks = {
  "the overview says whether it is well, with numbers, charts, destinations and what to look at": async (visit) => {
    const page = await visit.open("/dashboard");
    const text = (await page.locator("main").innerText()).replaceAll(/\s+/g, " ");
    for (const part of [/Delivered/i, /Success/i, /p50/i, /Oldest due/i, /Dead letters/i, /127\.0\.0\.1/]) assert.match(text, part);
    assert.ok((await page.locator(".charts svg rect").count()) > 0, "bars");
    const dead = page.locator(".attention a[href^='/dashboard/dlq']");
    assert.ok((await dead.count()) > 0, text);
    await page.locator(".chips a", { hasText: "24" }).first().click();
    await page.waitForURL(/range=24h/);
  },
  "on a narrow screen the menu opens over the page, leads on, and closes by Esc": async (visit) => {
    const page = await visit.open("/dashboard/messages", { width: 360, height: 740 });
    const entry = page.locator("#nav").getByRole("link", { name: "Runs" });
    assert.ok(!(await entry.isVisible()));
    await page.getByRole("button", { name: "Menu" }).click();
    await entry.waitFor();
    await page.keyboard.press("Escape");
    await entry.waitFor({ state: "hidden" });
    await page.getByRole("button", { name: "Menu" }).click();
    await entry.click();
    await page.waitForURL("**/dashboard/runs");
  },
};
