// Runs the workflow benchmark: `node run-workflows.mjs [--quick] [--markdown] [--systems tikku_each,restate,...] [--phases steps,sleepers,long,resume]`.
// Every repetition starts each system anew, alone, one after the other, as run.mjs does.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Cloudflare } from './cloudflare.mjs';
import { Dbos } from './dbos.mjs';
import { Figures } from './figures.mjs';
import { sleep } from './load.mjs';
import { Cluster } from './postgres.mjs';
import { cell, markdownTable, number, plainTable } from './report.mjs';
import { Restate, restateVersion } from './restate.mjs';
import { TikkuRuns } from './runs.mjs';
import { BINARY } from './tikku.mjs';
import { WORKFLOW_PHASES } from './workflows.mjs';

const SYSTEMS = { tikku_each: 'Tikku each', tikku_batched: 'Tikku batched', tikku_return: 'Tikku return', restate: 'Restate duplex', restateRequest: 'Restate req/resp',
  dbos: 'DBOS (embedded)', cloudflare: 'Cloudflare (local)' };
const ROWS = [
  ['stepsPerSecond', '16 runs at a time of 10 no-op steps: steps/s'],
  ['runP50', 'the same: a run p50, ms'],
  ['stepAlone', 'one run at a time: ms per step'],
  ['stepCpu.server', 'CPU per step, us: the server'],
  ['stepCpu.postgres', 'CPU per step, us: Postgres'],
  ['stepCpu.generator', 'CPU per step, us: generator and endpoint'],
  ['statementsPerStep', 'SQL statements per step (start and end of the run included)'],
  ['sleepers', 'sleeping runs due at once: due to the last that woke, s'],
  ['sleepersSettled', 'the same, until all are completed, s'],
  ['sleepersEarliestMs', 'the same: earliest after due, ms'],
  ['sleepersArmed', 'sleeping runs started/s'],
  ['stepEarly', 'ms per step at the beginning of a long run'],
  ['stepLate', 'ms per step at the end of a long run'],
  ['resume', 'a waiting run with 10,000 steps and 32 MB is told to go on: until it is completed, s'],
];
const of = (metric, ours, theirs) => (f) => f.median(metric, ours) / f.median(metric, theirs);
const BARS = [
  ['steps/s, batched, of Restate duplex', of('stepsPerSecond', 'tikku_batched', 'restate'), { min: 1.7 }],
  ['steps/s, each, of Restate duplex', of('stepsPerSecond', 'tikku_each', 'restate'), { min: 1 }],
  ['steps/s, one invocation per step, of Restate request/response', of('stepsPerSecond', 'tikku_return', 'restateRequest'), { min: 2.3 }],
  ['serial ms per step, each, of Restate duplex', of('stepAlone', 'tikku_each', 'restate'), { max: 0.6 }],
  ['serial ms per step, batched, of Restate duplex', of('stepAlone', 'tikku_batched', 'restate'), { max: 0.6 }],
  ['serial ms per step, one invocation per step, of Restate request/response', of('stepAlone', 'tikku_return', 'restateRequest'), { max: 0.6 }],
  ['cost of a step at the end, of one at the beginning, each', (f) => f.median('stepLate', 'tikku_each') / f.median('stepEarly', 'tikku_each'), { max: 1.2 }],
  ['sleeping runs due at once, of Restate request/response', of('sleepers', 'tikku_each', 'restateRequest'), { max: 0.4 }],
  ['sleeping runs: earliest after due, ms', (f) => f.median('sleepersEarliestMs', 'tikku_each'), { min: 0 }],
];

function make(name, cluster, number) {
  if (name.startsWith('tikku_')) return new TikkuRuns(cluster, `${name}_${number}`, name.slice(6));
  if (name === 'dbos') return new Dbos(cluster, `dbos_${number}`);
  return name === 'cloudflare' ? new Cloudflare() : new Restate({ duplex: name === 'restate' });
}

function settings() {
  const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false }, markdown: { type: 'boolean', default: false },
    systems: { type: 'string', default: Object.keys(SYSTEMS).join() }, phases: { type: 'string', default: Object.keys(WORKFLOW_PHASES).join() } } });
  const pick = (text, known) => text.split(',').map((name) => {
    if (!(name in known)) throw new Error(`unknown: ${name}; known: ${Object.keys(known).join(', ')}`);
    return name;
  });
  const env = (name, usual, small) => Number(process.env[name] ?? (values.quick ? small : usual));
  return { ...values, systems: pick(values.systems, SYSTEMS), phases: pick(values.phases, WORKFLOW_PHASES), repetitions: env('REPS', 3, 1),
    runs: env('RUNS', 1000, 200), sleepers: env('SLEEPERS', 10_000, 1000), longSteps: env('LONG_STEPS', 5020, 1000), leadSeconds: env('LEAD', 40, 8),
    journalSteps: env('JOURNAL_STEPS', 10_000, 10_000), journalBytes: env('JOURNAL_BYTES', 32e6, 32e6) };
}

function tables(figures, facts, { markdown }) {
  const table = markdown ? markdownTable : plainTable;
  const systems = Object.entries(SYSTEMS).filter(([name]) => ROWS.some(([metric]) => figures.all(metric, name).length));
  const rows = ROWS.filter(([metric]) => systems.some(([name]) => figures.all(metric, name).length))
    .map(([metric, title]) => [title, ...systems.map(([name]) => cell(figures.all(metric, name), figures.median(metric, name), '-'))]);
  const bars = BARS.map(([title, value, { min, max }]) => {
    const measured = value(figures);
    const verdict = !Number.isFinite(measured) ? 'not measured' : measured >= (min ?? -Infinity) && measured <= (max ?? Infinity) ? 'pass' : 'MISS';
    return [title, Number.isFinite(measured) ? number(measured) : '-', min === undefined ? `<= ${max}` : `>= ${min}`, verdict];
  });
  return [`Tikku workflow benchmark: ${facts.join(', ')}`, 'Median [least-most] of the repetitions.', table(['figure', ...systems.map(([, title]) => title)], rows),
    table(['bar', 'measured', 'wanted', 'verdict'], bars)].join('\n\n');
}

async function main() {
  const options = settings();
  if (options.systems.some((name) => name.startsWith('tikku')) && !existsSync(BINARY)) throw new Error(`${BINARY} is not built: run cargo xtask bench --quick once, or set TIKKU_BIN`);
  const busyBefore = loadavg()[0].toFixed(2);
  const figures = new Figures();
  const cluster = new Cluster();
  await cluster.start();
  Object.assign(options, { cluster });
  for (let round = 1; round <= options.repetitions; round++) {
    for (const name of options.systems) {
      console.error(`repetition ${round} of ${options.repetitions}: ${name}`);
      const system = make(name, cluster, round);
      await system.start();
      await sleep(1000);
      try {
        for (const phase of options.phases) await WORKFLOW_PHASES[phase](system, figures, options);
      } catch (error) {
        // Ours and the others must not fail; the simulator is no server.
        if (name !== 'cloudflare') throw error;
        console.error(`cloudflare: not measured in this repetition: ${error.message}`);
      }
      await system.stop();
    }
  }
  await cluster.stop();
  const facts = [new Date().toISOString().slice(0, 10), `${cpus().length} cores`, `PostgreSQL ${cluster.version}`, `Restate ${restateVersion()}`, `Node ${process.versions.node}`,
    `${options.runs} runs of 10 steps`, `${options.sleepers} sleepers`, `a run of ${options.longSteps} steps`, `a journal of ${options.journalSteps} steps and ${options.journalBytes / 1e6} MB`, `${options.repetitions} repetition(s)`, `load average at the start ${busyBefore}`];
  console.log(tables(figures, facts, options));
  const results = fileURLToPath(new URL('./results/', import.meta.url));
  mkdirSync(results, { recursive: true });
  writeFileSync(`${results}workflows.json`, JSON.stringify({ facts, values: figures.values }, null, 1));
}

main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1); // the exit hook of host.mjs ends what is still running
});
