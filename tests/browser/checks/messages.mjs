// Messages: filters in the address, paging, what a message shows, cancel, retry, resend, and many cancelled at once.

import assert from "node:assert/strict";
import { confirm, idOf, link, press, told } from "../acts.mjs";
import { until } from "../wait.mjs";

export const checks = {
  "messages are filtered by chip, label and destination, and the address says how": async (visit) => {
    const page = await visit.open("/dashboard/messages");
    await page.locator(".chips a", { hasText: "Delivered" }).click();
    await page.waitForURL(/status=delivered/);
    assert.deepEqual(await page.locator("tbody .st").evaluateAll((all) => [...new Set(all.map((one) => one.textContent))]), ["Delivered"]);
    await page.locator("#f-label").fill("shown");
    await page.locator("#f-url").fill("/ok");
    await press(page, "Filter").click();
    await page.waitForURL(/label=shown/);
    const url = new URL(page.url());
    assert.deepEqual(["status", "label", "url"].map((name) => url.searchParams.get(name)), ["delivered", "shown", "/ok"]);
    assert.deepEqual(await page.locator("[data-row] .main").evaluateAll((all) => all.map((one) => one.getAttribute("href"))), [`/dashboard/messages/${visit.world.delivered}`]);
    await page.locator("#f-range").selectOption("1h");
    await page.waitForURL(/range=1h/);
    await link(page, "Clear").click();
    await page.waitForURL((at) => !at.search.includes("label"));
  },
  "older messages are a page further, and the newest a click back": async (visit) => {
    await visit.api.batch(Array.from({ length: 60 }, () => ({ url: visit.world.to("/ok"), body: {}, labels: ["paged"] })));
    const page = await visit.open("/dashboard/messages?label=paged");
    const newest = await page.locator("[data-row] .main").first().getAttribute("href");
    await link(page, "Older").click();
    await page.waitForURL(/cursor=/);
    const older = await page.locator("[data-row] .main").first().getAttribute("href");
    assert.notEqual(older, newest);
    await link(page, "Newest").click();
    await page.waitForURL((at) => !at.search.includes("cursor"));
  },
  "a message shows its payload, headers, policy and each attempt with its answer": async (visit) => {
    const page = await visit.open(`/dashboard/messages/${visit.world.failed}`);
    const text = await page.locator("main").innerText();
    for (const part of ["Attempt 1", "500", "out of paper", "Policy", "Failed"]) assert.ok(text.includes(part), `${part} in: ${text}`);
    await page.goto(`/dashboard/messages/${visit.world.delivered}`);
    const other = await page.locator("main").innerText();
    for (const part of ["Grüße", "x-shop", "order-99", "200", "Delivered"]) assert.ok(other.includes(part), `${part} in: ${other}`);
    await page.locator("[data-copy-from=payload]").click();
    assert.deepEqual(JSON.parse(await page.evaluate(() => navigator.clipboard.readText())), { order: 99, text: "Grüße" });
  },
  "a scheduled message counts down, and is cancelled": async (visit) => {
    const id = await visit.api.publish({ url: visit.world.to("/ok"), body: {}, delaySeconds: 3600 });
    const page = await visit.open(`/dashboard/messages/${id}`);
    assert.match(await page.locator(".statebar").innerText(), /in (59 min|1 h)/);
    await confirm(page, link(page, "Cancel"));
    assert.equal((await visit.api.message(id)).status, "cancelled");
    assert.match(await page.locator(".st.big").innerText(), /Cancelled/);
  },
  "a question that is answered with no changes nothing": async (visit) => {
    const page = await visit.open(`/dashboard/messages/${visit.world.scheduled}`);
    await link(page, "Cancel").click();
    await page.locator("#dialog[open] #confirm").waitFor();
    await page.getByRole("link", { name: "Keep as it is" }).click();
    assert.equal(await page.locator("#dialog[open]").count(), 0);
    assert.equal((await visit.api.message(visit.world.scheduled)).status, "scheduled");
  },
  "a failed message is retried": async (visit) => {
    const id = await visit.api.publish({ url: visit.world.to("/gone"), body: {}, maxAttempts: 1 });
    await visit.world.messageIs(id, "failed");
    const page = await visit.open(`/dashboard/messages/${id}`);
    await confirm(page, link(page, "Retry"));
    await until("it was pushed again", async () => (await visit.api.message(id)).attemptCount === 2);
  },
  "a message is resent with an edit": async (visit) => {
    const page = await visit.open(`/dashboard/messages/${visit.world.delivered}`);
    await link(page, "Resend a copy…").click();
    await page.waitForURL(/\/resend$/);
    await page.locator("#body").fill('{"order": 990}');
    await press(page, "Send").click();
    await page.waitForURL(/\/messages\/msg_[^/]+$/);
    await told(page);
    const copy = await visit.api.message(idOf(page));
    assert.notEqual(copy.id, visit.world.delivered);
    assert.deepEqual([copy.url, copy.body, copy.labels, copy.headers, copy.idempotencyKey], [visit.world.to("/ok"), { order: 990 }, ["shown"], { "x-shop": "eu" }, null]);
  },
  "the messages that were picked are cancelled": async (visit) => {
    const ids = [];
    for (const _ of [1, 2, 3]) ids.push(await visit.api.publish({ url: visit.world.to("/ok"), body: {}, delaySeconds: 3600, labels: ["picked"] }));
    const page = await visit.open("/dashboard/messages?label=picked");
    for (const id of ids.slice(0, 2)) await page.locator(`[id="c-${id}"]`).check();
    assert.equal(await page.locator("[data-bulk-count]").innerText(), "2");
    await confirm(page, press(page, "Cancel messages"), /2/);
    assert.deepEqual(await Promise.all(ids.map(async (id) => (await visit.api.message(id)).status)), ["cancelled", "cancelled", "scheduled"]);
  },
  "1,200 messages that match are cancelled, and a bar says how far it is": async (visit) => {
    await visit.api.batch(Array.from({ length: 1200 }, () => ({ url: visit.world.to("/ok"), delaySeconds: 3600, labels: ["bulk"] })));
    const page = await visit.open("/dashboard/messages?label=bulk");
    await page.locator("[data-check-all]").check();
    await page.locator("[data-bulk-all]").check();
    await press(page, "Cancel messages").click();
    await page.locator("#dialog[open] #confirm form button.btn").click();
    await page.locator("#progress progress").waitFor();
    await page.locator("#progress", { hasText: "1,200 of 1,200 cancelled" }).waitFor();
    assert.equal((await visit.api.get("/v1/messages?label=bulk&status=scheduled")).data.length, 0);
    await link(page, "Back to messages").click();
    await page.waitForURL(/label=bulk/);
  },
};
