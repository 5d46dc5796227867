//! The private PostgreSQL server of `tikku dev`: find it, make a cluster, run it, stop it.
//!
//! Not a stage of the message path: it only makes a `DATABASE_URL` where the user gave none.
//! Out of scope: the schema (tikku-store migrates it) and any server that somebody else runs.

mod binaries;
mod cluster;
mod place;
mod server;
mod supervise;

use std::path::{Path, PathBuf};

use anyhow::Result;
use tokio::process::Command;

pub use place::Lifetime;
use place::Owner;
use server::Server;
use supervise::Supervisor;

/// A running private server; it stops when this value is stopped, dropped, or its process dies.
pub struct Postgres {
    /// Address of the database `tikku` on it, with its password.
    pub url: String,
    /// Folder of the cluster, where that is not `<data>/postgres`.
    pub elsewhere: Option<PathBuf>,
    supervisor: Supervisor,
}

impl Postgres {
    /// Starts the server of the data folder `data` and waits until it accepts connections.
    ///
    /// The caller holds the data folder's lock, so a server that is found running in the
    /// cluster is a leftover. Errors say what the user can do.
    pub async fn start(data: &Path, lifetime: Lifetime) -> Result<Postgres> {
        let place = place::choose(data, lifetime)?;
        let debris = Debris(Some(place.clone()));
        let binaries = binaries::find(place.cluster_major())?;
        place.await_predecessor().await?;
        let password = cluster::prepare(data, &place, &binaries).await?;
        let elsewhere = place.elsewhere(data);
        let server = Server::new(binaries, place, password, data.join("postgres.log"));
        let supervisor = Supervisor::start(server).await?;
        debris.keep();
        Ok(Postgres { url: supervisor.url(), elsewhere, supervisor })
    }

    /// Stops the server cleanly (PostgreSQL's fast shutdown) and, where it was ephemeral, removes its folder.
    pub async fn stop(self) {
        self.supervisor.stop().await;
    }
}

/// Removes an ephemeral place when the start fails or is interrupted.
struct Debris(Option<place::Place>);

impl Debris {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Debris {
    fn drop(&mut self) {
        if let Some(place) = self.0.take().filter(|place| place.lifetime == Lifetime::Ephemeral) {
            place.remove();
        }
    }
}

/// Makes a command that runs as `owner`, in `folder`, without the caller's PostgreSQL settings.
fn command(program: &Path, owner: Option<Owner>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some(owner) = owner {
        command.uid(owner.uid).gid(owner.gid);
    }
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C").current_dir(folder);
    command
}
