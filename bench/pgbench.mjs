// The floor: pgbench inserts one row per commit into a table that looks like a message, from as many clients as there are publishers.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { postgresTime } from './cpu.mjs';
import { BODY, PUBLISHERS } from './load.mjs';
import { binaries } from './postgres.mjs';

const TABLE = `create table message (
  id uuid primary key default gen_random_uuid(), account uuid not null, state text not null default 'scheduled',
  due_at timestamptz not null, method text not null, url text not null, body bytea not null, created_at timestamptz not null default now());
create index on message (due_at) where state in ('scheduled', 'queued')`;
const INSERT = `insert into message (account, due_at, method, url, body)
values ('01890000-0000-7000-8000-000000000000', now() + interval '10 days', 'POST', :url, :body);`;

/** Inserts for `seconds` and returns pgbench's rate without connecting, its mean latency in milliseconds, and Postgres's CPU time per insert in microseconds. */
export async function pgbench(cluster, seconds) {
  const script = join(cluster.folder, 'insert.sql');
  writeFileSync(script, INSERT);
  await cluster.fresh('pgbench');
  const url = cluster.url('bench', 'pgbench');
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(TABLE);
  await client.end();
  const before = postgresTime(cluster);
  const output = execFileSync(join(binaries(), 'pgbench'), ['-n', '-M', 'prepared', '-c', String(PUBLISHERS), '-j', '2', '-T', String(seconds),
    '-f', script, '-D', `body=${BODY}`, '-D', 'url=http://127.0.0.1:8080/sink', url], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const number = (pattern) => Number(pattern.exec(output)[1]);
  return { perSecond: number(/^tps = ([\d.]+)/m), mean: number(/^latency average = ([\d.]+)/m),
    postgresUs: (postgresTime(cluster) - before) / number(/actually processed: (\d+)/) };
}
