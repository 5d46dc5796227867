// The ceiling of the load generator: the same pump against an HTTP server, in a process of its own, that does nothing.
// Run as a program it is that server.
import http from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assertAlive, freePort, removeFolder, start, stop, tempFolder } from './host.mjs';
import { BODY, now, pump, until } from './load.mjs';
import { Wire } from './wire.mjs';

const FILE = fileURLToPath(import.meta.url);
if (process.argv[1] === FILE) {
  http.createServer((request, response) => request.resume().on('end', () => response.end('{}'))).listen(Number(process.argv[2]), '127.0.0.1');
}

/** Starts the server that does nothing: {child, port, folder}. */
export async function emptyServer() {
  const folder = tempFolder('generator');
  const port = await freePort();
  const child = start(process.execPath, [FILE, String(port)], { log: join(folder, 'log') });
  const wire = new Wire(port);
  await until('the empty server', async () => {
    assertAlive(child);
    await wire.post('/', '{}');
    return true;
  });
  wire.close();
  return { child, port, folder };
}

export async function generatorPhase(figures, { messages }) {
  const { child, port, folder } = await emptyServer();
  const wire = new Wire(port);
  const send = (i) => wire.post('/', JSON.stringify({ t: now(), i, b: BODY }));
  await pump(messages, send); // compiles the generator's code
  figures.add('generator', 'generator', (await pump(messages, send)).perSecond);
  wire.close();
  await stop(child);
  removeFolder(folder);
}
