//! Postgres from a Worker: tokio-postgres over the socket of a Hyperdrive binding.
//! Out of scope: pooling and TLS to the database. Hyperdrive does both, so that a connection here lasts for one event only.

use std::error::Error;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{AbortHandle, Either, abortable, select};
use tikku_store::{Clients, Connect, ConnectError, Time};
use tokio::sync::oneshot;
use tokio_postgres::{Client, Config, NoTls};
use worker::send::SendFuture;
use worker::wasm_bindgen_futures::spawn_local;
use worker::{Delay, Hyperdrive};

use super::time;

/// How long opening a connection may take, in milliseconds.
const CONNECT_MS_MAX: u64 = 5_000;
/// How long connections may take to say goodbye, in milliseconds.
const GOODBYE_MS: u64 = 1_000;

/// The connections that one event opened. Their tasks must end with it: the runtime would freeze them, and their memory with them.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    open: Arc<Mutex<Vec<Task>>>,
}

#[derive(Debug)]
struct Task {
    /// Resolves when the task has ended.
    ended: oneshot::Receiver<()>,
    abort: AbortHandle,
}

impl Connections {
    /// Waits until all connections have closed, as they do once their clients are dropped; cuts off what takes longer than a second.
    pub async fn closed(self) {
        let tasks = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            let goodbye = Delay::from(Duration::from_millis(GOODBYE_MS));
            SendFuture::new(select(task.ended, goodbye)).await;
            task.abort.abort();
        }
    }

    /// Drives a connection beside the event's own work.
    fn drive(&self, connection: impl Future<Output = Result<(), tokio_postgres::Error>> + 'static) {
        let (ending, ended) = oneshot::channel();
        let (connection, abort) = abortable(connection);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(Task { ended, abort });
        spawn_local(async move {
            if let Ok(Err(error)) = connection.await {
                tracing::warn!(%error, "the database connection broke");
            }
            // Err: nobody waits for it.
            let _unheard = ending.send(());
        });
    }
}

/// The database behind Hyperdrive for one event, over one connection, which `connections` closes at the event's end.
pub fn clients(hyperdrive: Hyperdrive, connections: Connections) -> Clients {
    Clients::new(connector(hyperdrive, connections), 1, Time { now_ms: time::monotonic_ms, sleep_ms: |ms| Box::pin(time::sleep_ms(ms)) })
}

fn connector(hyperdrive: Hyperdrive, connections: Connections) -> Connect {
    let hyperdrive = Arc::new(hyperdrive);
    Arc::new(move || {
        let (hyperdrive, connections) = (hyperdrive.clone(), connections.clone());
        Box::pin(SendFuture::new(async move { open(&hyperdrive, &connections).await }))
    })
}

async fn open(hyperdrive: &Hyperdrive, connections: &Connections) -> Result<Client, ConnectError> {
    let config: Config = hyperdrive.connection_string().parse().map_err(|error| explain(&error))?;
    let socket = hyperdrive.connect().map_err(|error| ConnectError(error.to_string()))?;
    let patience = Delay::from(Duration::from_millis(CONNECT_MS_MAX));
    let (client, connection) = match select(pin!(config.connect_raw(socket, NoTls)), patience).await {
        Either::Left((opened, _)) => opened.map_err(|error| explain(&error))?,
        Either::Right(_) => return Err(ConnectError(format!("no connection within {CONNECT_MS_MAX} ms"))),
    };
    connections.drive(connection);
    Ok(client)
}

fn explain(error: &tokio_postgres::Error) -> ConnectError {
    match error.source() {
        Some(cause) => ConnectError(format!("{error}: {cause}")),
        None => ConnectError(error.to_string()),
    }
}
