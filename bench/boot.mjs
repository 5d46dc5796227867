// From starting the process to the first accepted publish: embedded Postgres on a fresh folder and on the same folder again, and
// DATABASE_URL on a fresh (migrations run) and on a migrated database.
import { join } from 'node:path';
import { removeFolder, stop, tempFolder } from './host.mjs';
import { now } from './load.mjs';
import { publishWire, startDev } from './tikku.mjs';

const MESSAGE = JSON.stringify({ url: 'http://127.0.0.1:9/nobody', body: {}, delaySeconds: 864_000 });

export async function bootPhase(figures, { cluster }) {
  const folder = tempFolder('boot');
  const given = await cluster.fresh('boot');
  for (const [metric, databaseUrl] of [['Embedded', undefined], ['Given', given]]) {
    const data = join(folder, metric);
    figures.add(`boot${metric}Fresh`, 'tikku', await boot(data, databaseUrl));
    figures.add(`boot${metric}Again`, 'tikku', await boot(data, databaseUrl));
  }
  removeFolder(folder);
}

async function boot(data, databaseUrl) {
  const startedAt = now();
  const dev = await startDev(data, databaseUrl);
  const wire = publishWire(dev);
  await wire.post('/v1/messages', MESSAGE);
  const elapsed = now() - startedAt;
  wire.close();
  await stop(dev.child);
  return elapsed;
}
