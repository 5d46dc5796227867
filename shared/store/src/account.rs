//! Accounts and their settings.

use tikku_domain::account_settings::{AccountChange, AccountView, BreakerSettings};
use tikku_domain::ids::AccountId;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::{Store, StoreError};

/// A new account with the admin key that is shown this once.
#[derive(Debug)]
pub struct NewAccount {
    /// The account.
    pub id: AccountId,
    /// Its first key, role admin.
    pub key: String,
}

macro_rules! columns {
    () => {
        "id, name, tikku.rfc3339(created_at) as created_at, retention_days, requests_per_minute, breaker_attempts, breaker_percent, breaker_open_ms, revision"
    };
}

/// Makes an account with a signing secret and an admin key.
pub const CREATE: &str = "-- account::create
select account_id, token from tikku.account_create($1)";

/// Finds an account by name.
pub const FIND: &str = "-- account::find
select id from tikku.account where name = $1";

/// One account.
pub const GET: &str = concat!("-- account::get\nselect ", columns!(), "\nfrom tikku.account where id = $1");

/// Accounts by name.
pub const LIST: &str = concat!("-- account::list\nselect ", columns!(), "\nfrom tikku.account where name > $1 order by name limit $2");

/// Changes settings, if the account is at one of the revisions.
pub const CHANGE: &str = concat!(
    "-- account::change
update tikku.account set retention_days = coalesce($3, retention_days), breaker_attempts = coalesce($4, breaker_attempts),
  breaker_percent = coalesce($5, breaker_percent), breaker_open_ms = coalesce($6, breaker_open_ms), revision = revision + 1
where id = $1 and ($2::int8[] is null or revision = any($2)) returning ",
    columns!()
);

/// Sets the request limit of the account of a name.
pub const LIMIT: &str = concat!(
    "-- account::limit\nupdate tikku.account set requests_per_minute = $2, revision = revision + 1 where name = $1 returning ",
    columns!()
);

impl Store {
    /// Makes an account; `None` when the name is taken. F.
    pub async fn account_create(&self, name: &str) -> Result<Option<NewAccount>, StoreError> {
        let row = self.row(CREATE, &[(&name, Type::TEXT)]).await?;
        let (Some(id), Some(key)) = (row.get("account_id"), row.get("token")) else { return Ok(None) };
        Ok(Some(NewAccount { id: AccountId(id), key }))
    }

    /// The account of that name. S.
    pub async fn account_find(&self, name: &str) -> Result<Option<AccountId>, StoreError> {
        let rows = self.rows(FIND, &[(&name, Type::TEXT)]).await?;
        Ok(rows.first().map(|row| AccountId(row.get("id"))))
    }

    /// An account with its settings. S.
    pub async fn account_get(&self, account: AccountId) -> Result<Option<AccountView>, StoreError> {
        Ok(self.rows(GET, &[(&account.0, Type::UUID)]).await?.first().map(view))
    }

    /// At most `most` accounts whose names come after `name`. S.
    pub async fn account_list(&self, name: &str, most: i64) -> Result<Vec<AccountView>, StoreError> {
        Ok(self.rows(LIST, &[(&name, Type::TEXT), (&most, Type::INT8)]).await?.iter().map(view).collect())
    }

    /// Changes settings; `None` when the account is at none of `revisions` (all are right without). S.
    pub async fn account_change(
        &self,
        account: AccountId,
        revisions: Option<&[i64]>,
        change: &AccountChange,
    ) -> Result<Option<AccountView>, StoreError> {
        let params = [
            (&account.0 as _, Type::UUID),
            (&revisions as _, Type::INT8_ARRAY),
            (&change.retention_days as _, Type::INT4),
            (&change.breaker_attempts as _, Type::INT4),
            (&change.breaker_percent as _, Type::INT4),
            (&change.breaker_open_ms as _, Type::INT8),
        ];
        Ok(self.rows(CHANGE, &params).await?.first().map(view))
    }

    /// Sets how many requests the keys of an account may make in a minute; `None` when there is no account of that name. S.
    pub async fn account_limit(&self, name: &str, requests_per_minute: i32) -> Result<Option<AccountView>, StoreError> {
        Ok(self.rows(LIMIT, &[(&name, Type::TEXT), (&requests_per_minute, Type::INT4)]).await?.first().map(view))
    }
}

fn view(row: &Row) -> AccountView {
    AccountView {
        id: AccountId(row.get("id")).to_string(),
        name: row.get("name"),
        created_at: row.get("created_at"),
        retention_days: row.get("retention_days"),
        requests_per_minute: row.get("requests_per_minute"),
        breaker: BreakerSettings {
            min_attempts: row.get("breaker_attempts"),
            failure_percent: row.get("breaker_percent"),
            open_seconds: row.get::<_, i64>("breaker_open_ms") / 1000,
        },
        revision: row.get("revision"),
    }
}
