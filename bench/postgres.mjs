// The benchmark's own Postgres: one private cluster, fsync and synchronous_commit on, pg_stat_statements loaded, defaults otherwise.
// Tikku and pgbench use it in turn. The bench's own questions come from another role and another database, so they are not counted.
import { execFileSync } from 'node:child_process';
import { appendFileSync, chownSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { assertAlive, freePort, start, stop, tempFolder } from './host.mjs';
import { until } from './load.mjs';

/** Folder of the server binaries: PG_BIN, else Debian's newest, else what pg_config says. */
export function binaries() {
  if (process.env.PG_BIN) return process.env.PG_BIN;
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const found = versions.map((version) => join(debian, version, 'bin')).find((bin) => existsSync(join(bin, 'initdb')));
  return found ?? execFileSync('pg_config', ['--bindir'], { encoding: 'utf8' }).trim();
}

/** Postgres refuses to run as root: the user `postgres` or `nobody` then runs it. */
function unprivileged() {
  if (process.getuid() !== 0) return {};
  const id = (flag, user) => Number(execFileSync('id', [flag, user], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  for (const user of ['postgres', 'nobody']) {
    try {
      return { uid: id('-u', user), gid: id('-g', user) };
    } catch { /* the next one */ }
  }
  throw new Error('running as root and there is no user "postgres" or "nobody" to run Postgres as');
}

export class Cluster {
  async start() {
    this.folder = tempFolder('postgres');
    this.port = await freePort();
    const data = join(this.folder, 'data');
    const user = unprivileged();
    mkdirSync(data, { mode: 0o700 });
    if (user.uid !== undefined) for (const path of [this.folder, data]) chownSync(path, user.uid, user.gid);
    execFileSync(join(binaries(), 'initdb'), ['-D', data, '-U', 'bench', '-A', 'trust', '-E', 'UTF8', '--locale=C'], { ...user, cwd: this.folder, stdio: 'ignore' });
    appendFileSync(join(data, 'postgresql.conf'), [
      '', "listen_addresses = '127.0.0.1'", `port = ${this.port}`, "unix_socket_directories = ''", 'fsync = on', 'synchronous_commit = on',
      "shared_preload_libraries = 'pg_stat_statements'", 'pg_stat_statements.track = top', ''].join('\n'));
    this.child = start(join(binaries(), 'postgres'), ['-D', data], { ...user, cwd: this.folder, log: join(this.folder, 'log'), stopSignal: 'SIGINT' });
    await until('Postgres', async () => {
      assertAlive(this.child);
      this.admin = new pg.Client({ connectionString: this.url('bench', 'postgres') });
      await this.admin.connect();
      return true;
    }, 30_000, 100);
    this.admin.on('error', () => {}); // the cluster's end
    await this.query('create extension pg_stat_statements');
    await this.query('create role tikku login');
    const { rows } = await this.query('show server_version');
    this.version = rows[0].server_version;
  }

  async stop() {
    await this.admin.end();
    await stop(this.child);
  }

  url(user, database) {
    return `postgres://${user}@127.0.0.1:${this.port}/${database}`;
  }

  query(sql, values) {
    return this.admin.query(sql, values);
  }

  /** A fresh database owned by the role `tikku`; a checkpoint follows, so that none falls due by chance in a timed phase. */
  async fresh(database) {
    await this.query(`drop database if exists ${database} with (force)`);
    await this.query(`create database ${database} owner tikku`);
    await this.query('checkpoint');
    return `${this.url('tikku', database)}?sslmode=disable`;
  }

  /** Lets autovacuum work, or rest: `on` or `off`. */
  async autovacuum(setting) {
    await this.query(`alter system set autovacuum = ${setting}`);
    await this.query('select pg_reload_conf()');
  }

  async resetStatements() {
    await this.query('select pg_stat_statements_reset()');
  }

  /** What the role `tikku` ran in the database since the reset, most calls first: {calls, rows, ms, name}. Top level statements only. */
  async statements(database) {
    const { rows } = await this.query(
      `select s.calls::int, s.rows::int, s.total_exec_time as ms, s.query from pg_stat_statements s
       join pg_database d on d.oid = s.dbid join pg_roles r on r.oid = s.userid
       where d.datname = $1 and r.rolname = 'tikku' and s.toplevel order by s.calls desc`, [database]);
    return rows.map(({ query, ...row }) => ({ ...row, name: statementName(query) }));
  }

  /** Transactions of the database so far. Asked from another database: the question does not count itself. */
  async transactions(database) {
    const { rows } = await this.query('select (xact_commit + xact_rollback)::bigint as n from pg_stat_database where datname = $1', [database]);
    return Number(rows[0].n);
  }
}

/** Tikku's statements open with their name as a comment (`-- message::claim`); others are named by their first words. */
function statementName(query) {
  return /^\s*--\s*(\S+)/.exec(query)?.[1] ?? query.replace(/\s+/g, ' ').trim().slice(0, 60);
}
