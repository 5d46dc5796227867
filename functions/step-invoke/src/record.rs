//! Records ends of dispatches, those that are known at the same time by one statement: a statement costs far more than a row of it. One that
//! comes alone waits for nothing; while statements are under way others gather.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::{Either, join_all, select};
use tikku_domain::workflow::{Dispatch, Settlement};
use tikku_platform::{Ctx, Kick, time};
use tikku_store::{Dispatched, StoreError};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

/// Ends that one statement records.
const GROUP_MAX: usize = 50;
/// What they may hold together, in bytes; one that is larger is recorded alone.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// An op counts as so many bytes besides its own: a thousand of them are recorded alone, because they take their time.
const OP_WEIGHT: usize = 8 * 1024;
/// Statements at once where the first takes longer than the patience of those who wait.
const MORE_TURNS: usize = 3;
/// As long as this those who wait gather for the next statement: more statements would each record less.
const PATIENCE_MS: u64 = 20;
/// While the database is away a statement is tried again after twice the wait each time, up to this: for 13 s in all.
const PAUSE_MS_MAX: u64 = 6_400;

/// What the drives of one process share to record their ends.
#[derive(Debug)]
pub struct Recorder {
    waiting: Mutex<Vec<Ended>>,
    turn: Semaphore,
    more: Semaphore,
}

type Told = oneshot::Sender<Option<Box<Dispatch>>>;

/// An end, and whom to tell: of the run's next dispatch if it goes on at once, of nothing if not.
#[derive(Debug)]
struct Ended {
    settlement: Settlement,
    told: Told,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: Semaphore::new(1), more: Semaphore::new(MORE_TURNS) }
    }
}

impl Recorder {
    /// Records an end, together with others that wait; answers the run's next dispatch if it goes on at once.
    pub(crate) async fn record(&self, ctx: &Ctx, settlement: Settlement) -> Result<Option<Box<Dispatch>>, StoreError> {
        let (told, mut answer) = oneshot::channel();
        self.waiting().push(Ended { settlement, told });
        loop {
            let turn = match select(&mut answer, pin!(self.turn())).await {
                Either::Left((answer, _)) => return answer.map_err(|_| unrecorded()),
                Either::Right((turn, _)) => turn,
            };
            let group = self.take();
            if group.is_empty() {
                // Another has taken this one along.
                drop(turn);
                return answer.await.map_err(|_| unrecorded());
            }
            let kicks = settle(ctx, group).await;
            drop(turn);
            ctx.kick(&kicks).await;
        }
    }

    /// The right to send a statement, until dropped.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Neither semaphore is ever closed.
        match select(pin!(self.turn.acquire()), pin!(time::sleep_ms(PATIENCE_MS))).await {
            Either::Left((turn, _)) => turn.ok(),
            Either::Right(((), turn)) => match select(turn, pin!(self.more.acquire())).await {
                Either::Left((turn, _)) | Either::Right((turn, _)) => turn.ok(),
            },
        }
    }

    /// The first of those that wait, as many as one statement takes.
    fn take(&self) -> Vec<Ended> {
        let mut waiting = self.waiting();
        let mut bytes = 0;
        let fits = |ended: &&Ended| {
            bytes += ended.settlement.bytes() + ended.settlement.ops.len() * OP_WEIGHT;
            bytes <= GROUP_BYTES_MAX
        };
        let count = waiting.iter().take(GROUP_MAX).take_while(fits).count().max(1).min(waiting.len());
        waiting.drain(..count).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Ended>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unrecorded() -> StoreError {
    StoreError::Unavailable("the end of a dispatch could not be recorded".to_owned())
}

/// Settles a group and tells its drives; answers what is to be handed to the queues. Where it cannot be settled the drives hear nothing.
async fn settle(ctx: &Ctx, group: Vec<Ended>) -> Vec<Kick> {
    let (settlements, told): (Vec<_>, Vec<_>) = group.into_iter().map(|ended| (ended.settlement, ended.told)).unzip();
    if settlements.len() > 1 {
        match ctx.store.run_settle(&settlements).await {
            Ok(settled) => return tell(&settlements, told, settled),
            // One of them may be what is held up: the others do not wait for it.
            Err(StoreError::Unavailable(detail)) => tracing::warn!(detail, ends = settlements.len(), "recording dispatches one by one"),
            Err(error) => {
                tracing::error!(%error, "dispatches could not be recorded; their leases will run out and the runs be dispatched again");
                return Vec::new();
            }
        }
    }
    let alone = settlements.into_iter().zip(told).map(async |(settlement, told)| match persist(ctx, &settlement).await {
        Ok(settled) => tell(std::slice::from_ref(&settlement), vec![told], settled),
        Err(_logged) => Vec::new(),
    });
    join_all(alone).await.concat()
}

/// Tells drives what became of their runs; answers what is to be handed to the queues.
fn tell(settlements: &[Settlement], told: Vec<Told>, settled: Vec<Dispatched>) -> Vec<Kick> {
    let mut kicks = Vec::new();
    let mut nexts: Vec<Option<Box<Dispatch>>> = settlements.iter().map(|_| None).collect();
    for one in settled {
        match one {
            Dispatched::Started(dispatch) => {
                if let Some(index) = settlements.iter().position(|settlement| settlement.id == dispatch.id) {
                    nexts[index] = Some(dispatch);
                }
            }
            Dispatched::Recorded { kick, .. } => kicks.extend(kick),
            Dispatched::Waiting(kick) | Dispatched::Kick(kick) => kicks.push(kick),
            Dispatched::Stale { id } => tracing::info!(%id, "a dispatch ended after another had begun, or the run was over"),
        }
    }
    for (told, next) in told.into_iter().zip(nexts) {
        // A drive that was dropped hears nothing; the lease of its next dispatch runs out.
        let _heard = told.send(next);
    }
    kicks
}

/// Sends an end; a database that is away for seconds does not cost it. Sending it twice is safe.
async fn persist(ctx: &Ctx, settlement: &Settlement) -> Result<Vec<Dispatched>, StoreError> {
    let mut pause_ms = 100;
    loop {
        match ctx.store.run_settle(std::slice::from_ref(settlement)).await {
            Err(StoreError::Unavailable(detail)) if pause_ms <= PAUSE_MS_MAX => {
                tracing::warn!(detail, "trying again to record a dispatch");
                time::sleep_ms(pause_ms).await;
                pause_ms *= 2;
            }
            Err(error) => {
                tracing::error!(%error, id = %settlement.id, "a dispatch could not be recorded; its lease will run out and the run be dispatched again");
                return Err(error);
            }
            Ok(settled) => return Ok(settled),
        }
    }
}
