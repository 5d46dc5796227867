-- Who may do what, and with which secret a push is signed.

create table tikku.account (
  id uuid primary key default tikku.new_id(),
  name text not null unique check (length(name) between 1 and 64),
  created_at timestamptz not null default tikku.clock_now()
);
comment on table tikku.account is 'A tenant. Every other row belongs to one.';
comment on column tikku.account.id is 'Shown as acc_ and 32 hex digits.';
comment on column tikku.account.name is 'What people call it; unique, 1 to 64 characters.';
comment on column tikku.account.created_at is 'When it was made, by the database clock.';

create table tikku.api_key (
  id uuid primary key default tikku.new_id(),
  account_id uuid not null references tikku.account,
  name text not null check (length(name) <= 64),
  hash bytea not null unique check (octet_length(hash) = 32),
  hint text not null,
  role text not null check (role in ('admin', 'publish', 'read')),
  created_at timestamptz not null default tikku.clock_now(),
  last_used_at timestamptz,
  revoked_at timestamptz
);
create index api_key_account on tikku.api_key (account_id, id desc);
comment on table tikku.api_key is 'Bearer keys of the API; the key itself is shown once and never stored.';
comment on column tikku.api_key.id is 'Shown as key_ and 32 hex digits.';
comment on column tikku.api_key.account_id is 'Whose key it is.';
comment on column tikku.api_key.name is 'A note of its owner, at most 64 characters.';
comment on column tikku.api_key.hash is 'SHA-256 of the whole key text.';
comment on column tikku.api_key.hint is 'The key''s first characters, to recognise it by.';
comment on column tikku.api_key.role is 'admin: everything; publish: send and read; read: read.';
comment on column tikku.api_key.created_at is 'When it was made, by the database clock.';
comment on column tikku.api_key.last_used_at is 'Last use, to the minute: a hotter record would serialise all publishers on this row.';
comment on column tikku.api_key.revoked_at is 'When it was revoked; null while it works.';

create table tikku.signing_secret (
  id uuid primary key default tikku.new_id(),
  account_id uuid not null references tikku.account,
  secret bytea not null check (octet_length(secret) between 24 and 64),
  created_at timestamptz not null default tikku.clock_now(),
  expires_at timestamptz
);
create unique index signing_secret_current on tikku.signing_secret (account_id) where expires_at is null;
create index signing_secret_account on tikku.signing_secret (account_id, id desc);
comment on table tikku.signing_secret is 'Standard Webhooks secrets: one current for each account, rotated ones until they expire.';
comment on column tikku.signing_secret.id is 'Time-ordered: the greatest is the newest.';
comment on column tikku.signing_secret.account_id is 'Whose pushes it signs.';
comment on column tikku.signing_secret.secret is 'The raw bytes; shown as whsec_ and base64.';
comment on column tikku.signing_secret.created_at is 'When it was made, by the database clock.';
comment on column tikku.signing_secret.expires_at is 'Signs until then; null for the current one.';

-- F. Finds a key that works and notes its use, at most once a minute and never waiting for another who does the same.
create function tikku.api_key_use(p_hash bytea, out key_id uuid, out account_id uuid, out role text) language plpgsql volatile as $$
declare
  v_last timestamptz;
begin
  select k.id, k.account_id, k.role, k.last_used_at into key_id, account_id, role, v_last
    from tikku.api_key k where k.hash = p_hash and k.revoked_at is null;
  if found and (v_last is null or v_last < tikku.clock_now() - interval '1 minute') then
    perform 1 from tikku.api_key k where k.id = key_id for update skip locked;
    if found then
      update tikku.api_key k set last_used_at = tikku.clock_now() where k.id = key_id;
    end if;
  end if;
end $$;
comment on function tikku.api_key_use is 'The account and role behind a key''s hash, or nulls.';

-- F. A new key; its text is returned once and only its hash is kept.
create function tikku.api_key_create(p_account uuid, p_name text, p_role text, out key_id uuid, out token text) language plpgsql volatile as $$
begin
  token := 'tk_live_' || encode(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 'hex');
  insert into tikku.api_key (account_id, name, hash, hint, role)
    values (p_account, p_name, sha256(convert_to(token, 'UTF8')), left(token, 12), p_role)
    returning id into key_id;
end $$;
comment on function tikku.api_key_create is 'Makes a key of 244 random bits.';

-- F. An account with its first signing secret and an admin key; a name that is taken gives nulls.
create function tikku.account_create(p_name text, out account_id uuid, out token text) language plpgsql volatile as $$
begin
  insert into tikku.account (name) values (p_name) on conflict (name) do nothing returning id into account_id;
  if account_id is not null then
    insert into tikku.signing_secret (account_id, secret) values (account_create.account_id, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
    token := (tikku.api_key_create(account_id, 'first key', 'admin')).token;
  end if;
end $$;
comment on function tikku.account_create is 'Makes an account with an admin key.';

-- F. Locks the account, so that two rotations at once make two secrets in a row. The newest five that have not expired keep signing.
create function tikku.signing_secret_rotate(p_account uuid, p_overlap_ms bigint) returns void language plpgsql volatile as $$
begin
  perform 1 from tikku.account where id = p_account for update;
  update tikku.signing_secret set expires_at = tikku.clock_now() + tikku.ms(p_overlap_ms) where account_id = p_account and expires_at is null;
  insert into tikku.signing_secret (account_id, secret) values (p_account, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
  delete from tikku.signing_secret where account_id = p_account and expires_at <= tikku.clock_now();
end $$;
comment on function tikku.signing_secret_rotate is 'A new current secret; the old one signs on for the overlap.';
