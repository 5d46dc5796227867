// How fast tick fires schedules that are due together: once when it comes too late for them, once with its usual lead.
import { now, percentile, pump, until } from './load.mjs';

const RECEIPT_LIMIT_MS = 240_000;
const LEAD_MS = 20_000;

/** Makes schedules over the API, moves their due times by SQL, and counts from then on. */
export async function schedulesPhase(system, figures, { schedules, cluster }) {
  if (!system.schedule) return;
  const round = system.sink.open(schedules);
  const made = await pump(schedules, (i) => system.schedule(`bench-${i}`, { r: round, i, t: 0 }));
  figures.add('schedulesMade', system.name, made.perSecond);
  await overdue(system, figures, schedules, cluster);
  await ahead(system, figures, schedules, round);
}

/** All due now, none made yet. What the tick that takes them has waited for its turn is not counted: the clock starts with the first firing. */
async function overdue(system, figures, schedules, cluster) {
  await cluster.query('checkpoint');
  await cluster.resetStatements();
  const before = await system.delivered();
  const due = now();
  // Whole milliseconds, as Tikku writes them: firing compares.
  await system.probe.query("update tikku.schedule set next_at = date_trunc('milliseconds', tikku.clock_now()), look_at = tikku.clock_now()");
  await system.sink.wait(RECEIPT_LIMIT_MS);
  const { lastAt } = system.sink;
  await until('all fired messages to be delivered in the database', async () => (await system.delivered()) >= before + schedules, 120_000);
  const statements = await cluster.statements(system.database);
  const { first, last } = await fired(system, due);
  figures.add('schedulesFired', system.name, (schedules * 1000) / (last - first));
  figures.add('schedulesReceived', system.name, (schedules * 1000) / (lastAt - first));
  figures.add('schedulesOverdue', system.name, (lastAt - due) / 1000);
  figures.add('statementsPerFired', system.name, statements.reduce((sum, { calls }) => sum + calls, 0) / schedules);
  figures.note('statements of the schedules phase', statements.slice(0, 12));
}

/** All due at one instant that tick has seen coming. */
async function ahead(system, figures, schedules, round) {
  system.sink.open(schedules, round);
  const due = Math.ceil((Date.now() + LEAD_MS) / 1000) * 1000;
  await system.probe.query('update tikku.schedule set next_at = to_timestamp($1::float8 / 1000), look_at = tikku.clock_now()', [due]);
  await system.sink.wait(LEAD_MS + RECEIPT_LIMIT_MS);
  figures.add('schedulesDue', system.name, (system.sink.lastAt - due) / 1000);
  figures.add('schedulesEarliestMs', system.name, percentile(system.sink.latencies, 0) - due);
}

/** When the first and the last firing since `since` were decided, in milliseconds of the one clock that all share here. */
async function fired(system, since) {
  const { rows } = await system.probe.query(`select extract(epoch from min(fired_at)) * 1000 as first, extract(epoch from max(fired_at)) * 1000 as last
    from tikku.schedule_fire where fired_at >= to_timestamp($1::float8 / 1000)`, [since]);
  return { first: Number(rows[0].first), last: Number(rows[0].last) };
}
