//! How an endpoint reports results.

use std::time::Duration;

/// How an endpoint reports results to the engine while it works. All three give the same journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// After every step, before the next begins; one request for steps that end together. The default.
    Each,
    /// Every so often, or after so many steps, whichever is first. A crash repeats at most so many steps.
    ///
    /// A step goes on with its result before it is recorded only while the run waits for nothing but step bodies, so a replay cannot decide a
    /// race otherwise.
    Batched {
        /// The longest time that a result waits.
        every: Duration,
        /// The most results that wait.
        max_steps: usize,
    },
    /// Never: results travel in the reply, one dispatch for each step or set of parallel steps. For endpoints that cannot reach the engine.
    Return,
}

impl Checkpoint {
    /// `Batched` with 100 ms and 32 steps.
    pub const BATCHED: Self = Self::Batched { every: Duration::from_millis(100), max_steps: 32 };

    /// The protocol's word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Each => "each",
            Self::Batched { .. } => "batched",
            Self::Return => "return",
        }
    }
}
