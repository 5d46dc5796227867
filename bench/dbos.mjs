// DBOS Transact beside us: its TypeScript library in this process, on the benchmark's Postgres. It is embedded: no request crosses to an endpoint.
import { DBOS } from '@dbos-inc/dbos-sdk';
import { now, Sink } from './load.mjs';

// Workflows are registered once in a process; the instance that is measured changes.
let current;
const ten = DBOS.registerWorkflow(async () => {
  for (let i = 0; i < 10; i++) await DBOS.runStep(async () => i, { name: `s${i}` });
}, { name: 'ten' });
const sleeper = DBOS.registerWorkflow(async (input) => {
  await DBOS.sleep(Math.max(1, input.due - Date.now()));
  current.sink.hit(input);
}, { name: 'sleeper' });
const long = DBOS.registerWorkflow(async (steps) => {
  for (let i = 0; i < steps; i++) await DBOS.runStep(async () => { current.marks[i] = now(); }, { name: 's' });
}, { name: 'long' });

export class Dbos {
  name = 'dbos';
  sink = new Sink();

  constructor(cluster, database) {
    this.cluster = cluster;
    this.database = database;
  }

  async start() {
    DBOS.setConfig({ name: 'bench', systemDatabaseUrl: await this.cluster.fresh(this.database), systemDatabasePoolSize: 20, logLevel: 'error', runAdminServer: false });
    current = this;
    await DBOS.launch();
  }

  stop() {
    return DBOS.shutdown();
  }

  run10() {
    return ten();
  }

  armSleeper(input) {
    return DBOS.startWorkflow(sleeper)(input);
  }

  async runLong(steps) {
    this.marks = new Float64Array(steps);
    await long(steps);
    return this.marks;
  }

  pid() {
    return process.pid;
  }
}
