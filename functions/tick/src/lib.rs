//! STAGE 2: clock -> give up lost leases, fire schedules, hand over what is due soon, prune what is old. Idle, it costs one statement.
//!
//! Out of scope: pushing. Any number of ticks may run at once: each takes rows that no other holds.

mod prune;
mod schedules;

use prune::More;
use tikku_platform::Ctx;
use tikku_platform::time::Stopwatch;
use tikku_store::{Look, PrunePlace, StoreError};

/// Rows of one statement: few claimers with this many are the fastest (bench/README.md).
const ROWS: i32 = 100;
/// A tick stops taking rows after this; the next goes on.
const TICK_MS_MAX: u64 = 45_000;

/// What a tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TickReport {
    /// Rows handed to the queue.
    pub kicked: usize,
    /// Lost leases that were given up.
    pub lost: usize,
    /// Messages that schedules made.
    pub fired: usize,
    /// Messages older than their account's retention that were deleted.
    pub pruned: u64,
}

/// One tick.
pub async fn handle(ctx: &Ctx) -> Result<TickReport, StoreError> {
    let watch = Stopwatch::start();
    let (mut report, mut place) = (TickReport::default(), PrunePlace::default());
    // Pruning takes turns with what is due, so that neither waits for the other's backlog.
    while round(ctx, &watch, &mut report).await?.prune && watch.elapsed_ms() < TICK_MS_MAX && report.kicked < ctx.config.tick_rows_max {
        let (pruned, more) = prune::turn(ctx, &mut place).await?;
        report.pruned += pruned;
        if more == More::No {
            break;
        }
    }
    if report != TickReport::default() {
        tracing::debug!(kicked = report.kicked, lost = report.lost, fired = report.fired, pruned = report.pruned, "tick");
    }
    Ok(report)
}

async fn round(ctx: &Ctx, watch: &Stopwatch, report: &mut TickReport) -> Result<Look, StoreError> {
    let look = ctx.store.tick_look().await?;
    let mut more = look.lost;
    while more && watch.elapsed_ms() < TICK_MS_MAX {
        let reaped = ctx.store.message_reap(ROWS).await?;
        ctx.kick(&reaped.kicks).await;
        if !reaped.flows.is_empty() {
            ctx.kick(&ctx.store.flow_wake(&reaped.flows).await?).await;
        }
        report.lost += reaped.lost;
        more = reaped.lost == ROWS as usize;
    }
    more = look.waiting;
    while more && watch.elapsed_ms() < TICK_MS_MAX {
        let swept = match ctx.store.waiting_sweep(ROWS).await {
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            // What is wrong with one flow must not stop the clock of all.
            Err(error) => {
                tracing::error!(%error, "flows and breakers could not be looked after");
                break;
            }
            Ok(swept) => swept,
        };
        ctx.kick(&swept.kicks).await;
        report.kicked += swept.kicks.len();
        more = swept.rows > 0;
    }
    if look.fire {
        report.fired += schedules::fire(ctx, watch).await?;
    }
    more = look.kick;
    while more && watch.elapsed_ms() < TICK_MS_MAX && report.kicked < ctx.config.tick_rows_max {
        // Its shares of the accounts are rounded down: fewer rows do not mean that there are no more.
        let claimed = ctx.store.message_claim(ROWS.into()).await?;
        ctx.kick(&claimed.kicks).await;
        report.kicked += claimed.kicks.len();
        more = claimed.rows > 0;
    }
    Ok(look)
}
