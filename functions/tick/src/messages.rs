//! Messages that the queue does not hold, lost pushes, and flows and breakers for which rows were left waiting.
//!
//! Out of scope: which rows those are (the store).

use tikku_store::StoreError;

use crate::{More, ROWS, Tick};

/// Gives up leases that ran out.
pub async fn reap(tick: &mut Tick<'_>) -> Result<More, StoreError> {
    let ctx = tick.ctx;
    let reaped = ctx.store.message_reap(ROWS).await?;
    ctx.kick(&reaped.kicks).await;
    if !reaped.flows.is_empty() {
        ctx.kick(&ctx.store.flow_wake(&reaped.flows).await?).await;
    }
    tick.report.lost += reaped.lost;
    Ok(More::if_so(reaped.rows >= ROWS as usize))
}

/// Looks after flows and breakers that nobody looked after in time.
pub async fn sweep(tick: &mut Tick<'_>) -> Result<More, StoreError> {
    let swept = tick.ctx.store.waiting_sweep(ROWS).await?;
    tick.ctx.kick(&swept.kicks).await;
    tick.report.kicked += swept.kicks.len();
    Ok(More::if_so(swept.rows > 0))
}

/// Hands over what is due soon.
pub async fn claim(tick: &mut Tick<'_>) -> Result<More, StoreError> {
    if tick.report.kicked >= tick.ctx.config.tick_rows_max {
        return Ok(More::No);
    }
    let claimed = tick.ctx.store.message_claim(ROWS.into()).await?;
    tick.ctx.kick(&claimed.kicks).await;
    tick.report.kicked += claimed.kicks.len();
    // Its shares of the accounts are rounded down: fewer rows do not mean that there are no more.
    Ok(More::if_so(claimed.rows > 0))
}
