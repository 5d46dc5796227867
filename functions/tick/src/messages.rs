//! Messages that the queue does not hold, lost pushes, and flows and breakers for which rows were left waiting.
//!
//! Out of scope: which rows those are (the store).

use tikku_store::StoreError;

use crate::{More, ROWS, Tick};

/// Gives up leases that ran out.
pub async fn reap(tick: &mut Tick<'_>) -> Result<More, StoreError> {
    let ctx = tick.ctx;
    let has_time = tick.turn();
    while has_time() {
        let reaped = ctx.store.message_reap(ROWS).await?;
        ctx.kick(&reaped.kicks).await;
        if !reaped.flows.is_empty() {
            ctx.kick(&ctx.store.flow_wake(&reaped.flows).await?).await;
        }
        tick.report.lost += reaped.lost;
        if reaped.lost < ROWS as usize {
            return Ok(More::No);
        }
    }
    Ok(More::Yes)
}

/// Looks after flows and breakers that nobody looked after in time.
pub async fn sweep(tick: &mut Tick<'_>) -> Result<More, StoreError> {
    let ctx = tick.ctx;
    let has_time = tick.turn();
    while has_time() {
        let swept = ctx.store.waiting_sweep(ROWS).await?;
        ctx.kick(&swept.kicks).await;
        tick.report.kicked += swept.kicks.len();
        if swept.rows == 0 {
            return Ok(More::No);
        }
    }
    Ok(More::Yes)
}

/// Hands over what is due soon.
pub async fn claim(tick: &mut Tick<'_>) -> Result<More, StoreError> {
    let ctx = tick.ctx;
    let has_time = tick.turn();
    while has_time() {
        if tick.report.kicked >= ctx.config.tick_rows_max {
            return Ok(More::No);
        }
        // Its shares of the accounts are rounded down: fewer rows do not mean that there are no more.
        let claimed = ctx.store.message_claim(ROWS.into()).await?;
        ctx.kick(&claimed.kicks).await;
        tick.report.kicked += claimed.kicks.len();
        if claimed.rows == 0 {
            return Ok(More::No);
        }
    }
    Ok(More::Yes)
}
