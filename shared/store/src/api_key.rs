//! API keys.

use tikku_domain::ids::{AccountId, KeyId};
use tikku_domain::view::{KeyPage, KeyView, NewKeyView};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::{Store, StoreError, page_of};

/// Who a request comes from.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The account.
    pub account: AccountId,
    /// admin, publish or read.
    pub role: String,
    /// The key.
    pub key: KeyId,
}

/// A key that works, as a session of the dashboard sees it.
#[derive(Clone, Debug)]
pub struct KeySession {
    /// SHA-256 of the key's text.
    pub hash: Vec<u8>,
    /// admin, publish or read.
    pub role: String,
    /// A note of its owner.
    pub name: String,
    /// The key's first characters.
    pub hint: String,
    /// The name of its account.
    pub account: String,
    /// The database's time, in seconds since 1970.
    pub now_s: i64,
    /// 32 hex digits of fresh dice, 122 bits of them random.
    pub dice: String,
}

/// Finds the caller behind a key.
pub const USE: &str = "-- api_key::use
select key_id, account_id, role from tikku.api_key_use($1)";

/// Finds a key that works, by its id.
pub const SESSION: &str = "-- api_key::session
select k.hash, k.role, k.name, k.hint, a.name as account, floor(extract(epoch from tikku.clock_now()))::bigint as now_s,
  replace(gen_random_uuid()::text, '-', '') as dice
from tikku.api_key k join tikku.account a on a.id = k.account_id where k.id = $1 and k.revoked_at is null";

/// Lists keys, newest first.
pub const LIST: &str = "-- api_key::list
select id, name, role, hint, tikku.rfc3339(created_at) as created_at, tikku.rfc3339(last_used_at) as last_used_at, tikku.rfc3339(revoked_at) as revoked_at
from tikku.api_key where account_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3";

/// Makes a key.
pub const CREATE: &str = "-- api_key::create
select k.id, k.name, k.role, k.hint, tikku.rfc3339(k.created_at) as created_at, null::text as last_used_at, null::text as revoked_at, k.token
from (select c.key_id as id, $2 as name, $3 as role, left(c.token, 12) as hint, tikku.clock_now() as created_at, c.token
  from tikku.api_key_create($1, $2, $3) c) k";

/// Revokes a key, once.
pub const REVOKE: &str = "-- api_key::revoke
update tikku.api_key set revoked_at = coalesce(revoked_at, tikku.clock_now()) where id = $2 and account_id = $1
returning id, name, role, hint, tikku.rfc3339(created_at) as created_at, tikku.rfc3339(last_used_at) as last_used_at, tikku.rfc3339(revoked_at) as revoked_at";

impl Store {
    /// The caller behind a key's SHA-256, if the key works; notes its use. F.
    pub async fn api_key_use(&self, hash: &[u8]) -> Result<Option<Caller>, StoreError> {
        let row = self.row(USE, &[(&hash, Type::BYTEA)]).await?;
        let (Some(account), Some(key), Some(role)) = (row.get("account_id"), row.get("key_id"), row.get("role")) else {
            return Ok(None);
        };
        Ok(Some(Caller { account: AccountId(account), role, key: KeyId(key) }))
    }

    /// A key by its id, unless it is revoked; notes no use. S.
    pub async fn api_key_session(&self, key: KeyId) -> Result<Option<KeySession>, StoreError> {
        let rows = self.rows(SESSION, &[(&key.0, Type::UUID)]).await?;
        Ok(rows.first().map(|row| KeySession {
            hash: row.get("hash"),
            role: row.get("role"),
            name: row.get("name"),
            hint: row.get("hint"),
            account: row.get("account"),
            now_s: row.get("now_s"),
            dice: row.get("dice"),
        }))
    }

    /// A page of keys. S.
    pub async fn api_key_list(&self, account: AccountId, cursor: Option<KeyId>, limit: i64) -> Result<KeyPage, StoreError> {
        let cursor = cursor.map(|id| id.0);
        let more = limit + 1;
        let rows = self.rows(LIST, &[(&account.0, Type::UUID), (&cursor, Type::UUID), (&more, Type::INT8)]).await?;
        let (data, next_cursor) = page_of(&rows, limit, |row| Ok(view(row)), |key| &key.id)?;
        Ok(KeyPage { data, next_cursor })
    }

    /// Makes a key; its text is in the answer and nowhere else. F.
    pub async fn api_key_create(&self, account: AccountId, name: &str, role: &str) -> Result<NewKeyView, StoreError> {
        let row = self.row(CREATE, &[(&account.0, Type::UUID), (&name, Type::TEXT), (&role, Type::TEXT)]).await?;
        Ok(NewKeyView { record: view(&row), key: row.get("token") })
    }

    /// Revokes a key, at once and for ever; `None` when the account has no such key. S.
    pub async fn api_key_revoke(&self, account: AccountId, key: KeyId) -> Result<Option<KeyView>, StoreError> {
        let rows = self.rows(REVOKE, &[(&account.0, Type::UUID), (&key.0, Type::UUID)]).await?;
        Ok(rows.first().map(view))
    }
}

fn view(row: &Row) -> KeyView {
    KeyView {
        id: KeyId(row.get("id")).to_string(),
        name: row.get("name"),
        role: row.get("role"),
        hint: row.get("hint"),
        created_at: row.get("created_at"),
        last_used_at: row.get("last_used_at"),
        revoked_at: row.get("revoked_at"),
    }
}
