-- What an account may use and keeps: request counts, bulk operations over its messages, retention.

create table tikku.account_usage (
  window_at timestamptz not null,
  account_id uuid not null,
  used bigint not null,
  primary key (window_at, account_id)
) with (fillfactor = 50);
comment on table tikku.account_usage is 'API requests of each account in each minute, as far as processes have reported them: each does once a second.';
comment on column tikku.account_usage.window_at is 'Start of the minute, by the database clock.';
comment on column tikku.account_usage.account_id is 'Whose requests.';
comment on column tikku.account_usage.used is 'How many, refused ones included.';

-- A thousand a second is what one process alone serves; a limit that nobody set must not be what an owner meets first.
alter table tikku.account alter column requests_per_minute set default 1000000;
update tikku.account set requests_per_minute = default;

alter table tikku.tick add column prune_at timestamptz not null default '-infinity';
comment on column tikku.tick.prune_at is 'When tick looks next for what is older than its retention.';

-- Bulk: dead letters in the order in which they failed.
create index message_failed_finished on tikku.message (account_id, finished_at, id) where state = 'failed';

-- Retention deletes as much as publish inserts.
alter table tikku.message_content set (autovacuum_vacuum_scale_factor = 0.05);
alter table tikku.attempt set (autovacuum_vacuum_scale_factor = 0.05);

-- Both are inlined into the statements below. A filter of nulls costs no look at the content.
create function tikku.message_dead(p_account uuid, p_as_of timestamptz, p_ids uuid[], p_url text, p_label text, p_fanout text, p_schedule uuid, p_from_ms bigint, p_to_ms bigint)
returns table (id uuid, finished_at timestamptz) language sql stable rows 1000 as $$
  select m.id, m.finished_at from tikku.message m
    where m.account_id = p_account and m.state = 'failed' and m.finished_at <= p_as_of and (p_ids is null or m.id = any(p_ids))
      and (num_nonnulls(p_url, p_label, p_fanout, p_schedule, p_from_ms, p_to_ms) = 0 or exists (
        select 1 from tikku.message_content c where c.account_id = p_account and c.message_id = m.id
          and (p_url is null or strpos(c.url, p_url) > 0) and (p_label is null or p_label = any(c.labels))
          and (p_fanout is null or c.fanout = p_fanout) and (p_schedule is null or c.schedule_id = p_schedule)
          and (p_from_ms is null or c.created_at >= to_timestamp(p_from_ms / 1000.0)) and (p_to_ms is null or c.created_at < to_timestamp(p_to_ms / 1000.0))))
$$;
comment on function tikku.message_dead is 'Messages that had failed at that time and match.';

create function tikku.message_open(p_account uuid, p_last uuid, p_ids uuid[], p_url text, p_label text, p_fanout text, p_schedule uuid, p_from_ms bigint, p_to_ms bigint)
returns table (id uuid) language sql stable rows 1000 as $$
  select m.id from (
      select w.id from tikku.message w where w.account_id = p_account and w.kick_until is not null
      union all
      select l.id from tikku.message l where l.account_id = p_account and l.lease_until is not null and not l.cancel_requested
    ) m
    where m.id <= p_last and (p_ids is null or m.id = any(p_ids))
      and (num_nonnulls(p_url, p_label, p_fanout, p_schedule, p_from_ms, p_to_ms) = 0 or exists (
        select 1 from tikku.message_content c where c.account_id = p_account and c.message_id = m.id
          and (p_url is null or strpos(c.url, p_url) > 0) and (p_label is null or p_label = any(c.labels))
          and (p_fanout is null or c.fanout = p_fanout) and (p_schedule is null or c.schedule_id = p_schedule)
          and (p_from_ms is null or c.created_at >= to_timestamp(p_from_ms / 1000.0)) and (p_to_ms is null or c.created_at < to_timestamp(p_to_ms / 1000.0))))
$$;
comment on function tikku.message_open is 'Messages that can be cancelled, up to that id, and match.';

create function tikku.as_of(p_us bigint) returns timestamptz language sql stable as $$
  select least(tikku.clock_now(), timestamptz 'epoch' + p_us * interval '1 microsecond')
$$;
comment on function tikku.as_of is 'Microseconds since 1970 as a time that is not after now; now for null.';

create function tikku.us(p_time timestamptz) returns bigint language sql stable as $$
  select (extract(epoch from p_time) * 1000000)::bigint
$$;
comment on function tikku.us is 'Microseconds since 1970.';

create function tikku.rfc3339_us(p_us bigint) returns text language sql stable as $$
  select to_char((timestamptz 'epoch' + p_us * interval '1 microsecond') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;
comment on function tikku.rfc3339_us is 'RFC 3339 in UTC with microseconds, for a time that comes back.';

-- How many rows of three tables and their TOAST go with a message decides how long a deletion holds its locks, not how many messages. Reading
-- them here also means that what is locked afterwards need not wait for a disk.
create function tikku.message_bite(p_account uuid, p_ids uuid[], p_rows_max bigint) returns int language sql stable as $$
  select coalesce(max(x.n), 1)::int from (
    select i.n, sum(w.weight) over (order by i.n) - w.weight as before
      from unnest(p_ids) with ordinality as i(id, n)
      join tikku.message m on m.id = i.id
      join tikku.message_content c on c.account_id = p_account and c.message_id = i.id
      cross join lateral (
        select 2 + count(a.number) + coalesce(sum(octet_length(a.response_body)), 0) / 2000 + coalesce(octet_length(c.body), 0) / 2000 as weight
          from tikku.attempt a where a.message_id = m.id) w
  ) x where x.before < p_rows_max
$$;
comment on function tikku.message_bite is 'How many of these messages, one at least, bring no more than so many rows with them.';

-- Dead letters due now with a fresh budget, those that failed first first. Rows that fail again have a later finished_at than as_of.
create function tikku.message_retry_many(
  p_account uuid, p_as_of_us bigint, p_most int, p_ids uuid[], p_url text, p_label text, p_fanout text, p_schedule uuid, p_from_ms bigint, p_to_ms bigint,
  out as_of_us bigint, out remaining bigint, out done uuid[]
) language plpgsql volatile as $$
declare
  v_as_of timestamptz := tikku.as_of(p_as_of_us);
begin
  done := array(select d.id from tikku.message_dead(p_account, v_as_of, p_ids, p_url, p_label, p_fanout, p_schedule, p_from_ms, p_to_ms) d
    order by d.finished_at, d.id limit p_most);
  done := array(select m.id from tikku.message m where m.id = any(done) and m.state = 'failed' and m.finished_at <= v_as_of order by m.id for update);
  perform tikku.message_retry_locked(done, tikku.clock_fresh());
  as_of_us := tikku.us(v_as_of);
  select count(*) into remaining from (
    select 1 from tikku.message_dead(p_account, v_as_of, p_ids, p_url, p_label, p_fanout, p_schedule, p_from_ms, p_to_ms) limit 1000000) x;
end $$;
comment on function tikku.message_retry_many is 'What it retried, for the queue; how many are left.';

-- Dead letters with all that belongs to them. One that was retried meanwhile is locked as what it is now, and stays.
create function tikku.message_delete_many(
  p_account uuid, p_as_of_us bigint, p_most int, p_ids uuid[], p_url text, p_label text, p_fanout text, p_schedule uuid, p_from_ms bigint, p_to_ms bigint,
  out as_of_us bigint, out remaining bigint, out done uuid[]
) language plpgsql volatile as $$
declare
  v_as_of timestamptz := tikku.as_of(p_as_of_us);
begin
  done := array(select d.id from tikku.message_dead(p_account, v_as_of, p_ids, p_url, p_label, p_fanout, p_schedule, p_from_ms, p_to_ms) d
    order by d.finished_at, d.id limit p_most);
  done := done[1:tikku.message_bite(p_account, done, 50000)];
  done := array(select m.id from tikku.message m where m.id = any(done) and m.state = 'failed' and m.finished_at <= v_as_of order by m.id for update);
  delete from tikku.message m where m.id = any(done);
  delete from tikku.message_content c where c.account_id = p_account and c.message_id = any(done);
  delete from tikku.attempt a where a.message_id = any(done);
  as_of_us := tikku.us(v_as_of);
  select count(*) into remaining from (
    select 1 from tikku.message_dead(p_account, v_as_of, p_ids, p_url, p_label, p_fanout, p_schedule, p_from_ms, p_to_ms) limit 1000000) x;
end $$;
comment on function tikku.message_delete_many is 'What it deleted; how many are left.';

-- Everything that was published up to as_of, by the time in its id, and is not over. A push that is under way may still end delivered.
create function tikku.message_cancel_many(
  p_account uuid, p_as_of_us bigint, p_most int, p_ids uuid[], p_url text, p_label text, p_fanout text, p_schedule uuid, p_from_ms bigint, p_to_ms bigint,
  out as_of_us bigint, out remaining bigint, out done uuid[], out flow_keys text[]
) language plpgsql volatile as $$
declare
  v_as_of timestamptz := tikku.as_of(p_as_of_us);
  v_last uuid := (lpad(to_hex(tikku.us(v_as_of) / 1000), 12, '0') || repeat('f', 20))::uuid;
begin
  done := array(select o.id from tikku.message_open(p_account, v_last, p_ids, p_url, p_label, p_fanout, p_schedule, p_from_ms, p_to_ms) o limit p_most);
  done := array(select m.id from tikku.message m where m.id = any(done) and m.finished_at is null and not m.cancel_requested order by m.id for update);
  perform tikku.message_cancel_locked(done, tikku.clock_fresh());
  select array_agg(distinct m.flow_key) into flow_keys from tikku.message m where m.id = any(done) and m.flow_key is not null and m.finished_at is not null;
  as_of_us := tikku.us(v_as_of);
  select count(*) into remaining from (
    select 1 from tikku.message_open(p_account, v_last, p_ids, p_url, p_label, p_fanout, p_schedule, p_from_ms, p_to_ms) limit 1000000) x;
end $$;
comment on function tikku.message_cancel_many is 'What it cancelled; how many are left; the flows whose next messages may start now.';

-- One bite of retention: messages of one account that finished longest ago, from p_account and p_after on. It waits for no lock: rows
-- that somebody holds are left to the next round. What is found is deleted by id, so that the locks are short on a table of any size.
create function tikku.message_prune(p_account uuid, p_after timestamptz, p_most int, p_rows_max bigint, out pruned int, out held_us bigint, out account uuid, out after timestamptz)
language plpgsql volatile as $$
declare
  a record;
  v_ids uuid[];
  v_times timestamptz[];
  v_bite int;
  v_begun timestamptz;
begin
  pruned := 0;
  for a in
    select x.id, tikku.clock_now() - x.retention_days * interval '1 day' as before, case when x.id = p_account then p_after else '-infinity' end as after
      from tikku.account x where x.id >= p_account order by x.id
  loop
    select array_agg(o.id order by o.finished_at), array_agg(o.finished_at order by o.finished_at) into v_ids, v_times from (
      select m.id, m.finished_at from tikku.message m
        where m.account_id = a.id and m.finished_at >= a.after and m.finished_at < a.before order by m.finished_at limit p_most
    ) o;
    continue when v_ids is null;
    v_bite := tikku.message_bite(a.id, v_ids, p_rows_max);
    v_begun := tikku.clock_fresh();
    -- A publisher that found a content row by its idempotency key holds it, perhaps in a user's long transaction.
    v_ids := array(select m.id from tikku.message m join tikku.message_content c on c.account_id = a.id and c.message_id = m.id
      where m.id = any(v_ids[1:v_bite]) and m.finished_at < a.before for update of m, c skip locked);
    delete from tikku.message m where m.id = any(v_ids);
    get diagnostics pruned = row_count;
    delete from tikku.message_content c where c.account_id = a.id and c.message_id = any(v_ids);
    delete from tikku.attempt t where t.message_id = any(v_ids);
    held_us := tikku.us(tikku.clock_fresh()) - tikku.us(v_begun);
    account := a.id;
    -- Where all are held, the next round goes past them.
    after := v_times[v_bite] + (pruned = 0)::int * interval '1 microsecond';
    return;
  end loop;
end $$;
comment on function tikku.message_prune is 'How many messages went, how long their locks were held, and where to go on; account is null at the end.';

-- What else grows: runs of schedules, request counts of past hours, breakers of destinations that are well again. Candidates are found without
-- locks, and each call deletes of one kind only, so that nothing stays locked while it looks for more.
create function tikku.leftovers_prune(p_most int, p_again_ms bigint) returns int language plpgsql volatile as $$
declare
  v_old timestamptz := tikku.clock_now() - interval '1 hour';
  v_ids uuid[];
  v_pruned int := tikku.schedule_prune(p_most);
begin
  if v_pruned > 0 then
    return v_pruned;
  end if;
  delete from tikku.account_usage u using (
      select x.window_at, x.account_id from tikku.account_usage x where x.window_at < v_old limit p_most for update skip locked) o
    where u.window_at = o.window_at and u.account_id = o.account_id;
  get diagnostics v_pruned = row_count;
  if v_pruned > 0 then
    return v_pruned;
  end if;
  v_ids := array(select b.id from tikku.breaker b where (b.state = 'closed' or b.probe_at < v_old) and b.window_at < v_old
    and not exists (select 1 from tikku.message m where m.breaker_id = b.id) limit p_most);
  v_ids := array(select b.id from tikku.breaker b where b.id = any(v_ids) and (b.state = 'closed' or b.probe_at < v_old) and b.window_at < v_old for update skip locked);
  delete from tikku.breaker b where b.id = any(v_ids) and not exists (select 1 from tikku.message m where m.breaker_id = b.id);
  get diagnostics v_pruned = row_count;
  if v_pruned = 0 then
    update tikku.tick set prune_at = tikku.clock_now() + tikku.ms(p_again_ms) where only_row;
  end if;
  return v_pruned;
end $$;
comment on function tikku.leftovers_prune is 'How many rows it deleted; for none it notes when to look again.';

alter function tikku.message_retry_many set lock_timeout = '5s';
alter function tikku.message_delete_many set lock_timeout = '5s';
alter function tikku.message_cancel_many set lock_timeout = '5s';
-- Their filters are many and mostly absent: each call gets the plan for those it has.
alter function tikku.message_retry_many set plan_cache_mode = force_custom_plan;
alter function tikku.message_delete_many set plan_cache_mode = force_custom_plan;
alter function tikku.message_cancel_many set plan_cache_mode = force_custom_plan;
-- By index is right at every size (migration 4 says why).
alter function tikku.message_retry_many set enable_seqscan = off;
alter function tikku.message_delete_many set enable_seqscan = off;
alter function tikku.message_cancel_many set enable_seqscan = off;
alter function tikku.leftovers_prune set enable_seqscan = off;
alter function tikku.message_prune set enable_seqscan = off;
alter function tikku.message_prune set enable_bitmapscan = off;
alter function tikku.message_prune set enable_hashjoin = off;
alter function tikku.message_prune set enable_mergejoin = off;
