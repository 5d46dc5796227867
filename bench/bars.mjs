// The bars of the message path: each is a figure, or a ratio of figures of the same run, with the least or the most it may be.

const ratio = (metric, other, otherMetric = metric) => (f) => {
  const [ours, theirs] = [f.median(metric, 'tikku'), f.median(otherMetric, other)];
  return ours === undefined || theirs === undefined ? undefined : ours / theirs;
};
const plain = (metric) => (f) => f.median(metric, 'tikku');

export const BARS = [
  { title: 'publishes/s, of Restate (the faster mode)', value: (f) => least([ratio('publish', 'restate')(f), ratio('publish', 'restateRequest')(f)]), min: 1.8 },
  { title: 'publishes/s, of pgbench', value: ratio('publish', 'pgbench'), min: 0.4 },
  { title: 'publish + push + settle/s, of Restate request/response', value: ratio('flood', 'restateRequest', 'floodReceived'), min: 2.7 },
  { title: 'latency at 50/s p50, of Restate (duplex)', value: ratio('latencyP50', 'restate'), below: 1 },
  { title: 'latency at 50/s p99, of Restate (duplex)', value: ratio('latencyP99', 'restate'), below: 1 },
  { title: 'latency at 50/s p50, of Restate request/response', value: ratio('latencyP50', 'restateRequest'), below: 1 },
  { title: 'latency at 50/s p99, of Restate request/response', value: ratio('latencyP99', 'restateRequest'), below: 1 },
  { title: 'drain of messages due at once, of Restate request/response', value: ratio('due', 'restateRequest'), max: 0.4 },
  { title: 'due at once: earliest receipt after due, ms', value: plain('dueEarliestMs'), min: 0 },
  { title: 'schedules due at one instant: earliest receipt after due, ms', value: plain('schedulesEarliestMs'), min: 0 },
  { title: 'publish p99 at 200/s, a crowd waiting/empty', value: plain('backlogRatioP99'), max: 1.2 },
  { title: 'claim rounds that a crowd of another account delays a single message, most', value: plain('fairAccountRounds'), max: 1 },
  { title: 'claim rounds that a crowd of one flow key delays a single message, most', value: plain('fairKeyRounds'), max: 1 },
  { title: 'SQL statements per publish (less than 1: not a commit each)', value: plain('statementsPerPublish'), min: 0.99, max: 1.01 },
  { title: 'SQL statements per delivery, flood', value: plain('statementsPerDelivery'), max: 0.25 },
  { title: 'SQL statements per delivery, due at once', value: plain('statementsPerDueDelivery'), max: 0.25 },
  { title: 'transactions per idle tick (most)', value: plain('idlePerTick'), max: 1 },
  { title: 'memory after load, MiB', value: plain('memoryLoaded'), max: 40 },
  { title: 'wasm, gzipped, KiB', value: plain('wasmGzipKiB'), below: 1024 },
];

const least = (values) => (values.includes(undefined) ? undefined : Math.min(...values));

/** Judges one bar: {title, value, bar, verdict: 'pass' | 'MISS' | 'not measured'}. */
export function judge(bar, figures) {
  const value = bar.value(figures);
  const text = [bar.min !== undefined && `>= ${bar.min}`, bar.max !== undefined && `<= ${bar.max}`, bar.below !== undefined && `< ${bar.below}`].filter(Boolean).join(', ');
  if (value === undefined) return { title: bar.title, value, bar: text, verdict: 'not measured' };
  const good = value >= (bar.min ?? -Infinity) && value <= (bar.max ?? Infinity) && value < (bar.below ?? Infinity);
  return { title: bar.title, value, bar: text, verdict: good ? 'pass' : 'MISS' };
}
