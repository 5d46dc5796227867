-- What people, signals and approvals do to runs, and what becomes of old ones. Lock order: gates, then runs by id descending (0014, 0015). Each verb
-- answers one row with its verdict (done, missing, conflict and the state) and one row (verdict kick) for each run to be handed to the queue.

create index signal_intake_run on tikku.signal_intake (run_id, id);
create index child_sweep_at on tikku.child_sweep (at);
create index approval_list on tikku.approval (account_id, run_id desc, key);
create index approval_open_list on tikku.approval (account_id, run_id desc, key) where state = 'open';

create type tikku.ruled as (verdict text, state text, id uuid, wait_ms bigint, account_id uuid);
comment on type tikku.ruled is 'A verdict, or a run that is to be handed to the queue.';

-- Gives a signal to the step that has waited longest, or keeps it. The run is locked and not over.
create function tikku.signal_put(r tikku.run, p_name text, p_value bytea, p_idempotency_key text, p_by uuid) returns bigint language plpgsql volatile as $$
declare
  v_key text;
begin
  -- Of steps that were planned at once, the one with the lower occurrence.
  select w.key into v_key from tikku.waiter w where w.run_id = r.id and w.kind = 'signal' and w.name = p_name order by w.since, length(w.key), w.key limit 1;
  insert into tikku.signal (account_id, run_id, name, value, idempotency_key, at, sent_by, key)
    values (r.account_id, r.id, p_name, p_value, p_idempotency_key, tikku.clock_fresh(), p_by, v_key);
  if v_key is null then
    return null;
  end if;
  return tikku.run_fact(r.id, v_key, 'signal', 'ok', p_value, null, null);
end $$;
comment on function tikku.signal_put is '0 when the run is to be handed to the queue, else null.';

create function tikku.run_latest(p_account uuid, p_id uuid) returns uuid language plpgsql stable as $$
declare
  v_id uuid := p_id;
  v_next uuid;
begin
  loop
    select c.continued_by into v_next from tikku.run_content c where c.account_id = p_account and c.run_id = v_id;
    exit when v_next is null;
    v_id := v_next;
  end loop;
  return v_id;
end $$;
comment on function tikku.run_latest is 'The run that goes on for this one, and for that one, and so on: whom a signal or a verb that is sent to any of them means.';

create function tikku.run_signal(p_account uuid, p_id uuid, p_name text, p_value bytea, p_idempotency_key text, p_by uuid, p_most bigint)
returns setof tikku.ruled language plpgsql volatile rows 2 as $$
declare
  r tikku.run;
  v_before tikku.signal;
  v_wait bigint;
begin
  p_id := tikku.run_latest(p_account, p_id);
  select * into r from tikku.run x where x.id = p_id and x.account_id = p_account for update;
  if not found or not exists (select 1 from tikku.run_content c where c.account_id = p_account and c.run_id = p_id) then
    return next row('missing', null, null, null, null)::tikku.ruled;
    return;
  end if;
  select * into v_before from tikku.signal s where s.run_id = p_id and s.idempotency_key = p_idempotency_key;
  if found then
    return next row(case when v_before.name = p_name and v_before.value = p_value then 'done' else 'mismatch' end, r.state, null, null, null)::tikku.ruled;
    return;
  elsif r.finished_at is not null then
    return next row('conflict', r.state, null, null, null)::tikku.ruled;
    return;
  elsif (select count(*) from (select 1 from tikku.signal s where s.run_id = p_id and s.key is null limit p_most) x) >= p_most then
    return next row('full', r.state, null, null, null)::tikku.ruled;
    return;
  end if;
  v_wait := tikku.signal_put(r, p_name, p_value, p_idempotency_key, p_by);
  return next row('done', r.state, null, null, null)::tikku.ruled;
  if v_wait is not null then
    return next row('kick', null, p_id, v_wait, p_account)::tikku.ruled;
  end if;
end $$;
comment on function tikku.run_signal is 'done, also when the idempotency key was used before for the same signal; mismatch: for another; missing; conflict: the run is over; full: so many are unread.';

-- What SQL sent to one run, which is locked and not over, in the order of its ids.
create function tikku.signal_intake_take(r tikku.run, p_rows int, out taken int, out wait_ms bigint) language plpgsql volatile as $$
declare
  i record;
begin
  taken := 0;
  for i in select * from tikku.signal_intake s where s.run_id = r.id and s.account_id = r.account_id order by s.id limit p_rows loop
    wait_ms := coalesce(tikku.signal_put(r, i.name, i.value, null, null), wait_ms);
    delete from tikku.signal_intake s where s.id = i.id;
    taken := taken + 1;
  end loop;
end $$;
comment on function tikku.signal_intake_take is 'How many it took, and 0 if the run is to be handed to the queue.';

-- Hands on what SQL sent. The order within a run is that of the ids: whoever holds the run takes all that is there. A run that another holds is
-- passed by. What was sent to a run that is over is dropped, unless that goes on as another.
create function tikku.signal_intake_apply(p_rows int) returns table (taken int, id uuid, wait_ms bigint, account_id uuid) language plpgsql volatile rows 50 as $$
declare
  v_ids uuid[];
  r tikku.run;
  v_last bigint[];
begin
  v_ids := array(select distinct s.run_id from (select x.run_id from tikku.signal_intake x order by x.id limit p_rows) s);
  -- A run that goes on as another: there.
  update tikku.signal_intake s set run_id = c.continued_by from tikku.run_content c
    where s.run_id = any(v_ids) and c.account_id = s.account_id and c.run_id = s.run_id and c.continued_by is not null;
  get diagnostics taken = row_count;
  if taken > 0 then
    return next;
    return;
  end if;
  delete from tikku.signal_intake s where s.run_id = any(v_ids) and not exists (
    select 1 from tikku.run x where x.id = s.run_id and x.account_id = s.account_id and x.finished_at is null);
  get diagnostics taken = row_count;
  if taken > 0 then
    return next;
  end if;
  for r in select * from tikku.run x where x.id = any(v_ids) and x.finished_at is null order by x.id desc for update skip locked loop
    taken := 0;
    account_id := r.account_id;
    id := null;
    wait_ms := null;
    select t.taken, t.wait_ms into taken, wait_ms from tikku.signal_intake_take(r, p_rows) t;
    if wait_ms is not null then
      id := r.id;
    end if;
    if taken > 0 then
      return next;
    end if;
  end loop;
end $$;
comment on function tikku.signal_intake_apply is 'How many it took, and what is to be handed to the queue.';

create function tikku.run_cancel(p_account uuid, p_id uuid) returns setof tikku.ruled language plpgsql volatile rows 3 as $$
declare
  r tikku.run;
begin
  p_id := tikku.run_latest(p_account, p_id);
  if not exists (select 1 from tikku.run_content c where c.account_id = p_account and c.run_id = p_id) then
    return next row('missing', null, null, null, null)::tikku.ruled;
    return;
  end if;
  perform tikku.run_lock(array[p_id]);
  select * into r from tikku.run x where x.id = p_id and x.account_id = p_account;
  if r.finished_at is not null then
    return next row(case when r.state = 'cancelled' then 'done' else 'conflict' end, r.state, null, null, null)::tikku.ruled;
    return;
  end if;
  return next row('done', 'cancelled', null, null, null)::tikku.ruled;
  return query select 'kick', null, e.id, e.wait_ms, e.account_id from tikku.run_end(p_id, 'cancelled', null, null, tikku.clock_fresh()) e where e.wait_ms is not null;
end $$;
comment on function tikku.run_cancel is 'Ends what is not over. Whatever its endpoint does afterwards is refused; its children are cancelled by child_sweep.';

-- A run that is being dispatched stops when the dispatch ends. The fence stays: what was done before still counts.
create function tikku.run_pause(p_account uuid, p_id uuid) returns setof tikku.ruled language plpgsql volatile rows 1 as $$
declare
  r tikku.run;
begin
  p_id := tikku.run_latest(p_account, p_id);
  select * into r from tikku.run x where x.id = p_id and x.account_id = p_account for update;
  if not found then
    return next row('missing', null, null, null, null)::tikku.ruled;
    return;
  elsif r.finished_at is not null then
    return next row('conflict', r.state, null, null, null)::tikku.ruled;
    return;
  elsif r.state = 'running' then
    update tikku.run x set pause_requested = true where x.id = p_id;
  elsif r.state <> 'paused' then
    perform tikku.run_paused(p_id, 'requested', null);
  end if;
  return next row('done', 'paused', null, null, null)::tikku.ruled;
end $$;
comment on function tikku.run_pause is 'Pauses what is not over; twice is once. A reason that is there already stays.';

-- The run is locked and paused: decides anew what it waits for. A start that was delayed keeps its time.
create function tikku.run_resume_locked(r tikku.run, p_accept boolean, p_window_ms bigint) returns bigint language plpgsql volatile as $$
declare
  v_now timestamptz := tikku.clock_fresh();
begin
  update tikku.run_content c set pause_reason = null, pause_detail = null, accept_seq = case when p_accept then r.next_seq - 1 else c.accept_seq end
    where c.account_id = r.account_id and c.run_id = r.id;
  update tikku.run x set fence = x.fence + 1, idle = 0, lost = 0, failures = 0, pause_requested = false, debounce = null where x.id = r.id;
  if r.started_at is null and r.due_at > v_now then
    update tikku.run x set state = 'queued', kicks = 0, kick_until = tikku.kick_until(r.due_at, v_now, p_window_ms) where x.id = r.id;
    return case when r.due_at <= v_now + tikku.ms(p_window_ms) then tikku.ms_between(v_now, r.due_at) end;
  end if;
  return tikku.run_park(r.id, r.awaits, v_now, p_window_ms);
end $$;
comment on function tikku.run_resume_locked is 'The wait if the run is to be handed to the queue, else null.';

create function tikku.run_resume(p_account uuid, p_id uuid, p_accept boolean, p_window_ms bigint) returns setof tikku.ruled language plpgsql volatile rows 2 as $$
declare
  r tikku.run;
  v_wait bigint;
begin
  select * into r from tikku.run x where x.id = p_id and x.account_id = p_account for update;
  if not found then
    return next row('missing', null, null, null, null)::tikku.ruled;
    return;
  elsif r.state = 'running' and r.pause_requested then
    update tikku.run x set pause_requested = false where x.id = p_id;
  elsif r.state <> 'paused' then
    return next row('conflict', r.state, null, null, null)::tikku.ruled;
    return;
  else
    v_wait := tikku.run_resume_locked(r, p_accept, p_window_ms);
  end if;
  return next row('done', (select x.state from tikku.run x where x.id = p_id), null, null, null)::tikku.ruled;
  if v_wait is not null then
    return next row('kick', null, p_id, v_wait, p_account)::tikku.ruled;
  end if;
end $$;
comment on function tikku.run_resume is 'Ends a pause, also one that was only asked for. With accept, new code may leave alone what is recorded so far.';

-- Runs that were paused because nobody served their version, and somebody does now.
create function tikku.run_resume_served(p_account uuid, p_rows int, p_window_ms bigint) returns table (id uuid, wait_ms bigint, account_id uuid)
language plpgsql volatile rows 50 as $$
declare
  r tikku.run;
  v_ids uuid[];
begin
  v_ids := array(
    select x.id from tikku.run x join tikku.run_content c on c.account_id = x.account_id and c.run_id = x.id
      join tikku.workflow w on w.account_id = c.account_id and w.name = c.workflow and w.version = c.version and w.served
      -- What its own endpoint said so of is not asked again before that has said anew what it serves: a deployment that brings the old code back heals all
      -- that the bad one stopped.
      where x.account_id = p_account and x.state = 'paused' and c.pause_reason in ('unserved', 'nonDeterminism') and (x.renewed_at is null or w.described_at > x.renewed_at)
      order by x.id limit p_rows);
  for r in select * from tikku.run x where x.id = any(v_ids) and x.state = 'paused' order by x.id desc for update loop
    continue when not exists (select 1 from tikku.run_content c where c.account_id = r.account_id and c.run_id = r.id and c.pause_reason in ('unserved', 'nonDeterminism'));
    id := r.id;
    account_id := r.account_id;
    wait_ms := tikku.run_resume_locked(r, false, p_window_ms);
    return next;
  end loop;
end $$;
comment on function tikku.run_resume_served is 'What it resumed; what has a wait is to be handed to the queue.';

-- Many facts of one kind and value for a locked run that is not over, in the order of the keys; each is one that it waits for. One by one (run_fact) they would
-- make a version of its row each, all of which the next one reads.
create function tikku.run_facts(p_run uuid, p_keys text[], p_kind text, p_value bytea, p_now timestamptz) returns bigint
language plpgsql volatile as $$
declare
  r tikku.run;
  v_count int;
begin
  select * into r from tikku.run x where x.id = p_run;
  with gone as (
    delete from tikku.waiter w using unnest(p_keys) with ordinality as k(key, n) where w.run_id = p_run and w.key = k.key returning w.key, k.n
  )
  insert into tikku.entry (run_id, seq, key, kind, state, value, fence, at)
    select p_run, r.next_seq - 1 + row_number() over (order by g.n), g.key, p_kind, 'ok', p_value, r.fence, p_now from gone g;
  get diagnostics v_count = row_count;
  r.awaits_left := case when r.awaits_left is not null then tikku.awaits_count(p_run, r.awaits) end;
  return tikku.run_told(r, v_count, v_count * octet_length(p_value), p_now);
end $$;
comment on function tikku.run_facts is 'As run_told.';

create function tikku.run_wake(p_account uuid, p_id uuid, p_window_ms bigint) returns setof tikku.ruled language plpgsql volatile rows 2 as $$
declare
  r tikku.run;
  v_now timestamptz;
  v_keys text[];
  v_wait bigint;
begin
  select * into r from tikku.run x where x.id = p_id and x.account_id = p_account for update;
  if not found then
    return next row('missing', null, null, null, null)::tikku.ruled;
    return;
  end if;
  v_now := tikku.clock_fresh();
  v_keys := array(select w.key from tikku.waiter w where w.run_id = p_id and w.kind = 'sleep' order by w.due_at, w.key);
  if r.state in ('sleeping', 'waiting', 'retrying') then
    update tikku.waiter w set due_at = v_now where w.run_id = p_id and w.kind in ('run', 'ai') and w.due_at > v_now;
    if found or v_keys <> '{}' or r.state = 'retrying' then
      update tikku.run x set fence = x.fence + 1 where x.id = p_id;
      perform tikku.run_facts(p_id, v_keys, 'sleep', '"woken"', v_now);
      v_wait := tikku.run_park(p_id, (select x.awaits from tikku.run x where x.id = p_id), v_now, p_window_ms);
    else
      r.state := null;
    end if;
  elsif r.state = 'queued' and r.started_at is null and not r.booked and r.due_at > v_now then
    update tikku.run x set due_at = v_now, kick_until = v_now + interval '60 seconds' where x.id = p_id;
    v_wait := 0;
  else
    r.state := null;
  end if;
  return next row(case when r.state is null then 'conflict' else 'done' end, (select x.state from tikku.run x where x.id = p_id), null, null, null)::tikku.ruled;
  if v_wait is not null then
    return next row('kick', null, p_id, v_wait, p_account)::tikku.ruled;
  end if;
end $$;
comment on function tikku.run_wake is 'Ends all sleeps of a run, tries again now what is to be tried again, begins a delayed start now; conflict when there is nothing of that.';

-- Which failed entries ended a run: that whose error the run failed with, else the last one; and the failed ones after it, which were under way
-- beside it. Failures before it had been dealt with by the code, and stay.
create function tikku.run_faults(p_run uuid, p_error json) returns int[] language plpgsql stable as $$
declare
  v_last tikku.entry;
  v_first int;
begin
  begin
    with recursive chain(e, depth) as (
      select p_error, 0 union all select c.e -> 'cause', c.depth + 1 from chain c where json_typeof(c.e -> 'cause') = 'object' and c.depth < 32
    )
    select * into v_last from tikku.entry x where x.run_id = p_run and x.state = 'error' and exists (
        select 1 from chain c where c.e ->> 'message' = x.error ->> 'message' and c.e ->> 'name' is not distinct from x.error ->> 'name')
      order by x.seq desc limit 1;
    select min(x.seq) into v_first from tikku.entry x where x.run_id = p_run and x.state = 'error' and x.fence = v_last.fence
      and x.error ->> 'message' = v_last.error ->> 'message' and x.error ->> 'name' is not distinct from v_last.error ->> 'name';
  exception when data_exception then
    -- Text that PostgreSQL cannot hold, such as U+0000: nothing is compared.
    v_first := null;
  end;
  v_first := coalesce(v_first, (select max(x.seq) from tikku.entry x where x.run_id = p_run and x.state = 'error'));
  return array(select x.seq from tikku.entry x where x.run_id = p_run and x.state = 'error' and x.seq >= v_first);
end $$;
comment on function tikku.run_faults is 'The seqs of the entries that a retry drops.';

-- Makes a failed or cancelled run go on: it is locked, and so are those of its children in p_locked. What it had waited for of them it waits for again.
-- Answers the children that are to go on too.
create function tikku.run_revive(p_run uuid, p_locked uuid[], p_now timestamptz) returns uuid[] language plpgsql volatile as $$
declare
  r tikku.run;
  v_error json;
  v_ids uuid[] := '{}';
  i record;
begin
  select * into r from tikku.run x where x.id = p_run;
  select c.error into v_error from tikku.run_content c where c.account_id = r.account_id and c.run_id = p_run;
  if r.state = 'failed' then
    delete from tikku.entry e where e.run_id = p_run and e.seq = any(tikku.run_faults(p_run, v_error));
  end if;
  delete from tikku.approval a where a.run_id = p_run and not exists (select 1 from tikku.entry e where e.run_id = p_run and e.key = a.key);
  delete from tikku.child_sweep s where s.parent_id = p_run;
  update tikku.run_content c set attempt = c.attempt + 1, error = null, output = null, last_error = null where c.account_id = r.account_id and c.run_id = p_run;
  update tikku.run x set state = 'queued', finished_at = null, due_at = p_now, kick_until = p_now + interval '60 seconds', fence = x.fence + 1, kicks = 0,
      failures = 0, lost = 0, idle = 0, awaits = null, awaits_left = null
    where x.id = p_run;
  for i in
    select c.run_id as id, c.parent_key as key, x.state, c.output from tikku.run_content c join tikku.run x on x.id = c.run_id
      where c.source_id = p_run and c.parent_key is not null and c.continued_by is null
        and not exists (select 1 from tikku.entry e where e.run_id = p_run and e.key = c.parent_key)
  loop
    if i.state in ('failed', 'cancelled') and not i.id = any(p_locked) then
      -- It ended just now: the step starts another.
      update tikku.run_content c set parent_key = null where c.account_id = r.account_id and c.run_id = i.id;
      continue;
    end if;
    insert into tikku.waiter (run_id, key, kind, account_id, since, child_id) values (p_run, i.key, 'child', r.account_id, p_now, i.id);
    if i.state = 'completed' then
      perform tikku.run_fact(p_run, i.key, 'child', 'ok', i.output, null, i.id);
    elsif i.state in ('failed', 'cancelled') then
      v_ids := v_ids || i.id;
    end if;
  end loop;
  update tikku.run x set planned = x.next_seq - 1 + (select count(*) from tikku.waiter w where w.run_id = p_run) where x.id = p_run;
  return v_ids;
end $$;
comment on function tikku.run_revive is 'Children that had failed or were cancelled, and for which it waits again.';

create function tikku.run_retry(p_account uuid, p_id uuid) returns setof tikku.ruled language plpgsql volatile rows 2 as $$
declare
  v_all uuid[];
  v_todo uuid[] := array[p_id];
  v_done uuid[] := '{}';
  v_state text;
  v_now timestamptz;
begin
  with recursive tree(id) as (
    select c.run_id from tikku.run_content c where c.account_id = p_account and c.run_id = p_id
    union
    select c.run_id from tree t join tikku.run_content c on c.source_id = t.id and c.parent_key is not null and c.continued_by is null
      join tikku.run x on x.id = c.run_id and x.state in ('failed', 'cancelled')
  )
  select array_agg(t.id) into v_all from (select id from tree limit 1000) t;
  v_all := array(select x.id from tikku.run x where x.id = any(v_all) order by x.id desc for update);
  select x.state into v_state from tikku.run x where x.id = p_id and p_id = any(v_all);
  if v_state is null then
    return next row('missing', null, null, null, null)::tikku.ruled;
    return;
  elsif v_state not in ('failed', 'cancelled') then
    return next row('conflict', v_state, null, null, null)::tikku.ruled;
    return;
  end if;
  v_now := tikku.clock_fresh();
  begin
    while v_todo <> '{}' loop
      v_done := v_done || v_todo[1];
      v_todo := v_todo[2:] || tikku.run_revive(v_todo[1], v_all, v_now);
    end loop;
  exception when unique_violation then
    -- Another run has the place of its singleton.
    return next row('conflict', 'singleton', null, null, null)::tikku.ruled;
    return;
  end;
  return next row('done', 'queued', null, null, null)::tikku.ruled;
  return query select 'kick', null, d.id, 0::bigint, p_account from unnest(v_done) as d(id);
end $$;
comment on function tikku.run_retry is 'A failed or cancelled run goes on from the step that failed, its failed and cancelled children with it. Conflict singleton: another run has its place.';

-- A new run with the finished steps before one, some with another result.
create function tikku.run_fork(p_account uuid, p_id uuid, p_from text, p_input bytea, p_keys text[], p_values bytea[], p_by uuid, p_bytes_max bigint, p_window_ms bigint)
returns text[] language plpgsql volatile as $$
declare
  r tikku.run;
  s tikku.run_content;
  c tikku.run_content;
  v_cut int;
  v_key text;
  v_put text[];
  v_id uuid;
begin
  select * into r from tikku.run x where x.id = p_id and x.account_id = p_account for update;
  select * into s from tikku.run_content x where x.account_id = p_account and x.run_id = p_id;
  if r.id is null or s.run_id is null then
    return array['missing'];
  end if;
  select e.seq into v_cut from tikku.entry e where e.run_id = p_id and e.key = p_from;
  -- A run that is not over may come to a step yet. One that is over never will: that is a slip, unless a result is edited, which may be the last one's.
  if v_cut is null and r.finished_at is not null and coalesce(array_length(p_keys, 1), 0) = 0 then
    return array['no_step'];
  end if;
  v_cut := coalesce(v_cut, r.next_seq);
  select k into v_key from unnest(p_keys) k where not exists (select 1 from tikku.entry e where e.run_id = p_id and e.key = k and e.seq < v_cut) limit 1;
  if v_key is not null then
    return array['unfinished', v_key];
  elsif (select coalesce(sum(octet_length(e.value)), 0) from tikku.entry e where e.run_id = p_id and e.seq < v_cut) > p_bytes_max then
    return array['too_large'];
  end if;
  c.account_id := p_account;
  c.workflow := s.workflow;
  c.version := s.version;
  c.input := coalesce(p_input, s.input);
  c.labels := s.labels;
  c.started_by := p_by;
  c.started_how := 'fork';
  c.source_id := p_id;
  c.forked_from := p_id;
  c.fork_key := p_from;
  c.accept_seq := (select count(*) from tikku.entry e where e.run_id = p_id and e.seq < v_cut and e.seq <= s.accept_seq);
  v_put := tikku.run_put(c, null, null, null, p_window_ms);
  if v_put[1] <> 'accepted' then
    return v_put;
  end if;
  v_id := v_put[2];
  -- Fence 0: no dispatch of its own made them.
  insert into tikku.entry (run_id, seq, key, kind, state, value, error, child_id, attempt, fence, at, duration_ms, ai)
    select v_id, row_number() over (order by e.seq), e.key, e.kind, case when i.n is null then e.state else 'ok' end,
        case when i.n is null then e.value else p_values[i.n] end, case when i.n is null then e.error end, e.child_id, e.attempt, 0, e.at, e.duration_ms, e.ai
      from tikku.entry e left join unnest(p_keys) with ordinality as i(key, n) on i.key = e.key
      where e.run_id = p_id and e.seq < v_cut;
  update tikku.run x set next_seq = x.next_seq + n.count, planned = n.count, bytes = x.bytes + n.bytes
    from (select count(*)::int as count, coalesce(sum(octet_length(e.value)), 0) as bytes from tikku.entry e where e.run_id = v_id) n where x.id = v_id;
  return v_put || p_account::text;
end $$;
comment on function tikku.run_fork is 'The answer of run_put and the account; or [missing], [no_step], [unfinished, key of a result that is not copied], [too_large].';

-- What loads before an approval is decided is read without a lock; here it must still be open.
create function tikku.approval_answer(p_account uuid, p_run uuid, p_key text, p_approve boolean, p_data bytea, p_by uuid, p_by_name text)
returns setof tikku.ruled language plpgsql volatile rows 2 as $$
declare
  r tikku.run;
  a tikku.approval;
  v_now timestamptz;
  v_name text;
  v_wait bigint;
begin
  select * into r from tikku.run x where x.id = p_run and x.account_id = p_account for update;
  select * into a from tikku.approval x where x.run_id = p_run and x.key = p_key and x.account_id = p_account;
  if r.id is null or a.run_id is null then
    return next row('missing', null, null, null, null)::tikku.ruled;
    return;
  end if;
  v_now := tikku.clock_fresh();
  if a.state <> 'open' or a.expires_at <= v_now then
    return next row('conflict', case when a.state = 'open' then 'expired' else a.state end, null, null, null)::tikku.ruled;
    return;
  end if;
  v_name := coalesce(p_by_name, (select k.name from tikku.api_key k where k.id = p_by));
  update tikku.approval x set state = case when p_approve then 'approved' else 'rejected' end, decided_at = v_now, decided_by = p_by, decided_name = v_name,
      data = p_data
    where x.run_id = p_run and x.key = p_key;
  v_wait := tikku.run_fact(p_run, p_key, 'approval', 'ok', convert_to(format('{"approved":%s,"data":', p_approve::text), 'UTF8') || coalesce(p_data, 'null')
    || convert_to(format(',"by":%s,"at":"%s"}', coalesce(to_json(coalesce('key_' || translate(p_by::text, '-', ''), p_by_name))::text, 'null'), tikku.rfc3339(v_now)), 'UTF8'), null, null);
  return next row('done', r.state, null, null, null)::tikku.ruled;
  if v_wait is not null then
    return next row('kick', null, p_run, v_wait, p_account)::tikku.ruled;
  end if;
end $$;
comment on function tikku.approval_answer is 'done; missing; conflict: approved, rejected, expired or closed.';

do $settings$
declare
  v_function text;
begin
  foreach v_function in array array['run_signal', 'signal_intake_apply', 'run_cancel', 'run_pause', 'run_resume', 'run_resume_served', 'run_wake', 'run_retry', 'run_fork',
    'approval_answer']
  loop
    execute format('alter function tikku.%I set lock_timeout = %L', v_function, '5s');
    -- By index is right at every size (migration 4 says why).
    execute format('alter function tikku.%I set enable_seqscan = off', v_function);
  end loop;
  foreach v_function in array array['signal_put', 'run_signal', 'run_latest', 'signal_intake_take', 'signal_intake_apply', 'run_cancel', 'run_pause', 'run_resume_locked', 'run_resume', 'run_resume_served', 'run_facts', 'run_wake',
    'run_faults', 'run_revive', 'run_retry', 'run_fork', 'approval_answer']
  loop
    execute (select format('revoke execute on function %s from public', p.oid::regprocedure) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where n.nspname = 'tikku' and p.proname = v_function);
  end loop;
end $settings$;
