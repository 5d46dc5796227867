-- The transitions of a message that must lock before they read (shape F of ARCHITECTURE.md). Each is one call, one transaction.

-- Checks the key and inserts the message, or finds the one that has its idempotency key. `kick_until` is written as if the
-- caller will hand the row to the queue, which it does when the wait is within the window. The answer is an array, because a row
-- type would go through a tuplestore.
create function tikku.message_publish(
  p_key_hash bytea, p_url text, p_method text, p_headers text, p_body bytea, p_delay_ms bigint, p_not_before_ms bigint, p_delay_ms_max bigint,
  p_max_attempts int, p_timeout_ms int, p_backoff text, p_idempotency_key text, p_payload_hash bytea, p_labels text[], p_window_ms bigint
) returns text[] language plpgsql volatile as $$
declare
  v_account uuid;
  v_role text;
  v_used timestamptz;
  v_id uuid;
  v_hash bytea;
  v_old boolean;
  v_state text;
  v_now timestamptz := tikku.clock_now();
  v_due timestamptz := v_now;
begin
  select k.account_id, k.role, k.last_used_at into v_account, v_role, v_used from tikku.api_key k where k.hash = p_key_hash and k.revoked_at is null;
  if not found then
    return array['unauthorized'];
  elsif v_role = 'read' then
    return array['forbidden'];
  elsif v_used is null or v_used < v_now - interval '1 minute' then
    perform tikku.api_key_use(p_key_hash);
  end if;
  if p_delay_ms is not null then
    v_due := v_now + tikku.ms(p_delay_ms);
  elsif p_not_before_ms is not null then
    v_due := greatest(v_now, to_timestamp(p_not_before_ms / 1000.0));
    if v_due > v_now + tikku.ms(p_delay_ms_max) then
      return array['too_late'];
    end if;
  end if;
  v_id := tikku.new_id();
  insert into tikku.message_content as c (account_id, message_id, created_at, url, method, headers, body, delay_ms, not_before,
      backoff, idempotency_key, payload_hash, labels)
    values (v_account, v_id, v_now, p_url, p_method, p_headers::json, p_body, p_delay_ms, to_timestamp(p_not_before_ms / 1000.0),
      p_backoff::json, p_idempotency_key, p_payload_hash, p_labels)
    on conflict (account_id, idempotency_key) where idempotency_key is not null do update set idempotency_key = excluded.idempotency_key
    returning c.message_id, c.payload_hash, c.xmax <> 0 into v_id, v_hash, v_old;
  if v_old then
    select m.state into v_state from tikku.message m where m.id = v_id;
    return array[case when v_hash = p_payload_hash then 'deduplicated' else 'mismatch' end, v_id::text, v_state];
  end if;
  v_state := case when v_due > v_now then 'scheduled' else 'queued' end;
  insert into tikku.message (id, account_id, state, due_at, kick_until, max_attempts, timeout_ms)
    values (v_id, v_account, v_state, v_due, tikku.kick_until(v_due, v_now, p_window_ms), p_max_attempts, p_timeout_ms);
  return array['accepted', v_id::text, v_state, case when v_due > v_now then coalesce(p_delay_ms, tikku.ms_until(v_due))::text else '0' end];
end $$;
comment on function tikku.message_publish is '[verdict, id, state, wait in ms]; verdict: accepted, deduplicated, mismatch, unauthorized, forbidden, too_late.';

-- A row that is due within the window is handed over right after this transition; a later one is left to tick.
create function tikku.kick_until(p_due timestamptz, p_now timestamptz, p_window_ms bigint) returns timestamptz language sql stable parallel safe as $$
  select case when p_due <= p_now + tikku.ms(p_window_ms) then p_due + interval '60 seconds' else p_due - tikku.ms(p_window_ms) end
$$;
comment on function tikku.kick_until is 'When tick must hand the row over, given that its writer does so within the window.';

-- Starts what is due and can be started, in id order. What is early, or beyond the byte budget, comes back unstarted with its wait.
create function tikku.message_load(p_ids uuid[], p_bytes_max bigint)
returns table (id uuid, started boolean, wait_ms bigint, now_ms bigint, fence bigint, number int, attempts int, throttles int, max_attempts int,
  timeout_ms int, url text, method text, headers text, body bytea, backoff text, secrets bytea[])
language plpgsql volatile rows 50 as $$
declare
  v_locked uuid[];
  v_start uuid[];
  v_now timestamptz;
begin
  select array_agg(l.id) into v_locked from (
    select m.id from tikku.message m where m.id = any(p_ids) and m.state in ('scheduled', 'queued', 'retrying') order by m.id for update
  ) l;
  if v_locked is null then
    return;
  end if;
  v_now := tikku.clock_fresh();
  select array_agg(s.id) into v_start from (
    select m.id, coalesce(sum(octet_length(c.body)) over (order by m.id rows between unbounded preceding and 1 preceding), 0) as before
      from tikku.message m join tikku.message_content c on c.account_id = m.account_id and c.message_id = m.id
      where m.id = any(v_locked) and m.due_at <= v_now + interval '2 seconds'
  ) s where s.before < p_bytes_max;
  return query
    with u as (
      update tikku.message m set state = 'delivering', fence = m.fence + 1, kicks = 0, kick_until = null,
          lease_until = v_now + tikku.ms(m.timeout_ms) + interval '32 seconds'
        where m.id = any(v_start)
        returning m.*
    )
    select u.id, true, greatest(0, ceil(date_part('epoch', u.due_at - v_now) * 1000))::bigint, floor(date_part('epoch', v_now) * 1000)::bigint,
        u.fence, u.attempt_number + 1, u.attempts::int, u.throttles::int, u.max_attempts::int, u.timeout_ms, c.url, c.method, c.headers::text, c.body,
        c.backoff::text, array(select s.secret from tikku.signing_secret s where s.account_id = u.account_id and (s.expires_at is null or s.expires_at > v_now)
          order by s.id desc limit 5)
      from u join tikku.message_content c on c.account_id = u.account_id and c.message_id = u.id;
  if v_start is null or array_length(v_start, 1) < array_length(v_locked, 1) then
    return query
      select m.id, false, greatest(0, ceil(date_part('epoch', m.due_at - v_now) * 1000))::bigint, null::bigint, null::bigint, null::int, null::int, null::int, null::int,
          null::int, null::text, null::text, null::text, null::bytea, null::text, null::bytea[]
        from tikku.message m where m.id = any(v_locked) and not m.id = any(coalesce(v_start, '{}'));
  end if;
end $$;
comment on function tikku.message_load is 'Leases what is due within 2 s; the caller waits out wait_ms before it pushes.';

-- Records what pushes came to, under the fence they were made with. Rows that somebody else has started or given up
-- meanwhile are left alone and not returned.
create function tikku.message_settle(
  p_ids uuid[], p_fences bigint[], p_states text[], p_throttled boolean[], p_delays_ms bigint[], p_agos_ms bigint[], p_durations_ms bigint[],
  p_statuses int[], p_errors text[], p_headers text[], p_bodies bytea[], p_retry_afters_ms bigint[], p_worker text, p_window_ms bigint
) returns table (id uuid, state text, wait_ms bigint) language plpgsql volatile rows 50 as $$
declare
  v_now timestamptz;
  v_moved_on bigint;
begin
  select count(*) filter (where l.state <> 'delivering') into v_moved_on
    from (select m.state from tikku.message m where m.id = any(p_ids) order by m.id for update) l;
  v_now := tikku.clock_fresh();
  if v_moved_on > 0 then
    -- Recorded before, under the same lease: the answer was lost on the way.
    return query
      select m.id, m.state::text, tikku.ms_until(m.due_at) from unnest(p_ids, p_fences) as i(id, fence)
        join tikku.message m on m.id = i.id and m.fence = i.fence and m.state <> 'delivering'
        join tikku.attempt a on a.message_id = i.id and a.fence = i.fence;
  end if;
  return query
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
        returning m.id, m.state, m.attempt_number, m.fence, i.delay_ms, i.ago_ms, i.duration_ms, i.status, i.error, i.headers, i.body, i.retry_after_ms
    ), a as (
      insert into tikku.attempt (message_id, number, fence, started_at, duration_ms, status, error, response_headers, response_body, retry_after_ms, worker)
        select u.id, u.attempt_number, u.fence, v_now - tikku.ms(u.ago_ms), u.duration_ms, u.status, u.error, u.headers::json, u.body, u.retry_after_ms, p_worker from u
    )
    select u.id, u.state::text, u.delay_ms from u;
end $$;
comment on function tikku.message_settle is 'Rows settled now or before under the same lease, with their state; for a retry the wait until it is due.';

-- Cancels what is not over. A push that is under way may still end delivered.
create function tikku.message_cancel(p_account uuid, p_id uuid) returns text language plpgsql volatile as $$
declare
  v_state text;
begin
  select m.state into v_state from tikku.message m where m.id = p_id and m.account_id = p_account for update;
  if v_state in ('scheduled', 'queued', 'retrying') then
    update tikku.message m set state = 'cancelled', fence = m.fence + 1, kick_until = null, finished_at = tikku.clock_fresh() where m.id = p_id;
  elsif v_state = 'delivering' then
    update tikku.message m set cancel_requested = true where m.id = p_id;
  end if;
  return v_state;
end $$;
comment on function tikku.message_cancel is 'The state it was found in; null when there is no such message.';

-- Makes a failed, cancelled or waiting-to-retry message due now with a fresh budget.
create function tikku.message_retry(p_account uuid, p_id uuid) returns text language plpgsql volatile as $$
declare
  v_state text;
  v_now timestamptz;
begin
  select m.state into v_state from tikku.message m where m.id = p_id and m.account_id = p_account for update;
  if v_state in ('failed', 'cancelled', 'retrying') then
    v_now := tikku.clock_fresh();
    update tikku.message m set state = 'queued', fence = m.fence + 1, attempts = 0, throttles = 0, lost = 0, kicks = 0, cancel_requested = false,
        due_at = v_now, kick_until = v_now + interval '60 seconds', finished_at = null
      where m.id = p_id;
  end if;
  return v_state;
end $$;
comment on function tikku.message_retry is 'The state it was found in; null when there is no such message.';

-- A transition that waits for a lock waits 5 s at most; then nothing happened, and its caller tries again.
alter function tikku.message_publish set lock_timeout = '5s';
alter function tikku.message_load set lock_timeout = '5s';
alter function tikku.message_settle set lock_timeout = '5s';
alter function tikku.message_cancel set lock_timeout = '5s';
alter function tikku.message_retry set lock_timeout = '5s';
alter function tikku.signing_secret_rotate set lock_timeout = '5s';

-- Their plans are kept by the session, and one made while the tables were empty would read them whole until the first analyze:
-- by id is right at every size.
alter function tikku.message_load set enable_seqscan = off;
alter function tikku.message_load set enable_bitmapscan = off;
alter function tikku.message_load set enable_hashjoin = off;
alter function tikku.message_load set enable_mergejoin = off;
alter function tikku.message_settle set enable_seqscan = off;
alter function tikku.message_settle set enable_bitmapscan = off;
alter function tikku.message_settle set enable_mergejoin = off;
