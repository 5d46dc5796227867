//! Elapsed time and waiting inside a Worker; serves every stage.
//! Out of scope: what time it is. Only the database knows that.

use std::time::Duration;

use worker::Delay;
use worker::js_sys::Date;
use worker::send::SendFuture;

/// Measures how long something took. A Worker's clock moves only with I/O, so pure computation takes 0 ms.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    started_ms: f64,
}

impl Stopwatch {
    /// Starts at zero.
    pub fn start() -> Self {
        Self { started_ms: Date::now() }
    }

    /// Answers the milliseconds since the start.
    pub fn elapsed_ms(&self) -> u64 {
        // The runtime's clock may be set back; the cast makes that 0.
        (Date::now() - self.started_ms) as u64
    }
}

/// Milliseconds by a clock that only ever serves to compare two of its readings within one event.
pub fn monotonic_ms() -> u64 {
    Date::now() as u64
}

/// Waits.
pub async fn sleep_ms(ms: u64) {
    SendFuture::new(Delay::from(Duration::from_millis(ms))).await;
}
