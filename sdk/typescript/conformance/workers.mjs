// The conformance endpoint as a Worker, in workerd: PORT, TIKKU_SIGNING_SECRET, TIKKU_CHECKPOINT, and TIKKU_NODE_MODULES, the folder that has wrangler. Build the SDK first.

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const { PORT = "0", TIKKU_SIGNING_SECRET, TIKKU_CHECKPOINT = "each", TIKKU_NODE_MODULES } = process.env;
// What `wrangler dev` itself runs Workers with.
const wrangler = createRequire(createRequire(`${TIKKU_NODE_MODULES}/`).resolve("wrangler/package.json"));
const { build } = wrangler("esbuild");
const { Miniflare } = wrangler("miniflare");

const entry = fileURLToPath(new URL("fetch.mjs", import.meta.url));
const { outputFiles } = await build({ entryPoints: [entry], bundle: true, format: "esm", conditions: ["workerd", "worker", "browser"], write: false });
const worker = new Miniflare({
  modules: true,
  script: outputFiles[0].text,
  compatibilityDate: "2026-04-01",
  bindings: { TIKKU_SIGNING_SECRET, TIKKU_CHECKPOINT },
  host: "127.0.0.1",
  port: Number(PORT),
});
console.log(`listening on ${(await worker.ready).origin}`);
process.on("SIGTERM", () => void worker.dispose().finally(() => process.exit(0)));
