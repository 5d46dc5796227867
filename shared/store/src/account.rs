//! Accounts. F.

use tikku_domain::ids::AccountId;
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

/// Makes an account with a signing secret and an admin key.
pub const CREATE: &str = "-- account::create
select account_id, token from tikku.account_create($1)";

/// Finds an account by name.
pub const FIND: &str = "-- account::find
select id from tikku.account where name = $1";

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
}
