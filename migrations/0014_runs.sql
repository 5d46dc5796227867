-- Workflows: who serves them, their runs, the journal of each run, and what a run waits for. Who writes what, and under which lock: 0015.

create table tikku.app (
  account_id uuid not null,
  name text not null check (length(name) between 1 and 64),
  url text not null,
  timeout_ms int not null default 60000,
  lease_ms int not null default 30000,
  checkpoint text not null default 'return' check (checkpoint in ('each', 'batched', 'return')),
  sdk text,
  revision bigint not null default 1,
  created_at timestamptz not null default tikku.clock_now(),
  updated_at timestamptz not null default tikku.clock_now(),
  described_at timestamptz,
  describe_error text,
  primary key (account_id, name)
);
comment on table tikku.app is 'An endpoint that serves workflows.';
comment on column tikku.app.account_id is 'Whose it is.';
comment on column tikku.app.name is 'What its owner calls it.';
comment on column tikku.app.url is 'Where it is invoked.';
comment on column tikku.app.timeout_ms is 'How long one dispatch may take, in milliseconds, 1 to 840 s; its budget is 5 s shorter.';
comment on column tikku.app.lease_ms is 'How long a dispatch may be silent before it is taken for lost, in milliseconds; of an endpoint that renews its lease.';
comment on column tikku.app.checkpoint is 'How it reports results, as it said when described.';
comment on column tikku.app.sdk is 'What it speaks the protocol with, as it said when described.';
comment on column tikku.app.revision is 'One more with every change; its ETag.';
comment on column tikku.app.created_at is 'When it was registered, by the database clock.';
comment on column tikku.app.updated_at is 'When it was last changed, by the database clock.';
comment on column tikku.app.described_at is 'When it last said what it serves.';
comment on column tikku.app.describe_error is 'Why it last did not say so; null when it did.';

create table tikku.workflow (
  account_id uuid not null,
  name text not null check (length(name) between 1 and 128),
  version text not null check (length(version) between 1 and 64),
  app text not null,
  served boolean not null default true,
  is_current boolean not null default false,
  policy json not null default '{}',
  described_at timestamptz not null default tikku.clock_now(),
  primary key (account_id, name, version)
);
create unique index workflow_current on tikku.workflow (account_id, name) where is_current;
create index workflow_app on tikku.workflow (account_id, app);
comment on table tikku.workflow is 'What apps said they serve: one row for each version.';
comment on column tikku.workflow.account_id is 'Whose it is.';
comment on column tikku.workflow.name is 'The name runs are started by.';
comment on column tikku.workflow.version is 'Runs are pinned to the one they started with.';
comment on column tikku.workflow.app is 'Which app serves it; the last one that said so.';
comment on column tikku.workflow.served is 'False when the app no longer says so: its runs are paused.';
comment on column tikku.workflow.is_current is 'The version of new runs.';
comment on column tikku.workflow.policy is 'What describe said: {triggers, retry, concurrency, rateLimit, singleton, debounce, priority}, each may be absent.';
comment on column tikku.workflow.described_at is 'When it was last said.';

create table tikku.workflow_trigger (
  account_id uuid not null,
  event text not null,
  workflow text not null,
  n smallint not null,
  match json,
  primary key (account_id, event, workflow, n)
);
comment on table tikku.workflow_trigger is 'Events that start runs: the triggers of the current version of each served workflow.';
comment on column tikku.workflow_trigger.account_id is 'Whose it is.';
comment on column tikku.workflow_trigger.event is 'The name of the event.';
comment on column tikku.workflow_trigger.workflow is 'What it starts.';
comment on column tikku.workflow_trigger.n is 'Which of its triggers, from 0.';
comment on column tikku.workflow_trigger.match is 'Paths and the values they must have; null for any event of the name.';

create domain tikku.run_state as text
  check (value in ('queued', 'running', 'sleeping', 'waiting', 'retrying', 'paused', 'completed', 'failed', 'cancelled'));
comment on domain tikku.run_state is 'The states of a run; ARCHITECTURE.md has the diagram.';

create table tikku.run (
  id uuid primary key,
  account_id uuid not null,
  state tikku.run_state not null,
  due_at timestamptz not null,
  kick_until timestamptz,
  lease_until timestamptz,
  finished_at timestamptz,
  fence bigint not null default 0,
  kicks smallint not null default 0,
  next_seq int not null default 1,
  planned int not null default 0,
  bytes bigint not null default 0,
  failures int not null default 0,
  lost int not null default 0,
  idle int not null default 0,
  awaits jsonb,
  awaits_left int,
  pause_requested boolean not null default false,
  lease_ms int not null default 90000,
  renewed_at timestamptz,
  started_at timestamptz,
  booked boolean not null default false,
  parent_id uuid,
  gate text,
  priority smallint not null default 0,
  singleton text,
  debounce text,
  -- A run waits for a dispatch, is leased, or is over: exactly one of the three.
  constraint run_lifecycle check (num_nonnulls(kick_until, lease_until, finished_at) = 1)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
-- tick: which rows of an account does the queue not hold?
create index run_kick on tikku.run (account_id, kick_until) where kick_until is not null;
-- tick: which leases ran out?
create index run_lease on tikku.run (lease_until) where lease_until is not null;
-- A gate's waiting runs, and who holds a place.
create index run_gate_waiting on tikku.run (account_id, gate, due_at) where gate is not null and kick_until = 'infinity';
create index run_gate_started on tikku.run (account_id, gate) where gate is not null and lease_until is not null;
-- Cancelling goes from parents to children.
create index run_parent on tikku.run (parent_id) where parent_id is not null and finished_at is null;
create unique index run_singleton on tikku.run (account_id, singleton) where singleton is not null and finished_at is null;
create unique index run_debounce on tikku.run (account_id, debounce) where debounce is not null and state = 'queued';
-- Retention, and lists by state.
create index run_finished on tikku.run (account_id, finished_at) where finished_at is not null;
create index run_state_list on tikku.run (account_id, state, id desc) where state in ('failed', 'paused');
comment on table tikku.run is 'What is due, leased or over. Narrow, because it is rewritten at every transition; the rest is in run_content.';
comment on column tikku.run.id is 'Time-ordered; shown as run_ and 32 hex digits. A child''s is later than its parent''s.';
comment on column tikku.run.account_id is 'Whose it is.';
comment on column tikku.run.state is 'queued, sleeping, waiting and retrying can be started; running is leased; completed, failed and cancelled are final.';
comment on column tikku.run.due_at is 'Not dispatched before this; infinite while it waits for something without a time.';
comment on column tikku.run.kick_until is 'Set while it waits: until then the wake queue holds the row or need not. Infinite while it is paused or waits for its gate.';
comment on column tikku.run.lease_until is 'Set while running: afterwards tick takes the dispatch for lost.';
comment on column tikku.run.finished_at is 'Set when it is over.';
comment on column tikku.run.fence is 'One more at each dispatch and each control verb, never reset; what is written under an older one is refused.';
comment on column tikku.run.kicks is 'How often tick handed it over since its last start.';
comment on column tikku.run.next_seq is 'The seq of its next entry; taken under the lock of this row.';
comment on column tikku.run.planned is 'How many keys it ever planned or finished; the limit of steps is on it.';
comment on column tikku.run.bytes is 'Bytes of its values so far.';
comment on column tikku.run.failures is 'Dispatches in a row that its endpoint did not take.';
comment on column tikku.run.lost is 'Dispatches that were given up; no budget of the user''s, own cap.';
comment on column tikku.run.idle is 'Dispatches in a row that led to nothing.';
comment on column tikku.run.awaits is 'The tree it waits for: a key, {"all": []} or {"any": []}; null when it is to be dispatched as soon as it is due.';
comment on column tikku.run.awaits_left is 'Of a tree that is one list of all: how many of its keys have no entry yet; null for other trees.';
comment on column tikku.run.pause_requested is 'Paused while it was running: it stops when the dispatch ends.';
comment on column tikku.run.lease_ms is 'How long the lease of this dispatch runs from its start and from each sign of life, in milliseconds.';
comment on column tikku.run.started_at is 'When it was first dispatched.';
comment on column tikku.run.booked is 'Its first dispatch has a place in the gate''s rate, at due_at.';
comment on column tikku.run.renewed_at is 'When its endpoint was last heard during this dispatch.';
comment on column tikku.run.parent_id is 'The run that waits for it.';
comment on column tikku.run.gate is 'The limit it shares with others; null for none.';
comment on column tikku.run.priority is 'Among runs that wait for a place, one more is 30 s earlier.';
comment on column tikku.run.singleton is 'At most one run that is not over has it.';
comment on column tikku.run.debounce is 'A start with the same one replaces this one''s input while it has not begun.';

create table tikku.run_content (
  account_id uuid not null,
  run_id uuid not null,
  workflow text not null,
  version text not null,
  external_id text,
  created_at timestamptz not null,
  input bytea not null,
  input_hash bytea,
  idempotency_key text,
  secret bytea not null,
  seed text not null,
  attempt int not null default 1,
  accept_seq int not null default 0,
  parent_key text,
  forked_from uuid,
  fork_key text,
  continued_from uuid,
  continued_by uuid,
  started_by uuid,
  started_how text not null default 'api' check (started_how in ('api', 'sql', 'schedule', 'message', 'event', 'child', 'fork', 'continue')),
  source_id uuid,
  labels text[] not null default '{}',
  debounce_until timestamptz,
  output bytea,
  error json,
  last_error json,
  pause_reason text,
  pause_detail json,
  primary key (account_id, run_id)
);
create unique index run_content_external on tikku.run_content (account_id, workflow, external_id) where external_id is not null and continued_by is null;
create unique index run_content_idempotency on tikku.run_content (account_id, idempotency_key) where idempotency_key is not null;
create unique index run_content_child on tikku.run_content (source_id, parent_key) where parent_key is not null and continued_by is null;
-- The account second: a lookup by account and run must never take this one for the primary key, as it would where a plan was made on an empty table.
create index run_content_workflow on tikku.run_content (workflow, account_id, run_id desc);
comment on table tikku.run_content is 'What a run was started with, and what came of it. Written at its start and its end.';
comment on column tikku.run_content.account_id is 'Whose it is.';
comment on column tikku.run_content.run_id is 'The run.';
comment on column tikku.run_content.workflow is 'Which workflow.';
comment on column tikku.run_content.version is 'The version it is pinned to.';
comment on column tikku.run_content.external_id is 'The starter''s own id, unique per workflow across versions.';
comment on column tikku.run_content.created_at is 'When it was accepted, by the database clock.';
comment on column tikku.run_content.input is 'JSON, as it came.';
comment on column tikku.run_content.input_hash is 'SHA-256 of it; set with an id or an idempotency key.';
comment on column tikku.run_content.idempotency_key is 'The starter''s key, unique within the account.';
comment on column tikku.run_content.secret is '16 random bytes: fence tokens and the key of its resume URLs come from them.';
comment on column tikku.run_content.seed is '32 hex digits for the run''s own dice.';
comment on column tikku.run_content.attempt is '1, and one more for each retry by a person.';
comment on column tikku.run_content.accept_seq is 'Entries up to this one may be left alone by new code, because a person said so.';
comment on column tikku.run_content.parent_key is 'The key of the parent''s step that waits for it.';
comment on column tikku.run_content.forked_from is 'The run it is a fork of.';
comment on column tikku.run_content.fork_key is 'The step that the fork runs again first.';
comment on column tikku.run_content.continued_from is 'The run that it goes on for.';
comment on column tikku.run_content.continued_by is 'The run that goes on for it.';
comment on column tikku.run_content.started_by is 'The API key that started it, if one did.';
comment on column tikku.run_content.started_how is 'What kind of thing started it.';
comment on column tikku.run_content.source_id is 'The schedule, message, event or parent that started it.';
comment on column tikku.run_content.labels is 'For filters, at most 10.';
comment on column tikku.run_content.debounce_until is 'No start moves it beyond this.';
comment on column tikku.run_content.output is 'JSON, when it is completed.';
comment on column tikku.run_content.error is 'Why it failed.';
comment on column tikku.run_content.last_error is 'What was last wrong with a dispatch: {message, at, status}.';
comment on column tikku.run_content.pause_reason is 'requested, nonDeterminism, unserved, protocolError, noProgress or lost; null when it is not paused.';
comment on column tikku.run_content.pause_detail is 'What a person needs to act on it.';

create table tikku.entry (
  run_id uuid not null,
  seq int not null,
  key text not null,
  kind text not null,
  state text not null,
  value bytea,
  error json,
  child_id uuid,
  attempt smallint not null default 1,
  fence bigint not null,
  at timestamptz not null,
  duration_ms bigint,
  ai json,
  primary key (run_id, key)
);
create unique index entry_seq on tikku.entry (run_id, seq);
comment on table tikku.entry is 'The journal: one row for each finished step, first write wins, never changed.';
comment on column tikku.entry.run_id is 'Whose journal.';
comment on column tikku.entry.seq is 'From 1, in the order of recording.';
comment on column tikku.entry.key is 'The step''s name, # and its occurrence from 0.';
comment on column tikku.entry.kind is 'run, ai, sleep, signal, event, child, approval, fetch or publish.';
comment on column tikku.entry.state is 'ok, error or timeout.';
comment on column tikku.entry.value is 'JSON, as it came; of state ok.';
comment on column tikku.entry.error is 'Name, message and more; of state error.';
comment on column tikku.entry.child_id is 'The child whose end it tells.';
comment on column tikku.entry.attempt is 'Which execution of the step it was.';
comment on column tikku.entry.fence is 'The dispatch under which it was recorded, or the fence that held then.';
comment on column tikku.entry.at is 'When it was recorded, by the database clock.';
comment on column tikku.entry.duration_ms is 'How long the step took, by the endpoint''s clock; null for what has no body.';
comment on column tikku.entry.ai is 'Model, tokens and cost, as the endpoint said.';

create table tikku.step_attempt (
  run_id uuid not null,
  key text not null,
  number int not null,
  fence bigint not null,
  at timestamptz not null,
  duration_ms bigint,
  error json,
  free boolean not null default false,
  orphan boolean not null default false,
  retry_ms bigint,
  ai json
);
create index step_attempt_run on tikku.step_attempt (run_id, key);
comment on table tikku.step_attempt is 'Executions of steps that were not the last: failures that were retried, and results that came too late to count.';
comment on column tikku.step_attempt.run_id is 'The run.';
comment on column tikku.step_attempt.key is 'The step.';
comment on column tikku.step_attempt.number is 'Which execution, from 1.';
comment on column tikku.step_attempt.fence is 'The dispatch that made it.';
comment on column tikku.step_attempt.at is 'When it was recorded, by the database clock.';
comment on column tikku.step_attempt.duration_ms is 'How long it took, by the endpoint''s clock.';
comment on column tikku.step_attempt.error is 'Why it failed; null for a late result.';
comment on column tikku.step_attempt.free is 'It spent no budget: 429 and the like.';
comment on column tikku.step_attempt.orphan is 'It came under an old fence and changed nothing.';
comment on column tikku.step_attempt.retry_ms is 'The wait before the next one.';
comment on column tikku.step_attempt.ai is 'Model and tokens, as the endpoint said.';

create table tikku.waiter (
  run_id uuid not null,
  key text not null,
  kind text not null,
  account_id uuid not null,
  name text,
  due_at timestamptz not null default 'infinity',
  since timestamptz not null,
  attempt smallint not null default 1,
  event_seq bigint,
  match json,
  child_id uuid,
  message_id uuid,
  primary key (run_id, key)
);
create index waiter_event on tikku.waiter (account_id, name, event_seq) where kind = 'event';
comment on table tikku.waiter is 'Keys that were planned and have no entry yet. Written under the lock of the run.';
comment on column tikku.waiter.run_id is 'Who waits.';
comment on column tikku.waiter.key is 'The step.';
comment on column tikku.waiter.kind is 'sleep, signal, event, child, approval, fetch; run or ai for a step that is to be executed again.';
comment on column tikku.waiter.account_id is 'Whose it is.';
comment on column tikku.waiter.name is 'The signal''s or event''s name.';
comment on column tikku.waiter.due_at is 'When the sleep ends, the wait times out, or the step may be executed again.';
comment on column tikku.waiter.since is 'When it was planned.';
comment on column tikku.waiter.attempt is 'The number of the step''s next execution.';
comment on column tikku.waiter.event_seq is 'Events with this number and later ones count.';
comment on column tikku.waiter.match is 'Paths and the values they must have.';
comment on column tikku.waiter.child_id is 'The child it waits for.';
comment on column tikku.waiter.message_id is 'The message that makes the call it waits for.';

create table tikku.signal (
  id bigint generated always as identity primary key,
  account_id uuid not null,
  run_id uuid not null,
  name text not null,
  value bytea not null,
  idempotency_key text,
  at timestamptz not null,
  sent_by uuid,
  key text
);
create index signal_buffered on tikku.signal (run_id, name, id) where key is null;
create unique index signal_idempotency on tikku.signal (run_id, idempotency_key) where idempotency_key is not null;
create index signal_run on tikku.signal (run_id, id);
comment on table tikku.signal is 'What was sent to runs. Ids are taken under the lock of the run, so they are in order.';
comment on column tikku.signal.id is 'Order within the run.';
comment on column tikku.signal.account_id is 'Whose it is.';
comment on column tikku.signal.run_id is 'To which run.';
comment on column tikku.signal.name is 'Which signal.';
comment on column tikku.signal.value is 'JSON, as it came.';
comment on column tikku.signal.idempotency_key is 'The sender''s key; a second one with it is the first.';
comment on column tikku.signal.at is 'When it was accepted, by the database clock.';
comment on column tikku.signal.sent_by is 'The API key that sent it; null for a resume URL or SQL.';
comment on column tikku.signal.key is 'The step that consumed it; null while it is buffered.';

create table tikku.signal_intake (
  id bigint generated always as identity primary key,
  account_id uuid not null,
  run_id uuid not null,
  name text not null,
  value bytea not null,
  at timestamptz not null
);
comment on table tikku.signal_intake is 'Signals sent by SQL, whose transaction must not hold the lock of a run; tick hands them on.';
comment on column tikku.signal_intake.id is 'Order of sending, as far as transactions have one.';
comment on column tikku.signal_intake.account_id is 'Whose it is.';
comment on column tikku.signal_intake.run_id is 'To which run.';
comment on column tikku.signal_intake.name is 'Which signal.';
comment on column tikku.signal_intake.value is 'JSON, as it came.';
comment on column tikku.signal_intake.at is 'When it was sent, by the database clock.';

create table tikku.approval (
  run_id uuid not null,
  key text not null,
  account_id uuid not null,
  policy json not null,
  schema json,
  title text,
  detail json,
  since timestamptz not null,
  expires_at timestamptz not null default 'infinity',
  state text not null default 'open' check (state in ('open', 'approved', 'rejected', 'expired', 'closed')),
  decided_at timestamptz,
  decided_by uuid,
  decided_name text,
  data bytea,
  primary key (run_id, key)
);
create index approval_open on tikku.approval (account_id, since desc) where state = 'open';
comment on table tikku.approval is 'Questions to people, and who answered: kept for as long as the run.';
comment on column tikku.approval.run_id is 'The run that asks.';
comment on column tikku.approval.key is 'The step.';
comment on column tikku.approval.account_id is 'Whose it is.';
comment on column tikku.approval.policy is 'Who may answer: {roles, keys, notInitiator}, each may be absent.';
comment on column tikku.approval.schema is 'JSON Schema of the data.';
comment on column tikku.approval.title is 'The question, for a person.';
comment on column tikku.approval.detail is 'What a person needs to know to answer.';
comment on column tikku.approval.since is 'When it was asked.';
comment on column tikku.approval.expires_at is 'When the run goes on without an answer.';
comment on column tikku.approval.state is 'open until it is answered or expired; closed when the run ended before.';
comment on column tikku.approval.decided_at is 'When.';
comment on column tikku.approval.decided_by is 'The API key; null for a resume URL.';
comment on column tikku.approval.decided_name is 'The key''s name then, or who the answer said it was.';
comment on column tikku.approval.data is 'JSON of the answer.';

create table tikku.event_name (
  account_id uuid not null,
  name text not null,
  next_seq bigint not null default 1,
  primary key (account_id, name)
);
comment on table tikku.event_name is 'Orders the events of a name and those who wait for it: both lock this row first.';
comment on column tikku.event_name.account_id is 'Whose it is.';
comment on column tikku.event_name.name is 'The name.';
comment on column tikku.event_name.next_seq is 'The number of the next event.';

create table tikku.event (
  account_id uuid not null,
  id uuid not null,
  name text not null,
  seq bigint not null,
  external_id text,
  data bytea not null,
  data_hash bytea,
  at timestamptz not null,
  applied boolean not null default false,
  woken int not null default 0,
  started uuid[] not null default '{}',
  primary key (account_id, id)
);
create unique index event_external on tikku.event (account_id, external_id) where external_id is not null;
create index event_open on tikku.event (at) where not applied;
comment on table tikku.event is 'What was published as an event.';
comment on column tikku.event.account_id is 'Whose it is.';
comment on column tikku.event.id is 'Shown as evt_ and 32 hex digits.';
comment on column tikku.event.name is 'Its name.';
comment on column tikku.event.seq is 'Its number among those of its name.';
comment on column tikku.event.external_id is 'The publisher''s own id; a second event with it is the first.';
comment on column tikku.event.data is 'JSON, as it came.';
comment on column tikku.event.data_hash is 'SHA-256 of name and data; set with an external id.';
comment on column tikku.event.at is 'When it was accepted, by the database clock.';
comment on column tikku.event.applied is 'Whether all who waited for it have it, and all it starts is started.';
comment on column tikku.event.woken is 'How many runs had waited for it.';
comment on column tikku.event.started is 'The runs it started.';

create table tikku.gate (
  account_id uuid not null,
  key text not null,
  parallelism int,
  rate int,
  period_ms bigint,
  window_at timestamptz,
  used int not null default 0,
  waiting boolean not null default false,
  next_at timestamptz not null default tikku.clock_now() + interval '1 hour',
  primary key (account_id, key)
);
create index gate_next on tikku.gate (next_at);
comment on table tikku.gate is 'The limit that runs of a workflow, and key, share. Whoever dispatches one of them locks this row before the run.';
comment on column tikku.gate.account_id is 'Whose it is.';
comment on column tikku.gate.key is 'The workflow''s name and the value of the policy''s key.';
comment on column tikku.gate.parallelism is 'Dispatches at the same time; null for no limit.';
comment on column tikku.gate.rate is 'First dispatches in a period; null for no limit.';
comment on column tikku.gate.period_ms is 'Length of the period, in milliseconds.';
comment on column tikku.gate.window_at is 'When the current period began.';
comment on column tikku.gate.used is 'First dispatches in it.';
comment on column tikku.gate.waiting is 'Whether runs were left waiting.';
comment on column tikku.gate.next_at is 'When tick looks whether waiting runs can go on.';

create table tikku.child_sweep (
  parent_id uuid primary key,
  at timestamptz not null
);
comment on table tikku.child_sweep is 'Runs that are over and may have children that are not: those are to be cancelled.';
comment on column tikku.child_sweep.parent_id is 'The run that is over.';
comment on column tikku.child_sweep.at is 'When it ended.';

alter table tikku.message_content
  add column fetch_run uuid,
  add column fetch_key text;
comment on column tikku.message_content.fetch_run is 'The run whose step.fetch this message is: it is sent unsigned, and its answer is that step''s result.';
comment on column tikku.message_content.fetch_key is 'The key of that step.';
