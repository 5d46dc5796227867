//! Deletes what is older than its account's retention, in bites that hold their locks for milliseconds. Out of scope: what a bite is (the
//! store).

use tikku_platform::Ctx;
use tikku_platform::time::Stopwatch;
use tikku_store::{PrunePlace, StoreError};

/// Pruning gives way to what is due after this.
pub const TURN_MS_MAX: u64 = 1_000;

/// One turn: bites until everything is pruned or the time is over, and where the next turn goes on.
pub async fn turn(ctx: &Ctx, place: &mut PrunePlace) -> Result<(u64, More), StoreError> {
    let watch = Stopwatch::start();
    let mut pruned = 0;
    while watch.elapsed_ms() < TURN_MS_MAX {
        let (bite, next) = ctx.store.prune_messages(place).await?;
        pruned += bite.messages;
        match next {
            Some(next) => *place = next,
            None if ctx.store.prune_leftovers().await? => {}
            None => return Ok((pruned, More::No)),
        }
    }
    Ok((pruned, More::Yes))
}

/// Whether there is more to prune.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// The time was over.
    Yes,
    /// This round is at its end; the database knows when the next begins.
    No,
}
