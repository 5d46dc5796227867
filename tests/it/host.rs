//! Test bed: the three hosts, each started for real, behind one `Deployment` that scenarios are written against.
//!
//! `TIKKU_TEST_HOSTS` (comma list of dev, lambda, workers; default dev) says which ones run. A host that is asked for and cannot
//! start fails every scenario. Out of scope: how each host is built (`cargo xtask setup`).

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;

use crate::api::Api;
use crate::certificate;
use crate::postgres::{Cluster, is_root, sql};
use crate::process::{log_dir, run, run_dir};

pub mod dev;
pub mod lambda;
pub mod workers;

/// Where the handlers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// `tikku dev`.
    Dev,
    /// The Lambda binaries behind a Runtime API, a function URL, an SQS event source mapping and a scheduler.
    Lambda,
    /// The Worker in workerd, by `wrangler dev`.
    Workers,
}

/// All of them, for scenarios that hold everywhere.
pub const ALL: &[Host] = &[Host::Dev, Host::Lambda, Host::Workers];

/// How a deployment differs from the shared one.
#[derive(Clone, Default)]
pub struct Options {
    /// For database, folder and log names; unique in the run.
    pub name: String,
    /// The default guard: no allow-list, so loopback is refused (dev allows that always).
    pub strict: bool,
    /// The run's certificate authority is trusted, for pushes and for Postgres.
    pub extra_ca: bool,
    /// `sslmode` of the product's own connections; the default is `disable`.
    pub sslmode: Option<&'static str>,
    /// The functions find the database by a secret as RDS writes it (Lambda).
    pub secret: bool,
    /// What the processes that call endpoints take for the time, as libfaketime writes it (`+1h`).
    pub clock: Option<&'static str>,
    /// A cluster of its own, for scenarios that stop it.
    pub own_cluster: bool,
    /// What the processes that call endpoints find in /etc/hosts (Linux mount namespace; Dev, Lambda).
    pub hosts: Option<&'static str>,
    /// `tikku dev` starts a Postgres itself instead of using the test cluster.
    pub embedded: bool,
    /// With `--ephemeral`: nothing is kept over a stop.
    pub ephemeral: bool,
    /// For many scenarios at once: more instances (Lambda).
    pub many: bool,
    /// Tick runs only when the scenario asks (Lambda, Workers).
    pub manual_tick: bool,
}

/// A running system, its first account's admin key and signing secret.
pub struct Deployment {
    pub host: Host,
    pub api: Api,
    pub secret: String,
    database: Database,
    machine: Machine,
}

/// A database, and the cluster it is on when that is not the shared one.
struct Database {
    /// For the tests' own connections.
    url: String,
    /// As the product gets it.
    given_url: String,
    cluster: Option<Cluster>,
}

enum Machine {
    Dev(dev::Dev),
    Lambda(lambda::Lambda),
    Workers(workers::Workers),
}

/// The runtime that carries the test bed's servers; scenarios block on it from libtest's threads.
pub fn stage() -> &'static Runtime {
    static STAGE: OnceLock<Runtime> = OnceLock::new();
    STAGE.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime"))
}

/// Runs the scenario on each of `hosts` that is asked for, on the host's shared deployment.
pub fn on(hosts: &[Host], scenario: impl AsyncFn(&Deployment) + Sync) {
    each(hosts, |host| {
        let deployment = shared(host, &SHARED, "all");
        stage().block_on(scenario(deployment));
    });
}

/// Like [`on`], on a second shared deployment for scenarios that measure times or have many messages one after the other. The local queue of `wrangler dev` waits for a batch
/// before it hands out the next, so there a slow endpoint of another scenario would delay them.
pub fn on_calm(hosts: &[Host], scenario: impl AsyncFn(&Deployment) + Sync) {
    each(hosts, |host| {
        let deployment = if host == Host::Workers { shared(host, &CALM, "calm") } else { shared(host, &SHARED, "all") };
        stage().block_on(scenario(deployment));
    });
}

/// Runs the scenario on each of `hosts` that is asked for, on a deployment of its own.
pub fn on_own(hosts: &[Host], options: Options, scenario: impl AsyncFn(&Deployment) + Sync) {
    each(hosts, |host| {
        let options = Options { name: format!("{}-{host:?}", options.name).to_lowercase(), ..options.clone() };
        let deployment = Deployment::start(host, &options).unwrap_or_else(|e| panic!("{host:?} does not start: {e:#}"));
        stage().block_on(scenario(&deployment));
    });
}

// All hosts at once, each in its own thread; the failure names those that failed.
fn each(hosts: &[Host], body: impl Fn(Host) + Sync) {
    let asked: Vec<Host> = selected().into_iter().filter(|host| hosts.contains(host)).collect();
    if asked.is_empty() {
        println!("not run: this is for {hosts:?}, TIKKU_TEST_HOSTS asks for {:?}", selected());
    }
    let timed = |host: Host| {
        let begun = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| body(host)));
        println!("{host:?}: {} in {:.1} s", if result.is_ok() { "ok" } else { "FAILED" }, begun.elapsed().as_secs_f32());
        result.is_err()
    };
    let failed: Vec<Host> = std::thread::scope(|scope| {
        let running: Vec<_> = asked.iter().map(|&host| (host, scope.spawn(move || timed(host)))).collect();
        running.into_iter().filter_map(|(host, thread)| thread.join().unwrap_or(true).then_some(host)).collect()
    });
    assert!(failed.is_empty(), "failed on {failed:?}; logs of the programs: {}", log_dir().display());
}

fn selected() -> Vec<Host> {
    let text = std::env::var("TIKKU_TEST_HOSTS").unwrap_or_else(|_| "dev".to_owned());
    let parse = |name: &str| match name.trim() {
        "dev" => Host::Dev,
        "lambda" => Host::Lambda,
        "workers" => Host::Workers,
        other => panic!("TIKKU_TEST_HOSTS: `{other}` is none of dev, lambda, workers"),
    };
    text.split(',').map(parse).collect()
}

type Kept = [OnceLock<Result<Deployment, String>>; 3];
static SHARED: Kept = [const { OnceLock::new() }; 3];
static CALM: Kept = [const { OnceLock::new() }; 3];

fn shared(host: Host, kept: &'static Kept, name: &str) -> &'static Deployment {
    let start = || Deployment::start(host, &Options { name: format!("{name}-{host:?}").to_lowercase(), many: true, ..Options::default() });
    // A failure is kept too: the next scenario need not wait for the same one.
    let result = kept[host as usize].get_or_init(|| start().map_err(|e| format!("{e:#}")));
    result.as_ref().unwrap_or_else(|e| panic!("{host:?} does not start: {e}"))
}

impl Deployment {
    /// Starts a host; blocks, so it must not be called from async code.
    pub fn start(host: Host, options: &Options) -> Result<Deployment> {
        match host {
            Host::Dev => dev::start(options),
            Host::Lambda => lambda::start(options),
            Host::Workers => workers::start(options),
        }
    }

    /// Makes another account, by the command line, and returns its first key's view.
    pub fn new_account(&self, name: &str) -> Api {
        self.api.with_key(&account(&self.database.url, name).expect("an account"))
    }

    /// Runs the command line on the deployment's database and returns what it prints as JSON.
    pub fn command(&self, args: &[&str]) -> serde_json::Value {
        let text = run(Command::new(tikku().expect("tikku")).args(args).arg("--json").env("DATABASE_URL", &self.database.url));
        let text = text.unwrap_or_else(|e| panic!("tikku {args:?}: {e:#}"));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in the output of tikku {args:?}: {text}"))
    }

    /// The URL of the deployment's database.
    pub fn database_url(&self) -> &str {
        &self.database.url
    }

    /// Runs SQL on the deployment's database; rows come as text.
    pub async fn sql(&self, text: &str) -> Vec<Vec<Option<String>>> {
        sql(&self.database.url, text).await.unwrap_or_else(|e| panic!("{e:#}"))
    }

    /// Kills the process that delivers and dispatches with SIGKILL and starts it again (Lambda: all `deliver` and `step-invoke` instances).
    pub fn kill_deliverer(&self) {
        tokio::task::block_in_place(|| match &self.machine {
            Machine::Dev(dev) => dev.restart().expect("tikku dev starts again"),
            Machine::Lambda(lambda) => lambda.kill_deliverers(),
            Machine::Workers(workers) => workers.restart().expect("wrangler dev starts again"),
        });
    }

    /// Runs tick once, now; in dev, where it runs every two seconds, waits for one.
    pub async fn tick(&self) {
        match &self.machine {
            Machine::Dev(_) => tokio::time::sleep(Duration::from_millis(2_500)).await,
            Machine::Lambda(lambda) => lambda.tick().await.expect("tick succeeds"),
            Machine::Workers(workers) => workers.tick().await.expect("tick succeeds"),
        }
    }

    /// The deployment's own cluster.
    pub fn cluster(&self) -> &Cluster {
        self.database.cluster.as_ref().expect("options asked for a cluster of its own")
    }

    /// The Lambda host's queue side, for scenarios that tamper with it.
    pub fn lambda(&self) -> &lambda::Lambda {
        match &self.machine {
            Machine::Lambda(lambda) => lambda,
            _ => panic!("only Lambda has this"),
        }
    }

    /// The dev host's process, for scenarios that stop it.
    pub fn dev(&self) -> &dev::Dev {
        match &self.machine {
            Machine::Dev(dev) => dev,
            _ => panic!("only dev has this"),
        }
    }
}

/// The `tikku` binary: `TIKKU_BIN`, else the one built beside this test.
pub fn tikku() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TIKKU_BIN") {
        return Ok(path.into());
    }
    let exe = std::env::current_exe()?;
    let target = exe.ancestors().nth(3).context("the target folder")?;
    let found = ["debug", "release"].iter().map(|profile| target.join(profile).join("tikku")).find(|path| path.is_file());
    found.context("no `tikku` binary: run `cargo build`, or name one in TIKKU_BIN")
}

/// What `cargo xtask test` must have set; names the variable and the remedy otherwise.
fn required(variable: &str) -> Result<OsString> {
    std::env::var_os(variable)
        .with_context(|| format!("{variable} is not set: run `cargo xtask setup`, then the tests by `cargo xtask test`"))
}

/// A database with the schema, and an account with its key.
fn prepared_database(options: &Options) -> Result<(Database, String)> {
    let database = new_database(options)?;
    let trusted = options.extra_ca.then(|| ("TIKKU_EXTRA_CA_FILE", certificate::ca_file()));
    run(Command::new(tikku()?).arg("migrate").env("DATABASE_URL", &database.given_url).envs(trusted))?;
    let key = account(&database.url, "e2e")?;
    Ok((database, key))
}

fn new_database(options: &Options) -> Result<Database> {
    let own = options.own_cluster.then(|| Cluster::create(&format!("{}-postgres", options.name))).transpose()?;
    let cluster = match &own {
        Some(own) => own,
        None => Cluster::shared()?,
    };
    let url = stage().block_on(cluster.database(&format!("tikku_{}", options.name.replace('-', "_"))))?;
    let given_url = url.replace("sslmode=disable", &format!("sslmode={}", options.sslmode.unwrap_or("disable")));
    Ok(Database { url, given_url, cluster: own })
}

fn account(database_url: &str, name: &str) -> Result<String> {
    let text = run(Command::new(tikku()?).args(["accounts", "create", name, "--json"]).env("DATABASE_URL", database_url))?;
    let start = text.find("tk_live_").with_context(|| format!("no key in the output of `tikku accounts create`: {text}"))?;
    Ok(text[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect())
}

async fn signing_secret(api: &Api) -> Result<String> {
    let answer = api.get("/v1/signing-secret").await;
    anyhow::ensure!(answer.status == 200, "the signing secret: {answer:?}");
    Ok(answer.json()["secret"].as_str().context("a secret")?.to_owned())
}

/// The variables that make a process believe another time, or nothing.
fn clock_env(options: &Options) -> Result<Vec<(&'static str, OsString)>> {
    let Some(offset) = options.clock else { return Ok(Vec::new()) };
    let folders = std::fs::read_dir("/usr/lib")?.flatten().map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    let Some(library) = folders.into_iter().find(|path| Path::is_file(path)) else {
        bail!("libfaketime is not installed: run `cargo xtask setup` (Debian package faketime)");
    };
    // Only the wall clock moves: timers must go on as they are.
    Ok(vec![
        ("LD_PRELOAD", library.into()),
        ("FAKETIME", offset.into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ("DONT_FAKE_MONOTONIC", "1".into()),
    ])
}

/// The program, in a mount namespace with its own /etc/hosts when the options ask for one.
fn program(options: &Options, path: &Path) -> Result<Command> {
    let Some(text) = options.hosts else { return Ok(Command::new(path)) };
    let hosts = run_dir().join(format!("{}-hosts", options.name));
    std::fs::write(&hosts, text)?;
    let mut command = Command::new("unshare");
    // As root a user namespace is not needed; without root it is what permits the mount.
    command.args(if is_root() { &["--mount"][..] } else { &["--map-root-user", "--mount"] });
    command.args(["sh", "-c", "mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"", "sh"]).arg(hosts).arg(path);
    Ok(command)
}

/// The guard's allow-list as the configuration of Lambda and Workers has it.
fn allowed_cidrs(options: &Options) -> &'static str {
    if options.strict { "" } else { "127.0.0.0/8,::1/128" }
}
