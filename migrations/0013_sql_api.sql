-- Publishing by SQL, in the transaction of whoever publishes. That may be long, so it only inserts: no row is locked and nothing is waited
-- for but another transaction that publishes with the same idempotency key. It goes out with the first tick after the commit.

-- Everything runs as the owner of the schema on behalf of roles that may do nothing else here. So both entrances fix search_path, which all they call
-- inherits (a caller's operators and functions are never found), and how string literals are read. What they call is not executable by anyone else.

create table tikku.database_role (
  role_name name primary key,
  account_id uuid not null references tikku.account
);
comment on table tikku.database_role is 'Which account a database role publishes for by SQL. Filled by the operator; with a single account it may be empty.';
comment on column tikku.database_role.role_name is 'The role that logged in (session_user): SET ROLE changes nothing.';
comment on column tikku.database_role.account_id is 'The account.';

create function tikku.sql_refuse(p_detail text, p_hint text) returns void language plpgsql volatile as $$
begin
  if p_hint is null then
    raise exception using errcode = '22023', message = p_detail;
  end if;
  raise exception using errcode = '22023', message = p_detail, hint = p_hint;
end $$;
comment on function tikku.sql_refuse is 'Ends the statement: a parameter is wrong.';

create function tikku.sql_account(p_at text) returns uuid language plpgsql stable as $$
declare
  v_account uuid;
  v_ids uuid[];
begin
  -- A caller who cannot write the tables does not move the clock either: that is for tests.
  if coalesce(current_setting('tikku.clock_offset', true), '') <> '' and not has_table_privilege(session_user, 'tikku.message', 'insert') then
    raise exception using errcode = '42501', message = p_at || 'the setting tikku.clock_offset is for tests of Tikku', hint = 'RESET tikku.clock_offset.';
  end if;
  select r.account_id into v_account from tikku.database_role r where r.role_name = session_user;
  if found then
    return v_account;
  end if;
  v_ids := array(select a.id from tikku.account a limit 2);
  if array_length(v_ids, 1) = 1 then
    return v_ids[1];
  elsif v_ids = '{}' then
    raise exception using errcode = '55000', message = p_at || 'there is no account', hint = 'Make one: tikku accounts create NAME';
  end if;
  raise exception using errcode = '42501', message = format('%sthere are several accounts, and the role %I has none', p_at, session_user),
    hint = format('insert into tikku.database_role (role_name, account_id) select %L, id from tikku.account where name = ''...'';', session_user);
end $$;
comment on function tikku.sql_account is 'The account that the role publishes for.';

-- Readers of one member of an object of arguments. A JSON null counts as absent. p_at is what an error begins with.

create function tikku.sql_integer(p_item jsonb, p_name text, p_least bigint, p_most bigint, p_at text) returns bigint language plpgsql immutable as $$
declare
  v_value jsonb := nullif(p_item -> p_name, 'null');
begin
  if v_value is not null and (jsonb_typeof(v_value) <> 'number' or v_value::text !~ '^-?[0-9]{1,18}$') then
    v_value := to_jsonb(p_least - 1);
  end if;
  if v_value::bigint not between p_least and p_most then
    perform tikku.sql_refuse(format('%s%s must be an integer from %s to %s', p_at, p_name, p_least, p_most), null);
  end if;
  return v_value::bigint;
end $$;
comment on function tikku.sql_integer is 'An integer within a range.';

create function tikku.sql_text(p_item jsonb, p_name text, p_most int, p_at text) returns text language plpgsql immutable as $$
declare
  v_value jsonb := nullif(p_item -> p_name, 'null');
begin
  if v_value is null then
    return null;
  elsif jsonb_typeof(v_value) <> 'string' or length(v_value #>> '{}') not between 1 and p_most then
    perform tikku.sql_refuse(format('%s%s must be text of 1 to %s characters', p_at, p_name, p_most), null);
  end if;
  return v_value #>> '{}';
end $$;
comment on function tikku.sql_text is 'Text of one character at least.';

create function tikku.sql_boolean(p_item jsonb, p_name text, p_default boolean, p_at text) returns boolean language plpgsql immutable as $$
declare
  v_value jsonb := nullif(p_item -> p_name, 'null');
begin
  if jsonb_typeof(v_value) <> 'boolean' then
    perform tikku.sql_refuse(format('%s%s must be true or false', p_at, p_name), null);
  end if;
  return coalesce(v_value::boolean, p_default);
end $$;
comment on function tikku.sql_boolean is 'True or false.';

create function tikku.sql_word(p_item jsonb, p_name text, p_words text[], p_at text) returns text language plpgsql immutable as $$
declare
  v_value jsonb := nullif(p_item -> p_name, 'null');
begin
  if v_value is null then
    return p_words[1];
  elsif jsonb_typeof(v_value) <> 'string' or not v_value #>> '{}' = any(p_words) then
    perform tikku.sql_refuse(format('%s%s must be one of %s', p_at, p_name, array_to_string(p_words, ', ')), null);
  end if;
  return v_value #>> '{}';
end $$;
comment on function tikku.sql_word is 'One of a few words; the first when it is absent.';

create function tikku.sql_time(p_item jsonb, p_name text, p_at text) returns timestamptz language plpgsql stable as $$
declare
  v_value jsonb := nullif(p_item -> p_name, 'null');
  v_time timestamptz;
begin
  if v_value is null then
    return null;
  end if;
  if v_value #>> '{}' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$' then
    begin
      v_time := (v_value #>> '{}')::timestamptz;
    exception when data_exception then
      -- A 13th month: refused below.
      v_time := null;
    end;
  end if;
  if v_time is null or v_time < to_timestamp(0) then
    perform tikku.sql_refuse(format('%s%s must be a time since 1970', p_at, p_name), 'In JSON a time is written as RFC 3339 does: 2027-01-31T09:00:00Z.');
  end if;
  return v_time;
end $$;
comment on function tikku.sql_time is 'A time; in JSON as RFC 3339 writes it.';

create function tikku.sql_members(p_object jsonb, p_names text[], p_at text) returns void language plpgsql immutable as $$
declare
  v_strange text;
begin
  if jsonb_typeof(p_object) is distinct from 'object' then
    perform tikku.sql_refuse(rtrim(p_at, '.') || ' must be an object', null);
  elsif p_object - p_names <> '{}' then
    v_strange := (select k.name from jsonb_object_keys(p_object - p_names) as k(name) limit 1);
    perform tikku.sql_refuse(format('%s%s is not known', p_at, to_json(left(v_strange, 128))), 'Known are: ' || array_to_string(p_names, ', '));
  end if;
end $$;
comment on function tikku.sql_members is 'Refuses what is no object and members that nobody asked for.';

-- Its shape only: where a name leads, and which hosts and schemes are allowed, is for the push to say (domain::destination).
create function tikku.sql_url(p_item jsonb, p_name text, p_at text) returns text language plpgsql immutable as $$
declare
  v_url text := tikku.sql_text(p_item, p_name, 2048, p_at);
  v_rest text := substr(v_url, strpos(v_url, '://') + 3);
  v_authority text := substring(v_rest from '^[^/\\?#]*');
begin
  if v_url ~ '[\u0001-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]' then
    perform tikku.sql_refuse(format('%s%s contains whitespace or a control character: it must be percent-encoded, as in %%20', p_at, p_name), null);
  elsif v_url !~ '^[Hh][Tt][Tt][Pp][Ss]?://' then
    perform tikku.sql_refuse(format('%s%s must begin with https:// (or http://, where the operator allows it)', p_at, p_name), null);
  elsif v_authority = '' then
    perform tikku.sql_refuse(format('%s%s has no host: expected https://host/path', p_at, p_name), null);
  elsif strpos(v_authority, '@') > 0 then
    perform tikku.sql_refuse(format('%s%s must not hold a user name or password: send credentials in a header', p_at, p_name), null);
  end if;
  -- No server ever receives a fragment.
  return split_part(v_url, '#', 1);
end $$;
comment on function tikku.sql_url is 'A destination as it was written, without its fragment.';

-- The rules of domain::header_rules. The order is that of jsonb: short names first, equally long ones by their bytes.
create function tikku.sql_headers(p_item jsonb, p_at text) returns json language plpgsql immutable as $$
declare
  v_headers jsonb := nullif(p_item -> 'headers', 'null');
  v_fault text;
  v_seen text[] := '{}';
  v_bytes bigint := 0;
  h record;
begin
  if v_headers is null then
    return '[]';
  elsif jsonb_typeof(v_headers) <> 'object' then
    perform tikku.sql_refuse(p_at || 'headers must be an object of strings', null);
  end if;
  for h in select x.key as name, x.value, x.value #>> '{}' as text, lower(x.key collate "C") as lower from jsonb_each(v_headers) x loop
    v_bytes := v_bytes + octet_length(convert_to(h.name || h.text, 'UTF8'));
    v_fault := case
      when array_length(v_seen, 1) = 64 then 'is one too many: at most 64 headers are allowed'
      when v_bytes > 32768 then 'is too much: all names and values together may have at most 32768 bytes'
      when jsonb_typeof(h.value) <> 'string' then 'must be a string'
      when h.name !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]+$' then 'is no name: a name is letters, digits and !#$%&''*+-.^_`|~, at least one'
      when h.lower = any(array['connection', 'content-length', 'expect', 'host', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade'])
        or h.lower ~ '^(webhook|tikku|proxy)-' then 'is set by HTTP or by Tikku: webhook-*, tikku-*, proxy-*, host, content-length, '
        || 'transfer-encoding, connection, keep-alive, te, trailer, upgrade and expect are not allowed'
      when h.text ~ '[\u0001-\u0008\u000a-\u001f\u007f]' or h.text ~ '^[ \t]|[ \t]$'
        then 'must be text without control characters, and without whitespace at either end'
      when h.lower = any(v_seen) then 'appears twice: names are case-insensitive, join the values with a comma' end;
    if v_fault is not null then
      perform tikku.sql_refuse(format('%sheaders: %s %s', p_at, to_json(left(h.name, 128)), v_fault), null);
    end if;
    v_seen := v_seen || h.lower;
  end loop;
  return (select coalesce(json_agg(json_build_array(x.key, x.value) order by x.n), '[]') from jsonb_each(v_headers) with ordinality as x(key, value, n));
end $$;
comment on function tikku.sql_headers is 'The headers as [[name, value], ...].';

create function tikku.sql_labels(p_item jsonb, p_at text) returns text[] language plpgsql immutable as $$
declare
  v_labels jsonb := coalesce(nullif(p_item -> 'labels', 'null'), '[]');
begin
  if jsonb_typeof(v_labels) <> 'array' or jsonb_array_length(v_labels) > 10 or exists (
    select 1 from jsonb_array_elements(v_labels) as l(label) where jsonb_typeof(l.label) <> 'string' or length(l.label #>> '{}') not between 1 and 64
  ) then
    perform tikku.sql_refuse(p_at || 'labels must be at most 10 texts of 1 to 64 characters', null);
  end if;
  return array(select l.label #>> '{}' from jsonb_array_elements(v_labels) with ordinality as l(label, n) order by l.n);
end $$;
comment on function tikku.sql_labels is 'The labels.';

-- As domain::retry::Backoff writes it.
create function tikku.sql_backoff(p_item jsonb, p_at text) returns json language plpgsql immutable as $$
declare
  v_backoff jsonb := coalesce(nullif(p_item -> 'backoff', 'null'), '{}');
  v_at text := p_at || 'backoff.';
  v_type text;
  v_initial_s bigint;
  v_max_s bigint;
  v_factor numeric;
begin
  perform tikku.sql_members(v_backoff, array['type', 'initial_seconds', 'factor', 'max_seconds', 'jitter'], v_at);
  v_type := tikku.sql_word(v_backoff, 'type', array['exponential', 'linear', 'fixed'], v_at);
  v_max_s := tikku.sql_integer(v_backoff, 'max_seconds', 0, 31536000, v_at);
  v_initial_s := coalesce(tikku.sql_integer(v_backoff, 'initial_seconds', 0, 31536000, v_at), least(1, v_max_s));
  if v_max_s < v_initial_s then
    perform tikku.sql_refuse(v_at || 'max_seconds must not be below initial_seconds', null);
  end if;
  if jsonb_typeof(nullif(v_backoff -> 'factor', 'null')) = 'number' then
    v_factor := (v_backoff -> 'factor')::numeric;
  elsif nullif(v_backoff -> 'factor', 'null') is not null then
    v_factor := 0;
  end if;
  if v_factor not between 1 and 100 then
    perform tikku.sql_refuse(v_at || 'factor must be a number from 1 to 100', null);
  end if;
  return json_build_object('type', v_type, 'initialMs', v_initial_s * 1000, 'factor', trim_scale(round(coalesce(v_factor, 5), 15)),
    'maxMs', coalesce(v_max_s, greatest(3600, v_initial_s)) * 1000, 'jitter', tikku.sql_boolean(v_backoff, 'jitter', true, v_at));
end $$;
comment on function tikku.sql_backoff is 'The backoff, with defaults for what is absent.';

create function tikku.sql_flow(p_item jsonb, p_at text, out flow_key text, out flow json) language plpgsql immutable as $$
declare
  v_flow jsonb := nullif(p_item -> 'flow_control', 'null');
  v_at text := p_at || 'flow_control.';
  v_rate bigint;
  v_period_s bigint;
begin
  if v_flow is null then
    return;
  end if;
  perform tikku.sql_members(v_flow, array['key', 'parallelism', 'rate', 'period_seconds'], v_at);
  flow_key := tikku.sql_text(v_flow, 'key', 255, v_at);
  v_rate := tikku.sql_integer(v_flow, 'rate', 1, 1000000, v_at);
  v_period_s := tikku.sql_integer(v_flow, 'period_seconds', 1, 2592000, v_at);
  if flow_key is null then
    perform tikku.sql_refuse(v_at || 'key is required', null);
  elsif v_rate is null and v_period_s is not null then
    perform tikku.sql_refuse(v_at || 'period_seconds is the period of a rate, and there is no rate', null);
  end if;
  flow := json_build_object('parallelism', tikku.sql_integer(v_flow, 'parallelism', 1, 10000, v_at), 'rate', v_rate,
    'periodMs', case when v_rate is not null then coalesce(v_period_s, 1) * 1000 end);
end $$;
comment on function tikku.sql_flow is 'The flow''s key and its limits; nulls without one.';

create function tikku.sql_part(p_bytes bytea) returns bytea language sql immutable as $$ select int8send(octet_length(p_bytes)) || p_bytes $$;
comment on function tikku.sql_part is 'Bytes behind their length.';

-- Byte for byte what domain::publish hashes, so that a key means the same however it is published with.
create function tikku.sql_fingerprint(c tikku.message_content) returns bytea language plpgsql immutable as $$
declare
  v_bytes bytea := case when c.url is not null then tikku.sql_part(convert_to(c.url, 'UTF8'))
    else tikku.sql_part('') || tikku.sql_part(convert_to(c.fanout, 'UTF8')) end || tikku.sql_part(convert_to(c.method, 'UTF8'));
  v_header json;
begin
  for v_header in select h.header from json_array_elements(c.headers) as h(header) order by lower((h.header ->> 0) collate "C") loop
    v_bytes := v_bytes || tikku.sql_part(convert_to(lower((v_header ->> 0) collate "C"), 'UTF8')) || tikku.sql_part(convert_to(v_header ->> 1, 'UTF8'));
  end loop;
  return sha256(v_bytes || tikku.sql_part(case when c.body is null then 'none'::bytea else 'body'::bytea end) || tikku.sql_part(coalesce(c.body, '')));
end $$;
comment on function tikku.sql_fingerprint is 'SHA-256 of target, method, headers and body.';

-- Checks the arguments of one message. `p_item` has all of them but the body, of which a JSON null is a value.
create function tikku.sql_read(p_account uuid, p_item jsonb, p_body jsonb, p_at text,
  out c tikku.message_content, out flow_key text, out due_at timestamptz, out max_attempts int, out timeout_ms int
) language plpgsql stable as $$
declare
  v_delay_s bigint;
begin
  perform tikku.sql_members(p_item, array['url', 'fanout', 'method', 'headers', 'delay_seconds', 'not_before', 'max_attempts', 'backoff', 'timeout_seconds',
    'idempotency_key', 'content_based_deduplication', 'flow_control', 'callback_url', 'failure_callback_url', 'labels', 'body'], p_at);
  c.account_id := p_account;
  c.raw := false;
  c.url := tikku.sql_url(p_item, 'url', p_at);
  c.fanout := tikku.sql_text(p_item, 'fanout', 64, p_at);
  if num_nonnulls(c.url, c.fanout) <> 1 then
    perform tikku.sql_refuse(p_at || case when c.url is null then 'url is required, or a fanout' else 'fanout and url exclude each other' end, null);
  end if;
  c.method := tikku.sql_word(p_item, 'method', array['POST', 'PUT', 'PATCH', 'DELETE', 'GET', 'HEAD'], p_at);
  c.headers := tikku.sql_headers(p_item, p_at);
  c.body := convert_to(p_body::text, 'UTF8');
  if c.body is not null and c.method in ('GET', 'HEAD') then
    perform tikku.sql_refuse(format('%sbody must be absent with method %s', p_at, c.method), null);
  elsif octet_length(c.body) > 4194304 then
    perform tikku.sql_refuse(p_at || 'body must have at most 4194304 bytes as text', null);
  end if;

  v_delay_s := tikku.sql_integer(p_item, 'delay_seconds', 0, 315360000, p_at);
  c.delay_ms := v_delay_s * 1000;
  c.not_before := tikku.sql_time(p_item, 'not_before', p_at);
  if num_nonnulls(c.delay_ms, c.not_before) = 2 then
    perform tikku.sql_refuse(p_at || 'not_before and delay_seconds exclude each other', null);
  elsif c.not_before > tikku.clock_now() + interval '315360000 seconds' then
    perform tikku.sql_refuse(p_at || 'not_before must be at most 315360000 seconds ahead', null);
  end if;
  due_at := greatest(tikku.clock_now(), tikku.clock_now() + tikku.ms(c.delay_ms), c.not_before);
  max_attempts := coalesce(tikku.sql_integer(p_item, 'max_attempts', 1, 100, p_at), 5);
  c.backoff := tikku.sql_backoff(p_item, p_at);
  timeout_ms := coalesce(tikku.sql_integer(p_item, 'timeout_seconds', 1, 840, p_at), 30) * 1000;
  select f.flow_key, f.flow into flow_key, c.flow from tikku.sql_flow(p_item, p_at) f;
  c.callback_url := tikku.sql_url(p_item, 'callback_url', p_at);
  c.failure_callback_url := tikku.sql_url(p_item, 'failure_callback_url', p_at);
  c.labels := tikku.sql_labels(p_item, p_at);

  c.idempotency_key := tikku.sql_text(p_item, 'idempotency_key', 255, p_at);
  if tikku.sql_boolean(p_item, 'content_based_deduplication', false, p_at) then
    if c.idempotency_key is not null then
      perform tikku.sql_refuse(p_at || 'content_based_deduplication and idempotency_key exclude each other', null);
    end if;
    c.payload_hash := tikku.sql_fingerprint(c);
    c.idempotency_key := 'content:' || encode(c.payload_hash, 'hex');
  elsif c.idempotency_key is not null then
    c.payload_hash := tikku.sql_fingerprint(c);
  end if;
end $$;
comment on function tikku.sql_read is 'The message to insert, and what message_put is told beside it.';

-- The first message's id; null for a fanout without active endpoints. A key that is known already is only read: its row stays unlocked.
create function tikku.sql_put(c tikku.message_content, p_flow_key text, p_due timestamptz, p_max_attempts int, p_timeout_ms int, p_at text)
returns text language plpgsql volatile as $$
declare
  v_verdict text;
  v_id uuid;
begin
  if c.idempotency_key is not null then
    select x.message_id, case when x.payload_hash = c.payload_hash then 'deduplicated' else 'mismatch' end into v_id, v_verdict
      from tikku.message_content x where x.account_id = c.account_id and x.idempotency_key = c.idempotency_key;
  end if;
  if v_verdict is not null then
    null;
  elsif c.fanout is null then
    select p[1], p[2] into v_verdict, v_id from tikku.message_put(c, p_flow_key, p_due, p_max_attempts, p_timeout_ms, null) p;
  else
    select p.verdict, p.id into v_verdict, v_id from tikku.message_put_fanout(c, p_flow_key, p_due, p_max_attempts, p_timeout_ms, null) p limit 1;
  end if;
  if v_verdict = 'no_fanout' then
    perform tikku.sql_refuse(p_at || 'fanout does not exist', null);
  elsif v_verdict = 'too_large' then
    perform tikku.sql_refuse(p_at || 'body, once for each endpoint of the fanout, may have at most 64 MiB', null);
  elsif v_verdict = 'mismatch' then
    raise exception using errcode = '23505', message = format('%sidempotency_key belongs to msg_%s, which has another payload', p_at, translate(v_id::text, '-', '')),
      hint = 'A key stands for url or fanout, method, headers and body as they were first published with it.';
  end if;
  return 'msg_' || translate(v_id::text, '-', '');
end $$;
comment on function tikku.sql_put is 'Inserts a message, or finds the one that has its idempotency key.';

create function tikku.publish(
  url text default null, body jsonb default null, fanout text default null, method text default 'POST', headers jsonb default null,
  delay_seconds bigint default null, not_before timestamptz default null, max_attempts int default 5, backoff jsonb default null,
  timeout_seconds int default 30, idempotency_key text default null, content_based_deduplication boolean default false,
  flow_control jsonb default null, callback_url text default null, failure_callback_url text default null, labels text[] default '{}'
) returns text language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set enable_seqscan = off as $$
declare
  m record;
begin
  m := tikku.sql_read(tikku.sql_account('tikku.publish: '), jsonb_build_object(
    'url', url, 'fanout', fanout, 'method', method, 'headers', headers, 'delay_seconds', delay_seconds, 'not_before', not_before,
    'max_attempts', max_attempts, 'backoff', backoff, 'timeout_seconds', timeout_seconds, 'idempotency_key', idempotency_key,
    'content_based_deduplication', content_based_deduplication, 'flow_control', flow_control, 'callback_url', callback_url,
    'failure_callback_url', failure_callback_url, 'labels', labels), body, 'tikku.publish: ');
  return tikku.sql_put(m.c, m.flow_key, m.due_at, m.max_attempts, m.timeout_ms, 'tikku.publish: ');
end $$;
comment on function tikku.publish is 'Publishes a message when the transaction commits; returns its id (msg_...). See docs/sql.md.';

-- In the order of their keys, as message_publish_batch does: two batches with the same keys wait for each other instead of deadlocking.
-- Within a flow they start in the order of the array: each is due a microsecond after the one before.
create function tikku.publish_batch(messages jsonb) returns text[] language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set enable_seqscan = off as $$
declare
  v_account uuid := tikku.sql_account('tikku.publish_batch: ');
  v_count int := case when jsonb_typeof(messages) = 'array' then jsonb_array_length(messages) else 0 end;
  v_ids text[];
  m record;
begin
  if v_count not between 1 and 1000 then
    perform tikku.sql_refuse('tikku.publish_batch: messages must be an array of 1 to 1000 objects', null);
  end if;
  v_ids := array_fill(null::text, array[v_count]);
  for m in
    select i.n, i.at, r.* from (
      select e.item, e.n, format('tikku.publish_batch: messages[%s].', e.n - 1) as at from jsonb_array_elements(messages) with ordinality as e(item, n)
    ) i cross join lateral tikku.sql_read(v_account, case when jsonb_typeof(i.item) = 'object' then i.item - 'body' end,
      case when jsonb_typeof(i.item) = 'object' then i.item -> 'body' end, i.at) r
      order by (r.c).idempotency_key, i.n
  loop
    v_ids[m.n] := tikku.sql_put(m.c, m.flow_key, m.due_at - (v_count - m.n) * interval '1 microsecond', m.max_attempts, m.timeout_ms, m.at);
  end loop;
  return v_ids;
end $$;
comment on function tikku.publish_batch is 'Publishes many when the transaction commits: an array of objects with the arguments of tikku.publish; returns their ids in its order.';

-- Whoever is granted USAGE on the schema may call what is granted beside it, and nothing else. Later migrations revoke for their own functions.
revoke execute on all functions in schema tikku from public;
