// The tables: figures side by side, Tikku's own figures, the bars. Plain text for a terminal, or Markdown.
import { BARS, judge } from './bars.mjs';

const SYSTEMS = [['tikku', 'Tikku'], ['restate', 'Restate duplex'], ['restateRequest', 'Restate req/resp'], ['pgbench', 'pgbench']];
const COMPARED = [
  ['publish', 'publishes/s, nothing delivered'],
  ['publishP50', 'publish p50, ms'],
  ['publishCpu.server', 'CPU per publish, us: the server'],
  ['publishCpu.postgres', 'CPU per publish, us: Postgres'],
  ['publishCpu.generator', 'CPU per publish, us: the generator'],
  ['flood', 'publish + push + settle/s, flood, until settled'],
  ['floodReceived', 'publish + push/s, flood, until received'],
  ['floodPublish', 'publishes/s during the flood'],
  ['floodCpu.server', 'CPU per message, us, flood: the server'],
  ['floodCpu.postgres', 'CPU per message, us, flood: Postgres'],
  ['floodCpu.generator', 'CPU per message, us, flood: generator and endpoint'],
  ['duplicates', 'messages received twice, flood'],
  ['flows', '1,000 flow keys, parallelism 1: messages/s, until settled'],
  ['flowsReceived', '1,000 flow keys, parallelism 1: messages/s, until received'],
  ['flowsShare', '1,000 flow keys: of the flood without keys, until received'],
  ['latencyP50', 'publish to receipt at 50/s p50, ms'],
  ['latencyP99', 'publish to receipt at 50/s p99, ms'],
  ['due', 'due at once: due to last receipt, s'],
  ['dueSettled', 'due at once: due to all settled, s'],
  ['dueEarliestMs', 'due at once: earliest receipt after due, ms'],
  ['dueArmed', 'due at once: armed/s'],
  ['memoryIdle', 'memory idle, MiB'],
  ['memoryLoaded', 'memory after load, MiB'],
  ['memoryPeak', 'memory peak, MiB'],
  ['bootMs', 'boot to first accepted publish, ms'],
];
const OWN = [
  ['statementsPerPublish', 'SQL statements per published message'],
  ['statementsPerDelivery', 'SQL statements per delivered message, flood'],
  ['statementsPerDueDelivery', 'SQL statements per delivered message, due at once'],
  ['statementsPerFlowMessage', 'SQL statements per message, 1,000 flow keys (publish included)'],
  ['flowsDuplicates', 'messages received twice, 1,000 flow keys'],
  ['schedulesMade', 'schedules made over the API/s'],
  ['schedulesFired', 'schedules fired/s, all overdue at once'],
  ['schedulesReceived', 'schedules fired and received/s, all overdue at once: from the first firing to the last receipt'],
  ['schedulesOverdue', 'schedules, all overdue at once: to the last receipt, the wait for tick included, s'],
  ['statementsPerFired', 'SQL statements per schedule fired and delivered'],
  ['schedulesDue', 'schedules due at one instant: due to last receipt, s'],
  ['schedulesEarliestMs', 'schedules due at one instant: earliest receipt after due, ms'],
  ...['P50', 'P99'].flatMap((p) => [
    [`backlogEmpty${p}`, `publish at 200/s ${p.toLowerCase()}, empty database, ms`],
    [`backlogFull${p}`, `publish at 200/s ${p.toLowerCase()}, a crowd waiting, ms`],
    [`backlogRatio${p}`, `publish at 200/s ${p.toLowerCase()}, a crowd waiting/empty`],
    [`backlogReceiptRatio${p}`, `publish to receipt at 200/s ${p.toLowerCase()}, a crowd waiting/empty`],
  ]),
  ...[['Idle', 'nothing else'], ['Account', 'a crowd of another account'], ['Key', 'a crowd of one flow key']].flatMap(([name, beside]) => [
    ...['P50', 'P99', 'Max'].map((p) => [`fair${name}${p}`, `single messages beside ${beside}: publish to receipt ${p.toLowerCase()}, ms`]),
    [`fair${name}PublishP99`, `single messages beside ${beside}: publish p99, ms`],
    [`fair${name}Crowd`, `meanwhile delivered/s of ${beside}`],
  ]),
  ['idlePerMinute', 'idle transactions per minute (quoted, measured earlier: Svix 63, Inngest 96, graphile-worker 1,614)'],
  ['idleTicksPerMinute', 'idle ticks per minute (bursts of transactions)'],
  ['idlePerTick', 'transactions per idle tick, most'],
  ['idleStatementsPerMinute', 'idle SQL statements per minute, by pg_stat_statements'],
  ['bootEmbeddedFresh', 'boot to first accepted publish, embedded Postgres, fresh, ms'],
  ['bootEmbeddedAgain', 'boot to first accepted publish, embedded Postgres, second start, ms'],
  ['bootGivenFresh', 'boot to first accepted publish, DATABASE_URL, fresh, ms'],
  ['bootGivenAgain', 'boot to first accepted publish, DATABASE_URL, second start, ms'],
  ['wasmGzipKiB', 'Worker wasm, gzipped, KiB'],
  ['wasmKiB', 'Worker wasm, KiB'],
  ...['publish', 'tick', 'deliver'].flatMap((name) => [[`lambdaKiB.${name}`, `Lambda ${name}, KiB`], [`lambdaInitMs.${name}`, `Lambda ${name}, init, ms`]]),
];
const MISSING = { wasmGzipKiB: 'not built', 'lambdaKiB.publish': 'not built', 'lambdaKiB.tick': 'not built', 'lambdaKiB.deliver': 'not built' };

/** Returns the whole report as text. */
export function report(figures, facts, { markdown }) {
  const table = markdown ? markdownTable : plainTable;
  const systems = SYSTEMS.filter(([system]) => COMPARED.some(([metric]) => figures.all(metric, system).length));
  const compared = COMPARED.filter(([metric]) => systems.some(([system]) => figures.all(metric, system).length))
    .map(([metric, title]) => [title, ...systems.map(([system]) => cell(figures.all(metric, system), figures.median(metric, system), '-'))]);
  const own = OWN.map(([metric, title]) => [title, cell(figures.all(metric, 'tikku'), figures.median(metric, 'tikku'), MISSING[metric])]).filter(([, text]) => text);
  const bars = BARS.map((bar) => judge(bar, figures)).map(({ title, value, bar, verdict }) => [title, value === undefined ? '-' : number(value), bar, verdict]);
  const generator = figures.median('generator', 'generator');
  return [
    `Tikku benchmark: ${facts.join(', ')}`,
    `Median [least-most] of the repetitions; the load generator alone reaches ${number(generator)} requests/s against an empty server.`,
    table(['figure', ...systems.map(([, title]) => title)], compared),
    table(['Tikku alone', 'figure'], own),
    table(['bar', 'measured', 'wanted', 'verdict'], bars),
  ].join('\n\n');
}

export function cell(values, middle, missing) {
  if (middle === undefined) return missing;
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return number(least) === number(most) ? number(middle) : `${number(middle)} [${number(least)}-${number(most)}]`;
}

export function number(value) {
  if (value === undefined) return '-';
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en-US', { maximumFractionDigits: digits });
}

export function markdownTable(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i ? '---:' : '---'))), ...rows.map(line)].join('\n');
}

export function plainTable(head, rows) {
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i].length)));
  const line = (cells) => cells.map((text, i) => (i ? text.padStart(widths[i]) : text.padEnd(widths[i]))).join('  ').trimEnd();
  return [line(head), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n');
}
