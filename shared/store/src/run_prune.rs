//! Retention of runs and events, one small bite a call: no statement here waits for a lock, and none holds any for long.

use tikku_domain::ids::AccountId;
use tokio_postgres::types::Type;

use crate::{Bite, Store, StoreError};

/// Runs, or events, of one bite.
const BITE_RUNS: i32 = 250;
/// Rows of each table that a bite may bring with it.
const BITE_ROWS_MAX: i64 = 3_000;
/// Data of events of a bite, when the first one alone has no more.
const BITE_BYTES_MAX: i64 = 8 * 1024 * 1024;

/// Where a round over all accounts goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunPrunePlace {
    account: Option<AccountId>,
    after_us: Option<i64>,
}

/// Deletes one bite of runs that are older than their account's retention.
pub const RUNS: &str = "-- prune::runs
select pruned, coalesce(held_us, 0) as held_us, account,
  case when after > '-infinity' then tikku.us(after) end as after_us from tikku.run_prune(
  coalesce($1::uuid, '00000000-0000-0000-0000-000000000000'), coalesce(timestamptz 'epoch' + $2::int8 * interval '1 microsecond', '-infinity'), $3, $4)";

/// Deletes one bite of events that are older than their account's retention.
pub const EVENTS: &str = "-- prune::events
select tikku.event_prune($1, $2) as pruned";

impl Store {
    /// Deletes at most 250 runs with all that belongs to them, those of an account that ended longest ago first; a large run goes in several
    /// bites. When no runs are left, events. Answers what it did (`messages` counts runs and events), and where to go on; `None` at the end of
    /// the round. F.
    pub async fn prune_runs(&self, place: &RunPrunePlace) -> Result<(Bite, Option<RunPrunePlace>), StoreError> {
        let account = place.account.map(|id| id.0);
        let params = [
            (&account as _, Type::UUID),
            (&place.after_us as _, Type::INT8),
            (&BITE_RUNS as _, Type::INT4),
            (&BITE_ROWS_MAX as _, Type::INT8),
        ];
        let row = self.row(RUNS, &params).await?;
        if let Some(account) = row.get::<_, Option<uuid::Uuid>>("account") {
            let bite =
                Bite { messages: row.get::<_, i32>("pruned").unsigned_abs().into(), held_us: row.get::<_, i64>("held_us").unsigned_abs() };
            return Ok((bite, Some(RunPrunePlace { account: Some(AccountId(account)), after_us: row.get("after_us") })));
        }
        let row = self.row(EVENTS, &[(&BITE_RUNS, Type::INT4), (&BITE_BYTES_MAX, Type::INT8)]).await?;
        let events = row.get::<_, i32>("pruned").unsigned_abs();
        Ok((Bite { messages: events.into(), held_us: 0 }, (events > 0).then(|| place.clone())))
    }
}
