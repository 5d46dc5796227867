//! STAGE 3a: queue -> load, sign, push, judge, record. Five beats and no decision: `tikku_domain::message` decides.
//!
//! Out of scope: claiming (tick), the endpoint's idea of the message.

use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::stream::FuturesUnordered;
use tikku_domain::destination;
use tikku_domain::ids::MessageId;
use tikku_domain::limits::{LOAD_BYTES_MAX, START_WITHIN_MS, WINDOW_MS};
use tikku_domain::message::{self, Failure, Job, Outcome, Reply, Settlement};
use tikku_platform::time::{self, Stopwatch};
use tikku_platform::{Ctx, Push};
use tikku_store::{Kick, Loaded, Settled, StoreError};
use tokio::sync::mpsc;

/// Outcomes that are known within this of each other are recorded by one statement.
const GROUP_MS: u64 = 250;
/// How often a group is tried while the database is away, each time after twice the wait: 13 s in all.
const RECORD_TRIES: u32 = 7;

/// What became of a job.
enum Done {
    /// It was pushed, from so many milliseconds after the load.
    Pushed { settlement: Settlement, started_ms: u64 },
    /// Its slot came too late: nothing was sent.
    Unstarted { id: MessageId, fence: i64 },
}

/// Delivers those of the messages that are due. An error means that the truth could not be recorded: the queue must bring the
/// ids again.
pub async fn handle(ctx: &Ctx, ids: &[MessageId]) -> Result<(), StoreError> {
    let jobs = load(ctx, ids).await?;
    run(ctx, jobs).await
}

/// Leases what may start. What is early goes back to the queue; what is over, or leased by another, drops out.
pub async fn load(ctx: &Ctx, ids: &[MessageId]) -> Result<Vec<Job>, StoreError> {
    let mut jobs = Vec::with_capacity(ids.len());
    let mut waiting = Vec::new();
    for loaded in ctx.store.message_load(ids, LOAD_BYTES_MAX).await? {
        match loaded {
            Loaded::Started(job) => jobs.push(*job),
            Loaded::Waiting(kick) => waiting.push(kick),
        }
    }
    ctx.kick(&waiting).await;
    Ok(jobs)
}

/// Pushes leased jobs side by side and records outcomes in groups while other pushes are still under way.
pub async fn run(ctx: &Ctx, jobs: Vec<Job>) -> Result<(), StoreError> {
    let watch = Stopwatch::start();
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut pushes: FuturesUnordered<_> = jobs.into_iter().map(|job| deliver(ctx, job, watch)).collect();
    let push_all = async move {
        while let Some(done) = pushes.next().await {
            // The recorder listens until this sender is gone.
            let _unheard = sender.send(done);
        }
    };
    join(push_all, record_all(ctx, receiver, watch)).await.1
}

async fn deliver(ctx: &Ctx, job: Job, watch: Stopwatch) -> Done {
    if job.wait_ms > 0 {
        time::sleep_ms(job.wait_ms).await;
    }
    let slot = ctx.config.slots.acquire().await;
    let started_ms = watch.elapsed_ms();
    let too_late = started_ms > START_WITHIN_MS || started_ms + job.timeout_ms > ctx.config.batch_deadline_ms();
    if slot.is_err() || too_late {
        return Done::Unstarted { id: job.id, fence: job.fence };
    }
    let now_ms = |elapsed_ms: u64| job.now_ms.saturating_add_unsigned(elapsed_ms);
    let outcome = push(ctx, &job, now_ms(started_ms) / 1000).await;
    let settlement = message::settle(&job, outcome, now_ms(watch.elapsed_ms()));
    Done::Pushed { settlement, started_ms }
}

async fn push(ctx: &Ctx, job: &Job, timestamp_s: i64) -> Outcome {
    let url = match destination::parse(&ctx.config.policy, &job.url) {
        Ok(url) => url,
        Err(error) => return Outcome { duration_ms: 0, result: Reply::Failed { kind: Failure::Refused, detail: error.to_string() } },
    };
    let headers = message::push_headers(job, timestamp_s);
    let body = job.body.clone().unwrap_or_default();
    ctx.http.push(Push { url, method: job.method.clone(), headers, body, timeout_ms: job.timeout_ms }).await
}

/// Records groups until every push has reported; the first error is kept and the rest still recorded.
async fn record_all(ctx: &Ctx, mut receiver: mpsc::UnboundedReceiver<Done>, watch: Stopwatch) -> Result<(), StoreError> {
    let mut result = Ok(());
    while let Some(first) = receiver.recv().await {
        let group = group(first, &mut receiver).await;
        if let Err(error) = record(ctx, group, watch).await {
            tracing::error!(%error, "outcomes could not be recorded; their leases will run out and they will be pushed again");
            result = Err(error);
        }
    }
    result
}

/// Everything that is reported until [`GROUP_MS`] after the first, or until nothing is left to wait for.
async fn group(first: Done, receiver: &mut mpsc::UnboundedReceiver<Done>) -> Vec<Done> {
    let mut group = vec![first];
    let mut pause = std::pin::pin!(time::sleep_ms(GROUP_MS));
    loop {
        let next = std::pin::pin!(receiver.recv());
        match futures_util::future::select(next, pause.as_mut()).await {
            futures_util::future::Either::Left((Some(done), _)) => group.push(done),
            _ => return group,
        }
    }
}

async fn record(ctx: &Ctx, group: Vec<Done>, watch: Stopwatch) -> Result<(), StoreError> {
    let mut pushed = Vec::with_capacity(group.len());
    let mut unstarted = Vec::new();
    for done in group {
        match done {
            Done::Pushed { settlement, started_ms } => pushed.push((settlement, started_ms)),
            Done::Unstarted { id, fence } => unstarted.push((id, fence)),
        }
    }
    if !pushed.is_empty() {
        let settled = settle(ctx, &pushed, watch).await?;
        let retries = settled.iter().filter_map(|s| Some(Kick { id: s.id, wait_ms: s.retry_in_ms.filter(|ms| *ms <= WINDOW_MS)? }));
        ctx.kick(&retries.collect::<Vec<_>>()).await;
    }
    if !unstarted.is_empty() {
        let released = ctx.store.message_release(&unstarted).await?;
        ctx.kick(&released).await;
    }
    Ok(())
}

/// Settles a group; a database that is away for seconds does not cost a known outcome.
async fn settle(ctx: &Ctx, pushed: &[(Settlement, u64)], watch: Stopwatch) -> Result<Vec<Settled>, StoreError> {
    let mut pause_ms = 100;
    for _ in 1..RECORD_TRIES {
        match record_once(ctx, pushed, watch).await {
            Err(StoreError::Unavailable(_)) => time::sleep_ms(pause_ms).await,
            other => return other,
        }
        pause_ms *= 2;
    }
    record_once(ctx, pushed, watch).await
}

async fn record_once(ctx: &Ctx, pushed: &[(Settlement, u64)], watch: Stopwatch) -> Result<Vec<Settled>, StoreError> {
    let now_ms = watch.elapsed_ms();
    let group: Vec<_> = pushed.iter().map(|(settlement, started_ms)| (settlement.clone(), now_ms - started_ms)).collect();
    ctx.store.message_settle(&ctx.config.worker, &group).await
}
