//! Keeps the server running while `tikku dev` runs, and stops it at the end.
//!
//! Out of scope: the connections of the pool; they reconnect by themselves.

use std::time::Duration;

use anyhow::Result;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::place::{Lifetime, interrupt};
use super::server::{Running, Server};

/// How long a start is tried again, for example while the children of a killed predecessor still hold its shared memory.
const START_TRIES: Duration = Duration::from_secs(15);
/// How long a stop is awaited; the watcher goes on without us.
const STOP_WAIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_secs(1);

/// The task that watches over the server.
pub struct Supervisor {
    url: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Starts the server, waits until it answers, and watches over it from then on.
    pub async fn start(mut server: Server) -> Result<Supervisor> {
        let child = first_start(&mut server).await?;
        let (stop, stopped) = oneshot::channel();
        Ok(Supervisor { url: server.url(), stop, task: tokio::spawn(watch(server, child, stopped)) })
    }

    /// Address of the database.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Stops the server and waits for it, at most 20 s.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        if tokio::time::timeout(STOP_WAIT, self.task).await.is_err() {
            tracing::warn!("PostgreSQL is still stopping in the background");
        }
    }
}

async fn first_start(server: &mut Server) -> Result<Running> {
    let begun = Instant::now();
    loop {
        server.choose_port()?;
        let mut running = server.spawn()?;
        match server.ready(&mut running).await {
            Ok(()) => return Ok(running),
            Err(error) if begun.elapsed() > START_TRIES || running.child.try_wait()?.is_none() => return Err(error),
            Err(error) => tracing::debug!("{error:#}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Starts the server again whenever it ends by itself, until told to stop.
async fn watch(server: Server, running: Running, mut stop: oneshot::Receiver<()>) {
    let mut running = Some(running);
    loop {
        tokio::select! {
            // An error is a dropped Supervisor: the same wish.
            _ = &mut stop => break,
            () = ended(&mut running) => {}
        }
        tokio::select! {
            _ = &mut stop => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
        // Somebody restarted it by hand: leave that server alone as long as it runs.
        if server.place.postmaster().is_some() {
            continue;
        }
        match server.spawn() {
            Ok(started) => {
                tracing::info!("PostgreSQL was started again");
                running = Some(started);
            }
            Err(error) => tracing::warn!("PostgreSQL could not be started again: {error:#}"),
        }
    }
    finish(&server, running).await;
}

/// Waits for the end of the wrapper; returns at once where there is none.
async fn ended(running: &mut Option<Running>) {
    if let Some(server) = running {
        let status = server.child.wait().await;
        tracing::warn!(status = ?status.ok().map(|status| status.to_string()), "PostgreSQL ended");
        *running = None;
    }
}

async fn finish(server: &Server, running: Option<Running>) {
    if let Some(mut running) = running {
        drop(running.pipe.take());
        let _ = running.child.wait().await;
    }
    // One that the wrapper did not start: restarted by hand, or the wrapper was killed.
    if let Some(pid) = server.place.postmaster() {
        interrupt(pid);
        while server.place.postmaster().is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    if server.place.lifetime == Lifetime::Ephemeral {
        server.place.remove();
    }
}
