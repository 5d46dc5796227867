//! The queue consumer of `tikku dev`, in the place of SQS's event source mapping: takes ids out of memory, loads them, pushes them.
//!
//! Out of scope: loading and pushing (STAGE 3a, tikku-deliver).

use std::sync::Arc;
use std::time::Duration;

use tikku_domain::ids::MessageId;
use tikku_platform::queue::{MemoryQueue, Queue};
use tikku_platform::{Ctx, Wake};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::stop::Stop;

/// Pushes in flight at once.
pub const PUSHES_MAX: usize = 512;
/// Ids in one load.
const LOAD_MAX: usize = 100;
/// Between the starts of two loads: under load a batch is large, while a single message at rest waits for nothing.
const LOAD_PERIOD: Duration = Duration::from_millis(4);
/// How long pushes in flight may go on after a stop.
const PUSHES_WAIT: Duration = Duration::from_secs(5);
/// After which ids come back whose load failed, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// The running consumer.
pub struct Consumer {
    slots: Arc<Semaphore>,
    task: JoinHandle<()>,
}

impl Consumer {
    /// Starts to consume the in-memory queue of `ctx`, until a stop.
    pub fn start(ctx: Arc<Ctx>, stop: Stop) -> Consumer {
        let slots = Arc::new(Semaphore::new(PUSHES_MAX));
        let task = tokio::spawn(consume(ctx, slots.clone(), stop));
        Consumer { slots, task }
    }

    /// Waits for the pushes in flight, at most 5 s; a push that takes longer is made again once its lease has ended.
    pub async fn finish(self) {
        let _ended = self.task.await;
        let all = u32::try_from(PUSHES_MAX).unwrap_or(u32::MAX);
        if timeout(PUSHES_WAIT, self.slots.acquire_many(all)).await.is_err() {
            let open = PUSHES_MAX - self.slots.available_permits();
            tracing::warn!(open, "pushes are still in flight; they are made again after their lease");
        }
    }
}

async fn consume(ctx: Arc<Ctx>, slots: Arc<Semaphore>, mut stop: Stop) {
    let Queue::Memory(queue) = &ctx.queue;
    loop {
        let next = Instant::now() + LOAD_PERIOD;
        let (ids, permits) = tokio::select! {
            taken = take(queue, &slots) => taken,
            () = stop.wait() => return,
        };
        let Some(permits) = permits else { return };
        load(&ctx, ids, permits).await;
        sleep_until(next).await;
    }
}

/// Waits for ids, no more of them than there are free slots; answers them with their slots.
async fn take(queue: &MemoryQueue, slots: &Arc<Semaphore>) -> (Vec<MessageId>, Option<OwnedSemaphorePermit>) {
    let Ok(mut permits) = slots.clone().acquire_owned().await else { return (Vec::new(), None) };
    let more = slots.available_permits().min(LOAD_MAX - 1);
    let ids = queue.take(1 + more).await;
    let rest = u32::try_from(ids.len().saturating_sub(1)).unwrap_or(0);
    // Only this task takes slots: those that were free still are.
    if let Ok(others) = slots.clone().acquire_many_owned(rest).await {
        permits.merge(others);
    }
    (ids, Some(permits))
}

/// Loads ids and pushes what came of them in a task of its own.
async fn load(ctx: &Arc<Ctx>, ids: Vec<MessageId>, permits: OwnedSemaphorePermit) {
    match tikku_deliver::load(ctx, &ids).await {
        Ok(jobs) => {
            let ctx = ctx.clone();
            tokio::spawn(async move {
                // An error is logged there already: the leases run out, and the messages are pushed again.
                let _logged = tikku_deliver::run(&ctx, jobs).await;
                drop(permits);
            });
        }
        Err(error) => {
            tracing::warn!(%error, ids = ids.len(), "could not load messages; trying again in a second");
            let wakes: Vec<Wake> = ids.into_iter().map(|id| Wake { id, delay_ms: RETRY_MS }).collect();
            if let Err(error) = ctx.queue.send(&wakes).await {
                tracing::warn!(%error, "the queue refused them; tick will hand them over");
            }
        }
    }
}
