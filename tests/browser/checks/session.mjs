// Sessions: by the printed link, by the form, the theme, signing out, and a key that is revoked meanwhile.

import assert from "node:assert/strict";
import { told } from "../acts.mjs";

const signIn = async (page, key) => {
  await page.locator("#key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
};

export const checks = {
  "the printed link signs in, and the key stays in no address": async (visit) => {
    const page = await visit.open(null, { role: null });
    const addresses = [];
    page.on("framenavigated", (frame) => addresses.push(frame.url()));
    const requests = [];
    page.on("request", (request) => requests.push(`${request.url()} ${request.headers().referer ?? ""}`));
    await page.goto(visit.world.link);
    await page.waitForURL(`${visit.world.url}/dashboard`);
    assert.ok(!page.url().includes("tk_"), page.url());
    assert.ok(requests.every((line) => !line.includes("tk_")), "no request names it in its address or its referrer");
    await page.goBack().catch(() => {});
    assert.ok(!page.url().includes("tk_"), `back leads to ${page.url()}`);
    assert.ok(!addresses.slice(1).some((address) => address.includes("tk_")), addresses.join(" "));
    const cookie = (await page.context().cookies()).find(({ name }) => name === "tikku_session");
    assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, "Lax", "/"]);
  },
  "who is not signed in is sent to sign in, and then to where they wanted": async (visit) => {
    visit.expecting(401);
    const page = await visit.open("/dashboard/messages?label=shown", { role: null });
    assert.equal(new URL(page.url()).pathname, "/dashboard/sign-in");
    await signIn(page, "tk_live_unknown");
    await page.locator("[role=alert]").waitFor();
    await signIn(page, visit.world.key);
    await page.waitForURL(/\/dashboard\/messages\?label=shown/);
  },
  "a revoked key ends its session at once": async (visit) => {
    visit.expecting(401);
    const made = await visit.api.post("/v1/keys", { name: "short", role: "read" });
    const page = await visit.open("/dashboard/sign-in", { role: null });
    await signIn(page, made.key);
    await page.waitForURL(`${visit.world.url}/dashboard`);
    await visit.api.send("DELETE", `/v1/keys/${made.id}`);
    await page.goto("/dashboard/messages");
    assert.equal(new URL(page.url()).pathname, "/dashboard/sign-in");
  },
  "a page that is open when its key is revoked leads to sign-in by itself": async (visit) => {
    visit.expecting(401);
    const made = await visit.api.post("/v1/keys", { name: "short too", role: "read" });
    const page = await visit.open("/dashboard/sign-in", { role: null });
    await signIn(page, made.key);
    await page.waitForURL(`${visit.world.url}/dashboard`);
    await page.goto("/dashboard/messages");
    await visit.api.send("DELETE", `/v1/keys/${made.id}`);
    await page.waitForURL(/\/dashboard\/sign-in/);
  },
  "the theme is switched, and stays": async (visit) => {
    const page = await visit.open("/dashboard/messages", { fresh: true });
    const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
    const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const before = await paper();
    await page.locator("[data-theme-switch]").click();
    assert.equal(await theme(), "dark");
    assert.notEqual(await paper(), before);
    await page.goto("/dashboard/runs");
    assert.equal(await theme(), "dark");
    await page.locator("[data-theme-switch]").click();
    await page.reload();
    assert.equal(await theme(), "light");
  },
  "signing out ends the session": async (visit) => {
    visit.expecting(401);
    const page = await visit.open("/dashboard/messages", { fresh: true });
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.waitForURL(/\/dashboard\/sign-in/);
    assert.ok(!(await page.context().cookies()).some(({ name, value }) => name === "tikku_session" && value !== ""));
    await page.goto("/dashboard/messages");
    assert.equal(new URL(page.url()).pathname, "/dashboard/sign-in");
  },
  "a form without its token, or from another site, changes nothing": async (visit) => {
    visit.expecting(403);
    const page = await visit.open(`/dashboard/messages/${visit.world.scheduled}`);
    const post = (body) => page.evaluate(async ([path, body]) => (await fetch(path, { method: "POST", body: new URLSearchParams(body), redirect: "manual" })).status, [`/dashboard/messages/${visit.world.scheduled}/cancel`, body]);
    assert.deepEqual([await post({}), await post({ csrf: "guessed" })], [403, 403]);
    assert.equal((await visit.api.message(visit.world.scheduled)).status, "scheduled");
  },
};
