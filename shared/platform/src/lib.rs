//! Everything that differs between Lambda, Workers and a laptop, behind the same names: `db`, `http`, `log`, `queue`, `time`.
//! The twin modules `native` and `worker` are chosen here and nowhere else. Out of scope: deciding anything.

mod config;
mod lanes;
mod push;
mod wake;

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod worker;

#[cfg(all(not(target_arch = "wasm32"), feature = "aws"))]
pub use native::aws;
#[cfg(not(target_arch = "wasm32"))]
pub use native::{db, http, log, queue, time};
#[cfg(target_arch = "wasm32")]
pub use worker::{db, http, log, queue, time};

use tikku_domain::ids::WakeId;

pub use config::{Config, ConfigError};
pub use lanes::{Lanes, Slow};
pub use push::Push;
pub use tikku_store::Kick;
pub use wake::{Parcel, QueueError, Wake, decode_ids, encode_ids, parcels};

/// What every handler works with.
#[derive(Debug)]
pub struct Ctx {
    /// The database.
    pub store: tikku_store::Store,
    /// The way to endpoints.
    pub http: http::Http,
    /// The wake queues.
    pub queue: queue::Queue,
    /// The host's settings.
    pub config: Config,
}

impl Ctx {
    /// Hands rows to the wake queues, messages to one and runs to the other. A failure is logged and nothing more: the rows are safe, tick
    /// hands them over again.
    pub async fn kick(&self, kicks: &[Kick]) {
        let (messages, runs): (Vec<Kick>, Vec<Kick>) = kicks.iter().partition(|kick| matches!(kick.id, WakeId::Message(_)));
        for (kind, kicks) in [(Wake::Messages, messages), (Wake::Runs, runs)] {
            if kicks.is_empty() {
                continue;
            }
            if let Err(error) = self.queue.send(kind, &kicks).await {
                tracing::warn!(%error, ?kind, rows = kicks.len(), "the wake queue refused rows; tick will hand them over");
            }
        }
    }
}
