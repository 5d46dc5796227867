//! Deletes what is older than its account's retention, in bites that hold their locks for milliseconds. Out of scope: what a bite is (the
//! store).

use tikku_store::{PrunePlace, RunPrunePlace, StoreError};

use crate::{More, Tick};

/// Pruning gives way to what is due after this.
pub const PRUNE_MS_MAX: u64 = 1_000;

/// Where a round goes on.
pub enum Place {
    /// Messages come first.
    Messages(PrunePlace),
    /// Then runs and events.
    Runs(RunPrunePlace),
    /// Then what is small.
    Leftovers,
}

impl Default for Place {
    fn default() -> Self {
        Self::Messages(PrunePlace::default())
    }
}

/// One bite. After the last one the database knows when the next round begins.
pub async fn bite(tick: &mut Tick<'_>) -> Result<More, StoreError> {
    let store = &tick.ctx.store;
    tick.prune_place = match &tick.prune_place {
        Place::Messages(place) => {
            let (bite, next) = store.prune_messages(place).await?;
            tick.report.pruned += bite.messages;
            next.map_or_else(|| Place::Runs(RunPrunePlace::default()), Place::Messages)
        }
        Place::Runs(place) => {
            let (bite, next) = store.prune_runs(place).await?;
            tick.report.pruned += bite.messages;
            next.map_or(Place::Leftovers, Place::Runs)
        }
        Place::Leftovers if store.prune_leftovers().await? => Place::Leftovers,
        Place::Leftovers => return Ok(More::No),
    };
    Ok(More::Yes)
}
