//! The statements of tick over messages: hand over what the queue does not hold, give up lost leases.

use std::hash::{DefaultHasher, Hash, Hasher};

use tikku_domain::ids::{AccountId, MessageId, RunId, WakeId};
use tikku_domain::limits::{LOST_MAX, WINDOW_MS};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::{Store, StoreError};

/// A row for a wake queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kick {
    /// The message or the run.
    pub id: WakeId,
    /// Wait until it is due.
    pub wait_ms: u64,
    /// Whose it is: queues that can are fair between accounts.
    pub account: AccountId,
    /// Within the account: 0, or a number of its flow's own where many of one flow come at once, so that they hold up no others.
    pub line: u64,
}

impl Kick {
    /// A message or a run of an account, in no line of its own.
    pub fn new(id: impl Into<WakeId>, wait_ms: u64, account: AccountId) -> Self {
        Self { id: id.into(), wait_ms, account, line: 0 }
    }

    /// Of a message's row `(id, wait_ms, account_id)`, if it has a wait.
    pub(crate) fn of_row(row: &Row) -> Option<Self> {
        let wait_ms = row.get::<_, Option<i64>>("wait_ms")?.unsigned_abs();
        Some(Self::new(MessageId(row.get("id")), wait_ms, AccountId(row.get("account_id"))))
    }

    /// Those of the messages' rows that have a wait.
    pub(crate) fn of_rows(rows: &[Row]) -> Vec<Self> {
        rows.iter().filter_map(Self::of_row).collect()
    }

    /// Of a run's row `(id, wait_ms, account_id)`, if it has a wait.
    pub(crate) fn run_row(row: &Row) -> Option<Self> {
        let wait_ms = row.get::<_, Option<i64>>("wait_ms")?.unsigned_abs();
        Some(Self::new(RunId(row.get("id")), wait_ms, AccountId(row.get("account_id"))))
    }

    /// Those of the runs' rows that have a wait.
    pub(crate) fn run_rows(rows: &[Row]) -> Vec<Self> {
        rows.iter().filter_map(Self::run_row).collect()
    }

    /// The messages among these.
    pub fn messages(kicks: &[Self]) -> Vec<MessageId> {
        WakeId::split(kicks.iter().map(|kick| kick.id)).0
    }

    /// The runs among these.
    pub fn runs(kicks: &[Self]) -> Vec<RunId> {
        WakeId::split(kicks.iter().map(|kick| kick.id)).1
    }

    /// The same in the line of its flow.
    pub(crate) fn in_flow(self, flow: Option<&str>) -> Self {
        let line = flow.map_or(0, |key| {
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            hasher.finish()
        });
        Self { line, ..self }
    }
}

/// A flow of an account.
pub type FlowOf = (AccountId, String);

/// What a claim took, or a sweep looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// How many rows, or flows and breakers; none when there is nothing left.
    pub rows: usize,
    /// What is to be handed to the queue.
    pub kicks: Vec<Kick>,
}

/// What a reap did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaped {
    /// Leases looked at.
    pub rows: usize,
    /// Leases given up.
    pub lost: usize,
    /// What is to be handed to the queue.
    pub kicks: Vec<Kick>,
    /// Flows in which places were set free.
    pub flows: Vec<FlowOf>,
}

/// Takes rows that the queue does not hold, as many of each account that has some. Each further time a row is handed over and still not started,
/// tick waits twice as long before the next, 15 minutes at most: a backlog must not fill the queue with copies of itself. A row whose flow waits anyway joins
/// it. (By an array, not a join: the planner takes the expression in LIMIT for a tenth of the table, and would read it all.)
pub const CLAIM: &str = "-- message::claim
with ready as materialized (
  select a.id from tikku.account a where exists (select 1 from tikku.message m where m.account_id = a.id and m.kick_until <= tikku.clock_now())
  order by random() limit $1
), due as materialized (
  select d.id from ready cross join lateral (
    select m.id from tikku.message m
    where m.account_id = ready.id and m.kick_until <= tikku.clock_now() and m.state in ('scheduled', 'queued', 'retrying')
    order by m.kick_until limit greatest(1, $1 / (select count(*) from ready)) for update skip locked) d
)
update tikku.message m set kicks = least(m.kicks + 1, 5)::smallint,
  kick_until = case when m.due_at <= tikku.clock_now() and tikku.flow_waits(m.account_id, m.flow_key) then 'infinity'
    else greatest(m.due_at, tikku.clock_now()) + least(interval '60 seconds' * power(2, m.kicks), interval '15 minutes') end
where m.id = any(array(table due))
returning m.id, case when m.kick_until < 'infinity' then tikku.ms_until(m.due_at) end as wait_ms, m.account_id, m.flow_key";

/// Gives up leases that ran out: the attempt is recorded as lost and spends no budget, but has its own cap.
pub const REAP: &str = "-- message::reap
select id, lost, wait_ms, account_id, flow_key, is_run from tikku.lease_reap($1, $2, $3)";

/// Hands on the rows of flows whose places are free.
pub const WAKE: &str = "-- flow::wake
select id, wait_ms, account_id from tikku.flow_wake($1, $2)";

/// Hands on rows that were left waiting for a flow or a breaker, for whoever should have done it.
pub const SWEEP: &str = "-- flow::sweep
select id, wait_ms, account_id from tikku.waiting_sweep($1)";

/// Has tick look at waiting flows at once.
pub const FLOW_UNKICK: &str = "-- flow::unkick
update tikku.flow set next_at = tikku.clock_now() where waiting";

/// Forgets what an in-memory queue held before its process ended.
pub const UNKICK: &str = "-- message::unkick
with held as materialized (
  select id from tikku.message where kick_until > tikku.clock_now() and kick_until < 'infinity'
    and due_at <= tikku.clock_now() + tikku.ms($2) and kick_until > due_at
  order by kick_until limit $1 for update skip locked
)
update tikku.message m set kick_until = tikku.clock_now(), kicks = 0 from held where m.id = held.id returning m.id";

impl Store {
    /// Takes at most `most` rows that the queue does not hold. S.
    pub async fn message_claim(&self, most: i64) -> Result<Claimed, StoreError> {
        let rows = self.rows(CLAIM, &[(&most, Type::INT8)]).await?;
        let kicks = rows.iter().filter_map(|row| Some(Kick::of_row(row)?.in_flow(row.get("flow_key"))));
        Ok(Claimed { rows: rows.len(), kicks: kicks.collect() })
    }

    /// Gives up at most `most` lost leases. F.
    pub async fn message_reap(&self, most: i32) -> Result<Reaped, StoreError> {
        let (lost_max, window_ms) = (i32::from(LOST_MAX), WINDOW_MS as i64);
        let rows = self.rows(REAP, &[(&most, Type::INT4), (&lost_max, Type::INT4), (&window_ms, Type::INT8)]).await?;
        let flow = |row: &Row| Some((AccountId(row.get("account_id")), row.get::<_, Option<String>>("flow_key")?));
        let mut flows: Vec<FlowOf> = rows.iter().filter_map(flow).collect();
        flows.sort_unstable();
        flows.dedup();
        let lost = rows.iter().filter(|row| row.get("lost")).count();
        Ok(Reaped {
            // No lease of a message is renewed; the other rows are what was waiting for these.
            rows: lost,
            lost,
            kicks: rows.iter().filter_map(crate::message::kick).collect(),
            flows,
        })
    }

    /// What of these flows can go on; to be called when places were set free by a transition that did not lock them. F.
    pub async fn flow_wake(&self, flows: &[FlowOf]) -> Result<Vec<Kick>, StoreError> {
        let accounts: Vec<uuid::Uuid> = flows.iter().map(|(account, _)| account.0).collect();
        let keys: Vec<&str> = flows.iter().map(|(_, key)| key.as_str()).collect();
        Ok(Kick::of_rows(&self.rows(WAKE, &[(&accounts, Type::UUID_ARRAY), (&keys, Type::TEXT_ARRAY)]).await?))
    }

    /// Looks after at most `most` flows and breakers each for which rows were left waiting; answers how many there were. F.
    pub async fn waiting_sweep(&self, most: i32) -> Result<Claimed, StoreError> {
        let rows = self.rows(SWEEP, &[(&most, Type::INT4)]).await?;
        let looked = rows.iter().filter(|row| row.get::<_, Option<uuid::Uuid>>("id").is_none()).count();
        Ok(Claimed { rows: looked, kicks: Kick::of_rows(&rows) })
    }

    /// Has tick look at once at the flows whose next rows a dead queue may have held. S.
    pub async fn flow_unkick(&self) -> Result<(), StoreError> {
        self.rows(FLOW_UNKICK, &[]).await.map(|_none| ())
    }

    /// Leaves at most `most` rows that a dead queue held to the next tick; answers how many. S.
    pub async fn message_unkick(&self, most: i64, window_ms: i64) -> Result<u64, StoreError> {
        Ok(self.rows(UNKICK, &[(&most, Type::INT8), (&window_ms, Type::INT8)]).await?.len() as u64)
    }
}
