//! The statements of tick over schedules: which are to be decided, and firing them.

use tikku_domain::ids::ScheduleId;
use tikku_domain::limits::{FIRE_AHEAD_MS, WINDOW_MS};
use tikku_domain::schedule::{Fire, Plan};
use tokio_postgres::types::Type;

use crate::schedule_read::{plan, plan_columns};
use crate::{Kick, Store, StoreError};

/// What firing came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fired {
    /// Schedules that moved on; the others were held or had been moved by somebody else.
    pub moved: Vec<ScheduleId>,
    /// Messages that were made.
    pub messages: usize,
    /// Those that are to be handed to the queue.
    pub kicks: Vec<Kick>,
}

/// Schedules that tick must look at: of each account the latest first, one of each account before a second of any.
pub const DUE: &str = concat!(
    "-- schedule::due
with ready as materialized (
  select d.id, d.look_at, row_number() over (partition by a.id order by d.look_at, d.id) as place
  from tikku.account a cross join lateral (
    select s.id, s.look_at from tikku.schedule s where s.account_id = a.id and s.look_at <= tikku.clock_now() order by s.look_at limit $1) d
  order by place, d.look_at limit $1
)
select ",
    plan_columns!(),
    "\nfrom ready join tikku.schedule s on s.id = ready.id order by ready.place, ready.look_at"
);

/// Fires due times.
pub const FIRE: &str = "-- schedule::fire
select schedule_id, id, wait_ms, account_id from tikku.schedule_fire($1, $2, $3, $4, $5, $6, $7, $8, $9)";

impl Store {
    /// At most `most` schedules of which a due time is to be decided. S.
    pub async fn schedule_due(&self, most: i64) -> Result<Vec<Plan>, StoreError> {
        let rows = self.rows(DUE, &[(&most, Type::INT8)]).await?;
        let readable = |row| plan(row).inspect_err(|error| tracing::error!(%error, "a schedule cannot be read")).ok();
        Ok(rows.iter().filter_map(readable).collect())
    }

    /// Makes the messages of due times, once each, whoever else tries the same. F.
    pub async fn schedule_fire(&self, fires: &[Fire]) -> Result<Fired, StoreError> {
        let ids: Vec<uuid::Uuid> = fires.iter().map(|fire| fire.id.0).collect();
        let revisions: Vec<i64> = fires.iter().map(|fire| fire.revision).collect();
        let from_ms: Vec<i64> = fires.iter().map(|fire| fire.from_ms).collect();
        let next_ms: Vec<Option<i64>> = fires.iter().map(|fire| fire.next_ms).collect();
        let due_ms: Vec<i64> = fires.iter().flat_map(|fire| fire.due_ms.iter().copied()).collect();
        // Where each one's due times begin and end in `due_ms`, counted from 1. A statement has thousands at most.
        let last: Vec<i32> = fires
            .iter()
            .scan(0, |end, fire| {
                *end += fire.due_ms.len() as i32;
                Some(*end)
            })
            .collect();
        let first: Vec<i32> = fires.iter().zip(&last).map(|(fire, last)| last - fire.due_ms.len() as i32 + 1).collect();
        let window_ms = WINDOW_MS as i64;
        let params = [
            (&ids as _, Type::UUID_ARRAY),
            (&revisions as _, Type::INT8_ARRAY),
            (&from_ms as _, Type::INT8_ARRAY),
            (&next_ms as _, Type::INT8_ARRAY),
            (&first as _, Type::INT4_ARRAY),
            (&last as _, Type::INT4_ARRAY),
            (&due_ms as _, Type::INT8_ARRAY),
            (&FIRE_AHEAD_MS as _, Type::INT8),
            (&window_ms as _, Type::INT8),
        ];
        let rows = self.rows(FIRE, &params).await?;
        let is_message = |row: &tokio_postgres::Row| row.get::<_, Option<uuid::Uuid>>("id").is_some();
        let (made, moved): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_message);
        let moved = moved.iter().map(|row| ScheduleId(row.get("schedule_id"))).collect();
        Ok(Fired { moved, messages: made.len(), kicks: Kick::of_rows(&made) })
    }
}
