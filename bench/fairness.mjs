// What a crowd does to a bystander: single messages while a million due messages of another account, or of one flow key of the same
// account, are being worked off, beside the same with nothing else to do.
import pg from 'pg';
import { fill, prepared } from './fill.mjs';
import { emptyServer } from './generator.mjs';
import { removeFolder, stop } from './host.mjs';
import { now, pace, percentile, sleep } from './load.mjs';
import { warmUp } from './phases.mjs';
import { Tikku } from './tikku.mjs';

const PER_SECOND = 10;
/** The dev server's tick: what is delayed by less than this waited for less than one claim round. */
const TICK_MS = 2000;

const CROWDS = {
  Account: { account: 'crowd' },
  Key: { account: 'default', flow: { parallelism: 16 } },
};

/** Single messages ten times a second: idle, beside a crowd of another account, beside one of a key. */
export async function fairnessPhase(figures, options) {
  const { cluster, backlog, latencySeconds } = options;
  const seconds = latencySeconds * 3;
  const idle = new Tikku(cluster, 'fair_idle');
  await idle.start();
  await warmUp(idle, 500);
  const alone = await singles(idle, figures, 'Idle', seconds);
  await idle.stop();
  const sink = await emptyServer(); // a process of its own: the crowd's receipts do not delay those that are measured
  for (const [name, crowd] of Object.entries(CROWDS)) {
    console.error(`fairness: inserting ${backlog} due messages, ${name}`);
    const database = `fair_${name.toLowerCase()}`;
    const url = await prepared(cluster, database);
    await fill(cluster, database, [{ ...crowd, kind: 'due', count: backlog, url: `http://127.0.0.1:${sink.port}/` }]);
    const system = new Tikku(cluster, database, url);
    await system.start();
    await sleep(2 * TICK_MS);
    const before = await crowdState(cluster, database);
    await cluster.resetStatements();
    const most = await singles(system, figures, name, seconds);
    const after = await crowdState(cluster, database);
    if (!after.waiting || after.delivered === before.delivered) throw new Error(`the crowd did not last: ${JSON.stringify({ before, after })}`);
    figures.add(`fair${name}Crowd`, 'tikku', (after.delivered - before.delivered) / ((after.at - before.at) / 1000));
    figures.add(`fair${name}Rounds`, 'tikku', (most - alone) / TICK_MS);
    figures.note(`statements of the fairness phase, ${name}`, (await cluster.statements(database)).slice(0, 10));
    await system.stop();
    await cluster.query(`drop database ${database} with (force)`);
  }
  await stop(sink.child);
  removeFolder(sink.folder);
}

/** Adds percentiles of publish and receipt; returns the longest time from a call to its receipt. */
async function singles(system, figures, name, seconds) {
  const calls = [];
  const round = system.sink.open(PER_SECOND * seconds);
  await pace(PER_SECOND, seconds, async (i) => {
    const t = now();
    await system.publish({ r: round, i, t });
    calls.push(now() - t);
  });
  await system.sink.wait(120_000);
  const { latencies } = system.sink;
  for (const [suffix, p] of [['P50', 0.5], ['P99', 0.99], ['Max', 1]]) figures.add(`fair${name}${suffix}`, 'tikku', percentile(latencies, p));
  figures.add(`fair${name}PublishP99`, 'tikku', percentile(calls, 0.99));
  return percentile(latencies, 1);
}

async function crowdState(cluster, database) {
  const client = new pg.Client({ connectionString: cluster.url('bench', database) });
  await client.connect();
  const { rows } = await client.query(`select count(*) filter (where state = 'delivered')::int as delivered,
    count(*) filter (where kick_until is not null)::int as waiting from tikku.message`);
  await client.end();
  return { ...rows[0], at: now() };
}
