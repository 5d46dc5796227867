-- Schedules: what they publish, when they are due, and what became of each due time.
-- Lock order: schedules by id, then messages by id. Whoever decides on a due time holds the schedule's lock.

create table tikku.schedule (
  id uuid primary key default tikku.new_id(),
  account_id uuid not null,
  name text not null check (length(name) between 1 and 64),
  revision bigint not null default 1,
  paused boolean not null default false,
  cron text,
  time_zone text,
  every_ms bigint,
  anchor_at timestamptz not null,
  overlap text not null check (overlap in ('allow', 'skip')),
  catch_up text not null check (catch_up in ('skip', 'latest', 'all')),
  next_at timestamptz,
  look_at timestamptz,
  url text,
  fanout text,
  method text not null,
  headers json not null,
  body bytea,
  backoff json not null,
  max_attempts smallint not null,
  timeout_ms int not null,
  labels text[] not null,
  flow_key text,
  flow json,
  callback_url text,
  failure_callback_url text,
  created_at timestamptz not null default tikku.clock_now(),
  updated_at timestamptz not null default tikku.clock_now(),
  constraint schedule_timing check ((cron is null) = (time_zone is null) and (cron is null) <> (every_ms is null)),
  constraint schedule_target check (num_nonnulls(url, fanout) = 1)
);
create unique index schedule_name on tikku.schedule (account_id, name);
create index schedule_list on tikku.schedule (account_id, id desc);
-- tick: whose due times are to be decided? By account, so that one with many late schedules does not hide those of another.
create index schedule_look on tikku.schedule (account_id, look_at) where look_at is not null;
comment on table tikku.schedule is 'What is published again and again, and when.';
comment on column tikku.schedule.id is 'Time-ordered; shown as sch_ and 32 hex digits.';
comment on column tikku.schedule.account_id is 'Whose it is.';
comment on column tikku.schedule.name is 'What people call it; unique in the account.';
comment on column tikku.schedule.revision is 'One more with every change of what people set; its ETag. Firing does not change it.';
comment on column tikku.schedule.paused is 'While true it has no due times.';
comment on column tikku.schedule.cron is 'The expression, as written; null for an interval.';
comment on column tikku.schedule.time_zone is 'The IANA zone it is read in.';
comment on column tikku.schedule.every_ms is 'The interval in milliseconds; null for an expression.';
comment on column tikku.schedule.anchor_at is 'Where the interval is counted from: when it was set.';
comment on column tikku.schedule.overlap is 'allow: a due time fires although messages of earlier ones are not over; skip: it is passed over.';
comment on column tikku.schedule.catch_up is 'Which due times fire that were missed: skip none, latest the newest, all each.';
comment on column tikku.schedule.next_at is 'The first due time that is not decided; null while paused, or when there is none.';
comment on column tikku.schedule.look_at is 'When tick decides on it: 90 s before, or at the due time if that depends on messages that are not over.';
comment on column tikku.schedule.url is 'Where its messages go; null with a fanout.';
comment on column tikku.schedule.fanout is 'The fanout its messages go to.';
comment on column tikku.schedule.method is 'HTTP method.';
comment on column tikku.schedule.headers is 'An array of [name, value], in order.';
comment on column tikku.schedule.body is 'The bytes to push, as they came; null for an empty body without a content-type.';
comment on column tikku.schedule.backoff is 'The wait between attempts, as domain::retry::Backoff writes it.';
comment on column tikku.schedule.max_attempts is 'Retry budget of each message.';
comment on column tikku.schedule.timeout_ms is 'Longest push, in milliseconds.';
comment on column tikku.schedule.labels is 'Of each message.';
comment on column tikku.schedule.flow_key is 'The flow of its messages.';
comment on column tikku.schedule.flow is 'The limits of that flow: {parallelism, rate, periodMs}.';
comment on column tikku.schedule.callback_url is 'Told when a message is delivered.';
comment on column tikku.schedule.failure_callback_url is 'Told when a message has failed.';
comment on column tikku.schedule.created_at is 'When it was made, by the database clock.';
comment on column tikku.schedule.updated_at is 'When people last changed it, by the database clock.';

create table tikku.schedule_fire (
  schedule_id uuid not null,
  due_at timestamptz not null,
  account_id uuid not null,
  outcome text not null check (outcome in ('fired', 'skipped', 'no_fanout', 'too_large')),
  asked boolean not null,
  message_ids uuid[] not null,
  fired_at timestamptz not null,
  primary key (schedule_id, due_at)
);
create index schedule_fire_ran on tikku.schedule_fire (schedule_id, due_at desc) where outcome = 'fired';
-- Retention.
create index schedule_fire_old on tikku.schedule_fire (account_id, fired_at);
comment on table tikku.schedule_fire is 'One row for each due time that was decided: the key is why none fires twice. Rows of deleted schedules stay until retention takes them.';
comment on column tikku.schedule_fire.schedule_id is 'The schedule.';
comment on column tikku.schedule_fire.due_at is 'The due time; of a run that was asked for, when.';
comment on column tikku.schedule_fire.account_id is 'Whose it is.';
comment on column tikku.schedule_fire.outcome is 'fired; skipped: it would have overlapped; no_fanout: its fanout did not exist; too_large: its body, once for each endpoint, was.';
comment on column tikku.schedule_fire.asked is 'Run by hand, beside the due times.';
comment on column tikku.schedule_fire.message_ids is 'What it published.';
comment on column tikku.schedule_fire.fired_at is 'When it was decided, by the database clock: for a future due time up to 90 s before.';

-- Publishes what a schedule says, due at a time or now, and notes the run. The caller holds the schedule's lock.
create function tikku.schedule_put(s tikku.schedule, p_due timestamptz, p_asked boolean, p_window_ms bigint)
returns table (outcome text, id uuid, state text, wait_ms bigint, url text) language plpgsql volatile rows 1 as $$
declare
  c tikku.message_content;
  r record;
  v_put text[];
  v_ids uuid[] := '{}';
  v_due timestamptz := case when p_asked then tikku.clock_now() else greatest(p_due, tikku.clock_now()) end;
begin
  outcome := 'fired';
  if exists (select 1 from tikku.schedule_fire f where f.schedule_id = s.id and f.due_at = p_due) then
    return;
  end if;
  c.account_id := s.account_id;
  c.url := s.url;
  c.fanout := s.fanout;
  c.method := s.method;
  c.headers := s.headers;
  c.body := s.body;
  c.raw := false;
  c.backoff := s.backoff;
  c.labels := s.labels;
  c.flow := s.flow;
  c.callback_url := s.callback_url;
  c.failure_callback_url := s.failure_callback_url;
  c.schedule_id := s.id;
  if s.fanout is null then
    v_put := tikku.message_put(c, s.flow_key, v_due, s.max_attempts, s.timeout_ms, p_window_ms);
    v_ids := array[v_put[2]::uuid];
    id := v_ids[1];
    state := v_put[3];
    wait_ms := v_put[4];
    url := s.url;
    return next;
  else
    for r in select * from tikku.message_put_fanout(c, s.flow_key, v_due, s.max_attempts, s.timeout_ms, p_window_ms) loop
      id := r.id;
      state := r.state;
      wait_ms := r.wait_ms;
      url := r.url;
      if r.verdict = 'accepted' then
        v_ids := v_ids || r.id;
      else
        outcome := r.verdict;
      end if;
      return next;
    end loop;
  end if;
  if p_asked and outcome <> 'fired' then
    return;
  end if;
  insert into tikku.schedule_fire (schedule_id, due_at, account_id, outcome, asked, message_ids, fired_at)
    values (s.id, p_due, s.account_id, outcome, p_asked, v_ids, tikku.clock_fresh());
end $$;
comment on function tikku.schedule_put is 'A row for each message; none when the due time was fired before; one without a message when the fanout is missing.';

-- The newest runs are enough: with overlap skip only runs by hand are under way beside the last one.
create function tikku.schedule_is_running(p_schedule uuid) returns boolean language sql stable as $$
  select exists (
    select 1 from (
      select f.message_ids from tikku.schedule_fire f where f.schedule_id = p_schedule and f.outcome = 'fired' order by f.due_at desc limit 20
    ) f cross join lateral unnest(f.message_ids) as i(id) join tikku.message m on m.id = i.id where m.finished_at is null)
$$;
comment on function tikku.schedule_is_running is 'Whether messages of its last runs are not over.';

-- Fires due times of many schedules. A schedule that another holds, or that has moved on since the times were computed, is passed by. The due times of
-- p_ids[n] are p_due_ms[p_first[n] .. p_last[n]], ascending.
create function tikku.schedule_fire(p_ids uuid[], p_revisions bigint[], p_from_ms bigint[], p_next_ms bigint[], p_first int[], p_last int[], p_due_ms bigint[],
  p_ahead_ms bigint, p_window_ms bigint)
returns table (schedule_id uuid, id uuid, wait_ms bigint, account_id uuid) language plpgsql volatile rows 100 as $$
declare
  s tikku.schedule;
  i record;
  v_due timestamptz;
  v_next timestamptz;
  v_look timestamptz;
begin
  for i in
    select x as s, w.next_ms, w.first, w.last from tikku.schedule x
      join unnest(p_ids, p_revisions, p_from_ms, p_next_ms, p_first, p_last) as w(id, revision, from_ms, next_ms, first, last) on w.id = x.id
      where x.revision = w.revision and x.next_at = to_timestamp(w.from_ms / 1000.0)
      order by x.id for update of x skip locked
  loop
    s := i.s;
    v_next := to_timestamp(i.next_ms / 1000.0);
    v_look := v_next - tikku.ms(p_ahead_ms);
    for n in i.first .. i.last loop
      v_due := to_timestamp(p_due_ms[n] / 1000.0);
      if s.overlap = 'allow' or not tikku.schedule_is_running(s.id) then
        return query select s.id, p.id, p.wait_ms, s.account_id from tikku.schedule_put(s, v_due, false, p_window_ms) p where p.id is not null;
      elsif v_due <= tikku.clock_fresh() then
        insert into tikku.schedule_fire as f (schedule_id, due_at, account_id, outcome, asked, message_ids, fired_at)
          values (s.id, v_due, s.account_id, 'skipped', false, '{}', tikku.clock_fresh()) on conflict do nothing;
      else
        -- What runs now may be over by then, so this is looked at again; with the seconds it may take, and once more when it is due.
        v_next := v_due;
        v_look := least(v_due, tikku.clock_fresh() + interval '10 seconds');
        exit;
      end if;
    end loop;
    update tikku.schedule x set next_at = v_next, look_at = v_look where x.id = s.id;
    schedule_id := s.id;
    id := null;
    wait_ms := null;
    account_id := s.account_id;
    return next;
  end loop;
end $$;
comment on function tikku.schedule_fire is 'A row for each message, with its wait when it is to be handed to the queue; and one without a message for each schedule that moved on.';

-- Takes back what was fired ahead and has not begun. A due time of which anything has begun stays fired. The caller holds the schedule's lock.
create function tikku.schedule_disarm(p_schedule uuid) returns void language plpgsql volatile as $$
declare
  v_now timestamptz := tikku.clock_fresh();
  v_ids uuid[];
begin
  perform 1 from tikku.message m
    where m.id = any(array(select unnest(f.message_ids) from tikku.schedule_fire f where f.schedule_id = p_schedule and f.due_at > v_now and not f.asked))
    order by m.id for update;
  with back as (
    delete from tikku.schedule_fire f
      where f.schedule_id = p_schedule and f.due_at > v_now and not f.asked
        and not exists (select 1 from tikku.message m where m.id = any(f.message_ids) and m.state <> 'scheduled')
      returning f.message_ids
  )
  select array_agg(i.id) into v_ids from back cross join unnest(back.message_ids) as i(id);
  perform tikku.message_cancel_locked(v_ids, v_now);
end $$;
comment on function tikku.schedule_disarm is 'Cancels the messages of due times that lie ahead.';

-- Gives a schedule everything that people set, from a record whose members are columns. p_revision is what the caller has seen; the next due time
-- was computed for it.
create function tikku.schedule_edit(p_account uuid, p_id uuid, p_revision bigint, p_new json, p_body bytea, p_anchor_ms bigint, p_next_ms bigint, p_ahead_ms bigint)
returns text language plpgsql volatile as $$
declare
  s tikku.schedule;
  n tikku.schedule := json_populate_record(null::tikku.schedule, p_new);
  v_next timestamptz := to_timestamp(p_next_ms / 1000.0);
begin
  select * into s from tikku.schedule x where x.id = p_id and x.account_id = p_account for update;
  if not found then
    return 'missing';
  elsif s.revision <> p_revision or s.next_at <= tikku.clock_fresh() then
    return 'moved';
  elsif exists (select 1 from tikku.schedule x where x.account_id = s.account_id and x.name = n.name and x.id <> s.id) then
    return 'taken';
  end if;
  perform tikku.schedule_disarm(s.id);
  update tikku.schedule x set name = n.name, revision = x.revision + 1, paused = n.paused, cron = n.cron, time_zone = n.time_zone, every_ms = n.every_ms,
      anchor_at = to_timestamp(p_anchor_ms / 1000.0), overlap = n.overlap, catch_up = n.catch_up, next_at = v_next,
      look_at = v_next - tikku.ms(p_ahead_ms), url = n.url, fanout = n.fanout, method = n.method, headers = n.headers, body = p_body,
      backoff = n.backoff, max_attempts = n.max_attempts, timeout_ms = n.timeout_ms, labels = n.labels, flow_key = n.flow_key, flow = n.flow,
      callback_url = n.callback_url, failure_callback_url = n.failure_callback_url, updated_at = tikku.clock_now()
    where x.id = s.id;
  return 'done';
exception when unique_violation then
  -- Somebody took the name meanwhile: nothing happened, the next try says so.
  return 'moved';
end $$;
comment on function tikku.schedule_edit is 'done, missing, taken (the name), or moved: it is not as the caller has seen it, or something is due first.';

-- Pauses or resumes. p_next_ms is the next due time for a resume, computed for p_revision; a pause has neither.
create function tikku.schedule_pause(p_account uuid, p_id uuid, p_revisions bigint[], p_paused boolean, p_revision bigint, p_next_ms bigint, p_ahead_ms bigint)
returns text language plpgsql volatile as $$
declare
  s tikku.schedule;
  v_next timestamptz := to_timestamp(p_next_ms / 1000.0);
begin
  select * into s from tikku.schedule x where x.id = p_id and x.account_id = p_account for update;
  if not found then
    return 'missing';
  elsif not s.revision = any(p_revisions) then
    return 'stale';
  elsif s.paused = p_paused then
    return 'done';
  elsif s.revision <> p_revision then
    return 'moved';
  end if;
  perform tikku.schedule_disarm(s.id);
  update tikku.schedule x set paused = p_paused, revision = x.revision + 1, next_at = v_next, look_at = v_next - tikku.ms(p_ahead_ms),
      updated_at = tikku.clock_now()
    where x.id = s.id;
  return 'done';
end $$;
comment on function tikku.schedule_pause is 'done, also when it was so before; missing; stale: none of p_revisions; moved: not p_revision.';

-- Deletes a schedule with what it fired ahead. Messages that are due stay, and so does the record of its runs until retention takes it.
create function tikku.schedule_delete(p_account uuid, p_id uuid, p_revisions bigint[]) returns text language plpgsql volatile as $$
declare
  s tikku.schedule;
begin
  select * into s from tikku.schedule x where x.id = p_id and x.account_id = p_account for update;
  if not found then
    return 'missing';
  elsif not s.revision = any(p_revisions) then
    return 'stale';
  end if;
  perform tikku.schedule_disarm(s.id);
  delete from tikku.schedule x where x.id = s.id;
  return 'done';
end $$;
comment on function tikku.schedule_delete is 'done, missing, or stale: none of p_revisions.';

-- Publishes now what a schedule says, whatever is due and running, and moves nothing.
create function tikku.schedule_run(p_account uuid, p_id uuid, p_window_ms bigint)
returns table (outcome text, id uuid, state text, wait_ms bigint, url text) language plpgsql volatile rows 1 as $$
declare
  s tikku.schedule;
  v_at timestamptz;
begin
  select * into s from tikku.schedule x where x.id = p_id and x.account_id = p_account for update;
  if not found then
    outcome := 'missing';
    return next;
    return;
  end if;
  v_at := tikku.clock_fresh();
  while exists (select 1 from tikku.schedule_fire f where f.schedule_id = s.id and f.due_at = v_at) loop
    v_at := v_at + interval '1 microsecond';
  end loop;
  return query select * from tikku.schedule_put(s, v_at, true, p_window_ms);
  if not found then
    outcome := 'fired';
    return next;
  end if;
end $$;
comment on function tikku.schedule_run is 'A row for each message; one without a message when there is none: missing, no_fanout, or fired at a fanout without endpoints.';

-- Retention: what was decided before the account keeps, but the newest of each schedule, which lists show.
create function tikku.schedule_prune(p_rows int) returns int language plpgsql volatile as $$
declare
  v_rows int;
begin
  with old as materialized (
    select f.schedule_id, f.due_at from tikku.account a cross join lateral (
      select x.schedule_id, x.due_at from tikku.schedule_fire x
        where x.account_id = a.id and x.fired_at < tikku.clock_now() - a.retention_days * interval '1 day'
          and not exists (select 1 from tikku.schedule s where s.id = x.schedule_id
            and x.due_at = (select max(y.due_at) from tikku.schedule_fire y where y.schedule_id = x.schedule_id and y.outcome = 'fired'))
        order by x.fired_at limit p_rows for update skip locked) f
    limit p_rows
  )
  delete from tikku.schedule_fire f using old where f.schedule_id = old.schedule_id and f.due_at = old.due_at;
  get diagnostics v_rows = row_count;
  return v_rows;
end $$;
comment on function tikku.schedule_prune is 'Deletes so many old runs at most, and answers how many.';

-- By id is right at every size, and plans are kept by the session (migration 4 says why).
do $settings$
declare
  v_function text;
begin
  foreach v_function in array array['schedule_fire', 'schedule_edit', 'schedule_pause', 'schedule_delete', 'schedule_run', 'schedule_prune'] loop
    execute format('alter function tikku.%I set lock_timeout = %L', v_function, '5s');
    execute format('alter function tikku.%I set enable_seqscan = off', v_function);
    execute format('alter function tikku.%I set enable_hashjoin = off', v_function);
    execute format('alter function tikku.%I set enable_mergejoin = off', v_function);
  end loop;
end $settings$;
