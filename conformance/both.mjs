#!/usr/bin/env node
// A real engine and a real conformance endpoint of an SDK, together: registers the endpoint and runs the kit's workflows on the engine.

import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { options, report } from "./report.mjs";
import "./both/flows.mjs";

const USAGE = "node conformance/both.mjs --engine URL --key tk_live_... --endpoint URL [--jobs 4] [--only PART] [--json]";
const given = options(USAGE, ["engine", "key", "endpoint", "jobs"]);
given.jobs ??= "4";
if (!given.engine || !given.key || !given.endpoint) {
  console.error(USAGE);
  process.exit(2);
}

async function api(method, path, body) {
  const response = await fetch(`${given.engine.replace(/\/$/, "")}${path}`, {
    method, body: body === undefined ? undefined : JSON.stringify(body),
    headers: { authorization: `Bearer ${given.key}`, ...(body !== undefined && { "content-type": "application/json" }) },
  });
  return { status: response.status, json: await response.json().catch(() => undefined) };
}

const target = createServer((request, response) => request.resume().on("end", () => response.end("{}")));
await new Promise((ready) => target.listen(0, "127.0.0.1", ready));

const register = (more) => api("PUT", "/v1/apps/kit-both", { url: given.endpoint, ...more });
const app = await register({});
if (![200, 201].includes(app.status) || app.json.describeError) {
  console.error(`the app could not be registered: ${app.status} ${JSON.stringify(app.json)}`);
  process.exit(1);
}
const served = app.json.workflows.map((workflow) => workflow.name);

const t = {
  register,
  target: `http://127.0.0.1:${target.address().port}/`,

  /** A call of the API that must be answered with this status. */
  async call(method, path, body, status) {
    const answer = await api(method, path, body);
    if (answer.status !== status) throw new Error(`${method} ${path} was answered with ${answer.status}: ${JSON.stringify(answer.json)}`);
    return answer.json;
  },

  start: async (workflow, input, more) => (await t.call("POST", `/v1/workflows/${workflow}/runs`, { input, ...more }, 202)).id,
  signal: (run, name, body) => t.call("POST", `/v1/runs/${run}/signals/${name}`, body, 202),

  async until(what, holds, ms = 30_000) {
    const end = performance.now() + ms;
    for (;;) {
      const got = await holds();
      if (got) return got;
      if (performance.now() > end) throw new Error(`not within ${ms} ms: ${typeof what === "function" ? what() : what}`);
      await sleep(25);
    }
  },

  /** Waits until a run has a status and gives it. */
  async ends(id, status, ms) {
    let run;
    return t.until(() => `${id} ${status}: ${JSON.stringify(run).slice(0, 800)}`, async () => {
      run = await t.call("GET", `/v1/runs/${id}`, undefined, 200);
      if (["completed", "failed", "cancelled"].includes(run.status) && run.status !== status) throw new Error(`${id} is ${run.status}: ${JSON.stringify(run).slice(0, 800)}`);
      return run.status === status && run;
    }, ms);
  },

  done: async (id, ms) => (await t.ends(id, "completed", ms)).output,
  output: async (workflow, input, more) => t.done(await t.start(workflow, input, more)),
  bodies: async (id) => (await fetch(new URL(`/kit/log?run=${id}`, given.endpoint))).json(),
  shape: (steps) => fetch(new URL("/kit/shape", given.endpoint), { method: "PUT", body: JSON.stringify(steps), headers: { "content-type": "application/json" } }),
};

const code = await report(given, (needs) => (served.includes(needs.workflow) ? undefined : `${needs.workflow} is not served`), () => t);
target.close();
process.exit(code);
