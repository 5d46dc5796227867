-- Messages: the narrow row that is claimed and leased, the content that never changes, and what every push came to.

-- A domain's check is kept prepared by each session; a table's is parsed anew by every insert and update (ARCHITECTURE.md).
create domain tikku.message_state as text check (value in ('scheduled', 'queued', 'delivering', 'retrying', 'delivered', 'failed', 'cancelled'));
comment on domain tikku.message_state is 'The states of a message; ARCHITECTURE.md has the diagram.';

create table tikku.message (
  id uuid primary key,
  account_id uuid not null,
  state tikku.message_state not null,
  due_at timestamptz not null,
  kick_until timestamptz,
  lease_until timestamptz,
  finished_at timestamptz,
  fence bigint not null default 0,
  kicks smallint not null default 0,
  max_attempts smallint not null,
  attempts smallint not null default 0,
  throttles smallint not null default 0,
  lost smallint not null default 0,
  attempt_number int not null default 0,
  timeout_ms int not null,
  cancel_requested boolean not null default false,
  -- A message waits for a start, is leased, or is over: exactly one of the three.
  constraint message_lifecycle check (num_nonnulls(kick_until, lease_until, finished_at) = 1)
) with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05);
-- tick: which rows does the queue not hold?
create index message_kick on tikku.message (kick_until) where kick_until is not null;
-- tick: which leases ran out?
create index message_lease on tikku.message (lease_until) where lease_until is not null;
-- API: the dead-letter queue, newest first.
create index message_failed on tikku.message (account_id, id desc) where state = 'failed';
comment on table tikku.message is 'What is due, leased or over. Narrow, because it is rewritten at every transition; the payload is in message_content.';
comment on column tikku.message.id is 'Time-ordered; shown as msg_ and 32 hex digits; the webhook-id of every push.';
comment on column tikku.message.account_id is 'Whose message it is. No foreign key: it would lock the account''s row at every publish.';
comment on column tikku.message.state is 'scheduled, queued and retrying can be started; delivering is leased; delivered, failed and cancelled are final.';
comment on column tikku.message.due_at is 'Not pushed before this.';
comment on column tikku.message.kick_until is 'Set while it waits: until then the wake queue holds the row or need not; tick hands it over afterwards.';
comment on column tikku.message.lease_until is 'Set while delivering: afterwards tick takes the push for lost.';
comment on column tikku.message.finished_at is 'Set when it is over: when it reached a final state.';
comment on column tikku.message.fence is 'One more at each start and each control verb, never reset; a result is recorded only under the current one.';
comment on column tikku.message.kicks is 'How often tick handed it over since its last start; doubles the wait before the next time.';
comment on column tikku.message.max_attempts is 'The retry budget, 1 to 100.';
comment on column tikku.message.attempts is 'Spent of that budget.';
comment on column tikku.message.throttles is 'Pushes answered 429, or 503 that says when to come back: no budget spent, own cap.';
comment on column tikku.message.lost is 'Pushes whose process never reported: no budget spent, own cap.';
comment on column tikku.message.attempt_number is 'Number of the last recorded attempt; never reset.';
comment on column tikku.message.timeout_ms is 'How long one push may take, in milliseconds; the lease is 32 s longer.';
comment on column tikku.message.cancel_requested is 'Cancelled while a push was under way: a 2xx still ends delivered, all else cancelled.';

create table tikku.message_content (
  account_id uuid not null,
  message_id uuid not null,
  created_at timestamptz not null,
  url text not null,
  method text not null,
  headers json not null,
  body bytea,
  delay_ms bigint,
  not_before timestamptz,
  backoff json not null,
  idempotency_key text,
  payload_hash bytea,
  labels text[] not null,
  resent_from uuid,
  primary key (account_id, message_id)
);
create unique index message_content_idempotency on tikku.message_content (account_id, idempotency_key) where idempotency_key is not null;
comment on table tikku.message_content is 'What was published. Written once with its message row by the same function, pruned with it.';
comment on column tikku.message_content.account_id is 'Whose message it is; first in the key, so that lists stay within one account.';
comment on column tikku.message_content.message_id is 'The message.';
comment on column tikku.message_content.created_at is 'When it was accepted, by the database clock.';
comment on column tikku.message_content.url is 'Where it is pushed.';
comment on column tikku.message_content.method is 'HTTP method of the push.';
comment on column tikku.message_content.headers is 'The publisher''s headers, an array of [name, value], in order.';
comment on column tikku.message_content.body is 'The bytes to push, as they came; null for an empty body without a content-type.';
comment on column tikku.message_content.delay_ms is 'The delay that was asked for, in milliseconds.';
comment on column tikku.message_content.not_before is 'The time that was asked for.';
comment on column tikku.message_content.backoff is 'The wait between attempts, as domain::retry::Backoff writes it.';
comment on column tikku.message_content.idempotency_key is 'The publisher''s key; unique within the account for as long as the row lives.';
comment on column tikku.message_content.payload_hash is 'SHA-256 of url, method, headers and body; set with an idempotency key.';
comment on column tikku.message_content.labels is 'For filters, at most 10.';
comment on column tikku.message_content.resent_from is 'The message this one is a copy of.';

create table tikku.attempt (
  message_id uuid not null,
  number int not null,
  fence bigint not null,
  started_at timestamptz not null,
  duration_ms bigint not null,
  status smallint,
  error text,
  response_headers json,
  response_body bytea check (octet_length(response_body) <= 4096),
  retry_after_ms bigint,
  worker text not null,
  primary key (message_id, number)
);
comment on table tikku.attempt is 'One row for each push that ended, or was given up as lost.';
comment on column tikku.attempt.message_id is 'The message that was pushed.';
comment on column tikku.attempt.number is 'From 1, in the order of recording.';
comment on column tikku.attempt.fence is 'The lease it was made under; one attempt for each.';
comment on column tikku.attempt.started_at is 'Start of the push, by the database clock.';
comment on column tikku.attempt.duration_ms is 'How long it took, by the worker''s stopwatch, in milliseconds.';
comment on column tikku.attempt.status is 'HTTP status of the answer; null when there was none.';
comment on column tikku.attempt.error is 'Why it did not count as delivered, for a person.';
comment on column tikku.attempt.response_headers is 'The answer''s headers, an array of [name, value], bounded.';
comment on column tikku.attempt.response_body is 'The first 4,096 bytes of the answer.';
comment on column tikku.attempt.retry_after_ms is 'The wait the endpoint asked for and got, after the cap, in milliseconds.';
comment on column tikku.attempt.worker is 'Which process made the push.';
