// Addresses that lead nowhere, and the dashboard without a script.

import assert from "node:assert/strict";

export default {
  "what does not exist is said in a page of the dashboard, with a way back": async (visit) => {
    visit.expecting(404);
    for (const path of ["/dashboard/nothing", "/dashboard/messages/msg_00000000000000000000000000", "/dashboard/runs/run_00000000000000000000000000"]) {
      const page = await visit.open(path);
      assert.match(await page.locator(".error-page").innerText(), /404/, path);
      assert.ok((await page.locator(".error-page a[href^='/dashboard']").count()) > 0);
    }
  },
};
