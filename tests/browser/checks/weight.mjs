// What the first visit costs: bytes on the wire, without a cache.

import assert from "node:assert/strict";

const BYTES_MAX = 100 * 1024;

export const checks = {};
for (const path of ["/dashboard", "/dashboard/messages", "/dashboard/runs", "/dashboard/send"]) {
  checks[`a first visit of ${path} takes less than 100 KB in all`] = async (visit) => {
    const page = await visit.open(null, { fresh: true });
    const session = await page.context().newCDPSession(page);
    await session.send("Network.enable");
    await session.send("Network.setCacheDisabled", { cacheDisabled: true });
    const urls = {};
    const took = [];
    session.on("Network.responseReceived", ({ requestId, response }) => { urls[requestId] = new URL(response.url).pathname; });
    session.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => took.push([urls[requestId], encodedDataLength]));
    await page.goto(path, { waitUntil: "networkidle" });
    const sum = took.reduce((all, [, bytes]) => all + bytes, 0);
    assert.ok(took.length >= 4 && sum > 10_000, `page, style and scripts: ${JSON.stringify(took)}`);
    assert.ok(sum < BYTES_MAX, `${sum} bytes: ${JSON.stringify(took)}`);
  };
}
