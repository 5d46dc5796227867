// The role read sees everything and changes nothing; publish does what is not an admin's.

import assert from "node:assert/strict";
import { ADMINS, PLACES } from "../places.mjs";

/** Whatever would change something: buttons that send a form, links that ask first. The theme and the sign-out are outside of `main`. */
const actions = (page) => page.locator("main").evaluate((main) => {
  const sends = [...main.querySelectorAll("form[method=post] button:not([type=button]):not(:disabled), form[method=post] input[type=submit]:not(:disabled), a[data-dialog]")];
  return sends.map((one) => `${one.tagName} ${one.textContent.trim()} ${one.getAttribute("href") ?? one.form?.getAttribute("action")}`);
});

/** They only look, so lanes may share them. */
export const looks = true;
export const checks = {};
for (const [name, place] of Object.entries(PLACES).filter(([name]) => !ADMINS.includes(name) && !/-(cancel|delete)$/.test(name))) {
  checks[`the role read sees page ${name}, without an action that it could take`] = async (visit) => {
    const page = await visit.open(await place(visit.world), { role: "read" });
    assert.equal(await page.locator(".error-page").count(), 0, await page.locator("main").innerText());
    assert.deepEqual(await actions(page), []);
  };
}
checks["what the role read posts all the same is refused, and nothing happens"] = async (visit) => {
  visit.expecting(403);
  const page = await visit.open(`/dashboard/messages/${visit.world.scheduled}`, { role: "read" });
  const status = await page.evaluate(async (path) => {
    const csrf = document.querySelector("input[name=csrf]").value;
    return (await fetch(path, { method: "POST", body: new URLSearchParams({ csrf }), redirect: "manual" })).status;
  }, `/dashboard/messages/${visit.world.scheduled}/cancel`);
  assert.equal(status, 403);
  assert.equal((await visit.api.message(visit.world.scheduled)).status, "scheduled");
};
checks["the signing secret is shown to no key but an admin's"] = async (visit) => {
  for (const role of ["read", "publish"]) {
    const page = await visit.open("/dashboard/secrets", { role });
    const { secret } = await visit.api.get("/v1/signing-secret");
    assert.ok(!(await page.content()).includes(secret), role);
  }
};
checks["the role publish has its actions, and no admin's"] = async (visit) => {
  const page = await visit.open(`/dashboard/messages/${visit.world.scheduled}`, { role: "publish" });
  assert.ok((await actions(page)).some((one) => one.includes("Cancel")));
  for (const path of ["/dashboard/keys", "/dashboard/flows", "/dashboard/secrets"]) {
    await page.goto(path);
    assert.deepEqual(await actions(page), [], path);
  }
};
