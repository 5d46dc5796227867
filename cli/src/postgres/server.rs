//! Runs one `postgres` process whose life hangs on ours, and waits until it answers.
//!
//! Out of scope: what happens when it ends (`supervise`).

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, ChildStdin};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

use super::binaries::Binaries;
use super::command;
use super::place::{Lifetime, Place};

/// Runs the server beside a watcher that reads standard input, a pipe whose other end only `tikku` holds. The kernel closes
/// it however `tikku` ends, SIGKILL included; the watcher then asks the server for a fast shutdown, again and again, because
/// a server that has just been started still ignores the signal. `$1` is the folder to remove after that, or empty; the rest
/// is the server's command line. The watcher ends with 0 only when the pipe closed: a server that ended by itself keeps its
/// folder, because it will be started again.
const WRAPPER: &str = r#"
remove=$1; shift
exec 3<&0 </dev/null
"$@" 3<&- & server=$!
(
  while read -r _; do :; done <&3
  trap 'exit 0' TERM
  while kill -INT "$server" 2>/dev/null; do sleep 1 & wait $!; done
  exit 0
) & watcher=$!
exec 3<&-
wait "$server"; code=$?
kill "$watcher" 2>/dev/null
if wait "$watcher" && [ -n "$remove" ]; then cd / && rm -rf -- "$remove"; fi
exit "$code"
"#;

/// Largest postgres.log that a start still appends to, in bytes.
const LOG_BYTES_MAX: u64 = 10_000_000;

/// Polls of 20 ms that a live server may take to answer; recovery after a crash can take a while.
const READY_POLLS_MAX: u32 = 6_000;

/// A started server.
pub struct Running {
    /// The wrapper.
    pub child: Child,
    /// Our end of its pipe: dropping it stops the server. Kept apart from `child`, whose `wait` would drop it.
    pub pipe: Option<ChildStdin>,
}

/// Everything that is needed to start the server, any number of times.
pub struct Server {
    binaries: Binaries,
    /// Where its cluster lies.
    pub place: Place,
    password: String,
    log: PathBuf,
    port: u16,
}

impl Server {
    /// Describes a server; nothing runs yet.
    pub fn new(binaries: Binaries, place: Place, password: String, log: PathBuf) -> Server {
        Server { binaries, place, password, log, port: 0 }
    }

    /// Address of the database `tikku`, password included.
    pub fn url(&self) -> String {
        format!("postgres://tikku:{}@127.0.0.1:{}/tikku?sslmode=disable", self.password, self.port)
    }

    /// Takes a port that nobody listens on.
    pub fn choose_port(&mut self) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free TCP port on 127.0.0.1")?;
        self.port = listener.local_addr()?.port();
        Ok(())
    }

    /// Starts the wrapper and the server, in a process group of their own: a terminal's Ctrl-C reaches only `tikku`.
    pub fn spawn(&self) -> Result<Running> {
        let remove = match self.place.lifetime {
            Lifetime::Kept => Path::new(""),
            Lifetime::Ephemeral => &self.place.folder,
        };
        let log = open_log(&self.log).with_context(|| format!("could not open {}", self.log.display()))?;
        let mut child = command(Path::new("/bin/sh"), self.place.owner, &self.place.folder)
            .args(["-c", WRAPPER, "tikku-postgres"])
            .arg(remove)
            .arg(&self.binaries.postgres)
            .arg("-D")
            .arg(self.place.cluster())
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args(["-p", &self.port.to_string()])
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("could not run {}", self.binaries.postgres.display()))?;
        let pipe = child.stdin.take();
        Ok(Running { child, pipe })
    }

    /// Waits until the database `tikku` accepts connections; errors when the process ends first.
    pub async fn ready(&self, running: &mut Running) -> Result<()> {
        for poll in 0..READY_POLLS_MAX {
            if let Some(status) = running.child.try_wait()? {
                bail!("PostgreSQL did not start ({status}); the end of {}:\n{}", self.log.display(), tail(&self.log));
            }
            match self.connect("tikku").await {
                Ok(_) => return Ok(()),
                Err(error) if error.code() == Some(&SqlState::INVALID_CATALOG_NAME) => self.create_database().await?,
                Err(error) if error.code() == Some(&SqlState::INVALID_PASSWORD) => {
                    bail!(
                        "the server refuses the password in postgres.password beside {}: remove that file to set a new one",
                        self.log.display()
                    )
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            if poll == 250 {
                tracing::info!("still waiting for PostgreSQL (recovery after a crash can take a while)");
            }
        }
        bail!("PostgreSQL runs but does not answer; the end of {}:\n{}", self.log.display(), tail(&self.log))
    }

    async fn create_database(&self) -> Result<()> {
        let client = self.connect("postgres").await.context("could not connect to the new cluster")?;
        match client.execute_typed("create database tikku", &[]).await {
            Err(error) if error.code() != Some(&SqlState::DUPLICATE_DATABASE) => Err(error).context("could not create the database"),
            _ => Ok(()),
        }
    }

    async fn connect(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user("tikku").password(&self.password).dbname(database);
        let (client, connection) = config.connect_timeout(Duration::from_secs(2)).connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

/// Opens the log for appending; a large one first becomes `postgres.log.1`.
fn open_log(path: &Path) -> std::io::Result<File> {
    if std::fs::metadata(path).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
        std::fs::rename(path, path.with_added_extension("1"))?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Reads the last lines of a log.
fn tail(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        let place = Place { folder: PathBuf::from("/x"), owner: None, lifetime: Lifetime::Kept };
        let binaries = Binaries { postgres: PathBuf::from("/b/postgres"), initdb: PathBuf::from("/b/initdb") };
        Server::new(binaries, place, "secret".into(), PathBuf::from("/x/postgres.log"))
    }

    #[test]
    fn url_names_the_chosen_port_and_is_readable_by_the_driver() {
        let mut server = server();
        server.choose_port().unwrap();
        let config: Config = server.url().parse().unwrap();
        assert_eq!(config.get_ports(), [server.port]);
        assert!(server.port > 0);
        assert_eq!((config.get_user(), config.get_dbname()), (Some("tikku"), Some("tikku")));
    }

    #[test]
    fn tail_keeps_the_last_eight_lines() {
        let path = std::env::temp_dir().join(format!("tikku-tail-{}", std::process::id()));
        std::fs::write(&path, (1..=20).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
        assert_eq!(tail(&path), "13\n14\n15\n16\n17\n18\n19\n20");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(tail(&path), "");
    }
}
