// The command line and the report of both programs: named checks, one line each. Out of scope: what is checked.

import { parseArgs } from "node:util";

const checks = [];

/** Registers a check. `needs`: `{workflow, modes, slow}`, each optional. */
export function check(name, needs, body) {
  checks.push({ name, needs, body });
}

/** The options of the command line, strings and flags by name; wrong usage ends the program with 2. */
export function options(usage, strings, flags = []) {
  const spec = {};
  for (const name of [...strings, "only"]) spec[name] = { type: "string" };
  for (const name of [...flags, "json", "strict", "help"]) spec[name] = { type: "boolean" };
  try {
    const { values } = parseArgs({ options: spec });
    if (values.help) {
      console.log(usage);
      process.exit(0);
    }
    return values;
  } catch (error) {
    console.error(`${error.message}\n${usage}`);
    process.exit(2);
  }
}

function line(result) {
  const mark = { ok: "ok  ", fail: "FAIL", skip: "skip" }[result.outcome];
  const why = result.detail ? `\n       ${result.detail.replaceAll("\n", "\n       ")}` : "";
  return `${mark} ${result.name} (${result.ms} ms)${why}`;
}

async function one(check, options, skips, context) {
  const begun = performance.now();
  const done = (outcome, detail) => ({ name: check.name, outcome, ms: Math.round(performance.now() - begun), ...(detail && { detail }) });
  const skip = skips(check.needs);
  if (skip) return done(options.strict ? "fail" : "skip", skip);
  const t = await context(check);
  try {
    await check.body(t);
    t.verify?.();
    return done("ok");
  } catch (error) {
    const text = error.code === "ERR_ASSERTION" ? error.message : error.stack;
    return done("fail", [text, ...(t.notes?.() ?? [])].join("\n"));
  } finally {
    await t.close?.();
  }
}

/** The checks that are asked for: by name, for this mode, the slow ones only with --slow. */
function chosen(options, wanted) {
  return checks.filter(({ name, needs }) => (!options.only || name.includes(options.only)) && wanted(needs)
    && !(needs.modes && options.mode && !needs.modes.includes(options.mode))
    && (options.slow || !needs.slow));
}

/**
 * Runs the checks, `options.jobs` at the same time, and answers the exit code. `skips` says why a check cannot be made (or nothing), `context`
 * makes what each gets as its argument, `wanted` leaves out checks of another kind.
 */
export async function report(options, skips, context, wanted = () => true) {
  const left = chosen(options, wanted);
  const results = [];
  const worker = async () => {
    for (let next = left.shift(); next; next = left.shift()) {
      const result = await one(next, options, skips, context);
      results.push(result);
      if (!options.json) console.log(line(result));
    }
  };
  await Promise.all(Array.from({ length: Number(options.jobs ?? 1) }, worker));
  const count = (outcome) => results.filter((result) => result.outcome === outcome).length;
  const summary = { ok: count("ok"), failed: count("fail"), skipped: count("skip") };
  if (options.json) console.log(JSON.stringify({ summary, results }, null, 1));
  else console.log(`${summary.ok} ok, ${summary.failed} failed, ${summary.skipped} skipped`);
  return summary.failed > 0 || results.length === 0 ? 1 : 0;
}
