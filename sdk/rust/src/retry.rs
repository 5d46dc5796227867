//! When a failed step is tried again: attempts, backoff, and the hint of a service that is busy.
//!
//! Out of scope: drawing the line between what heals and what does not (`StepError`).

use std::time::Duration;

use tikku_domain::retry::{Backoff as Growth, BackoffKind, delay_ms};

use crate::failure::{Failure, StepError};
use crate::wire::RetryOp;

/// Longest delay before a retry (protocol, op `error`).
const DELAY_MS_MAX: u64 = 31_536_000_000;

/// How long to wait between the attempts of a step. The default: 1 s, doubling up to an hour, with jitter.
///
/// ```
/// use std::time::Duration;
/// use tikku::Backoff;
///
/// let backoff = Backoff::exponential(Duration::from_millis(500)).factor(3.0).max(Duration::from_secs(60)).jitter(false);
/// # let _ = backoff;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff(Growth);

impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(Duration::from_secs(1))
    }
}

impl Backoff {
    fn of(kind: BackoffKind, initial: Duration) -> Self {
        Self(Growth { kind, initial_ms: millis(initial), factor: 2.0, max_ms: 3_600_000.max(millis(initial)), jitter: true })
    }

    /// The same delay each time, without jitter.
    #[must_use]
    pub fn fixed(delay: Duration) -> Self {
        Self::of(BackoffKind::Fixed, delay).jitter(false)
    }

    /// `initial`, twice that, three times that.
    #[must_use]
    pub fn linear(initial: Duration) -> Self {
        Self::of(BackoffKind::Linear, initial)
    }

    /// `initial`, then each time [`factor`](Self::factor) times as long.
    #[must_use]
    pub fn exponential(initial: Duration) -> Self {
        Self::of(BackoffKind::Exponential, initial)
    }

    /// The growth of an exponential backoff; 2 if it is not set.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.0.factor = factor;
        self
    }

    /// No delay is longer than this; an hour if it is not set.
    #[must_use]
    pub fn max(mut self, max: Duration) -> Self {
        self.0.max_ms = millis(max);
        self
    }

    /// Whether a delay d is spread over d/2 to d.
    #[must_use]
    pub fn jitter(mut self, jitter: bool) -> Self {
        self.0.jitter = jitter;
        self
    }
}

/// The retry policy of a step. The default: 4 attempts, with the default [`Backoff`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    pub(crate) max_attempts: u32,
    pub(crate) backoff: Backoff,
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: 4, backoff: Backoff::default() }
    }
}

impl Retry {
    /// At most so many attempts in all; 0 counts as 1.
    #[must_use]
    pub fn attempts(max_attempts: u32) -> Self {
        Self { max_attempts: max_attempts.max(1), ..Self::default() }
    }

    /// Sets the backoff.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Says what the failure of attempt number `attempt` (from 1) means: the error, and when to try again, if ever.
    pub(crate) fn judge(&self, error: StepError, attempt: u32, seed: &str) -> (Failure, Option<RetryOp>) {
        let left = attempt < self.max_attempts;
        let (failure, after_ms, free) = match error {
            StepError::NonRetriable(failure) => return (failure, None),
            StepError::Retriable(failure) => (failure, delay_ms(&self.backoff.0, attempt, seed.as_bytes()), false),
            StepError::RetryAfter { failure, after, free } => (failure, millis_up(after), free),
        };
        let retry = (left || free).then(|| RetryOp { after_ms: after_ms.min(DELAY_MS_MAX), free });
        (failure, retry)
    }
}

/// Whole milliseconds; more than fit count as the most.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds, rounded up: who was told to wait is never early.
fn millis_up(duration: Duration) -> u64 {
    millis(duration.saturating_add(Duration::from_nanos(999_999)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(retry: Retry, error: StepError, attempt: u32) -> Option<(u64, bool)> {
        retry.judge(error, attempt, "run_1/a#0").1.map(|op| (op.after_ms, op.free))
    }

    #[test]
    fn attempts_run_out_and_throttling_does_not_spend_them() {
        let retry = Retry::attempts(2).backoff(Backoff::fixed(Duration::from_secs(1)));
        assert_eq!(after(retry, StepError::from("x"), 1), Some((1000, false)));
        assert_eq!(after(retry, StepError::from("x"), 2), None);
        assert_eq!(after(retry, StepError::non_retriable("x"), 1), None);
        let wait = Duration::from_micros(20_000_001);
        assert_eq!(after(retry, StepError::retry_after(wait, "x"), 1), Some((20_001, false)));
        assert_eq!(after(retry, StepError::retry_after(wait, "x"), 2), None);
        assert_eq!(after(retry, StepError::throttled(wait, "x"), 2), Some((20_001, true)));
        assert_eq!(after(retry, StepError::throttled(Duration::MAX, "x"), 2), Some((DELAY_MS_MAX, true)));
    }

    #[test]
    fn backoffs_grow_as_they_are_named() {
        let second = Duration::from_secs(1);
        let delays = |backoff: Backoff| {
            let retry = Retry::attempts(9).backoff(backoff.jitter(false));
            [1, 2, 3].map(|attempt| after(retry, StepError::from("x"), attempt).unwrap().0)
        };
        assert_eq!(delays(Backoff::fixed(second)), [1000, 1000, 1000]);
        assert_eq!(delays(Backoff::linear(second)), [1000, 2000, 3000]);
        assert_eq!(delays(Backoff::exponential(second).factor(3.0).max(second * 5)), [1000, 3000, 5000]);
    }
}
