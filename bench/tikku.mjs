// Tikku: the dev server as a process of its own on the benchmark's Postgres, driven over its HTTP API; the endpoint is a trivial
// HTTP server in this process. Signatures are verified after the run, on a sample, so that the check costs no timed phase anything.
import { execFileSync } from 'node:child_process';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { assertAlive, freePort, memoryMiB, removeFolder, start, stop, tempFolder } from './host.mjs';
import { BODY, now, Sink, until } from './load.mjs';
import { Wire } from './wire.mjs';

export const BINARY = process.env.TIKKU_BIN ?? fileURLToPath(new URL('../target/release/tikku', import.meta.url));
const SAMPLE_EVERY = 97;
const TEN_DAYS_S = 864_000;
const YEAR_S = 31_536_000;

/** Starts `tikku dev` on `data`, on `databaseUrl` or (without one) on its own embedded Postgres, and waits for dev.json. */
export async function startDev(data, databaseUrl) {
  const { DATABASE_URL: _, ...env } = process.env;
  if (databaseUrl) env.DATABASE_URL = databaseUrl;
  env.RUST_LOG ??= 'warn';
  const info = join(data, 'dev.json');
  const child = start(BINARY, ['dev', '--port', String(await freePort()), '--data', data], { env, log: `${data}.log` });
  const current = () => existsSync(info) && JSON.parse(readFileSync(info, 'utf8'));
  await until('dev.json', () => {
    assertAlive(child);
    return current() && current().pid === child.pid; // not the file of an earlier start
  }, 120_000, 2);
  return { child, ...current() };
}

export const publishWire = (dev) => new Wire(Number(new URL(dev.url).port), [`authorization: Bearer ${dev.apiKey}`]);

/** Runs a command of the binary on a database and returns what it printed. */
export const command = (databaseUrl, ...words) => execFileSync(BINARY, words, { encoding: 'utf8', env: { ...process.env, DATABASE_URL: databaseUrl } });

export class Tikku {
  name = 'tikku';
  sink = new Sink();

  /** On a fresh database, or on the one at `databaseUrl` as it is. */
  constructor(cluster, database, databaseUrl) {
    this.cluster = cluster;
    this.database = database;
    this.databaseUrl = databaseUrl;
  }

  async start() {
    this.received = 0;
    this.samples = [];
    this.endpoint = http.createServer((request, response) => this.#receive(request, response));
    this.endpoint.keepAliveTimeout = 65_000;
    const port = await freePort();
    await new Promise((resolve) => this.endpoint.listen(port, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${port}/sink`;
    this.folder = tempFolder('tikku');
    const databaseUrl = this.databaseUrl ?? (await this.cluster.fresh(this.database));
    const startedAt = now();
    this.dev = await startDev(join(this.folder, 'data'), databaseUrl);
    this.wire = publishWire(this.dev);
    await this.far({});
    this.bootMs = now() - startedAt;
    this.probe = new pg.Client({ connectionString: this.cluster.url('bench', this.database) });
    this.probe.on('error', () => {}); // the cluster's end
    await this.probe.connect();
  }

  async stop() {
    this.wire.close();
    await this.probe.end();
    await stop(this.dev.child);
    this.endpoint.closeAllConnections();
    await new Promise((resolve) => this.endpoint.close(resolve));
    removeFolder(this.folder);
  }

  publish(message) {
    return this.#post(message, {});
  }

  /** Publishes a message of a key: one at a time, in order. */
  publishKeyed(key, message) {
    return this.#post(message, { flowControl: { key, parallelism: 1 } });
  }

  /** Makes a schedule whose own time never comes in a run; every firing sends `message`. */
  schedule(name, message) {
    return this.wire.post('/v1/schedules', JSON.stringify({ name, everySeconds: YEAR_S, url: this.url, body: { ...message, b: BODY } }));
  }

  far(message) {
    return this.#post(message, { delaySeconds: TEN_DAYS_S });
  }

  at(due, message) {
    return this.#post(message, { notBefore: new Date(due).toISOString() });
  }

  /** How many messages the database holds as delivered. Asked by the role `bench`, so it is in no count of statements. */
  async delivered() {
    const { rows } = await this.probe.query("select count(*)::int as n from tikku.message where state = 'delivered'");
    return rows[0].n;
  }

  pid() {
    return this.dev.child.pid;
  }

  memory() {
    return { now: memoryMiB(this.pid(), 'VmRSS'), peak: memoryMiB(this.pid(), 'VmHWM') };
  }

  /** Verifies the sampled requests (Standard Webhooks, HMAC-SHA256); returns how many there were, throws at the first bad one. */
  verifySamples() {
    const key = Buffer.from(this.dev.signingSecret.replace(/^whsec_/, ''), 'base64');
    for (const { headers, body } of this.samples) {
      const id = headers['webhook-id'];
      const expected = createHmac('sha256', key).update(`${id}.${headers['webhook-timestamp']}.`).update(body).digest();
      const signatures = String(headers['webhook-signature']).split(' ').filter((text) => text.startsWith('v1,'));
      const good = signatures.map((text) => Buffer.from(text.slice(3), 'base64')).some((given) => given.length === expected.length && timingSafeEqual(given, expected));
      if (!good) throw new Error(`a received message has a bad signature: ${JSON.stringify(headers)}`);
    }
    if (!this.samples.length) throw new Error('no received message was sampled: no signature could be verified');
    return this.samples.length;
  }

  #post(message, options) {
    return this.wire.post('/v1/messages', JSON.stringify({ url: this.url, body: { ...message, b: BODY }, ...options }));
  }

  #receive(request, response) {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', async () => {
      const body = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
      const message = JSON.parse(body);
      if (this.received++ % SAMPLE_EVERY === 0) this.samples.push({ headers: request.headers, body });
      if (message.k === undefined) this.sink.hit(message);
      else await this.keyed.receive(message);
      response.end();
    });
  }
}
