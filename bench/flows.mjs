// Many flow keys with parallelism 1: how fast they go beside messages without a key, and that a key's messages come one at a time and in
// order. Restate's virtual objects promise the same for a key and run the same load.
import { now, pump, sleep, until } from './load.mjs';

const KEYS = 1000;
const RECEIPT_LIMIT_MS = 240_000;
/** The check that a key's requests do not overlap: a short round at an endpoint that takes its time. */
const CHECK = { messages: 500, keys: 50, holdMs: 20 };

/** What the endpoint does with messages of keys ({r, i, k}): counts them and throws at the first that breaks the promise. */
class Keyed {
  constructor(sink, messages, keys, holdMs) {
    Object.assign(this, { sink, keys, holdMs, atOnce: 0 });
    this.round = sink.open(messages);
    this.sentAt = new Float64Array(messages);
    this.answeredAt = new Float64Array(messages).fill(Infinity);
    this.last = new Int32Array(keys).fill(-1);
    this.running = new Set();
  }

  async publish(system, i) {
    this.sentAt[i] = now();
    const k = i % this.keys;
    await system.publishKeyed(`key-${k}`, { r: this.round, i, k, t: this.sentAt[i] });
    this.answeredAt[i] = now();
  }

  async receive(message) {
    const { i, k } = message;
    if (message.r === this.round && !this.sink.seen[i]) {
      if (this.running.has(k)) this.broken ??= `two requests of key ${k} at once`;
      // Two calls that were under way together have no order.
      const later = this.last[k];
      if (later > i && this.answeredAt[i] <= this.sentAt[later]) this.broken ??= `message ${i} of key ${k} came after ${later}`;
      this.last[k] = Math.max(later, i);
    }
    this.running.add(k);
    if (this.holdMs) await sleep(this.holdMs);
    this.running.delete(k);
    this.sink.hit(message);
  }
}

async function round(system, messages, keys, holdMs) {
  const before = (await system.delivered?.()) ?? 0;
  const keyed = new Keyed(system.sink, messages, keys, holdMs);
  system.keyed = keyed;
  const { startedAt } = await pump(messages, (i) => keyed.publish(system, i));
  await system.sink.wait(RECEIPT_LIMIT_MS);
  const received = (messages * 1000) / (system.sink.lastAt - startedAt);
  if (keyed.broken) throw new Error(`${system.name}: ${keyed.broken}`);
  if (!system.delivered) return { received };
  await until('all messages of keys to be delivered in the database', async () => (await system.delivered()) >= before + messages, 120_000);
  return { received, settled: (messages * 1000) / (now() - startedAt) };
}

/** Publishes over a thousand keys as fast as 16 publishers can; the times are those of the flood. */
export async function flowsPhase(system, figures, { messages, cluster }) {
  await round(system, CHECK.messages, CHECK.keys, CHECK.holdMs);
  await cluster.query('checkpoint');
  await cluster.resetStatements();
  const { received, settled } = await round(system, messages, KEYS, 0);
  figures.add('flowsReceived', system.name, received);
  const flood = figures.last('floodReceived', system.name);
  if (flood) figures.add('flowsShare', system.name, received / flood);
  if (!system.delivered) return;
  figures.add('flows', system.name, settled);
  figures.add('flowsDuplicates', system.name, system.sink.duplicates);
  const statements = await cluster.statements(system.database);
  figures.add('statementsPerFlowMessage', system.name, statements.reduce((sum, { calls }) => sum + calls, 0) / messages);
  figures.note('statements of the flows phase', statements.slice(0, 12));
}
