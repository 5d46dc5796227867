#!/usr/bin/env node
// A scripted endpoint that any engine can be run against: it registers itself as apps, starts runs by the public API and checks what is sent.

import { Flow, OVER } from "./endpoint/flow.mjs";
import { Stage } from "./endpoint/stage.mjs";
import { options, report } from "./report.mjs";
import "./endpoint/starts.mjs";
import "./endpoint/results.mjs";
import "./endpoint/timers.mjs";
import "./endpoint/signals.mjs";
import "./endpoint/events.mjs";
import "./endpoint/children.mjs";
import "./endpoint/approvals.mjs";
import "./endpoint/calls.mjs";
import "./endpoint/trees.mjs";
import "./endpoint/checkpoints.mjs";
import "./endpoint/journals.mjs";
import "./endpoint/pauses.mjs";
import "./endpoint/outages.mjs";
import "./endpoint/controls.mjs";
import "./endpoint/policies.mjs";
import "./endpoint/races.mjs";
import "./endpoint/vectors.mjs";
import "./endpoint/corners.mjs";

const USAGE = "node conformance/endpoint.mjs --engine URL --key tk_live_... [--secret whsec_...] [--jobs 6] [--only PART] [--slow] [--json]";
const given = options(USAGE, ["engine", "key", "secret", "jobs"], ["slow"]);
given.jobs ??= "6";
if (!given.engine || !given.key) {
  console.error(USAGE);
  process.exit(2);
}

const stage = new Stage(given);
await stage.listen();
if (!stage.secret) {
  const answer = await stage.api("GET", "/v1/signing-secret").catch((error) => ({ status: String(error.cause ?? error) }));
  stage.secret = answer.json?.secret;
  if (!stage.secret) {
    console.error(`the signing secret could not be read (${answer.status}); give it with --secret`);
    process.exit(1);
  }
}

const nonce = Date.now().toString(36);
let count = 0;

/** What a check gets: workflows of its own, and the engine's API. */
function context() {
  const apps = [];
  const t = {
    stage,
    nonce,
    api: (...call) => stage.api(...call),

    /** An app with workflows that are given as {script, name?, ...fields of describe}. */
    async app(flows, { checkpoint = "return", url, ...fields } = {}) {
      count += 1;
      const app = { name: `kit-${nonce}-${count}`, faults: [], flows: [], described: 0 };
      app.flows = flows.map(({ script, name, ...described }, index) => new Flow(stage, app, name ?? `${app.name}-${index}`, script, described));
      app.describe = () => {
        app.described += 1;
        return { body: { v: 1, sdk: "kit/1.0.0", checkpoint, workflows: app.flows.flatMap((flow) => flow.given.versions?.map((version) => ({ name: flow.name, version })) ?? [{ name: flow.name, ...flow.given }]) } };
      };
      app.url = url ?? `${stage.url}/app/${app.name}`;
      stage.apps.set(app.name, app);
      apps.push(app);
      app.register = (more = {}) => stage.api("PUT", `/v1/apps/${app.name}`, { url: app.url, ...fields, ...more });
      app.answer = await app.register();
      if (![200, 201].includes(app.answer.status)) throw new Error(`PUT /v1/apps was answered with ${app.answer.status}: ${app.answer.text}`);
      return app;
    },

    /** One workflow in an app of its own. */
    async flow(script, described = {}, how = {}) {
      return (await t.app([{ script, ...described }], how)).flows[0];
    },

    /** A plain URL that records what it gets. */
    target(script = () => ({ status: 200, body: { ok: true } })) {
      count += 1;
      const received = Object.assign([], { script, url: `${stage.url}/target/${nonce}-${count}` });
      stage.targets.set(`${nonce}-${count}`, received);
      return received;
    },

    verify() {
      const faults = apps.flatMap((app) => app.faults);
      if (faults.length > 0) throw new Error([...new Set(faults)].slice(0, 4).join("\n"));
    },

    notes: () => apps.flatMap((app) => [...new Set(app.faults)].slice(0, 3)),

    async close() {
      const runs = apps.flatMap((app) => app.flows.flatMap((flow) => flow.runs));
      await Promise.all(runs.map(async (run) => {
        const { json } = await stage.api("GET", `/v1/runs/${run.id}`);
        if (json && !OVER.includes(json.status)) await run.post("cancel");
      })).catch(() => {});
    },
  };
  return t;
}

const code = await report(given, () => undefined, context);
stage.close();
process.exit(code);
