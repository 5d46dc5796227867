// CPU time of the processes that take part, so that a rate can be explained: on a busy machine everything shares the same cores.
import { readFileSync, readdirSync } from 'node:fs';

const TICK_US = 10_000; // USER_HZ is 100 on Linux, whatever the kernel's own clock

/** [parent, microseconds of user and system time, its ended children's included] of a process, or undefined when it is gone. */
function read(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' '); // fields[0] is field 3 of proc(5), the state
    const [own, ended] = [Number(fields[11]) + Number(fields[12]), Number(fields[13]) + Number(fields[14])];
    return [Number(fields[1]), (own + ended) * TICK_US];
  } catch {
    return undefined;
  }
}

/** A process and all that it started, and they. */
export function family(pid) {
  const parents = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map((name) => [Number(name), read(name)?.[0]]);
  const of = (one) => [one, ...parents.filter(([, parent]) => parent === one).flatMap(([child]) => of(child))];
  return of(pid);
}

/** CPU time so far of Postgres with all its backends, in microseconds. */
export function postgresTime(cluster) {
  const backends = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(read).filter((stat) => stat?.[0] === cluster.child.pid);
  return read(cluster.child.pid)[1] + backends.reduce((sum, [, time]) => sum + time, 0);
}

/** CPU time so far in microseconds: of the system's server, of Postgres, of this process (generator and endpoint). */
export function cpuTime(system, cluster) {
  const own = process.cpuUsage();
  const server = (system.pids?.() ?? [system.pid()]).reduce((sum, pid) => sum + (read(pid)?.[1] ?? 0), 0);
  return { server, postgres: postgresTime(cluster), generator: own.user + own.system };
}

/** Adds what each spent since `before`, divided by `count`, as `<metric>.server` and so on. */
export function addCpu(figures, metric, system, cluster, before, count) {
  const after = cpuTime(system, cluster);
  for (const part of Object.keys(before)) {
    if (part === 'postgres' && !system.delivered) continue; // Restate does not use it
    figures.add(`${metric}.${part}`, system.name, (after[part] - before[part]) / count);
  }
}
