// The dashboard without a mouse.

import assert from "node:assert/strict";
import { told } from "../acts.mjs";
import { violations } from "../axe.mjs";

const active = (page) => page.evaluate(() => { const at = document.activeElement; return at.getAttribute("href") ?? at.id ?? at.tagName; });
const row = (page) => page.locator("[data-row].on .main").getAttribute("href");

export const checks = {
  "tab goes to the skip link first, through the navigation in its order, and shows where it is": async (visit) => {
    const page = await visit.open("/dashboard/messages");
    await page.keyboard.press("Tab");
    assert.equal(await active(page), "#main");
    const wanted = await page.locator("#nav a[href]").evaluateAll((all) => all.map((one) => one.getAttribute("href")));
    const got = [];
    for (let at = 0; at < wanted.length; at += 1) {
      await page.keyboard.press("Tab");
      got.push(await active(page));
      const seen = await page.evaluate(() => { const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(document.activeElement); return (outlineStyle !== "none" && outlineWidth !== "0px") || boxShadow !== "none"; });
      assert.ok(seen, `the focus on ${got.at(-1)} is not to be seen`);
    }
    assert.deepEqual(got, wanted);
  },
  "the skip link leads past the navigation": async (visit) => {
    const page = await visit.open("/dashboard/messages");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    assert.ok(await page.evaluate(() => document.querySelector("main").contains(document.activeElement)));
  },
  "j and k go through the rows, x selects, Enter opens, Esc leaves": async (visit) => {
    const page = await visit.open("/dashboard/messages?label=orders");
    const rows = await page.locator("[data-row] .main").evaluateAll((all) => all.map((one) => one.getAttribute("href")));
    for (const key of ["j", "j", "j", "k"]) await page.keyboard.press(key);
    assert.equal(await row(page), rows[1]);
    await page.keyboard.press("x");
    assert.deepEqual(await page.locator("[data-check]:checked").evaluateAll((all) => all.map((one) => `/dashboard/messages/${one.value}`)), [rows[1]]);
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("[data-row].on").count(), 0);
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    const href = await row(page);
    await page.keyboard.press("Enter");
    await page.waitForURL(`**${href}`);
  },
  "slash searches, Esc leaves the field, g and a letter go to a page, c to the form": async (visit) => {
    const page = await visit.open("/dashboard/messages");
    await page.keyboard.press("/");
    assert.equal(await active(page), "f-url");
    await page.keyboard.type("jjg");
    assert.equal(await page.locator("#f-url").inputValue(), "jjg", "typing is typing");
    await page.keyboard.press("Escape");
    for (const [key, path] of [["r", "/dashboard/runs"], ["d", "/dashboard/dlq"], ["s", "/dashboard/schedules"], ["m", "/dashboard/messages"]]) {
      await page.keyboard.press("g");
      await page.keyboard.press(key);
      await page.waitForURL(visit.world.url + path);
    }
    await page.keyboard.press("c");
    await page.waitForURL(`${visit.world.url}/dashboard/send`);
  },
  "the list of keys opens by a question mark, keeps the focus, passes axe and closes by Esc": async (visit) => {
    const page = await visit.open("/dashboard/messages");
    await page.keyboard.press("?");
    await page.locator("#help[open]").waitFor();
    await trapped(page, "#help");
    assert.deepEqual(await violations(page), []);
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("#help[open]").count(), 0);
  },
  "a message is cancelled with the keyboard alone, in a dialog that keeps the focus and gives it back": async (visit) => {
    const id = await visit.api.publish({ url: visit.world.to("/ok"), delaySeconds: 3600 });
    const page = await visit.open(`/dashboard/messages/${id}`);
    const href = `/dashboard/messages/${id}/cancel`;
    await reach(page, href);
    await page.keyboard.press("Enter");
    await page.locator("#dialog[open] #confirm").waitFor();
    assert.equal(await page.locator("#dialog").evaluate((dialog) => document.getElementById(dialog.getAttribute("aria-labelledby"))?.textContent), "Cancel this message?");
    await trapped(page, "#dialog");
    for (const scheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: scheme });
      assert.deepEqual(await violations(page), []);
    }
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("#dialog[open]").count(), 0);
    assert.equal(await active(page), href, "the focus is where it was");
    assert.equal((await visit.api.message(id)).status, "scheduled");
    await page.keyboard.press("Enter");
    await page.locator("#dialog[open] #confirm").waitFor();
    await page.waitForFunction(() => document.activeElement.matches("#dialog button"));
    await page.keyboard.press("Enter");
    await told(page);
    assert.equal((await visit.api.message(id)).status, "cancelled");
  },
};

/** Tabs until that link has the focus. */
async function reach(page, href) {
  for (let presses = 0; presses < 80; presses += 1) {
    await page.keyboard.press("Tab");
    if ((await active(page)) === href) return;
  }
  throw new Error(`80 presses of Tab do not lead to ${href}`);
}

/** Tab goes round in the dialog; leaving it for the browser's own bar (body) is not leaving it for the page. */
async function trapped(page, dialog) {
  for (const key of [...Array(6).fill("Tab"), ...Array(6).fill("Shift+Tab")]) {
    await page.keyboard.press(key);
    assert.ok(await page.evaluate((dialog) => document.activeElement === document.body || document.querySelector(dialog).contains(document.activeElement), dialog), `the focus left the dialog: ${await active(page)}`);
  }
}
