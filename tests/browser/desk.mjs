// Chromium, sessions of each role, and a visit: what one check opens, watched for faults.

import { createRequire } from "node:module";
import { writeFile } from "node:fs/promises";
import { Api } from "./api.mjs";

const require = createRequire(`${process.env.TIKKU_NODE_MODULES}/`);
const { chromium } = require("playwright-core");
export const AXE = require("axe-core").source;

// --no-sandbox: root, as in CI's containers, cannot have one. The rest keeps it from calling its maker.
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export class Desk {
  static async open(world, { out, docs }) {
    const desk = new Desk();
    Object.assign(desk, { world, out, docs, sessions: {} });
    desk.chromium = await chromium.launch({ executablePath: process.env.TIKKU_CHROMIUM, args: FLAGS });
    try {
      for (const role of ["admin", "publish", "read"]) await desk.#signIn(role);
    } catch (error) {
      await desk.close();
      throw error;
    }
    return desk;
  }

  /** The API with a key of that role. */
  async #signIn(role) {
    const { url, key, api } = this.world;
    const made = role === "admin" ? key : (await api.post("/v1/keys", { name: `browser of ${role}`, role })).key;
    const context = await this.chromium.newContext();
    const page = await context.newPage();
    await page.goto(`${url}/dashboard/sign-in#${made}`);
    await page.waitForURL(`${url}/dashboard`);
    this.sessions[role] = { state: await context.storageState(), api: new Api(url, made) };
    await context.close();
  }

  /** A visit of a lane; its contexts, with what they have cached, are kept for the lane's next visits. */
  visit(lane) {
    return new Visit(this, lane);
  }

  /** A browser of its own cookies: of nobody, or of a session with that role. */
  context({ role, width, height, javaScriptEnabled }) {
    return this.chromium.newContext({
      baseURL: this.world.url, viewport: { width, height }, javaScriptEnabled, colorScheme: "light", reducedMotion: "reduce",
      storageState: role ? this.sessions[role].state : undefined, permissions: ["clipboard-read", "clipboard-write"],
    });
  }

  async close() {
    await this.chromium.close();
  }
}

/** The pages that one check has open. */
class Visit {
  #lane;
  #pages = [];
  #own = [];
  #faults = [];
  #allowed = [];

  constructor(desk, lane) {
    this.desk = desk;
    this.world = desk.world;
    this.api = desk.world.api;
    this.#lane = lane;
  }

  /** Opens a page of the dashboard; `role` null: without a session; `fresh`: with cookies and cache of its own, for what changes the session. */
  async open(path, { role = "admin", width = 1440, height = 900, javaScriptEnabled = true, fresh = role === null } = {}) {
    const page = await (await this.#context({ role, width, height, javaScriptEnabled }, fresh)).newPage();
    this.#pages.push(page);
    page.setDefaultTimeout(30_000);
    this.#watch(page);
    if (path !== null) await page.goto(path);
    return page;
  }

  async #context(options, fresh) {
    const name = JSON.stringify(options);
    if (!fresh && this.#lane.has(name)) return this.#lane.get(name);
    const context = await this.desk.context(options);
    if (fresh) this.#own.push(context);
    else this.#lane.set(name, context);
    return context;
  }

  /** Statuses that this check provokes; the browser reports each as an error of its own. */
  expecting(...statuses) {
    this.#allowed.push(...statuses);
  }

  /** Faults so far: errors and warnings of the console (violations of the policy are among them), requests that failed. */
  faults() {
    return this.#faults;
  }

  #watch(page) {
    const note = (text) => this.#faults.push(`${text} (on ${new URL(page.url()).pathname})`);
    const provoked = (status) => this.#allowed.includes(status);
    page.on("console", (line) => {
      const refused = /responded with a status of (\d+)/.exec(line.text());
      if (refused && provoked(Number(refused[1]))) return;
      if (["error", "warning"].includes(line.type())) note(`console: ${line.text()}`);
    });
    page.on("pageerror", (error) => note(`error: ${error.message}`));
    page.on("response", (response) => {
      if (response.status() >= 400 && !provoked(response.status())) note(`${response.status()} ${response.url()}`);
      if (!response.url().startsWith(this.world.url)) note(`another host: ${response.url()}`);
    });
    // Leaving a page aborts the poll that is under way.
    page.on("requestfailed", (request) => {
      const why = request.failure()?.errorText;
      if (why !== "net::ERR_ABORTED") note(`${why} ${request.url()}`);
    });
  }

  /** Fails where a page had a fault. */
  async settle() {
    if (this.#faults.length > 0) throw new Error(`faults of the page:\n${[...new Set(this.#faults)].join("\n")}`);
  }

  /** What the pages look like now, for a check that failed: says where. */
  async evidence(folder, name) {
    let said = "";
    for (const [at, page] of this.#pages.entries()) {
      const file = `${folder}/${name.replaceAll(/\W+/g, "-").slice(0, 80)}-${at}`;
      await page.screenshot({ path: `${file}.png`, fullPage: true }).catch(() => {});
      await page.content().then((html) => writeFile(`${file}.html`, html)).catch(() => {});
      said += `\n     seen: ${page.url()} ${file}.png`;
    }
    return said;
  }

  async close() {
    for (const opened of [...this.#pages, ...this.#own]) await opened.close().catch(() => {});
  }
}
