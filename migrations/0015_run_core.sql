-- From start to end of a run: put, lease, record, park, end. Lock order: event names, gates, then runs by id descending. A child's id is later than its
-- parent's, so children come before parents.
--
-- Every fact becomes an entry at once, under the lock of the run: a signal, an event, a child's end, a timer. Whoever parks a run holds that lock and
-- looks at the entries, so nothing that came in meanwhile is missed.
--
-- Helpers are plpgsql unless they can be inlined: a SQL function that cannot be is planned anew at every call, which costs more than it does.

create type tikku.kick as (id uuid, wait_ms bigint, account_id uuid, message boolean);
comment on type tikku.kick is 'What is to be handed to a wake queue: a run, or a message.';

create type tikku.dispatched as (
  verdict text, id uuid, wait_ms bigint, account_id uuid, fence bigint, token text, resume_key text, app text, url text, timeout_ms int, lease_ms int, renews boolean,
  workflow text, version text, external_id text, created_at text, run_attempt int, seed text, accept_seq int, failures int, planned int, bytes bigint,
  parent_id uuid, parent_key text, input bytea, seqs int[], keys text[], kinds text[], states text[], "values" bytea[], errors text[], child_ids uuid[],
  seq int, more boolean, pending text, now_ms bigint, secrets bytea[]
);
comment on type tikku.dispatched is 'started: dispatch it. wait: look again after the wait. recorded, known, stale: what became of a record. kick, kick_message: hand another one to its queue.';

create type tikku.checkpointed as (
  verdict text, account_id uuid, seqs int[], keys text[], kinds text[], states text[], "values" bytea[], errors text[], child_ids uuid[], echo boolean[],
  seq int, more boolean, pause_requested boolean, lease_ms int, signals text, kick_ids uuid[], kick_waits bigint[], kick_messages boolean[]
);
comment on type tikku.checkpointed is 'ok with the entries that the endpoint does not have; echo when they are what it sent; or stale, unauthorized, missing, too_large.';

create function tikku.run_token(p_secret bytea, p_fence bigint) returns text language sql immutable parallel safe as $$
  select p_fence::text || '.' || encode(sha256(p_secret || int8send(p_fence)), 'hex')
$$;
comment on function tikku.run_token is 'The bearer token of a dispatch: the same for the same fence.';

create function tikku.run_resume_key(p_secret bytea) returns text language sql immutable parallel safe as $$
  select encode(sha256('resume'::bytea || p_secret), 'hex')
$$;
comment on function tikku.run_resume_key is 'The key that a run''s resume URLs are signed with.';

-- What a policy's key stands for in this start: text of the value at its path, shortened by hashing.
create function tikku.policy_key(p_workflow text, p_path text, p_input bytea) returns text language plpgsql immutable as $$
declare
  v_text text;
begin
  if p_path is null then
    return p_workflow;
  end if;
  v_text := convert_from(p_input, 'UTF8')::json #> (string_to_array(p_path, '.'))[2:];
  return p_workflow || ' ' || case when length(coalesce(v_text, 'null')) <= 100 then coalesce(v_text, 'null') else encode(sha256(convert_to(v_text, 'UTF8')), 'hex') end;
exception when data_exception or program_limit_exceeded then
  return p_workflow || ' null';
end $$;
comment on function tikku.policy_key is 'The workflow and the value of the policy''s key.';

-- Locks the gates of runs, in order.
create function tikku.gate_lock(p_ids uuid[]) returns void language plpgsql volatile as $$
begin
  perform 1 from tikku.gate g
    where (g.account_id, g.key) in (select r.account_id, r.gate from tikku.run r where r.id = any(p_ids) and r.gate is not null)
    order by g.account_id, g.key for update;
end $$;
comment on function tikku.gate_lock is 'Gates come before runs.';

-- Locks the gates of runs, then the runs and their parents.
create function tikku.run_lock(p_ids uuid[]) returns void language plpgsql volatile as $$
declare
  v_all uuid[];
  v_gated boolean;
begin
  select array_agg(r.id) || array_agg(r.parent_id) filter (where r.parent_id is not null), bool_or(r.gate is not null) into v_all, v_gated
    from tikku.run r where r.id = any(p_ids);
  if v_gated then
    perform tikku.gate_lock(p_ids);
  end if;
  perform 1 from tikku.run r where r.id = any(v_all) order by r.id desc for update;
end $$;
comment on function tikku.run_lock is 'For whoever ends runs, or may.';

-- Whether a tree can resolve: every key with an entry is true.
create function tikku.awaits_met(p_run uuid, p_tree jsonb) returns boolean language plpgsql stable as $$
declare
  v_branch jsonb;
begin
  if jsonb_typeof(p_tree) = 'string' then
    return exists (select 1 from tikku.entry e where e.run_id = p_run and e.key = p_tree #>> '{}');
  elsif p_tree ? 'all' then
    for v_branch in select x from jsonb_array_elements(p_tree -> 'all') x loop
      if not tikku.awaits_met(p_run, v_branch) then
        return false;
      end if;
    end loop;
    return true;
  end if;
  for v_branch in select x from jsonb_array_elements(p_tree -> 'any') x loop
    if tikku.awaits_met(p_run, v_branch) then
      return true;
    end if;
  end loop;
  return false;
end $$;
comment on function tikku.awaits_met is 'Whether the tree resolves with the entries there are.';

-- Of one list of keys: how many have no entry. Null for other trees. Here and below a scalar subquery and not EXISTS: that would be planned as a join, which
-- reads all waiters once for each key when the planner knows nothing of the table.
create function tikku.awaits_count(p_run uuid, p_tree jsonb) returns int language plpgsql stable as $$
begin
  if jsonb_typeof(p_tree) = 'string' then
    return (not exists (select 1 from tikku.entry e where e.run_id = p_run and e.key = p_tree #>> '{}'))::int;
  elsif p_tree ? 'all' and not exists (select 1 from jsonb_array_elements(p_tree -> 'all') x where jsonb_typeof(x) <> 'string') then
    return (select count(distinct k) from jsonb_array_elements_text(p_tree -> 'all') k
      where (select e.seq from tikku.entry e where e.run_id = p_run and e.key = k) is null);
  end if;
  return null;
end $$;
comment on function tikku.awaits_count is 'Keys of a list of all that have no entry yet.';

-- A key of the tree that is neither finished nor planned: nothing would ever wake the run for it.
create function tikku.awaits_dangles(p_run uuid, p_tree jsonb) returns boolean language plpgsql stable as $$
begin
  return (
  select exists (
    select 1 from jsonb_path_query(p_tree, 'strict $.** ? (@.type() == "string")') x(leaf)
      where (select w.since from tikku.waiter w where w.run_id = p_run and w.key = x.leaf #>> '{}') is null
        and (select e.seq from tikku.entry e where e.run_id = p_run and e.key = x.leaf #>> '{}') is null)
  );
end $$;
comment on function tikku.awaits_dangles is 'Whether the tree has a key that nothing can resolve.';

-- Both rows of a new run.
create function tikku.run_insert(c tikku.run_content, r tikku.run) returns void language plpgsql volatile as $$
begin
  insert into tikku.run_content values (c.*);
  insert into tikku.run values (r.*);
end $$;
comment on function tikku.run_insert is 'Inserts a run; unique indexes refuse what there is already.';

-- What stands in the way of a start: the run that has the id, the key, or the place of a singleton.
create function tikku.run_found(c tikku.run_content, p_singleton text) returns text[] language plpgsql stable as $$
begin
  return (
  select array[case when f.n = 3 then 'skipped' when f.input_hash = c.input_hash and f.workflow = c.workflow then 'existing' else 'mismatch' end, f.run_id::text, r.state]
    from (
      select 1 as n, x.run_id, x.input_hash, x.workflow from tikku.run_content x
        where x.account_id = c.account_id and x.workflow = c.workflow and x.external_id = c.external_id and x.continued_by is null
      union all
      select 2, x.run_id, x.input_hash, x.workflow from tikku.run_content x where x.account_id = c.account_id and x.idempotency_key = c.idempotency_key
      union all
      select 3, x.id, null, null from tikku.run x where x.account_id = c.account_id and x.singleton = p_singleton and x.finished_at is null
    ) f join tikku.run r on r.id = f.run_id order by f.n limit 1
  );
end $$;
comment on function tikku.run_found is 'existing, mismatch or skipped, with the run; no row when it has gone meanwhile.';

-- Starts a run. `c` has what the starter said; the rest is filled in here. With a window the caller hands the row to the queue after the wait in the
-- answer, if there is one; without it tick does.
create function tikku.run_put(c tikku.run_content, p_parent uuid, p_due timestamptz, p_delay_max_ms bigint, p_window_ms bigint) returns text[]
language plpgsql volatile as $$
declare
  v_now timestamptz := tikku.clock_now();
  v_tries int := 0;
  v_mode text;
  v_max_s bigint;
  v_found text[];
  v_wait bigint;
  w tikku.workflow;
  r tikku.run;
begin
  if c.external_id is not null or c.idempotency_key is not null then
    v_found := tikku.run_found(c, null);
    if v_found is not null then
      return v_found;
    end if;
  end if;
  if c.version is null then
    select * into w from tikku.workflow x where x.account_id = c.account_id and x.name = c.workflow and x.is_current;
  else
    select * into w from tikku.workflow x where x.account_id = c.account_id and x.name = c.workflow and x.version = c.version and x.served;
  end if;
  -- What goes on as another goes on also where nobody serves it now: it is paused as unserved when it is to be dispatched.
  if w.name is null and c.started_how is distinct from 'continue' then
    return array[case when c.version is not null and exists (select 1 from tikku.workflow x where x.account_id = c.account_id and x.name = c.workflow)
      then 'no_version' else 'no_workflow' end];
  elsif p_due > v_now + tikku.ms(p_delay_max_ms) then
    return array['too_late'];
  end if;
  c.version := coalesce(w.version, c.version);
  c.created_at := v_now;
  c.secret := uuid_send(gen_random_uuid());
  c.seed := coalesce(c.seed, translate(gen_random_uuid()::text, '-', ''));
  c.attempt := coalesce(c.attempt, 1);
  c.accept_seq := coalesce(c.accept_seq, 0);
  c.started_how := coalesce(c.started_how, 'api');
  c.labels := coalesce(c.labels, '{}');
  r.account_id := c.account_id;
  r.state := 'queued';
  r.due_at := coalesce(p_due, v_now);
  r.fence := 0;
  r.kicks := 0;
  r.next_seq := 1;
  r.planned := 0;
  r.bytes := octet_length(c.input);
  r.failures := 0;
  r.lost := 0;
  r.idle := 0;
  r.pause_requested := false;
  r.lease_ms := 90000;
  r.booked := false;
  r.parent_id := p_parent;
  r.priority := coalesce((w.policy ->> 'priority')::smallint, 0);
  -- Most workflows have no policy: its text is then two characters long.
  if length(w.policy::text) > 2 then
    if w.policy -> 'concurrency' is not null or w.policy -> 'rateLimit' is not null then
      r.gate := tikku.policy_key(c.workflow, coalesce(w.policy #>> '{concurrency,key}', w.policy #>> '{rateLimit,key}'), c.input);
    end if;
    if w.policy -> 'singleton' is not null then
      r.singleton := tikku.policy_key(c.workflow, w.policy #>> '{singleton,key}', c.input);
      v_mode := coalesce(w.policy #>> '{singleton,mode}', 'skip');
    end if;
    -- What has a parent or a past is not to be merged into another.
    if w.policy -> 'debounce' is not null and c.started_how not in ('child', 'fork', 'continue') then
      r.debounce := tikku.policy_key(c.workflow, w.policy #>> '{debounce,key}', c.input);
      v_max_s := (w.policy #>> '{debounce,maxSeconds}')::bigint;
      c.debounce_until := case when v_max_s is not null then r.due_at + tikku.ms(v_max_s * 1000) else 'infinity' end;
      r.due_at := least(r.due_at + tikku.ms((w.policy #>> '{debounce,seconds}')::bigint * 1000), c.debounce_until);
    end if;
  end if;
  if p_window_ms is null then
    r.kick_until := greatest(v_now, r.due_at - interval '15 minutes');
  else
    r.kick_until := tikku.kick_until(r.due_at, v_now, p_window_ms);
    if r.due_at <= v_now + tikku.ms(p_window_ms) then
      v_wait := case when r.due_at > v_now then tikku.ms_until(r.due_at) else 0 end;
    end if;
  end if;
  r.id := tikku.new_id();
  c.run_id := r.id;
  if c.external_id is null and c.idempotency_key is null and r.singleton is null and r.debounce is null then
    perform tikku.run_insert(c, r);
    return array['accepted', r.id::text, 'queued', v_wait::text];
  end if;
  loop
    begin
      perform tikku.run_insert(c, r);
      return array['accepted', r.id::text, 'queued', v_wait::text];
    exception when unique_violation then
      v_tries := v_tries + 1;
    end;
    if r.debounce is not null then
      v_found := tikku.run_debounced(c, r.debounce, r.due_at, v_now, p_window_ms);
    end if;
    if v_found is null then
      v_found := tikku.run_found(c, r.singleton);
    end if;
    -- A run does not cancel itself by a child of its own.
    if v_found[1] = 'skipped' and v_mode = 'cancel' and v_found[2]::uuid is distinct from p_parent then
      perform tikku.run_lock(array[v_found[2]::uuid]);
      if exists (select 1 from tikku.run x where x.id = v_found[2]::uuid and x.finished_at is null) then
        -- What this sets free is tick's: its rows have kick_until.
        perform tikku.run_end(v_found[2]::uuid, 'cancelled', null, json_build_object('name', 'Cancelled', 'message', 'a newer run of this singleton was started'), tikku.clock_fresh());
      end if;
      v_found := null;
    end if;
    if v_found is not null then
      return v_found;
    elsif v_tries > 10 then
      raise exception using errcode = '40001', message = 'a start met others of its kind again and again';
    end if;
  end loop;
end $$;
comment on function tikku.run_put is '[accepted or debounced, id, state, wait in ms or null]; [existing, mismatch or skipped, id, state]; [no_workflow], [no_version], [too_late].';

-- A start that falls within the quiet time of another, which takes its input.
create function tikku.run_debounced(c tikku.run_content, p_debounce text, p_due timestamptz, p_now timestamptz, p_window_ms bigint) returns text[]
language plpgsql volatile as $$
declare
  r tikku.run;
  v_due timestamptz;
begin
  select * into r from tikku.run x where x.account_id = c.account_id and x.debounce = p_debounce and x.state = 'queued' for update;
  if not found then
    return null;
  end if;
  select least(p_due, x.debounce_until) into v_due from tikku.run_content x where x.account_id = r.account_id and x.run_id = r.id;
  update tikku.run_content x set input = c.input, input_hash = coalesce(c.input_hash, x.input_hash) where x.account_id = r.account_id and x.run_id = r.id;
  update tikku.run x set due_at = v_due, kick_until = tikku.kick_until(v_due, p_now, coalesce(p_window_ms, 900000)) where x.id = r.id;
  return array['debounced', r.id::text, r.state, case when v_due <= p_now + tikku.ms(p_window_ms) then tikku.ms_between(p_now, v_due) end::text];
end $$;
comment on function tikku.run_debounced is '[debounced, id, state, wait]; null when the other has begun meanwhile.';

-- Writes what entries that were just inserted mean for their run, which is locked and not over; r.awaits_left is counted by the caller.
create function tikku.run_told(r tikku.run, p_entries int, p_bytes bigint, p_now timestamptz) returns bigint language plpgsql volatile as $$
declare
  v_wakes boolean := false;
begin
  if r.awaits is not null and r.state in ('sleeping', 'waiting', 'retrying') then
    v_wakes := case when r.awaits_left is not null then r.awaits_left <= 0 else tikku.awaits_met(r.id, r.awaits) end;
  end if;
  update tikku.run x set
      next_seq = r.next_seq + p_entries,
      bytes = r.bytes + p_bytes,
      idle = 0,
      awaits_left = r.awaits_left,
      state = case when v_wakes then 'queued' else x.state end,
      due_at = case when v_wakes then p_now else x.due_at end,
      kick_until = case when v_wakes then p_now + interval '60 seconds' else x.kick_until end
    where x.id = r.id;
  return case when v_wakes then 0 end;
end $$;
comment on function tikku.run_told is 'Zero when the run is to be handed to the queue, because its tree resolves now; else null.';

-- Appends a fact to a locked run that is not over.
create function tikku.run_fact(p_run uuid, p_key text, p_kind text, p_state text, p_value bytea, p_error json, p_child uuid) returns bigint
language plpgsql volatile as $$
declare
  r tikku.run;
  v_now timestamptz := tikku.clock_fresh();
begin
  select * into r from tikku.run x where x.id = p_run;
  insert into tikku.entry (run_id, seq, key, kind, state, value, error, child_id, fence, at)
    values (p_run, r.next_seq, p_key, p_kind, p_state, p_value, p_error, p_child, r.fence, v_now) on conflict (run_id, key) do nothing;
  if not found then
    return null;
  end if;
  delete from tikku.waiter w where w.run_id = p_run and w.key = p_key;
  if r.awaits_left is not null and (r.awaits #>> '{}' = p_key or r.awaits -> 'all' ? p_key) then
    r.awaits_left := r.awaits_left - 1;
  end if;
  return tikku.run_told(r, 1, coalesce(octet_length(p_value), 0), v_now);
end $$;
comment on function tikku.run_fact is 'As run_told; null too when the key has an entry already.';

-- Decides what a locked run that is not over waits for: the tree, the entries and the waiters say it.
create function tikku.run_decide(p_run uuid, p_tree jsonb, p_now timestamptz, out state text, out due timestamptz, out awaits_left int)
language plpgsql stable as $$
declare
  v_sleeps boolean;
  v_retries boolean;
begin
  state := 'queued';
  due := p_now;
  if p_tree is null then
    return;
  end if;
  awaits_left := tikku.awaits_count(p_run, p_tree);
  if (case when awaits_left is not null then awaits_left = 0 else tikku.awaits_met(p_run, p_tree) end) or tikku.awaits_dangles(p_run, p_tree) then
    return;
  end if;
  -- A retry that was due when a dispatch began that came to nothing, and that the tree does not have: nobody wants it any more (the loser of a race).
  select coalesce(min(w.due_at), 'infinity'), bool_and(w.kind = 'sleep'), bool_and(w.kind in ('run', 'ai')) into due, v_sleeps, v_retries
    from tikku.waiter w where w.run_id = p_run and not (w.kind in ('run', 'ai') and w.due_at <= p_now
      and (select r.idle > 0 and w.due_at <= r.renewed_at from tikku.run r where r.id = p_run)
      and not jsonb_path_exists(p_tree, 'strict $.** ? (@ == $k)', jsonb_build_object('k', w.key)));
  state := case when v_sleeps then 'sleeping' when v_retries then 'retrying' else 'waiting' end;
end $$;
comment on function tikku.run_decide is 'queued, sleeping, waiting or retrying, and until when.';

-- Writes what run_decide said; p_idle is 1 after a reply.
create function tikku.run_parked(p_run uuid, p_tree jsonb, p_state text, p_due timestamptz, p_left int, p_idle int, p_now timestamptz, p_window_ms bigint) returns bigint
language plpgsql volatile as $$
begin
  update tikku.run x set
      state = p_state,
      due_at = p_due,
      lease_until = null,
      kick_until = case when p_due = 'infinity' then p_now + interval '1 day' else tikku.kick_until(greatest(p_due, p_now), p_now, p_window_ms) end,
      kicks = 0,
      awaits = p_tree,
      awaits_left = p_left,
      idle = x.idle + p_idle,
      failures = case when p_idle > 0 then 0 else x.failures end
    where x.id = p_run;
  return case when p_due <= p_now + tikku.ms(p_window_ms) then tikku.ms_between(p_now, p_due) end;
end $$;
comment on function tikku.run_parked is 'The wait if the run is to be handed to the queue now, else null.';

-- Writes that decision, and ends the lease.
create function tikku.run_park(p_run uuid, p_tree jsonb, p_now timestamptz, p_window_ms bigint) returns bigint language plpgsql volatile as $$
declare
  d record;
begin
  select * into d from tikku.run_decide(p_run, p_tree, p_now);
  return tikku.run_parked(p_run, p_tree, d.state, d.due, d.awaits_left, 0, p_now, p_window_ms);
end $$;
comment on function tikku.run_park is 'The wait if the run is to be handed to the queue now, else null.';

create function tikku.run_paused(p_run uuid, p_reason text, p_detail json) returns void language plpgsql volatile as $$
begin
  update tikku.run r set state = 'paused', kick_until = 'infinity', lease_until = null, pause_requested = false where r.id = p_run;
  update tikku.run_content c set pause_reason = p_reason, pause_detail = p_detail from tikku.run r
    where r.id = p_run and c.account_id = r.account_id and c.run_id = r.id;
end $$;
comment on function tikku.run_paused is 'Pauses a locked run that is not over, with a reason.';

-- Hands on what a gate has room for. The gate is locked.
create function tikku.gate_next(p_account uuid, p_key text, p_now timestamptz) returns table (id uuid, wait_ms bigint, account_id uuid)
language plpgsql volatile rows 1 as $$
declare
  g tikku.gate;
  v_places int;
  v_moved int;
  v_more boolean;
begin
  select * into g from tikku.gate x where x.account_id = p_account and x.key = p_key;
  if g.waiting is not true then
    return;
  end if;
  v_places := least(100, coalesce(g.parallelism, 100)
    - (select count(*) from tikku.run x where x.account_id = p_account and x.gate = p_key and x.lease_until is not null));
  if v_places <= 0 then
    return;
  end if;
  return query
    update tikku.run x set kick_until = p_now + interval '60 seconds'
      where x.id in (
        select y.id from tikku.run y
          where y.account_id = p_account and y.gate = p_key and y.kick_until = 'infinity' and y.state <> 'paused'
          order by y.due_at - y.priority * interval '30 seconds', y.id limit v_places for update skip locked)
      returning x.id, 0::bigint, x.account_id;
  get diagnostics v_moved = row_count;
  -- One that another holds just now was passed over: it still waits.
  v_more := exists (select 1 from tikku.run y where y.account_id = p_account and y.gate = p_key and y.kick_until = 'infinity' and y.state <> 'paused');
  update tikku.gate x set waiting = v_more,
      next_at = p_now + case when not v_more then interval '1 hour' when v_moved < v_places then interval '1 second' else interval '60 seconds' end
    where x.account_id = p_account and x.key = p_key;
end $$;
comment on function tikku.gate_next is 'The runs that may be tried now.';

-- What a parent is told of a child that did not complete.
create function tikku.child_error(p_run uuid, p_state text, p_cause json) returns json language plpgsql immutable as $$
declare
  v_id text := 'run_' || translate(p_run::text, '-', '');
  v_name text := case when p_state = 'failed' then 'ChildFailed' else 'ChildCancelled' end;
  v_message text := v_id || case when p_state = 'failed' then ' was not completed: it failed' else ' was cancelled' end;
begin
  if p_cause is null then
    return json_build_object('name', v_name, 'message', v_message, 'runId', v_id);
  end if;
  return json_build_object('name', v_name, 'message', v_message, 'runId', v_id, 'cause', p_cause);
end $$;
comment on function tikku.child_error is 'The error of the parent''s entry.';

-- The terminal write. The run is locked and not over.
create function tikku.run_end(p_run uuid, p_state text, p_output bytea, p_error json, p_now timestamptz) returns table (id uuid, wait_ms bigint, account_id uuid)
language plpgsql volatile rows 1 as $$
declare
  r tikku.run;
  v_key text;
  v_wait bigint;
begin
  select * into r from tikku.run x where x.id = p_run;
  update tikku.run x set state = p_state, finished_at = p_now, kick_until = null, lease_until = null, awaits = null, awaits_left = null, pause_requested = false,
      debounce = null, fence = r.fence + (p_state = 'cancelled')::int
    where x.id = p_run;
  update tikku.run_content c set output = p_output, error = p_error, pause_reason = null, pause_detail = null
    where c.account_id = r.account_id and c.run_id = p_run returning c.parent_key into v_key;
  if r.planned > 0 then
    delete from tikku.waiter w where w.run_id = p_run;
    update tikku.approval a set state = 'closed' where a.run_id = p_run and a.state = 'open';
    if exists (select 1 from tikku.run x where x.parent_id = p_run and x.finished_at is null) then
      insert into tikku.child_sweep (parent_id, at) values (p_run, p_now) on conflict do nothing;
    end if;
  end if;
  if r.parent_id is not null then
    perform 1 from tikku.run x where x.id = r.parent_id and x.finished_at is null for update;
    if found and exists (select 1 from tikku.waiter w where w.run_id = r.parent_id and w.key = v_key and w.child_id = p_run) then
      v_wait := tikku.run_fact(r.parent_id, v_key, 'child', case when p_state = 'completed' then 'ok' else 'error' end, p_output,
        case when p_state <> 'completed' then tikku.child_error(p_run, p_state, p_error) end, p_run);
      if v_wait is not null then
        id := r.parent_id;
        wait_ms := v_wait;
        account_id := r.account_id;
        return next;
      end if;
    end if;
  end if;
  if r.gate is not null then
    return query select * from tikku.gate_next(r.account_id, r.gate, p_now);
  end if;
end $$;
comment on function tikku.run_end is 'Ends a run; the rows are to be handed to the queue.';

-- Whether a run may take its place in its gate now. The gate is locked. Null: it may. Otherwise how long to wait, or -1: until another ends.
create function tikku.gate_admit(r tikku.run, p_now timestamptz) returns bigint language plpgsql volatile as $$
declare
  g tikku.gate;
  v_at timestamptz;
begin
  select * into g from tikku.gate x where x.account_id = r.account_id and x.key = r.gate;
  -- A rate books times: the next first dispatch has the next time, however many wait.
  if g.rate is not null and r.started_at is null and not r.booked then
    if g.window_at is null or p_now >= g.window_at + tikku.ms(g.period_ms) * (g.used / g.rate + 1) then
      g.window_at := p_now;
      g.used := 0;
    end if;
    v_at := g.window_at + tikku.ms(g.period_ms) * (g.used / g.rate);
    update tikku.gate x set window_at = g.window_at, used = g.used + 1 where x.account_id = r.account_id and x.key = r.gate;
    update tikku.run x set booked = true, due_at = greatest(x.due_at, v_at) where x.id = r.id;
    if v_at > p_now then
      return tikku.ms_between(p_now, v_at);
    end if;
  end if;
  if g.parallelism is not null
    and (select count(*) from tikku.run x where x.account_id = r.account_id and x.gate = r.gate and x.lease_until is not null) >= g.parallelism then
    update tikku.gate x set waiting = true, next_at = least(x.next_at, p_now + interval '60 seconds') where x.account_id = r.account_id and x.key = r.gate;
    return -1;
  end if;
  return null;
end $$;
comment on function tikku.gate_admit is 'Null when it may start; else the wait in milliseconds, or -1.';

-- Turns what is due of a locked run into entries, in the order of their times; answers whether a step is due to be executed again. All in one row version of
-- the run: each more would be read by every lookup of this transaction.
create function tikku.run_timers(p_run uuid, p_now timestamptz) returns boolean language plpgsql volatile as $$
declare
  r tikku.run;
  v_again boolean;
  v_count int;
begin
  select * into r from tikku.run x where x.id = p_run;
  v_again := exists (select 1 from tikku.waiter w where w.run_id = p_run and w.due_at <= p_now and w.kind in ('run', 'ai'));
  insert into tikku.entry (run_id, seq, key, kind, state, value, fence, at)
    select p_run, r.next_seq - 1 + row_number() over (order by w.due_at, w.key), w.key, w.kind, case when w.kind = 'sleep' then 'ok' else 'timeout' end,
        case when w.kind = 'sleep' then 'null'::bytea end, r.fence, p_now
      from tikku.waiter w where w.run_id = p_run and w.due_at <= p_now and w.kind not in ('run', 'ai');
  get diagnostics v_count = row_count;
  if v_count = 0 then
    return v_again;
  end if;
  update tikku.approval a set state = 'expired', decided_at = p_now where a.run_id = p_run and a.state = 'open' and a.expires_at <= p_now;
  delete from tikku.waiter w where w.run_id = p_run and w.due_at <= p_now and w.kind not in ('run', 'ai');
  r.awaits_left := case when r.awaits_left is not null then tikku.awaits_count(p_run, r.awaits) end;
  perform tikku.run_told(r, v_count, 0, p_now);
  return v_again;
end $$;
comment on function tikku.run_timers is 'Whether a retry is due.';

-- What a dispatch carries: entries after a seq, as many as fit, and what is planned.
create function tikku.run_carry(d tikku.dispatched, p_run uuid, p_last int, p_after int, p_bytes int, p_now timestamptz) returns tikku.dispatched
language plpgsql stable as $$
begin
  d.seq := p_after;
  if p_last > p_after then
    select array_agg(e.seq order by e.seq), array_agg(e.key order by e.seq), array_agg(e.kind order by e.seq), array_agg(e.state order by e.seq),
        array_agg(e.value order by e.seq), array_agg(e.error::text order by e.seq), array_agg(e.child_id order by e.seq), coalesce(max(e.seq), p_after)
      into d.seqs, d.keys, d.kinds, d.states, d."values", d.errors, d.child_ids, d.seq
      from (
        select x.*, sum(coalesce(octet_length(x.value), 0) + coalesce(octet_length(x.error::text), 0) + octet_length(x.key) + 60) over (order by x.seq) as size
          from (select * from tikku.entry y where y.run_id = p_run and y.seq > p_after and y.seq <= p_last order by y.seq limit 2000) x
      ) e where e.size <= p_bytes;
  end if;
  -- A retry leaves gaps behind: a higher number alone does not say that there is more.
  d.more := d.seq < p_last and exists (select 1 from tikku.entry e where e.run_id = p_run and e.seq > d.seq and e.seq <= p_last);
  if d.planned > p_last then
    select json_agg(json_build_object('key', w.key, 'kind', w.kind, 'attempt', w.attempt,
        'waitMs', case when w.due_at < 'infinity' then tikku.ms_between(p_now, w.due_at) end) order by w.since, w.key)::text
      into d.pending from tikku.waiter w where w.run_id = p_run;
  end if;
  return d;
end $$;
comment on function tikku.run_carry is 'The dispatch with its journal and what is pending.';

-- Dispatches a locked run if it is due and may be; or says when to look again. p_after null: with its input and the journal from its beginning; else it is a
-- running one that goes on at once, which only raises its fence: none of what indexes are on changes.
create function tikku.run_dispatch(p_run uuid, p_after int, p_bytes int, p_window_ms bigint) returns tikku.dispatched language plpgsql volatile as $$
declare
  r tikku.run;
  d tikku.dispatched;
  v record;
  v_now timestamptz := tikku.clock_fresh();
  v_again boolean := false;
  v_wait bigint;
begin
  select * into r from tikku.run x where x.id = p_run;
  d.id := p_run;
  d.account_id := r.account_id;
  if r.state = 'running' and p_after is not null then
    null;
  elsif r.state not in ('queued', 'sleeping', 'waiting', 'retrying') or r.due_at = 'infinity' then
    return null;
  elsif r.due_at > v_now then
    d.verdict := 'wait';
    d.wait_ms := tikku.ms_between(v_now, r.due_at);
    return case when d.wait_ms <= p_window_ms then d end;
  end if;
  if r.planned >= r.next_seq then
    v_again := tikku.run_timers(p_run, v_now);
    if r.awaits is not null and not v_again then
      select x.state = 'queued' into v_again from tikku.run x where x.id = p_run;
      if not v_again then
        d.verdict := 'wait';
        d.wait_ms := tikku.run_park(p_run, r.awaits, v_now, p_window_ms);
        return case when d.wait_ms is not null then d end;
      end if;
    end if;
    select * into r from tikku.run x where x.id = p_run;
  end if;
  for v_try in 1..2 loop
    select c.workflow, c.version, c.external_id, c.created_at, c.attempt, c.seed, c.secret, c.accept_seq, c.parent_key, case when p_after is null then c.input end as input,
        w.served, a.name as app, a.url, a.timeout_ms, a.lease_ms, a.checkpoint
      into v
      from tikku.run_content c left join tikku.workflow w on w.account_id = c.account_id and w.name = c.workflow and w.version = c.version
        left join tikku.app a on a.account_id = w.account_id and a.name = w.app
      where c.account_id = r.account_id and c.run_id = p_run;
    exit when v.served and v.url is not null;
    if v_try = 2 then
      perform tikku.run_paused(p_run, 'unserved', json_build_object('message', format('no app serves version %s of %s: deploy it and register the app again', v.version, v.workflow)));
      return null;
    end if;
    -- Who says just now what is served (app_described) is waited for, or waits for this pause and then ends it.
    perform pg_advisory_xact_lock_shared(hashtextextended('tikku.workflow ' || r.account_id, 0));
  end loop;
  if r.gate is not null and r.state <> 'running' then
    v_wait := tikku.gate_admit(r, v_now);
    if v_wait is not null then
      update tikku.run x set kick_until = case when v_wait < 0 then 'infinity' else tikku.kick_until(v_now + tikku.ms(v_wait), v_now, p_window_ms) end where x.id = p_run;
      d.verdict := 'wait';
      d.wait_ms := v_wait;
      return case when v_wait between 0 and p_window_ms then d end;
    end if;
  end if;
  d.verdict := 'started';
  d.fence := r.fence + 1;
  d.renews := v.checkpoint <> 'return';
  d.lease_ms := case when d.renews then v.lease_ms else v.timeout_ms + 30000 end;
  if r.state = 'running' then
    update tikku.run x set fence = d.fence, lease_ms = d.lease_ms, renewed_at = v_now, failures = 0, idle = x.idle + 1 where x.id = p_run;
  else
    update tikku.run x set state = 'running', fence = d.fence, kicks = 0, kick_until = null, lease_until = v_now + tikku.ms(d.lease_ms), lease_ms = d.lease_ms,
        renewed_at = v_now, started_at = coalesce(r.started_at, v_now), awaits = null, awaits_left = null, debounce = null
      where x.id = p_run;
  end if;
  d.token := tikku.run_token(v.secret, d.fence);
  d.resume_key := tikku.run_resume_key(v.secret);
  d.app := v.app;
  d.url := v.url;
  d.timeout_ms := v.timeout_ms;
  d.workflow := v.workflow;
  d.version := v.version;
  d.external_id := v.external_id;
  d.created_at := tikku.rfc3339(v.created_at);
  d.run_attempt := v.attempt;
  d.seed := v.seed;
  d.accept_seq := v.accept_seq;
  d.failures := r.failures;
  d.planned := r.planned;
  d.bytes := r.bytes;
  d.parent_id := r.parent_id;
  d.parent_key := v.parent_key;
  d.input := v.input;
  d.now_ms := floor(date_part('epoch', v_now) * 1000);
  d.secrets := array(select s.secret from tikku.signing_secret s where s.account_id = r.account_id and (s.expires_at is null or s.expires_at > v_now) order by s.id desc limit 5);
  return tikku.run_carry(d, p_run, r.next_seq - 1, coalesce(p_after, 0), p_bytes, v_now);
end $$;
comment on function tikku.run_dispatch is 'started, or wait; null when there is nothing to do.';

-- The gates of runs as their workflows say now; a gate that is not there yet is made.
create function tikku.gate_refresh(p_ids uuid[]) returns void language plpgsql volatile as $$
begin
  insert into tikku.gate as g (account_id, key, parallelism, rate, period_ms)
    select distinct on (r.account_id, r.gate) r.account_id, r.gate, (w.policy #>> '{concurrency,limit}')::int, (w.policy #>> '{rateLimit,limit}')::int,
        (w.policy #>> '{rateLimit,periodSeconds}')::bigint * 1000
      from tikku.run r join tikku.run_content c on c.account_id = r.account_id and c.run_id = r.id
        join tikku.workflow w on w.account_id = c.account_id and w.name = c.workflow and w.version = c.version
      where r.id = any(p_ids) and r.gate is not null order by r.account_id, r.gate, r.id desc
    on conflict (account_id, key) do update set parallelism = excluded.parallelism, rate = excluded.rate, period_ms = excluded.period_ms
      where (g.parallelism, g.rate, g.period_ms) is distinct from (excluded.parallelism, excluded.rate, excluded.period_ms);
end $$;
comment on function tikku.gate_refresh is 'Makes and corrects gates before they are locked.';

-- What nearly every dispatch is, for many runs in one statement: a locked run that is due, without a gate, with a short journal, and with nothing pending but the one
-- sleep that it waited for, whose end becomes an entry. A run that is any different is run_dispatch's.
create function tikku.run_lease_plain(p_runs tikku.run[], p_bytes int, p_now timestamptz) returns setof tikku.dispatched language plpgsql volatile rows 20 as $$
begin
  return query
    with plain as materialized (
      select x.next_seq, x.planned >= x.next_seq as slept, p.key, c.*, a.name as app, a.url, a.timeout_ms, a.checkpoint <> 'return' as renews,
          case when a.checkpoint <> 'return' then a.lease_ms else a.timeout_ms + 30000 end as ms
        from unnest(p_runs) as x
          join tikku.run_content c on c.account_id = x.account_id and c.run_id = x.id
          join tikku.workflow w on w.account_id = c.account_id and w.name = c.workflow and w.version = c.version
          join tikku.app a on a.account_id = w.account_id and a.name = w.app
          left join lateral (
            select min(y.key) as key from tikku.waiter y where y.run_id = x.id having count(*) = 1 and bool_and(y.kind = 'sleep' and y.due_at <= p_now and y.key = x.awaits #>> '{}')
          ) p on x.planned >= x.next_seq
        where x.state in ('queued', 'sleeping', 'waiting', 'retrying') and x.due_at <= p_now and x.gate is null and w.served
          and (x.planned < x.next_seq or p.key is not null) and x.next_seq <= 100 and x.bytes + x.next_seq * 400 <= p_bytes
    ), resolved as (
      delete from tikku.waiter y using plain l where l.slept and y.run_id = l.run_id and y.key = l.key
    ), leased as (
      update tikku.run r set state = 'running', fence = r.fence + 1, kicks = 0, kick_until = null, lease_until = p_now + tikku.ms(l.ms), lease_ms = l.ms, renewed_at = p_now,
          started_at = coalesce(r.started_at, p_now), awaits = null, awaits_left = null, debounce = null,
          next_seq = r.next_seq + l.slept::int, idle = case when l.slept then 0 else r.idle end
        from plain l
        where r.id = l.run_id
        returning r.id, r.fence, r.failures, r.planned, r.bytes, r.parent_id, l.*
    ), slept as (
      insert into tikku.entry (run_id, seq, key, kind, state, value, fence, at)
        select l.id, l.next_seq, l.key, 'sleep', 'ok', 'null', l.fence - 1, p_now from leased l where l.slept
    )
    select 'started', l.id, null::bigint, l.account_id, l.fence, tikku.run_token(l.secret, l.fence), tikku.run_resume_key(l.secret), l.app, l.url, l.timeout_ms, l.ms,
        l.renews, l.workflow, l.version, l.external_id, tikku.rfc3339(l.created_at), l.attempt, l.seed, l.accept_seq, l.failures, l.planned, l.bytes,
        l.parent_id, l.parent_key, l.input, j.seqs, j.keys, j.kinds, j.states, j."values", j.errors, j.child_ids, coalesce(j.seq, 0), false, null::text,
        floor(date_part('epoch', p_now) * 1000)::bigint,
        array(select s.secret from tikku.signing_secret s where s.account_id = l.account_id and (s.expires_at is null or s.expires_at > p_now) order by s.id desc limit 5)
      from leased l
        left join lateral (
          select array_agg(e.seq) as seqs, array_agg(e.key) as keys, array_agg(e.kind) as kinds, array_agg(e.state) as states, array_agg(e.value) as "values",
              array_agg(e.error) as errors, array_agg(e.child_id) as child_ids, max(e.seq) as seq
            from (
              select * from (select y.seq, y.key, y.kind, y.state, y.value, y.error::text, y.child_id from tikku.entry y where y.run_id = l.id order by y.seq) y
              -- What this statement inserts it does not see.
              union all select l.next_seq, l.key, 'sleep', 'ok', 'null', null, null where l.slept
            ) e
        ) j on l.next_seq > 1 or l.slept;
end $$;
comment on function tikku.run_lease_plain is 'started, for those of the runs that are plain.';

-- Starts dispatches of what is due and may be. A run whose lease ran out is given up here too, so that whoever knows need not wait for tick.
create function tikku.run_lease(p_ids uuid[], p_rows_max int, p_inline_bytes int, p_lost_max int, p_window_ms bigint) returns setof tikku.dispatched
language plpgsql volatile rows 20 as $$
declare
  d tikku.dispatched;
  v_id uuid;
  v_runs tikku.run[];
  v_ids uuid[];
  v_running uuid[];
  v_pending boolean;
  v_started int := 0;
begin
  if exists (select 1 from tikku.run r where r.id = any(p_ids) and r.gate is not null) then
    perform tikku.gate_refresh(p_ids);
    perform tikku.gate_lock(p_ids);
  end if;
  select array_agg(x), array_agg(x.id), array_agg(x.id) filter (where x.state = 'running'), bool_or(x.planned >= x.next_seq) into v_runs, v_ids, v_running, v_pending
    from (select * from tikku.run r where r.id = any(p_ids) and r.finished_at is null order by r.id desc for update) x;
  foreach v_id in array coalesce(v_running, '{}') loop
    perform tikku.run_lost(v_id, p_lost_max);
  end loop;
  -- What SQL has sent counts before a timeout does, and need not wait for tick.
  if exists (select 1 from tikku.signal_intake s where s.run_id = any(v_ids)) then
    perform tikku.signal_intake_take(r, 1000) from tikku.run r where r.id = any(v_ids) and r.finished_at is null;
    select array_agg(r), bool_or(r.planned >= r.next_seq) into v_runs, v_pending from tikku.run r where r.id = any(v_ids);
  end if;
  -- One fresh run alone is cheaper by run_dispatch: that statement is a large one to begin.
  if (array_length(v_ids, 1) > 1 or v_pending) and array_length(v_ids, 1) <= p_rows_max then
    for d in select * from tikku.run_lease_plain(v_runs, p_inline_bytes, tikku.clock_fresh()) loop
      return next d;
      v_started := v_started + 1;
      v_ids := array_remove(v_ids, d.id);
    end loop;
  end if;
  foreach v_id in array p_ids loop
    exit when v_started >= p_rows_max;
    continue when v_id = any(v_ids) is not true;
    d := tikku.run_dispatch(v_id, null, p_inline_bytes, p_window_ms);
    if d.verdict is not null then
      return next d;
      v_started := v_started + (d.verdict = 'started')::int;
    end if;
  end loop;
end $$;
comment on function tikku.run_lease is 'What is to be dispatched, and what to look at again.';

-- Gives up a locked run's lease that ran out. The fence stays: a late checkpoint still counts until something newer begins.
create function tikku.run_lost(p_run uuid, p_lost_max int) returns bigint language plpgsql volatile as $$
declare
  r tikku.run;
  v_now timestamptz := tikku.clock_fresh();
begin
  select * into r from tikku.run x where x.id = p_run;
  if r.state <> 'running' or r.lease_until >= v_now then
    return null;
  elsif r.renewed_at + tikku.ms(r.lease_ms) >= v_now then
    -- A renewal writes renewed_at alone, which has no index: nearly free. Whoever finds the lease over moves it.
    update tikku.run x set lease_until = r.renewed_at + tikku.ms(r.lease_ms) where x.id = p_run;
    return null;
  end if;
  update tikku.run x set lost = r.lost + 1, state = 'queued', lease_until = null, due_at = v_now, kick_until = v_now + interval '60 seconds', awaits = null, awaits_left = null
    where x.id = p_run;
  update tikku.run_content c set last_error = json_build_object('message', 'lost: the endpoint did not answer, and was not heard of until the lease ran out', 'at', tikku.rfc3339(v_now))
    where c.account_id = r.account_id and c.run_id = p_run;
  if r.pause_requested then
    perform tikku.run_paused(p_run, 'requested', null);
    return null;
  elsif r.lost + 1 >= p_lost_max then
    perform tikku.run_paused(p_run, 'lost', json_build_object('message', format('%s dispatches of this run were never answered', r.lost + 1)));
    return null;
  end if;
  return 0;
end $$;
comment on function tikku.run_lost is 'Zero when it was given up and is to be dispatched again; else null.';

-- Applies ops in order. Runs are locked; one whose id is null here is passed over.
create function tikku.run_ops(
  p_ids uuid[], p_now timestamptz, o_run int[], o_op text[], o_key text[], o_kind text[], o_value bytea[], o_error text[], o_ms bigint[], o_attempt int[],
  o_ai text[], o_detail text[], p_window_ms bigint
) returns setof tikku.kick language plpgsql volatile rows 1 as $$
declare
  o record;
  r tikku.run;
  v_run int := 0;
  v_new boolean;
  v_had boolean;
  v_plan tikku.waiter;
  v_detail json;
  v_alone boolean;
  v_bytes bigint;
begin
  for o in
    select * from unnest(o_run, o_op, o_key, o_kind, o_value, o_error, o_ms, o_attempt, o_ai, o_detail) with ordinality
      as o(run, op, key, kind, value, error, ms, attempt, ai, detail, n) order by n
  loop
    continue when p_ids[o.run] is null or o.op in ('done', 'fail', 'continue');
    if o.run <> v_run then
      if v_run > 0 then
        perform tikku.run_moved(r);
      end if;
      v_run := o.run;
      select * into r from tikku.run x where x.id = p_ids[o.run];
      v_had := r.planned >= r.next_seq;
    end if;
    -- A start among these ops may have cancelled it (a singleton): nothing is written after its end. Of a run that was given up only results count.
    continue when r.finished_at is not null or (r.state <> 'running' and o.op not in ('result', 'error'));
    if o.op in ('result', 'error') then
      insert into tikku.entry (run_id, seq, key, kind, state, value, error, attempt, fence, at, duration_ms, ai)
        values (r.id, r.next_seq, o.key, o.kind, case when o.op = 'result' then 'ok' else 'error' end, o.value, o.error::json, o.attempt, r.fence, p_now, o.ms, o.ai::json)
        on conflict (run_id, key) do nothing;
      if found then
        v_new := true;
        if v_had then
          delete from tikku.waiter w where w.run_id = r.id and w.key = o.key;
          v_new := not found;
        end if;
        r.planned := r.planned + v_new::int;
        r.next_seq := r.next_seq + 1;
        r.bytes := r.bytes + coalesce(octet_length(o.value), octet_length(o.error), 0);
        r.idle := 0;
      end if;
    elsif exists (select 1 from tikku.entry e where e.run_id = r.id and e.key = o.key) then
      null;
    elsif o.op = 'retry' then
      if not exists (select 1 from tikku.step_attempt s where s.run_id = r.id and s.key = o.key and s.number = o.attempt and s.fence = r.fence) then
        insert into tikku.step_attempt (run_id, key, number, fence, at, duration_ms, error, free, retry_ms, ai)
          values (r.id, o.key, o.attempt, r.fence, p_now, o.ms, o.error::json, coalesce((o.detail::json ->> 'free')::boolean, false), (o.detail::json ->> 'afterMs')::bigint, o.ai::json);
        insert into tikku.waiter (run_id, key, kind, account_id, due_at, since, attempt)
          values (r.id, o.key, o.kind, r.account_id, p_now + tikku.ms((o.detail::json ->> 'afterMs')::bigint), p_now,
            least(o.attempt + (not coalesce((o.detail::json ->> 'free')::boolean, false))::int, 32767))
          on conflict (run_id, key) do update set due_at = excluded.due_at, attempt = excluded.attempt where waiter.kind in ('run', 'ai')
          returning waiter.since = p_now into v_new;
        r.planned := r.planned + coalesce(v_new, false)::int;
        r.idle := 0;
        v_had := true;
      end if;
    else
      v_detail := o.detail;
      v_plan := tikku.run_plan(r, p_now, o.op, o.key, v_detail);
      if v_plan.run_id is not null then
        r.planned := r.planned + 1;
        r.idle := 0;
        v_had := true;
        if o.op in ('child', 'fetch', 'publish') then
          -- Only the start of a singleton may change this run's row: it may cancel another child. Each version of the row would be read by every later op.
          v_alone := o.op <> 'child' or not exists (select 1 from tikku.workflow y
            where y.account_id = r.account_id and y.name = v_detail ->> 'workflow' and y.policy -> 'singleton' is not null);
          if not v_alone then
            perform tikku.run_moved(r);
          end if;
          return query select * from tikku.run_begin(v_plan, p_now, o.op, o.value, v_detail, p_window_ms, case when v_alone then r.next_seq end, r.fence);
          if v_alone then
            select coalesce(octet_length(e.value), 0) into v_bytes from tikku.entry e where e.run_id = r.id and e.key = o.key;
            if found then
              r.next_seq := r.next_seq + 1;
              r.bytes := r.bytes + v_bytes;
            end if;
          else
            select * into r from tikku.run x where x.id = r.id;
          end if;
        elsif o.op = 'signal' and exists (select 1 from tikku.signal s where s.run_id = r.id and s.name = v_plan.name and s.key is null) then
          perform tikku.run_moved(r);
          perform tikku.signal_take(r.id, o.key, v_plan.name);
          select * into r from tikku.run x where x.id = r.id;
        end if;
      end if;
    end if;
  end loop;
  if v_run > 0 then
    perform tikku.run_moved(r);
  end if;
end $$;
comment on function tikku.run_ops is 'What is to be handed to the queues: children and messages.';

create function tikku.run_moved(r tikku.run) returns void language plpgsql volatile as $$
begin
  update tikku.run x set next_seq = r.next_seq, planned = r.planned, bytes = r.bytes, idle = r.idle where x.id = r.id;
end $$;
comment on function tikku.run_moved is 'Writes what ops changed of a locked run.';

-- Plans a key: its waiter. A sleep that is planned already may get another end; what else is planned already stays, and answers null.
create function tikku.run_plan(r tikku.run, p_now timestamptz, p_op text, p_key text, p_detail json) returns tikku.waiter language plpgsql volatile as $$
declare
  w tikku.waiter;
  v_ms bigint := coalesce(p_detail ->> 'forMs', p_detail ->> 'timeoutMs');
begin
  w.run_id := r.id;
  w.key := p_key;
  w.kind := p_op;
  w.account_id := r.account_id;
  w.name := p_detail ->> 'name';
  w.since := p_now;
  w.attempt := 1;
  w.due_at := case when p_op = 'fetch' then 'infinity' when p_detail ->> 'untilMs' is not null then to_timestamp((p_detail ->> 'untilMs')::bigint / 1000.0)
    when v_ms is not null then p_now + tikku.ms(v_ms) else 'infinity' end;
  if p_op = 'event' then
    w.match := p_detail -> 'match';
    select n.next_seq into w.event_seq from tikku.event_name n where n.account_id = r.account_id and n.name = w.name;
  end if;
  insert into tikku.waiter values (w.*) on conflict (run_id, key) do nothing;
  if not found then
    if p_op = 'sleep' then
      update tikku.waiter x set due_at = case when v_ms is not null then x.since + tikku.ms(v_ms) else w.due_at end
        where x.run_id = r.id and x.key = p_key and x.kind = 'sleep';
    end if;
    return null;
  end if;
  if p_op = 'approval' then
    insert into tikku.approval (run_id, key, account_id, policy, schema, title, detail, since, expires_at)
      values (r.id, p_key, r.account_id, coalesce(p_detail -> 'policy', '{}'), p_detail -> 'schema', p_detail ->> 'title', p_detail -> 'detail', p_now, w.due_at)
      on conflict (run_id, key) do nothing;
  end if;
  return w;
end $$;
comment on function tikku.run_plan is 'The waiter that was made; null when there was one.';

-- A buffered signal for a new waiter.
create function tikku.signal_take(p_run uuid, p_key text, p_name text) returns void language plpgsql volatile as $$
declare
  s tikku.signal;
begin
  select * into s from tikku.signal x where x.run_id = p_run and x.name = p_name and x.key is null order by x.id limit 1;
  if found then
    update tikku.signal x set key = p_key where x.id = s.id;
    perform tikku.run_fact(p_run, p_key, 'signal', 'ok', s.value, null, null);
  end if;
end $$;
comment on function tikku.signal_take is 'Consumes the first buffered signal of a name. The run is locked.';

-- What is finished as soon as it begins: its entry. With a seq whoever calls counts it; without one the row of the run is written.
create function tikku.run_begun(w tikku.waiter, p_now timestamptz, p_seq int, p_fence bigint, p_kind text, p_state text, p_value bytea, p_error json) returns void
language plpgsql volatile as $$
begin
  if p_seq is null then
    perform tikku.run_fact(w.run_id, w.key, p_kind, p_state, p_value, p_error, null);
  else
    insert into tikku.entry (run_id, seq, key, kind, state, value, error, fence, at) values (w.run_id, p_seq, w.key, p_kind, p_state, p_value, p_error, p_fence, p_now);
    delete from tikku.waiter x where x.run_id = w.run_id and x.key = w.key;
  end if;
end $$;
comment on function tikku.run_begun is 'Records what a step that was just planned came to.';

-- Begins what a new waiter waits for: a child, a call, a publish.
create function tikku.run_begin(w tikku.waiter, p_now timestamptz, p_op text, p_value bytea, p_detail json, p_window_ms bigint, p_seq int, p_fence bigint) returns setof tikku.kick
language plpgsql volatile rows 1 as $$
declare
  c tikku.run_content;
  m tikku.message_content;
  v_put text[];
  v_messages json;
  i record;
begin
  if p_op = 'child' then
    c.account_id := w.account_id;
    c.workflow := p_detail ->> 'workflow';
    c.version := p_detail ->> 'version';
    c.external_id := p_detail ->> 'id';
    c.input := coalesce(p_value, 'null');
    c.input_hash := case when c.external_id is not null then sha256(c.input) end;
    c.parent_key := w.key;
    c.source_id := w.run_id;
    c.started_how := 'child';
    v_put := tikku.run_put(c, w.run_id, null, null, p_window_ms);
    if v_put[1] in ('accepted', 'debounced') then
      update tikku.waiter x set child_id = v_put[2]::uuid where x.run_id = w.run_id and x.key = w.key;
      return next row(v_put[2]::uuid, v_put[4]::bigint, w.account_id, false)::tikku.kick;
    else
      perform tikku.run_begun(w, p_now, p_seq, p_fence, 'child', 'error', null, json_strip_nulls(json_build_object(
        'name', case when v_put[1] in ('no_workflow', 'no_version') then 'UnknownWorkflow' else 'ChildExists' end,
        'message', case when v_put[1] in ('no_workflow', 'no_version') then format('no app serves %s%s', c.workflow, coalesce(' version ' || c.version, ''))
          else format('run_%s has this id, or the place of this singleton', translate(v_put[2], '-', '')) end,
        'runId', 'run_' || translate(v_put[2], '-', ''))));
    end if;
  elsif p_op = 'fetch' then
    m := row(w.account_id, null, null, p_detail ->> 'url', p_detail ->> 'method', p_detail -> 'headers', p_value, null, null, tikku.backoff_default(), null, null, '{}', null, true,
      null, null, null, null, null, null, null, w.run_id, w.key);
    v_put := tikku.message_put(m, null, null, (p_detail ->> 'maxAttempts')::int, (p_detail ->> 'timeoutMs')::int, p_window_ms);
    update tikku.waiter x set message_id = v_put[2]::uuid where x.run_id = w.run_id and x.key = w.key;
    return next row(v_put[2]::uuid, v_put[4]::bigint, w.account_id, true)::tikku.kick;
  else
    m := row(w.account_id, null, null, p_detail ->> 'url', p_detail ->> 'method', p_detail -> 'headers', p_value, (p_detail ->> 'delayMs')::bigint,
      to_timestamp((p_detail ->> 'notBeforeMs')::bigint / 1000.0), p_detail -> 'backoff', null, null,
      array(select x from json_array_elements_text(coalesce(p_detail -> 'labels', '[]')) x), null, coalesce((p_detail ->> 'raw')::boolean, false), p_detail -> 'flow',
      p_detail ->> 'callbackUrl', p_detail ->> 'failureCallbackUrl', null, p_detail ->> 'fanout', null, null, null, null);
    if m.fanout is null then
      v_put := tikku.message_put(m, p_detail ->> 'flowKey', tikku.due_at((p_detail ->> 'delayMs')::bigint, (p_detail ->> 'notBeforeMs')::bigint),
        (p_detail ->> 'maxAttempts')::int, (p_detail ->> 'timeoutMs')::int, p_window_ms);
      return next row(v_put[2]::uuid, v_put[4]::bigint, w.account_id, true)::tikku.kick;
      perform tikku.run_begun(w, p_now, p_seq, p_fence, 'publish', 'ok',
        convert_to(json_build_object('id', 'msg_' || translate(v_put[2], '-', ''), 'status', v_put[3])::text, 'UTF8'), null);
    else
      for i in
        select * from tikku.message_put_fanout(m, p_detail ->> 'flowKey', tikku.due_at((p_detail ->> 'delayMs')::bigint, (p_detail ->> 'notBeforeMs')::bigint),
          (p_detail ->> 'maxAttempts')::int, (p_detail ->> 'timeoutMs')::int, p_window_ms)
      loop
        if i.id is null then
          perform tikku.run_begun(w, p_now, p_seq, p_fence, 'publish', 'error', null, json_build_object('name', 'InvalidMessage',
            'message', case when i.verdict = 'no_fanout' then 'there is no fanout ' || m.fanout else 'the body, once for each endpoint, is more than 64 MiB' end));
          return;
        end if;
        v_messages := to_json(array(select x from json_array_elements(coalesce(v_messages, '[]')) x)
          || json_build_object('id', 'msg_' || translate(i.id::text, '-', ''), 'status', i.state, 'url', i.url));
        return next row(i.id, i.wait_ms, w.account_id, true)::tikku.kick;
      end loop;
      perform tikku.run_begun(w, p_now, p_seq, p_fence, 'publish', 'ok', convert_to(json_build_object('messages', coalesce(v_messages, '[]'))::text, 'UTF8'), null);
    end if;
  end if;
end $$;
comment on function tikku.run_begin is 'What is to be handed to the queues.';

-- A row of a settle that has no dispatch.
create function tikku.dispatched_row(p_verdict text, p_id uuid, p_wait_ms bigint, p_account uuid) returns tikku.dispatched language plpgsql immutable as $$
declare
  d tikku.dispatched;
begin
  d.verdict := p_verdict;
  d.id := p_id;
  d.wait_ms := p_wait_ms;
  d.account_id := p_account;
  return d;
end $$;
comment on function tikku.dispatched_row is 'What became of a record, or a run that is to be handed to the queue.';

-- The names of events that are about to be waited for, locked before any run: whoever publishes one holds the same row.
create function tikku.event_name_lock(p_accounts uuid[], p_names text[]) returns void language plpgsql volatile as $$
begin
  insert into tikku.event_name (account_id, name) select distinct a, n from unnest(p_accounts, p_names) as x(a, n) order by a, n on conflict do nothing;
  perform 1 from tikku.event_name e join (select distinct a, n from unnest(p_accounts, p_names) as x(a, n)) x on x.a = e.account_id and x.n = e.name
    order by e.account_id, e.name for update of e;
end $$;
comment on function tikku.event_name_lock is 'Makes and locks names of events.';

-- What nearly every end is, for many runs at once: locked, replied to with nothing but done or fail, nothing pending, without gate, parent and children.
create function tikku.run_settle_plain(
  p_ids uuid[], p_fences bigint[], p_outcomes text[], o_run int[], o_op text[], o_value bytea[], o_error text[], p_now timestamptz
) returns int[] language plpgsql volatile as $$
declare
  v_plain int[];
begin
  with said as (
    select o.run, min(o.op) as op, min(o.n) as n from unnest(o_run, o_op) with ordinality as o(run, op, n) group by o.run having count(*) = 1 and min(o.op) in ('done', 'fail')
  ), ended as (
    update tikku.run r set state = case when s.op = 'fail' then 'failed' else 'completed' end, finished_at = p_now, lease_until = null, pause_requested = false
      from said s
      where r.id = p_ids[s.run] and p_outcomes[s.run] = 'reply' and r.state = 'running' and r.fence = p_fences[s.run] and r.planned < r.next_seq and r.gate is null
        and r.parent_id is null and (r.planned = 0 or (select x.id from tikku.run x where x.parent_id = r.id and x.finished_at is null limit 1) is null)
      returning r.account_id, r.id, s.run, s.op, s.n
  ), written as (
    update tikku.run_content c set output = case when e.op = 'done' then coalesce(o_value[e.n], 'null') end, error = case when e.op = 'fail' then o_error[e.n]::json end,
        pause_reason = null, pause_detail = null
      from ended e where c.account_id = e.account_id and c.run_id = e.id
  )
  select array_agg(e.run) into v_plain from ended e;
  return coalesce(v_plain, '{}');
end $$;
comment on function tikku.run_settle_plain is 'Which of the runs, counted from 1, it has ended.';

-- Records what dispatches came to, each under its fence, and decides what becomes of the runs. A run of which `again` is true and that may go on at once is
-- dispatched again in the same call.
create function tikku.run_settle(
  p_ids uuid[], p_fences bigint[], p_haves int[], p_outcomes text[], p_awaits text[], p_again boolean[], p_retry_ms bigint[], p_reasons text[], p_errors text[],
  o_run int[], o_op text[], o_key text[], o_kind text[], o_value bytea[], o_error text[], o_ms bigint[], o_attempt int[], o_ai text[], o_detail text[], p_window_ms bigint
) returns setof tikku.dispatched language plpgsql volatile rows 20 as $$
declare
  v_now timestamptz;
  v_open uuid[] := array_fill(null::uuid, array[coalesce(array_length(p_ids, 1), 0)]);
  v_late boolean[];
  v_plain int[];
  d tikku.dispatched;
  r tikku.run;
  k tikku.kick;
  e record;
  v_next record;
  v_at_once boolean;
  v_tree jsonb;
  v_wait bigint;
begin
  if 'event' = any(o_op) then
    perform tikku.event_name_lock(array_agg(x.account_id), array_agg(o.detail::json ->> 'name'))
      from unnest(o_run, o_op, o_detail) as o(run, op, detail) join tikku.run x on x.id = p_ids[o.run] where o.op = 'event';
  end if;
  perform tikku.run_lock(p_ids);
  v_now := tikku.clock_fresh();
  v_plain := case when o_op && array['done', 'fail'] then tikku.run_settle_plain(p_ids, p_fences, p_outcomes, o_run, o_op, o_value, o_error, v_now) else '{}' end;
  return query select z.* from unnest(v_plain) as x(n) cross join lateral tikku.dispatched_row('recorded', p_ids[x.n], null, null) z;
  if array_length(v_plain, 1) = array_length(p_ids, 1) then
    return;
  end if;
  for i in 1 .. coalesce(array_length(p_ids, 1), 0) loop
    continue when i = any(v_plain);
    select * into r from tikku.run x where x.id = p_ids[i];
    if r.id is null or r.fence <> p_fences[i] then
      return next tikku.dispatched_row('stale', p_ids[i], null, r.account_id);
    elsif r.finished_at is not null then
      return next tikku.dispatched_row('known', p_ids[i], null, r.account_id);
    else
      v_open[i] := p_ids[i];
      v_late[i] := r.state <> 'running';
    end if;
  end loop;
  for k in select * from tikku.run_ops(v_open, v_now, o_run, o_op, o_key, o_kind, o_value, o_error, o_ms, o_attempt, o_ai, o_detail, p_window_ms) loop
    if k.wait_ms is not null then
      return next tikku.dispatched_row(case when k.message then 'kick_message' else 'kick' end, k.id, k.wait_ms, k.account_id);
    end if;
  end loop;
  for i in 1 .. coalesce(array_length(p_ids, 1), 0) loop
    continue when v_open[i] is null;
    select * into r from tikku.run x where x.id = p_ids[i];
    if v_late[i] then
      -- Recorded before, or given up meanwhile: what the steps came to counts all the same.
      return next tikku.dispatched_row('known', r.id, tikku.run_late(r, v_now, p_window_ms), r.account_id);
      continue;
    elsif r.state <> 'running' or r.fence <> p_fences[i] then
      -- A start among these ops has cancelled it: it had the place of a singleton.
      return next tikku.dispatched_row('stale', p_ids[i], null, r.account_id);
      continue;
    end if;
    select o.op, o.value, o.error, o.detail into e from unnest(o_run, o_op, o_value, o_error, o_detail) as o(run, op, value, error, detail)
      where o.run = i and o.op in ('done', 'fail', 'continue');
    v_wait := null;
    v_tree := p_awaits[i]::jsonb;
    -- A dispatch that was delivered to two processes: what this one went on from was recorded otherwise by the first. The run is asked again.
    if exists (
      select 1 from unnest(o_run, o_op, o_key, o_value, o_error) as o(run, op, key, value, error)
        where o.run = i and o.op in ('result', 'error')
          and (select case when o.op = 'result' then x.state = 'ok' and x.value is not distinct from o.value else x.state = 'error' and x.error::text = o.error end
            from tikku.entry x where x.run_id = r.id and x.key = o.key) is not true)
    then
      e.op := null;
      v_tree := null;
    end if;
    -- Retries alone, and nothing said of what to wait for: until the first is due.
    if v_tree is null and 'retry' = any(o_op) then
      select jsonb_build_object('any', jsonb_agg(o.key)) into v_tree from unnest(o_run, o_op, o_key) as o(run, op, key)
        where o.run = i having bool_and(o.op = 'retry');
    end if;
    if p_outcomes[i] = 'reply' and e.op is not null then
      if e.op = 'continue' then
        for k in select * from tikku.run_continue(r, e.value, e.detail::json, v_now, p_window_ms) loop
          if k.wait_ms is not null then
            return next tikku.dispatched_row('kick', k.id, k.wait_ms, k.account_id);
          end if;
        end loop;
        if not found then
          -- Whoever waits for it must not take this for its end.
          e.op := 'fail';
          e.error := '{"name":"NotContinued","message":"another run has the place of its singleton"}';
        end if;
      end if;
      for k in select x.id, x.wait_ms, x.account_id, false from tikku.run_end(r.id, case when e.op = 'fail' then 'failed' else 'completed' end,
        case when e.op = 'done' then coalesce(e.value, 'null') end, case when e.op = 'fail' then e.error::json end, v_now) x
      loop
        return next tikku.dispatched_row('kick', k.id, k.wait_ms, k.account_id);
      end loop;
    elsif p_outcomes[i] = 'reply' and (r.planned > 100000 or r.bytes > 1073741824) then
      v_wait := tikku.run_failed(r, 'pause', null, 'protocolError',
        json_build_object('message', 'the run is larger than it may be: 1 GiB of values and 100,000 steps; go on with continueAsNew, or cancel it'), v_now, p_window_ms);
    elsif p_outcomes[i] = 'reply' then
      v_at_once := p_again[i] and not r.pause_requested and r.idle = 0;
      if not v_at_once or (v_tree is not null and r.planned >= r.next_seq) then
        select * into v_next from tikku.run_decide(r.id, v_tree, v_now);
        v_at_once := v_at_once and v_next.state = 'queued';
      end if;
      if v_at_once then
        d := tikku.run_dispatch(r.id, p_haves[i], 16777216, p_window_ms);
        if d.verdict = 'started' then
          return next d;
          continue;
        end if;
        -- Its version is not served any more: it is paused.
        v_wait := null;
      else
        v_wait := tikku.run_replied(r, v_tree, v_next.state, v_next.due, v_next.awaits_left, v_now, p_window_ms);
      end if;
    else
      v_wait := tikku.run_failed(r, p_outcomes[i], p_retry_ms[i], p_reasons[i], p_errors[i]::json, v_now, p_window_ms);
    end if;
    return next tikku.dispatched_row('recorded', r.id, v_wait, r.account_id);
    -- The end of a run hands on its place itself.
    if r.gate is not null and e.op is null then
      for k in select x.id, x.wait_ms, x.account_id, false from tikku.gate_next(r.account_id, r.gate, v_now) x loop
        return next tikku.dispatched_row('kick', k.id, k.wait_ms, k.account_id);
      end loop;
    end if;
  end loop;
end $$;
comment on function tikku.run_settle is 'recorded, known, stale or started for each run, and what else is to be handed to the queues.';

-- After a reply that does not end the run: parked, paused, or to be dispatched again.
create function tikku.run_replied(r tikku.run, p_tree jsonb, p_state text, p_due timestamptz, p_left int, p_now timestamptz, p_window_ms bigint) returns bigint
language plpgsql volatile as $$
declare
  v_wait bigint;
begin
  v_wait := tikku.run_parked(r.id, p_tree, p_state, p_due, p_left, 1, p_now, p_window_ms);
  if r.pause_requested then
    perform tikku.run_paused(r.id, 'requested', null);
    return null;
  elsif r.idle >= 9 and v_wait = 0 then
    perform tikku.run_paused(r.id, 'noProgress', json_build_object('message', 'it was dispatched 10 times in a row and did nothing'));
    return null;
  end if;
  return v_wait;
end $$;
comment on function tikku.run_replied is 'The wait if the run is to be handed to the queue; else null.';

-- After a dispatch that was not replied to as the protocol says.
create function tikku.run_failed(r tikku.run, p_outcome text, p_retry_ms bigint, p_reason text, p_error json, p_now timestamptz, p_window_ms bigint) returns bigint
language plpgsql volatile as $$
begin
  update tikku.run_content c set last_error = p_error where c.account_id = r.account_id and c.run_id = r.id;
  if p_outcome = 'pause' and p_reason in ('unserved', 'nonDeterminism') then
    -- Its app has said anew what it serves since this dispatch began: an old process answered, and nobody would look at it again.
    perform pg_advisory_xact_lock_shared(hashtextextended('tikku.workflow ' || r.account_id, 0));
    if exists (
      select 1 from tikku.run_content c join tikku.workflow w on w.account_id = c.account_id and w.name = c.workflow and w.version = c.version
        where c.account_id = r.account_id and c.run_id = r.id and w.served and w.described_at > r.renewed_at)
    then
      p_outcome := 'refused';
      p_retry_ms := 1000;
    end if;
  end if;
  if p_outcome = 'pause' then
    perform tikku.run_paused(r.id, p_reason, p_error);
    return null;
  elsif p_outcome = 'lost' then
    -- The step may still be running. An endpoint that renews its lease has been heard of lately if it is.
    update tikku.run x set lease_until = greatest(p_now + interval '5 seconds', x.renewed_at + tikku.ms(x.lease_ms)) where x.id = r.id
      returning x.lease_until into r.lease_until;
    return tikku.ms_between(p_now, r.lease_until) + 10;
  end if;
  update tikku.run x set failures = x.failures + 1 where x.id = r.id;
  if r.pause_requested then
    perform tikku.run_paused(r.id, 'requested', null);
    return null;
  end if;
  update tikku.run x set state = 'retrying', lease_until = null, awaits = null, awaits_left = null, due_at = p_now + tikku.ms(p_retry_ms),
      kick_until = tikku.kick_until(p_now + tikku.ms(p_retry_ms), p_now, p_window_ms)
    where x.id = r.id;
  return case when p_retry_ms <= p_window_ms then p_retry_ms end;
end $$;
comment on function tikku.run_failed is 'The wait if the run is to be handed to the queue; else null.';

-- After results of a dispatch that was given up, before anything newer began: what the run waits for may be there now.
create function tikku.run_late(r tikku.run, p_now timestamptz, p_window_ms bigint) returns bigint language plpgsql volatile as $$
begin
  if r.state in ('sleeping', 'waiting', 'retrying') and r.awaits is not null then
    return tikku.run_park(r.id, r.awaits, p_now, p_window_ms);
  end if;
  return null;
end $$;
comment on function tikku.run_late is 'The wait if the run is to be handed to the queue; else null.';

-- A run that goes on as another: the id, the parent and the signals that nobody has read pass to it.
create function tikku.run_continue(r tikku.run, p_input bytea, p_detail json, p_now timestamptz, p_window_ms bigint) returns setof tikku.kick
language plpgsql volatile rows 1 as $$
declare
  c tikku.run_content;
  n tikku.run_content;
  v_put text[];
begin
  select * into c from tikku.run_content x where x.account_id = r.account_id and x.run_id = r.id;
  -- Its place in the unique indexes is the new one's.
  update tikku.run_content x set continued_by = r.id, idempotency_key = null where x.account_id = r.account_id and x.run_id = r.id;
  update tikku.run x set singleton = null, parent_id = null where x.id = r.id;
  n.account_id := c.account_id;
  n.workflow := c.workflow;
  n.version := coalesce(p_detail ->> 'version', c.version);
  n.external_id := c.external_id;
  n.idempotency_key := c.idempotency_key;
  n.input := coalesce(p_input, 'null');
  n.input_hash := c.input_hash;
  n.parent_key := c.parent_key;
  n.source_id := c.source_id;
  n.started_by := c.started_by;
  n.started_how := 'continue';
  n.continued_from := r.id;
  n.labels := c.labels;
  v_put := tikku.run_put(n, r.parent_id, null, null, p_window_ms);
  if v_put[1] not in ('accepted', 'debounced') then
    update tikku.run_content x set continued_by = null, idempotency_key = c.idempotency_key where x.account_id = r.account_id and x.run_id = r.id;
    update tikku.run x set parent_id = r.parent_id where x.id = r.id;
    return;
  end if;
  update tikku.run_content x set continued_by = v_put[2]::uuid where x.account_id = r.account_id and x.run_id = r.id;
  update tikku.waiter w set child_id = v_put[2]::uuid where w.run_id = r.parent_id and w.key = c.parent_key;
  update tikku.signal s set run_id = v_put[2]::uuid where s.run_id = r.id and s.key is null;
  if r.pause_requested then
    -- Whoever asked for it meant what goes on.
    perform tikku.run_paused(v_put[2]::uuid, 'requested', null);
    v_put[4] := null;
  end if;
  return next row(v_put[2]::uuid, v_put[4]::bigint, r.account_id, false)::tikku.kick;
end $$;
comment on function tikku.run_continue is 'The new run, to be handed to the queue.';

create function tikku.signals_buffered(p_run uuid) returns text language plpgsql stable as $$
begin
  return (
  select json_agg(json_build_object('name', s.name, 'count', s.count))::text
    from (select x.name, count(*) as count from tikku.signal x where x.run_id = p_run and x.key is null group by x.name order by x.name limit 100) s
  );
end $$;
comment on function tikku.signals_buffered is 'Names and numbers of the signals that nobody waits for, as JSON; null for none.';

-- The part of the journal that run_carry found, as an answer.
create function tikku.checkpointed_of(p_account uuid, d tikku.dispatched) returns tikku.checkpointed language plpgsql immutable as $$
declare
  a tikku.checkpointed;
begin
  a.verdict := 'ok';
  a.account_id := p_account;
  a.seqs := d.seqs;
  a.keys := d.keys;
  a.kinds := d.kinds;
  a.states := d.states;
  a."values" := d."values";
  a.errors := d.errors;
  a.child_ids := d.child_ids;
  a.seq := d.seq;
  a.more := d.more;
  return a;
end $$;
comment on function tikku.checkpointed_of is 'ok, with these entries.';

-- A checkpoint: records ops under the fence of its token, renews the lease, answers what the endpoint does not have.
create function tikku.run_checkpoint(
  p_id uuid, p_token text, p_have int, o_op text[], o_key text[], o_kind text[], o_value bytea[], o_error text[], o_ms bigint[], o_attempt int[], o_ai text[], o_detail text[],
  p_window_ms bigint
) returns tikku.checkpointed language plpgsql volatile as $$
declare
  a tikku.checkpointed;
  r record;
  v_run tikku.run;
  d tikku.dispatched;
  v_fence bigint;
  v_now timestamptz;
  v_before int;
  v_new int;
  v_wait bigint;
  v_kicks tikku.kick[];
  v_count int := coalesce(array_length(o_op, 1), 0);
begin
  if 'event' = any(o_op) then
    perform tikku.event_name_lock(array_agg(x.account_id), array_agg(o.detail::json ->> 'name'))
      from tikku.run x join tikku.run_content c on c.account_id = x.account_id and c.run_id = x.id cross join unnest(o_op, o_detail) as o(op, detail)
      -- A stranger makes no names.
      where x.id = p_id and o.op = 'event' and tikku.run_token(c.secret, x.fence) = p_token;
  end if;
  -- What nearly every checkpoint is: results of steps, from an endpoint that has read everything. Two statements, because each costs the same again as what it does:
  -- what would make it another case is asked where the row is locked, by writing it.
  if o_op <@ array['result', 'error'] then
    update tikku.run x set next_seq = x.next_seq + v_count, planned = x.planned + v_count, idle = case when v_count > 0 then 0 else x.idle end, renewed_at = tikku.clock_fresh(),
        bytes = x.bytes + (select coalesce(sum(coalesce(octet_length(o.value), octet_length(o.error), 0)), 0) from unnest(o_value, o_error) as o(value, error))
      where x.id = p_id and x.state = 'running' and x.next_seq = p_have + 1 and x.planned < x.next_seq and x.planned + v_count <= 100000 and x.bytes < 939524096
        and tikku.run_token((select c.secret from tikku.run_content c where c.account_id = x.account_id and c.run_id = x.id), x.fence) = p_token
      returning x.account_id, x.fence, x.next_seq, x.renewed_at, x.pause_requested, x.lease_ms, tikku.signals_buffered(x.id) as signals into r;
    if found then
      insert into tikku.entry (run_id, seq, key, kind, state, value, error, attempt, fence, at, duration_ms, ai)
        select p_id, p_have + o.n, o.key, o.kind, case when o.op = 'result' then 'ok' else 'error' end, o.value, o.error::json, o.attempt, r.fence, r.renewed_at, o.ms, o.ai::json
          from unnest(o_op, o_key, o_kind, o_value, o_error, o_ms, o_attempt, o_ai) with ordinality as o(op, key, kind, value, error, ms, attempt, ai, n)
        on conflict (run_id, key) do nothing;
      get diagnostics v_new = row_count;
      if v_new = v_count then
        return row('echo', r.account_id, null, null, null, null, null, null, null, null, r.next_seq - 1, false, r.pause_requested, r.lease_ms, r.signals, null, null, null)::tikku.checkpointed;
      end if;
      -- Some were recorded before: the careful way counts each.
      delete from tikku.entry e where e.run_id = p_id and e.seq > p_have;
      update tikku.run x set next_seq = p_have + 1, planned = x.planned - v_count,
          bytes = x.bytes - (select coalesce(sum(coalesce(octet_length(o.value), octet_length(o.error), 0)), 0) from unnest(o_value, o_error) as o(value, error))
        where x.id = p_id;
    end if;
  end if;
  select x.*, c.secret into r from tikku.run x join tikku.run_content c on c.account_id = x.account_id and c.run_id = x.id where x.id = p_id for update of x;
  v_now := tikku.clock_fresh();
  if r.id is null then
    a.verdict := 'missing';
    return a;
  end if;
  a.account_id := r.account_id;
  v_fence := case when p_token ~ '^[0-9]{1,18}\.' then split_part(p_token, '.', 1)::bigint end;
  if v_fence is null or tikku.run_token(r.secret, v_fence) <> p_token then
    a.verdict := 'unauthorized';
    return a;
  end if;
  if r.fence <> v_fence or r.finished_at is not null then
    if v_count > 0 then
      insert into tikku.step_attempt (run_id, key, number, fence, at, duration_ms, error, orphan)
        select p_id, o.key, coalesce(o.attempt, 1), v_fence, v_now, o.ms, o.error::json, true from unnest(o_op, o_key, o_error, o_ms, o_attempt) as o(op, key, error, ms, attempt)
          where o.op in ('result', 'error')
            and not exists (select 1 from tikku.step_attempt s where s.run_id = p_id and s.key = o.key and s.fence = v_fence and s.orphan) limit 20;
    end if;
    a.verdict := 'stale';
    return a;
  end if;
  if r.planned + v_count > 100000 or r.bytes + coalesce((select sum(octet_length(v)) from unnest(o_value) v), 0) > 1073741824 then
    a.verdict := 'too_large';
    return a;
  end if;
  v_before := r.next_seq;
  if r.state = 'running' and r.planned >= r.next_seq then
    -- What fell due meanwhile: a race against a sleep is decided now, not with the next dispatch.
    perform tikku.run_timers(p_id, v_now);
  end if;
  if v_count > 0 then
    v_kicks := array(select row(k.id, k.wait_ms, k.account_id, k.message)::tikku.kick
      from tikku.run_ops(array[p_id], v_now, array_fill(1, array[v_count]), o_op, o_key, o_kind, o_value, o_error, o_ms, o_attempt, o_ai, o_detail, p_window_ms) k
      where k.wait_ms is not null);
  end if;
  if r.state = 'running' then
    update tikku.run x set renewed_at = v_now where x.id = p_id;
  else
    select * into v_run from tikku.run x where x.id = p_id;
    v_wait := tikku.run_late(v_run, v_now, p_window_ms);
    if v_wait is not null then
      v_kicks := v_kicks || row(p_id, v_wait, a.account_id, false)::tikku.kick;
    end if;
  end if;
  select x.next_seq into r.next_seq from tikku.run x where x.id = p_id;
  d.planned := 0;
  d := tikku.run_carry(d, p_id, r.next_seq - 1, greatest(p_have, 0), 1048576, v_now);
  a := tikku.checkpointed_of(r.account_id, d);
  if d.seqs is not null then
    -- Whoever sent it has it.
    a.echo := array(select e.seq >= v_before and e.state = 'ok' and e.key = any(o_key) and e.kind in ('run', 'ai') from unnest(d.seqs, d.keys, d.kinds, d.states) as e(seq, key, kind, state) order by e.seq);
    a."values" := array(select case when not e.echo then e.value end from unnest(d.seqs, d."values", a.echo) as e(seq, value, echo) order by e.seq);
  end if;
  a.pause_requested := r.pause_requested;
  a.lease_ms := r.lease_ms;
  a.signals := tikku.signals_buffered(p_id);
  if v_kicks is not null then
    a.kick_ids := array(select k.id from unnest(v_kicks) k);
    a.kick_waits := array(select k.wait_ms from unnest(v_kicks) k);
    a.kick_messages := array(select k.message from unnest(v_kicks) k);
  end if;
  return a;
end $$;
comment on function tikku.run_checkpoint is 'ok with new entries; echo when these are the ops themselves, up to seq; stale, unauthorized, missing or too_large: nothing was recorded.';

create function tikku.run_journal(p_id uuid, p_token text, p_after int, p_bytes_max int) returns tikku.checkpointed language plpgsql stable as $$
declare
  a tikku.checkpointed;
  d tikku.dispatched;
  r tikku.run;
  v_next int;
  v_secret bytea;
  v_fence bigint := case when p_token ~ '^[0-9]{1,18}\.' then split_part(p_token, '.', 1)::bigint end;
begin
  select * into r from tikku.run x where x.id = p_id;
  if not found then
    a.verdict := 'missing';
    return a;
  end if;
  select x.secret into v_secret from tikku.run_content x where x.account_id = r.account_id and x.run_id = p_id;
  if v_fence is null or tikku.run_token(v_secret, v_fence) <> p_token then
    a.verdict := 'unauthorized';
    return a;
  elsif r.fence <> v_fence or r.finished_at is not null then
    a.verdict := 'stale';
    return a;
  end if;
  d.planned := 0;
  d := tikku.run_carry(d, p_id, r.next_seq - 1, p_after, p_bytes_max, tikku.clock_now());
  if d.seqs is null and d.more then
    -- One entry that is larger than a page.
    select min(e.seq) into v_next from tikku.entry e where e.run_id = p_id and e.seq > p_after;
    d := tikku.run_carry(d, p_id, v_next, p_after, 2147483647, tikku.clock_now());
    d.more := exists (select 1 from tikku.entry e where e.run_id = p_id and e.seq > d.seq);
  end if;
  return tikku.checkpointed_of(r.account_id, d);
end $$;
comment on function tikku.run_journal is 'ok with entries after a seq; or stale, unauthorized, missing.';

create function tikku.run_reap(p_rows int, p_lost_max int) returns table (id uuid, lost boolean, wait_ms bigint, account_id uuid)
language plpgsql volatile rows 50 as $$
declare
  r tikku.run;
  v_now timestamptz := tikku.clock_now();
begin
  for r in select x.* from tikku.run x where x.lease_until < v_now and x.state = 'running' order by x.lease_until limit p_rows for update skip locked loop
    id := r.id;
    account_id := r.account_id;
    wait_ms := tikku.run_lost(r.id, p_lost_max);
    select x.state <> 'running' into lost from tikku.run x where x.id = r.id;
    return next;
    continue when not lost;
    -- Its gate is not locked here, and gates come before runs: tick looks at it.
    if r.gate is not null then
      update tikku.gate g set next_at = v_now where (g.account_id, g.key) in
        (select y.account_id, y.key from tikku.gate y where y.account_id = r.account_id and y.key = r.gate and y.waiting for update skip locked);
    end if;
  end loop;
end $$;
comment on function tikku.run_reap is 'The runs that were looked at, and whether their dispatch was given up or had been renewed; what has a wait is to be handed to the queue.';

-- Hands over rows that the queue does not hold, each account a share of the round.
create function tikku.run_claim(p_rows bigint, p_window_ms bigint) returns table (id uuid, wait_ms bigint, account_id uuid) language plpgsql volatile rows 100 as $$
declare
  v_now timestamptz := tikku.clock_now();
  v_accounts uuid[];
begin
  v_accounts := array(select a.id from tikku.account a
    where exists (select 1 from tikku.run r where r.account_id = a.id and r.kick_until <= v_now) order by gen_random_uuid() limit p_rows);
  if v_accounts = '{}' then
    return;
  end if;
  return query
    with due as materialized (
      select d.id from unnest(v_accounts) as a(id) cross join lateral (
        select r.id from tikku.run r where r.account_id = a.id and r.kick_until <= v_now
          order by r.kick_until limit greatest(1, p_rows / array_length(v_accounts, 1)) for update skip locked) d
    )
    update tikku.run r set kicks = least(r.kicks + 1, 100),
        kick_until = case when r.due_at > v_now + tikku.ms(p_window_ms) then least(r.due_at - tikku.ms(p_window_ms), v_now + interval '1 day')
          else greatest(r.due_at, v_now) + least(interval '15 minutes', interval '60 seconds' * power(2, least(r.kicks, 8))) end
      from due where r.id = due.id
      returning r.id, case when r.due_at <= v_now + tikku.ms(p_window_ms) then tikku.ms_between(v_now, r.due_at) end, r.account_id;
end $$;
comment on function tikku.run_claim is 'What is to be handed to the queue after its wait; a row without a wait was looked at and is not due soon.';

-- Looks after gates for which runs were left waiting: whoever should have handed them on may have died. Removes gates of no use.
create function tikku.gate_sweep(p_rows int) returns table (id uuid, wait_ms bigint, account_id uuid) language plpgsql volatile rows 50 as $$
declare
  g tikku.gate;
  v_now timestamptz := tikku.clock_now();
begin
  for g in select x.* from tikku.gate x where x.next_at <= v_now order by x.next_at limit p_rows for update skip locked loop
    return query select null::uuid, null::bigint, g.account_id;
    if g.waiting then
      return query select * from tikku.gate_next(g.account_id, g.key, v_now);
      update tikku.gate x set next_at = v_now + interval '60 seconds' where x.account_id = g.account_id and x.key = g.key and x.next_at <= v_now;
    elsif exists (select 1 from tikku.run r where r.account_id = g.account_id and r.gate = g.key and r.lease_until is not null)
      or exists (select 1 from tikku.run r where r.account_id = g.account_id and r.gate = g.key and r.kick_until = 'infinity')
      or g.window_at + tikku.ms(g.period_ms) * (g.used / g.rate + 1) > v_now
    then
      update tikku.gate x set waiting = true, next_at = v_now + interval '60 seconds' where x.account_id = g.account_id and x.key = g.key;
    else
      delete from tikku.gate x where x.account_id = g.account_id and x.key = g.key;
    end if;
  end loop;
end $$;
comment on function tikku.gate_sweep is 'A row without an id for each gate that it looked at; and what is to be handed to the queue.';

do $settings$
declare
  v_function text;
begin
  for v_function in
    select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where n.nspname = 'tikku' and p.prolang = (select l.oid from pg_language l where l.lanname = 'plpgsql')
        and p.proname in ('run_lease', 'run_settle', 'run_checkpoint', 'run_journal', 'run_reap', 'run_claim', 'gate_sweep')
  loop
    execute format('alter function %s set lock_timeout = %L', v_function, '5s');
    execute format('alter function %s set enable_seqscan = off', v_function);
    execute format('alter function %s set enable_bitmapscan = off', v_function);
    execute format('alter function %s set enable_hashjoin = off', v_function);
    execute format('alter function %s set enable_mergejoin = off', v_function);
    execute format('alter function %s set enable_memoize = off', v_function);
    execute format('alter function %s set plan_cache_mode = force_generic_plan', v_function);
    -- Joins are written in the order that is right whatever the planner knows of the tables: from the ids outwards.
    execute format('alter function %s set join_collapse_limit = 1', v_function);
  end loop;
end $settings$;

do $revoke$
declare
  v_function text;
begin
  for v_function in
    select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where n.nspname = 'tikku' and (p.proname ~ '^(run|gate|awaits|policy|event_name|signals?|dispatched|checkpointed|child)_')
  loop
    execute format('revoke execute on function %s from public', v_function);
  end loop;
end $revoke$;
