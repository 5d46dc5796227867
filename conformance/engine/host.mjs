// The fake engine's HTTP side: checkpoints and journal pages in, signed invokes out.

import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { signedHeaders } from "../wire/sign.mjs";
import { leaves } from "../wire/tree.mjs";

const DRIVE_MAX = 300;

async function readAll(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** Serves the runs that are added and talks to one endpoint. */
export class Host {
  constructor({ endpoint, secret, mode }) {
    Object.assign(this, { endpoint, secret, mode, runs: new Map() });
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
    const url = new URL(request.url, this.url);
    const [, id, what] = url.pathname.match(/^\/v1\/runs\/(run_[0-9a-f]+)\/(checkpoint|journal)$/) ?? [];
    const run = this.runs.get(id);
    const text = await readAll(request);
    const answer = (status, body, headers = {}) => {
      response.writeHead(status, { "content-type": status === 200 ? "application/json" : "application/problem+json", ...headers });
      response.end(JSON.stringify(body));
    };
    if (!run) return answer(404, { type: "urn:tikku:problem:not-found", status: 404, title: "Not found" });
    const token = request.headers.authorization?.match(/^Bearer (.+)$/i)?.[1];
    const dispatch = run.dispatches.find((one) => one.token === token);
    if (!dispatch) {
      run.violations.push(`${what}: no or an unknown bearer token`);
      return answer(401, { type: "urn:tikku:problem:unauthorized", status: 401, title: "No" });
    }
    if (what === "journal") {
      const scripted = run.knobs.onPage?.(run);
      if (scripted) return answer(scripted.status, { type: "urn:tikku:problem:test", title: "Scripted", status: scripted.status }, scripted.headers);
      return answer(200, { v: 1, ...this.#journalPage(run, url), extra: "ignored" });
    }
    return this.#checkpoint(run, dispatch, text, answer, response);
  }

  #journalPage(run, url) {
    const cursor = url.searchParams.get("cursor");
    const after = cursor === null ? Number(url.searchParams.get("after") ?? 0) : Number(cursor.replace("after-", ""));
    run.pages = (run.pages ?? 0) + 1;
    return run.page(after, run.knobs.pageBytes);
  }

  async #checkpoint(run, dispatch, text, answer, response) {
    const body = JSON.parse(text);
    const record = { body, gen: dispatch.gen, atMs: performance.now(), bytes: text.length };
    run.checkpoints.push(record);
    if (this.mode === "return") run.violations.push("a checkpoint in the mode return");
    if (dispatch.inFlight) run.violations.push("two checkpoints in flight");
    if (dispatch.stopped) run.violations.push("a checkpoint after a 409");
    dispatch.inFlight = true;
    try {
      run.inspect("checkpoint", body);
      const scripted = await run.knobs.onCheckpoint?.(record, run, dispatch);
      if (scripted?.status) return answer(scripted.status, { type: "urn:tikku:problem:test", title: "Scripted", status: scripted.status }, scripted.headers);
      if (scripted?.unrecorded) {
        dispatch.inFlight = false;
        return response.socket.destroy();
      }
      if (dispatch.gen !== run.gen || ["completed", "failed"].includes(run.status)) {
        dispatch.stopped = true;
        return answer(409, { type: "urn:tikku:problem:stale", title: "Stale", status: 409 });
      }
      const recorded = run.apply(body.ops);
      await run.knobs.beforeAnswer?.(record, run, dispatch);
      dispatch.inFlight = false;
      if (scripted?.lose) return response.socket.destroy();
      return answer(200, this.#answer(run, body.have ?? 0, recorded, scripted?.extra));
    } finally {
      dispatch.inFlight = false;
    }
  }

  #answer(run, have, recorded, extra) {
    const page = run.page(have, run.knobs.pageBytes);
    const entries = page.entries.map((entry) => {
      if (!recorded.includes(entry.key)) return { ...entry, extra: "ignored" };
      const { value, ...rest } = entry;
      return { ...rest, echo: true };
    });
    const names = [...new Set(run.signals.map((signal) => signal.name))];
    const signals = names.map((name) => ({ name, count: run.signals.filter((signal) => signal.name === name).length }));
    return { v: 1, journal: { ...page, entries }, signals, pauseRequested: false, cancelled: false, leaseMs: run.knobs.leaseMs, extra: {}, ...extra };
  }

  /** Sends any body, signed unless `headers` says otherwise. */
  async post(body, { id = "inv_test_1", headers, timestamp } = {}) {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const signed = headers ?? signedHeaders(this.secret, id, text, timestamp);
    const response = await fetch(this.endpoint, {
      method: "POST", body: text, headers: { "content-type": "application/json", "tikku-protocol": "1", ...signed }, redirect: "manual",
    });
    const answered = await response.text();
    let json;
    try {
      json = JSON.parse(answered);
    } catch {
      json = undefined;
    }
    return { status: response.status, type: response.headers.get("content-type") ?? "", json, text: answered };
  }

  invokeBody(run, dispatch) {
    const base = `${this.url}/v1/runs/${run.id}`;
    const { budgetMs, leaseMs, renewMs, inlineBytes, resultBytes } = run.knobs;
    return {
      v: 1, kind: "invoke", app: "kit", workflow: run.workflow, version: run.version,
      run: { id: run.id, externalId: "kit-1", attempt: 1, seed: run.seed, budgetMs, createdAt: "2026-11-21T10:00:00.000Z", ...(run.accept && { accept: run.accept }) },
      fence: { gen: dispatch.gen, token: dispatch.token },
      input: run.input, journal: run.page(0, inlineBytes), pending: run.pendingList(),
      lease: { ms: leaseMs, renewMs },
      engine: { checkpoint: `${base}/checkpoint`, journal: `${base}/journal`, resume: `${base}/resume`, resumeKey: run.resumeKey },
      limits: { resultBytes, steps: 100_000, inlineBytes },
      ...run.knobs.extra,
    };
  }

  /** One dispatch: a new fence, the invoke, its reply applied. */
  async dispatch(run) {
    this.runs.set(run.id, run);
    run.gen += 1;
    const dispatch = { gen: run.gen, token: `${run.gen}.${run.seed}`, begunMs: performance.now() };
    run.dispatches.push(dispatch);
    dispatch.body = this.invokeBody(run, dispatch);
    return this.deliver(run, dispatch);
  }

  /** Delivers a dispatch, perhaps for the second time. */
  async deliver(run, dispatch) {
    const id = `inv_${run.id.slice(4)}_${dispatch.gen}`;
    const reply = await this.post(dispatch.body, { id });
    dispatch.reply = reply.json;
    dispatch.tookMs = performance.now() - dispatch.begunMs;
    if (reply.status !== 200 || !reply.type.startsWith("application/json")) {
      throw new Error(`the reply to an invoke has status ${reply.status}, type ${reply.type}: ${reply.text.slice(0, 400)}`);
    }
    run.inspect("reply", reply.json);
    if (dispatch.gen !== run.gen || dispatch.stopped) return reply.json;
    await run.knobs.beforeReply?.(reply.json, run, dispatch);
    run.apply(reply.json.ops);
    if (!run.end) this.#park(run, reply.json);
    return reply.json;
  }

  #park(run, reply) {
    run.tree = reply.await ?? undefined;
    run.status = run.tree === undefined ? "queued" : "waiting";
    const lost = leaves(run.tree).filter((key) => !run.entry(key) && !run.pending.has(key));
    if (lost.length > 0) run.violations.push(`await names ${lost.join(", ")}: neither finished nor planned`);
  }

  /** Dispatches until the run is over or waits for something that no timer brings; timers are skipped to. */
  async drive(run, { timers = true, max = DRIVE_MAX } = {}) {
    let idle = 0;
    for (let count = 0; count < max; count += 1) {
      run.advance(0);
      const due = run.nextDueMs();
      if (!run.dispatchable()) {
        if (!timers || due === undefined || !["queued", "waiting"].includes(run.status)) return run;
        run.advance(due - run.nowMs);
        continue;
      }
      const before = run.entries.length + run.applied.length;
      await this.dispatch(run);
      idle = run.entries.length + run.applied.length === before ? idle + 1 : 0;
      if (idle >= 10) throw new Error(`10 dispatches in a row without progress: ${JSON.stringify(run.dispatches.at(-1).reply)}`);
    }
    throw new Error(`the run is not over after ${max} dispatches`);
  }

  async bodies(run) {
    const response = await fetch(new URL(`/kit/log?run=${run.id}`, this.endpoint));
    if (response.status !== 200) throw new Error(`GET /kit/log answered ${response.status}`);
    return response.json();
  }

  async shape(steps) {
    const response = await fetch(new URL("/kit/shape", this.endpoint), { method: "PUT", body: JSON.stringify(steps), headers: { "content-type": "application/json" } });
    if (!response.ok) throw new Error(`PUT /kit/shape answered ${response.status}`);
  }

  /** Waits until something holds, at most so long. */
  async until(what, holds, ms = 15_000) {
    const end = performance.now() + ms;
    while (!(await holds())) {
      if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
      await sleep(10);
    }
  }
}
