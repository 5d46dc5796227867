//! What one event works with, from the bindings and variables that wrangler.toml names. Out of scope: what the settings mean.

use tikku_platform::db::{self, Connections};
use tikku_platform::http::{Http, PUSHES_MAX};
use tikku_platform::queue::Queue;
use tikku_platform::{Config, Ctx, log};
use tikku_store::Store;
use worker::{Env, Result};

/// Rows that one tick hands over: 100 of them cost one call of the queue, and an event may make 1,000 calls.
const TICK_ROWS_MAX: usize = 50_000;

/// Makes an event's context and hands out its database connections, to be waited for once the context is dropped.
/// Nothing is kept from one event to the next: the runtime ties every socket to the event that opened it.
pub fn open(env: &Env) -> Result<(Ctx, Connections)> {
    log::init();
    let var = |name: &str| env.var(name).ok().map(|value| value.to_string());
    let mut config = Config::read(var, PUSHES_MAX, "edge".to_owned()).map_err(|error| error.to_string())?;
    config.tick_rows_max = TICK_ROWS_MAX;
    let connections = Connections::default();
    let ctx = Ctx {
        store: Store::new(db::clients(env.hyperdrive("HYPERDRIVE")?, connections.clone())),
        http: Http::new(config.policy.clone()),
        queue: Queue::new(env.queue("WAKE_QUEUE")?, env.queue("TIKKU_RUNS")?),
        config,
    };
    Ok((ctx, connections))
}
