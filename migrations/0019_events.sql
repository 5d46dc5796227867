-- Events, apps, and runs by the many: children of what is over, bulk operations, retention. Lock order: see 0015; an event that is being applied is locked before runs.

create index event_waits on tikku.event (account_id, name, seq) where not applied;
-- What a run's AI steps used is summed whenever it is shown.
create index entry_ai on tikku.entry (run_id) where ai is not null;

-- JSON that a person wrote, compared by value. What jsonb cannot hold is read with U+FFFD in place of U+0000 and of halves of surrogate pairs.

create function tikku.json_mended(p_text text) returns text language sql immutable as $$
  select regexp_replace(p_text, '(?<!\\)((?:\\\\)*)\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', '\1\\ufffd', 'g')
$$;
comment on function tikku.json_mended is 'The text without escapes that stand for no character PostgreSQL knows.';

create function tikku.json_value(p_text text) returns jsonb language plpgsql immutable as $$
begin
  return p_text::jsonb;
exception when others then
  begin
    return tikku.json_mended(p_text)::jsonb;
  exception when others then
    -- Nested too deeply, or a number beyond all bounds: it equals nothing.
    return null;
  end;
end $$;
comment on function tikku.json_value is 'JSON by value: numbers are equal when their values are, objects when their members are. Null when it cannot be compared.';

-- Read with json, not jsonb: a strange number elsewhere in it must not matter.
create function tikku.json_at(p_document text, p_path text) returns jsonb language plpgsql immutable as $$
declare
  v_path text[] := string_to_array(p_path, '.');
begin
  return tikku.json_value((p_document::json #> v_path)::text);
exception when others then
  begin
    return tikku.json_value((tikku.json_mended(p_document)::json #> v_path)::text);
  exception when others then
    return null;
  end;
end $$;
comment on function tikku.json_at is 'What is at a path, such as data.customer.id or data.items.0; null when there is nothing.';

-- Each path is looked up once, however many ask for it.
create function tikku.event_matches(p_matches json[], p_data bytea) returns boolean[] language plpgsql stable as $$
declare
  v_document text := '{"data":' || convert_from(p_data, 'UTF8') || '}';
begin
  return (
    with asked as materialized (
      select m.n, p.path, p.value from unnest(p_matches) with ordinality as m(match, n)
        cross join lateral jsonb_each(case when m.match is not null then coalesce(tikku.json_value(m.match::text), '{"?":0}') end) as p(path, value)
    ), found as materialized (
      select d.path, tikku.json_at(v_document, d.path) as value from (select distinct a.path from asked a) d
    ), unlike as materialized (
      select distinct a.n from asked a join found f on f.path = a.path where f.value is distinct from a.value
    )
    select array_agg(u.n is null order by m.n) from unnest(p_matches) with ordinality as m(match, n) left join unlike u on u.n = m.n
  );
end $$;
comment on function tikku.event_matches is 'For each match, whether all of its paths have their values in the data. A null match is any event.';

create function tikku.match_path(p_match json) returns text language sql immutable as $$
  select coalesce((select min(p.path) from jsonb_object_keys(coalesce(tikku.json_value(p_match::text), '{"?":0}')) as p(path) where p_match is not null), '')
$$;
comment on function tikku.match_path is 'The first path of a match; empty when it matches anything.';

create function tikku.match_hash(p_match json) returns bigint language sql immutable as $$
  select jsonb_hash_extended(coalesce(tikku.json_value(p_match::text) -> tikku.match_path(p_match), 'null'), 0)
$$;
comment on function tikku.match_hash is 'A hash of the value at that path: equal values have equal ones.';

drop index tikku.waiter_event;
create index waiter_event on tikku.waiter (account_id, name, tikku.match_path(match), tikku.match_hash(match)) where kind = 'event';

create function tikku.event_publish(p_account uuid, p_name text, p_data bytea, p_external_id text)
returns table (verdict text, id uuid, woken int, started uuid[]) language plpgsql volatile rows 1 as $$
declare
  v_seq bigint;
  v_hash bytea := case when p_external_id is not null then sha256(convert_to(p_name, 'UTF8') || '\x00' || p_data) end;
  e tikku.event;
  v_old boolean := false;
begin
  -- A new event's number is taken under the lock that those who begin to wait for the name take too.
  insert into tikku.event_name as n (account_id, name, next_seq) values (p_account, p_name, 2)
    on conflict (account_id, name) do update set next_seq = n.next_seq + 1 returning n.next_seq - 1 into v_seq;
  id := tikku.new_id();
  if p_external_id is null then
    insert into tikku.event (account_id, id, name, seq, data, at) values (p_account, id, p_name, v_seq, p_data, tikku.clock_fresh());
  else
    insert into tikku.event as o (account_id, id, name, seq, external_id, data, data_hash, at)
      values (p_account, id, p_name, v_seq, p_external_id, p_data, v_hash, tikku.clock_fresh())
      on conflict (account_id, external_id) where external_id is not null do update set external_id = excluded.external_id
      returning o.* into e;
    v_old := e.id <> id;
  end if;
  if v_old then
    id := e.id;
    woken := e.woken;
    started := e.started;
    verdict := case when e.data_hash = v_hash then 'existing' else 'mismatch' end;
  else
    verdict := 'accepted';
  end if;
  return next;
end $$;
comment on function tikku.event_publish is 'accepted; or existing or mismatch: the id was used before. It wakes nobody yet: event_apply does.';

-- Gives an event to those who waited for it when it was published, so many runs a call, and then starts what it triggers. Events of a name are applied in
-- their order: one that is earlier and not applied yet is what this call is about.
create function tikku.event_apply(p_account uuid, p_id uuid, p_most int, p_window_ms bigint)
returns table (verdict text, event_id uuid, id uuid, wait_ms bigint) language plpgsql volatile rows 20 as $$
declare
  e tikku.event;
  w record;
  t record;
  c tikku.run_content;
  v_value bytea;
  v_runs uuid[];
  v_put text[];
begin
  select x.* into e from tikku.event x where x.account_id = p_account and x.id = p_id;
  verdict := 'applied';
  event_id := p_id;
  if not found or e.applied then
    return next;
    return;
  end if;
  select x.* into e from tikku.event x where x.account_id = p_account and x.name = e.name and x.seq <= e.seq and not x.applied order by x.seq limit 1 for update;
  if not found then
    return next;
    return;
  end if;
  event_id := e.id;
  v_value := convert_to(format('{"id":"evt_%s","name":%s,"data":', translate(e.id::text, '-', ''), to_json(e.name)), 'UTF8') || e.data || '}'::bytea;
  v_runs := array(select distinct x.run_id from tikku.event_waiters(e, null, p_most) x limit p_most);
  if v_runs <> '{}' then
    perform 1 from tikku.run r where r.id = any(v_runs) order by r.id desc for update;
    -- Others may have woken them meanwhile.
    for w in select x.run_id, array_agg(x.key order by length(x.key), x.key) as keys from tikku.event_waiters(e, v_runs, null) x group by x.run_id loop
      verdict := 'woken';
      id := w.run_id;
      wait_ms := case when array_length(w.keys, 1) = 1 then tikku.run_fact(w.run_id, w.keys[1], 'event', 'ok', v_value, null, null)
        else tikku.run_facts(w.run_id, w.keys, 'event', v_value, tikku.clock_fresh()) end;
      return next;
    end loop;
    update tikku.event x set woken = x.woken + coalesce(array_length(v_runs, 1), 0) where x.account_id = p_account and x.id = e.id;
    verdict := 'more';
    id := null;
    wait_ms := null;
    return next;
    return;
  end if;
  for t in
    select distinct m.workflow from (
      select array_agg(x.workflow order by x.workflow, x.n) as workflows, tikku.event_matches(array_agg(x.match order by x.workflow, x.n), e.data) as hits
        from tikku.workflow_trigger x where x.account_id = p_account and x.event = e.name
    ) a cross join lateral unnest(a.workflows, a.hits) as m(workflow, hit) where m.hit order by m.workflow
  loop
    c := null;
    c.account_id := p_account;
    c.workflow := t.workflow;
    c.input := convert_to('{"event":', 'UTF8') || v_value || '}'::bytea;
    c.started_how := 'event';
    c.source_id := e.id;
    begin
      v_put := tikku.run_put(c, null, null, null, p_window_ms);
    exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
      -- What is wrong with one workflow's start must not keep later events from everybody.
      raise warning 'event % does not start %: %', e.id, t.workflow, sqlerrm;
      continue;
    end;
    if v_put[1] in ('accepted', 'debounced') then
      verdict := 'started';
      id := v_put[2];
      wait_ms := v_put[4];
      e.started := e.started || id;
      return next;
    end if;
  end loop;
  update tikku.event x set applied = true, started = e.started where x.account_id = p_account and x.id = e.id;
  verdict := case when e.id = p_id then 'applied' else 'more' end;
  id := null;
  wait_ms := null;
  return next;
end $$;
comment on function tikku.event_apply is 'woken and started runs of event_id, which with a wait are to be handed to the queue; last more or applied.';

-- Candidates come from the index on the first path of their matches and its value: there are few paths for a name, however many wait. Those that match
-- anything are as many as asked for.
create function tikku.event_waiters(e tikku.event, p_runs uuid[], p_most int) returns table (run_id uuid, key text) language sql stable as $$
  with recursive paths(path) as (
    (select tikku.match_path(w.match) as path from tikku.waiter w
      where w.kind = 'event' and w.account_id = e.account_id and w.name = e.name order by 1 limit 1)
    union all
    select (select tikku.match_path(w.match) from tikku.waiter w
        where w.kind = 'event' and w.account_id = e.account_id and w.name = e.name and tikku.match_path(w.match) > p.path order by 1 limit 1)
      from paths p where p.path is not null
  ), looked_up as materialized (
    select p.path, jsonb_hash_extended(case when p.path = '' then 'null' else tikku.json_at('{"data":' || convert_from(e.data, 'UTF8') || '}', p.path) end, 0) as hash
      from paths p where p.path is not null
  ), candidates as materialized (
    select c.run_id, c.key, c.match from looked_up l cross join lateral (
      select w.run_id, w.key, w.match from tikku.waiter w
        where w.kind = 'event' and w.account_id = e.account_id and w.name = e.name and tikku.match_path(w.match) = l.path and tikku.match_hash(w.match) = l.hash
          and w.event_seq <= e.seq and (p_runs is null or w.run_id = any(p_runs))
        limit case when l.path = '' and p_runs is null then p_most end) c
  )
  select u.run_id, u.key from (
    select array_agg(c.run_id order by c.run_id, c.key) as runs, array_agg(c.key order by c.run_id, c.key) as keys,
        tikku.event_matches(array_agg(c.match order by c.run_id, c.key), e.data) as hits
      from candidates c
  ) a cross join lateral unnest(a.runs, a.keys, a.hits) as u(run_id, key, hit) where u.hit
$$;
comment on function tikku.event_waiters is 'Steps that wait for this event, of p_runs or of all.';

create function tikku.app_put(p_account uuid, p_name text, p_must_exist boolean, p_revisions bigint[], p_url text, p_timeout_ms int, p_lease_ms int,
  out verdict text, out revision bigint
) language plpgsql volatile as $$
begin
  select a.revision into revision from tikku.app a where a.account_id = p_account and a.name = p_name for update;
  if not found and not p_must_exist then
    insert into tikku.app as a (account_id, name, url, timeout_ms, lease_ms) values (p_account, p_name, p_url, p_timeout_ms, p_lease_ms)
      on conflict do nothing returning a.revision into revision;
    if found then
      verdict := 'made';
      return;
    end if;
    select a.revision into revision from tikku.app a where a.account_id = p_account and a.name = p_name for update;
  end if;
  verdict := case when revision is null then 'missing' when not revision = any(p_revisions) then 'stale' else 'done' end;
  if verdict = 'done' then
    update tikku.app a set url = p_url, timeout_ms = p_timeout_ms, lease_ms = p_lease_ms, revision = a.revision + 1, updated_at = tikku.clock_now()
      where a.account_id = p_account and a.name = p_name returning a.revision into revision;
  end if;
end $$;
comment on function tikku.app_put is 'made, done, missing, or stale: none of p_revisions.';

-- What an app said it serves. The workflows of an account change under one lock, because a name may pass from one app to another.
create function tikku.app_described(p_account uuid, p_name text, p_revision bigint, p_sdk text, p_checkpoint text, p_names text[], p_versions text[], p_policies text[],
  t_workflow int[], t_event text[], t_match text[]
) returns boolean language plpgsql volatile as $$
declare
  v_now timestamptz;
begin
  perform pg_advisory_xact_lock(hashtextextended('tikku.workflow ' || p_account, 0));
  v_now := tikku.clock_fresh();
  update tikku.app a set sdk = p_sdk, checkpoint = p_checkpoint, described_at = v_now, describe_error = null
    where a.account_id = p_account and a.name = p_name and a.revision = p_revision;
  if not found then
    return false;
  end if;
  update tikku.workflow w set served = false, is_current = false
    where w.account_id = p_account and w.app = p_name and not exists (select 1 from unnest(p_names, p_versions) as n(name, version) where n.name = w.name and n.version = w.version);
  update tikku.workflow w set is_current = false where w.account_id = p_account and w.name = any(p_names) and w.is_current;
  insert into tikku.workflow (account_id, name, version, app, policy, described_at)
    select distinct on (n.name, n.version) p_account, n.name, n.version, p_name, n.policy::json, v_now
      from unnest(p_names, p_versions, p_policies) with ordinality as n(name, version, policy, n) order by n.name, n.version, n.n
    on conflict (account_id, name, version) do update set app = excluded.app, served = true, policy = excluded.policy, described_at = excluded.described_at;
  update tikku.workflow w set is_current = true
    from (select distinct on (n.name) n.name, n.version from unnest(p_names, p_versions) with ordinality as n(name, version, n) order by n.name, n.n) f
    where w.account_id = p_account and w.name = f.name and w.version = f.version;
  delete from tikku.workflow_trigger t where t.account_id = p_account
    and (t.workflow = any(p_names) or not exists (select 1 from tikku.workflow w where w.account_id = p_account and w.name = t.workflow and w.is_current));
  insert into tikku.workflow_trigger (account_id, event, workflow, n, match)
    select p_account, t.event, p_names[t.workflow], t.n - 1, t.match::json
      from unnest(t_workflow, t_event, t_match) with ordinality as t(workflow, event, match, n)
      where exists (select 1 from tikku.workflow w where w.account_id = p_account and w.name = p_names[t.workflow] and w.version = p_versions[t.workflow] and w.is_current)
    on conflict do nothing;
  return true;
end $$;
comment on function tikku.app_described is 'False when the app is gone or has changed since it was asked.';

create function tikku.app_delete(p_account uuid, p_name text, p_revisions bigint[]) returns text language plpgsql volatile as $$
declare
  v_revision bigint;
begin
  perform pg_advisory_xact_lock(hashtextextended('tikku.workflow ' || p_account, 0));
  select a.revision into v_revision from tikku.app a where a.account_id = p_account and a.name = p_name for update;
  if not found then
    return 'missing';
  elsif not v_revision = any(p_revisions) then
    return 'stale';
  end if;
  delete from tikku.app a where a.account_id = p_account and a.name = p_name;
  delete from tikku.workflow w where w.account_id = p_account and w.app = p_name;
  delete from tikku.workflow_trigger t where t.account_id = p_account
    and not exists (select 1 from tikku.workflow w where w.account_id = p_account and w.name = t.workflow and w.is_current);
  return 'done';
end $$;
comment on function tikku.app_delete is 'done, missing, or stale. Its runs are paused when they are next to be dispatched, until an app serves them again.';

-- Cancels what is left of runs that are over. All are locked at once, in the one order.
create function tikku.child_sweep_turn(p_rows int) returns table (taken int, id uuid, wait_ms bigint, account_id uuid) language plpgsql volatile rows 50 as $$
declare
  v_parents uuid[];
  v_ids uuid[];
  v_id uuid;
  v_parent uuid;
begin
  v_parents := array(select s.parent_id from tikku.child_sweep s order by s.at limit 100);
  if v_parents = '{}' then
    return;
  end if;
  v_ids := array(select x.id from tikku.run x where x.parent_id = any(v_parents) and x.finished_at is null limit p_rows);
  perform tikku.run_lock(v_ids);
  taken := array_length(v_parents, 1);
  return next;
  foreach v_id in array v_ids loop
    if exists (select 1 from tikku.run x where x.id = v_id and x.finished_at is null
      and not exists (select 1 from tikku.run y where y.id = x.parent_id and y.finished_at is null))
    then
      return query select 0, e.id, e.wait_ms, e.account_id from tikku.run_end(v_id, 'cancelled', null,
        json_build_object('name', 'Cancelled', 'message', 'its parent was over'), tikku.clock_fresh()) e;
    end if;
  end loop;
  -- A parent that a person retried has none to lose; one that is over cannot have new ones.
  delete from tikku.child_sweep s where s.parent_id = any(v_parents)
    and (exists (select 1 from tikku.run y where y.id = s.parent_id and y.finished_at is null)
      or not exists (select 1 from tikku.run x where x.parent_id = s.parent_id and x.finished_at is null));
end $$;
comment on function tikku.child_sweep_turn is 'A row that says there was something to do; and what is to be handed to the queue.';

-- Everything that matches, was started up to as_of by the time in its id, and is not over.
create function tikku.run_cancel_many(
  p_account uuid, p_as_of_us bigint, p_most int, p_ids uuid[], p_state text, p_workflow text, p_version text, p_label text, p_parent uuid, p_external_id text,
  p_from_ms bigint, p_to_ms bigint
) returns table (as_of_us bigint, remaining bigint, done int, id uuid, wait_ms bigint, account_id uuid) language plpgsql volatile rows 50 as $$
declare
  v_as_of timestamptz := tikku.as_of(p_as_of_us);
  v_ids uuid[];
  v_id uuid;
begin
  done := 0;
  as_of_us := tikku.us(v_as_of);
  v_ids := array(select o.id from tikku.run_matching(p_account, v_as_of, p_ids, p_state, p_workflow, p_version, p_label, p_parent, p_external_id, p_from_ms, p_to_ms) o limit p_most);
  perform tikku.run_lock(v_ids);
  foreach v_id in array v_ids loop
    if exists (select 1 from tikku.run x where x.id = v_id and x.finished_at is null) then
      done := done + 1;
      for id, wait_ms, account_id in
        select e.id, e.wait_ms, e.account_id from tikku.run_end(v_id, 'cancelled', null, null, tikku.clock_fresh()) e where e.wait_ms is not null
      loop
        return next;
      end loop;
    end if;
  end loop;
  select count(*) into remaining from (
    select 1 from tikku.run_matching(p_account, v_as_of, p_ids, p_state, p_workflow, p_version, p_label, p_parent, p_external_id, p_from_ms, p_to_ms) limit 1000000) x;
  id := null;
  wait_ms := null;
  return next;
end $$;
comment on function tikku.run_cancel_many is 'What is to be handed to the queue, and last a row without an id: how many it cancelled and how many are left.';

-- From what is not over, which is little beside what is.
create function tikku.run_matching(p_account uuid, p_as_of timestamptz, p_ids uuid[], p_state text, p_workflow text, p_version text, p_label text, p_parent uuid,
  p_external_id text, p_from_ms bigint, p_to_ms bigint)
returns table (id uuid) language sql stable rows 1000 as $$
  select x.id from (
      select w.id, w.state, w.parent_id from tikku.run w where w.account_id = p_account and w.kick_until is not null
      union all
      select l.id, l.state, l.parent_id from tikku.run l where l.account_id = p_account and l.lease_until is not null
    ) x join tikku.run_content c on c.account_id = p_account and c.run_id = x.id
    where c.created_at <= p_as_of and (p_state is null or x.state = p_state)
      and (p_workflow is null or c.workflow = p_workflow) and (p_version is null or c.version = p_version) and (p_label is null or p_label = any(c.labels))
      and (p_parent is null or x.parent_id = p_parent) and (p_ids is null or x.id = any(p_ids)) and (p_external_id is null or c.external_id = p_external_id)
      and (p_from_ms is null or c.created_at >= to_timestamp(p_from_ms / 1000.0)) and (p_to_ms is null or c.created_at < to_timestamp(p_to_ms / 1000.0))
$$;
comment on function tikku.run_matching is 'Runs that are not over and match.';

-- One bite of retention: runs of one account that ended longest ago. It waits for no lock. A run loses its content first: from then on nobody sees
-- it, and the entries of a large one go bite by bite.
create function tikku.run_prune(p_account uuid, p_after timestamptz, p_most int, p_rows_max bigint, out pruned int, out held_us bigint, out account uuid, out after timestamptz)
language plpgsql volatile as $$
declare
  a record;
  v_ids uuid[];
  v_times timestamptz[];
  v_bite int;
  v_begun timestamptz;
  v_rows bigint;
begin
  pruned := 0;
  for a in
    select x.id, tikku.clock_now() - x.retention_days * interval '1 day' as before, case when x.id = p_account then p_after else '-infinity' end as after
      from tikku.account x where x.id >= p_account order by x.id
  loop
    select array_agg(o.id order by o.finished_at), array_agg(o.finished_at order by o.finished_at),
        count(*) filter (where o.weight - o.own < p_rows_max)
      into v_ids, v_times, v_bite
      from (
        select x.id, x.finished_at, 5 + x.planned + x.next_seq + x.bytes / 2000 as own,
            sum(5 + x.planned + x.next_seq + x.bytes / 2000) over (order by x.finished_at, x.id) as weight
          from (select r.* from tikku.run r where r.account_id = a.id and r.finished_at >= a.after and r.finished_at < a.before order by r.finished_at limit p_most) x
      ) o;
    continue when v_ids is null;
    v_bite := greatest(v_bite, 1);
    v_begun := tikku.clock_fresh();
    v_ids := array(select x.id from tikku.run x where x.id = any(v_ids[1:v_bite]) and x.finished_at < a.before for update skip locked);
    -- A starter that found a content row by its key holds it, perhaps in a user's long transaction.
    v_ids := array(select i.id from unnest(v_ids) as i(id) where not exists (select 1 from tikku.run_content c where c.account_id = a.id and c.run_id = i.id))
      || array(select c.run_id from tikku.run_content c where c.account_id = a.id and c.run_id = any(v_ids) for update skip locked);
    delete from tikku.run_content c where c.account_id = a.id and c.run_id = any(v_ids);
    delete from tikku.approval x where x.run_id = any(v_ids);
    with gone as (select x.run_id, x.seq from tikku.entry x where x.run_id = any(v_ids) limit p_rows_max)
      delete from tikku.entry e using gone where e.run_id = gone.run_id and e.seq = gone.seq;
    get diagnostics v_rows = row_count;
    with gone as (select x.ctid as at from tikku.step_attempt x where x.run_id = any(v_ids) limit p_rows_max)
      delete from tikku.step_attempt x using gone where x.ctid = gone.at;
    with gone as (select x.id from tikku.signal x where x.run_id = any(v_ids) limit p_rows_max)
      delete from tikku.signal s using gone where s.id = gone.id;
    delete from tikku.run x where x.id = any(v_ids) and not exists (select 1 from tikku.entry e where e.run_id = x.id)
      and not exists (select 1 from tikku.step_attempt s where s.run_id = x.id) and not exists (select 1 from tikku.signal s where s.run_id = x.id);
    get diagnostics pruned = row_count;
    held_us := tikku.us(tikku.clock_fresh()) - tikku.us(v_begun);
    account := a.id;
    -- What is left of a large run is first again; where all are held, the next round goes past them.
    after := case when pruned = v_bite then v_times[v_bite] when pruned > 0 or v_rows > 0 then v_times[1] else v_times[v_bite] + interval '1 microsecond' end;
    return;
  end loop;
end $$;
comment on function tikku.run_prune is 'How many runs went, how long their locks were held, and where to go on; account is null at the end.';

-- Events of which everybody has heard, the oldest first; by the time in their ids.
create function tikku.event_prune(p_most int, p_bytes_max bigint) returns int language plpgsql volatile as $$
declare
  v_rows int;
begin
  with old as materialized (
    select f.account_id, f.id, sum(octet_length(f.data)) over (order by f.id) - octet_length(f.data) as before
      from tikku.account a cross join lateral (
        select x.account_id, x.id, x.data from tikku.event x
          where x.account_id = a.id and x.id < (lpad(to_hex(tikku.us(tikku.clock_now() - a.retention_days * interval '1 day') / 1000), 12, '0') || repeat('0', 20))::uuid
            and x.applied
          order by x.id limit p_most for update skip locked) f
      limit p_most
  )
  delete from tikku.event e using old where e.account_id = old.account_id and e.id = old.id and old.before < p_bytes_max;
  get diagnostics v_rows = row_count;
  return v_rows;
end $$;
comment on function tikku.event_prune is 'Deletes so many old events at most, and answers how many.';

do $settings$
declare
  v_function text;
begin
  foreach v_function in array array['event_publish', 'event_apply', 'app_put', 'app_described', 'app_delete', 'child_sweep_turn', 'run_cancel_many', 'run_prune', 'event_prune'] loop
    execute format('alter function tikku.%I set lock_timeout = %L', v_function, '5s');
    -- By index is right at every size (migration 4 says why).
    execute format('alter function tikku.%I set enable_seqscan = off', v_function);
  end loop;
  foreach v_function in array array['run_prune', 'event_prune'] loop
    execute format('alter function tikku.%I set enable_bitmapscan = off', v_function);
    execute format('alter function tikku.%I set enable_hashjoin = off', v_function);
    execute format('alter function tikku.%I set enable_mergejoin = off', v_function);
  end loop;
  -- Its filters are many and mostly absent: each call gets the plan for those it has.
  alter function tikku.run_cancel_many set plan_cache_mode = force_custom_plan;
  foreach v_function in array array['json_mended', 'json_value', 'json_at', 'event_matches', 'match_path', 'match_hash', 'event_publish', 'event_apply', 'event_waiters', 'app_put', 'app_described', 'app_delete',
    'child_sweep_turn', 'run_cancel_many', 'run_matching', 'run_prune', 'event_prune']
  loop
    execute (select format('revoke execute on function %s from public', p.oid::regprocedure) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where n.nspname = 'tikku' and p.proname = v_function);
  end loop;
end $settings$;
