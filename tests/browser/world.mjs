// What the dashboard shows: `tikku dev` on a PostgreSQL of its own, endpoints that answer well, badly and slowly, and an app with workflows.

import { spawn } from "node:child_process";
import http from "node:http";
import { Api } from "./api.mjs";
import { listen as app } from "./app.mjs";
import { pause, until } from "./wait.mjs";

const SLOW_MS = 6_000;

export class World {
  /** Starts everything, and waits until the data that all pages show is there. */
  static async start(out) {
    const world = new World();
    try {
      await world.#start(out);
    } catch (error) {
      await world.stop();
      throw error;
    }
    return world;
  }

  async #start(out) {
    this.dev = spawn(process.env.TIKKU_BIN, ["dev", "--ephemeral", "--port", "0", "--data", `${out}/dev`], { env: environment(), stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    this.dev.stdout.setEncoding("utf8").on("data", (text) => { said += text; });
    /** The link that it prints. */
    this.link = await until("tikku dev prints where the dashboard is", () => {
      if (this.dev.exitCode !== null) throw new Error(`tikku dev ended: ${said}`);
      return /Dashboard (\S+)/.exec(said)?.[1];
    });
    const link = new URL(this.link);
    this.url = link.origin;
    this.key = link.hash.slice(1);
    this.api = new Api(this.url, this.key);
    this.secret = (await this.api.get("/v1/signing-secret")).secret;
    this.endpoint = await receiver();
    this.app = await app(this.secret);
    await this.#fill();
  }

  /** A destination: /ok answers 200, /fail 500, /gone 410, /slow after a long time. */
  to = (path) => this.endpoint.url + path;

  async #fill() {
    const { api } = this;
    await api.put("/v1/apps/shop", { url: this.app.url });
    await api.put("/v1/fanouts/orders", { endpoints: [{ url: this.to("/ok") }, { url: this.to("/ok?team=stock"), maxAttempts: 20, headers: { "x-team": "stock" } }, { workflow: "receipt" }] });
    await api.post("/v1/schedules", { name: "nightly report", cron: "30 2 * * mon-fri", timezone: "Europe/Berlin", url: this.to("/ok"), body: { kind: "full" }, overlap: "skip" });
    await api.post("/v1/schedules", { name: "heartbeat", everySeconds: 3600, url: this.to("/ok"), body: { beat: true } });
    await api.put("/v1/flows/crm", { parallelism: 2, rate: 100, periodSeconds: 60 });
    const orders = Array.from({ length: 40 }, (_, n) => ({ url: this.to("/ok"), body: { order: 100 + n, lines: [{ sku: "A-1", count: n % 4 }] }, labels: n % 3 ? ["orders"] : ["orders", "eu"] }));
    const dead = Array.from({ length: 6 }, (_, n) => ({ url: this.to("/fail"), body: { import: n }, maxAttempts: 1, labels: ["import"] }));
    await api.batch([...orders, ...dead]);
    this.delivered = await api.publish({ url: this.to("/ok"), body: { order: 99, text: "Grüße" }, headers: { "x-shop": "eu" }, labels: ["shown"], idempotencyKey: "order-99" });
    this.failed = await api.publish({ url: this.to("/fail"), body: { order: 98 }, maxAttempts: 1, labels: ["shown"] });
    this.retrying = await api.publish({ url: this.to("/fail"), body: { order: 97 }, maxAttempts: 8, backoff: { type: "fixed", initialSeconds: 3600 }, labels: ["shown"] });
    this.scheduled = await api.publish({ url: this.to("/ok"), body: { order: 96 }, delaySeconds: 7200, labels: ["shown"] });
    this.slow = await api.publish({ url: this.to("/slow"), body: { order: 95 }, labels: ["shown"] });
    await api.post("/v1/messages", { fanout: "orders", body: { order: 1 }, idempotencyKey: "fanout-1" });
    await this.#runs(api);
    await until("the messages of the world are over", async () => {
      const status = async (id) => (await api.message(id)).status;
      return (await status(this.delivered)) === "delivered" && (await status(this.failed)) === "failed" && (await status(this.retrying)) === "retrying";
    });
  }

  async #runs(api) {
    this.order = await api.start("order", { id: "order-1", input: { order: 181, items: ["book", "pen"] }, labels: ["eu"] });
    this.order2 = await api.start("order", { id: "order-2", input: { order: 182, items: ["lamp"] } });
    this.approval = await api.start("refund", { id: "refund-1", input: { order: 181, amount: 24.9 } });
    this.story = await api.start("story", { input: { topic: "clouds" } });
    this.broken = await api.start("charge-card", { input: { card: "expired" } });
    await api.post("/v1/events", { name: "order.placed", data: { order: 7 } });
    await this.runIs(this.story, "completed");
    await this.runIs(this.broken, "failed");
    await this.waits(this.order, "review");
    await this.waits(this.order2, "review");
    await this.waits(this.approval, "pay");
  }

  /** Waits for a status of a run. */
  runIs = (id, status) => until(`run ${id} is ${status}`, async () => (await this.api.run(id)).status === status);
  /** Waits until a run waits in that step. */
  waits = (id, step) => until(`run ${id} waits for ${step}`, async () => (await this.api.run(id)).pending.some(({ key }) => key === step || key.startsWith(`${step}:`) || key.startsWith(`${step}#`)));
  /** Waits for a status of a message. */
  messageIs = (id, status) => until(`message ${id} is ${status}`, async () => (await this.api.message(id)).status === status);

  async stop() {
    this.app?.close();
    this.endpoint?.close();
    if (!this.dev || this.dev.exitCode !== null) return;
    const ended = new Promise((resolve) => this.dev.once("exit", resolve));
    this.dev.kill("SIGTERM");
    await Promise.race([ended, pause(20_000).then(() => this.dev.kill("SIGKILL"))]);
  }
}

/** Without a database of somebody else. */
function environment() {
  const { DATABASE_URL, ...rest } = process.env;
  return rest;
}

async function receiver() {
  const got = [];
  const server = http.createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (text) => { body += text; });
    request.on("end", () => {
      const { pathname } = new URL(request.url, "http://here");
      got.push({ path: request.url, body, headers: request.headers });
      if (pathname.startsWith("/fail")) return answer(response, 500, { error: "out of paper", retry: true });
      if (pathname.startsWith("/gone")) return answer(response, 410, { error: "gone" });
      if (pathname.startsWith("/slow")) return void setTimeout(() => answer(response, 200, { ok: true }), SLOW_MS).unref();
      answer(response, 200, { ok: true });
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, got, close: () => { server.closeAllConnections(); server.close(); } };
}

function answer(response, status, body) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
