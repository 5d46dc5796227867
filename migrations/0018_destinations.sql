-- Messages and runs: a message can start a run, in the place of a push (its destination is `workflow:` and the workflow's name), and a run's step
-- can have a message make a call for it (fetch_run). Lock order: flows, messages, breakers, then runs by id descending.

-- 1. A message starts a run.

-- Each run has the message's id as its idempotency key: a start whose answer was lost, or whose lease ran out, finds it.
create function tikku.message_start(p_ids uuid[], p_window_ms bigint)
returns table (id uuid, verdict text, run_id uuid, state text, wait_ms bigint) language plpgsql volatile rows 10 as $$
declare
  c tikku.message_content;
  v_put text[];
begin
  for c in
    select x.* from tikku.message m join tikku.message_content x on x.account_id = m.account_id and x.message_id = m.id
      where m.id = any(p_ids) and m.state = 'delivering' and x.url like 'workflow:%' order by m.id
  loop
    v_put := tikku.run_start_for(c.account_id, case when c.schedule_id is null then 'message' else 'schedule' end, coalesce(c.schedule_id, c.message_id),
      substr(c.url, 10), null, null, 'msg_' || translate(c.message_id::text, '-', ''), c.body, null, c.labels, p_window_ms);
    id := c.message_id;
    verdict := v_put[1];
    run_id := null;
    state := null;
    wait_ms := null;
    if verdict in ('accepted', 'debounced', 'existing', 'skipped', 'mismatch') then
      run_id := v_put[2];
      state := v_put[3];
    end if;
    if verdict in ('accepted', 'debounced') then
      wait_ms := v_put[4];
    end if;
    return next;
  end loop;
end $$;
comment on function tikku.message_start is 'What run_put answered for each of these messages that is leased; a run with a wait is to be handed to the queue.';

-- A run that a due time started counts as its message does. That of a message to a singleton or a debounced workflow may be another's, and does not.
create or replace function tikku.schedule_is_running(p_schedule uuid) returns boolean language sql stable as $$
  select exists (
    select 1 from (
      select f.account_id, f.message_ids from tikku.schedule_fire f where f.schedule_id = p_schedule and f.outcome = 'fired' order by f.due_at desc limit 20
    ) f cross join lateral unnest(f.message_ids) as i(id)
    where exists (select 1 from tikku.message m where m.id = i.id and m.finished_at is null)
      or exists (
        select 1 from tikku.schedule s
          join tikku.run_content c on c.account_id = f.account_id and c.idempotency_key = 'msg_' || translate(i.id::text, '-', '')
          join tikku.run r on r.id = c.run_id and r.finished_at is null
          where s.id = p_schedule and s.url like 'workflow:%'))
$$;
comment on function tikku.schedule_is_running is 'Whether messages of its last runs are not over, or the runs that they started.';

-- 2. A message makes a call for a step.

-- Tells runs of calls that are over: the answer, or why there is none. Who tells may do so again. The messages are locked by the caller, or were over before.
create function tikku.fetch_end(p_ids uuid[], p_values bytea[], p_errors text[]) returns table (id uuid, wait_ms bigint, account_id uuid)
language plpgsql volatile rows 1 as $$
declare
  v_ids uuid[];
  v_runs uuid[];
  i record;
begin
  select array_agg(m.id), array_agg(c.fetch_run) into v_ids, v_runs
    from tikku.message m join tikku.message_content c on c.account_id = m.account_id and c.message_id = m.id
    where m.id = any(p_ids) and m.finished_at is not null and c.fetch_run is not null;
  if v_ids is null then
    return;
  end if;
  perform 1 from tikku.run r where r.id = any(v_runs) order by r.id desc for update;
  for i in
    select w.run_id, w.key, w.account_id, x.value, x.error, m.state
      from tikku.message m join tikku.message_content c on c.account_id = m.account_id and c.message_id = m.id
      join tikku.run r on r.id = c.fetch_run and r.finished_at is null
      join tikku.waiter w on w.run_id = c.fetch_run and w.key = c.fetch_key and w.message_id = m.id
      left join unnest(p_ids, p_values, p_errors) as x(id, value, error) on x.id = m.id
      where m.id = any(v_ids) order by w.run_id desc, m.finished_at, m.id
  loop
    wait_ms := tikku.run_fact(i.run_id, i.key, 'fetch', case when i.value is null then 'error' else 'ok' end, i.value,
      case when i.value is null then coalesce(i.error::json, json_build_object('name', 'FetchError', 'message',
        case when i.state = 'cancelled' then 'the call was cancelled' else 'lost: the delivering process never reported what came of the call' end)) end, null);
    if wait_ms is not null then
      id := i.run_id;
      account_id := i.account_id;
      return next;
    end if;
  end loop;
end $$;
comment on function tikku.fetch_end is 'The runs that are to be handed to the queue.';

-- As message_settle, where calls of steps are among the rows: what of them is over is told to the runs in the same transaction.
create function tikku.fetch_settle(
  p_ids uuid[], p_fences bigint[], p_states text[], p_throttled boolean[], p_failed boolean[], p_delays_ms bigint[], p_agos_ms bigint[], p_durations_ms bigint[],
  p_statuses int[], p_errors text[], p_headers text[], p_bodies bytea[], p_retry_afters_ms bigint[], p_callback_urls text[], p_callback_bodies bytea[],
  p_worker text, p_window_ms bigint, p_values bytea[], p_fetch_errors text[]
) returns table (id uuid, settled boolean, wait_ms bigint, account_id uuid, is_run boolean) language plpgsql volatile rows 50 as $$
begin
  return query
    select s.id, s.settled, s.wait_ms, s.account_id, false
      from tikku.message_settle(p_ids, p_fences, p_states, p_throttled, p_failed, p_delays_ms, p_agos_ms, p_durations_ms, p_statuses, p_errors, p_headers,
        p_bodies, p_retry_afters_ms, p_callback_urls, p_callback_bodies, p_worker, p_window_ms) s;
  return query select e.id, false, e.wait_ms, e.account_id, true from tikku.fetch_end(p_ids, p_values, p_fetch_errors) e;
end $$;
comment on function tikku.fetch_settle is 'The rows of message_settle; and the runs that are to be handed to the queue.';

-- As message_reap. A call that was lost too often is told to its run.
create function tikku.lease_reap(p_rows int, p_lost_max int, p_window_ms bigint)
returns table (id uuid, lost boolean, wait_ms bigint, account_id uuid, flow_key text, is_run boolean) language plpgsql volatile rows 50 as $$
declare
  v_over uuid[] := '{}';
begin
  for id, lost, wait_ms, account_id, flow_key in select * from tikku.message_reap(p_rows, p_lost_max, p_window_ms) loop
    is_run := false;
    if lost and wait_ms is null then
      v_over := v_over || id;
    end if;
    return next;
  end loop;
  if v_over <> '{}' then
    return query select e.id, false, e.wait_ms, e.account_id, null::text, true from tikku.fetch_end(v_over, null, null) e;
  end if;
end $$;
comment on function tikku.lease_reap is 'The rows of message_reap; and the runs that are to be handed to the queue.';

-- Gives back leases under which nothing was sent.
create function tikku.message_release(p_ids uuid[], p_fences bigint[])
returns table (id uuid, wait_ms bigint, account_id uuid, flow_key text, is_run boolean) language plpgsql volatile rows 10 as $$
declare
  v_held uuid[];
begin
  v_held := array(
    select m.id from tikku.message m join unnest(p_ids, p_fences) as i(id, fence) on m.id = i.id and m.fence = i.fence
      where m.state = 'delivering' order by m.id for update of m);
  return query
    update tikku.message m set
        state = case when m.cancel_requested then 'cancelled' when m.attempt_number > 0 then 'retrying' else 'queued' end,
        lease_until = null,
        kick_until = case when not m.cancel_requested then tikku.clock_now() + interval '60 seconds' end,
        finished_at = case when m.cancel_requested then tikku.clock_now() end
      where m.id = any(v_held)
      returning m.id, case when m.finished_at is null then tikku.ms_until(m.due_at) end, m.account_id, m.flow_key, false;
  return query select e.id, e.wait_ms, e.account_id, null::text, true from tikku.fetch_end(v_held, null, null) e;
end $$;
comment on function tikku.message_release is 'The messages, and the runs of calls that were cancelled; what has a wait is to be handed to the queue.';

-- Cancels locked rows that are not over: what waits ends, what is being pushed may still end delivered. A run that waited for one goes on with the next tick.
create or replace function tikku.message_cancel_locked(p_ids uuid[], p_now timestamptz) returns void language plpgsql volatile as $$
declare
  v_runs uuid[];
begin
  update tikku.message m set
      state = case when m.lease_until is null then 'cancelled' else m.state end,
      fence = m.fence + (m.lease_until is null)::int,
      cancel_requested = m.lease_until is not null,
      finished_at = case when m.lease_until is null then p_now end,
      kick_until = null,
      breaker_id = null
    where m.id = any(p_ids);
  v_runs := array(select e.id from tikku.fetch_end(p_ids, null, null) e);
  if v_runs <> '{}' then
    update tikku.run r set kick_until = p_now where r.id = any(v_runs) and r.kick_until < 'infinity';
  end if;
end $$;

-- A copy of a call is a message like any other: no step waits for it.
create or replace function tikku.message_resend(p_account uuid, p_id uuid, p_window_ms bigint) returns text[] language plpgsql volatile as $$
declare
  c tikku.message_content;
  m tikku.message;
begin
  select * into c from tikku.message_content x where x.account_id = p_account and x.message_id = p_id;
  select * into m from tikku.message x where x.id = p_id and x.account_id = p_account;
  if not found then
    return null;
  end if;
  c.resent_from := p_id;
  c.delay_ms := null;
  c.not_before := null;
  c.idempotency_key := null;
  c.payload_hash := null;
  c.publish_id := null;
  c.fetch_run := null;
  c.fetch_key := null;
  return tikku.message_put(c, m.flow_key, null, m.max_attempts, m.timeout_ms, p_window_ms);
end $$;

alter type tikku.leased add attribute awaited boolean;
comment on column tikku.leased.awaited is 'Of a step''s call: whether the step still waits for it. Null for other messages.';

-- As in 0009; and with what a step's call needs.
create or replace function tikku.message_lease(p_ids uuid[], p_rows_max int, p_bytes_max bigint) returns setof tikku.leased language plpgsql volatile rows 50 as $$
declare
  v_flowing uuid[];
  v_plain uuid[];
  v_start uuid[];
  v_ats timestamptz[];
  v_kick uuid[];
  v_waits bigint[];
  v_now timestamptz;
begin
  v_flowing := tikku.flow_lock(p_ids);
  v_plain := array(
    select m.id from tikku.message m
      where m.id = any(p_ids) and m.flow_key is null and m.state in ('scheduled', 'queued', 'retrying') order by m.id for update);
  v_now := tikku.clock_fresh();
  if v_plain <> '{}' then
    v_start := tikku.breaker_sift(array(
      select s.id from (
        select m.id, coalesce(sum(octet_length(c.body)) over (order by m.id rows between unbounded preceding and 1 preceding), 0) as before
          from tikku.message m join tikku.message_content c on c.account_id = m.account_id and c.message_id = m.id
          where m.id = any(v_plain) and m.due_at <= v_now + interval '2 seconds'
      ) s where s.before < p_bytes_max), v_now);
  end if;
  if v_flowing <> '{}' then
    select array_agg(a.id) filter (where a.wait_ms is null), array_agg(a.start_at) filter (where a.wait_ms is null),
        array_agg(a.id) filter (where a.wait_ms is not null), array_agg(a.wait_ms) filter (where a.wait_ms is not null)
      into v_flowing, v_ats, v_kick, v_waits
      from tikku.flow_admit(v_flowing, greatest(1, p_rows_max - coalesce(array_length(v_start, 1), 0)), p_bytes_max - (
        select coalesce(sum(octet_length(c.body)), 0) from tikku.message m join tikku.message_content c on c.account_id = m.account_id and c.message_id = m.id
          where m.id = any(v_start))) a;
    -- Rows without a flow have no time of their own: theirs are null, behind.
    v_start := v_flowing || v_start;
  end if;
  return query
    with u as (
      update tikku.message m set state = 'delivering', fence = m.fence + 1, kicks = 0, kick_until = null, breaker_id = null,
          lease_until = v_now + tikku.ms(m.timeout_ms) + interval '32 seconds'
        from rows from (unnest(v_start), unnest(v_ats)) as s(id, at) where m.id = s.id
        returning m.*, s.at
    )
    select u.id, true, tikku.ms_between(v_now, greatest(u.due_at, u.at)), floor(date_part('epoch', v_now) * 1000)::bigint,
        u.account_id, u.fence, u.attempt_number + 1, u.attempts::int, u.throttles::int, u.max_attempts::int, u.timeout_ms, c.url, c.method, c.headers::text,
        c.body, c.raw, c.backoff::text, c.callback_url, c.failure_callback_url,
        array(select x.secret from tikku.signing_secret x where x.account_id = u.account_id and (x.expires_at is null or x.expires_at > v_now)
          order by x.id desc limit 5),
        case when c.fetch_run is not null then
          exists (select 1 from tikku.waiter w where w.run_id = c.fetch_run and w.key = c.fetch_key and w.message_id = c.message_id) end
      from u join tikku.message_content c on c.account_id = u.account_id and c.message_id = u.id;
  if coalesce(array_length(v_start, 1), 0) < array_length(p_ids, 1) or v_kick is not null then
    return query
      select w.id, false, w.wait_ms, null::bigint, w.account_id, null::bigint, null::int, null::int, null::int, null::int, null::int, null::text, null::text,
          null::text, null::bytea, null::boolean, null::text, null::text, null::text, null::bytea[], null::boolean
        from (
          select m.id, tikku.ms_between(v_now, case when m.breaker_id is null then m.due_at else m.kick_until - interval '60 seconds' end) as wait_ms, m.account_id
            from tikku.message m
            where m.id = any(p_ids) and m.kick_until < 'infinity' and (m.flow_key is null or m.due_at > v_now + interval '2 seconds')
              and not m.id = any(coalesce(v_kick, '{}'))
          union all
          select k.id, k.wait_ms, m.account_id from unnest(v_kick, v_waits) as k(id, wait_ms) join tikku.message m on m.id = k.id
        ) w;
  end if;
end $$;

-- 3. By SQL.

create function tikku.sql_workflow(p_item jsonb, p_name text, p_at text) returns text language plpgsql immutable as $$
declare
  v_name text := tikku.sql_text(p_item, p_name, 128, p_at);
begin
  if v_name !~ '^[A-Za-z0-9_-][A-Za-z0-9._-]*$' then
    perform tikku.sql_refuse(format('%s%s must be the name of a workflow: letters, digits, dots, hyphens and underscores, not beginning with a dot', p_at, p_name), null);
  end if;
  return 'workflow:' || v_name;
end $$;
comment on function tikku.sql_workflow is 'A workflow, as a destination.';

-- A URL or a workflow; both are refused.
create function tikku.sql_place(p_item jsonb, p_url text, p_workflow text, p_at text) returns text language plpgsql immutable as $$
declare
  v_url text := tikku.sql_url(p_item, p_url, p_at);
  v_workflow text := tikku.sql_workflow(p_item, p_workflow, p_at);
begin
  if num_nonnulls(v_url, v_workflow) = 2 then
    perform tikku.sql_refuse(format('%s%s and %s exclude each other', p_at, p_workflow, p_url), null);
  end if;
  return coalesce(v_url, v_workflow);
end $$;
comment on function tikku.sql_place is 'A destination.';

create or replace function tikku.sql_read(p_account uuid, p_item jsonb, p_body jsonb, p_at text,
  out c tikku.message_content, out flow_key text, out due_at timestamptz, out max_attempts int, out timeout_ms int
) language plpgsql stable as $$
declare
  v_delay_s bigint;
begin
  perform tikku.sql_members(p_item, array['url', 'fanout', 'workflow', 'method', 'headers', 'delay_seconds', 'not_before', 'max_attempts', 'backoff',
    'timeout_seconds', 'idempotency_key', 'content_based_deduplication', 'flow_control', 'callback_url', 'failure_callback_url', 'callback_workflow',
    'failure_callback_workflow', 'labels', 'body'], p_at);
  c.account_id := p_account;
  c.raw := false;
  c.url := tikku.sql_place(p_item, 'url', 'workflow', p_at);
  c.fanout := tikku.sql_text(p_item, 'fanout', 64, p_at);
  if num_nonnulls(c.url, c.fanout) <> 1 then
    perform tikku.sql_refuse(p_at || case when c.url is null then 'url is required, or a fanout, or a workflow'
      else format('fanout and %s exclude each other', case when c.url like 'workflow:%' then 'workflow' else 'url' end) end, null);
  end if;
  c.method := tikku.sql_word(p_item, 'method', array['POST', 'PUT', 'PATCH', 'DELETE', 'GET', 'HEAD'], p_at);
  c.headers := tikku.sql_headers(p_item, p_at);
  if c.url like 'workflow:%' and (c.method <> 'POST' or json_array_length(c.headers) > 0) then
    perform tikku.sql_refuse(format('%s%s has no meaning with workflow: a run is started, nothing is pushed', p_at,
      case when c.method <> 'POST' then 'method' else 'headers' end), null);
  end if;
  c.body := convert_to(p_body::text, 'UTF8');
  if c.body is not null and c.method in ('GET', 'HEAD') then
    perform tikku.sql_refuse(format('%sbody must be absent with method %s', p_at, c.method), null);
  elsif octet_length(c.body) > 4194304 then
    perform tikku.sql_refuse(p_at || 'body must have at most 4194304 bytes as text', null);
  end if;

  v_delay_s := tikku.sql_integer(p_item, 'delay_seconds', 0, 315360000, p_at);
  c.delay_ms := v_delay_s * 1000;
  c.not_before := tikku.sql_time(p_item, 'not_before', p_at);
  if num_nonnulls(c.delay_ms, c.not_before) = 2 then
    perform tikku.sql_refuse(p_at || 'not_before and delay_seconds exclude each other', null);
  elsif c.not_before > tikku.clock_now() + interval '315360000 seconds' then
    perform tikku.sql_refuse(p_at || 'not_before must be at most 315360000 seconds ahead', null);
  end if;
  due_at := greatest(tikku.clock_now(), tikku.clock_now() + tikku.ms(c.delay_ms), c.not_before);
  max_attempts := coalesce(tikku.sql_integer(p_item, 'max_attempts', 1, 100, p_at), 5);
  c.backoff := tikku.sql_backoff(p_item, p_at);
  timeout_ms := coalesce(tikku.sql_integer(p_item, 'timeout_seconds', 1, 840, p_at), 30) * 1000;
  select f.flow_key, f.flow into flow_key, c.flow from tikku.sql_flow(p_item, p_at) f;
  c.callback_url := tikku.sql_place(p_item, 'callback_url', 'callback_workflow', p_at);
  c.failure_callback_url := tikku.sql_place(p_item, 'failure_callback_url', 'failure_callback_workflow', p_at);
  c.labels := tikku.sql_labels(p_item, p_at);

  c.idempotency_key := tikku.sql_text(p_item, 'idempotency_key', 255, p_at);
  if tikku.sql_boolean(p_item, 'content_based_deduplication', false, p_at) then
    if c.idempotency_key is not null then
      perform tikku.sql_refuse(p_at || 'content_based_deduplication and idempotency_key exclude each other', null);
    end if;
    c.payload_hash := tikku.sql_fingerprint(c);
    c.idempotency_key := 'content:' || encode(c.payload_hash, 'hex');
  elsif c.idempotency_key is not null then
    c.payload_hash := tikku.sql_fingerprint(c);
  end if;
end $$;

-- The new arguments come last, so that calls by position mean what they did. A function with other arguments is another one: it gets the grants of the first.
alter function tikku.publish rename to publish_before;
create function tikku.publish(
  url text default null, body jsonb default null, fanout text default null, method text default 'POST', headers jsonb default null,
  delay_seconds bigint default null, not_before timestamptz default null, max_attempts int default 5, backoff jsonb default null,
  timeout_seconds int default 30, idempotency_key text default null, content_based_deduplication boolean default false,
  flow_control jsonb default null, callback_url text default null, failure_callback_url text default null, labels text[] default '{}',
  workflow text default null, callback_workflow text default null, failure_callback_workflow text default null
) returns text language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set enable_seqscan = off as $$
declare
  m record;
begin
  m := tikku.sql_read(tikku.sql_account('tikku.publish: '), jsonb_build_object(
    'url', url, 'fanout', fanout, 'workflow', workflow, 'method', method, 'headers', headers, 'delay_seconds', delay_seconds, 'not_before', not_before,
    'max_attempts', max_attempts, 'backoff', backoff, 'timeout_seconds', timeout_seconds, 'idempotency_key', idempotency_key,
    'content_based_deduplication', content_based_deduplication, 'flow_control', flow_control, 'callback_url', callback_url,
    'failure_callback_url', failure_callback_url, 'callback_workflow', callback_workflow, 'failure_callback_workflow', failure_callback_workflow,
    'labels', labels), body, 'tikku.publish: ');
  return tikku.sql_put(m.c, m.flow_key, m.due_at, m.max_attempts, m.timeout_ms, 'tikku.publish: ');
end $$;
comment on function tikku.publish is 'Publishes a message when the transaction commits; returns its id (msg_...). See docs/sql.md.';

revoke execute on function tikku.message_start, tikku.fetch_end, tikku.fetch_settle, tikku.lease_reap, tikku.message_release, tikku.sql_workflow,
  tikku.sql_place, tikku.publish from public;

do $grants$
declare
  g record;
begin
  for g in
    select a.is_grantable, case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as grantee
      from pg_proc p cross join lateral aclexplode(p.proacl) a where p.oid = 'tikku.publish_before'::regproc and a.grantee <> p.proowner
  loop
    execute format('grant execute on function tikku.publish to %s%s', g.grantee, case when g.is_grantable then ' with grant option' else '' end);
  end loop;
end $grants$;
drop function tikku.publish_before;

-- A function that is replaced loses its settings (migrations 4, 6 and 9 say why they have them).
do $settings$
declare
  v_function text;
begin
  foreach v_function in array array['message_start', 'fetch_end', 'fetch_settle', 'lease_reap', 'message_release', 'message_cancel_locked', 'message_resend', 'message_lease'] loop
    execute format('alter function tikku.%I set lock_timeout = %L', v_function, '5s');
    continue when v_function = 'message_resend';
    execute format('alter function tikku.%I set enable_seqscan = off', v_function);
    continue when v_function = 'message_start';
    execute format('alter function tikku.%I set enable_bitmapscan = off', v_function);
    execute format('alter function tikku.%I set enable_mergejoin = off', v_function);
    continue when v_function = 'fetch_settle';
    execute format('alter function tikku.%I set enable_hashjoin = off', v_function);
  end loop;
  alter function tikku.message_lease set plan_cache_mode = force_generic_plan;
end $settings$;
