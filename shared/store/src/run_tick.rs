//! The statements of tick over runs: hand over what the queue does not hold, give up lost leases, look after gates.

use tikku_domain::limits::{LOST_MAX, WINDOW_MS};
use tokio_postgres::types::Type;

use crate::{Claimed, Kick, Reaped, Store, StoreError};

/// Hands over rows that the queue does not hold.
pub const CLAIM: &str = "-- run::claim
select id, wait_ms, account_id from tikku.run_claim($1, $2)";

/// Gives up leases that ran out; the fence stays, so that a late checkpoint counts until something newer begins.
pub const REAP: &str = "-- run::reap
select id, lost, wait_ms, account_id from tikku.run_reap($1, $2)";

/// Hands on what was left waiting for a gate, for whoever should have done it.
pub const SWEEP: &str = "-- gate::sweep
select id, wait_ms, account_id from tikku.gate_sweep($1)";

/// Has tick look at waiting gates at once.
pub const GATE_UNKICK: &str = "-- gate::unkick
update tikku.gate set next_at = tikku.clock_now() where waiting";

/// Forgets what an in-memory queue held before its process ended.
pub const UNKICK: &str = "-- run::unkick
with held as materialized (
  select id from tikku.run where kick_until > tikku.clock_now() and kick_until < 'infinity'
    and due_at <= tikku.clock_now() + tikku.ms($2) and kick_until > due_at
  order by kick_until limit $1 for update skip locked
)
update tikku.run r set kick_until = tikku.clock_now(), kicks = 0 from held where r.id = held.id returning r.id";

impl Store {
    /// Takes at most `most` runs that the queue does not hold. F.
    pub async fn run_claim(&self, most: i64) -> Result<Claimed, StoreError> {
        let window_ms = WINDOW_MS as i64;
        let rows = self.rows(CLAIM, &[(&most, Type::INT8), (&window_ms, Type::INT8)]).await?;
        Ok(Claimed { rows: rows.len(), kicks: Kick::run_rows(&rows) })
    }

    /// Looks at no more than `most` dispatches whose leases ran out, and gives up those that were not renewed. F.
    pub async fn run_reap(&self, most: i32) -> Result<Reaped, StoreError> {
        let lost_max = i32::from(LOST_MAX);
        let rows = self.rows(REAP, &[(&most, Type::INT4), (&lost_max, Type::INT4)]).await?;
        let lost = rows.iter().filter(|row| row.get("lost")).count();
        Ok(Reaped { rows: rows.len(), lost, kicks: Kick::run_rows(&rows), flows: Vec::new() })
    }

    /// Looks after at most `most` gates for which runs were left waiting; answers how many there were. F.
    pub async fn gate_sweep(&self, most: i32) -> Result<Claimed, StoreError> {
        let rows = self.rows(SWEEP, &[(&most, Type::INT4)]).await?;
        let looked = rows.iter().filter(|row| row.get::<_, Option<uuid::Uuid>>("id").is_none()).count();
        Ok(Claimed { rows: looked, kicks: Kick::run_rows(&rows) })
    }

    /// Has tick look at once at the gates whose next runs a dead queue may have held. S.
    pub async fn gate_unkick(&self) -> Result<(), StoreError> {
        self.rows(GATE_UNKICK, &[]).await.map(|_none| ())
    }

    /// Leaves at most `most` runs that a dead queue held to the next tick; answers how many. S.
    pub async fn run_unkick(&self, most: i64, window_ms: i64) -> Result<u64, StoreError> {
        Ok(self.rows(UNKICK, &[(&most, Type::INT8), (&window_ms, Type::INT8)]).await?.len() as u64)
    }
}
