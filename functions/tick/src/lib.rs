//! STAGE 2: clock -> give up lost leases, hand over what is due soon. Idle, it costs one statement.
//!
//! Out of scope: pushing. Any number of ticks may run at once: each takes rows that no other holds.

use tikku_platform::Ctx;
use tikku_platform::time::Stopwatch;
use tikku_store::StoreError;

/// Rows of one statement: few claimers with this many are the fastest (bench/README.md).
const ROWS: i64 = 100;
/// A tick stops taking rows after this; the next goes on.
const TICK_MS_MAX: u64 = 45_000;

/// What a tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TickReport {
    /// Rows handed to the queue.
    pub kicked: usize,
    /// Lost leases that were given up.
    pub lost: usize,
}

/// One tick.
pub async fn handle(ctx: &Ctx) -> Result<TickReport, StoreError> {
    let watch = Stopwatch::start();
    let look = ctx.store.tick_look().await?;
    let mut report = TickReport::default();
    let mut more = look.lost;
    while more && watch.elapsed_ms() < TICK_MS_MAX {
        let (lost, due) = ctx.store.message_reap(ROWS).await?;
        ctx.kick(&due).await;
        report.lost += lost;
        more = lost as i64 == ROWS;
    }
    more = look.kick;
    while more && watch.elapsed_ms() < TICK_MS_MAX && report.kicked < ctx.config.tick_rows_max {
        let due = ctx.store.message_claim(ROWS).await?;
        ctx.kick(&due).await;
        report.kicked += due.len();
        more = due.len() as i64 == ROWS;
    }
    if report != TickReport::default() {
        tracing::debug!(kicked = report.kicked, lost = report.lost, "tick");
    }
    Ok(report)
}
