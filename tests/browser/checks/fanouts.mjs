// Fanouts: made, endpoints added, edited, paused, resumed and removed; deleted.

import assert from "node:assert/strict";
import { confirm, link, press, told } from "../acts.mjs";

const get = (visit, name) => visit.api.get(`/v1/fanouts/${name}`);
const make = (visit, name) => visit.api.put(`/v1/fanouts/${name}`, { endpoints: [{ url: visit.world.to("/ok?1") }, { url: visit.world.to("/ok?2") }] });
const row = (page, text) => page.locator("main tbody tr", { hasText: text });

export const checks = {
  "a fanout is made of URLs and workflows": async (visit) => {
    const page = await visit.open("/dashboard/fanouts/new");
    await page.locator("#name").fill("made-here");
    await page.locator("#urls").fill(`${visit.world.to("/ok?a")}\n${visit.world.to("/ok?b")}`);
    await page.locator("#workflows").fill("receipt");
    await press(page, "Make the fanout").click();
    await told(page);
    assert.deepEqual((await get(visit, "made-here")).endpoints.map(({ url, workflow }) => url ?? workflow), [visit.world.to("/ok?a"), visit.world.to("/ok?b"), "receipt"]);
  },
  "an endpoint is added with limits, and edited": async (visit) => {
    await make(visit, "with-endpoint");
    const page = await visit.open("/dashboard/fanouts/with-endpoint");
    await link(page, "Add an endpoint").click();
    await page.locator("#url").fill(visit.world.to("/ok?3"));
    await page.locator("#attempts").fill("9");
    await page.locator("#headers").fill("x-team: stock");
    await page.locator("main form button.primary").click();
    await told(page);
    const added = (await get(visit, "with-endpoint")).endpoints[2];
    assert.deepEqual([added.url, added.maxAttempts, added.headers], [visit.world.to("/ok?3"), 9, { "x-team": "stock" }]);
    await row(page, "?3").getByRole("link", { name: "Edit" }).click();
    assert.equal(await page.locator("#attempts").inputValue(), "9");
    await page.locator("#attempts").fill("4");
    await page.locator("main form button.primary").click();
    await told(page);
    assert.equal((await get(visit, "with-endpoint")).endpoints[2].maxAttempts, 4);
  },
  "an endpoint is paused, resumed and removed": async (visit) => {
    await make(visit, "with-pause");
    const paused = async () => (await get(visit, "with-pause")).endpoints.map((endpoint) => endpoint.paused);
    const page = await visit.open("/dashboard/fanouts/with-pause");
    await row(page, "?2").getByRole("button", { name: "Pause" }).click();
    await told(page);
    assert.deepEqual(await paused(), [false, true]);
    await row(page, "?2").getByRole("button", { name: "Resume" }).click();
    await told(page);
    assert.deepEqual(await paused(), [false, false]);
    await confirm(page, row(page, "?2").getByRole("link", { name: "Remove" }));
    assert.equal((await get(visit, "with-pause")).endpoints.length, 1);
  },
  "a fanout is deleted": async (visit) => {
    await make(visit, "to-delete");
    const page = await visit.open("/dashboard/fanouts/to-delete");
    await confirm(page, link(page, "Delete"), /to-delete/);
    assert.equal((await visit.api.raw("GET", "/v1/fanouts/to-delete")).status, 404);
  },
};
