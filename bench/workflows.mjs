// The workflow phases, the same for every system: {name, run10(), armSleeper(input), runLong(steps), record(steps, bytes),
// resume(), runsSettled(more)}. Steps are no-ops; a run counts when the system
// itself holds it as completed, not when its last step ran.
import { addCpu, cpuTime } from './cpu.mjs';
import { median, now, percentile, pump, until } from './load.mjs';

const STEPS = 10;
const LIMIT_MS = 240_000;

/** 16 concurrent runs of 10 no-op steps, and the same one at a time. */
export async function stepsPhase(system, figures, { runs, cluster }) {
  await pump(64, () => system.run10());
  await system.runsSettled?.(64);
  const alone = [];
  for (let i = 0; i < 30; i++) {
    const begun = now();
    await system.run10();
    alone.push((now() - begun) / STEPS);
  }
  await system.runsSettled?.(30);
  await cluster.query('checkpoint');
  await cluster.resetStatements();
  const cpu = cpuTime(system, cluster);
  const run = await pump(runs, () => system.run10());
  await system.runsSettled?.(runs);
  const seconds = (now() - run.startedAt) / 1000;
  addCpu(figures, 'stepCpu', system, cluster, cpu, runs * STEPS);
  figures.add('stepsPerSecond', system.name, (runs * STEPS) / seconds);
  figures.add('runP50', system.name, run.p50);
  figures.add('stepAlone', system.name, median(alone));
  if (!system.database) return;
  const statements = await cluster.statements(system.database);
  figures.add('statementsPerStep', system.name, statements.reduce((sum, { calls }) => sum + calls, 0) / (runs * STEPS));
}

/** Runs that sleep, all due at one instant: from that instant to the last one that woke, and that the system holds as completed. */
export async function sleepersPhase(system, figures, { sleepers, leadSeconds, cluster }) {
  if (!system.armSleeper) return;
  await cluster.query('checkpoint');
  const due = Math.ceil(Date.now() / 1000 + leadSeconds) * 1000;
  const round = system.sink.open(sleepers);
  const armed = await pump(sleepers, (i) => system.armSleeper({ due, r: round, i, t: due }));
  if (Date.now() > due - 2000) throw new Error(`${system.name}: arming took until the due time; raise LEAD (now ${leadSeconds} s)`);
  await system.sink.wait(due - Date.now() + LIMIT_MS);
  figures.add('sleepers', system.name, (system.sink.lastAt - due) / 1000);
  figures.add('sleepersArmed', system.name, armed.perSecond);
  figures.add('sleepersEarliestMs', system.name, percentile(system.sink.latencies, 0));
  if (!system.runsSettled) return;
  await system.runsSettled(sleepers);
  figures.add('sleepersSettled', system.name, (now() - due) / 1000);
}

/** One run of many steps: what a step costs at the beginning and at the end. */
export async function longPhase(system, figures, { longSteps }) {
  if (!system.runLong) return;
  const marks = await system.runLong(longSteps);
  const cost = (from, to) => (marks[to] - marks[from]) / (to - from);
  const window = Math.floor(longSteps / 20);
  figures.add('stepEarly', system.name, cost(10, 10 + window));
  figures.add('stepLate', system.name, cost(longSteps - 1 - window, longSteps - 1));
}

/** A run with a journal of many large entries that waits and holds nothing: from the word to go on, through the replay of all steps, until it is completed. */
export async function resumePhase(system, figures, { journalSteps, journalBytes }) {
  if (!system.record) return;
  await system.record(journalSteps, Math.floor(journalBytes / journalSteps));
  const begun = now();
  await system.resume();
  figures.add('resume', system.name, (now() - begun) / 1000);
}

export const WORKFLOW_PHASES = { steps: stepsPhase, sleepers: sleepersPhase, long: longPhase, resume: resumePhase };

/** Of a way to ask how many runs are completed: waits until so many more are than it waited for before. */
export function settled(ask) {
  let before = 0;
  return async (more) => {
    before += more;
    await until(`${before} runs to be completed`, async () => (await ask()) >= before, LIMIT_MS, 2);
  };
}
