-- What fanouts, flow control, circuit breakers, callbacks and schedules add to a message, and the tables of the first three.
-- The columns that decide when a row may start are in the narrow row; the rest is content.

alter table tikku.message
  add column flow_key text,
  add column breaker_id uuid;
comment on column tikku.message.flow_key is 'The flow whose limits it shares; null for none. Never changes.';
comment on column tikku.message.breaker_id is 'The open circuit breaker it waits for; kick_until is then infinite.';
comment on column tikku.message.kick_until is 'Set while it waits: until then the wake queue holds the row or need not; tick hands it over afterwards. Infinite while it waits for its flow or a breaker, which kicks it.';

-- tick: which rows of an account does the queue not hold? By account, so that a million rows of one do not hide those of another.
drop index tikku.message_kick;
create index message_kick on tikku.message (account_id, kick_until) where kick_until is not null;
-- A flow's waiting rows in the order they start.
create index message_flow_waiting on tikku.message (account_id, flow_key, due_at, id)
  where flow_key is not null and kick_until is not null and breaker_id is null;
-- A flow's started rows: who holds a place, and what a first-in-first-out flow must finish first.
create index message_flow_started on tikku.message (account_id, flow_key, state) where flow_key is not null and state in ('delivering', 'retrying');
-- A flow's rows that wait for a breaker: they hold up one that keeps the order.
create index message_flow_broken on tikku.message (account_id, flow_key) where flow_key is not null and breaker_id is not null;
-- A breaker's waiting rows in the order they were due.
create index message_breaker on tikku.message (breaker_id, due_at, id) where breaker_id is not null;
-- Retention, and what had failed when a bulk operation began.
create index message_finished on tikku.message (account_id, finished_at) where finished_at is not null;

alter table tikku.message_content
  add column raw boolean not null default false,
  add column flow json,
  add column callback_url text,
  add column failure_callback_url text,
  add column callback_of uuid,
  add column fanout text,
  add column publish_id uuid,
  add column schedule_id uuid;
create index message_content_publish on tikku.message_content (account_id, publish_id) where publish_id is not null;
create index message_content_fanout on tikku.message_content (account_id, fanout, message_id desc) where fanout is not null;
create index message_content_schedule on tikku.message_content (account_id, schedule_id, message_id desc) where schedule_id is not null;
comment on column tikku.message_content.raw is 'Published as bytes: no content-type is added to the push.';
comment on column tikku.message_content.flow is 'The limits published with its flow key: {parallelism, rate, periodMs}, each may be absent.';
comment on column tikku.message_content.callback_url is 'Told when it is delivered.';
comment on column tikku.message_content.failure_callback_url is 'Told when it has failed.';
comment on column tikku.message_content.callback_of is 'The message whose end this one tells; such a message has no callbacks itself.';
comment on column tikku.message_content.fanout is 'The fanout it was published to.';
comment on column tikku.message_content.publish_id is 'The first message of the same publish to a fanout; that one has the idempotency key.';
comment on column tikku.message_content.schedule_id is 'The schedule that fired it.';

create table tikku.fanout (
  account_id uuid not null,
  name text not null check (length(name) between 1 and 64),
  revision bigint not null default 1,
  created_at timestamptz not null default tikku.clock_now(),
  updated_at timestamptz not null default tikku.clock_now(),
  primary key (account_id, name)
);
comment on table tikku.fanout is 'A named list of endpoints; a publish to it makes one message for each.';
comment on column tikku.fanout.account_id is 'Whose it is.';
comment on column tikku.fanout.name is 'What publishers call it.';
comment on column tikku.fanout.revision is 'One more with every change of it or its endpoints; its ETag.';
comment on column tikku.fanout.created_at is 'When it was made, by the database clock.';
comment on column tikku.fanout.updated_at is 'When it or an endpoint was last changed, by the database clock.';

create table tikku.fanout_endpoint (
  account_id uuid not null,
  fanout text not null,
  id uuid not null default tikku.new_id(),
  url text not null,
  method text,
  headers json not null default '[]',
  max_attempts smallint,
  timeout_ms int,
  backoff json,
  flow_key text,
  flow json,
  paused boolean not null default false,
  primary key (account_id, fanout, id),
  foreign key (account_id, fanout) references tikku.fanout on delete cascade
);
create unique index fanout_endpoint_url on tikku.fanout_endpoint (account_id, fanout, url);
comment on table tikku.fanout_endpoint is 'Where a fanout delivers. What is null here is as the publish says.';
comment on column tikku.fanout_endpoint.account_id is 'Whose it is.';
comment on column tikku.fanout_endpoint.fanout is 'The fanout it belongs to.';
comment on column tikku.fanout_endpoint.id is 'Shown as ep_ and 32 hex digits; publishes go through endpoints in this order.';
comment on column tikku.fanout_endpoint.url is 'Where it delivers; once in a fanout.';
comment on column tikku.fanout_endpoint.method is 'HTTP method.';
comment on column tikku.fanout_endpoint.headers is 'An array of [name, value]; one that the publish has too is replaced.';
comment on column tikku.fanout_endpoint.max_attempts is 'Retry budget.';
comment on column tikku.fanout_endpoint.timeout_ms is 'Longest push, in milliseconds.';
comment on column tikku.fanout_endpoint.backoff is 'Wait between attempts, as domain::retry::Backoff writes it.';
comment on column tikku.fanout_endpoint.flow_key is 'The flow of its messages.';
comment on column tikku.fanout_endpoint.flow is 'The limits of that flow: {parallelism, rate, periodMs}.';
comment on column tikku.fanout_endpoint.paused is 'While true, publishes make no message for it.';

create table tikku.flow (
  account_id uuid not null,
  key text not null,
  parallelism int,
  rate int,
  period_ms bigint,
  pinned boolean not null default false,
  paused boolean not null default false,
  revision bigint not null default 1,
  hold_until timestamptz,
  window_at timestamptz,
  used int not null default 0,
  used_before int not null default 0,
  waiting boolean not null default false,
  next_at timestamptz not null default tikku.clock_now() + interval '1 hour',
  primary key (account_id, key)
) with (fillfactor = 70);
create index flow_next on tikku.flow (next_at);
comment on table tikku.flow is 'Flow control of one key. Whoever starts, blocks or ends messages of a flow locks its row first.';
comment on column tikku.flow.account_id is 'Whose flow it is.';
comment on column tikku.flow.key is 'The key that messages are published with.';
comment on column tikku.flow.parallelism is 'Pushes at once; null for no limit; 1 keeps the order. Pinned, else of the last message that waits.';
comment on column tikku.flow.rate is 'Starts in a period; null for no limit.';
comment on column tikku.flow.period_ms is 'Length of the period, in milliseconds.';
comment on column tikku.flow.pinned is 'Set by an operator: what messages say is ignored.';
comment on column tikku.flow.paused is 'While true, nothing of it starts.';
comment on column tikku.flow.revision is 'One more with every change by an operator; its ETag.';
comment on column tikku.flow.hold_until is 'Nothing of it starts before: an endpoint answered 429 or said when to come back.';
comment on column tikku.flow.window_at is 'Start of the current rate period; null before the first.';
comment on column tikku.flow.used is 'Starts in the current period.';
comment on column tikku.flow.used_before is 'Starts in the period before.';
comment on column tikku.flow.waiting is 'Rows of it are left waiting, so that a publish need not trouble the queue.';
comment on column tikku.flow.next_at is 'When tick looks at it: after a minute while rows wait and once more, else after an hour, whether it is of any use still.';

create table tikku.breaker (
  id uuid primary key default tikku.new_id(),
  account_id uuid not null,
  destination text not null,
  state text not null default 'closed' check (state in ('closed', 'open', 'half_open')),
  window_at timestamptz not null,
  attempts int not null default 0,
  failures int not null default 0,
  attempts_before int not null default 0,
  failures_before int not null default 0,
  opened_at timestamptz,
  probe_at timestamptz,
  probe_id uuid,
  last_error text,
  next_at timestamptz not null default 'infinity'
) with (fillfactor = 70);
create unique index breaker_destination on tikku.breaker (account_id, destination);
create index breaker_open on tikku.breaker (account_id, destination) where state <> 'closed';
create index breaker_next on tikku.breaker (next_at) where next_at < 'infinity';
comment on table tikku.breaker is 'Circuit breaker of a destination that failed lately; one that is well has no row.';
comment on column tikku.breaker.id is 'Shown as brk_ and 32 hex digits.';
comment on column tikku.breaker.account_id is 'Whose destination it is.';
comment on column tikku.breaker.destination is 'Scheme, host, port and path: the URL without its query.';
comment on column tikku.breaker.state is 'closed: pushes go; open: they wait; half_open: one is under way to find out.';
comment on column tikku.breaker.window_at is 'Start of the current 30 s, by the database clock.';
comment on column tikku.breaker.attempts is 'Pushes that ended in the current 30 s.';
comment on column tikku.breaker.failures is 'Of those, with a connection error, a timeout or 5xx.';
comment on column tikku.breaker.attempts_before is 'Pushes that ended in the 30 s before.';
comment on column tikku.breaker.failures_before is 'Of those, failures.';
comment on column tikku.breaker.opened_at is 'When it last opened; null when it never did.';
comment on column tikku.breaker.probe_at is 'While open or half open: when the next single push may try.';
comment on column tikku.breaker.probe_id is 'The message whose push is trying.';
comment on column tikku.breaker.last_error is 'Why the push that opened it failed.';
comment on column tikku.breaker.next_at is 'When tick looks at it; infinite while nothing waits for it.';

alter table tikku.account
  add column retention_days int not null default 30 check (retention_days between 1 and 3650),
  add column requests_per_minute int not null default 60000 check (requests_per_minute between 1 and 100000000),
  add column breaker_attempts int not null default 100 check (breaker_attempts between 1 and 1000000),
  add column breaker_percent int not null default 90 check (breaker_percent between 1 and 101),
  add column breaker_open_ms bigint not null default 30000 check (breaker_open_ms between 1000 and 86400000),
  add column revision bigint not null default 1;
comment on column tikku.account.retention_days is 'How long finished messages are kept.';
comment on column tikku.account.requests_per_minute is 'How many API requests its keys may make in a minute, together.';
comment on column tikku.account.breaker_attempts is 'A breaker opens with so many ended pushes within 60 s at least.';
comment on column tikku.account.breaker_percent is 'And so many percent of them failed; 101 means never.';
comment on column tikku.account.breaker_open_ms is 'How long a breaker stays open before a single push tries, in milliseconds.';
comment on column tikku.account.revision is 'One more with every change of its settings; its ETag.';
