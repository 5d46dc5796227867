// The workflows that conformance/README.md describes, served by this SDK, for any host of it. Build the SDK first.

import { NonRetriable, RetryAfter, workflow } from "../dist/index.js";

const log = [];
let shape = ["a", "b", "c"];
const wait = (ms) => (ms > 0 ? new Promise((resolve) => setTimeout(resolve, ms)) : undefined);
/** What this process has begun of a run's step. */
const begun = (run, key) => log.filter((line) => line.run === run && line.key === key).length;

/** Wraps a body: it notes that it has begun, takes its time, and gives a value. */
function body(run, key, give, ms = 0) {
  return async ({ key: stepKey, attempt }) => {
    log.push({ run: run.id, key, attempt, stepKey });
    await wait(ms);
    return typeof give === "function" ? give(attempt) : give;
  };
}

/** A step that is the first of its name. */
const one = (step, run, name, give, ms, options) => step.run(name, body(run, `${name}#0`, give, ms), options);
const fixed = (maxAttempts) => ({ maxAttempts, backoff: { type: "fixed", initial: 1_000, jitter: false } });
const failure = (name, message, extra = {}) => {
  const { cause, ...fields } = extra;
  return Object.assign(new Error(message, cause && { cause }), { name, ...fields });
};
const root = () => failure("RootError", "root");

const object = {
  "~standard": {
    version: 1,
    vendor: "kit",
    validate: (value) => (typeof value?.n === "number" ? { value } : { issues: [{ message: "a number is expected", path: ["n"] }] }),
  },
};

export const workflows = [
  workflow({ name: "kit-sequence" }, async (step, _input, { run }) => {
    const a = await one(step, run, "a", { n: 1 });
    const b = await one(step, run, "b", () => ({ n: a.n + 1 }));
    const c = await one(step, run, "c", () => ({ n: b.n + 1 }));
    return { n: c.n };
  }),
  workflow({ name: "kit-parallel" }, (step, input, { run }) =>
    Promise.all(["left", "middle", "right"].map((name) => one(step, run, name, name, input?.[`${name}Ms`]))),
  ),
  workflow({ name: "kit-race" }, async (step, input, { run }) => {
    const winner = await Promise.race(["fast", "slow"].map((name) => one(step, run, name, name, input?.[`${name}Ms`])));
    const after = await one(step, run, "after", `after ${winner}`);
    return { winner, after };
  }),
  workflow({ name: "kit-values" }, (step, input, { run }) => one(step, run, "echo", input?.value)),
  workflow({ name: "kit-void" }, async (step, _input, { run }) => {
    await one(step, run, "nothing", undefined);
  }),
  workflow({ name: "kit-long" }, async (step, input, { run }) => {
    const { n = 3, ms = 0, bytes = 0 } = input ?? {};
    let sum = 0;
    for (let i = 0; i < n; i += 1) sum += (await step.run("s", body(run, `s#${i}`, { i, pad: "x".repeat(bytes) }, ms))).i;
    return { sum };
  }),
  workflow({ name: "kit-wide" }, async (step, input, { run }) => {
    const { n = 3, ms = 0 } = input ?? {};
    const all = await Promise.all(Array.from({ length: n }, (_, i) => step.run("w", body(run, `w#${i}`, i, ms))));
    return { sum: all.reduce((sum, i) => sum + i, 0) };
  }),
  workflow({ name: "kit-slow" }, async (step, input, { run }) => {
    await one(step, run, "slow", "slow", input?.ms);
    return one(step, run, "after", "after");
  }),
  workflow({ name: "kit-input", input: object }, (step, input, { run }) => one(step, run, "double", input.n * 2)),
  workflow({ name: "kit-versions", version: "2" }, async () => "two"),
  workflow({ name: "kit-versions", version: "1" }, async () => "one"),
  workflow({ name: "kit-random" }, async (step) => ({ random: step.random(), id: step.uuid() })),

  workflow({ name: "kit-retry" }, (step, input, { run }) => {
    const { failures = 1, maxAttempts = 3 } = input ?? {};
    const give = (attempt) => {
      if (attempt <= failures) throw failure("FlakyError", `attempt ${attempt}`, { code: "E_FLAKY", data: { k: attempt }, cause: root() });
      return { attempt };
    };
    return one(step, run, "flaky", give, 0, fixed(maxAttempts));
  }),
  workflow({ name: "kit-nonretriable" }, (step, _input, { run }) =>
    one(step, run, "fatal", () => {
      throw new NonRetriable("no more");
    }),
  ),
  workflow({ name: "kit-retry-after" }, (step, _input, { run }) =>
    one(step, run, "limited", () => {
      if (begun(run.id, "limited#0") === 1) throw new RetryAfter("slow down", "20s");
      return "ok";
    }),
  ),
  workflow({ name: "kit-trycatch" }, async (step, _input, { run }) => {
    const declined = () => {
      throw failure("PayError", "declined");
    };
    try {
      return await one(step, run, "pay", declined, 0, fixed(2));
    } catch (error) {
      return await one(step, run, "undo", `undo ${error.message}`);
    }
  }),
  workflow({ name: "kit-catch-parallel" }, async (step, input, { run }) => {
    const bad = () => {
      throw failure("BadError", "bad");
    };
    try {
      return await Promise.all([one(step, run, "bad", bad, 0, fixed(1)), one(step, run, "good", "good", input?.okMs)]);
    } catch (error) {
      return one(step, run, "after", `after ${error.message}`);
    }
  }),
  workflow({ name: "kit-fail" }, async () => {
    throw failure("FlowError", "broken", { code: "E_FLOW", data: { a: 1 }, cause: root() });
  }),
  workflow({ name: "kit-ai" }, async (step, input, { run }) => {
    const call = body(run, "llm#0", () => {
      if (input?.throttle && begun(run.id, "llm#0") === 1) throw Object.assign(new Error("too many requests"), { status: 429, headers: { "retry-after": "20" } });
      return { model: "kit-1", text: "hello", usage: { input_tokens: 12, output_tokens: 34 } };
    });
    return (await step.ai("llm", call)).text;
  }),

  workflow({ name: "kit-sleep" }, async (step, input, { run }) => {
    await step.sleep("nap", input?.ms ?? 1_000);
    return one(step, run, "after", "awake");
  }),
  workflow({ name: "kit-sleep-until" }, async (step, input, { run }) => {
    await step.sleepUntil("nap", input.untilMs);
    return one(step, run, "after", "awake");
  }),
  workflow({ name: "kit-signals" }, async (step) => {
    const first = await step.waitForSignal("go", { timeout: "60s" });
    const second = await step.waitForSignal("go", { timeout: "60s" });
    return [first, second].map(orTimeout);
  }),
  workflow({ name: "kit-signal-then-step" }, async (step, _input, { run }) => {
    await one(step, run, "before", 1);
    const value = await step.waitForSignal("go");
    return { got: await one(step, run, "after", value) };
  }),
  workflow({ name: "kit-tree" }, async (step) => {
    const race = step.race([step.waitForSignal("right"), step.sleep("limit", "60s").then(() => "limit")]);
    return step.all([step.waitForSignal("left"), race]);
  }),
  workflow({ name: "kit-event" }, async (step, input) => orTimeout(await step.waitForEvent("invoice.paid", { as: "paid", match: { "data.id": input?.id ?? "inv_1" }, timeout: "60s" }))),
  workflow({ name: "kit-approval" }, async (step) => {
    const answer = await step.approval("ok", { policy: { roles: ["admin"] }, schema: { type: "object" }, title: "Ship it?", timeout: "1d" });
    return answer === undefined ? "timeout" : { approved: answer.approved, data: answer.data };
  }),
  workflow({ name: "kit-child" }, async (step, input) => {
    try {
      return { output: await step.invoke("sub", input?.workflow ?? "kit-sequence", input?.input ?? null) };
    } catch (error) {
      return { failed: error.name, message: error.message, runId: error.runId };
    }
  }),
  workflow({ name: "kit-children" }, (step, input) => Promise.all(Array.from({ length: input?.n ?? 3 }, (_, i) => step.invoke("sub", "kit-sequence", { i })))),
  workflow({ name: "kit-fetch" }, async (step, input) => {
    const { status, body } = await step.fetch("call", input.url, { method: "POST", headers: { "x-kit": "1" }, body: { n: 1 } });
    return { status, body };
  }),
  workflow({ name: "kit-publish" }, (step, input) => step.publish("mail", { url: input.url, body: { n: 1 } })),
  workflow({ name: "kit-resume" }, async (step, _input, { run }) => {
    const url = await one(step, run, "link", step.resumeUrl("go"));
    return { url, got: await step.waitForSignal("go") };
  }),
  workflow({ name: "kit-continue" }, async (step, input, { run }) => {
    const count = await one(step, run, "count", input?.n ?? 1);
    return count > 0 ? step.continueAsNew({ n: count - 1 }) : "end";
  }),
  workflow(
    { name: "kit-trigger", triggers: [{ event: "kit.started", match: { "data.kit": true } }], concurrency: { limit: 2, key: "input.event.data.id" } },
    (step, input, { run }) => one(step, run, "seen", input.event.data),
  ),
  workflow({ name: "kit-diverge" }, async (step, _input, { run }) => {
    const gave = [];
    for (const name of [...shape]) gave.push(await (name.startsWith("sleep:") ? step.sleep(name.slice(6), "60s") : one(step, run, name, name)));
    return gave;
  }),
];

function orTimeout(value) {
  return value === undefined ? "timeout" : value;
}

/** The mode that TIKKU_CHECKPOINT names, as `serve` takes it. */
export const mode = (name = "each") => (name === "batched" ? { everyMs: 50, maxSteps: 20 } : name);

/** Answers the paths of the kit itself, with the text to send or none; undefined for a request that is the endpoint's. */
export function kit({ pathname, searchParams }, text) {
  if (pathname === "/kit/log") return { status: 200, text: JSON.stringify(log.filter(({ run }) => run === searchParams.get("run"))) };
  if (pathname !== "/kit/shape") return undefined;
  shape = JSON.parse(text);
  return { status: 204 };
}
