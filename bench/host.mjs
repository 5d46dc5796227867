// What the benchmark holds on this machine: temporary folders, child processes, free ports, memory figures. Everything started
// here is ended here, by its own process id, also on failure and on Ctrl-C.
import { spawn } from 'node:child_process';
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const children = new Set();
const folders = new Set();

/** A fresh folder under the system's temporary folder, readable by other users (Postgres never runs as root). */
export function tempFolder(name) {
  const folder = mkdtempSync(join(tmpdir(), `tikku-bench-${name}-`));
  chmodSync(folder, 0o755);
  folders.add(folder);
  return folder;
}

export function removeFolder(folder) {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  folders.delete(folder);
}

export const freePort = () => new Promise((resolve, reject) => {
  const server = net.createServer();
  server.on('error', reject);
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

/** Starts a process whose output goes to `log`. `stopSignal` is what ends it in good order. */
export function start(command, args, { log, stopSignal = 'SIGTERM', ...options }) {
  const output = openSync(log, 'a');
  const process_ = spawn(command, args, { stdio: ['ignore', output, output], ...options });
  closeSync(output);
  const child = { process: process_, pid: process_.pid, stopSignal, log, command, exited: false };
  child.exit = new Promise((resolve) => {
    const ended = (how) => {
      child.exited = true;
      children.delete(child);
      resolve(how);
    };
    process_.on('exit', (code, signal) => ended(code ?? signal));
    process_.on('error', (error) => ended(error.message));
  });
  children.add(child);
  return child;
}

/** Ends a child in good order, and with SIGKILL after 20 s. */
export async function stop(child) {
  if (child.exited) return;
  child.process.kill(child.stopSignal);
  const killer = setTimeout(() => child.process.kill('SIGKILL'), 20_000);
  await child.exit;
  clearTimeout(killer);
}

/** Throws, with the end of its log, when the child has ended by itself. */
export function assertAlive(child) {
  if (child.exited) throw Object.assign(new Error(`${child.command} ended by itself:\n${logTail(child)}`), { fatal: true });
}

export function logTail(child) {
  return readFileSync(child.log, 'utf8').split('\n').slice(-25).join('\n');
}

/** A memory line of /proc/PID/status in MiB: `VmRSS` is resident now, `VmHWM` its peak. */
export function memoryMiB(pid, line) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${line}:\\s+(\\d+)`).exec(status)[1]) / 1024;
}

function running(pid) {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

// The exit hook cannot await, so it sleeps in place until each child is gone.
process.on('exit', () => {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (const child of children) child.process.kill(child.stopSignal);
  for (const child of children) {
    for (let i = 0; i < 100 && running(child.pid); i++) Atomics.wait(pause, 0, 0, 100);
    if (running(child.pid)) child.process.kill('SIGKILL');
  }
  for (const folder of folders) {
    try {
      removeFolder(folder);
    } catch (error) {
      console.error(`could not remove ${folder}: ${error.message}`);
    }
  }
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));
