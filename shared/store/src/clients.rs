//! The open connections: lent for one statement, most recently used first. Works the same on every host; a host says how to
//! connect. Out of scope: TLS, sockets, addresses.

use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

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

/// A bounded set of connections.
pub struct Clients {
    connect: Connect,
    now_ms: fn() -> u64,
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
    /// At most `most` connections; `now_ms` is a monotonic clock in milliseconds.
    pub fn new(connect: Connect, most: usize, now_ms: fn() -> u64) -> Self {
        Self { connect, now_ms, permits: Semaphore::new(most), idle: Mutex::new(Vec::new()) }
    }

    /// Lends a connection that works, waiting for a free one.
    pub(crate) async fn lend(&self) -> Result<Lent<'_>, StoreError> {
        let closed = |_| StoreError::Unavailable("the connections are closed".to_owned());
        let permit = self.permits.acquire().await.map_err(closed)?;
        while let Some(idle) = self.take() {
            let fresh = (self.now_ms)().saturating_sub(idle.since_ms) < TRUSTED_IDLE_MS;
            if !idle.client.is_closed() && (fresh || idle.client.check_connection().await.is_ok()) {
                return Ok(Lent { clients: self, client: Some(idle.client), _permit: permit });
            }
        }
        let client = (self.connect)().await.map_err(|e| StoreError::Unavailable(e.to_string()))?;
        Ok(Lent { clients: self, client: Some(client), _permit: permit })
    }

    /// Forgets every idle connection, so that the next ones are new.
    pub fn forget(&self) {
        self.idle().clear();
    }

    fn take(&self) -> Option<Idle> {
        self.idle().pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lent connection; goes back when dropped.
pub(crate) struct Lent<'a> {
    clients: &'a Clients,
    client: Option<Client>,
    _permit: SemaphorePermit<'a>,
}

impl Deref for Lent<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        // invariant: `client` is taken only by drop.
        #[allow(clippy::expect_used)]
        self.client.as_ref().expect("lent until dropped")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(client) = self.client.take().filter(|client| !client.is_closed()) {
            self.clients.idle().push(Idle { client, since_ms: (self.clients.now_ms)() });
        }
    }
}
