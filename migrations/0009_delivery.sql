-- From due to settled: lease, settle, reap, sweep, and the control verbs. Lock order: see 0007.

create type tikku.leased as (
  id uuid, started boolean, wait_ms bigint, now_ms bigint, account_id uuid, fence bigint, number int, attempts int, throttles int, max_attempts int,
  timeout_ms int, url text, method text, headers text, body bytea, raw boolean, backoff text, callback_url text, failure_callback_url text, secrets bytea[]
);
comment on type tikku.leased is 'A message that was started, with what a push needs; or one to look at again after its wait, with id and account only.';

-- Starts what is due and can be started: rows without a flow in id order, and of flows whatever is first. What is early, or beyond the byte budget,
-- comes back unstarted with its wait.
create function tikku.message_lease(p_ids uuid[], p_rows_max int, p_bytes_max bigint) returns setof tikku.leased language plpgsql volatile rows 50 as $$
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
          order by x.id desc limit 5)
      from u join tikku.message_content c on c.account_id = u.account_id and c.message_id = u.id;
  if coalesce(array_length(v_start, 1), 0) < array_length(p_ids, 1) or v_kick is not null then
    return query
      select w.id, false, w.wait_ms, null::bigint, w.account_id, null::bigint, null::int, null::int, null::int, null::int, null::int, null::text, null::text,
          null::text, null::bytea, null::boolean, null::text, null::text, null::text, null::bytea[]
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
comment on function tikku.message_lease is 'Leases what is due within 2 s; the caller waits out wait_ms before it pushes.';

-- Records what pushes came to, under the fence they were made with, and hands on what that sets free: the next of a flow, the rows that
-- wait for a breaker, callbacks. Rows that somebody else has started or given up meanwhile are left alone and not returned.
create function tikku.message_settle(
  p_ids uuid[], p_fences bigint[], p_states text[], p_throttled boolean[], p_failed boolean[], p_delays_ms bigint[], p_agos_ms bigint[], p_durations_ms bigint[],
  p_statuses int[], p_errors text[], p_headers text[], p_bodies bytea[], p_retry_afters_ms bigint[], p_callback_urls text[], p_callback_bodies bytea[],
  p_worker text, p_window_ms bigint
) returns table (id uuid, settled boolean, wait_ms bigint, account_id uuid) language plpgsql volatile rows 50 as $$
declare
  v_now timestamptz;
  v_moved_on bigint;
  v_flowing uuid[];
  v_known uuid[];
  v_done uuid[];
begin
  v_flowing := tikku.flow_lock(p_ids);
  select count(*) filter (where l.state <> 'delivering') into v_moved_on
    from (select m.state from tikku.message m where m.id = any(p_ids) order by m.id for update) l;
  v_now := tikku.clock_fresh();
  if v_moved_on > 0 then
    -- Recorded before, under the same lease: the answer was lost on the way.
    v_known := array(
      select m.id from unnest(p_ids, p_fences) as i(id, fence)
        join tikku.message m on m.id = i.id and m.fence = i.fence and m.state <> 'delivering'
        join tikku.attempt a on a.message_id = i.id and a.fence = i.fence);
  end if;
  with i as (
    select * from unnest(p_ids, p_fences, p_states, p_throttled, p_delays_ms, p_agos_ms, p_durations_ms, p_statuses, p_errors, p_headers, p_bodies, p_retry_afters_ms)
      as i(id, fence, state, throttled, delay_ms, ago_ms, duration_ms, status, error, headers, body, retry_after_ms)
  ), u as (
    update tikku.message m set
        state = case when m.cancel_requested and i.state <> 'delivered' then 'cancelled' else i.state end,
        attempts = m.attempts + (not i.throttled)::int,
        throttles = m.throttles + i.throttled::int,
        attempt_number = m.attempt_number + 1,
        due_at = case when i.state = 'retrying' then v_now + tikku.ms(i.delay_ms) else m.due_at end,
        kick_until = case when i.state = 'retrying' and not m.cancel_requested then tikku.kick_until(v_now + tikku.ms(i.delay_ms), v_now, p_window_ms) end,
        lease_until = null,
        finished_at = case when i.state <> 'retrying' or m.cancel_requested then v_now end
      from i where m.id = i.id and m.fence = i.fence and m.state = 'delivering'
      returning m.id, m.attempt_number, m.fence, i.ago_ms, i.duration_ms, i.status, i.error, i.headers, i.body, i.retry_after_ms
  ), a as (
    insert into tikku.attempt (message_id, number, fence, started_at, duration_ms, status, error, response_headers, response_body, retry_after_ms, worker)
      select u.id, u.attempt_number, u.fence, v_now - tikku.ms(u.ago_ms), u.duration_ms, u.status, u.error, u.headers::json, u.body, u.retry_after_ms, p_worker from u
  )
  select array_agg(u.id) into v_done from u;
  return query
    select m.id, true, case when m.state = 'retrying' and m.due_at <= v_now + tikku.ms(p_window_ms) then tikku.ms_between(v_now, m.due_at) end, m.account_id
      from tikku.message m where m.id = any(v_known || v_done);
  if v_done is null then
    return;
  end if;
  if v_flowing <> '{}' then
    return query
      select n.id, false, n.wait_ms, n.account_id from tikku.flow_settle(v_done, p_ids, p_throttled, p_delays_ms, p_retry_afters_ms) n;
  end if;
  if true = any(p_failed) or exists (select 1 from tikku.breaker) then
    return query select n.id, false, n.wait_ms, n.account_id from tikku.breaker_count(v_done, p_ids, p_failed, p_errors) n;
  end if;
  if p_callback_urls is not null then
    return query select n.id, false, n.wait_ms, n.account_id from tikku.callback_put(v_done, p_ids, p_callback_urls, p_callback_bodies, p_window_ms) n;
  end if;
end $$;
comment on function tikku.message_settle(uuid[], bigint[], text[], boolean[], boolean[], bigint[], bigint[], bigint[], int[], text[], text[], bytea[], bigint[], text[], bytea[], text, bigint)
  is 'Rows settled now or before under the same lease; and other rows. What has a wait is to be handed to the queue.';
comment on function tikku.message_settle(uuid[], bigint[], text[], boolean[], bigint[], bigint[], bigint[], int[], text[], text[], bytea[], bigint[], text, bigint)
  is 'What the version before calls, for as long as a deployment rolls out.';
comment on function tikku.message_load(uuid[], bigint) is 'What the version before calls, for as long as a deployment rolls out.';

-- Inserts the messages that tell of an end. They have no callbacks themselves.
create function tikku.callback_put(p_done uuid[], p_ids uuid[], p_urls text[], p_bodies bytea[], p_window_ms bigint)
returns table (id uuid, wait_ms bigint, account_id uuid) language plpgsql volatile rows 10 as $$
declare
  i record;
  v_put text[];
  c tikku.message_content;
begin
  for i in
    select m.id, m.account_id, t.url, t.body from unnest(p_ids, p_urls, p_bodies) as t(id, url, body)
      join tikku.message m on m.id = t.id and m.state in ('delivered', 'failed') where t.url is not null and m.id = any(p_done)
  loop
    c := row(i.account_id, null, null, i.url, 'POST', '[]', i.body, null, null, tikku.backoff_default(), null, null, '{}', null, false, null, null, null, i.id, null, null, null);
    v_put := tikku.message_put(c, null, null, 5, 30000, p_window_ms);
    id := v_put[2];
    wait_ms := v_put[4];
    account_id := i.account_id;
    return next;
  end loop;
end $$;
comment on function tikku.callback_put is 'What is to be handed to the queue.';

-- Gives up leases that ran out: the attempt is recorded as lost and spends no budget, but has its own cap. The places in flows that this sets free
-- are handed on by flow_wake, because rows were locked here before flows.
create function tikku.message_reap(p_rows int, p_lost_max int, p_window_ms bigint)
returns table (id uuid, lost boolean, wait_ms bigint, account_id uuid, flow_key text) language plpgsql volatile rows 50 as $$
declare
  v_gone uuid[];
  v_now timestamptz := tikku.clock_now();
begin
  v_gone := array(
    select m.id from tikku.message m where m.lease_until < v_now and m.state = 'delivering' order by m.lease_until limit p_rows for update skip locked);
  if v_gone = '{}' then
    return;
  end if;
  insert into tikku.attempt (message_id, number, fence, started_at, duration_ms, error, response_headers, worker)
    select m.id, m.attempt_number + 1, m.fence, m.lease_until - tikku.ms(m.timeout_ms) - interval '32 seconds', m.timeout_ms + 32000,
      'lost: the delivering process never reported what came of this push', '[]', 'unknown' from tikku.message m where m.id = any(v_gone);
  return query
    update tikku.message m set
        state = case when m.cancel_requested then 'cancelled' when m.lost + 1 >= p_lost_max then 'failed' else 'retrying' end,
        lost = m.lost + 1, attempt_number = m.attempt_number + 1, lease_until = null, due_at = v_now,
        kick_until = case when not m.cancel_requested and m.lost + 1 < p_lost_max then v_now + interval '60 seconds' end,
        finished_at = case when m.cancel_requested or m.lost + 1 >= p_lost_max then v_now end
      where m.id = any(v_gone)
      returning m.id, true, case when not m.cancel_requested and m.lost < p_lost_max then 0::bigint end, m.account_id, m.flow_key;
  return query
    select n.id, false, n.wait_ms, n.account_id, null::text from tikku.callback_put(v_gone, v_gone,
      array(select c.failure_callback_url from unnest(v_gone) with ordinality as g(id, n) join tikku.message m on m.id = g.id
        left join tikku.message_content c on c.account_id = m.account_id and c.message_id = m.id order by g.n),
      array(select convert_to(json_build_object('messageId', 'msg_' || replace(m.id::text, '-', ''), 'status', 'failed', 'attempts', m.attempt_number,
          'response', null, 'error', 'lost: the delivering process never reported what came of the last push')::text, 'UTF8')
        from unnest(v_gone) with ordinality as g(id, n) join tikku.message m on m.id = g.id order by g.n), p_window_ms) n;
end $$;
comment on function tikku.message_reap is 'The rows that were given up (lost), and callbacks; what has a wait is to be handed to the queue.';

-- Looks after flows and breakers for which rows were left waiting: whoever should have handed them on may have died. Removes flows of no use.
create function tikku.waiting_sweep(p_rows int) returns table (id uuid, wait_ms bigint, account_id uuid) language plpgsql volatile rows 50 as $$
declare
  f tikku.flow;
  b tikku.breaker;
  v_waiting boolean;
  v_now timestamptz := tikku.clock_now();
begin
  for f in select x.* from tikku.flow x where x.next_at <= v_now order by x.next_at limit p_rows for update skip locked loop
    return query select null::uuid, null::bigint, f.account_id;
    return query select * from tikku.flow_next(f, least(10, tikku.flow_places(f)), '{}', null);
    v_waiting := tikku.flow_is_waiting(f, '{}', tikku.clock_fresh() + interval '2 seconds');
    if v_waiting or f.waiting or f.pinned or f.paused or f.hold_until > v_now or f.window_at + 2 * tikku.ms(f.period_ms) > v_now
      or exists (select 1 from tikku.message m where m.account_id = f.account_id and m.flow_key = f.key and m.kick_until is not null and m.breaker_id is null)
      or exists (select 1 from tikku.message m where m.account_id = f.account_id and m.flow_key = f.key and m.state in ('delivering', 'retrying'))
      or exists (select 1 from tikku.message m where m.account_id = f.account_id and m.flow_key = f.key and m.breaker_id is not null)
    then
      update tikku.flow x set waiting = v_waiting,
          next_at = v_now + case when v_waiting or f.waiting then interval '60 seconds' else interval '1 hour' end
        where x.account_id = f.account_id and x.key = f.key;
    else
      delete from tikku.flow x where x.account_id = f.account_id and x.key = f.key;
    end if;
  end loop;
  for b in select x.* from tikku.breaker x where x.next_at <= v_now order by x.next_at limit p_rows for update skip locked loop
    return query select null::uuid, null::bigint, b.account_id;
    if b.state = 'closed' then
      return query select * from tikku.breaker_next(b, 1000);
    elsif b.probe_at <= v_now then
      return query select * from tikku.breaker_next(b, 1);
    end if;
    update tikku.breaker x
      set next_at = case
        when not exists (select 1 from tikku.message m where m.breaker_id = b.id) then 'infinity'
        when b.state = 'closed' then v_now + interval '2 seconds'
        else greatest(v_now, b.probe_at) + interval '60 seconds' end
      where x.id = b.id;
  end loop;
end $$;
comment on function tikku.waiting_sweep is 'A row without an id for each flow and breaker that it looked at; and what is to be handed to the queue.';

-- Cancels locked rows that are not over: what waits ends, what is being pushed may still end delivered.
create function tikku.message_cancel_locked(p_ids uuid[], p_now timestamptz) returns void language sql volatile as $$
  update tikku.message m set
      state = case when m.lease_until is null then 'cancelled' else m.state end,
      fence = m.fence + (m.lease_until is null)::int,
      cancel_requested = m.lease_until is not null,
      finished_at = case when m.lease_until is null then p_now end,
      kick_until = null,
      breaker_id = null
    where m.id = any(p_ids)
$$;
comment on function tikku.message_cancel_locked is 'The one way to be cancelled but for a push that ends so.';

-- Makes locked rows due now with a fresh budget. One that was to be retried keeps its place in its flow.
create function tikku.message_retry_locked(p_ids uuid[], p_now timestamptz) returns void language sql volatile as $$
  update tikku.message m set
      state = case when m.state = 'retrying' then 'retrying' else 'queued' end,
      fence = m.fence + 1,
      attempts = 0,
      throttles = 0,
      lost = 0,
      kicks = 0,
      cancel_requested = false,
      due_at = p_now,
      kick_until = p_now + interval '60 seconds',
      breaker_id = null,
      finished_at = null
    where m.id = any(p_ids)
$$;
comment on function tikku.message_retry_locked is 'The one way to be tried again by hand.';

create or replace function tikku.message_cancel(p_account uuid, p_id uuid) returns text language plpgsql volatile as $$
declare
  v_state text;
begin
  select m.state into v_state from tikku.message m where m.id = p_id and m.account_id = p_account for update;
  if v_state in ('scheduled', 'queued', 'retrying', 'delivering') then
    perform tikku.message_cancel_locked(array[p_id], tikku.clock_fresh());
  end if;
  return v_state;
end $$;

create or replace function tikku.message_retry(p_account uuid, p_id uuid) returns text language plpgsql volatile as $$
declare
  v_state text;
begin
  select m.state into v_state from tikku.message m where m.id = p_id and m.account_id = p_account for update;
  if v_state in ('failed', 'cancelled', 'retrying') then
    perform tikku.message_retry_locked(array[p_id], tikku.clock_fresh());
  end if;
  return v_state;
end $$;

do $settings$
declare
  v_function text;
begin
  foreach v_function in array array['message_lease', 'message_reap', 'message_cancel', 'message_cancel_locked', 'message_retry', 'message_retry_locked', 'flow_wake', 'waiting_sweep', 'breaker_reset'] loop
    execute format('alter function tikku.%I set lock_timeout = %L', v_function, '5s');
    execute format('alter function tikku.%I set enable_seqscan = off', v_function);
    execute format('alter function tikku.%I set enable_bitmapscan = off', v_function);
    execute format('alter function tikku.%I set enable_hashjoin = off', v_function);
    execute format('alter function tikku.%I set enable_mergejoin = off', v_function);
  end loop;
  -- Its statements run once for each flow of a batch: planning them anew each time took longer than they do.
  alter function tikku.message_lease set plan_cache_mode = force_generic_plan;
  -- By id is right at every size, and plans are kept by the session (see 0004).
  for v_function in
    select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where n.nspname = 'tikku' and p.proname = 'message_settle' and p.pronargs = 17
  loop
    execute format('alter function %s set lock_timeout = %L', v_function, '5s');
    execute format('alter function %s set enable_seqscan = off', v_function);
    execute format('alter function %s set enable_bitmapscan = off', v_function);
    execute format('alter function %s set enable_mergejoin = off', v_function);
  end loop;
end $settings$;
