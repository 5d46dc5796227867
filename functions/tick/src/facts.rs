//! What was begun for runs and not ended: events that not all who wait for them have, signals that SQL sent, children of runs that are over.
//!
//! Out of scope: who waits for what (the store).

use tikku_store::StoreError;

use crate::{More, ROWS, TURN_MS_MAX, Tick};

/// Events of one statement.
const EVENTS: i64 = 100;

/// Gives events to those who still wait for them. One that cannot be given does not hold up the others.
pub async fn events(tick: &mut Tick<'_>) -> Result<More, StoreError> {
    let ctx = tick.ctx;
    let has_time = tick.turn(TURN_MS_MAX);
    let open = ctx.store.event_open(EVENTS).await?;
    let full = open.len() as i64 == EVENTS;
    let (mut applied, mut fault) = (0, None);
    for (account, id) in open {
        loop {
            if !has_time() {
                return Ok(More::Yes);
            }
            match ctx.store.event_apply(account, id).await {
                Ok(one) => {
                    ctx.kick(&one.kicks).await;
                    if !one.more {
                        applied += 1;
                        break;
                    }
                }
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                Err(error) => {
                    tracing::error!(%error, event = %id, "an event cannot be given to those who wait for it");
                    fault.get_or_insert(error);
                    break;
                }
            }
        }
    }
    tick.report.events += applied;
    match fault {
        Some(error) => Err(error),
        // Events that fail again and again come first: without another one there is nothing to win.
        None => Ok(More::if_so(full && applied > 0)),
    }
}

/// Hands on what SQL sent.
pub async fn signals(tick: &mut Tick<'_>) -> Result<More, StoreError> {
    let swept = tick.ctx.store.signal_intake_apply(ROWS).await?;
    tick.ctx.kick(&swept.kicks).await;
    tick.report.signals += swept.rows;
    Ok(More::if_so(swept.rows > 0))
}

/// Cancels children of runs that are over.
pub async fn children(tick: &mut Tick<'_>) -> Result<More, StoreError> {
    let swept = tick.ctx.store.child_sweep(ROWS).await?;
    tick.ctx.kick(&swept.kicks).await;
    tick.report.children += swept.rows;
    Ok(More::if_so(swept.rows > 0))
}
