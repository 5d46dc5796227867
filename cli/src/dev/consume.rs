//! The queue consumers of `tikku dev`, in the place of SQS's event source mappings: they take ids out of memory, load them, and push messages
//! or dispatch runs.
//!
//! Out of scope: loading and pushing (STAGE 3a, tikku-deliver), dispatching (STAGE 3b, tikku-step-invoke).

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tikku_platform::queue::{MemoryQueue, MemoryQueues, Queue};
use tikku_platform::{Ctx, Kick, Lanes};
use tikku_step_invoke::Recorder;
use tikku_store::StoreError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::stop::Stop;

/// Pushes in flight at once.
pub const PUSHES_MAX: usize = 512;
/// Pushes beside these that have lasted more than a second.
pub const SLOW_MAX: usize = 1024;
/// Dispatches of runs in flight at once.
pub const DISPATCHES_MAX: usize = 512;
/// Dispatches beside these that have lasted more than a second: they wait for their endpoints, and cost a socket and what they sent.
pub const SLOW_DISPATCHES_MAX: usize = 2048;
/// Between the starts of two loads: under load a batch is large, while a single id at rest waits for nothing.
const LOAD_PERIOD: Duration = Duration::from_millis(4);
/// How long what is in flight may go on after a stop.
const FLIGHT_WAIT: Duration = Duration::from_secs(5);
/// After which ids come back whose load failed, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// What the two consumers differ in.
trait Stage: 'static {
    /// What it sends, for the log.
    const WHAT: &'static str;
    /// Ids in one load.
    const LOAD_MAX: usize;
    /// Bodies in memory at once, in KiB.
    const KIB_MAX: usize;
    /// Bodies that one load may bring, in KiB: the store's limit and one largest body beyond it.
    const LOAD_KIB: u32;

    /// What was leased, and is to be sent.
    type Batch: Send + 'static;

    fn queue(queues: &MemoryQueues) -> &MemoryQueue;
    fn lanes(ctx: &Ctx) -> &Lanes;
    async fn load(ctx: &Ctx, kicks: &[Kick]) -> Result<Self::Batch, StoreError>;
    fn body_bytes(batch: &Self::Batch) -> usize;
    fn run(ctx: Arc<Ctx>, batch: Self::Batch) -> impl Future<Output = ()> + Send;
}

/// Messages.
struct Deliver;

impl Stage for Deliver {
    const WHAT: &'static str = "pushes";
    const LOAD_MAX: usize = 100;
    const KIB_MAX: usize = 128 * 1024;
    const LOAD_KIB: u32 = 20 * 1024;
    type Batch = tikku_deliver::Batch;

    fn queue(queues: &MemoryQueues) -> &MemoryQueue {
        &queues.messages
    }
    fn lanes(ctx: &Ctx) -> &Lanes {
        &ctx.config.lanes
    }
    async fn load(ctx: &Ctx, kicks: &[Kick]) -> Result<Self::Batch, StoreError> {
        tikku_deliver::load(ctx, &Kick::messages(kicks)).await
    }
    fn body_bytes(batch: &Self::Batch) -> usize {
        batch.body_bytes()
    }
    async fn run(ctx: Arc<Ctx>, batch: Self::Batch) {
        // An error is logged there already: the leases run out, and the messages are pushed again.
        let _logged = tikku_deliver::run(&ctx, batch).await;
    }
}

/// Runs. What ends at the same time is recorded together, whichever load it came with.
struct Invoke;

static RECORDER: LazyLock<Recorder> = LazyLock::new(Recorder::default);

impl Stage for Invoke {
    const WHAT: &'static str = "dispatches";
    const LOAD_MAX: usize = 100;
    const KIB_MAX: usize = 128 * 1024;
    const LOAD_KIB: u32 = 20 * 1024;
    type Batch = tikku_step_invoke::Batch;

    fn queue(queues: &MemoryQueues) -> &MemoryQueue {
        &queues.runs
    }
    fn lanes(ctx: &Ctx) -> &Lanes {
        &ctx.config.run_lanes
    }
    async fn load(ctx: &Ctx, kicks: &[Kick]) -> Result<Self::Batch, StoreError> {
        tikku_step_invoke::load(ctx, &Kick::runs(kicks)).await
    }
    fn body_bytes(batch: &Self::Batch) -> usize {
        batch.body_bytes()
    }
    async fn run(ctx: Arc<Ctx>, batch: Self::Batch) {
        // An error is logged there already: the leases run out, and the runs are dispatched again.
        let _logged = tikku_step_invoke::run_with(&ctx, &RECORDER, batch).await;
    }
}

/// The running consumers.
pub struct Consumers {
    deliver: JoinHandle<()>,
    invoke: JoinHandle<()>,
}

impl Consumers {
    /// Starts to consume the in-memory queues of `ctx`, until a stop.
    pub fn start(ctx: &Arc<Ctx>, stop: &Stop) -> Consumers {
        let (deliver, invoke) = (consume::<Deliver>(ctx.clone(), stop.clone()), consume::<Invoke>(ctx.clone(), stop.clone()));
        Consumers { deliver: tokio::spawn(deliver), invoke: tokio::spawn(invoke) }
    }

    /// Waits for what is in flight, at most 5 s; what takes longer is sent again once its lease has ended.
    pub async fn finish(self) {
        tokio::join!(finish::<Deliver>(self.deliver), finish::<Invoke>(self.invoke));
    }
}

async fn finish<S: Stage>(consumer: JoinHandle<()>) {
    if timeout(FLIGHT_WAIT, consumer).await.is_err() {
        tracing::warn!("{} are still in flight; they are made again after their lease", S::WHAT);
    }
}

async fn consume<S: Stage>(ctx: Arc<Ctx>, mut stop: Stop) {
    #[allow(irrefutable_let_patterns, reason = "there is a second kind of queue when Lambda's features are on")]
    let Queue::Memory(queues) = &ctx.queue else { return };
    let mut flights = JoinSet::new();
    let bytes = Arc::new(Semaphore::new(S::KIB_MAX));
    loop {
        let (kicks, room) = tokio::select! {
            taken = take::<S>(queues, &ctx, &bytes) => taken,
            () = stop.wait() => break,
        };
        let next = Instant::now() + LOAD_PERIOD;
        load::<S>(&ctx, kicks, room, &mut flights).await;
        while flights.try_join_next().is_some() {}
        sleep_until(next).await;
    }
    while flights.join_next().await.is_some() {}
}

/// Waits until there is a slot and room for the bodies of a load, then for ids: no more of them than there are free slots.
async fn take<S: Stage>(queues: &MemoryQueues, ctx: &Ctx, bytes: &Arc<Semaphore>) -> (Vec<Kick>, Option<OwnedSemaphorePermit>) {
    // Neither semaphore is ever closed.
    let room = bytes.clone().acquire_many_owned(S::LOAD_KIB).await.ok();
    let lanes = S::lanes(ctx);
    let _free = lanes.slot().await;
    let most = lanes.free() + 1;
    (S::queue(queues).take(most.min(S::LOAD_MAX)).await, room)
}

/// Loads ids and sends what came of them in a task of its own, which keeps the room that their bodies take.
async fn load<S: Stage>(ctx: &Arc<Ctx>, kicks: Vec<Kick>, mut room: Option<OwnedSemaphorePermit>, flights: &mut JoinSet<()>) {
    match S::load(ctx, &kicks).await {
        Ok(batch) => {
            let ctx = ctx.clone();
            let kept = room.as_mut().and_then(|room| room.split(S::body_bytes(&batch).div_ceil(1024).min(S::LOAD_KIB as usize)));
            drop(room);
            flights.spawn(async move {
                S::run(ctx, batch).await;
                drop(kept);
            });
        }
        Err(error) => {
            tracing::warn!(%error, ids = kicks.len(), "could not load {}; trying again in a second", S::WHAT);
            let again: Vec<Kick> = kicks.into_iter().map(|kick| Kick { wait_ms: RETRY_MS, ..kick }).collect();
            ctx.kick(&again).await;
        }
    }
}
