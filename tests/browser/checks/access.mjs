// Keys and the signing secret: made, shown once, revoked, rotated.

import assert from "node:assert/strict";
import { answer, confirm, link, press, told } from "../acts.mjs";
import { Api } from "../api.mjs";

export const checks = {
  "a key is made, shown once, works, and is revoked": async (visit) => {
    const page = await visit.open("/dashboard/keys");
    await page.locator("#k-name").fill("made in the browser");
    await page.locator("#k-role").selectOption("publish");
    await press(page, "Make a key").click();
    const key = (await page.locator("#made-key").innerText()).trim();
    assert.match(key, /^tk_/);
    const api = new Api(visit.world.url, key);
    assert.ok(await api.get("/v1/messages?limit=1"));
    await page.goto("/dashboard/keys");
    assert.ok(!(await page.content()).includes(key), "it is shown once");
    const row = page.locator("main tbody tr", { hasText: "made in the browser" });
    assert.match(await row.innerText(), /publish/);
    await confirm(page, row.getByRole("link", { name: "Revoke" }));
    assert.equal((await api.raw("GET", "/v1/messages")).status, 401);
  },
  "the signing secret is shown on request and rotated, and the old one signs on": async (visit) => {
    const before = await visit.api.get("/v1/signing-secret");
    const page = await visit.open("/dashboard/secrets");
    assert.ok(!(await page.locator("#secret").isVisible()), "it is folded away");
    await page.locator("#secret-now > summary").click();
    assert.equal((await page.locator("#secret").innerText()).trim(), before.secret);
    await link(page, "Rotate…").click();
    await answer(page);
    const after = await visit.api.get("/v1/signing-secret");
    assert.notEqual(after.secret, before.secret);
    assert.ok(after.previous.some(({ secret }) => secret === before.secret));
  },
};
