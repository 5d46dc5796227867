// The quiet refresh: it comes while somebody looks, stops when the tab is hidden, and moves nothing that did not change.

import assert from "node:assert/strict";
import { pause, until } from "../wait.mjs";

// The score of the Layout Instability API: the part of the window that moved, times how far. Half a pixel in a row is 0.00001; a row that jumps is more than 0.01.
const SHIFT_MAX = 0.0005;
const assertStill = (shift) => assert.ok(shift < SHIFT_MAX, `layout shift of ${shift}`);

/** Two periods and some, on a slow machine. */
const POLLS_MS = 5500;

/** Counts the polls of a page by their status. */
function polls(page) {
  const statuses = [];
  page.on("response", (response) => { if (/\/live\b/.test(response.url())) statuses.push(response.status()); });
  return statuses;
}

/** Tells the page that its tab is in the background, or in front again. */
const hide = (page, hidden) => page.evaluate((hidden) => {
  Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
  Object.defineProperty(document, "visibilityState", { get: () => (hidden ? "hidden" : "visible"), configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}, hidden);

/** Has the page count changes of what it shows, but for the texts of times, and shifts of its layout. */
const observe = (page) => page.evaluate(() => {
  const seen = (window.seen = { changes: [], shift: 0 });
  const live = document.querySelector("[data-live]");
  // htmx marks the part itself while it asks (htmx-request): that is no change of what is in it.
  const isMark = (target, type) => type === "attributes" && target === live;
  const isTime = (node) => (node.nodeType === 1 ? node : node.parentElement)?.closest("time");
  new MutationObserver((all) => {
    for (const { target, type } of all) if (!isTime(target) && !isMark(target, type)) seen.changes.push(`${type} in ${target.nodeName} ${target.id ?? ""}`);
  }).observe(live, { childList: true, subtree: true, attributes: true, characterData: true, attributeFilter: ["class", "id", "checked", "open", "href"] });
  new PerformanceObserver((list) => { for (const entry of list.getEntries()) seen.shift += entry.value; }).observe({ type: "layout-shift" });
});

const STILL = {
  "messages": (w) => "/dashboard/messages?label=import",
  "a message": (w) => `/dashboard/messages/${w.retrying}`,
  "dead letters": (w) => "/dashboard/dlq?label=import",
  "runs": (w) => "/dashboard/runs?workflow=story",
  "a run that waits": (w) => `/dashboard/runs/${w.order2}`,
  "schedules": (w) => "/dashboard/schedules",
  "events": (w) => "/dashboard/events?name=none.at.all",
};

/** Each has data of its own, so lanes may share them. */
export const looks = true;
export const checks = {
  "polling comes every two seconds, stops while the tab is hidden, and comes back with it": async (visit) => {
    const page = await visit.open("/dashboard/messages");
    const seen = polls(page);
    await until("two polls", () => seen.length >= 2);
    await hide(page, true);
    await pause(600);
    const before = seen.length;
    await pause(POLLS_MS);
    assert.equal(seen.length, before, "polls while it was hidden");
    await hide(page, false);
    await until("a poll", () => seen.length > before);
  },
  "polling waits while a question is open": async (visit) => {
    const page = await visit.open(`/dashboard/messages/${visit.world.scheduled}`);
    const seen = polls(page);
    await page.locator("main").getByRole("link", { name: "Cancel" }).click();
    await page.locator("#dialog[open]").waitFor();
    await pause(500);
    const before = seen.length;
    await pause(POLLS_MS);
    assert.equal(seen.length, before);
  },
  "what is being typed stays while the page refreshes": async (visit) => {
    const page = await visit.open(`/dashboard/runs/${visit.world.order2}`);
    await page.locator("form.answer textarea").fill('{"half": ');
    await page.locator("h1").click();
    await pause(POLLS_MS);
    assert.equal(await page.locator("form.answer textarea").inputValue(), '{"half": ');
  },
  "a new message appears by itself; selection, focus and scroll stay where they were": async (visit) => {
    const label = "arrives";
    await visit.api.batch(Array.from({ length: 30 }, () => ({ url: visit.world.to("/ok"), labels: [label] })));
    await until("they are delivered", async () => (await visit.api.get(`/v1/messages?label=${label}&status=delivered&limit=50`)).data.length === 30);
    const page = await visit.open(`/dashboard/messages?label=${label}`, { height: 500 });
    const picked = await page.locator("[data-check]").evaluateAll((all) => [all[8].id, all[10].id]);
    for (const id of picked) await page.locator(`[id="${id}"]`).check();
    await page.evaluate(() => window.scrollTo(0, 300));
    await page.locator(`[id="${picked[1]}"]`).focus();
    await page.evaluate(() => window.scrollTo(0, 300));
    await observe(page);
    const id = await visit.api.publish({ url: visit.world.to("/ok"), labels: [label] });
    await page.locator(`[id="c-${id}"]`).waitFor({ state: "attached" });
    const after = await page.evaluate(() => ({ checked: [...document.querySelectorAll("[data-check]:checked")].map((box) => box.id), focus: document.activeElement.id, scroll: window.scrollY, count: document.querySelector("[data-bulk-count]").textContent }));
    assert.deepEqual([after.checked, after.focus, after.count], [picked, picked[1], "2"]);
    assert.ok(Math.abs(after.scroll - 300) <= 80, `scrolled from 300 to ${after.scroll}`);
  },
  "a shift of the layout, and a node that is touched, are seen where there is one": async (visit) => {
    const page = await visit.open("/dashboard/messages?label=import");
    await observe(page);
    await pause(700);
    await page.evaluate(() => {
      document.querySelector("[data-live] caption").textContent = "touched";
      document.querySelector("main").prepend(Object.assign(document.createElement("p"), { textContent: "pushes everything down" }));
    });
    await until("both are seen", () => page.evaluate(() => window.seen.shift > 0 && window.seen.changes.length > 0));
  },
  "a refresh that changes states shifts no layout": async (visit) => {
    const label = "changes";
    const ids = [];
    for (let at = 0; at < 4; at += 1) ids.push(await visit.api.publish({ url: visit.world.to("/ok"), labels: [label], delaySeconds: 3600 }));
    const page = await visit.open(`/dashboard/messages?label=${label}`);
    await observe(page);
    for (const id of ids.slice(0, 2)) await visit.api.post(`/v1/messages/${id}/cancel`);
    await until("the page shows both", async () => (await page.locator("tbody .st", { hasText: "Cancelled" }).count()) === 2);
    await pause(300);
    const seen = await page.evaluate(() => window.seen);
    assert.ok(seen.changes.length > 0);
    assertStill(seen.shift);
  },
  "a push under way is shown as that, and its end appears by itself": async (visit) => {
    const id = await visit.api.publish({ url: visit.world.to("/slow"), body: { slow: true } });
    await visit.world.messageIs(id, "delivering");
    const page = await visit.open(`/dashboard/messages/${id}`);
    const state = () => page.locator(".st.big").innerText();
    assert.match(await state(), /Delivering/);
    await observe(page);
    await until("the page says that it is delivered", async () => /Delivered/.test(await state()));
    assert.equal((await visit.api.message(id)).status, "delivered");
    assertStill((await page.evaluate(() => window.seen)).shift);
  },
  "a run that goes on shifts no layout": async (visit) => {
    const id = await visit.api.start("order", { input: { order: 902 } });
    await visit.world.waits(id, "review");
    const page = await visit.open(`/dashboard/runs/${id}`);
    await page.locator("form.answer textarea").waitFor();
    await observe(page);
    await pause(2500);
    assertStill((await page.evaluate(() => window.seen)).shift);
  },
};
for (const [name, place] of Object.entries(STILL)) {
  checks[`nothing is swapped on ${name} while nothing changes: 204, and not a node is touched`] = async (visit) => {
    const page = await visit.open(place(visit.world));
    const seen = polls(page);
    await until("the first poll", () => seen.length >= 1);
    await observe(page);
    const from = seen.length;
    await until("two more polls", () => seen.length >= from + 2);
    await pause(200);
    assert.deepEqual([...new Set(seen.slice(from))], [204]);
    assert.deepEqual(await page.evaluate(() => window.seen), { changes: [], shift: 0 });
  };
}
