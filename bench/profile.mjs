// --profile: a flood under `perf record`, on every process of the machine, and the shares by process and by Tikku's functions.
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { Figures } from './figures.mjs';
import { start, stop, tempFolder } from './host.mjs';
import { floodPhase, publishPhase } from './phases.mjs';

/** Prints where the CPU time of one flood goes; says so where `perf` is missing. Its rates are not kept: perf costs time itself. */
export async function profilePhase(system, options) {
  if (spawnSync('perf', ['--version']).error) {
    console.log('no profile: perf is not installed');
    return;
  }
  const folder = tempFolder('profile');
  for (const [title, phase] of [['publish', publishPhase], ['flood', floodPhase]]) {
    const data = join(folder, title);
    const perf = start('perf', ['record', '-a', '-g', '-F', '199', '-o', data], { log: `${data}.log`, stopSignal: 'SIGINT' });
    const figures = new Figures();
    await phase(system, figures, options);
    await stop(perf);
    const show = (...args) => execFileSync('perf', ['report', '-i', data, '--stdio', '--no-children', '-g', 'none', '--percent-limit', '0.2', ...args],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 64e6 }).split('\n').filter((line) => line.trim() && !line.startsWith('#'));
    console.log(`\nprofile of ${title}, share of CPU samples by process\n${show('--sort', 'comm,pid').slice(0, 12).join('\n')}`);
    for (const [of, ...filter] of [['Tikku', '--pid', String(system.pid())], ['Postgres', '--comms', 'postgres']]) {
      console.log(`\nprofile of ${title}, by function of ${of}\n${show('--sort', 'dso,symbol', ...filter).slice(0, 40).join('\n')}`);
    }
  }
}
