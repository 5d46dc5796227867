//! Retention, one small bite a call: no statement here waits for a lock, and none holds any for long.

use tikku_domain::ids::AccountId;
use tokio_postgres::types::Type;

use crate::{Store, StoreError};

/// Messages of one bite.
const BITE_MESSAGES: i32 = 250;
/// Rows of all tables that a bite may bring with it, when its first message alone does not.
const BITE_ROWS_MAX: i64 = 3_000;
/// Pause between two rounds over all accounts: retention counts in days.
const AGAIN_MS: i64 = 600_000;

/// Where a round over all accounts goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PrunePlace {
    account: Option<AccountId>,
    after_us: Option<i64>,
}

/// What one bite did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bite {
    /// Messages that were deleted.
    pub messages: u64,
    /// How long their locks were held before the commit, by the database's clock, in microseconds.
    pub held_us: u64,
}

/// Deletes one bite of messages that are older than their account's retention.
pub const MESSAGES: &str = "-- prune::messages
select pruned, coalesce(held_us, 0) as held_us, account, tikku.us(after) as after_us from tikku.message_prune(
  coalesce($1::uuid, '00000000-0000-0000-0000-000000000000'), coalesce(timestamptz 'epoch' + $2::int8 * interval '1 microsecond', '-infinity'), $3, $4)";

/// Deletes one bite of everything else that grows; at the end of a round notes when the next begins.
pub const LEFTOVERS: &str = "-- prune::leftovers
select tikku.leftovers_prune($1, $2) as pruned";

impl Store {
    /// Deletes at most 250 messages with their content and attempts, the oldest of an account first. Answers what it did, and where to go on;
    /// `None` at the end of the round. F.
    pub async fn prune_messages(&self, place: &PrunePlace) -> Result<(Bite, Option<PrunePlace>), StoreError> {
        let account = place.account.map(|id| id.0);
        let params = [
            (&account as _, Type::UUID),
            (&place.after_us as _, Type::INT8),
            (&BITE_MESSAGES as _, Type::INT4),
            (&BITE_ROWS_MAX as _, Type::INT8),
        ];
        let row = self.row(MESSAGES, &params).await?;
        let account = row.get::<_, Option<uuid::Uuid>>("account");
        let next = account.map(|id| PrunePlace { account: Some(AccountId(id)), after_us: row.get("after_us") });
        let bite =
            Bite { messages: row.get::<_, i32>("pruned").unsigned_abs().into(), held_us: row.get::<_, i64>("held_us").unsigned_abs() };
        Ok((bite, next))
    }

    /// Deletes old runs of schedules, request counts and idle breakers; answers whether there are more. F.
    pub async fn prune_leftovers(&self) -> Result<bool, StoreError> {
        let row = self.row(LEFTOVERS, &[(&BITE_MESSAGES, Type::INT4), (&AGAIN_MS, Type::INT8)]).await?;
        Ok(row.get::<_, i32>("pruned") > 0)
    }
}
