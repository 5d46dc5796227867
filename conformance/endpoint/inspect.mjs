// What every invoke must be like, whatever the check is about.

const isCount = (value) => Number.isInteger(value) && value >= 0;
const KINDS = new Set(["run", "ai", "sleep", "signal", "event", "child", "approval", "fetch", "publish"]);

function entryFaults(entries) {
  return entries.flatMap((entry, index) => {
    const where = `entry ${JSON.stringify(entry).slice(0, 200)}`;
    // A retry by a person drops an entry: seqs rise, but need not be without gaps.
    if (!(entry.seq > (entries[index - 1]?.seq ?? 0))) return [`${where}: seq does not rise`];
    if (!KINDS.has(entry.kind)) return [`${where}: kind`];
    if (entry.state === "ok" && !("value" in entry)) return [`${where}: no value`];
    if (entry.state === "error" && typeof entry.error?.message !== "string") return [`${where}: no error`];
    return ["ok", "error", "timeout"].includes(entry.state) ? [] : [`${where}: state`];
  });
}

function prefixFaults(now, before) {
  const old = before.journal.entries;
  const same = old.every((entry, index) => index >= now.journal.entries.length || JSON.stringify(entry) === JSON.stringify(now.journal.entries[index]));
  return same ? [] : ["the journal is no continuation of the one before"];
}

function pendingFaults(body) {
  const finished = new Set(body.journal.entries.map((entry) => entry.key));
  return body.pending.flatMap((one) => {
    const right = typeof one.key === "string" && KINDS.has(one.kind) && one.attempt >= 1 && (one.waitMs === null || isCount(one.waitMs));
    if (!right) return [`pending ${JSON.stringify(one)}`];
    return finished.has(one.key) ? [`${one.key} is pending and finished`] : [];
  });
}

/** What is wrong with an invoke; `before` is the run's dispatch before this one. */
export function invokeFaults(body, webhookId, before) {
  const faults = [];
  const want = (what, holds) => {
    if (!holds) faults.push(`invoke: ${what} in ${JSON.stringify(body).slice(0, 700)}`);
  };
  want("v", body.v === 1);
  want("app, workflow and version", [body.app, body.workflow, body.version].every((text) => typeof text === "string" && text.length > 0));
  want("run.id", /^run_[0-9a-f]{32}$/.test(body.run?.id));
  want("run.attempt", body.run?.attempt >= 1);
  want("run.seed", /^[0-9a-f]{32}$/.test(body.run?.seed));
  want("run.budgetMs", isCount(body.run?.budgetMs) && body.run.budgetMs > 0);
  want("run.createdAt", !Number.isNaN(Date.parse(body.run?.createdAt)));
  want("fence", Number.isInteger(body.fence?.gen) && typeof body.fence?.token === "string");
  want("input", "input" in body);
  want("journal", Array.isArray(body.journal?.entries) && isCount(body.journal.seq) && "next" in body.journal);
  want("pending", Array.isArray(body.pending));
  want("lease", body.lease?.ms > 0 && body.lease.renewMs > 0 && body.lease.renewMs < body.lease.ms);
  want("engine", ["checkpoint", "journal", "resume"].every((name) => typeof body.engine?.[name] === "string" && body.engine[name].includes(body.run.id)));
  want("resumeKey", typeof body.engine?.resumeKey === "string" && body.engine.resumeKey.length >= 16);
  want("limits", ["resultBytes", "steps", "inlineBytes"].every((name) => isCount(body.limits?.[name])));
  want(`webhook-id ${webhookId}`, webhookId === `inv_${body.run?.id?.slice(4)}_${body.fence?.gen}`);
  if (faults.length > 0) return faults;
  want("journal.seq is the last inline one", body.journal.seq === (body.journal.entries.at(-1)?.seq ?? 0));
  faults.push(...entryFaults(body.journal.entries), ...pendingFaults(body));
  if (!before) return faults;
  want(`a fence above ${before.fence.gen}`, body.fence.gen > before.fence.gen);
  want("the same seed in every dispatch", body.run.seed === before.run.seed);
  want("the same input in every dispatch", JSON.stringify(body.input) === JSON.stringify(before.input));
  // A retry by a person drops the failed entry.
  if (body.run.attempt === before.run.attempt) faults.push(...prefixFaults(body, before));
  return faults;
}
