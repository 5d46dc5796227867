// The scripted endpoint's HTTP side: invokes in, raw replies out; and the client of the engine's public API.

import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { verified } from "../wire/sign.mjs";
import { invokeFaults } from "./inspect.mjs";

export const WAIT_MS = 30_000;

async function readAll(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** Serves all scripted workflows of this program on one port, and plain targets for fetch and publish. */
export class Stage {
  constructor({ engine, key, secret }) {
    Object.assign(this, { engine: engine.replace(/\/$/, ""), key, secret, apps: new Map(), targets: new Map() });
    this.server = createServer((request, response) => this.#serve(request, response).catch((error) => {
      console.error(error);
      response.destroy();
    }));
  }

  async listen() {
    await new Promise((ready) => this.server.listen(0, "127.0.0.1", ready));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }

  async #serve(request, response) {
    const [, place, name] = new URL(request.url, this.url).pathname.split("/");
    const text = await readAll(request);
    if (place === "target") {
      const received = { method: request.method, headers: request.headers, text };
      this.targets.get(name).push(received);
      return this.#send(response, await this.targets.get(name).script(received, this.targets.get(name).length));
    }
    const app = this.apps.get(name);
    if (!app) return this.#send(response, { status: 404, body: {} });
    if (!verified(this.secret, request.headers, text)) {
      app.faults.push("a request whose signature is not right");
      return this.#send(response, { status: 401, body: {} });
    }
    if (request.headers["tikku-protocol"] !== "1") app.faults.push(`tikku-protocol is ${request.headers["tikku-protocol"]}`);
    const body = JSON.parse(text);
    if (body.kind === "describe") return this.#send(response, app.describe(body));
    return this.#send(response, await this.#invoked(app, body, text, request.headers["webhook-id"]));
  }

  async #invoked(app, body, text, id) {
    const flow = app.flows.find((one) => one.name === body.workflow);
    if (!flow) return { body: { v: 1, ops: [] } };
    const invokes = flow.invokes.get(body.run.id) ?? [];
    flow.invokes.set(body.run.id, invokes);
    const before = invokes.at(-1);
    app.faults.push(...invokeFaults(body, id, before?.id === id ? undefined : before?.body));
    const invoke = { body, id, text, atMs: performance.now() };
    invokes.push(invoke);
    return this.#scripted(flow, invoke, invokes.length);
  }

  async #scripted(flow, invoke, number) {
    try {
      const scripted = Array.isArray(flow.script) ? flow.script[number - 1] : await flow.script(invoke.body, number, invoke);
      if (scripted === undefined) throw new Error(`dispatch ${number} was not expected; its journal: ${JSON.stringify(invoke.body.journal.entries).slice(0, 500)}`);
      return scripted.v === 1 ? { body: scripted } : scripted;
    } catch (error) {
      flow.app.faults.push(`the script: ${error.stack}`);
      return { body: { v: 1, ops: [{ op: "fail", error: { name: "Script", message: String(error.message) } }] } };
    }
  }

  #send(response, { status = 200, headers = {}, body, text, broken }) {
    if (broken) return response.socket.destroy();
    response.writeHead(status, { "content-type": "application/json", ...headers });
    return response.end(text ?? JSON.stringify(body ?? {}));
  }

  /** A call of the public API. `raw` is sent as it is. */
  async api(method, path, body, { key = this.key, headers = {}, raw, type = "application/json" } = {}) {
    const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    const url = path.startsWith("http") ? path : `${this.engine}${path}`;
    const response = await fetch(url, {
      method, body: payload, redirect: "manual",
      headers: { ...(key && { authorization: `Bearer ${key}` }), ...(payload !== undefined && { "content-type": type }), ...headers },
    });
    const text = await response.text();
    let json;
    try {
      json = JSON.parse(text);
    } catch {
      json = undefined;
    }
    return { status: response.status, json, text, headers: response.headers };
  }

  /** Waits until a function gives something. */
  async until(what, get, ms = WAIT_MS) {
    const end = performance.now() + ms;
    for (;;) {
      const got = await get();
      if (got) return got;
      if (performance.now() > end) throw new Error(`not within ${ms} ms: ${typeof what === "function" ? await what() : what}`);
      await sleep(20);
    }
  }
}
