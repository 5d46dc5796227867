// The conformance endpoint under Bun: PORT, TIKKU_SIGNING_SECRET, TIKKU_CHECKPOINT. Build the SDK first.

import worker from "./fetch.mjs";

const server = Bun.serve({ port: Number(process.env.PORT ?? 0), hostname: "127.0.0.1", idleTimeout: 0, fetch: (request) => worker.fetch(request, process.env) });
console.log(`listening on http://127.0.0.1:${server.port}`);
