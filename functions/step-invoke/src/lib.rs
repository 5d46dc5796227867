//! STAGE 3b: run queue -> lease, invoke, judge, settle; and again while the run makes progress and time is left. At rest a dispatch costs one
//! statement to lease it, one POST, and one statement to settle it; when the run goes on at once, the settle is the next lease.
//!
//! No lock and no connection is held while an endpoint is called. Out of scope: claiming (tick), checkpoints (publish's routes), and what ops
//! do (the database).

mod dispatch;
mod record;

use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::stream::FuturesUnordered;
use tikku_domain::ids::{RunId, WakeId};
use tikku_domain::limits::LOAD_BYTES_MAX;
use tikku_domain::workflow::Dispatch;
use tikku_platform::time::{self, Stopwatch};
use tikku_platform::{Ctx, Kick};
use tikku_store::{Dispatched, StoreError};

use crate::dispatch::Drive;
pub use crate::record::Recorder;

/// Runs that one load may lease, however many slots are free.
const ROWS_MAX: usize = 100;
/// Runs that one statement may lease: each may bring an input of 4 MiB.
const LEASE_MAX: usize = 25;
/// A run that is due within this is waited for here: queues whose delays are whole seconds bring it early.
const WAIT_MS_MAX: u64 = 2_000;

/// Leased runs, and those of the same load that are to be leased later, with the stopwatch that runs since.
pub struct Batch {
    leased: Vec<Dispatch>,
    soon: Vec<Kick>,
    rest: Vec<RunId>,
    watch: Stopwatch,
}

impl Batch {
    /// The size of all inputs and journals.
    pub fn body_bytes(&self) -> usize {
        self.leased.iter().map(|d| d.input.len() + d.journal.entries.iter().map(|entry| entry.bytes()).sum::<usize>()).sum()
    }
}

/// Dispatches those of the runs that are due. An error means that the truth could not be recorded: the queue must bring the ids again.
pub async fn handle(ctx: &Ctx, ids: &[RunId]) -> Result<(), StoreError> {
    let batch = load(ctx, ids).await?;
    run(ctx, batch).await
}

/// Leases what may start, as many as there are free slots and until there is enough in memory. What is early goes back to the queue; what is over, paused, or leased by another,
/// drops out.
pub async fn load(ctx: &Ctx, ids: &[RunId]) -> Result<Batch, StoreError> {
    let watch = Stopwatch::start();
    lease(ctx, ids, watch).await
}

async fn lease(ctx: &Ctx, ids: &[RunId], watch: Stopwatch) -> Result<Batch, StoreError> {
    let mut free = ctx.config.run_lanes.free().clamp(1, ROWS_MAX);
    let mut batch = Batch { leased: Vec::new(), soon: Vec::new(), rest: Vec::new(), watch };
    let mut rest = ids;
    while !rest.is_empty() && free > 0 && batch.body_bytes() < LOAD_BYTES_MAX as usize {
        let rows_max = free.min(LEASE_MAX);
        let asked = &rest[..rest.len().min(rows_max)];
        rest = &rest[asked.len()..];
        let before = batch.leased.len();
        let mut later = Vec::new();
        for one in ctx.store.run_lease(asked, rows_max).await? {
            match one {
                Dispatched::Started(dispatch) => batch.leased.push(*dispatch),
                Dispatched::Waiting(kick) if kick.wait_ms <= WAIT_MS_MAX => batch.soon.push(kick),
                Dispatched::Waiting(kick) | Dispatched::Kick(kick) => later.push(kick),
                Dispatched::Recorded { .. } | Dispatched::Stale { .. } => {}
            }
        }
        free -= batch.leased.len() - before;
        ctx.kick(&later).await;
    }
    batch.rest = rest.to_vec();
    Ok(batch)
}

/// Dispatches leased runs side by side, drives each on for as long as it may, and records what comes of them.
pub async fn run(ctx: &Ctx, batch: Batch) -> Result<(), StoreError> {
    run_with(ctx, &Recorder::default(), batch).await
}

/// The same where batches overlap in one process: what ends at the same time is recorded together.
pub async fn run_with(ctx: &Ctx, recorder: &Recorder, batch: Batch) -> Result<(), StoreError> {
    let watch = batch.watch;
    let mut result = Ok(());
    let mut next = Some(batch);
    while let Some(Batch { leased, soon, rest, .. }) = next.take() {
        result = result.and(run_leased(ctx, recorder, leased, soon, watch).await);
        // Runs beyond the free slots; what does not fit any more is handed over by tick.
        if !rest.is_empty() && !ctx.config.is_stopping() && watch.elapsed_ms() < ctx.config.batch_deadline_ms() / 2 {
            next = Some(lease(ctx, &rest, watch).await?);
        }
    }
    result
}

async fn run_leased(ctx: &Ctx, recorder: &Recorder, leased: Vec<Dispatch>, soon: Vec<Kick>, watch: Stopwatch) -> Result<(), StoreError> {
    let drives: FuturesUnordered<_> = leased.into_iter().map(|dispatch| Drive::new(ctx, dispatch, watch).run(recorder)).collect();
    let waits: FuturesUnordered<_> = soon.into_iter().map(|kick| wait(ctx, recorder, kick, watch)).collect();
    let (drives, waits) = join(drives.collect::<Vec<_>>(), waits.collect::<Vec<_>>()).await;
    drives.into_iter().chain(waits).collect()
}

/// Waits for a run that is due in a moment, and drives it.
async fn wait(ctx: &Ctx, recorder: &Recorder, kick: Kick, watch: Stopwatch) -> Result<(), StoreError> {
    let WakeId::Run(id) = kick.id else { return Ok(()) };
    time::sleep_ms(kick.wait_ms).await;
    for one in ctx.store.run_lease(&[id], 1).await? {
        match one {
            Dispatched::Started(dispatch) => Drive::new(ctx, *dispatch, watch).run(recorder).await?,
            // It was put off meanwhile.
            Dispatched::Waiting(kick) | Dispatched::Kick(kick) => ctx.kick(&[kick]).await,
            Dispatched::Recorded { .. } | Dispatched::Stale { .. } => {}
        }
    }
    Ok(())
}
