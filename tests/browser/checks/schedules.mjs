// Schedules: made, edited, paused, resumed, run and deleted; the cron expression in words while it is typed.

import assert from "node:assert/strict";
import { confirm, idOf, link, press, told } from "../acts.mjs";
import { until } from "../wait.mjs";

const make = (visit, name, more = {}) => visit.api.post("/v1/schedules", { name, cron: "0 6 * * *", url: visit.world.to("/ok"), body: { name }, ...more });

export const checks = {
  "a cron expression is told in words with its next five runs while it is typed, and a schedule is made of it": async (visit) => {
    const page = await visit.open("/dashboard/schedules/new");
    await page.locator("#name").fill("weekday mornings");
    await page.locator("#cron").fill("30 6 * * mon-fri");
    await page.locator("#explain .explain:not(.bad) .coming li").nth(4).waitFor();
    assert.match(await page.locator("#explain").innerText(), /06:30/);
    await page.locator("#cron").fill("61 6 * * *");
    await page.locator("#explain .explain.bad").waitFor();
    await page.locator("#cron").fill("30 6 * * mon-fri");
    await page.locator("#timezone").fill("Europe/Berlin");
    await page.locator("#url").fill(visit.world.to("/ok"));
    await page.locator("#body").fill('{"made": "here"}');
    await page.locator("main form button.primary").click();
    await page.waitForURL(/\/schedules\/sch\w*_[^/]+$/);
    await told(page, /weekday mornings/);
    const made = await visit.api.get(`/v1/schedules/${idOf(page)}`);
    assert.deepEqual([made.name, made.cron, made.timezone, made.url, made.body], ["weekday mornings", "30 6 * * mon-fri", "Europe/Berlin", visit.world.to("/ok"), { made: "here" }]);
  },
  "a schedule that the API refuses comes back as it was typed, with the reason": async (visit) => {
    visit.expecting(400, 409, 422);
    const page = await visit.open("/dashboard/schedules/new");
    await page.locator("#name").fill("bad rhythm");
    await page.locator("#cron").fill("nonsense");
    await page.locator("#url").fill(visit.world.to("/ok"));
    await page.locator("main form button.primary").click();
    await page.locator("#form-errors").waitFor();
    assert.equal(await page.locator("#cron").inputValue(), "nonsense");
    assert.equal(await page.locator("#name").inputValue(), "bad rhythm");
  },
  "a schedule is edited": async (visit) => {
    const { id } = await make(visit, "to edit");
    const page = await visit.open(`/dashboard/schedules/${id}`);
    await link(page, "Edit").click();
    await page.waitForURL(/\/edit$/);
    await page.locator("input[name=rhythm][value=every]").check();
    await page.locator("#every").fill("7200");
    await page.locator("main form button.primary").click();
    await told(page);
    assert.equal((await visit.api.get(`/v1/schedules/${id}`)).everySeconds, 7200);
  },
  "a schedule is paused and resumed": async (visit) => {
    const { id } = await make(visit, "to pause");
    const status = async () => (await visit.api.get(`/v1/schedules/${id}`)).status;
    const page = await visit.open(`/dashboard/schedules/${id}`);
    await press(page, "Pause").click();
    await told(page);
    assert.equal(await status(), "paused");
    await press(page, "Resume").click();
    await told(page);
    assert.equal(await status(), "active");
  },
  "a schedule is run now, and its firing is listed": async (visit) => {
    const { id } = await make(visit, "to run");
    const page = await visit.open(`/dashboard/schedules/${id}`);
    await press(page, "Run now").click();
    await told(page, /published one message/);
    const { data } = await visit.api.get(`/v1/messages?schedule=${id}`);
    assert.equal(data.length, 1);
    await until("its firing is in the page", async () => (await page.locator("main table").innerText()).includes(data[0].id));
  },
  "a schedule is deleted": async (visit) => {
    const { id } = await make(visit, "to delete");
    const page = await visit.open(`/dashboard/schedules/${id}`);
    await confirm(page, link(page, "Delete"), /to delete/);
    assert.equal((await visit.api.raw("GET", `/v1/schedules/${id}`)).status, 404);
  },
};
