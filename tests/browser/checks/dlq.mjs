// Dead letters: some retried, all that match retried or deleted, one resent with an edit.

import assert from "node:assert/strict";
import { confirm, idOf, press, told } from "../acts.mjs";
import { until } from "../wait.mjs";

/** So many dead letters of that label. */
async function dead(visit, label, count) {
  const ids = [];
  for (let at = 0; at < count; at += 1) ids.push(await visit.api.publish({ url: visit.world.to(`/gone/${label}`), body: { at }, maxAttempts: 1, labels: [label] }));
  for (const id of ids) await visit.world.messageIs(id, "failed");
  return ids;
}
const left = async (visit, label) => (await visit.api.get(`/v1/dlq?label=${label}`)).data.map(({ id }) => id).sort();
const attempts = (visit, id) => visit.api.message(id).then(({ attemptCount }) => attemptCount);

export const checks = {
  "the dead letters that were picked are retried": async (visit) => {
    const ids = await dead(visit, "dlq-some", 3);
    const page = await visit.open("/dashboard/dlq?label=dlq-some");
    for (const id of ids.slice(0, 2)) await page.locator(`[id="c-${id}"]`).check();
    await confirm(page, press(page, "Retry"), /2/);
    await until("both were pushed again", async () => (await attempts(visit, ids[0])) === 2 && (await attempts(visit, ids[1])) === 2);
    assert.equal(await attempts(visit, ids[2]), 1, "the third was not picked");
  },
  "every dead letter that matches is retried, and no other": async (visit) => {
    const [ids, others] = [await dead(visit, "dlq-all", 3), await dead(visit, "dlq-other", 1)];
    const page = await visit.open("/dashboard/dlq?label=dlq-all");
    await page.locator("[data-check]").first().check();
    await page.locator("[data-bulk-all]").check();
    assert.equal(await page.locator("[data-bulk-count]").innerText(), "All");
    await confirm(page, press(page, "Retry"));
    await until("all were pushed again", async () => (await Promise.all(ids.map((id) => attempts(visit, id)))).every((count) => count === 2));
    assert.equal(await attempts(visit, others[0]), 1);
  },
  "every dead letter that matches is deleted, and no other": async (visit) => {
    const [, kept] = [await dead(visit, "dlq-gone", 3), await dead(visit, "dlq-kept", 1)];
    const page = await visit.open("/dashboard/dlq?label=dlq-gone");
    await page.locator("[data-check-all]").check();
    await page.locator("[data-bulk-all]").check();
    await confirm(page, press(page, "Delete"));
    assert.deepEqual(await left(visit, "dlq-gone"), []);
    assert.deepEqual(await left(visit, "dlq-kept"), kept);
  },
  "a dead letter is mended and sent again": async (visit) => {
    const [id] = await dead(visit, "dlq-edit", 1);
    const page = await visit.open("/dashboard/dlq?label=dlq-edit");
    await page.locator("[data-row]").getByRole("link", { name: "Edit and resend" }).click();
    await page.locator("#url").fill(visit.world.to("/ok/mended"));
    await page.locator("#body").fill('{"mended":true}');
    await press(page, "Send").click();
    await page.waitForURL(/\/messages\/msg_[^/]+$/);
    await told(page);
    assert.notEqual(idOf(page), id);
    await visit.world.messageIs(idOf(page), "delivered");
    assert.ok(visit.world.endpoint.got.some(({ path, body }) => path === "/ok/mended" && body === '{"mended":true}'));
  },
};
