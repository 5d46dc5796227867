// The conformance endpoint under Node: PORT, TIKKU_SIGNING_SECRET, TIKKU_CHECKPOINT. Build the SDK first.

import http from "node:http";
import { kit, mode, workflows } from "./conformance/workflows.mjs";
import { serve } from "./dist/node.js";

const endpoint = serve({ workflows, checkpoint: mode(process.env.TIKKU_CHECKPOINT), onError: console.error });
const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://kit");
  if (!url.pathname.startsWith("/kit/")) return endpoint(request, response);
  let text = "";
  request.setEncoding("utf8").on("data", (chunk) => (text += chunk));
  request.on("end", () => {
    const { status, text: answer } = kit(url, text) ?? { status: 404 };
    response.writeHead(status, { "content-type": "application/json" }).end(answer);
  });
});
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
