#!/usr/bin/env node
// A fake engine that any SDK's conformance endpoint can be run against: README.md says what that endpoint serves.

import { Host } from "./engine/host.mjs";
import { Run } from "./engine/run.mjs";
import { options, report } from "./report.mjs";
import "./engine/signing.mjs";
import "./engine/replay.mjs";
import "./engine/parallel.mjs";
import "./engine/checkpoints.mjs";
import "./engine/leases.mjs";
import "./engine/retries.mjs";
import "./engine/failures.mjs";
import "./engine/values.mjs";
import "./engine/waits.mjs";
import "./engine/divergence.mjs";
import "./engine/stress.mjs";

const USAGE = "node conformance/engine.mjs --endpoint URL --secret whsec_... --mode each|batched|return [--only PART] [--json] [--strict]";
const given = options(USAGE, ["endpoint", "secret", "mode"]);
given.mode ??= "each";
if (!given.endpoint || !given.secret || !["each", "batched", "return"].includes(given.mode)) {
  console.error(USAGE);
  process.exit(2);
}

const host = new Host(given);
await host.listen();
const described = await host.post({ v: 1, kind: "describe", app: "kit" }, { id: "inv_describe" }).catch((error) => ({ status: 0, text: String(error) }));
const served = described.json?.workflows?.map((workflow) => workflow.name);
if (described.status !== 200 || !served) {
  console.error(`describe was answered with ${described.status}: ${described.text.slice(0, 400)}`);
  process.exit(1);
}

/** What a check gets: runs of the endpoint's workflows, whose traffic is checked against the rules afterwards. */
function context() {
  const runs = [];
  return {
    host,
    mode: given.mode,
    secret: given.secret,
    described: described.json,
    run(workflow, options) {
      const run = new Run(workflow, options);
      runs.push(run);
      return run;
    },
    async drive(workflow, options, how) {
      return host.drive(this.run(workflow, options), how);
    },
    async keys(run) {
      return (await host.bodies(run)).map((body) => body.key);
    },
    verify() {
      const violations = runs.flatMap((run) => run.violations);
      if (violations.length > 0) throw new Error(`the protocol was broken:\n${[...new Set(violations)].slice(0, 5).join("\n")}`);
    },
    notes() {
      const run = runs.at(-1);
      if (!run) return [];
      const ops = run.applied.slice(-6).map((op) => JSON.stringify(op).slice(0, 300));
      return [`run ${run.status}, ${run.dispatches.length} dispatches, ${run.checkpoints.length} checkpoints; last ops:`, ...ops, ...run.violations.slice(0, 3)];
    },
  };
}

const skips = (needs) => (needs.workflow && !served.includes(needs.workflow) ? `${needs.workflow} is not served` : undefined);
const code = await report(given, skips, context);
host.close();
process.exit(code);
