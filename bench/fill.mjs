// Databases with a crowd in them: messages that wait, inserted by SQL as the rows that publishes, loads and ticks leave behind.
import pg from 'pg';
import { BODY } from './load.mjs';
import { command } from './tikku.mjs';

/** What a row looks like while it waits: its state, when it is due, and when tick hands it over. */
const KINDS = {
  /** Published with a delay of a week: tick hands it over 15 minutes before. */
  scheduled: { state: 'scheduled', due: "tikku.clock_now() + interval '7 days' + n * interval '1 millisecond'", kick: "due - interval '15 minutes'" },
  /** Due, and left waiting for its flow, which hands on one after the other. */
  flow: { state: 'queued', due: "tikku.clock_now() - interval '1 hour' + n * interval '1 millisecond'", kick: "timestamptz 'infinity'" },
  /** Due, and left waiting until its destination is back. */
  breaker: { state: 'queued', due: "tikku.clock_now() - interval '1 hour' + n * interval '1 millisecond'", kick: "timestamptz 'infinity'" },
  /** Due, and the queue does not hold it: tick hands it over at once. */
  due: { state: 'queued', due: "tikku.clock_now() - interval '1 hour' + n * interval '1 millisecond'", kick: "due + interval '60 seconds'" },
};

/** A fresh database with the schema and the accounts `default` (the one that publishes in the benchmark) and `crowd`. */
export async function prepared(cluster, database) {
  const url = await cluster.fresh(database);
  command(url, 'migrate');
  for (const name of ['default', 'crowd']) command(url, 'accounts', 'create', name);
  return url;
}

/** Inserts waiting messages for each of `crowds`: {kind, count, account, url, flow?}. Then vacuums and analyzes, as autovacuum does in time. */
export async function fill(cluster, database, crowds) {
  const client = new pg.Client({ connectionString: cluster.url('bench', database) });
  await client.connect();
  for (const crowd of crowds) await insert(client, crowd);
  await client.query('vacuum (analyze)');
  await client.query('checkpoint');
  await client.end();
}

async function insert(client, { kind, count, account, url, flow, paused = false }) {
  const { state, due, kick } = KINDS[kind];
  const { rows } = await client.query('select id from tikku.account where name = $1', [account]);
  const owner = rows[0].id;
  const key = flow ? 'crowd' : null;
  if (flow) {
    await client.query(`insert into tikku.flow (account_id, key, parallelism, paused, waiting, next_at) values ($1, $2, $3, $4, true, tikku.clock_now())`,
      [owner, key, flow.parallelism, paused]);
  }
  const breaker = kind === 'breaker' ? await openBreaker(client, owner, url) : null;
  await client.query(`with made as materialized (
      select tikku.new_id() as id, n, ${due} as due from generate_series(1, $1::int) n
    ), content as (
      insert into tikku.message_content (account_id, message_id, created_at, url, method, headers, body, backoff, labels, raw, flow)
        select $2, id, tikku.clock_now(), $3, 'POST', '[]', convert_to($4, 'UTF8'), tikku.backoff_default(), '{}', false, $5::json from made
    )
    insert into tikku.message (id, account_id, state, due_at, kick_until, max_attempts, timeout_ms, flow_key, breaker_id)
      select id, $2, '${state}', due, ${kick}, 5, 30000, $6, $7::uuid from made`,
  [count, owner, url, JSON.stringify({ r: 0, i: 0, t: 0, b: BODY }), flow ? JSON.stringify(flow) : null, key, breaker]);
}

/** A breaker that has just opened and tries again in a day. */
async function openBreaker(client, owner, url) {
  const { rows } = await client.query(`insert into tikku.breaker (account_id, destination, state, window_at, attempts, failures, opened_at, probe_at, next_at)
    values ($1, $2, 'open', tikku.clock_now(), 100, 100, tikku.clock_now(), tikku.clock_now() + interval '1 day', tikku.clock_now() + interval '1 day') returning id`,
  [owner, url]);
  return rows[0].id;
}
