-- Edits of fanouts and flows. Each locks the fanout or the flow first and checks If-Match under that lock: null for all revisions, else
-- those that may be changed.

create function tikku.fanout_lock(p_account uuid, p_name text, p_if_match bigint[]) returns text language plpgsql volatile as $$
declare
  v_revision bigint;
begin
  select f.revision into v_revision from tikku.fanout f where f.account_id = p_account and f.name = p_name for update;
  return case when not found then 'missing' when p_if_match is not null and not v_revision = any(p_if_match) then 'stale' else 'done' end;
end $$;
comment on function tikku.fanout_lock is 'The first lock of an edit: done, missing or stale.';

create function tikku.fanout_touch(p_account uuid, p_name text) returns void language sql volatile as $$
  update tikku.fanout f set revision = f.revision + 1, updated_at = tikku.clock_fresh() where f.account_id = p_account and f.name = p_name
$$;
comment on function tikku.fanout_touch is 'Notes a change of a fanout or its endpoints.';

create function tikku.fanout_put(p_account uuid, p_name text, p_must_exist boolean, p_if_match bigint[], p_endpoints json, p_bytes_max bigint)
returns text language plpgsql volatile as $$
declare
  v_revision bigint;
  v_made boolean := false;
begin
  if (select sum(octet_length(n.url) + octet_length(n.headers::text)) from json_to_recordset(p_endpoints) as n(url text, headers json)) > p_bytes_max then
    return 'too_large';
  end if;
  loop
    select f.revision into v_revision from tikku.fanout f where f.account_id = p_account and f.name = p_name for update;
    exit when found;
    if p_must_exist then
      return 'stale';
    end if;
    insert into tikku.fanout (account_id, name) values (p_account, p_name) on conflict do nothing;
    v_made := found;
    exit when v_made;
  end loop;
  if p_if_match is not null and not v_revision = any(p_if_match) then
    return 'stale';
  end if;
  delete from tikku.fanout_endpoint e where e.account_id = p_account and e.fanout = p_name
    and e.url not in (select n.url from json_to_recordset(p_endpoints) as n(url text));
  insert into tikku.fanout_endpoint (account_id, fanout, id, url, method, headers, max_attempts, timeout_ms, backoff, flow_key, flow, paused)
    select p_account, p_name, tikku.new_id(), n.url, n.method, n.headers, n.max_attempts, n.timeout_ms, n.backoff, n.flow_key,
        n.flow, n.paused
      from json_to_recordset(p_endpoints) as n(url text, method text, headers json, max_attempts smallint, timeout_ms int, backoff json,
        flow_key text, flow json, paused boolean)
    on conflict (account_id, fanout, url) do update set method = excluded.method, headers = excluded.headers, max_attempts = excluded.max_attempts,
      timeout_ms = excluded.timeout_ms, backoff = excluded.backoff, flow_key = excluded.flow_key, flow = excluded.flow, paused = excluded.paused;
  if not v_made then
    perform tikku.fanout_touch(p_account, p_name);
    return 'replaced';
  end if;
  return 'made';
end $$;
comment on function tikku.fanout_put is 'Makes a fanout or gives it these endpoints; one whose URL stays keeps its id. made, replaced, stale or too_large.';

create function tikku.fanout_delete(p_account uuid, p_name text, p_if_match bigint[]) returns text language plpgsql volatile as $$
declare
  v_verdict text := tikku.fanout_lock(p_account, p_name, p_if_match);
begin
  if v_verdict <> 'done' then
    return v_verdict;
  end if;
  delete from tikku.fanout f where f.account_id = p_account and f.name = p_name;
  return 'done';
end $$;
comment on function tikku.fanout_delete is 'Deletes a fanout with its endpoints. done, missing or stale.';

-- With an id it replaces that endpoint, without one it adds a new one.
create function tikku.fanout_endpoint_put(
  p_account uuid, p_fanout text, p_id uuid, p_if_match bigint[], p_endpoint json, p_endpoints_max bigint, p_bytes_max bigint,
  out verdict text, out endpoint_id uuid
) language plpgsql volatile as $$
declare
  v_others bigint;
  v_bytes bigint;
  n record;
begin
  verdict := tikku.fanout_lock(p_account, p_fanout, p_if_match);
  if verdict <> 'done' then
    return;
  end if;
  select * into n from json_to_record(p_endpoint) as (url text, method text, headers json, max_attempts smallint, timeout_ms int, backoff json,
    flow_key text, flow json, paused boolean);
  select count(*), coalesce(sum(octet_length(e.url) + octet_length(e.headers::text)), 0) + octet_length(n.url) + octet_length(n.headers::text)
    into v_others, v_bytes
    from tikku.fanout_endpoint e where e.account_id = p_account and e.fanout = p_fanout and e.id is distinct from p_id;
  verdict := case
    when p_id is not null and not exists (select 1 from tikku.fanout_endpoint e where e.account_id = p_account and e.fanout = p_fanout and e.id = p_id)
      then 'missing'
    when exists (select 1 from tikku.fanout_endpoint e where e.account_id = p_account and e.fanout = p_fanout and e.url = n.url and e.id is distinct from p_id)
      then 'taken'
    when v_others >= p_endpoints_max then 'full'
    when v_bytes > p_bytes_max then 'too_large'
    else 'done' end;
  if verdict <> 'done' then
    return;
  end if;
  endpoint_id := coalesce(p_id, tikku.new_id());
  insert into tikku.fanout_endpoint as e (account_id, fanout, id, url, method, headers, max_attempts, timeout_ms, backoff, flow_key, flow, paused)
    values (p_account, p_fanout, endpoint_id, n.url, n.method, n.headers, n.max_attempts, n.timeout_ms, n.backoff, n.flow_key, n.flow, n.paused)
    on conflict (account_id, fanout, id) do update set url = excluded.url, method = excluded.method, headers = excluded.headers,
      max_attempts = excluded.max_attempts, timeout_ms = excluded.timeout_ms, backoff = excluded.backoff, flow_key = excluded.flow_key,
      flow = excluded.flow, paused = excluded.paused;
  perform tikku.fanout_touch(p_account, p_fanout);
end $$;
comment on function tikku.fanout_endpoint_put is 'Adds or replaces one endpoint. done, missing, stale, taken, full or too_large.';

create function tikku.fanout_endpoint_delete(p_account uuid, p_fanout text, p_id uuid, p_if_match bigint[]) returns text language plpgsql volatile as $$
declare
  v_verdict text := tikku.fanout_lock(p_account, p_fanout, p_if_match);
begin
  if v_verdict <> 'done' then
    return v_verdict;
  end if;
  delete from tikku.fanout_endpoint e where e.account_id = p_account and e.fanout = p_fanout and e.id = p_id;
  if not found then
    return 'missing';
  end if;
  perform tikku.fanout_touch(p_account, p_fanout);
  return 'done';
end $$;
comment on function tikku.fanout_endpoint_delete is 'Deletes one endpoint. done, missing or stale.';

-- What an operator does to a flow: pin, unpin, pause, resume. Only pin makes one that is missing. What may start now is handed to the queue by
-- the caller: kicks after waits_ms.
create function tikku.flow_edit(
  p_account uuid, p_key text, p_verb text, p_must_exist boolean, p_if_match bigint[], p_parallelism int, p_rate int, p_period_ms bigint,
  out verdict text, out kicks uuid[], out waits_ms bigint[]
) language plpgsql volatile as $$
declare
  v_revision bigint;
begin
  verdict := 'done';
  loop
    select f.revision into v_revision from tikku.flow f where f.account_id = p_account and f.key = p_key for update;
    exit when found;
    if p_verb <> 'pin' or p_must_exist then
      verdict := case when p_verb = 'pin' then 'stale' else 'missing' end;
      return;
    end if;
    insert into tikku.flow (account_id, key, revision) values (p_account, p_key, 0) on conflict do nothing;
    if found then
      verdict := 'made';
    end if;
  end loop;
  if p_if_match is not null and not v_revision = any(p_if_match) then
    verdict := 'stale';
    return;
  end if;
  update tikku.flow f set
      parallelism = case when p_verb = 'pin' then p_parallelism else f.parallelism end,
      rate = case when p_verb = 'pin' then p_rate else f.rate end,
      period_ms = case when p_verb = 'pin' then p_period_ms else f.period_ms end,
      pinned = case p_verb when 'pin' then true when 'unpin' then false else f.pinned end,
      paused = case p_verb when 'pause' then true when 'resume' then false else f.paused end,
      hold_until = case when p_verb = 'resume' then null else f.hold_until end,
      revision = f.revision + 1
    where f.account_id = p_account and f.key = p_key;
  if p_verb <> 'pause' then
    select array_agg(w.id), array_agg(w.wait_ms) into kicks, waits_ms from tikku.flow_wake(array[p_account], array[p_key]) w;
  end if;
end $$;
comment on function tikku.flow_edit is 'done, made, missing or stale; and what to hand to the queue.';

alter function tikku.fanout_put set lock_timeout = '5s';
alter function tikku.fanout_delete set lock_timeout = '5s';
alter function tikku.fanout_endpoint_put set lock_timeout = '5s';
alter function tikku.fanout_endpoint_delete set lock_timeout = '5s';
alter function tikku.flow_edit set lock_timeout = '5s';
