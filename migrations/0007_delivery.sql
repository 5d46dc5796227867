-- From due to settled, with flow control and circuit breakers. Lock order: flows by (account, key), messages, breakers by (account, destination); whoever
-- locks messages before a flow takes them with SKIP LOCKED and waits for nothing. What is left of deadlocks is rolled back and run again by the store.

create type tikku.leased as (
  id uuid, started boolean, wait_ms bigint, now_ms bigint, account_id uuid, fence bigint, number int, attempts int, throttles int, max_attempts int,
  timeout_ms int, url text, method text, headers text, body bytea, raw boolean, backoff text, callback_url text, failure_callback_url text, secrets bytea[]
);
comment on type tikku.leased is 'A message that was started, with what a push needs; or one to look at again after its wait, with id and account only.';

-- How many starts a flow's rate allows until p_until, which lies in the current period or just behind it. The period before counts in proportion
-- to what of it lies within one period back from then: an idle flow may start its whole rate at once, a busy one is spread evenly.
create function tikku.flow_rate_room(f tikku.flow, p_until timestamptz) returns int language sql immutable parallel safe as $$
  select greatest(0, ceil(f.rate - f.used - f.used_before * greatest(0, 1 - date_part('epoch', p_until - f.window_at) * 1000 / f.period_ms) - 0.000001))::int
$$;
comment on function tikku.flow_rate_room is 'Starts that are left until a time.';

-- When the p_nth start from now fits the rate; what does not fit the current period is told the next one's first.
create function tikku.flow_rate_at(f tikku.flow, p_nth int) returns timestamptz language sql stable parallel safe as $$
  select case
    when f.used + p_nth > f.rate then f.window_at + tikku.ms(f.period_ms)
    when f.used_before = 0 then f.window_at
    else f.window_at + tikku.ms(ceil(f.period_ms * greatest(0, 1 - (f.rate - f.used - p_nth + 1)::float8 / f.used_before))::bigint) end
$$;
comment on function tikku.flow_rate_at is 'Earliest time of the n-th further start of a flow with a rate.';

-- Hands the first rows of a flow that are due to the queue, for a time. The caller holds the flow's lock. A time beyond the queue's reach is tick's.
create function tikku.flow_next(f tikku.flow, p_rows int, p_not uuid[], p_at timestamptz) returns table (id uuid, wait_ms bigint, account_id uuid)
language plpgsql volatile rows 5 as $$
declare
  v_now timestamptz := tikku.clock_fresh();
  v_at timestamptz := greatest(v_now, f.hold_until, p_at);
begin
  if f.paused then
    return;
  end if;
  return query
    with n as (
      update tikku.message m set kick_until = tikku.kick_until(v_at, v_now, 900000), kicks = 0
        where m.id in (
          select w.id from tikku.message w
            where w.account_id = f.account_id and w.flow_key = f.key and w.kick_until is not null and w.breaker_id is null
              and w.due_at <= v_now + interval '2 seconds' and not w.id = any(p_not)
            order by w.due_at, w.id limit p_rows for update skip locked)
        returning m.id, m.account_id
    )
    select n.id, ceil(date_part('epoch', v_at - v_now) * 1000)::bigint, n.account_id from n where v_at <= v_now + interval '15 minutes';
end $$;
comment on function tikku.flow_next is 'What is to be handed to the queue.';

-- How many rows of a flow may start beside those that are under way, as far as parallelism and order go.
create function tikku.flow_places(f tikku.flow) returns int language plpgsql stable as $$
declare
  v_active int;
begin
  if f.parallelism is null then
    return 1000000;
  end if;
  select count(*) into v_active from tikku.message m where m.account_id = f.account_id and m.flow_key = f.key and m.state = 'delivering';
  if f.parallelism = 1 and v_active = 0 and exists (
    select 1 from tikku.message m where m.account_id = f.account_id and m.flow_key = f.key and m.breaker_id is not null) then
    return 0;
  end if;
  return greatest(0, f.parallelism - v_active);
end $$;
comment on function tikku.flow_places is 'Free places; a million without a limit. The caller holds the flow''s lock, so the count holds.';

-- Decides which rows of the flows that p_ids belong to start now: the first in order, whichever were asked for. What was asked for and does not start is
-- left waiting for its flow. The caller holds the flows' locks.
create function tikku.flow_admit(p_ids uuid[], p_rows_max int, p_bytes_max bigint)
returns table (id uuid, start_at timestamptz, wait_ms bigint, account_id uuid) language plpgsql volatile rows 50 as $$
declare
  g record;
  f tikku.flow;
  v_before tikku.flow;
  v_now timestamptz;
  v_soon timestamptz;
  v_heads uuid[];
  v_places int;
  v_room int;
  v_begun int;
  v_again timestamptz;
  v_left int := p_rows_max;
  v_bytes bigint := p_bytes_max;
begin
  for g in
    select x as flow, i.ids
      from (select m.account_id, m.flow_key, array_agg(m.id) as ids from tikku.message m where m.id = any(p_ids) and m.flow_key is not null group by 1, 2) i
      join tikku.flow x on x.account_id = i.account_id and x.key = i.flow_key
      -- Their locks are held: whose turn it is, is left to chance, so that none starves behind another in the same load.
      order by random()
  loop
    f := g.flow;
    v_before := f;
    v_now := tikku.clock_fresh();
    v_soon := v_now + interval '2 seconds';
    f := tikku.flow_limits(f, v_now);
    v_places := case when f.paused or f.hold_until > v_soon then 0 else tikku.flow_places(f) end;
    v_room := case when v_bytes > 0 then least(v_places, v_left) else 0 end;
    if f.rate is not null then
      v_room := least(v_room, tikku.flow_rate_room(f, v_soon));
    end if;
    v_heads := tikku.breaker_sift(tikku.flow_heads(f, v_soon, v_room, v_bytes), v_now);
    return query
      select h.id, greatest(f.hold_until, case when f.rate is not null then tikku.flow_rate_at(f, h.n::int) end), null::bigint, null::uuid
        from unnest(v_heads) with ordinality as h(id, n);
    v_begun := coalesce(array_length(v_heads, 1), 0);
    f.used := f.used + case when f.rate is not null then v_begun else 0 end;
    if not g.ids <@ v_heads then
      update tikku.message m set kick_until = 'infinity'
        where m.id = any(g.ids) and m.kick_until < 'infinity' and m.due_at <= v_soon and not m.id = any(v_heads);
    end if;
    f.waiting := tikku.flow_is_waiting(f, v_heads, v_soon);
    if f.waiting then
      -- Who brings the rest? A pause or a full flow: nobody, its end does. A hold or the rate: the time, a second at least, because queues count in seconds.
      -- One that keeps the order and has begun: that one. Else more loads.
      v_again := case
        when f.hold_until > v_soon then f.hold_until
        when v_places = 0 or v_begun = v_places then null
        when f.parallelism = 1 and v_room > 0 and v_begun = 0 then null
        -- A period that is spent is looked at again when the next begins.
        when f.used >= f.rate then greatest(f.window_at + tikku.ms(f.period_ms), v_now + interval '1 second')
        when f.rate is not null then greatest(tikku.flow_rate_at(f, 1) - interval '1 second', v_now + interval '1 second')
        else v_now end;
      f.next_at := least(greatest(v_now, v_again), v_now + interval '4 minutes') + interval '60 seconds';
      if v_again is not null then
        return query
          select n.id, null::timestamptz, n.wait_ms, n.account_id
            from tikku.flow_next(f, case when v_again > v_now or f.rate is not null then 1 else least(10, 1 + (v_places - v_begun) / p_rows_max) end, v_heads, v_again) n;
      end if;
    elsif v_before.waiting then
      f.next_at := v_now + interval '60 seconds';
    end if;
    v_left := v_left - v_begun;
    v_bytes := v_bytes - (select coalesce(sum(octet_length(c.body)), 0) from tikku.message_content c where c.account_id = f.account_id and c.message_id = any(v_heads));
    -- An index is on it: it is not moved for less than half a minute.
    if abs(date_part('epoch', f.next_at - v_before.next_at)) < 30 then
      f.next_at := v_before.next_at;
    end if;
    if f is distinct from v_before then
      update tikku.flow x set parallelism = f.parallelism, rate = f.rate, period_ms = f.period_ms, window_at = f.window_at, used = f.used,
          used_before = f.used_before, waiting = f.waiting, next_at = f.next_at
        where x.account_id = f.account_id and x.key = f.key;
    end if;
  end loop;
end $$;
comment on function tikku.flow_admit is 'Rows to start, with a time where the rate sets one; and rows to hand to the queue, with their wait.';

create function tikku.flow_is_waiting(f tikku.flow, p_not uuid[], p_soon timestamptz) returns boolean language sql stable as $$
  select exists (
    select 1 from tikku.message w
      where w.account_id = f.account_id and w.flow_key = f.key and w.kick_until is not null and w.breaker_id is null
        and w.due_at <= p_soon and not w.id = any(p_not))
$$;
comment on function tikku.flow_is_waiting is 'Whether rows of the flow are due besides these.';

-- The limits that hold now: those that are pinned, else those of the last message that waits; and the period that now lies in.
create function tikku.flow_limits(f tikku.flow, p_now timestamptz) returns tikku.flow language plpgsql stable as $$
declare
  v_flow json;
begin
  if not f.pinned then
    select coalesce((select c.flow from tikku.message_content c where c.account_id = m.account_id and c.message_id = m.id), '{}') into v_flow
      from tikku.message m
      where m.account_id = f.account_id and m.flow_key = f.key and m.kick_until is not null and m.breaker_id is null and m.due_at <= p_now + interval '2 seconds'
      order by m.due_at desc, m.id desc limit 1;
    if v_flow is not null then
      f.parallelism := v_flow ->> 'parallelism';
      f.rate := v_flow ->> 'rate';
      f.period_ms := v_flow ->> 'periodMs';
    end if;
  end if;
  if f.rate is null then
    f.window_at := null;
    f.used := 0;
    f.used_before := 0;
  elsif f.window_at is null or p_now >= f.window_at + 2 * tikku.ms(f.period_ms) then
    f.window_at := p_now;
    f.used := 0;
    f.used_before := 0;
  elsif p_now >= f.window_at + tikku.ms(f.period_ms) then
    f.window_at := f.window_at + tikku.ms(f.period_ms);
    f.used_before := least(f.used, f.rate);
    f.used := 0;
  end if;
  return f;
end $$;
comment on function tikku.flow_limits is 'The flow with its limits and its current period.';

-- Locks the first rows of a flow in the order they start, up to a number and an amount of bodies. One that keeps the order goes on with what it began.
create function tikku.flow_heads(f tikku.flow, p_soon timestamptz, p_rows int, p_bytes_max bigint) returns uuid[] language plpgsql volatile as $$
declare
  v_ids uuid[];
begin
  if p_rows <= 0 then
    return '{}';
  end if;
  if f.parallelism = 1 then
    select array_agg(b.id) into v_ids from (
      select m.id from tikku.message m where m.account_id = f.account_id and m.flow_key = f.key and m.state = 'retrying' order by m.id limit 1 for update) b;
    if v_ids is not null then
      return array(select m.id from tikku.message m where m.id = v_ids[1] and m.state = 'retrying' and m.due_at <= p_soon);
    end if;
  end if;
  select array_agg(w.id) into v_ids from (
    select m.id from tikku.message m
      where m.account_id = f.account_id and m.flow_key = f.key and m.kick_until is not null and m.breaker_id is null and m.due_at <= p_soon
      order by m.due_at, m.id limit p_rows for update) w;
  if array_length(v_ids, 1) = 1 then
    return v_ids;
  end if;
  return array(
    select b.id from (
      select h.id, h.n, coalesce(sum(octet_length(c.body)) over (order by h.n rows between unbounded preceding and 1 preceding), 0) as before
        from unnest(v_ids) with ordinality as h(id, n) join tikku.message m on m.id = h.id
        join tikku.message_content c on c.account_id = m.account_id and c.message_id = m.id
    ) b where b.before < p_bytes_max order by b.n);
end $$;
comment on function tikku.flow_heads is 'Ids in the order they start.';

-- Takes out what is bound for a destination whose breaker is open, but for one that may be the probe. The caller holds the rows' locks.
create function tikku.breaker_sift(p_ids uuid[], p_now timestamptz) returns uuid[] language plpgsql volatile as $$
declare
  b tikku.breaker;
  v_mine uuid[];
  v_first uuid;
  v_ids uuid[] := p_ids;
begin
  if not exists (select 1 from tikku.breaker x where x.state <> 'closed') then
    return p_ids;
  end if;
  for b in
    select x.* from tikku.breaker x where x.state <> 'closed' and x.id in (
      select y.id from tikku.message m join tikku.message_content c on c.account_id = m.account_id and c.message_id = m.id
        join tikku.breaker y on y.account_id = c.account_id and y.destination = split_part(c.url, '?', 1) and y.state <> 'closed'
        where m.id = any(p_ids))
    order by x.account_id, x.destination for update
  loop
    v_mine := array(
      select m.id from tikku.message m join tikku.message_content c on c.account_id = m.account_id and c.message_id = m.id
        where m.id = any(v_ids) and c.account_id = b.account_id and split_part(c.url, '?', 1) = b.destination order by m.due_at, m.id);
    v_first := v_mine[1];
    continue when v_first is null;
    if p_now + interval '2 seconds' >= b.probe_at then
      -- A queue may be early: the lease waits out the rest.
      update tikku.message m set due_at = greatest(m.due_at, b.probe_at) where m.id = v_first;
      select 'half_open', m.id, greatest(p_now, b.probe_at) + tikku.ms(m.timeout_ms) + interval '32 seconds' into b.state, b.probe_id, b.probe_at
        from tikku.message m where m.id = v_first;
      v_mine := v_mine[2:];
    end if;
    v_ids := array(select i.id from unnest(v_ids) with ordinality as i(id, n) where not i.id = any(v_mine) order by i.n);
    if array_length(v_mine, 1) > 0 and b.next_at = 'infinity' then
      b.next_at := b.probe_at;
      -- The first that waits comes back for the time of the probe, unless it has a place in a flow to keep; then tick sees to it.
      update tikku.message m set breaker_id = b.id, kick_until = b.probe_at + interval '60 seconds' where m.id = v_mine[1] and m.flow_key is null;
      if found then
        v_mine := v_mine[2:];
        b.next_at := b.probe_at + interval '60 seconds';
      end if;
    end if;
    update tikku.message m set breaker_id = b.id, kick_until = 'infinity' where m.id = any(v_mine);
    update tikku.breaker x set state = b.state, probe_id = b.probe_id, probe_at = b.probe_at, next_at = b.next_at where x.id = b.id;
  end loop;
  return v_ids;
end $$;
comment on function tikku.breaker_sift is 'What may start of these rows.';

-- Makes the flows of these rows where they are missing, and locks them.
create function tikku.flow_lock(p_ids uuid[]) returns void language plpgsql volatile as $$
declare
  v_locked bigint;
  v_wanted bigint;
begin
  -- Again, where tick removed one meanwhile that had long been idle.
  loop
    insert into tikku.flow (account_id, key)
      select distinct m.account_id, m.flow_key from tikku.message m where m.id = any(p_ids) and m.flow_key is not null
        and not exists (select 1 from tikku.flow x where x.account_id = m.account_id and x.key = m.flow_key)
      order by 1, 2 on conflict do nothing;
    perform 1 from tikku.flow x
      where (x.account_id, x.key) in (select m.account_id, m.flow_key from tikku.message m where m.id = any(p_ids) and m.flow_key is not null)
      order by x.account_id, x.key for update;
    get diagnostics v_locked = row_count;
    select count(distinct (m.account_id, m.flow_key)) into v_wanted from tikku.message m where m.id = any(p_ids) and m.flow_key is not null;
    exit when v_locked >= v_wanted;
  end loop;
end $$;
comment on function tikku.flow_lock is 'The first lock of whoever starts or ends messages of a flow.';

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
  v_flowing := array(select m.id from tikku.message m where m.id = any(p_ids) and m.flow_key is not null);
  if v_flowing <> '{}' then
    perform tikku.flow_lock(v_flowing);
  end if;
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
    select u.id, true, greatest(0, ceil(date_part('epoch', greatest(u.due_at, u.at) - v_now) * 1000))::bigint, floor(date_part('epoch', v_now) * 1000)::bigint,
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
          select m.id, greatest(0, ceil(date_part('epoch', case when m.breaker_id is null then m.due_at else m.kick_until - interval '60 seconds' end - v_now)
              * 1000))::bigint as wait_ms, m.account_id from tikku.message m
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
  v_done uuid[];
begin
  v_flowing := array(select m.id from tikku.message m where m.id = any(p_ids) and m.flow_key is not null);
  if v_flowing <> '{}' then
    perform tikku.flow_lock(v_flowing);
  end if;
  select count(*) filter (where l.state <> 'delivering') into v_moved_on
    from (select m.state from tikku.message m where m.id = any(p_ids) order by m.id for update) l;
  v_now := tikku.clock_fresh();
  if v_moved_on > 0 then
    -- Recorded before, under the same lease: the answer was lost on the way.
    return query
      select m.id, true, case when m.state = 'retrying' and m.due_at <= v_now + tikku.ms(p_window_ms) then greatest(0, ceil(date_part('epoch', m.due_at - v_now) * 1000))::bigint end, m.account_id
        from unnest(p_ids, p_fences) as i(id, fence)
        join tikku.message m on m.id = i.id and m.fence = i.fence and m.state <> 'delivering'
        join tikku.attempt a on a.message_id = i.id and a.fence = i.fence;
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
  if v_done is null then
    return;
  end if;
  return query
    select m.id, true, case when m.state = 'retrying' and m.due_at <= v_now + tikku.ms(p_window_ms) then greatest(0, ceil(date_part('epoch', m.due_at - v_now) * 1000))::bigint end, m.account_id
      from tikku.message m where m.id = any(v_done);
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

-- Holds the flows whose endpoint said when to come back, and hands on their next rows: one for each place that was set free. The flows are locked.
create function tikku.flow_settle(p_done uuid[], p_ids uuid[], p_throttled boolean[], p_delays_ms bigint[], p_retry_afters_ms bigint[])
returns table (id uuid, wait_ms bigint, account_id uuid) language plpgsql volatile rows 10 as $$
declare
  f tikku.flow;
  g record;
  v_now timestamptz := tikku.clock_fresh();
begin
  for g in
    select m.account_id, m.flow_key, count(*)::int as ended, count(*) filter (where m.state <> 'retrying')::int as finished,
        max(coalesce(i.retry_after_ms, i.delay_ms)) filter (where i.throttled) as hold_ms
      from unnest(p_ids, p_throttled, p_delays_ms, p_retry_afters_ms) as i(id, throttled, delay_ms, retry_after_ms)
      join tikku.message m on m.id = i.id where m.id = any(p_done) and m.flow_key is not null group by 1, 2 order by 1, 2
  loop
    select * into f from tikku.flow x where x.account_id = g.account_id and x.key = g.flow_key;
    if g.hold_ms > 0 and v_now + tikku.ms(g.hold_ms) > coalesce(f.hold_until, '-infinity') then
      f.hold_until := v_now + tikku.ms(g.hold_ms);
      update tikku.flow x set hold_until = f.hold_until where x.account_id = f.account_id and x.key = f.key;
    end if;
    -- One that keeps the order waits for what it began.
    if (f.waiting or f.next_at < v_now + interval '5 minutes') and (f.parallelism > 1 or f.parallelism = 1 and g.finished > 0) then
      return query select * from tikku.flow_next(f, g.ended, '{}', v_now);
    end if;
  end loop;
end $$;
comment on function tikku.flow_settle is 'What is to be handed to the queue.';

-- Counts ended pushes of destinations that fail, opens and closes their breakers, and hands on what waited for one that closed: two rows for each
-- success, so that an endpoint that is back gets its load again in steps. A destination that never failed has no row and costs nothing.
create function tikku.breaker_count(p_done uuid[], p_ids uuid[], p_failed boolean[], p_errors text[])
returns table (id uuid, wait_ms bigint, account_id uuid) language plpgsql volatile rows 10 as $$
declare
  b tikku.breaker;
  d record;
  v_now timestamptz := tikku.clock_fresh();
begin
  for d in
    select c.account_id, split_part(c.url, '?', 1) as destination, count(*)::int as ended, (count(*) filter (where i.failed))::int as failed,
        max(i.error) filter (where i.failed) as error, array_agg(i.id) as ids, a.breaker_attempts, a.breaker_percent, a.breaker_open_ms
      from unnest(p_ids, p_failed, p_errors) as i(id, failed, error) join tikku.message m on m.id = i.id
      join tikku.message_content c on c.account_id = m.account_id and c.message_id = m.id join tikku.account a on a.id = m.account_id
      where i.failed is not null and m.id = any(p_done) group by c.account_id, 2, a.id order by 1, 2
  loop
    if d.failed > 0 then
      insert into tikku.breaker (account_id, destination, window_at) values (d.account_id, d.destination, v_now) on conflict do nothing;
    end if;
    select * into b from tikku.breaker x where x.account_id = d.account_id and x.destination = d.destination for update;
    continue when not found;
    if v_now >= b.window_at + interval '30 seconds' then
      b.attempts_before := case when v_now < b.window_at + interval '60 seconds' then b.attempts else 0 end;
      b.failures_before := case when v_now < b.window_at + interval '60 seconds' then b.failures else 0 end;
      b.attempts := 0;
      b.failures := 0;
      b.window_at := v_now;
    end if;
    b.attempts := b.attempts + d.ended;
    b.failures := b.failures + d.failed;
    if b.state = 'half_open' and b.probe_id = any(d.ids) then
      if d.failed < d.ended then
        b := tikku.breaker_closed(b, v_now);
      else
        b.state := 'open';
        b.probe_at := v_now + tikku.ms(d.breaker_open_ms);
        b.last_error := d.error;
        return query select * from tikku.breaker_probe(b);
        b.next_at := b.probe_at + case when found then interval '60 seconds' else interval '0' end;
      end if;
    elsif b.state = 'closed' and b.attempts + b.attempts_before >= d.breaker_attempts
      and (b.failures + b.failures_before) * 100 >= d.breaker_percent * (b.attempts + b.attempts_before) then
      b.state := 'open';
      b.opened_at := v_now;
      b.probe_at := v_now + tikku.ms(d.breaker_open_ms);
      b.last_error := d.error;
    end if;
    if b.state = 'closed' and b.next_at < 'infinity' then
      return query select * from tikku.breaker_next(b, 2 * (d.ended - d.failed));
      b.next_at := case when exists (select 1 from tikku.message m where m.breaker_id = b.id) then v_now + interval '60 seconds' else 'infinity' end;
    end if;
    update tikku.breaker x set state = b.state, window_at = b.window_at, attempts = b.attempts, failures = b.failures, attempts_before = b.attempts_before,
        failures_before = b.failures_before, opened_at = b.opened_at, probe_at = b.probe_at, probe_id = b.probe_id, last_error = b.last_error, next_at = b.next_at
      where x.id = b.id;
  end loop;
end $$;
comment on function tikku.breaker_count is 'What is to be handed to the queue.';

create function tikku.breaker_closed(b tikku.breaker, p_now timestamptz) returns tikku.breaker language plpgsql immutable as $$
begin
  b.state := 'closed';
  b.window_at := p_now;
  b.attempts := 0;
  b.failures := 0;
  b.attempts_before := 0;
  b.failures_before := 0;
  b.probe_at := null;
  b.probe_id := null;
  return b;
end $$;
comment on function tikku.breaker_closed is 'The breaker closed, with nothing counted.';

-- Lets the first rows that wait for a breaker go. The caller holds the breaker's lock.
create function tikku.breaker_next(b tikku.breaker, p_rows int) returns table (id uuid, wait_ms bigint, account_id uuid) language plpgsql volatile rows 5 as $$
begin
  return query
    update tikku.message m set breaker_id = null, kick_until = tikku.clock_fresh() + interval '60 seconds', kicks = 0
      where m.id in (
        select w.id from tikku.message w where w.breaker_id = b.id and w.kick_until is not null order by w.due_at, w.id limit p_rows for update skip locked)
      returning m.id, 0::bigint, m.account_id;
end $$;
comment on function tikku.breaker_next is 'What is to be handed to the queue.';

-- Has the first row that waits for a breaker and has no place in a flow to keep come back for the next probe.
create function tikku.breaker_probe(b tikku.breaker) returns table (id uuid, wait_ms bigint, account_id uuid) language plpgsql volatile rows 1 as $$
begin
  return query
    update tikku.message m set kick_until = b.probe_at + interval '60 seconds', kicks = 0
      where m.id = (
        select w.id from tikku.message w where w.breaker_id = b.id and w.kick_until is not null and w.flow_key is null order by w.due_at, w.id limit 1
          for update skip locked)
      returning m.id, tikku.ms_until(b.probe_at), m.account_id;
end $$;
comment on function tikku.breaker_probe is 'What is to be handed to the queue.';

-- Closes a breaker by hand.
create function tikku.breaker_reset(p_account uuid, p_id uuid) returns table (id uuid, wait_ms bigint, account_id uuid) language plpgsql volatile rows 100 as $$
declare
  b tikku.breaker;
  v_now timestamptz;
begin
  select * into b from tikku.breaker x where x.id = p_id and x.account_id = p_account for update;
  if not found then
    return;
  end if;
  v_now := tikku.clock_fresh();
  b := tikku.breaker_closed(b, v_now);
  return query select * from tikku.breaker_next(b, 100);
  update tikku.breaker x set state = b.state, window_at = b.window_at, attempts = 0, failures = 0, attempts_before = 0, failures_before = 0, probe_at = null,
      probe_id = null, next_at = case when x.next_at < 'infinity' then v_now + interval '2 seconds' else x.next_at end
    where x.id = b.id;
end $$;
comment on function tikku.breaker_reset is 'What is to be handed to the queue; tick goes on with the rest.';

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

-- Hands on the rows of flows whose places are free.
create function tikku.flow_wake(p_accounts uuid[], p_keys text[]) returns table (id uuid, wait_ms bigint, account_id uuid) language plpgsql volatile rows 10 as $$
declare
  f tikku.flow;
begin
  for f in
    select x.* from tikku.flow x where (x.account_id, x.key) in (select * from unnest(p_accounts, p_keys)) order by x.account_id, x.key for update
  loop
    return query select * from tikku.flow_next(f, least(10, tikku.flow_places(f)), '{}', null);
  end loop;
end $$;
comment on function tikku.flow_wake is 'What is to be handed to the queue.';

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

-- As in 0004; what waited for a breaker does no longer.
create or replace function tikku.message_cancel(p_account uuid, p_id uuid) returns text language plpgsql volatile as $$
declare
  v_state text;
begin
  select m.state into v_state from tikku.message m where m.id = p_id and m.account_id = p_account for update;
  if v_state in ('scheduled', 'queued', 'retrying') then
    update tikku.message m set state = 'cancelled', fence = m.fence + 1, kick_until = null, breaker_id = null, finished_at = tikku.clock_fresh() where m.id = p_id;
  elsif v_state = 'delivering' then
    update tikku.message m set cancel_requested = true where m.id = p_id;
  end if;
  return v_state;
end $$;

create or replace function tikku.message_retry(p_account uuid, p_id uuid) returns text language plpgsql volatile as $$
declare
  v_state text;
  v_now timestamptz;
begin
  select m.state into v_state from tikku.message m where m.id = p_id and m.account_id = p_account for update;
  if v_state in ('failed', 'cancelled', 'retrying') then
    v_now := tikku.clock_fresh();
    update tikku.message m set state = case when v_state = 'retrying' then 'retrying' else 'queued' end, fence = m.fence + 1, attempts = 0, throttles = 0,
        lost = 0, kicks = 0, cancel_requested = false,
        due_at = v_now, kick_until = v_now + interval '60 seconds', breaker_id = null, finished_at = null
      where m.id = p_id;
  end if;
  return v_state;
end $$;

do $settings$
declare
  v_function text;
begin
  foreach v_function in array array['message_lease', 'message_reap', 'message_cancel', 'message_retry', 'flow_wake', 'waiting_sweep', 'breaker_reset'] loop
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
