//! Records ends of dispatches, those that are known at the same time by one statement. One that comes alone waits for nothing: while a
//! statement is under way others gather.

use tikku_domain::workflow::{Dispatch, Settlement};
use tikku_platform::{Ctx, time};
use tikku_store::{Dispatched, StoreError};
use tokio::sync::{mpsc, oneshot};

/// Ends that one statement records.
const GROUP_MAX: usize = 50;
/// What they may hold together, in bytes; one that is larger is recorded alone.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// While the database is away a statement is tried again after twice the wait each time, up to this: for 13 s in all.
const PAUSE_MS_MAX: u64 = 6_400;

/// An end, and whom to tell of the run's next dispatch, if it goes on at once.
pub(crate) struct Ended {
    pub(crate) settlement: Settlement,
    pub(crate) next_to: oneshot::Sender<Box<Dispatch>>,
}

/// Records until every drive has ended; the first error is kept and the rest still recorded.
pub(crate) async fn record_all(ctx: &Ctx, mut receiver: mpsc::UnboundedReceiver<Ended>) -> Result<(), StoreError> {
    let mut result = Ok(());
    let mut next = None;
    while let Some(first) = match next.take() {
        Some(ended) => Some(ended),
        None => receiver.recv().await,
    } {
        let mut bytes = first.settlement.bytes();
        let mut group = vec![first];
        while group.len() < GROUP_MAX
            && let Ok(ended) = receiver.try_recv()
        {
            bytes += ended.settlement.bytes();
            if bytes > GROUP_BYTES_MAX {
                next = Some(ended);
                break;
            }
            group.push(ended);
        }
        result = result.and(record(ctx, group).await);
    }
    result
}

async fn record(ctx: &Ctx, group: Vec<Ended>) -> Result<(), StoreError> {
    let (settlements, mut waiting): (Vec<_>, Vec<_>) = group.into_iter().map(|ended| ((ended.settlement), Some(ended.next_to))).unzip();
    let settled = persist(ctx, &settlements).await?;
    let mut kicks = Vec::new();
    for one in settled {
        match one {
            Dispatched::Started(dispatch) => {
                let index = settlements.iter().position(|s| s.id == dispatch.id);
                if let Some(next_to) = index.and_then(|index| waiting[index].take()) {
                    // The drive waits for this.
                    let _heard = next_to.send(dispatch);
                }
            }
            Dispatched::Recorded { kick, .. } => kicks.extend(kick),
            Dispatched::Waiting(kick) | Dispatched::Kick(kick) => kicks.push(kick),
            Dispatched::Stale { id } => tracing::info!(%id, "a dispatch ended after another had begun, or the run was over"),
        }
    }
    // Their drives end, and set their slots free.
    drop(waiting);
    ctx.kick(&kicks).await;
    Ok(())
}

/// Settles a group; a database that is away for seconds does not cost it. Sending it twice is safe.
async fn persist(ctx: &Ctx, settlements: &[Settlement]) -> Result<Vec<Dispatched>, StoreError> {
    let mut pause_ms = 100;
    loop {
        match ctx.store.run_settle(settlements).await {
            Err(StoreError::Unavailable(detail)) if pause_ms <= PAUSE_MS_MAX => {
                tracing::warn!(detail, "trying again to record dispatches");
                time::sleep_ms(pause_ms).await;
                pause_ms *= 2;
            }
            Err(error) => {
                tracing::error!(%error, "dispatches could not be recorded; their leases will run out and the runs be dispatched again");
                return Err(error);
            }
            Ok(settled) => return Ok(settled),
        }
    }
}
