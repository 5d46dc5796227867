-- The clock, the ids and the schema's own version. No other migration may read the machine's time or roll dice.

create table if not exists tikku.schema_version (
  version int primary key,
  name text not null,
  applied_at timestamptz not null default statement_timestamp()
);
comment on table tikku.schema_version is 'One row for each migration that has run.';
comment on column tikku.schema_version.version is 'The four digits of the migration''s file name.';
comment on column tikku.schema_version.name is 'The rest of the file name.';
comment on column tikku.schema_version.applied_at is 'When it ran, by the database clock.';

-- Tests move the clock by a connection option: `-c tikku.clock_offset=3600s`.

-- Due tests use this: the statement's start. VOLATILE would turn an index condition into a filter over the whole index.
create function tikku.clock_now() returns timestamptz language sql stable parallel safe as $$
  select coalesce(statement_timestamp() + nullif(current_setting('tikku.clock_offset', true), '')::interval, statement_timestamp())
$$;
comment on function tikku.clock_now is 'The only clock for decisions: the statement''s start, moved by tests.';

-- Only for what is written after locks are held: a statement may have waited.
create function tikku.clock_fresh() returns timestamptz language sql volatile parallel safe as $$
  select coalesce(clock_timestamp() + nullif(current_setting('tikku.clock_offset', true), '')::interval, clock_timestamp())
$$;
comment on function tikku.clock_fresh is 'The time right now, for leases written after a lock was waited for.';

create function tikku.ms_until(due timestamptz) returns bigint language sql stable parallel safe as $$
  select case when due < 'infinity' then greatest(0, ceil(date_part('epoch', due - tikku.clock_now()) * 1000))::bigint end
$$;
comment on function tikku.ms_until is 'Milliseconds from now until `due`, never negative; null for infinity. Durations, not instants, cross the wire.';

create function tikku.ms(duration_ms bigint) returns interval language sql immutable parallel safe as $$
  select duration_ms * interval '1 millisecond'
$$;
comment on function tikku.ms is 'Milliseconds as an interval.';

create function tikku.rfc3339(t timestamptz) returns text language sql stable parallel safe as $$
  select to_char(t at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;
comment on function tikku.rfc3339 is 'RFC 3339 in UTC with milliseconds, as the API shows every time.';

-- date_part, not extract: that computes in numeric, which costs four times as much.
-- UUID version 7 (RFC 9562, section 5.7): 48 bits of milliseconds, then random bits. Ids sort by creation within a millisecond's grain.
create function tikku.new_id() returns uuid language sql volatile parallel safe as $$
  select encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    placing substring(int8send(floor(date_part('epoch', tikku.clock_fresh()) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1), 'hex')::uuid
$$;
comment on function tikku.new_id is 'A time-ordered id: UUID version 7 from the database''s clock and dice.';

create table tikku.tick (
  only_row boolean primary key default true check (only_row),
  last_at timestamptz
);
insert into tikku.tick default values;
comment on table tikku.tick is 'One row: when tick last looked.';
comment on column tikku.tick.only_row is 'Keeps this table to one row.';
comment on column tikku.tick.last_at is 'Start of the last tick, by the database clock; null before the first.';
