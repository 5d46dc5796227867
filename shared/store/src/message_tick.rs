//! The statements of tick over messages: hand over what the queue does not hold, give up lost leases.

use tikku_domain::ids::MessageId;
use tikku_domain::limits::LOST_MAX;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::{Store, StoreError};

/// A row for the wake queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kick {
    /// The message.
    pub id: MessageId,
    /// Wait until it is due.
    pub wait_ms: u64,
}

/// Takes rows that the queue does not hold. Each further time a row is handed over and still not started, tick waits twice as
/// long before the next, 15 minutes at most: a backlog must not fill the queue with copies of itself.
pub const CLAIM: &str = "-- message::claim
with due as materialized (
  select id from tikku.message where kick_until <= tikku.clock_now() and state in ('scheduled', 'queued', 'retrying')
  order by kick_until limit $1 for update skip locked
)
update tikku.message m set kicks = least(m.kicks + 1, 5)::smallint,
  kick_until = greatest(m.due_at, tikku.clock_now()) + least(interval '60 seconds' * power(2, m.kicks), interval '15 minutes')
from due where m.id = due.id
returning m.id, tikku.ms_until(m.due_at) as wait_ms";

/// Gives up leases that ran out: the attempt is recorded as lost and spends no budget, but has its own cap.
pub const REAP: &str = "-- message::reap
with gone as materialized (
  select id, lease_until from tikku.message where lease_until < tikku.clock_now() and state = 'delivering'
  order by lease_until limit $1 for update skip locked
), u as (
  update tikku.message m set
    state = case when m.cancel_requested then 'cancelled' when m.lost + 1 >= $2 then 'failed' else 'retrying' end,
    lost = m.lost + 1, attempt_number = m.attempt_number + 1, lease_until = null,
    due_at = tikku.clock_now(),
    kick_until = case when not m.cancel_requested and m.lost + 1 < $2 then tikku.clock_now() + interval '60 seconds' end,
    finished_at = case when m.cancel_requested or m.lost + 1 >= $2 then tikku.clock_now() end
  from gone where m.id = gone.id
  returning m.id, m.state, m.attempt_number, m.fence, m.timeout_ms, gone.lease_until
), a as (
  insert into tikku.attempt (message_id, number, fence, started_at, duration_ms, error, response_headers, worker)
  select u.id, u.attempt_number, u.fence, u.lease_until - tikku.ms(u.timeout_ms) - interval '32 seconds', u.timeout_ms + 32000,
    'lost: the delivering process never reported what came of this push', '[]', 'unknown' from u
)
select id, state::text as state, 0::bigint as wait_ms from u";

/// Forgets what an in-memory queue held before its process ended.
pub const UNKICK: &str = "-- message::unkick
with held as materialized (
  select id from tikku.message where kick_until > tikku.clock_now()
    and due_at <= tikku.clock_now() + tikku.ms($2) and kick_until > due_at
  order by kick_until limit $1 for update skip locked
)
update tikku.message m set kick_until = tikku.clock_now(), kicks = 0 from held where m.id = held.id returning m.id";

impl Store {
    /// Takes at most `most` rows to hand to the queue. S.
    pub async fn message_claim(&self, most: i64) -> Result<Vec<Kick>, StoreError> {
        Ok(self.rows(CLAIM, &[(&most, Type::INT8)]).await?.iter().map(kick).collect())
    }

    /// Gives up at most `most` lost leases; answers how many, and those that are due again. S.
    pub async fn message_reap(&self, most: i64) -> Result<(usize, Vec<Kick>), StoreError> {
        let rows = self.rows(REAP, &[(&most, Type::INT8), (&LOST_MAX, Type::INT2)]).await?;
        let due = rows.iter().filter(|row| row.get::<_, &str>("state") == "retrying").map(kick).collect();
        Ok((rows.len(), due))
    }

    /// Leaves at most `most` rows that a dead queue held to the next tick; answers how many. S.
    pub async fn message_unkick(&self, most: i64, window_ms: i64) -> Result<u64, StoreError> {
        Ok(self.rows(UNKICK, &[(&most, Type::INT8), (&window_ms, Type::INT8)]).await?.len() as u64)
    }
}

fn kick(row: &Row) -> Kick {
    Kick { id: MessageId(row.get("id")), wait_ms: row.get::<_, Option<i64>>("wait_ms").unwrap_or(0).unsigned_abs() }
}
