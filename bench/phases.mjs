// The timed phases, the same for every system: {name, sink, publish(m), far(m), at(due, m)}; what only Tikku can be asked
// (its database) is asked through `delivered` and the cluster's statement counts.
import { addCpu, cpuTime } from './cpu.mjs';
import { now, pace, percentile, pump, sleep, until } from './load.mjs';

const RECEIPT_LIMIT_MS = 240_000;

/** Connections opened, code compiled, caches warm: nothing of it is timed. */
export async function warmUp(system, count) {
  const round = system.sink.open(count);
  await pump(count, (i) => system.publish({ r: round, i, t: now() }));
  await system.sink.wait(RECEIPT_LIMIT_MS);
  await pump(count, (i) => system.far({ r: round, i, t: 0 }));
  await sleep(500);
}

/** Publishes messages that are due in ten days, so that nothing is delivered meanwhile. */
export async function publishPhase(system, figures, { messages, cluster }) {
  await cluster.query('checkpoint');
  await cluster.resetStatements();
  const round = system.sink.open(messages);
  const cpu = cpuTime(system, cluster);
  const run = await pump(messages, (i) => system.far({ r: round, i, t: 0 }));
  addCpu(figures, 'publishCpu', system, cluster, cpu, messages);
  figures.add('publish', system.name, run.perSecond);
  figures.add('publishP50', system.name, run.p50);
  if (!system.delivered) return;
  const { calls, names } = await statementCount(system, cluster);
  figures.add('statementsPerPublish', system.name, calls / messages);
  figures.note('statements of the publish phase', names);
}

/** Publishes as fast as 16 publishers can; the time ends at the last receipt and, for Tikku, also when the database holds all as delivered. */
export async function floodPhase(system, figures, { messages, cluster }) {
  await cluster.query('checkpoint');
  await cluster.resetStatements();
  const before = (await system.delivered?.()) ?? 0;
  const round = system.sink.open(messages);
  const cpu = cpuTime(system, cluster);
  const run = await pump(messages, (i) => system.publish({ r: round, i, t: now() }));
  await system.sink.wait(RECEIPT_LIMIT_MS);
  addCpu(figures, 'floodCpu', system, cluster, cpu, messages);
  figures.add('floodReceived', system.name, (messages * 1000) / (system.sink.lastAt - run.startedAt));
  figures.add('floodPublish', system.name, run.perSecond);
  if (!system.delivered) return;
  await until('all messages to be delivered in the database', async () => (await system.delivered()) >= before + messages, 120_000);
  figures.add('flood', system.name, (messages * 1000) / (now() - run.startedAt));
  const { calls, names } = await statementCount(system, cluster);
  figures.add('statementsPerDelivery', system.name, (calls - messages) / messages); // a publish is one
  figures.add('duplicates', system.name, system.sink.duplicates);
  figures.note('statements of the flood phase', names);
}

/** Publishes 50 messages a second and measures from the call to the receipt. */
export async function latencyPhase(system, figures, { latencySeconds }) {
  await sleep(1500);
  const round = system.sink.open(50 * latencySeconds);
  await pace(50, latencySeconds, (i) => system.publish({ r: round, i, t: now() }));
  await system.sink.wait(60_000);
  figures.add('latencyP50', system.name, percentile(system.sink.latencies, 0.5));
  figures.add('latencyP99', system.name, percentile(system.sink.latencies, 0.99));
}

/** Arms messages that are all due at one instant and measures from that instant to the last receipt. None may come before it. */
export async function duePhase(system, figures, { messages, leadSeconds, cluster }) {
  await cluster.query('checkpoint');
  const before = (await system.delivered?.()) ?? 0;
  const due = Math.ceil(Date.now() / 1000 + leadSeconds) * 1000;
  const round = system.sink.open(messages);
  const armed = await pump(messages, (i) => system.at(due, { r: round, i, t: due }));
  if (Date.now() > due - 1000) throw new Error(`${system.name}: arming took until the due time; raise LEAD (now ${leadSeconds} s)`);
  await cluster.resetStatements();
  await system.sink.wait(due - Date.now() + RECEIPT_LIMIT_MS);
  figures.add('due', system.name, (system.sink.lastAt - due) / 1000);
  figures.add('dueArmed', system.name, armed.perSecond);
  figures.add('dueEarliestMs', system.name, percentile(system.sink.latencies, 0));
  if (!system.delivered) return;
  await until('all due messages to be delivered in the database', async () => (await system.delivered()) >= before + messages, 120_000);
  figures.add('dueSettled', system.name, (now() - due) / 1000);
  const { calls, names } = await statementCount(system, cluster);
  figures.add('statementsPerDueDelivery', system.name, calls / messages);
  figures.note('statements of the due phase', names);
}

async function statementCount(system, cluster) {
  const statements = await cluster.statements(system.database);
  return { calls: statements.reduce((sum, { calls }) => sum + calls, 0), names: statements.slice(0, 12) };
}
