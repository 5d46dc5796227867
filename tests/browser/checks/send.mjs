// The form that sends one message, and the same in other tongues while it is filled in.

import assert from "node:assert/strict";
import { idOf, press, told } from "../acts.mjs";

export const checks = {
  "a message is sent by the form with all that it says": async (visit) => {
    const page = await visit.open("/dashboard/send");
    const url = visit.world.to("/ok/sent");
    await page.locator("#url").fill(url);
    await page.locator("#body").fill('{"hello": "form"}');
    await page.locator("#idem").fill("sent-by-form");
    await page.locator("#attempts").fill("7");
    await page.locator("#more > summary").click();
    await page.locator("#headers").fill("x-team: stock");
    await page.locator("#labels").fill("form, eu");
    for (const id of ["code-curl", "code-ts", "code-rust"]) await page.waitForFunction(([id, url]) => document.getElementById(id)?.textContent.includes(url), [id, url]);
    await press(page, "Send").click();
    await page.waitForURL(/\/messages\/msg_[^/]+$/);
    await told(page);
    const sent = await visit.api.message(idOf(page));
    assert.deepEqual([sent.url, sent.body, sent.maxAttempts, sent.labels, sent.idempotencyKey, sent.headers], [url, { hello: "form" }, 7, ["form", "eu"], "sent-by-form", { "x-team": "stock" }]);
    await visit.world.messageIs(sent.id, "delivered");
    assert.ok(visit.world.endpoint.got.some(({ path, body, headers }) => path === "/ok/sent" && body === '{"hello": "form"}' && headers["x-team"] === "stock"), "byte for byte");
  },
  "the form publishes to a fanout, too": async (visit) => {
    const page = await visit.open("/dashboard/send?fanout=orders");
    assert.ok(await page.locator("input[name=target][value=fanout]").isChecked());
    assert.equal(await page.locator("#fanout").inputValue(), "orders");
    await page.locator("#body").fill('{"order": 2}');
    await press(page, "Send").click();
    await told(page);
  },
  "what the API refuses comes back as it was typed, with the reason": async (visit) => {
    visit.expecting(400, 422);
    const page = await visit.open("/dashboard/send");
    await page.locator("#url").fill("ftp://nowhere.example/");
    await page.locator("#body").fill('{"kept": 1}');
    await press(page, "Send").click();
    await page.locator("#form-errors").waitFor();
    assert.deepEqual([await page.locator("#url").inputValue(), await page.locator("#body").inputValue()], ["ftp://nowhere.example/", '{"kept": 1}']);
  },
};
