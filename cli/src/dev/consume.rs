//! The queue consumer of `tikku dev`, in the place of SQS's event source mapping: takes ids out of memory, loads them, pushes them.
//!
//! Out of scope: loading and pushing (STAGE 3a, tikku-deliver).

use std::sync::Arc;
use std::time::Duration;

use tikku_platform::queue::{MemoryQueue, Queue};
use tikku_platform::{Ctx, Kick};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::stop::Stop;

/// Pushes in flight at once.
pub const PUSHES_MAX: usize = 512;
/// Bodies in memory at once, in KiB.
const BODY_KIB_MAX: usize = 128 * 1024;
/// Bodies that one load may bring, in KiB: the store's limit and one largest body beyond it.
const LOAD_KIB: u32 = 20 * 1024;
/// Pushes beside these that have lasted more than a second.
pub const SLOW_MAX: usize = 1024;
/// Ids in one load.
const LOAD_MAX: usize = 100;
/// Between the starts of two loads: under load a batch is large, while a single message at rest waits for nothing.
const LOAD_PERIOD: Duration = Duration::from_millis(4);
/// How long pushes in flight may go on after a stop.
const PUSHES_WAIT: Duration = Duration::from_secs(5);
/// After which ids come back whose load failed, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// The running consumer.
pub struct Consumer(JoinHandle<()>);

impl Consumer {
    /// Starts to consume the in-memory queue of `ctx`, until a stop.
    pub fn start(ctx: Arc<Ctx>, stop: Stop) -> Consumer {
        Consumer(tokio::spawn(consume(ctx, stop)))
    }

    /// Waits for the pushes in flight, at most 5 s; a push that takes longer is made again once its lease has ended.
    pub async fn finish(self) {
        if timeout(PUSHES_WAIT, self.0).await.is_err() {
            tracing::warn!("pushes are still in flight; they are made again after their lease");
        }
    }
}

async fn consume(ctx: Arc<Ctx>, mut stop: Stop) {
    #[allow(irrefutable_let_patterns, reason = "there is a second kind of queue when Lambda's features are on")]
    let Queue::Memory(queue) = &ctx.queue else { return };
    let mut runs = JoinSet::new();
    let bytes = Arc::new(Semaphore::new(BODY_KIB_MAX));
    loop {
        let (kicks, room) = tokio::select! {
            taken = take(queue, &ctx, &bytes) => taken,
            () = stop.wait() => break,
        };
        let next = Instant::now() + LOAD_PERIOD;
        load(&ctx, kicks, room, &mut runs).await;
        while runs.try_join_next().is_some() {}
        sleep_until(next).await;
    }
    while runs.join_next().await.is_some() {}
}

/// Waits until there is a slot and room for the bodies of a load, then for ids: no more of them than there are free slots.
async fn take(queue: &MemoryQueue, ctx: &Ctx, bytes: &Arc<Semaphore>) -> (Vec<Kick>, Option<OwnedSemaphorePermit>) {
    // Neither semaphore is ever closed.
    let room = bytes.clone().acquire_many_owned(LOAD_KIB).await.ok();
    let _free = ctx.config.lanes.slot().await;
    let most = ctx.config.lanes.free() + 1;
    (queue.take(most.min(LOAD_MAX)).await, room)
}

/// Loads ids and pushes what came of them in a task of its own, which keeps the room that their bodies take.
async fn load(ctx: &Arc<Ctx>, kicks: Vec<Kick>, mut room: Option<OwnedSemaphorePermit>, runs: &mut JoinSet<()>) {
    let ids: Vec<_> = kicks.iter().map(|kick| kick.id).collect();
    match tikku_deliver::load(ctx, &ids).await {
        Ok(batch) => {
            let ctx = ctx.clone();
            let kept = room.as_mut().and_then(|room| room.split(batch.body_bytes().div_ceil(1024).min(LOAD_KIB as usize)));
            drop(room);
            runs.spawn(async move {
                // An error is logged there already: the leases run out, and the messages are pushed again.
                let _logged = tikku_deliver::run(&ctx, batch).await;
                drop(kept);
            });
        }
        Err(error) => {
            tracing::warn!(%error, ids = ids.len(), "could not load messages; trying again in a second");
            let again: Vec<Kick> = kicks.into_iter().map(|kick| Kick { wait_ms: RETRY_MS, ..kick }).collect();
            ctx.kick(&again).await;
        }
    }
}
