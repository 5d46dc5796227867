//! STAGE 3a: queue -> load, sign, push, judge, record. Five beats and no decision: `tikku_domain::message` decides.
//!
//! A message to a workflow is not pushed, but starts a run (`starts`). Out of scope: claiming (tick), the endpoint's idea of the message.

mod starts;

use std::pin::pin;

use futures_util::StreamExt;
use futures_util::future::{Either, join3, select};
use futures_util::stream::FuturesUnordered;
use tikku_domain::destination::{self, DestinationError};
use tikku_domain::fetch::{Fetch, Fetched};
use tikku_domain::ids::MessageId;
use tikku_domain::limits::LOAD_BYTES_MAX;
use tikku_domain::message::{self, Failure, Job, Outcome, Reply, Settlement};
use tikku_platform::time::{self, Stopwatch};
use tikku_platform::{Ctx, Push};
use tikku_store::{Kick, Loaded, StoreError};
use tokio::sync::mpsc;
use url::{Position, Url};

/// Outcomes that are known within this of each other are recorded by one statement.
const GROUP_MS: u64 = 250;
/// A group is closed when the answers that steps get of it are larger than this.
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// While the database is away a statement is tried again after twice the wait each time, up to this: for 13 s in all.
const PERSIST_PAUSE_MS_MAX: u64 = 6_400;
/// A push that has lasted so long moves to the slow lane.
const SLOW_MS: u64 = 1_000;
/// Rows that one load may start, where flows bring more than were asked for.
const ROWS_MAX: usize = 100;
/// What was put back is looked at again after this.
const PUT_BACK_MS: u64 = 5_000;

/// What became of a job.
enum Done {
    /// It was pushed, from so many milliseconds after the load.
    Pushed { settlement: Box<Settlement>, started_ms: u64 },
    /// Its slot came too late, or its destination is stuck: nothing was sent.
    Unstarted { id: MessageId, fence: i64 },
}

impl Done {
    /// The size of what a step gets.
    fn answer_bytes(&self) -> usize {
        match self {
            Self::Pushed { settlement, .. } => match &settlement.fetched {
                Some(Fetched::Answer(json)) => json.len(),
                _ => 0,
            },
            Self::Unstarted { .. } => 0,
        }
    }
}

/// Leased jobs and the stopwatch that runs since.
pub struct Batch {
    jobs: Vec<Job>,
    watch: Stopwatch,
}

impl Batch {
    /// The size of all bodies.
    pub fn body_bytes(&self) -> usize {
        self.jobs.iter().map(|job| job.body.as_ref().map_or(0, Vec::len)).sum()
    }
}

/// Delivers those of the messages that are due. An error means that the truth could not be recorded: the queue must bring the
/// ids again.
pub async fn handle(ctx: &Ctx, ids: &[MessageId]) -> Result<(), StoreError> {
    let batch = load(ctx, ids).await?;
    run(ctx, batch).await
}

/// Leases what may start. What is early goes back to the queue; what is over, or leased by another, drops out.
pub async fn load(ctx: &Ctx, ids: &[MessageId]) -> Result<Batch, StoreError> {
    // More than there are slots: some have to wait for their time anyway.
    let rows_max = (2 * ctx.config.lanes.free()).clamp(1, ROWS_MAX);
    let loaded = ctx.store.message_load(ids, rows_max, LOAD_BYTES_MAX).await?;
    let watch = Stopwatch::start();
    let mut jobs = Vec::with_capacity(loaded.len());
    let mut waiting = Vec::new();
    for one in loaded {
        match one {
            Loaded::Started(job) => jobs.push(*job),
            Loaded::Waiting(kick) => waiting.push(kick),
        }
    }
    ctx.kick(&waiting).await;
    Ok(Batch { jobs, watch })
}

/// Pushes leased jobs side by side and records outcomes in groups while other pushes are still under way.
pub async fn run(ctx: &Ctx, Batch { jobs, watch }: Batch) -> Result<(), StoreError> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (to_start, jobs) = jobs.into_iter().partition(|job: &Job| destination::workflow(&job.url).is_some());
    let start_all = starts::start_all(ctx, to_start, watch, sender.clone());
    let mut pushes: FuturesUnordered<_> = jobs.into_iter().map(|job| deliver(ctx, job, watch)).collect();
    let push_all = async move {
        while let Some(done) = pushes.next().await {
            // The recorder listens until this sender is gone.
            let _unheard = sender.send(done);
        }
    };
    let (started, (), recorded) = join3(start_all, push_all, record_all(ctx, receiver, watch)).await;
    recorded.and(started)
}

async fn deliver(ctx: &Ctx, mut job: Job, watch: Stopwatch) -> Done {
    if job.fetch == Some(Fetch::Abandoned) {
        return Done::Pushed { settlement: Box::new(message::abandon(&job)), started_ms: watch.elapsed_ms() };
    }
    let (lanes, unstarted) = (&ctx.config.lanes, Done::Unstarted { id: job.id, fence: job.fence });
    let left_ms = job.wait_ms.saturating_sub(watch.elapsed_ms());
    if left_ms > 0 {
        time::sleep_ms(left_ms).await;
    }
    let url = destination::parse(&ctx.config.policy, &job.url);
    // Scheme, host, port and path.
    let place = url.as_ref().map(|url| url[..Position::AfterPath].to_owned()).unwrap_or_default();
    if lanes.is_stuck(&place) {
        return unstarted;
    }
    let slot = lanes.slot().await;
    let started_ms = watch.elapsed_ms();
    let Some(timeout_ms) = message::room_ms(&job, started_ms, ctx.config.batch_deadline_ms()) else { return unstarted };
    let started_at_ms = job.now_ms.saturating_add_unsigned(started_ms);
    let body = job.body.take();
    let push = pin!(push(ctx, &job, url, body, timeout_ms, started_at_ms / 1000));
    let outcome = match select(push, pin!(time::sleep_ms(SLOW_MS))).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(((), push)) => {
            let slow = lanes.enter_slow(&place);
            let _slot = slot.filter(|_| slow.is_none());
            push.await
        }
    };
    let ended_at_ms = started_at_ms.saturating_add_unsigned(watch.elapsed_ms().saturating_sub(started_ms));
    Done::Pushed { settlement: Box::new(message::settle(&job, outcome, ended_at_ms)), started_ms }
}

async fn push(
    ctx: &Ctx,
    job: &Job,
    url: Result<Url, DestinationError>,
    body: Option<Vec<u8>>,
    timeout_ms: u64,
    timestamp_s: i64,
) -> Outcome {
    let url = match url {
        Ok(url) => url,
        Err(error) => {
            // What the operator forbids he may allow before the next attempt; what is no URL will never be one.
            let kind = if error.is_policy() { Failure::Refused } else { Failure::Invalid };
            return Outcome { duration_ms: 0, result: Reply::failed(kind, error.to_string()) };
        }
    };
    let headers = message::push_headers(job, body.as_deref(), timestamp_s);
    let (method, body_max) = (job.method.clone(), message::body_max(job));
    ctx.http.push(Push { url, method, headers, body: body.unwrap_or_default(), timeout_ms, body_max }).await
}

/// Records groups until every push has reported; the first error is kept and the rest still recorded.
async fn record_all(ctx: &Ctx, mut receiver: mpsc::UnboundedReceiver<Done>, watch: Stopwatch) -> Result<(), StoreError> {
    let mut result = Ok(());
    while let Some(first) = receiver.recv().await {
        let group = group(first, &mut receiver).await;
        result = result.and(record(ctx, group, watch).await);
    }
    result
}

/// Everything that is reported until [`GROUP_MS`] after the first, or until it is enough, or nothing is left to wait for.
async fn group(first: Done, receiver: &mut mpsc::UnboundedReceiver<Done>) -> Vec<Done> {
    let mut bytes = first.answer_bytes();
    let mut group = vec![first];
    let mut pause = pin!(time::sleep_ms(GROUP_MS));
    while bytes <= GROUP_BYTES
        && let Either::Left((Some(done), _)) = select(pin!(receiver.recv()), pause.as_mut()).await
    {
        bytes += done.answer_bytes();
        group.push(done);
    }
    group
}

/// Settles what was pushed and gives back what was not; both are tried, whatever becomes of the other.
async fn record(ctx: &Ctx, group: Vec<Done>, watch: Stopwatch) -> Result<(), StoreError> {
    let mut pushed = Vec::with_capacity(group.len());
    let mut unstarted = Vec::new();
    for done in group {
        match done {
            Done::Pushed { settlement, started_ms } => pushed.push((*settlement, started_ms)),
            Done::Unstarted { id, fence } => unstarted.push((id, fence)),
        }
    }
    let mut kicks = Vec::new();
    let mut result = Ok(());
    if !pushed.is_empty() {
        match persist(|| ctx.store.message_settle(&ctx.config.worker, watch.elapsed_ms(), &pushed)).await {
            Ok(settled) => kicks.extend(settled.kicks),
            Err(error) => result = Err(error),
        }
    }
    if !unstarted.is_empty() {
        match persist(|| ctx.store.message_release(&unstarted)).await {
            Ok(released) => kicks.extend(released.into_iter().map(|kick| Kick { wait_ms: kick.wait_ms.max(PUT_BACK_MS), ..kick })),
            Err(error) => result = result.and(Err(error)),
        }
    }
    ctx.kick(&kicks).await;
    result
}

/// Runs a statement that records something known; a database that is away for seconds does not cost it. Sending it twice is safe.
async fn persist<T, F: Future<Output = Result<T, StoreError>>>(statement: impl Fn() -> F) -> Result<T, StoreError> {
    let mut pause_ms = 100;
    loop {
        match statement().await {
            Err(StoreError::Unavailable(detail)) if pause_ms <= PERSIST_PAUSE_MS_MAX => {
                tracing::warn!(detail, "trying again to record outcomes");
                time::sleep_ms(pause_ms).await;
                pause_ms *= 2;
            }
            Err(error) => {
                tracing::error!(%error, "outcomes could not be recorded; their leases will run out and they will be pushed again");
                return Err(error);
            }
            Ok(value) => return Ok(value),
        }
    }
}
