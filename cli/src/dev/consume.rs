//! The queue consumer of `tikku dev`, in the place of SQS's event source mapping: takes ids out of memory, loads them, pushes them.
//!
//! Out of scope: loading and pushing (STAGE 3a, tikku-deliver).

use std::sync::Arc;
use std::time::Duration;

use tikku_domain::ids::MessageId;
use tikku_platform::queue::{MemoryQueue, Queue};
use tikku_platform::{Ctx, Kick};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
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
    loop {
        let ids = tokio::select! {
            ids = take(queue, &ctx.config.slots) => ids,
            () = stop.wait() => break,
        };
        let next = Instant::now() + LOAD_PERIOD;
        load(&ctx, ids, &mut runs).await;
        while runs.try_join_next().is_some() {}
        sleep_until(next).await;
    }
    while runs.join_next().await.is_some() {}
}

/// Waits until a slot is free, then for ids: no more of them than there are free slots, so that what is loaded starts at once.
async fn take(queue: &MemoryQueue, slots: &Semaphore) -> Vec<MessageId> {
    // A closed semaphore has no permits either: deliver releases what it is given then.
    let _free = slots.acquire().await;
    let room = slots.available_permits() + 1;
    queue.take(room.min(LOAD_MAX)).await
}

/// Loads ids and pushes what came of them in a task of its own.
async fn load(ctx: &Arc<Ctx>, ids: Vec<MessageId>, runs: &mut JoinSet<()>) {
    match tikku_deliver::load(ctx, &ids).await {
        Ok(jobs) => {
            let ctx = ctx.clone();
            runs.spawn(async move {
                // An error is logged there already: the leases run out, and the messages are pushed again.
                let _logged = tikku_deliver::run(&ctx, jobs).await;
            });
        }
        Err(error) => {
            tracing::warn!(%error, ids = ids.len(), "could not load messages; trying again in a second");
            let kicks: Vec<Kick> = ids.into_iter().map(|id| Kick { id, wait_ms: RETRY_MS }).collect();
            if let Err(error) = ctx.queue.send(&kicks).await {
                tracing::warn!(%error, "the queue refused them; tick will hand them over");
            }
        }
    }
}
