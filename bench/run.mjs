// Runs the whole benchmark: `node run.mjs [--quick] [--markdown] [--profile] [--systems tikku,restate,...] [--phases publish,...]`.
// Every repetition starts each system anew, alone, one after the other, so that what the machine does meanwhile meets all of them.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { lambdaPhase, wasmPhase } from './artefacts.mjs';
import { backlogPhase } from './backlog.mjs';
import { bootPhase } from './boot.mjs';
import { fairnessPhase } from './fairness.mjs';
import { Figures } from './figures.mjs';
import { flowsPhase } from './flows.mjs';
import { generatorPhase } from './generator.mjs';
import { idlePhase } from './idle.mjs';
import { sleep } from './load.mjs';
import { pgbench } from './pgbench.mjs';
import { duePhase, floodPhase, latencyPhase, publishPhase, warmUp } from './phases.mjs';
import { Cluster } from './postgres.mjs';
import { profilePhase } from './profile.mjs';
import { report } from './report.mjs';
import { Restate, restateVersion } from './restate.mjs';
import { schedulesPhase } from './schedules.mjs';
import { BINARY, Tikku } from './tikku.mjs';

const TIMED = { publish: publishPhase, flood: floodPhase, flows: flowsPhase, latency: latencyPhase, due: duePhase, schedules: schedulesPhase };
/** On servers and databases of their own, once in a run. */
const ASIDE = { backlog: backlogPhase, fairness: fairnessPhase };
const SYSTEMS = ['tikku', 'restate', 'restateRequest', 'pgbench'];
const PHASES = [...Object.keys(TIMED), ...Object.keys(ASIDE), 'idle', 'boot', 'artefacts'];

function settings() {
  const { values } = parseArgs({ options: {
    quick: { type: 'boolean', default: false }, markdown: { type: 'boolean', default: false }, profile: { type: 'boolean', default: false },
    systems: { type: 'string', default: SYSTEMS.join() }, phases: { type: 'string', default: PHASES.join() } } });
  const pick = (text, known) => text.split(',').map((name) => {
    if (!known.includes(name)) throw new Error(`unknown: ${name}; known: ${known.join(', ')}`);
    return name;
  });
  const { quick } = values;
  const env = (name, usual, small) => Number(process.env[name] ?? (quick ? small : usual));
  return { ...values, systems: pick(values.systems, SYSTEMS), phases: pick(values.phases, PHASES),
    repetitions: env('REPS', 3, 1), messages: env('MESSAGES', 10_000, 2_000), latencySeconds: env('LATENCY_SECONDS', 10, 3),
    schedules: env('SCHEDULES', 5_000, 500), backlog: env('BACKLOG', 1_000_000, 100_000),
    leadSeconds: env('LEAD', 20, 6), idleSeconds: env('IDLE_SECONDS', 120, 20), pgbenchSeconds: quick ? 1 : 4 };
}

/** One system through all timed phases of one repetition. `last` keeps it running and returns it. */
async function repetition(system, figures, options) {
  await system.start();
  figures.add('bootMs', system.name, system.bootMs);
  await sleep(2000);
  figures.add('memoryIdle', system.name, system.memory().now);
  await warmUp(system, 500);
  for (const phase of options.phases) await TIMED[phase]?.(system, figures, options);
  const memory = system.memory();
  figures.add('memoryLoaded', system.name, memory.now);
  figures.add('memoryPeak', system.name, memory.peak);
  if (system.verifySamples) figures.note('signatures verified', system.verifySamples());
}

async function measure(name, number, figures, options) {
  if (name === 'pgbench') {
    if (!options.phases.includes('publish')) return;
    const { perSecond, mean, postgresUs } = await pgbench(options.cluster, options.pgbenchSeconds);
    figures.add('publish', name, perSecond);
    figures.add('publishP50', name, mean);
    figures.add('publishCpu.postgres', name, postgresUs);
    return;
  }
  const system = name === 'tikku' ? new Tikku(options.cluster, `tikku_${number}`) : new Restate({ duplex: name === 'restate' });
  await repetition(system, figures, options);
  if (name === 'tikku' && number === options.repetitions) {
    if (options.phases.includes('idle')) await idlePhase(system, figures, options);
    if (options.profile) await profilePhase(system, options);
  }
  await system.stop();
}

async function main() {
  const options = settings();
  if (options.systems.includes('tikku') && !existsSync(BINARY)) throw new Error(`${BINARY} is not built: run cargo xtask bench, or set TIKKU_BIN`);
  const busyBefore = loadavg()[0].toFixed(2); // other work on the machine spoils the figures: the report says how much there was
  const figures = new Figures();
  const cluster = new Cluster();
  await cluster.start();
  Object.assign(options, { cluster });
  await generatorPhase(figures, options);
  for (let number = 1; number <= options.repetitions; number++) {
    for (const name of options.systems) {
      console.error(`repetition ${number} of ${options.repetitions}: ${name}`);
      await measure(name, number, figures, options);
    }
  }
  if (options.systems.includes('tikku')) {
    for (const phase of options.phases) await ASIDE[phase]?.(figures, options);
    if (options.phases.includes('boot')) for (let i = 0; i < options.repetitions; i++) await bootPhase(figures, options);
    if (options.phases.includes('artefacts')) {
      wasmPhase(figures);
      await lambdaPhase(figures, options);
    }
  }
  await cluster.stop();
  const facts = [new Date().toISOString().slice(0, 10), `${cpus().length} cores`, `PostgreSQL ${cluster.version}`, `Restate ${restateVersion()}`,
    `Node ${process.versions.node}`, `${options.messages} messages`, `${options.schedules} schedules`, `crowds of ${options.backlog}`,
    `${options.repetitions} repetition(s)`, `load average at the start ${busyBefore}`];
  console.log(report(figures, facts, options));
  const results = fileURLToPath(new URL('./results/', import.meta.url));
  mkdirSync(results, { recursive: true });
  writeFileSync(`${results}latest.json`, JSON.stringify({ facts, values: figures.values, notes: figures.notes }, null, 1));
}

main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1); // the exit hook of host.mjs ends what is still running
});
