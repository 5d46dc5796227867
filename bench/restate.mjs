// Restate beside us: its server from npm, its TypeScript SDK as the endpoint in this process, driven over its HTTP ingress.
// `duplex` keeps one stream per invocation; request/response is the like for like of a platform that pushes to serverless endpoints.
import * as restate from '@restatedev/restate-sdk';
import http2 from 'node:http2';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { assertAlive, freePort, memoryMiB, removeFolder, start, stop, tempFolder } from './host.mjs';
import { BODY, now, Sink, sleep, until } from './load.mjs';
import { Wire } from './wire.mjs';

Promise.withResolvers ??= () => { // the SDK wants Node 22
  const deferred = {};
  deferred.promise = new Promise((resolve, reject) => Object.assign(deferred, { resolve, reject }));
  return deferred;
};

const require = createRequire(import.meta.url);
export const restateVersion = () => require('@restatedev/restate-server/package.json').version;
const binary = () => require.resolve(`@restatedev/restate-server-${process.platform}-${process.arch}/bin/restate-server`);

export class Restate {
  sink = new Sink();

  constructor({ duplex }) {
    this.duplex = duplex;
    this.name = duplex ? 'restate' : 'restateRequest';
    // Request/response sends the journal so far with each step: 160 GB for this one.
    if (!duplex) this.record = undefined;
  }

  async start() {
    const startedAt = now();
    this.folder = tempFolder('restate');
    const [ingress, admin, node, endpoint] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
    this.child = start(binary(), ['--listen-mode', 'tcp', '--advertised-host', '127.0.0.1', '--base-dir', join(this.folder, 'data'), '--node-name', 'n1', '--no-logo'], {
      log: join(this.folder, 'log'),
      env: { ...process.env, RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`, RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
        RESTATE_BIND_ADDRESS: `127.0.0.1:${node}`, RESTATE_DISABLE_TELEMETRY: 'true', DO_NOT_TRACK: '1', RUST_LOG: 'warn' },
    });
    const service = restate.service({ name: 'sink', handlers: {
      deliver: async (_ctx, message) => this.sink.hit(message),
      ten: async (ctx) => {
        for (let i = 0; i < 10; i++) await ctx.run(`s${i}`, () => i);
      },
      sleeper: async (ctx, input) => {
        await ctx.sleep(await ctx.run('for', () => Math.max(1, input.due - Date.now())));
        this.sink.hit(input);
      },
      long: async (ctx, input) => {
        for (let i = 0; i < input.steps; i++) await ctx.run('s', () => { this.marks[i] = now(); });
      },
    } });
    // It lets go of a handler that has waited for a second, and calls it again when there is news: a replay of its journal.
    const journal = restate.service({ name: 'journal', options: { inactivityTimeout: 1000 }, handlers: {
      write: async (ctx, { steps, bytes }) => {
        this.calls++;
        const value = 'x'.repeat(bytes);
        for (let i = 0; i < steps; i++) await ctx.run('s', () => value);
        const { id, promise } = ctx.awakeable();
        this.awakeable = id;
        await promise;
      },
    } });
    // A virtual object runs one call of a key at a time, in the order they came: a flow key with parallelism 1.
    const keyed = restate.object({ name: 'keyed', handlers: { deliver: async (_ctx, message) => this.keyed.receive(message) } });
    const handler = restate.createEndpointHandler({ services: [service, keyed, journal], logger: () => {}, ...(this.duplex ? {} : { bidirectional: false }) });
    this.sessions = new Set();
    this.endpoint = http2.createServer(handler).listen(endpoint, '127.0.0.1');
    this.endpoint.on('session', (session) => this.sessions.add(session.on('close', () => this.sessions.delete(session))));
    const register = new Wire(admin);
    await until('Restate to accept the deployment', async () => {
      assertAlive(this.child);
      await register.post('/deployments', JSON.stringify({ uri: `http://127.0.0.1:${endpoint}`, force: true }));
      return true;
    }, 60_000, 100);
    register.close();
    this.wire = new Wire(ingress);
    await until('Restate to accept a publish', async () => {
      await this.far({});
      return true;
    }, 30_000, 20);
    this.bootMs = now() - startedAt;
  }

  async stop() {
    this.wire.close();
    await stop(this.child);
    for (const session of this.sessions) session.destroy();
    await new Promise((resolve) => this.endpoint.close(resolve));
    removeFolder(this.folder);
  }

  publish(message) {
    return this.wire.post('/sink/deliver/send', JSON.stringify({ ...message, b: BODY }));
  }

  /** Publishes a message of a key: one at a time, in order. */
  publishKeyed(key, message) {
    return this.wire.post(`/keyed/${key}/deliver/send`, JSON.stringify({ ...message, b: BODY }));
  }

  /** Publishes a message that is due in ten days. */
  far(message) {
    return this.wire.post('/sink/deliver/send?delay=864000s', JSON.stringify({ ...message, b: BODY }));
  }

  /** Publishes a message that is due at `due` (epoch milliseconds). */
  at(due, message) {
    return this.wire.post(`/sink/deliver/send?delay=${Math.max(1, Math.round(due - Date.now()))}ms`, JSON.stringify({ ...message, b: BODY }));
  }

  /** Runs ten steps; the answer comes when the run is completed. */
  run10() {
    return this.wire.post('/sink/ten', '');
  }

  armSleeper(input) {
    return this.wire.post('/sink/sleeper/send', JSON.stringify(input));
  }

  async runLong(steps) {
    this.marks = new Float64Array(steps);
    await this.wire.post('/sink/long', JSON.stringify({ steps }));
    return this.marks;
  }

  /** Has a run record so many steps of so many bytes, and waits until it is suspended. */
  async record(steps, bytes) {
    this.calls = 0;
    this.awakeable = undefined;
    this.run = this.wire.post('/journal/write', JSON.stringify({ steps, bytes }));
    await until('the journal to be written', () => this.awakeable, 300_000, 100);
    await sleep(5000);
  }

  async resume() {
    const calls = this.calls;
    await fetch(`http://127.0.0.1:${this.wire.port}/restate/awakeables/${this.awakeable}/resolve`, { method: 'POST', body: '1', headers: { 'content-type': 'application/json' } });
    await this.run;
    if (this.calls === calls) throw new Error('the handler was not suspended: nothing was replayed');
  }

  pid() {
    return this.child.pid;
  }

  memory() {
    return { now: memoryMiB(this.pid(), 'VmRSS'), peak: memoryMiB(this.pid(), 'VmHWM') };
  }
}
