//! Test bed: private Postgres clusters, one for the run and one for each scenario that stops its database.
//!
//! Out of scope: the schema, which `tikku migrate` makes.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::certificate;
use crate::process::{Process, free_port, log_dir, run, run_dir};

// `nobody` on Linux: initdb and postgres refuse to run as root.
const UNPRIVILEGED: u32 = 65534;

/// A cluster with its own data folder and port; no durability, because no test pulls the plug on the machine.
pub struct Cluster {
    name: String,
    data: PathBuf,
    port: u16,
    server: Mutex<Option<Process>>,
}

impl Cluster {
    /// The cluster that most scenarios share.
    pub fn shared() -> Result<&'static Cluster> {
        static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
        SHARED.get_or_init(|| Cluster::create("postgres").map_err(|e| format!("{e:#}"))).as_ref().map_err(|e| anyhow::anyhow!("{e}"))
    }

    /// Makes and starts a cluster; blocks for a second or two.
    pub fn create(name: &str) -> Result<Cluster> {
        let data = run_dir().join(name);
        std::fs::create_dir(&data)?;
        give_away(&data)?;
        run(as_unprivileged(Command::new(program("initdb")?).arg("-D").arg(&data).args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ])))?;
        for (file, text) in [("server.crt", &certificate::server().pem), ("server.key", &certificate::server().key_pem)] {
            std::fs::write(data.join(file), text)?;
            std::fs::set_permissions(data.join(file), PermissionsExt::from_mode(0o600))?;
            give_away(&data.join(file))?;
        }
        let cluster = Cluster { name: name.to_owned(), data, port: free_port(), server: Mutex::new(None) };
        cluster.start()?;
        Ok(cluster)
    }

    /// Starts the server again after `stop`; returns when it answers.
    pub fn start(&self) -> Result<()> {
        let mut command = Command::new(program("postgres")?);
        command.arg("-D").arg(&self.data).arg("-p").arg(self.port.to_string());
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "ssl=on",
            // No test pulls the plug on the machine; but one stops a server as a crash would, and asks that nothing be lost.
            "fsync=off",
            "max_connections=300",
            "shared_buffers=64MB",
        ] {
            command.arg("-c").arg(setting);
        }
        // QUIT: an immediate shutdown, which still frees the shared memory.
        let server = Process::start(&self.name, as_unprivileged(&mut command), "QUIT")?;
        let begun = Instant::now();
        // A listening socket is not yet a server that takes queries.
        while run(Command::new(program("pg_isready")?).args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])).is_err() {
            if !server.is_running() || begun.elapsed() > Duration::from_secs(120) {
                bail!("Postgres does not start: see {}/{}.log", log_dir().display(), self.name);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        Ok(())
    }

    /// Stops the server at once, as a crash would.
    pub fn stop(&self) {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Creates an empty database and returns its URL.
    pub async fn database(&self, name: &str) -> Result<String> {
        let url = |database: &str| format!("postgres://postgres:postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port);
        sql(&url("postgres"), &format!("create database \"{name}\"")).await?;
        Ok(url(name))
    }
}

/// Runs SQL text on a connection of its own and returns the rows of its last query, as text.
pub async fn sql(database_url: &str, text: &str) -> Result<Vec<Vec<Option<String>>>> {
    let (client, connection) = tokio_postgres::connect(database_url, NoTls).await?;
    let connection = tokio::spawn(connection);
    let answer = client.simple_query(text).await.with_context(|| text.to_owned());
    connection.abort();
    let rows = answer?.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()),
        _ => None,
    });
    Ok(rows.collect())
}

fn give_away(path: &Path) -> std::io::Result<()> {
    if is_root() { chown(path, Some(UNPRIVILEGED), Some(UNPRIVILEGED)) } else { Ok(()) }
}

fn as_unprivileged(command: &mut Command) -> &mut Command {
    command.current_dir("/");
    if is_root() { command.uid(UNPRIVILEGED).gid(UNPRIVILEGED) } else { command }
}

/// Whether this process has root's rights.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

/// Finds a Postgres server program in PATH, else the newest under /usr/lib/postgresql.
fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut debian: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path().join("bin")).collect();
    debian.sort();
    folders.extend(debian.into_iter().rev());
    let found = folders.iter().map(|folder| folder.join(name)).find(|file: &PathBuf| Path::is_file(file));
    found.with_context(|| format!("no Postgres program `{name}` on this machine: run `cargo xtask setup` (Debian package postgresql)"))
}
