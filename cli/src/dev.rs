//! `tikku dev`: every stage in one process, on a private PostgreSQL or the database in DATABASE_URL.
//!
//! Beats: folder, port, database, schema, account, API and dashboard, consumers, clock, dev.json; then it waits for Ctrl-C and undoes them.
//! Out of scope: what the stages do; they are the same handlers as on Lambda and Workers.

mod consume;
mod folder;
mod key;
mod serve;
mod stop;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tikku_platform::http::Http;
use tikku_platform::queue::Queue;
use tikku_platform::{Config, Ctx, Lanes};
use tikku_store::Store;
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};

use crate::database::{self, variable};
use crate::postgres::{Lifetime, Postgres};
use crate::print::Printer;
use consume::Consumers;
use folder::Folder;
use key::Access;
use stop::Stop;

/// Connections to the database; the private server takes 60.
const CONNECTIONS: usize = 24;
/// Rows that one tick hands over at most: the queue is in memory.
const TICK_ROWS_MAX: usize = 10_000;
const TICK_PERIOD: Duration = Duration::from_secs(2);
/// Rows that one statement takes back from the queue of a run that ended.
const UNKICK_ROWS: i64 = 5_000;
/// What may be pushed to besides public addresses.
const LOOPBACK: &str = "127.0.0.0/8,::1/128";

/// What the command line says.
pub struct Options {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// The data folder; made where it is missing.
    pub data: PathBuf,
    /// Whether the private cluster is kept.
    pub lifetime: Lifetime,
    /// How it says that it runs.
    pub out: Printer,
}

/// Runs the dev server until Ctrl-C or SIGTERM.
pub async fn run(options: &Options) -> Result<()> {
    let folder = Folder::open(&options.data)?;
    let mut stop = Stop::listen(folder.dev_json())?;
    let listener = serve::listen(options.host, options.port).await?;
    let database = tokio::select! {
        database = Database::open(&folder, options.lifetime) => database?,
        () = stop.wait() => return Ok(()),
    };
    let ran = run_on(&folder, &database, listener, stop, &options.out).await;
    folder.forget();
    database.close().await;
    ran
}

/// The database and, where it is private, its server.
struct Database {
    url: String,
    /// Where its API key is kept; None where the database is removed at the end.
    key_file: Option<PathBuf>,
    server: Option<Postgres>,
}

impl Database {
    async fn open(folder: &Folder, lifetime: Lifetime) -> Result<Database> {
        if let Some(url) = variable("DATABASE_URL") {
            return Ok(Database { url, key_file: Some(folder.key_file()), server: None });
        }
        let server = Postgres::start(&folder.path, lifetime).await?;
        let key_file = (lifetime == Lifetime::Kept).then(|| folder.key_file());
        Ok(Database { url: server.url.clone(), key_file, server: Some(server) })
    }

    /// Says in words where the data is.
    fn place(&self, folder: &Folder) -> String {
        let Some(server) = &self.server else { return "the one in DATABASE_URL".to_owned() };
        match &server.elsewhere {
            None => format!("PostgreSQL in {}", folder.path.join("postgres").display()),
            Some(cluster) => format!("PostgreSQL in {} (its user cannot keep it in {})", cluster.display(), folder.path.display()),
        }
    }

    async fn close(self) {
        if let Some(server) = self.server {
            server.stop().await;
        }
    }
}

async fn run_on(folder: &Folder, database: &Database, listener: TcpListener, mut stop: Stop, out: &Printer) -> Result<()> {
    let url = url_of(listener.local_addr()?);
    let (ctx, access) = tokio::select! {
        ready = prepare(database, &url) => ready?,
        () = stop.wait() => return Ok(()),
    };
    let server = tokio::spawn(serve::run(listener, ctx.clone(), stop.clone()));
    let consumers = Consumers::start(&ctx, &stop);
    let clock = tokio::spawn(tick(ctx.clone()));
    folder.announce(&url, &access, &database.url)?;
    let facts = json!({ "url": url, "dashboard": format!("{url}/dashboard"), "devJson": folder.dev_json(), "pid": std::process::id() });
    out.done(&facts, &greeting(&url, &access, &database.place(folder)));

    stop.wait().await;
    ctx.config.stopping.store(true, Ordering::Relaxed);
    clock.abort();
    consumers.finish().await;
    server.await.context("the HTTP server broke")?
}

/// Makes the schema, the account and the context that every handler works with.
async fn prepare(database: &Database, url: &str) -> Result<(Arc<Ctx>, Access)> {
    let store = database::open(&database.url, CONNECTIONS)?;
    store.migrate().await.context("could not bring the schema up to date")?;
    let access = key::access(&store, database.key_file.as_deref()).await?;
    forget_kicks(&store).await?;
    let mut config = Config::read(setting, consume::PUSHES_MAX, format!("dev-{}", std::process::id()))?;
    config.tick_rows_max = TICK_ROWS_MAX;
    config.lanes = Arc::new(Lanes::new(consume::PUSHES_MAX, consume::SLOW_MAX));
    config.run_lanes = Arc::new(Lanes::new(consume::DISPATCHES_MAX, consume::SLOW_DISPATCHES_MAX));
    if config.public_url.is_empty() {
        url.clone_into(&mut config.public_url);
    }
    let http = Http::new(config.policy.clone(), variable("TIKKU_EXTRA_CA_FILE").as_deref())?;
    let queue = Queue::Memory(Box::default());
    Ok((Arc::new(Ctx { store, http, queue, config }), access))
}

/// The environment as the handlers see it: a dev server pushes to plain HTTP and to this machine.
fn setting(name: &str) -> Option<String> {
    match name {
        "TIKKU_ALLOW_HTTP" => Some("true".to_owned()),
        "TIKKU_ALLOW_CIDRS" => Some(format!("{LOOPBACK},{}", variable(name).unwrap_or_default())),
        _ => variable(name),
    }
}

/// Hands to the first tick what the last server's queues held in memory when it ended.
async fn forget_kicks(store: &Store) -> Result<()> {
    let window_ms = i64::try_from(tikku_domain::limits::WINDOW_MS).unwrap_or(i64::MAX);
    while store.message_unkick(UNKICK_ROWS, window_ms).await? == UNKICK_ROWS.unsigned_abs() {}
    while store.run_unkick(UNKICK_ROWS, window_ms).await? == UNKICK_ROWS.unsigned_abs() {}
    store.flow_unkick().await?;
    Ok(store.gate_unkick().await?)
}

/// Ticks for ever. While the database is away, one line is logged, not one every two seconds.
async fn tick(ctx: Arc<Ctx>) {
    let mut beat = interval(TICK_PERIOD);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        beat.tick().await;
        let ticked = tikku_tick::handle(&ctx).await;
        match &ticked {
            Ok(_) if failing => tracing::info!("tick works again"),
            Err(error) if !failing => tracing::warn!(%error, "tick failed; trying on every two seconds"),
            _ => {}
        }
        failing = ticked.is_err();
    }
}

/// The address as a client on this machine writes it.
fn url_of(address: SocketAddr) -> String {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    format!("http://{host}:{}", address.port())
}

fn greeting(url: &str, access: &Access, place: &str) -> String {
    let key = &access.key;
    format!(
        "tikku {} is running; Ctrl-C stops it.

  Dashboard {url}/dashboard/sign-in#{key}
  API       {url}  (described in {url}/openapi.json)
  Health    {url}/healthz
  Database  {place}
  API key   {key}

Publish a message to the receiver built in here:

  curl {url}/v1/messages -H 'authorization: Bearer {key}' -H 'content-type: application/json' -d '{{\"url\":\"{url}/dev/echo\",\"body\":{{\"hello\":\"world\"}}}}'

and see that it is delivered:

  curl '{url}/v1/messages?limit=1' -H 'authorization: Bearer {key}'
",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_can_be_called_from_this_machine() {
        for (address, expected) in [
            ("127.0.0.1:8787", "http://127.0.0.1:8787"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
            ("[::1]:8787", "http://[::1]:8787"),
            ("192.168.1.5:1", "http://192.168.1.5:1"),
        ] {
            assert_eq!(url_of(address.parse().unwrap()), expected);
        }
    }

    #[test]
    fn a_dev_server_may_push_to_this_machine() {
        let config = Config::read(setting, 1, "w".into()).unwrap();
        assert!(config.policy.allow_http && config.policy.allow_cidrs.len() >= 2);
    }
}
