// axe-core on a page: WCAG 2.0 and 2.1, A and AA.

import { AXE } from "./desk.mjs";

const ALL = { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], resultTypes: ["violations"] };
const COLOURS = { runOnly: { type: "rule", values: ["color-contrast", "link-in-text-block"] }, resultTypes: ["violations"] };

/** What violates the guidelines, a line each; [] when nothing does. */
export const violations = (page) => run(page, ALL);

/** The same of the rules about colours: the others see no difference between light and dark. */
export const colourViolations = (page) => run(page, COLOURS);

async function run(page, options) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(AXE);
  const { violations: found } = await page.evaluate((options) => window.axe.run(document, options), options);
  return found.flatMap(({ id, nodes }) => nodes.slice(0, 5).map((node) => `${id}: ${node.target.join(" ")}: ${node.failureSummary.replaceAll(/\s+/g, " ").slice(0, 260)}`));
}
