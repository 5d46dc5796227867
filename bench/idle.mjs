// What an idle Tikku asks of its database: transactions in bursts (one burst = one tick), and what ran between them.
import { now, sleep } from './load.mjs';

const SAMPLE_MS = 250;
const SETTLE_MS = 12_000; // a backend's last counters reach pg_stat_database up to 10 s after its last statement

/** Samples the database's transaction counter from another database while nothing is due. Autovacuum rests meanwhile: it counts too. */
export async function idlePhase(system, figures, { idleSeconds, cluster }) {
  await cluster.autovacuum('off');
  await sleep(SETTLE_MS);
  await cluster.resetStatements();
  const startedAt = now();
  const first = await cluster.transactions(system.database);
  const bursts = [];
  let previous = first;
  let busy = false;
  while (now() - startedAt < idleSeconds * 1000) {
    await sleep(SAMPLE_MS);
    const current = await cluster.transactions(system.database);
    const added = current - previous;
    if (added && busy) bursts[bursts.length - 1] += added; // one tick may straddle a sample
    if (added && !busy) bursts.push(added);
    busy = added > 0;
    previous = current;
  }
  const minutes = (now() - startedAt) / 60_000;
  figures.add('idlePerMinute', system.name, (previous - first) / minutes);
  figures.add('idleTicksPerMinute', system.name, bursts.length / minutes);
  figures.add('idlePerTick', system.name, bursts.length ? Math.max(...bursts) : 0);
  const statements = await cluster.statements(system.database);
  figures.add('idleStatementsPerMinute', system.name, statements.reduce((sum, { calls }) => sum + calls, 0) / minutes);
  figures.note('statements while idle', statements);
  await cluster.autovacuum('on');
}
