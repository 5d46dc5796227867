-- How a message comes into being: one function inserts it, whoever asks: a publish, a batch, a fanout, a schedule, a resend, SQL.

-- UUID version 7 (RFC 9562, section 6.2, method 3): the 12 bits after the milliseconds are their fraction, so that the messages of a batch
-- and the endpoints of a fanout sort in the order they were made in.
create or replace function tikku.new_id() returns uuid language sql volatile parallel safe as $$
  select (overlay(lpad(to_hex(floor(date_part('epoch', tikku.clock_fresh()) * 4096000)::bigint), 15, '0') placing '7' from 13 for 0)
    || substr(gen_random_uuid()::text, 20))::uuid
$$;

create function tikku.backoff_default() returns json language sql immutable parallel safe as $$
  select '{"type":"exponential","initialMs":1000,"factor":5.0,"maxMs":3600000,"jitter":true}'::json
$$;
comment on function tikku.backoff_default is 'domain::retry::Backoff::default as it is stored; a test compares them.';

create function tikku.ms_between(p_from timestamptz, p_to timestamptz) returns bigint language sql immutable parallel safe as $$
  select greatest(0, ceil(date_part('epoch', p_to - p_from) * 1000))::bigint
$$;
comment on function tikku.ms_between is 'Milliseconds from one time to another, never negative; for times that were read after locks.';

create function tikku.due_at(p_delay_ms bigint, p_not_before_ms bigint) returns timestamptz language sql stable parallel safe as $$
  select case when p_delay_ms is not null then tikku.clock_now() + tikku.ms(p_delay_ms)
    else greatest(tikku.clock_now(), to_timestamp(p_not_before_ms / 1000.0)) end
$$;
comment on function tikku.due_at is 'When a publish with this delay or time is due; now without either.';

-- A flow whose rows wait already: a new one joins them without troubling the queue. Read without a lock, so it may be out of date by the length of a
-- transaction of ours: tick looks at the flow once more a minute after its last row went, and then every hour.
create function tikku.flow_waits(p_account uuid, p_key text) returns boolean language sql stable parallel safe as $$
  select exists (select 1 from tikku.flow f where f.account_id = p_account and f.key = p_key and f.waiting)
$$;
comment on function tikku.flow_waits is 'Whether rows of the flow were left waiting.';

-- Inserts one message, or finds the one that has its idempotency key. `c` holds everything but message_id and created_at. With a
-- window the caller hands the row to the queue after the wait in the answer, if there is one; without it tick does.
create function tikku.message_put(c tikku.message_content, p_flow_key text, p_due timestamptz, p_max_attempts int, p_timeout_ms int, p_window_ms bigint)
returns text[] language plpgsql volatile as $$
declare
  v_now timestamptz := tikku.clock_now();
  v_due timestamptz := coalesce(p_due, v_now);
  v_state text := case when v_due > v_now then 'scheduled' else 'queued' end;
  v_kick timestamptz;
  v_wait bigint;
  v_id uuid;
  v_hash bytea;
  v_old boolean := false;
begin
  c.message_id := tikku.new_id();
  c.created_at := v_now;
  if c.fanout is not null and c.publish_id is null then
    c.publish_id := c.message_id;
  end if;
  if c.idempotency_key is null then
    insert into tikku.message_content values (c.*);
  else
    insert into tikku.message_content as old values (c.*)
      on conflict (account_id, idempotency_key) where idempotency_key is not null do update set idempotency_key = excluded.idempotency_key
      returning old.message_id, old.payload_hash, old.xmax <> 0 into v_id, v_hash, v_old;
  end if;
  if v_old then
    return array[case when v_hash = c.payload_hash then 'deduplicated' else 'mismatch' end, v_id::text, (select m.state from tikku.message m where m.id = v_id)];
  end if;
  if p_window_ms is null then
    v_kick := greatest(v_now, v_due - interval '15 minutes');
  elsif p_flow_key is not null and v_due <= v_now and tikku.flow_waits(c.account_id, p_flow_key) then
    v_kick := 'infinity';
  else
    v_kick := tikku.kick_until(v_due, v_now, p_window_ms);
    if v_due <= v_now + tikku.ms(p_window_ms) then
      v_wait := case when v_due > v_now then tikku.ms_until(v_due) else 0 end;
    end if;
  end if;
  insert into tikku.message (id, account_id, state, due_at, kick_until, max_attempts, timeout_ms, flow_key)
    values (c.message_id, c.account_id, v_state, v_due, v_kick, p_max_attempts, p_timeout_ms, p_flow_key);
  return array['accepted', c.message_id::text, v_state, v_wait::text];
end $$;
comment on function tikku.message_put is '[accepted, id, state, wait in ms or null], or [deduplicated or mismatch, id, state] of the message that has the key.';

-- Checks the API key and inserts one message for a URL. One statement for a publish.
create function tikku.message_publish(
  p_key_hash bytea, p_url text, p_method text, p_headers text, p_body bytea, p_raw boolean, p_delay_ms bigint, p_not_before_ms bigint, p_delay_ms_max bigint,
  p_max_attempts int, p_timeout_ms int, p_backoff text, p_idempotency_key text, p_payload_hash bytea, p_labels text[], p_flow_key text, p_flow text,
  p_callback_url text, p_failure_callback_url text, p_window_ms bigint
) returns text[] language plpgsql volatile as $$
declare
  c tikku.message_content;
  v_role text;
  v_used timestamptz;
  v_due timestamptz;
begin
  select k.account_id, k.role, k.last_used_at into c.account_id, v_role, v_used from tikku.api_key k where k.hash = p_key_hash and k.revoked_at is null;
  if not found then
    return array['unauthorized'];
  elsif v_role = 'read' then
    return array['forbidden'];
  elsif v_used is null or v_used < tikku.clock_now() - interval '1 minute' then
    perform tikku.api_key_use(p_key_hash);
  end if;
  if p_delay_ms is not null or p_not_before_ms is not null then
    v_due := tikku.due_at(p_delay_ms, p_not_before_ms);
    if v_due > tikku.clock_now() + tikku.ms(p_delay_ms_max) then
      return array['too_late'];
    end if;
  end if;
  c := row(c.account_id, null, null, p_url, p_method, p_headers::json, p_body, p_delay_ms, to_timestamp(p_not_before_ms / 1000.0), p_backoff::json,
    p_idempotency_key, p_payload_hash, p_labels, null, p_raw, p_flow::json, p_callback_url, p_failure_callback_url, null, null, null, null);
  return tikku.message_put(c, p_flow_key, v_due, p_max_attempts, p_timeout_ms, p_window_ms) || c.account_id::text;
end $$;
comment on function tikku.message_publish(bytea, text, text, text, bytea, boolean, bigint, bigint, bigint, int, int, text, text, bytea, text[], text, text, text, text, bigint)
  is 'The answer of message_put and the account; or [unauthorized], [forbidden], [too_late].';
comment on function tikku.message_publish(bytea, text, text, text, bytea, bigint, bigint, bigint, int, int, text, text, bytea, text[], bigint)
  is 'What the version before calls, for as long as a deployment rolls out.';

-- An endpoint's headers replace those of the publish that have the same name.
create function tikku.headers_over(p_below json, p_above json) returns json language sql stable parallel safe as $$
  select coalesce(json_agg(x.h order by x.n), '[]') from (
    select b.h, b.n from json_array_elements(p_below) with ordinality as b(h, n)
      where not exists (select 1 from json_array_elements(p_above) as a(h) where lower(a.h ->> 0) = lower(b.h ->> 0))
    union all
    select a.h, 1000 + a.n from json_array_elements(p_above) with ordinality as a(h, n)
  ) x
$$;
comment on function tikku.headers_over is 'Two header lists as one; names are case-insensitive and the second list wins.';

-- One independent message for each endpoint of `c.fanout` that is not paused. The first of them has the idempotency key.
create function tikku.message_put_fanout(c tikku.message_content, p_flow_key text, p_due timestamptz, p_max_attempts int, p_timeout_ms int, p_window_ms bigint)
returns table (verdict text, id uuid, state text, wait_ms bigint, url text) language plpgsql volatile rows 10 as $$
declare
  e tikku.fanout_endpoint;
  m tikku.message_content;
  v_put text[];
begin
  perform 1 from tikku.fanout f where f.account_id = c.account_id and f.name = c.fanout;
  if not found then
    return query select 'no_fanout', null::uuid, null, null::bigint, null;
    return;
  end if;
  -- Each message has its own copy of the body.
  if octet_length(c.body) > 65536 and octet_length(c.body) * (
    select count(*) from tikku.fanout_endpoint x where x.account_id = c.account_id and x.fanout = c.fanout and not x.paused) > 67108864 then
    return query select 'too_large', null::uuid, null, null::bigint, null;
    return;
  end if;
  for e in select x.* from tikku.fanout_endpoint x where x.account_id = c.account_id and x.fanout = c.fanout and not x.paused order by x.id loop
    m := c;
    m.url := e.url;
    m.method := coalesce(e.method, c.method);
    if json_array_length(e.headers) > 0 then
      m.headers := tikku.headers_over(c.headers, e.headers);
    end if;
    if m.method in ('GET', 'HEAD') then
      m.body := null;
    end if;
    m.backoff := coalesce(e.backoff, c.backoff);
    m.flow := case when e.flow_key is null then c.flow else e.flow end;
    v_put := tikku.message_put(m, coalesce(e.flow_key, p_flow_key), p_due, coalesce(e.max_attempts, p_max_attempts),
      coalesce(e.timeout_ms, p_timeout_ms), p_window_ms);
    if v_put[1] <> 'accepted' then
      return query
        select v_put[1], n.message_id, s.state::text, null::bigint, n.url
          from tikku.message_content n join tikku.message s on s.id = n.message_id
          where n.account_id = c.account_id and (n.publish_id = v_put[2]::uuid or n.message_id = v_put[2]::uuid)
          order by n.message_id <> v_put[2]::uuid, n.message_id;
      return;
    end if;
    c.publish_id := coalesce(c.publish_id, v_put[2]::uuid);
    c.idempotency_key := null;
    verdict := v_put[1];
    id := v_put[2];
    state := v_put[3];
    wait_ms := v_put[4];
    url := m.url;
    return next;
  end loop;
end $$;
comment on function tikku.message_put_fanout is 'A row for each message; of a publish that was made before, its rows, the one with the key first; or one row: no_fanout, or too_large when all bodies would be more than 64 MiB.';

-- Checks the API key and inserts many messages, in the order of their idempotency keys: two batches with the same keys wait for each
-- other instead of deadlocking. All fanouts together make a bounded number of messages and bytes. Within a flow they start in the order of the request: each is due a microsecond after the one before.
create function tikku.message_publish_batch(p_key_hash bytea, p_items json, p_bodies bytea[], p_copies_max bigint, p_delay_ms_max bigint, p_window_ms bigint)
returns table (n int, verdict text, id uuid, state text, wait_ms bigint, url text, account_id uuid) language plpgsql volatile rows 100 as $$
declare
  v_key record;
  v_count int := coalesce(array_length(p_bodies, 1), 0);
  v_due timestamptz;
  c tikku.message_content;
  i record;
  v_put text[];
  v_copies bigint;
  v_copies_left bigint := p_copies_max;
  v_bytes_left bigint := 67108864;
begin
  select * into v_key from tikku.api_key_use(p_key_hash);
  account_id := v_key.account_id;
  if v_key.role is null or v_key.role = 'read' then
    n := 0;
    verdict := case when v_key.role is null then 'unauthorized' else 'forbidden' end;
    return next;
    return;
  end if;
  for i in
    select * from rows from (json_to_recordset(p_items) as (url text, fanout text, method text, headers json, raw boolean, "delayMs" bigint,
      "notBeforeMs" bigint, "maxAttempts" int, "timeoutMs" int, backoff json, "idempotencyKey" text, "payloadHash" text, labels text[],
      "flowKey" text, flow json, "callbackUrl" text, "failureCallbackUrl" text)) with ordinality
    order by "idempotencyKey", ordinality
  loop
    n := i.ordinality;
    v_due := tikku.due_at(i."delayMs", i."notBeforeMs");
    if v_due > tikku.clock_now() + tikku.ms(p_delay_ms_max) then
      verdict := 'too_late';
      id := null;
      return next;
      continue;
    end if;
    v_due := v_due - (v_count - n) * interval '1 microsecond';
    c := row(account_id, null, null, i.url, i.method, i.headers, p_bodies[n], i."delayMs", to_timestamp(i."notBeforeMs" / 1000.0), i.backoff,
      i."idempotencyKey", decode(i."payloadHash", 'hex'), i.labels, null, i.raw, i.flow, i."callbackUrl", i."failureCallbackUrl", null, i.fanout, null, null);
    if i.fanout is null then
      v_put := tikku.message_put(c, i."flowKey", v_due, i."maxAttempts", i."timeoutMs", p_window_ms);
      verdict := v_put[1];
      id := v_put[2];
      state := v_put[3];
      wait_ms := v_put[4];
      url := i.url;
      return next;
    else
      state := null;
      url := null;
      id := null;
      select count(*) into v_copies from tikku.fanout_endpoint x where x.account_id = c.account_id and x.fanout = c.fanout and not x.paused;
      if v_copies > v_copies_left or v_copies * coalesce(octet_length(c.body), 0) > v_bytes_left then
        verdict := 'too_large';
        return next;
        continue;
      end if;
      v_copies_left := v_copies_left - v_copies;
      v_bytes_left := v_bytes_left - v_copies * coalesce(octet_length(c.body), 0);
      verdict := 'fanout';
      return next;
      for verdict, id, state, wait_ms, url in
        select * from tikku.message_put_fanout(c, i."flowKey", v_due, i."maxAttempts", i."timeoutMs", p_window_ms)
      loop
        return next;
      end loop;
    end if;
  end loop;
end $$;
comment on function tikku.message_publish_batch is 'Rows of each item n from 1: for a URL one; for a fanout one that says so and one for each message. n 0: unauthorized or forbidden.';

-- Sends a copy: same content, fresh state, due now, without the idempotency key.
create function tikku.message_resend(p_account uuid, p_id uuid, p_window_ms bigint) returns text[] language plpgsql volatile as $$
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
  return tikku.message_put(c, m.flow_key, null, m.max_attempts, m.timeout_ms, p_window_ms);
end $$;
comment on function tikku.message_resend is 'The answer of message_put; null when the account has no such message.';

alter function tikku.message_publish(bytea, text, text, text, bytea, boolean, bigint, bigint, bigint, int, int, text, text, bytea, text[], text, text, text, text, bigint)
  set lock_timeout = '5s';
alter function tikku.message_publish_batch set lock_timeout = '5s';
alter function tikku.message_resend set lock_timeout = '5s';
