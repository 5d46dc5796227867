// Sizes of what is deployed, and the Lambda functions' init time. Measured when built, "not built" otherwise; nothing is built here.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { assertAlive, logTail, start, stop, tempFolder } from './host.mjs';
import { now, sleep } from './load.mjs';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const LAMBDA_FOLDER = process.env.TIKKU_LAMBDA_DIR ?? join(ROOT, '.aws-sam/build');
const FUNCTIONS = ['publish', 'tick', 'deliver'];
const INITS = 5;
const INIT_LIMIT_MS = 20_000;
const KIB = 1024;

/** Size of the Worker's wasm, gzipped as Cloudflare counts it. */
export function wasmPhase(figures) {
  const folder = join(ROOT, 'functions/edge/build');
  const file = existsSync(folder) && readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.wasm')).map((name) => join(folder, name))[0];
  if (!file) return;
  const wasm = readFileSync(file);
  figures.add('wasmGzipKiB', 'tikku', gzipSync(wasm, { level: 9 }).length / KIB);
  figures.add('wasmKiB', 'tikku', wasm.length / KIB);
}

/** Size of each bootstrap and the time from its start to its first `GET /invocation/next` (the median of five starts). */
export async function lambdaPhase(figures, { cluster }) {
  const folder = tempFolder('lambda');
  for (const name of FUNCTIONS) {
    const bootstrap = findBootstrap(name);
    if (!bootstrap) continue;
    figures.add(`lambdaKiB.${name}`, 'tikku', statSync(bootstrap).size / KIB);
    const databaseUrl = await cluster.fresh('lambda');
    for (let i = 0; i < INITS; i++) figures.add(`lambdaInitMs.${name}`, 'tikku', await initMs(bootstrap, name, databaseUrl, join(folder, 'log')));
  }
}

/** `publish/bootstrap`, or SAM's `PublishFunction/bootstrap`. */
function findBootstrap(name) {
  if (!existsSync(LAMBDA_FOLDER)) return undefined;
  const wanted = [name, `${name}function`];
  const folder = readdirSync(LAMBDA_FOLDER).find((entry) => wanted.includes(entry.toLowerCase()));
  const file = folder && join(LAMBDA_FOLDER, folder, 'bootstrap');
  return file && existsSync(file) ? file : undefined;
}

async function initMs(bootstrap, name, databaseUrl, log) {
  let asked;
  const ready = new Promise((resolve) => (asked = resolve));
  const runtime = http.createServer((request) => {
    if (request.url.endsWith('/invocation/next')) asked(now()); // never answered: the function stays idle
  });
  await new Promise((resolve) => runtime.listen(0, '127.0.0.1', resolve));
  const startedAt = now();
  const child = start(bootstrap, [], { log, stopSignal: 'SIGKILL', env: {
    AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${runtime.address().port}`, AWS_LAMBDA_FUNCTION_NAME: name, AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '256', AWS_LAMBDA_LOG_GROUP_NAME: name, AWS_LAMBDA_LOG_STREAM_NAME: name, AWS_REGION: 'eu-west-1',
    AWS_ACCESS_KEY_ID: 'bench', AWS_SECRET_ACCESS_KEY: 'bench', DATABASE_URL: databaseUrl,
    TIKKU_QUEUE_URL: 'http://127.0.0.1:9/1/tikku-wake', AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:9', RUST_LOG: 'warn' } });
  const askedAt = await Promise.race([ready, child.exit, sleep(INIT_LIMIT_MS)]);
  runtime.closeAllConnections();
  runtime.close();
  if (typeof askedAt !== 'number' || askedAt < startedAt) {
    assertAlive(child);
    throw new Error(`the ${name} function asked for no invocation within ${INIT_LIMIT_MS} ms:\n${logTail(child)}`);
  }
  await stop(child);
  return askedAt - startedAt;
}
