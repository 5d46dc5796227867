//! Signing secrets: one current, and rotated ones until they expire.

use tikku_domain::ids::AccountId;
use tikku_domain::signing::Secret;
use tikku_domain::view::{PreviousSecretView, SigningSecretView};
use tokio_postgres::types::Type;

use crate::{Store, StoreError};

/// Lists the secrets that sign, newest first.
pub const LIST: &str = "-- signing_secret::list
select secret, tikku.rfc3339(created_at) as created_at, tikku.rfc3339(expires_at) as expires_at
from tikku.signing_secret where account_id = $1 and (expires_at is null or expires_at > tikku.clock_now()) order by id desc limit 5";

/// Rotates.
pub const ROTATE: &str = "-- signing_secret::rotate
select tikku.signing_secret_rotate($1, $2)";

impl Store {
    /// The current secret and those that still sign beside it: five at most. S.
    pub async fn signing_secret_list(&self, account: AccountId) -> Result<SigningSecretView, StoreError> {
        let rows = self.rows(LIST, &[(&account.0, Type::UUID)]).await?;
        let text = |bytes: Vec<u8>| Secret::from_bytes(bytes).map(|s| s.to_text()).map_err(|e| StoreError::Failed(e.to_string()));
        let mut view = SigningSecretView { secret: String::new(), created_at: String::new(), previous: Vec::new() };
        for row in rows {
            let secret = text(row.get("secret"))?;
            match row.get::<_, Option<String>>("expires_at") {
                None => (view.secret, view.created_at) = (secret, row.get("created_at")),
                Some(expires_at) => view.previous.push(PreviousSecretView { secret, expires_at }),
            }
        }
        Ok(view)
    }

    /// Makes a new current secret; the old one signs on for the overlap. F.
    pub async fn signing_secret_rotate(&self, account: AccountId, overlap_ms: i64) -> Result<(), StoreError> {
        self.row(ROTATE, &[(&account.0, Type::UUID), (&overlap_ms, Type::INT8)]).await?;
        Ok(())
    }
}
