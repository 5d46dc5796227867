//! STAGE 2: clock -> give up lost leases, fire schedules, hand over what is due soon, tidy up after runs, prune what is old. Idle, it costs one
//! statement.
//!
//! Out of scope: pushing and dispatching. Any number of ticks may run at once: each takes rows that no other holds.

mod facts;
mod messages;
mod prune;
mod runs;
mod schedules;

use tikku_platform::Ctx;
use tikku_platform::time::Stopwatch;
use tikku_store::{Look, StoreError};

/// Rows of one statement: few claimers with this many are the fastest (bench/README.md).
const ROWS: i32 = 100;
/// A tick stops taking rows after this; the next goes on.
const TICK_MS_MAX: u64 = 45_000;
/// A part that has more to do gives way to the others after this.
const TURN_MS_MAX: u64 = 5_000;

/// What a tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TickReport {
    /// Messages handed to the queue.
    pub kicked: usize,
    /// Lost leases of messages that were given up.
    pub lost: usize,
    /// Messages that schedules made.
    pub fired: usize,
    /// Runs handed to the queue.
    pub run_kicked: usize,
    /// Lost leases of runs that were given up.
    pub run_lost: usize,
    /// Events that were given to all who waited for them.
    pub events: usize,
    /// Signals sent by SQL that were handed on.
    pub signals: usize,
    /// Runs that ended and whose children were cancelled.
    pub children: usize,
    /// What was older than its account's retention and was deleted: messages, runs, signals and events.
    pub pruned: u64,
}

/// Whether a part of a tick is through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum More {
    /// There is more to do.
    Yes,
    /// There is nothing left for this tick.
    No,
}

impl More {
    fn if_so(condition: bool) -> Self {
        if condition { Self::Yes } else { Self::No }
    }
}

/// The parts in the order of their turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    LostPushes,
    LostDispatches,
    Waiting,
    Gates,
    Schedules,
    Claim,
    ClaimRuns,
    Events,
    Signals,
    Children,
    Prune,
}

const PARTS: [Part; 11] = [
    Part::LostPushes,
    Part::LostDispatches,
    Part::Waiting,
    Part::Gates,
    Part::Schedules,
    Part::Claim,
    Part::ClaimRuns,
    Part::Events,
    Part::Signals,
    Part::Children,
    Part::Prune,
];

impl Part {
    fn is_asked_for(self, look: &Look) -> bool {
        match self {
            Self::LostPushes => look.lost,
            Self::LostDispatches => look.run_lost,
            Self::Waiting => look.waiting,
            Self::Gates => look.gate,
            Self::Schedules => look.fire,
            Self::Claim => look.kick,
            Self::ClaimRuns => look.run_kick,
            Self::Events => look.event,
            Self::Signals => look.signal,
            Self::Children => look.child,
            Self::Prune => look.prune,
        }
    }

    /// Rounds of this part until there is nothing left or its turn is over.
    async fn turn(self, tick: &mut Tick<'_>) -> Result<More, StoreError> {
        let has_time = tick.turn(if self == Self::Prune { prune::PRUNE_MS_MAX } else { TURN_MS_MAX });
        while has_time() {
            if self.round(tick).await? == More::No {
                return Ok(More::No);
            }
        }
        Ok(More::Yes)
    }

    async fn round(self, tick: &mut Tick<'_>) -> Result<More, StoreError> {
        match self {
            Self::LostPushes => messages::reap(tick).await,
            Self::LostDispatches => runs::reap(tick).await,
            Self::Waiting => messages::sweep(tick).await,
            Self::Gates => runs::gates(tick).await,
            Self::Schedules => schedules::fire(tick).await,
            Self::Claim => messages::claim(tick).await,
            Self::ClaimRuns => runs::claim(tick).await,
            Self::Events => facts::events(tick).await,
            Self::Signals => facts::signals(tick).await,
            Self::Children => facts::children(tick).await,
            Self::Prune => prune::bite(tick).await,
        }
    }
}

/// One tick under way.
struct Tick<'a> {
    ctx: &'a Ctx,
    watch: Stopwatch,
    report: TickReport,
    prune_place: prune::Place,
}

impl Tick<'_> {
    /// Starts a part's turn; it is over when the answer is false.
    fn turn(&self, most_ms: u64) -> impl Fn() -> bool + use<> {
        let (tick, turn) = (self.watch, Stopwatch::start());
        move || turn.elapsed_ms() < most_ms && tick.elapsed_ms() < TICK_MS_MAX
    }

    fn is_over(&self) -> bool {
        self.watch.elapsed_ms() >= TICK_MS_MAX
    }
}

/// One tick. A part that fails does not keep the others from their work; the error is answered at the end. Only a database that is away ends
/// the tick at once.
pub async fn handle(ctx: &Ctx) -> Result<TickReport, StoreError> {
    let mut tick = Tick { ctx, watch: Stopwatch::start(), report: TickReport::default(), prune_place: prune::Place::default() };
    let mut failed: Vec<Part> = Vec::new();
    let mut fault = None;
    // The parts take turns, so that none waits for another's backlog.
    loop {
        let look = ctx.store.tick_look().await?;
        let mut more = More::No;
        for part in PARTS.into_iter().filter(|part| part.is_asked_for(&look)) {
            if tick.is_over() || failed.contains(&part) {
                continue;
            }
            match part.turn(&mut tick).await {
                Ok(More::Yes) => more = More::Yes,
                Ok(More::No) => {}
                Err(error) => {
                    tracing::error!(?part, %error, "a part of tick failed");
                    failed.push(part);
                    if matches!(error, StoreError::Unavailable(_)) {
                        // It may have been a lock: then the others can go on.
                        ctx.store.pulse().await?;
                    }
                    fault.get_or_insert(error);
                }
            }
        }
        if more == More::No || tick.is_over() {
            break;
        }
    }
    if tick.report != TickReport::default() {
        tracing::debug!(report = ?tick.report, "tick");
    }
    fault.map_or(Ok(tick.report), Err)
}
