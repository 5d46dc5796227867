-- Which rows of a flow may start, and who wakes those that wait. Lock order: flows by (account, key), messages, breakers by (account, destination); whoever
-- locks messages before a flow takes them with SKIP LOCKED and waits for nothing. What is left of deadlocks is rolled back and run again by the store.

-- Makes the flows of these rows where they are missing, and locks them.
create function tikku.flow_lock(p_ids uuid[]) returns uuid[] language plpgsql volatile as $$
declare
  v_ids uuid[] := array(select m.id from tikku.message m where m.id = any(p_ids) and m.flow_key is not null);
  v_locked bigint;
  v_wanted bigint;
begin
  -- Again, where tick removed one meanwhile that had long been idle.
  while v_ids <> '{}' loop
    insert into tikku.flow (account_id, key)
      select distinct m.account_id, m.flow_key from tikku.message m where m.id = any(v_ids)
        and not exists (select 1 from tikku.flow x where x.account_id = m.account_id and x.key = m.flow_key)
      order by 1, 2 on conflict do nothing;
    perform 1 from tikku.flow x
      where (x.account_id, x.key) in (select m.account_id, m.flow_key from tikku.message m where m.id = any(v_ids))
      order by x.account_id, x.key for update;
    get diagnostics v_locked = row_count;
    select count(distinct (m.account_id, m.flow_key)) into v_wanted from tikku.message m where m.id = any(v_ids);
    exit when v_locked >= v_wanted;
  end loop;
  return v_ids;
end $$;
comment on function tikku.flow_lock is 'Those of the rows that have a flow. The first lock of whoever starts or ends messages.';

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

create function tikku.flow_is_waiting(f tikku.flow, p_not uuid[], p_soon timestamptz) returns boolean language sql stable as $$
  select exists (
    select 1 from tikku.message w
      where w.account_id = f.account_id and w.flow_key = f.key and w.kick_until is not null and w.breaker_id is null
        and w.due_at <= p_soon and not w.id = any(p_not))
$$;
comment on function tikku.flow_is_waiting is 'Whether rows of the flow are due besides these.';

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
    select n.id, tikku.ms_between(v_now, v_at), n.account_id from n where v_at <= v_now + interval '15 minutes';
end $$;
comment on function tikku.flow_next is 'What is to be handed to the queue.';

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
