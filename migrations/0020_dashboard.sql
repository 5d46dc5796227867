-- What the dashboard's reads need: two indexes that the hot path does not touch, and the place of a moment among ids.

-- API: lists and counts of states that few messages are in. What is published to be due now is never in one of them, so an ordinary message
-- writes no row of this index (measured: ARCHITECTURE.md). Those that failed have message_failed; delivering, message_lease.
create index message_state on tikku.message (account_id, state, id desc) where state in ('scheduled', 'retrying', 'cancelled');

-- API: as for messages; a run that neither waits nor sleeps writes no row of it.
create index run_state on tikku.run (account_id, state, id desc) where state in ('failed', 'paused', 'cancelled', 'waiting', 'sleeping', 'retrying');
drop index tikku.run_state_list;

create function tikku.id_at(p_ms bigint) returns uuid language sql immutable parallel safe as $$
  select (lpad(to_hex(p_ms), 12, '0') || repeat('0', 20))::uuid
$$;
comment on function tikku.id_at is 'The lowest id of a millisecond since 1970: what was made before is below, what was made then or later is not.';
revoke execute on function tikku.id_at from public;

-- Reads, not transitions. They are functions because a statement cannot say that it is not worth compiling: their estimates are far above what
-- they read, and the compilation took four times as long as they do.

create function tikku.overview_buckets(p_account uuid, p_width_ms bigint, p_buckets bigint, p_most bigint)
returns table (start_ms bigint, start text, published bigint, last_id uuid, finished bigint, last_ms bigint) language plpgsql stable as $$
#variable_conflict use_column
begin
  return query
    with grid as (
      select ((floor(date_part('epoch', tikku.clock_now()) * 1000)::int8 / p_width_ms + 1 - p_buckets) + i) * p_width_ms as start_ms from generate_series(0, p_buckets - 1) i
    )
    select g.start_ms, tikku.rfc3339(to_timestamp(g.start_ms / 1000.0)) as start, p.n as published, p.last as last_id, f.n as finished,
      floor(date_part('epoch', f.last) * 1000)::int8 as last_ms
    from grid g cross join lateral (
      select count(*) as n, (array_agg(x.message_id))[p_most] as last from (
        select c.message_id from tikku.message_content c
          where c.account_id = p_account and c.message_id >= tikku.id_at(g.start_ms) and c.message_id < tikku.id_at(g.start_ms + p_width_ms) order by c.message_id limit p_most) x
    ) p cross join lateral (
      select count(*) as n, max(x.finished_at) as last from (
        select m.finished_at from tikku.message m
          where m.account_id = p_account and m.finished_at >= to_timestamp(g.start_ms / 1000.0) and m.finished_at < to_timestamp((g.start_ms + p_width_ms) / 1000.0)
          order by m.finished_at limit p_most) x
    ) f order by g.start_ms;
end $$;
comment on function tikku.overview_buckets is 'How many messages were published, and how many over, in each bucket until now, counted up to p_most; the last counted, when there may be more.';

create function tikku.overview_sample(p_account uuid, p_starts bigint[], p_width_ms bigint, p_takes bigint[], p_retrying bigint)
returns table (n bigint, state text, latency_ms bigint, last boolean, duration_ms bigint, failed boolean, started_ms bigint, destination text, retrying bigint)
language plpgsql stable as $$
#variable_conflict use_column
begin
  return query
    with ended as materialized (
      select b.n, m.id, m.state, m.attempt_number, greatest(0, floor(date_part('epoch', m.finished_at - m.due_at) * 1000))::int8 as latency_ms
      from unnest(p_starts::int8[], p_takes::int8[]) with ordinality as b(start_ms, take, n) cross join lateral (
        select m.id, m.state::text as state, m.attempt_number, m.finished_at, m.due_at from tikku.message m
          where m.account_id = p_account and m.finished_at >= to_timestamp(b.start_ms / 1000.0) and m.finished_at < to_timestamp((b.start_ms + p_width_ms) / 1000.0)
          order by m.finished_at limit b.take) m
    ), again as materialized (
      select m.id from tikku.message m where m.account_id = p_account and m.state = 'retrying' order by m.id desc limit p_retrying
    )
    select e.n, e.state, e.latency_ms, coalesce(a.number = e.attempt_number, true) as last, a.duration_ms, a.failed, a.started_ms,
      (select split_part(c.url, '?', 1) from tikku.message_content c where c.account_id = p_account and c.message_id = e.id) as destination,
      (select count(*) from again) as retrying
    from (select n, id, state, attempt_number, latency_ms from ended union all select null, id, null, null, null from again) e
    left join lateral (
      select a.number, a.duration_ms, a.error is not null as failed, floor(date_part('epoch', a.started_at) * 1000)::int8 as started_ms
      from tikku.attempt a where a.message_id = e.id order by a.number desc limit 20) a on true;
end $$;
comment on function tikku.overview_sample is 'Of each bucket p_takes messages that were over, of those to be tried again the newest p_retrying, one row for each push; n is null for the latter.';

do $settings$
declare
  v_function text;
begin
  foreach v_function in array array['overview_buckets', 'overview_sample'] loop
    execute format('alter function tikku.%I set jit = off', v_function);
    -- By index is right at every size (migration 4 says why).
    execute format('alter function tikku.%I set enable_seqscan = off', v_function);
    execute format('alter function tikku.%I set enable_bitmapscan = off', v_function);
    execute format('alter function tikku.%I set enable_hashjoin = off', v_function);
    execute format('alter function tikku.%I set enable_mergejoin = off', v_function);
  end loop;
end $settings$;
revoke execute on function tikku.overview_buckets, tikku.overview_sample from public;
