// Each page, as it is opened: no fault, nothing that violates WCAG AA in light or dark, nothing cut off on a narrow screen; with screenshots.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { colourViolations, violations } from "../axe.mjs";
import { PLACES } from "../places.mjs";

/** What the README shows: page, file, scheme. */
const SHOWN = [["overview", "overview", "light"], ["messages", "messages", "light"], ["message-failed", "message", "light"], ["run-waiting", "run", "light"], ["run-waiting", "run-dark", "dark"]];

/** They only look, so lanes may share them. */
export const looks = true;
export const checks = {};
checks["axe sees text without contrast and a field without a name where there is one"] = async (visit) => {
  const page = await visit.open("/dashboard/messages");
  await page.evaluate(() => {
    const text = document.querySelector("main").appendChild(document.createElement("p"));
    text.textContent = "can you read this";
    text.style.color = "#c4c4c8";
    text.appendChild(document.createElement("input"));
  });
  const found = (await violations(page)).map((line) => line.split(":")[0]);
  assert.deepEqual([...new Set(found)].sort(), ["color-contrast", "label"]);
};
for (const [name, place] of Object.entries(PLACES)) {
  checks[`page ${name} is clean of faults and of violations of WCAG AA, light and dark, and fits a screen of 360 px`] = async (visit) => {
    const page = await visit.open(await place(visit.world));
    assert.equal(await page.locator(".error-page").count(), 0);
    await readmes(visit, page, name);
    // What is folded away is read by somebody, too.
    await page.evaluate(() => { for (const fold of document.querySelectorAll("details")) fold.open = true; });
    await shoot(visit, page, `${name}-light`);
    const found = await violations(page);
    await page.emulateMedia({ colorScheme: "dark" });
    await shoot(visit, page, `${name}-dark`);
    found.push(...(await colourViolations(page)).map((line) => `dark: ${line}`));
    assert.deepEqual(found, []);
    await page.setViewportSize({ width: 360, height: 740 });
    await page.emulateMedia({ colorScheme: "light" });
    await shoot(visit, page, `${name}-360`);
    const { by, what } = await page.evaluate(overflow);
    assert.ok(by <= 0, `it scrolls sideways by ${by} px: ${what.join(" | ")}`);
  };
}

/** By how much the page is wider than the screen, and what sticks out. Runs in the page. */
function overflow() {
  const width = document.documentElement.clientWidth;
  // What lies in something that scrolls by itself may be wider.
  const scrolls = (element) => {
    for (let at = element; at && at !== document.body; at = at.parentElement) if (["auto", "scroll", "hidden"].includes(getComputedStyle(at).overflowX)) return true;
    return false;
  };
  const out = [...document.body.querySelectorAll("*")].filter((element) => element.getBoundingClientRect().right > width + 1 && !scrolls(element));
  const what = out.slice(0, 5).map((element) => `${element.tagName} ${element.getAttribute("class") ?? ""} ${element.textContent.trim().slice(0, 40)}`);
  return { by: document.documentElement.scrollWidth - width, what };
}

async function shoot(visit, page, name) {
  mkdirSync(`${visit.desk.out}/shots`, { recursive: true });
  await page.screenshot({ path: `${visit.desk.out}/shots/${name}.png` });
}

async function readmes(visit, page, name) {
  const wanted = SHOWN.filter(([place]) => place === name);
  if (!visit.desk.docs || wanted.length === 0) return;
  const folder = new URL("../../../docs/screenshots/", import.meta.url).pathname;
  mkdirSync(folder, { recursive: true });
  for (const [, file, colorScheme] of wanted) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: `${folder}${file}.png` });
  }
  await page.emulateMedia({ colorScheme: "light" });
}
