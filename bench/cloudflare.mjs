// Cloudflare Workflows beside us, in their local runtime (workerd under wrangler dev): what this measures is the simulator, not the service.
import http from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assertAlive, freePort, removeFolder, start, stop, tempFolder } from './host.mjs';
import { Sink, sleep, until } from './load.mjs';

const WORKER = fileURLToPath(new URL('./cloudflare/', import.meta.url));

export class Cloudflare {
  name = 'cloudflare';
  sink = new Sink();

  async start() {
    this.waiting = new Map();
    this.number = 0;
    this.listener = http.createServer((request, response) => {
      const message = JSON.parse(decodeURIComponent(new URL(request.url, 'http://x').search.slice(1)));
      if (message.n === undefined) this.sink.hit(message);
      else this.waiting.get(message.n)?.();
      response.end('ok');
    });
    const back = await freePort();
    await new Promise((resolve) => this.listener.listen(back, '127.0.0.1', resolve));
    this.folder = tempFolder('cloudflare');
    this.port = await freePort();
    const wrangler = createRequire(import.meta.url).resolve('wrangler/bin/wrangler.js');
    this.child = start(process.execPath, [wrangler, 'dev', '--config', join(WORKER, 'wrangler.toml'), '--ip', '127.0.0.1', '--port', String(this.port), '--local',
      '--persist-to', join(this.folder, 'state'), '--log-level', 'error', '--show-interactive-dev-session=false', '--var', `BACK:http://127.0.0.1:${back}`],
      { log: join(this.folder, 'log'), env: { ...process.env, WRANGLER_SEND_METRICS: 'false', CLOUDFLARE_CF_FETCH_ENABLED: 'false', CI: '1' } });
    await until('wrangler dev', async () => {
      assertAlive(this.child);
      return (await (await fetch(`http://127.0.0.1:${this.port}/ok`)).text()) === 'ok';
    }, 90_000, 100);
  }

  async stop() {
    await stop(this.child);
    this.listener.closeAllConnections();
    this.listener.close();
    removeFolder(this.folder);
  }

  async run10() {
    const n = ++this.number;
    const end = new Promise((resolve) => this.waiting.set(n, resolve));
    await this.#create('ten', { n });
    await Promise.race([end, sleep(60_000).then(() => { throw new Error('a run was not heard of for a minute'); })]);
    this.waiting.delete(n);
  }

  pid() {
    return this.child.pid;
  }

  async #create(kind, input) {
    const ask = () => fetch(`http://127.0.0.1:${this.port}/${kind}`, { method: 'POST', body: JSON.stringify(input) });
    let answer = await ask();
    // wrangler restarts its worker now and then, and asks to be asked again.
    for (let i = 0; i < 5 && answer.status === 503; i++) {
      await sleep(200);
      answer = await ask();
    }
    if (!answer.ok) throw new Error(`${kind}: ${answer.status} ${(await answer.text()).slice(0, 200)}`);
    await answer.arrayBuffer();
  }
}
