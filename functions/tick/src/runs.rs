//! Runs that the queue does not hold, lost dispatches, and gates at which runs were left waiting.
//!
//! Out of scope: which rows those are (the store).

use tikku_store::StoreError;

use crate::{More, ROWS, Tick};

/// Gives up dispatches whose leases ran out.
pub async fn reap(tick: &mut Tick<'_>) -> Result<More, StoreError> {
    let reaped = tick.ctx.store.run_reap(ROWS).await?;
    tick.ctx.kick(&reaped.kicks).await;
    tick.report.run_lost += reaped.lost;
    // A page may be full of leases that had been renewed, with lost ones behind them.
    Ok(More::if_so(reaped.rows >= ROWS as usize))
}

/// Looks after gates that nobody looked after in time.
pub async fn gates(tick: &mut Tick<'_>) -> Result<More, StoreError> {
    let swept = tick.ctx.store.gate_sweep(ROWS).await?;
    tick.ctx.kick(&swept.kicks).await;
    tick.report.run_kicked += swept.kicks.len();
    Ok(More::if_so(swept.rows > 0))
}

/// Hands over what is due soon.
pub async fn claim(tick: &mut Tick<'_>) -> Result<More, StoreError> {
    if tick.report.run_kicked >= tick.ctx.config.tick_rows_max {
        return Ok(More::No);
    }
    let claimed = tick.ctx.store.run_claim(ROWS.into()).await?;
    tick.ctx.kick(&claimed.kicks).await;
    tick.report.run_kicked += claimed.kicks.len();
    Ok(More::if_so(claimed.rows > 0))
}
