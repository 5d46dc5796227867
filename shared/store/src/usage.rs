//! Request counts of accounts. Processes count in memory and tell the database once a second, so that publishers do not queue for a row.

use tokio_postgres::types::Type;

use crate::{Store, StoreError};

/// What an account may use in this minute, and has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Requests in a minute.
    pub limit: u64,
    /// Requests so far, all processes together, as far as they have reported them.
    pub used: u64,
    /// Until the minute ends.
    pub ms_left: u64,
}

/// Adds to the count of the account behind a key.
pub const ADD: &str = "-- usage::add
with k as materialized (
  select k.account_id, a.requests_per_minute, date_trunc('minute', tikku.clock_now()) as window_at
  from tikku.api_key k join tikku.account a on a.id = k.account_id where k.hash = $1 and k.revoked_at is null
), added as (
  insert into tikku.account_usage as u (window_at, account_id, used) select window_at, account_id, $2 from k
  on conflict (window_at, account_id) do update set used = u.used + excluded.used returning used
)
select k.requests_per_minute, added.used, tikku.ms_until(k.window_at + interval '1 minute') as ms_left from k, added";

impl Store {
    /// Adds requests to the count of the account behind a key's SHA-256; `None` when no such key works. S.
    pub async fn usage_add(&self, key_hash: &[u8], count: u64) -> Result<Option<Usage>, StoreError> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let rows = self.rows(ADD, &[(&key_hash, Type::BYTEA), (&count, Type::INT8)]).await?;
        Ok(rows.first().map(|row| Usage {
            limit: row.get::<_, i32>("requests_per_minute").unsigned_abs().into(),
            used: row.get::<_, i64>("used").unsigned_abs(),
            ms_left: row.get::<_, i64>("ms_left").unsigned_abs(),
        }))
    }
}
