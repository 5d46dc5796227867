// Each page, as it is opened: no fault, nothing that violates WCAG AA in light or dark, nothing cut off on a narrow screen; with screenshots.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { violations } from "../axe.mjs";
import { PLACES } from "../places.mjs";

/** Those that the README shows. */
const SHOWN = ["overview", "messages", "message-failed", "run-waiting", "dlq", "schedule", "workflows"];

const checks = {};
for (const [name, place] of Object.entries(PLACES)) {
  checks[`page ${name} is clean of faults and of violations of WCAG AA, light and dark`] = async (visit) => {
    const page = await visit.open(await place(visit.world));
    await readmes(visit, page, name);
    // What is folded away is read by somebody, too.
    await page.evaluate(() => { for (const fold of document.querySelectorAll("details")) fold.open = true; });
    const found = [];
    for (const scheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: scheme });
      found.push(...(await violations(page)).map((line) => `${scheme}: ${line}`));
      await shoot(visit, page, `${name}-${scheme}`);
    }
    assert.deepEqual(found, []);
  };
  checks[`page ${name} fits a screen of 360 px`] = async (visit) => {
    const page = await visit.open(await place(visit.world), { width: 360, height: 740 });
    await shoot(visit, page, `${name}-360`);
    const wide = await page.evaluate(() => {
      const width = document.documentElement.clientWidth;
      // Elements that scroll by themselves, and those inside them, may be wider.
      const scrolls = (element) => { for (let at = element; at && at !== document.body; at = at.parentElement) if (["auto", "scroll", "hidden"].includes(getComputedStyle(at).overflowX)) return true; return false; };
      const out = [...document.body.querySelectorAll("*")].filter((element) => element.getBoundingClientRect().right > width + 1 && !scrolls(element));
      return { scroll: document.documentElement.scrollWidth - width, out: out.slice(0, 5).map((element) => `${element.tagName} ${element.className?.baseVal ?? element.className} ${element.textContent.trim().slice(0, 40)}`) };
    });
    assert.ok(wide.scroll <= 0, `it scrolls sideways by ${wide.scroll} px: ${wide.out.join(" | ")}`);
  };
}

async function shoot(visit, page, name) {
  mkdirSync(`${visit.desk.out}/shots`, { recursive: true });
  await page.screenshot({ path: `${visit.desk.out}/shots/${name}.png`, fullPage: true });
}

async function readmes(visit, page, name) {
  if (!visit.desk.docs || !SHOWN.includes(name)) return;
  const folder = new URL("../../../docs/screenshots/", import.meta.url).pathname;
  mkdirSync(folder, { recursive: true });
  await page.setViewportSize({ width: 1280, height: 800 });
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.screenshot({ path: `${folder}${name}-${scheme}.png` });
  }
}

export default checks;
