//! How many runs there are in each state, as far as that is worth counting (`message_counts` says how).

use std::collections::BTreeMap;

use tikku_domain::ids::AccountId;
use tikku_domain::limits::{COUNT_MAX, SCAN_MAX};
use tikku_domain::run_filter::{RUN_STATES, RunFilter};
use tikku_domain::view::{StatusCount, StatusCounts};
use tokio_postgres::types::{ToSql, Type};

use crate::message_counts::by_state_of;
use crate::{Store, StoreError};

/// All states, each up to $2. What is queued is among the rows that the queue holds or that wait for room at a gate.
pub const ALL: &str = "-- run::counts
with few as materialized (
  select (select count(*) from (select 1 from tikku.run where account_id = $1 and state = 'failed' order by id desc limit $2) x) as failed,
    (select count(*) from (select 1 from tikku.run where account_id = $1 and state = 'cancelled' order by id desc limit $2) x) as cancelled
), due as materialized (
  (select r.state::text as state, true as first from tikku.run r
    where r.account_id = $1 and r.kick_until < tikku.clock_now() + interval '16 minutes' order by r.kick_until limit $2)
  union all
  (select r.state::text, false from tikku.run r where r.account_id = $1 and r.gate is not null and r.kick_until = 'infinity' limit $2)
)
select few.failed, few.cancelled,
  (select count(*) from (select 1 from tikku.run where account_id = $1 and state = 'paused' order by id desc limit $2) x) as paused,
  (select count(*) from (select 1 from tikku.run where account_id = $1 and state = 'waiting' order by id desc limit $2) x) as waiting,
  (select count(*) from (select 1 from tikku.run where account_id = $1 and state = 'sleeping' order by id desc limit $2) x) as sleeping,
  (select count(*) from (select 1 from tikku.run where account_id = $1 and state = 'retrying' order by id desc limit $2) x) as retrying,
  (select count(*) from (select 1 from tikku.run where lease_until > '-infinity' and account_id = $1 and state = 'running' limit $2) x) as running,
  (select count(*) from due where state = 'queued') as queued,
  (select greatest(count(*) filter (where first), count(*) filter (where not first)) >= $2 from due) as queued_more,
  case when greatest(few.failed, few.cancelled) < $2
    then (select count(*) from (select 1 from tikku.run where account_id = $1 and finished_at is not null order by finished_at desc
      limit (select failed + cancelled + $2 from few)) x) - few.failed - few.cancelled
    else (select count(*) from (select 1 from (select r.state from tikku.run r where r.account_id = $1 and r.finished_at is not null
      order by r.finished_at desc limit $2 * 2) y where y.state = 'completed' limit $2) x) end as completed,
  greatest(few.failed, few.cancelled) >= $2 as completed_more
from few";

/// Those that fit, of the newest, or of the newest of a workflow or parent.
pub const NARROW: &str = "-- run::counts_narrow
with s as materialized (
  select c.run_id as id, ($4::text is null or c.version = $4) and ($5::text is null or $5 = any(c.labels)) and ($7::text is null or c.external_id = $7)
    and ($8::int8 is null or c.created_at >= to_timestamp($8 / 1000.0)) and ($9::int8 is null or c.created_at < to_timestamp($9 / 1000.0)) as fits
  from tikku.run_content c where c.account_id = $1 and ($3::text is null or c.workflow = $3)
    and ($6::uuid is null or (c.source_id = $6 and c.parent_key is not null and c.continued_by is null))
    and ($8::int8 is null or c.run_id >= tikku.id_at($8)) and ($9::int8 is null or c.run_id < tikku.id_at($9 + 3600000))
  order by c.run_id desc limit $10
), fit as materialized (
  select (select r.state::text from tikku.run r where r.id = s.id) as state from s where s.fits
)
select f.state, count(*) as n, (select count(*) from s) as looked_at from fit f where $2::text is null or f.state = $2 group by f.state
union all select null, 0, (select count(*) from s)";

impl Store {
    /// How many are in each state, or in the one that the filter asks for. S.
    pub async fn run_counts(&self, account: AccountId, f: &RunFilter) -> Result<StatusCounts, StoreError> {
        let narrow = f.workflow.is_some() || f.version.is_some() || f.label.is_some() || f.parent.is_some() || f.external_id.is_some();
        let narrow = narrow || f.from_ms.is_some() || f.to_ms.is_some();
        let mut counts = if narrow { self.run_counts_narrow(account, f).await? } else { self.run_counts_all(account).await? };
        counts.retain(|state, _| f.status.as_ref().is_none_or(|status| status == state));
        Ok(StatusCounts(counts))
    }

    async fn run_counts_all(&self, account: AccountId) -> Result<BTreeMap<String, StatusCount>, StoreError> {
        let most = COUNT_MAX + 1;
        let row = self.row(ALL, &[(&account.0, Type::UUID), (&most, Type::INT8)]).await?;
        let early = |state: &str| match state {
            "queued" => row.get("queued_more"),
            "completed" => row.get("completed_more"),
            _ => false,
        };
        Ok(RUN_STATES.map(|state| (state.to_owned(), StatusCount::new(row.get(state), early(state)))).into())
    }

    async fn run_counts_narrow(&self, account: AccountId, f: &RunFilter) -> Result<BTreeMap<String, StatusCount>, StoreError> {
        let parent = f.parent.map(|id| id.0);
        let params: [(&(dyn ToSql + Sync), Type); 10] = [
            (&account.0, Type::UUID),
            (&f.status, Type::TEXT),
            (&f.workflow, Type::TEXT),
            (&f.version, Type::TEXT),
            (&f.label, Type::TEXT),
            (&parent, Type::UUID),
            (&f.external_id, Type::TEXT),
            (&f.from_ms, Type::INT8),
            (&f.to_ms, Type::INT8),
            (&SCAN_MAX, Type::INT8),
        ];
        Ok(by_state_of(&self.rows(NARROW, &params).await?, &RUN_STATES))
    }
}
