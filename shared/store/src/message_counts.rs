//! How many messages there are in each state, as far as that is worth counting: about [`COUNT_MAX`] rows are looked at for each.

use std::collections::BTreeMap;

use tikku_domain::filter::{MessageFilter, STATES};
use tikku_domain::ids::AccountId;
use tikku_domain::limits::{COUNT_MAX, SCAN_MAX};
use tikku_domain::view::{StatusCount, StatusCounts};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::message_list::{INDEXED, content_fits, matching, narrowed, of_account, of_state};
use crate::{Store, StoreError};

/// All states, each up to $2. What is queued has no index of its own: it is among the rows that the queue holds or that wait for room. What is
/// delivered is what is over and neither failed nor cancelled, if those are few enough to be counted; else what is so among the newest.
pub const ALL: &str = "-- message::counts
with few as materialized (
  select (select count(*) from (select 1 from tikku.message where account_id = $1 and state = 'failed' order by id desc limit $2) x) as failed,
    (select count(*) from (select 1 from tikku.message where account_id = $1 and state = 'cancelled' order by id desc limit $2) x) as cancelled
), due as materialized (
  (select m.state::text as state, true as first from tikku.message m
    where m.account_id = $1 and m.kick_until < tikku.clock_now() + interval '16 minutes' order by m.kick_until limit $2)
  union all
  (select m.state::text, false from tikku.message m where m.account_id = $1 and m.kick_until = 'infinity' order by m.kick_until limit $2)
)
select few.failed, few.cancelled,
  (select count(*) from (select 1 from tikku.message where account_id = $1 and state = 'scheduled' order by id desc limit $2) x) as scheduled,
  (select count(*) from (select 1 from tikku.message where account_id = $1 and state = 'retrying' order by id desc limit $2) x) as retrying,
  (select count(*) from (select 1 from tikku.message where lease_until > '-infinity' and account_id = $1 and state = 'delivering' limit $2) x) as delivering,
  (select count(*) from due where state = 'queued') as queued,
  (select greatest(count(*) filter (where first), count(*) filter (where not first)) >= $2 from due) as queued_more,
  case when greatest(few.failed, few.cancelled) < $2
    then (select count(*) from (select 1 from tikku.message where account_id = $1 and finished_at is not null order by finished_at desc
      limit (select failed + cancelled + $2 from few)) x) - few.failed - few.cancelled
    else (select count(*) from (select 1 from (select m.state from tikku.message m where m.account_id = $1 and m.finished_at is not null
      order by m.finished_at desc limit $2 * 2) y where y.state = 'delivered' limit $2) x) end as delivered,
  greatest(few.failed, few.cancelled) >= $2 as delivered_more
from few";

// Of the newest rows of a kind, those that fit, by state.
macro_rules! among {
    ($name:literal, $id:literal, $fit:expr, $rows:expr, $fits:expr, $state:literal) => {
        concat!(
            "-- message::",
            $name,
            "\nwith s as materialized (select ",
            $id,
            " as id",
            $fit,
            "\n    ",
            $rows,
            " order by ",
            $id,
            " desc limit $9), fit as materialized (
  select ",
            $state,
            " as state from s where ",
            $fits,
            "\n)\nselect f.state, count(*) as n, (select count(*) from s) as looked_at from fit f where $8::text is null or f.state = $8 group by f.state
union all select null, 0, (select count(*) from s)"
        )
    };
}

/// Those that fit, of the account's newest messages, or of the newest of a fanout or schedule.
pub const NARROW: &str = among!(
    "counts_narrow",
    "c.message_id",
    concat!(", ", matching!(), " as fits"),
    of_account!(),
    "s.fits",
    "(select m.state::text from tikku.message m where m.id = s.id)"
);

/// Those that fit, of the newest of one of [`INDEXED`].
pub const STATE: &str = among!("counts_state", "m.id", "", of_state!("m.account_id = $1 and m.state = $8"), content_fits!(), "$8::text");

impl Store {
    /// How many are in each state, or in the one that the filter asks for. S.
    pub async fn message_counts(&self, account: AccountId, f: &MessageFilter) -> Result<StatusCounts, StoreError> {
        let mut counts = if f.is_narrow() { self.counts_narrow(account, f).await? } else { self.counts_all(account).await? };
        counts.retain(|state, _| f.status.as_ref().is_none_or(|status| status == state));
        Ok(StatusCounts(counts))
    }

    async fn counts_all(&self, account: AccountId) -> Result<BTreeMap<String, StatusCount>, StoreError> {
        let most = COUNT_MAX + 1;
        let row = self.row(ALL, &[(&account.0, Type::UUID), (&most, Type::INT8)]).await?;
        let early = |state: &str| match state {
            "queued" => row.get("queued_more"),
            "delivered" => row.get("delivered_more"),
            _ => false,
        };
        Ok(STATES.map(|state| (state.to_owned(), StatusCount::new(row.get(state), early(state)))).into())
    }

    async fn counts_narrow(&self, account: AccountId, f: &MessageFilter) -> Result<BTreeMap<String, StatusCount>, StoreError> {
        let by_state = f.fanout.is_none() && f.schedule.is_none() && f.status.as_deref().is_some_and(|state| INDEXED.contains(&state));
        let schedule = f.schedule.map(|id| id.0);
        let mut params = Vec::from(narrowed(&account, f, &schedule));
        params.extend([(&f.status as &(dyn ToSql + Sync), Type::TEXT), (&SCAN_MAX, Type::INT8)]);
        let rows = self.rows(if by_state { STATE } else { NARROW }, &params).await?;
        Ok(by_state_of(&rows, &STATES))
    }
}

/// Counts of the states that rows tell, and zeros for the others; all may be more when the search ended early.
pub(crate) fn by_state_of(rows: &[Row], states: &[&str]) -> BTreeMap<String, StatusCount> {
    let early = rows.iter().any(|row| row.get::<_, i64>("looked_at") >= SCAN_MAX);
    let mut counts: BTreeMap<String, StatusCount> = states.iter().map(|state| ((*state).to_owned(), StatusCount::new(0, early))).collect();
    for row in rows {
        if let Some(state) = row.get::<_, Option<String>>("state") {
            counts.insert(state, StatusCount::new(row.get("n"), early));
        }
    }
    counts
}
