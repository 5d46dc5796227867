-- Circuit breakers: counting what ends, holding back what is bound for a destination that is down, letting it go in steps.

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
    perform tikku.breaker_save(b);
  end loop;
  return v_ids;
end $$;
comment on function tikku.breaker_sift is 'What may start of these rows.';

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
    perform tikku.breaker_save(b);
  end loop;
end $$;
comment on function tikku.breaker_count is 'What is to be handed to the queue.';

create function tikku.breaker_save(b tikku.breaker) returns void language sql volatile as $$
  update tikku.breaker x set state = b.state, window_at = b.window_at, attempts = b.attempts, failures = b.failures, attempts_before = b.attempts_before,
      failures_before = b.failures_before, opened_at = b.opened_at, probe_at = b.probe_at, probe_id = b.probe_id, last_error = b.last_error, next_at = b.next_at
    where x.id = b.id
$$;
comment on function tikku.breaker_save is 'Writes a breaker whose lock the caller holds.';

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
  if b.next_at < 'infinity' then
    b.next_at := v_now + interval '2 seconds';
  end if;
  perform tikku.breaker_save(b);
end $$;
comment on function tikku.breaker_reset is 'What is to be handed to the queue; tick goes on with the rest.';
