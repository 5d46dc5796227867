// A real `tikku dev` (TIKKU_BIN), the examples' endpoint, and one scripted server in the place of the services and the model.

import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, existsSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tikku, type AnyWorkflow } from "@tikku/sdk";
import { serve } from "@tikku/sdk/node";

export interface Call {
  path: string;
  key: string | undefined;
  body: any;
}
type Answer = { status?: number; headers?: Record<string, string>; body: unknown };

export class World {
  readonly calls: Call[] = [];
  /** What the scripted server answers next, per path; without one 200 and what the service would say. */
  readonly script: Record<string, Answer[]> = {};
  tikku!: Tikku;
  #dev!: ChildProcess;
  #servers: http.Server[] = [];
  #folder = mkdtempSync(join(tmpdir(), "tikku-examples-"));

  async start(workflows: readonly AnyWorkflow[]): Promise<this> {
    const binary = process.env.TIKKU_BIN;
    if (!binary) throw new Error("TIKKU_BIN must name a built tikku: cargo build -p tikku-cli, then TIKKU_BIN=target/debug/tikku");
    process.env.SERVICES_URL = await this.#listen((request, response) => this.#answer(request, response));
    process.env.OPENAI_BASE_URL = process.env.SERVICES_URL;
    const { DATABASE_URL: _, ...env } = process.env;
    this.#dev = spawn(binary, ["dev", "--ephemeral", "--port", "0", "--data", join(this.#folder, "data")], { env, stdio: "ignore" });
    const file = join(this.#folder, "data", "dev.json");
    for (let i = 0; !existsSync(file); i++) {
      if (i > 1200 || this.#dev.exitCode !== null) throw new Error("tikku dev did not start");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const facts = JSON.parse(readFileSync(file, "utf8")) as { url: string; apiKey: string; signingSecret: string };
    this.tikku = new Tikku({ url: facts.url, apiKey: facts.apiKey });
    const url = await this.#listen(serve({ workflows, signingSecret: facts.signingSecret }) as http.RequestListener);
    const app = await this.tikku.apps.put("examples", { url });
    if (app.describeError) throw new Error(app.describeError);
    return this;
  }

  /** The calls of one path. */
  to(path: string): Call[] {
    return this.calls.filter((call) => call.path === path);
  }

  async stop(): Promise<void> {
    this.#dev.kill("SIGTERM");
    await new Promise((resolve) => this.#dev.once("exit", resolve));
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #listen(listener: http.RequestListener): Promise<string> {
    const server = http.createServer(listener);
    this.#servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const path = request.url ?? "";
      this.calls.push({ path, key: request.headers["idempotency-key"] as string | undefined, body: JSON.parse(Buffer.concat(chunks).toString()) });
      const usual: Record<string, unknown> = { "/charges": { chargeId: "ch_1" }, "/refunds": { refunded: true }, "/mails": { sent: true }, "/search": { results: ["a source"] } };
      const { status = 200, headers = {}, body } = this.script[path]?.shift() ?? { body: usual[path] };
      response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
    });
  }
}

export async function until<T>(what: string, ask: () => Promise<T | undefined | false>): Promise<T> {
  for (let i = 0; i < 600; i++) {
    const value = await ask();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`waited a minute for ${what}`);
}
