// A bad line between an engine and an endpoint: requests of both are lost before or after they arrive, delivered twice, or late.
// It signs again what it changes: the addresses of the engine in an invoke, so that checkpoints come this way too.

import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { signedHeaders } from "../wire/sign.mjs";

const LATE_MS = 400;

async function readAll(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** Forwards to an engine (`/v1/…`) and an endpoint (everything else) and spoils a share of the requests. */
export class Line {
  constructor({ engine, endpoint, secret, share }) {
    Object.assign(this, { engine: engine.replace(/\/$/, ""), endpoint, secret, share, spoiled: { lost: 0, unanswered: 0, doubled: 0, late: 0 } });
    this.server = createServer((request, response) => this.#pass(request, response).catch(() => response.destroy()));
  }

  async listen() {
    await new Promise((ready) => this.server.listen(0, "127.0.0.1", ready));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }

  #fault() {
    const dice = Math.random() / this.share;
    const fault = ["lost", "unanswered", "doubled", "late"][Math.floor(dice * 4)];
    if (fault) this.spoiled[fault] += 1;
    return fault;
  }

  async #pass(request, response) {
    const text = await readAll(request);
    const toEngine = request.url.startsWith("/v1/");
    const { host: _host, "content-length": _length, connection: _connection, "transfer-encoding": _encoding, ...headers } = request.headers;
    let body = text;
    if (!toEngine && text.includes('"invoke"')) {
      body = text.replaceAll(this.engine, this.url);
      Object.assign(headers, signedHeaders(this.secret, headers["webhook-id"], body, Number(headers["webhook-timestamp"])));
    }
    const url = toEngine ? `${this.engine}${request.url}` : this.endpoint;
    const send = async () => {
      const answer = await fetch(url, { method: request.method, headers, body: request.method === "GET" ? undefined : body });
      return { status: answer.status, type: answer.headers.get("content-type"), text: await answer.text() };
    };
    const fault = text.includes('"describe"') ? undefined : this.#fault();
    if (fault === "lost") return response.socket.destroy();
    if (fault === "late") await sleep(Math.random() * LATE_MS);
    const [answer] = await Promise.all(fault === "doubled" ? [send(), send()] : [send()]);
    if (fault === "unanswered") return response.socket.destroy();
    response.writeHead(answer.status, { "content-type": answer.type ?? "application/json" });
    return response.end(answer.text);
  }
}
