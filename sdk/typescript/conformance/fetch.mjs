// The conformance endpoint for hosts that have Request and Response: a Worker (bindings TIKKU_SIGNING_SECRET, TIKKU_CHECKPOINT), or Bun.

import { serve } from "../dist/index.js";
import { kit, mode, workflows } from "./workflows.mjs";

let endpoint;

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname.startsWith("/kit/")) {
      const { status, text = null } = kit(url, await request.text()) ?? { status: 404 };
      return new Response(text, { status, headers: { "content-type": "application/json" } });
    }
    endpoint ??= serve({ workflows, checkpoint: mode(env.TIKKU_CHECKPOINT), onError: console.error });
    return endpoint.fetch(request, env);
  },
};
