//! Runs that the queue does not hold, lost dispatches, and gates at which runs were left waiting.
//!
//! Out of scope: which rows those are (the store).

use tikku_store::StoreError;

use crate::{More, ROWS, Tick};

/// Gives up dispatches whose leases ran out.
pub async fn reap(tick: &mut Tick<'_>) -> Result<More, StoreError> {
    let ctx = tick.ctx;
    let has_time = tick.turn();
    while has_time() {
        let reaped = ctx.store.run_reap(ROWS).await?;
        ctx.kick(&reaped.kicks).await;
        tick.report.run_lost += reaped.lost;
        if reaped.lost < ROWS as usize {
            return Ok(More::No);
        }
    }
    Ok(More::Yes)
}

/// Looks after gates that nobody looked after in time.
pub async fn gates(tick: &mut Tick<'_>) -> Result<More, StoreError> {
    let ctx = tick.ctx;
    let has_time = tick.turn();
    while has_time() {
        let swept = ctx.store.gate_sweep(ROWS).await?;
        ctx.kick(&swept.kicks).await;
        tick.report.run_kicked += swept.kicks.len();
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
        if tick.report.run_kicked >= ctx.config.tick_rows_max {
            return Ok(More::No);
        }
        let claimed = ctx.store.run_claim(ROWS.into()).await?;
        ctx.kick(&claimed.kicks).await;
        tick.report.run_kicked += claimed.kicks.len();
        if claimed.rows == 0 {
            return Ok(More::No);
        }
    }
    Ok(More::Yes)
}
