#!/usr/bin/env node
// A real engine and a real conformance endpoint of an SDK, together: registers the endpoint and runs the kit's workflows on the engine.

import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { options, report } from "./report.mjs";
import { Line } from "./both/line.mjs";
import "./both/flows.mjs";
import "./both/faults.mjs";

const USAGE = "node conformance/both.mjs --engine URL --key tk_live_... --endpoint URL [--jobs 4] [--faults 0.1 --secret whsec_...] [--only PART] [--json]";
const given = options(USAGE, ["engine", "key", "endpoint", "jobs", "faults", "secret"]);
given.jobs ??= "4";
if (!given.engine || !given.key || !given.endpoint || (given.faults && !(given.secret && Number(given.faults) > 0))) {
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

// Over a bad line short leases, so that what is lost is soon found out.
const line = given.faults ? new Line({ ...given, share: Number(given.faults) }) : undefined;
await line?.listen();
const settings = line ? { url: line.url, timeoutSeconds: 10, leaseSeconds: 2 } : { url: given.endpoint };
const register = (more) => api("PUT", "/v1/apps/kit-both", { ...settings, ...more });
const app = await register({});
if (![200, 201].includes(app.status) || app.json.describeError) {
  console.error(`the app could not be registered: ${app.status} ${JSON.stringify(app.json)}`);
  process.exit(1);
}
const served = app.json.workflows.map((workflow) => workflow.name);

const bodies = { recorded: 0, begun: 0 };

const t = {
  register,

  /** Counts bodies that were begun for so many recorded steps. */
  count(recorded, begun) {
    bodies.recorded += recorded;
    bodies.begun += begun;
  },

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

const wanted = (needs) => Boolean(needs.faults) === Boolean(line);
const code = await report(given, (needs) => (served.includes(needs.workflow) ? undefined : `${needs.workflow} is not served`), () => t, wanted);
if (line) console.error(`bodies begun: ${bodies.begun}; steps recorded: ${bodies.recorded}; spoiled requests: ${JSON.stringify(line.spoiled)}`);
line?.close();
target.close();
process.exit(code);
