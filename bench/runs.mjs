// Tikku's workflows: the dev server as in tikku.mjs, and an endpoint of the TypeScript SDK in this process, as Restate's endpoint is.
import http from 'node:http';
import { fileURLToPath } from 'node:url';
import { freePort } from './host.mjs';
import { now, until } from './load.mjs';
import { Tikku } from './tikku.mjs';
import { settled } from './workflows.mjs';

const SDK = fileURLToPath(new URL('../sdk/typescript/dist/', import.meta.url));

export class TikkuRuns extends Tikku {
  /** `mode` is how the endpoint reports results: each, batched or return. */
  constructor(cluster, database, mode) {
    super(cluster, database);
    this.mode = mode;
    this.name = `tikku_${mode}`;
    // An invocation per step gets the journal so far each time: 160 GB for this one.
    if (mode === 'return') this.record = undefined;
  }

  async start() {
    await super.start();
    const { workflow } = await import(`${SDK}index.js`);
    const { serve } = await import(`${SDK}node.js`);
    this.waiting = new Map();
    const done = (run) => this.waiting.get(run)?.();
    const ten = workflow({ name: 'ten' }, async (step, input) => {
      for (let i = 0; i < 10; i++) await step.run(`s${i}`, () => i);
      done(input);
    });
    const sleeper = workflow({ name: 'sleeper' }, async (step, input) => {
      await step.sleepUntil('due', new Date(input.due));
      this.sink.hit(input);
    });
    const long = workflow({ name: 'long' }, async (step, input) => {
      for (let i = 0; i < input.steps; i++) await step.run('s', () => { this.marks[i] = now(); });
      done('long');
    });
    const journal = workflow({ name: 'journal' }, async (step, { steps, bytes }) => {
      const value = 'x'.repeat(bytes);
      for (let i = 0; i < steps; i++) await step.run('s', () => value);
      await step.waitForSignal('go');
      done('journal');
    });
    this.server = http.createServer(serve({ workflows: [ten, sleeper, long, journal], signingSecret: this.dev.signingSecret,
      checkpoint: this.mode === 'batched' ? { everyMs: 1000, maxSteps: 100 } : this.mode }));
    this.server.keepAliveTimeout = 65_000;
    const port = await freePort();
    await new Promise((resolve) => this.server.listen(port, '127.0.0.1', resolve));
    const answer = await fetch(`${this.dev.url}/v1/apps/bench`, { method: 'PUT', body: JSON.stringify({ url: `http://127.0.0.1:${port}/` }),
      headers: { 'content-type': 'application/json', authorization: `Bearer ${this.dev.apiKey}` } });
    const app = await answer.json();
    if (!answer.ok || app.describeError) throw new Error(`the app could not be registered: ${JSON.stringify(app)}`);
    this.number = 0;
    this.runsSettled = settled(async () => {
      const { rows } = await this.probe.query("select count(*)::int as n from tikku.run where state = 'completed'");
      return rows[0].n;
    });
  }

  async stop() {
    this.server.closeAllConnections();
    this.server.close();
    await super.stop();
  }

  /** Starts a run and waits until its handler is through. */
  async run10() {
    const id = ++this.number;
    const end = new Promise((resolve) => this.waiting.set(id, resolve));
    await this.wire.post('/v1/workflows/ten/runs', JSON.stringify({ input: id }));
    await end;
    this.waiting.delete(id);
  }

  armSleeper(input) {
    return this.wire.post('/v1/workflows/sleeper/runs', JSON.stringify({ input }));
  }

  /** Has a run record so many steps of so many bytes, and waits until it is parked. */
  async record(steps, bytes) {
    const { id } = JSON.parse(await this.wire.post('/v1/workflows/journal/runs', JSON.stringify({ input: { steps, bytes } })));
    this.journal = id;
    await until('the journal to be written', async () => {
      const { rows } = await this.probe.query("select 1 from tikku.run where state = 'waiting'");
      return rows.length === 1;
    }, 300_000, 100);
  }

  async resume() {
    const end = new Promise((resolve) => this.waiting.set('journal', resolve));
    await this.wire.post(`/v1/runs/${this.journal}/signals/go`, '1');
    await end;
    await this.runsSettled(1);
  }

  async runLong(steps) {
    this.marks = new Float64Array(steps);
    const end = new Promise((resolve) => this.waiting.set('long', resolve));
    await this.wire.post('/v1/workflows/long/runs', JSON.stringify({ input: { steps } }));
    await end;
    await this.runsSettled(1);
    return this.marks;
  }
}
