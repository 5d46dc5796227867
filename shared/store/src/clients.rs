//! The open connections: lent for one statement, most recently used first. Works the same on every host; a host says how to
//! connect. Out of scope: TLS, sockets, addresses.

use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{Either, select};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::Client;

use crate::StoreError;

/// No connection could be opened.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(pub String);

/// Opens a connection and sees to it that it is driven.
pub type Connect = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Client, ConnectError>> + Send>> + Send + Sync>;

/// A connection idle for longer is tried before it is lent: a frozen Lambda instance wakes up with dead ones.
const TRUSTED_IDLE_MS: u64 = 10_000;

/// The host's time: a monotonic clock and a way to wait, both in milliseconds.
#[derive(Clone, Copy)]
pub struct Time {
    /// Milliseconds since some start.
    pub now_ms: fn() -> u64,
    /// Waits.
    pub sleep_ms: fn(u64) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// A bounded set of connections.
pub struct Clients {
    connect: Connect,
    time: Time,
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    client: Client,
    since_ms: u64,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients").field("free", &self.permits.available_permits()).finish_non_exhaustive()
    }
}

impl Clients {
    /// At most `most` connections.
    pub fn new(connect: Connect, most: usize, time: Time) -> Self {
        Self { connect, time, permits: Semaphore::new(most), idle: Mutex::new(Vec::new()) }
    }

    /// Lends a connection that works, waiting for a free one.
    pub(crate) async fn lend(&self) -> Result<Lent<'_>, StoreError> {
        let closed = |_| StoreError::Unavailable("the connections are closed".to_owned());
        let permit = self.permits.acquire().await.map_err(closed)?;
        while let Some(idle) = self.take() {
            let fresh = (self.time.now_ms)().saturating_sub(idle.since_ms) < TRUSTED_IDLE_MS;
            if !idle.client.is_closed() && (fresh || idle.client.check_connection().await.is_ok()) {
                return Ok(Lent { clients: self, client: idle.client, _permit: permit });
            }
        }
        let client = (self.connect)().await.map_err(|e| StoreError::Unavailable(e.to_string()))?;
        Ok(Lent { clients: self, client, _permit: permit })
    }

    /// Ends work that takes longer than a database that is well would: one that hangs must not hang its callers.
    pub(crate) async fn within<T>(&self, ms: u64, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        match select(pin!(work), (self.time.sleep_ms)(ms)).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(StoreError::Unavailable(format!("no answer within {ms} ms"))),
        }
    }

    fn take(&self) -> Option<Idle> {
        self.idle().pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lent connection. One that is dropped before [`Lent::done`] has an answer outstanding, and is closed.
pub(crate) struct Lent<'a> {
    clients: &'a Clients,
    client: Client,
    _permit: SemaphorePermit<'a>,
}

impl Lent<'_> {
    /// Gives the connection back: its last answer was read.
    pub(crate) fn done(self) {
        if !self.client.is_closed() {
            self.clients.idle().push(Idle { client: self.client, since_ms: (self.clients.time.now_ms)() });
        }
    }
}

impl Deref for Lent<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
