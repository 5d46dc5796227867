//! Due times of schedules -> messages, up to 90 s ahead, so that each is pushed to the second although tick comes once a minute.
//!
//! Out of scope: when a schedule is due and what is made up for (`domain::schedule`); that no due time fires twice (the database).

use tikku_domain::limits::FIRE_AHEAD_MS;
use tikku_domain::schedule;
use tikku_platform::Ctx;
use tikku_store::{Fired, StoreError};

use crate::{More, Tick};

/// Schedules of one statement.
const SCHEDULES: i64 = 100;

/// Fires what is due.
pub async fn fire(tick: &mut Tick<'_>) -> Result<More, StoreError> {
    let ctx = tick.ctx;
    if tick.report.fired >= ctx.config.tick_rows_max {
        return Ok(More::No);
    }
    let plans = ctx.store.schedule_due(SCHEDULES).await?;
    let fires = schedule::fires(&plans);
    if fires.is_empty() {
        return Ok(More::No);
    }
    let fired = one_statement(ctx, &fires).await?;
    ctx.kick(&fired.kicks).await;
    tick.report.fired += fired.messages;
    let until_ms = plans.first().map(|plan| plan.now_ms + FIRE_AHEAD_MS);
    let behind = fires.iter().any(|fire| fire.next_ms.is_some_and(|next| Some(next) <= until_ms));
    let more = behind || fires.len() < plans.len() || plans.len() as i64 == SCHEDULES;
    // Nothing moved: other ticks are at the same schedules, and go on.
    Ok(More::if_so(more && !fired.moved.is_empty()))
}

/// A schedule whose messages the database refuses must not hold up the others.
async fn one_statement(ctx: &Ctx, fires: &[schedule::Fire]) -> Result<Fired, StoreError> {
    let error = match ctx.store.schedule_fire(fires).await {
        Err(StoreError::Refused(error)) => error,
        result => return result,
    };
    tracing::error!(error, "the database refused a schedule's message; firing one by one");
    let mut all = Fired::default();
    for fire in fires {
        match ctx.store.schedule_fire(std::slice::from_ref(fire)).await {
            Ok(fired) => {
                all.moved.extend(fired.moved);
                all.messages += fired.messages;
                all.kicks.extend(fired.kicks);
            }
            Err(StoreError::Refused(error)) => tracing::error!(error, schedule = %fire.id, "this schedule cannot be fired"),
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}
