// Does it matter to a publish how many messages wait? Two servers on one cluster, an empty database and one with a million waiting
// messages, take turns of half a second, so that what the machine does meanwhile meets both.
import { fill, prepared } from './fill.mjs';
import { now, pace, percentile, sleep } from './load.mjs';
import { warmUp } from './phases.mjs';
import { Tikku } from './tikku.mjs';

const SLICES = 20;
const PER_SECOND = 200;

/** Half of them are due next week; a quarter waits for a flow and a quarter for a breaker: due, in the indexes, and not to be started. */
async function waiting(cluster, database, count) {
  const url = await prepared(cluster, database);
  const nowhere = 'http://127.0.0.1:9/nowhere';
  await fill(cluster, database, [
    { kind: 'scheduled', count: count / 4, account: 'default', url: nowhere },
    { kind: 'scheduled', count: count / 4, account: 'crowd', url: nowhere },
    { kind: 'flow', count: count / 4, account: 'default', url: nowhere, flow: { parallelism: 1 }, paused: true },
    { kind: 'breaker', count: count / 4, account: 'crowd', url: nowhere },
  ]);
  return url;
}

/** p50 and p99 of a publish at 200/s, empty and full, one value for each repetition. */
export async function backlogPhase(figures, { backlog, repetitions, latencySeconds, cluster }) {
  console.error(`backlog: inserting ${backlog} waiting messages`);
  const empty = new Tikku(cluster, 'backlog_empty');
  const full = new Tikku(cluster, 'backlog_full', await waiting(cluster, 'backlog_full', backlog));
  await cluster.autovacuum('off'); // what it does to one of the two is not what is asked
  for (const side of [empty, full]) {
    await side.start();
    await warmUp(side, 500);
  }
  await cluster.query('checkpoint');
  await cluster.resetStatements();
  for (let number = 0; number < repetitions; number++) await repetition(figures, [empty, full], latencySeconds / SLICES);
  for (const side of [empty, full]) {
    figures.note(`statements of the backlog phase, ${side.database}`, (await cluster.statements(side.database)).slice(0, 8));
    await side.stop();
  }
  await cluster.autovacuum('on');
  await cluster.query('drop database backlog_full with (force)');
}

async function repetition(figures, sides, seconds) {
  const calls = sides.map(() => []);
  const receipts = sides.map(() => []);
  for (let slice = 0; slice < SLICES; slice++) {
    for (const n of slice % 2 ? [1, 0] : [0, 1]) {
      await sleep(50);
      const { sink } = sides[n];
      const round = sink.open(PER_SECOND * seconds);
      await pace(PER_SECOND, seconds, async (i) => {
        const t = now();
        await sides[n].publish({ r: round, i, t });
        calls[n].push(now() - t);
      });
      await sink.wait(60_000);
      receipts[n].push(...sink.latencies);
    }
  }
  for (const [name, p] of [['P50', 0.5], ['P99', 0.99]]) {
    const [empty, full] = calls.map((values) => percentile(values, p));
    figures.add(`backlogEmpty${name}`, 'tikku', empty);
    figures.add(`backlogFull${name}`, 'tikku', full);
    figures.add(`backlogRatio${name}`, 'tikku', full / empty);
    const [emptyReceipt, fullReceipt] = receipts.map((values) => percentile(values, p));
    figures.add(`backlogReceiptRatio${name}`, 'tikku', fullReceipt / emptyReceipt);
  }
}
