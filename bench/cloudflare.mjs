// Cloudflare Workflows beside us, in their local runtime (workerd under wrangler dev): what this measures is the simulator, not the service.
import { cpSync, readFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { family } from './cpu.mjs';
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
    this.listener.keepAliveTimeout = 65_000; // a pooled connection that closes under a run's last word ends the run
    const back = await freePort();
    await new Promise((resolve) => this.listener.listen(back, '127.0.0.1', resolve));
    this.folder = tempFolder('cloudflare');
    // A copy that nobody edits: wrangler watches it, and a reload forgets what ran.
    cpSync(WORKER, this.folder, { recursive: true });
    const [port, inspector] = [await freePort(), await freePort()];
    this.port = port;
    const wrangler = createRequire(import.meta.url).resolve('wrangler/bin/wrangler.js');
    this.child = start(process.execPath, [wrangler, 'dev', '--config', join(this.folder, 'wrangler.toml'), '--ip', '127.0.0.1', '--port', String(this.port), '--local',
      '--inspector-port', String(inspector), '--persist-to', join(this.folder, 'state'), '--log-level', 'error', '--show-interactive-dev-session=false', '--var', `BACK:http://127.0.0.1:${back}`],
      { log: join(this.folder, 'log'), env: { ...process.env, WRANGLER_SEND_METRICS: 'false', CLOUDFLARE_CF_FETCH_ENABLED: 'false', WRANGLER_CI_DISABLE_CONFIG_WATCHING: 'true', CI: '1' } });
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
    const silence = sleep(60_000).then(() => { throw new Error(`a run was not heard of for a minute; wrangler said: ${readFileSync(join(this.folder, 'log'), 'utf8').slice(-1500)}`); });
    await Promise.race([end, silence]);
    this.waiting.delete(n);
  }

  /** wrangler, its proxy's workerd and the one that runs the Worker. */
  pids() {
    return family(this.child.pid);
  }

  // By GET: after a reload wrangler's proxy repeats a GET by itself, and answers 503 to a POST.
  async #create(kind, input) {
    const answer = await fetch(`http://127.0.0.1:${this.port}/${kind}?${encodeURIComponent(JSON.stringify(input))}`);
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${kind}: ${answer.status} ${text.slice(0, 200)}`);
  }
}
