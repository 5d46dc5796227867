// axe-core on a page: WCAG 2.0 and 2.1, A and AA.

import { AXE } from "./desk.mjs";

const RUN = { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], resultTypes: ["violations"] };

/** What violates the guidelines, a line each; [] when nothing does. */
export async function violations(page) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(AXE);
  const { violations: found } = await page.evaluate((run) => window.axe.run(document, run), RUN);
  return found.flatMap(({ id, nodes }) => nodes.slice(0, 5).map((node) => `${id}: ${node.target.join(" ")}: ${node.failureSummary.replaceAll(/\s+/g, " ").slice(0, 260)}`));
}
