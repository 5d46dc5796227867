-- Starting runs: over HTTP, for schedules, messages and events, and by SQL in the transaction of whoever starts. That may be long, so by SQL nothing
-- is locked that was there before: a start inserts, a signal goes to an intake that tick hands on.

-- Starts a run for whoever may: the account is known.
create function tikku.run_start_for(p_account uuid, p_how text, p_source uuid, p_workflow text, p_version text, p_external_id text, p_idempotency_key text,
  p_input bytea, p_delay_ms bigint, p_labels text[], p_window_ms bigint, p_by uuid default null)
returns text[] language plpgsql volatile as $$
declare
  c tikku.run_content;
begin
  c.account_id := p_account;
  c.workflow := p_workflow;
  c.version := p_version;
  c.external_id := p_external_id;
  c.idempotency_key := p_idempotency_key;
  c.input := coalesce(p_input, 'null');
  if num_nonnulls(p_external_id, p_idempotency_key) > 0 then
    c.input_hash := sha256(c.input);
  end if;
  c.attempt := 1;
  c.accept_seq := 0;
  c.labels := coalesce(p_labels, '{}');
  c.started_by := p_by;
  c.started_how := p_how;
  c.source_id := p_source;
  return tikku.run_put(c, null, case when p_delay_ms > 0 then tikku.clock_now() + tikku.ms(p_delay_ms) end, null, p_window_ms) || p_account::text;
end $$;
comment on function tikku.run_start_for is 'The answer of run_put, and the account.';

-- Checks the API key and starts a run. One statement for a start.
create function tikku.run_start(p_key_hash bytea, p_workflow text, p_version text, p_external_id text, p_idempotency_key text, p_input bytea,
  p_delay_ms bigint, p_labels text[], p_window_ms bigint)
returns text[] language plpgsql volatile as $$
declare
  k tikku.api_key;
begin
  select * into k from tikku.api_key x where x.hash = p_key_hash and x.revoked_at is null;
  if not found then
    return array['unauthorized'];
  elsif k.role = 'read' then
    return array['forbidden'];
  elsif k.last_used_at is null or k.last_used_at < tikku.clock_now() - interval '1 minute' then
    perform tikku.api_key_use(p_key_hash);
  end if;
  return tikku.run_start_for(k.account_id, 'api', null, p_workflow, p_version, p_external_id, p_idempotency_key, p_input, p_delay_ms, p_labels, p_window_ms, k.id);
end $$;
comment on function tikku.run_start is 'The answer of run_start_for; or [unauthorized], [forbidden].';

-- Both entrances run as the owner of the schema (0013 says what follows from that).

create function tikku.start_run(
  workflow text, input jsonb default 'null', id text default null, version text default null, idempotency_key text default null,
  delay_seconds bigint default null, labels text[] default '{}'
) returns text language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set enable_seqscan = off as $$
declare
  v_at constant text := 'tikku.start_run: ';
  v_account uuid := tikku.sql_account(v_at);
  v_item jsonb := jsonb_build_object('workflow', workflow, 'id', id, 'version', version, 'idempotency_key', idempotency_key, 'delay_seconds', delay_seconds, 'labels', labels);
  v_input bytea := convert_to(coalesce(input, 'null')::text, 'UTF8');
  v_policy json;
  v_put text[];
begin
  if workflow is null then
    perform tikku.sql_refuse(v_at || 'workflow is required', null);
  elsif octet_length(v_input) > 4194304 then
    perform tikku.sql_refuse(v_at || 'input must have at most 4194304 bytes as text', null);
  end if;
  select w.policy into v_policy from tikku.workflow w where w.account_id = v_account and w.name = start_run.workflow
    and case when start_run.version is null then w.is_current else w.version = start_run.version end;
  if v_policy -> 'debounce' is not null or v_policy #>> '{singleton,mode}' = 'cancel' then
    perform tikku.sql_refuse(format('%s%s has %s: its start changes another run, which a transaction must not hold', v_at, workflow,
      case when v_policy -> 'debounce' is not null then 'a debounce' else 'the singleton mode cancel' end), 'Start it over HTTP, or publish a message that does.');
  end if;
  v_put := tikku.run_start_for(v_account, 'sql', null, tikku.sql_text(v_item, 'workflow', 128, v_at), tikku.sql_text(v_item, 'version', 64, v_at),
    tikku.sql_text(v_item, 'id', 255, v_at), tikku.sql_text(v_item, 'idempotency_key', 255, v_at), v_input,
    tikku.sql_integer(v_item, 'delay_seconds', 0, 315360000, v_at) * 1000, tikku.sql_labels(v_item, v_at), null);
  if v_put[1] in ('no_workflow', 'no_version') then
    perform tikku.sql_refuse(format('%sno app serves %s%s', v_at, workflow, ' version ' || version), null);
  elsif v_put[1] = 'mismatch' then
    raise exception using errcode = '23505', message = format('%sthe id or idempotency_key belongs to run_%s, which has another input', v_at, translate(v_put[2], '-', ''));
  end if;
  return 'run_' || translate(v_put[2], '-', '');
end $$;
comment on function tikku.start_run is 'Starts a run when the transaction commits; returns its id (run_...), or that of the run that has the id, the key, or the place of the singleton. See docs/sql.md.';

create function tikku.signal(run text, name text, value jsonb default 'null') returns boolean language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set enable_seqscan = off as $$
declare
  v_at constant text := 'tikku.signal: ';
  v_account uuid := tikku.sql_account(v_at);
  v_value bytea := convert_to(coalesce(value, 'null')::text, 'UTF8');
  v_id uuid;
  v_over boolean;
begin
  if run ~ '^run_[0-9a-f]{32}$' then
    v_id := substr(run, 5)::uuid;
  end if;
  if octet_length(v_value) > 1048576 then
    perform tikku.sql_refuse(v_at || 'value must have at most 1048576 bytes as text', null);
  elsif name is null then
    perform tikku.sql_refuse(v_at || 'name is required', null);
  end if;
  name := tikku.sql_text(jsonb_build_object('name', name), 'name', 128, v_at);
  select r.finished_at is not null and c.continued_by is null into v_over from tikku.run r join tikku.run_content c on c.account_id = r.account_id and c.run_id = r.id
    where r.id = v_id and r.account_id = v_account;
  if not found then
    perform tikku.sql_refuse(v_at || 'run does not exist', 'A run''s id is what tikku.start_run returned: run_ and 32 hex digits.');
  elsif v_over then
    return false;
  end if;
  insert into tikku.signal_intake (account_id, run_id, name, value, at) values (v_account, v_id, name, v_value, tikku.clock_now());
  return true;
end $$;
comment on function tikku.signal is 'Sends a signal when the transaction commits; false when the run is over already. See docs/sql.md.';

alter function tikku.run_start set lock_timeout = '5s';
alter function tikku.run_start_for set lock_timeout = '5s';

do $revoke$
declare
  v_function text;
begin
  foreach v_function in array array['run_start', 'run_start_for', 'start_run', 'signal'] loop
    execute (select format('revoke execute on function %s from public', p.oid::regprocedure) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where n.nspname = 'tikku' and p.proname = v_function);
  end loop;
end $revoke$;
