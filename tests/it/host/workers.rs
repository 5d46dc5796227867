//! Test bed: the Worker in workerd, by `wrangler dev`, with local Queues, Hyperdrive to the test database, and cron by a timer.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Deployment, Host, Machine, Options, allowed_cidrs, prepared_database, required, signing_secret, stage};
use crate::api::Api;
use crate::process::{Process, free_port, log_dir, run_dir};

mod hyperdrive;

const TICK_EVERY: Duration = Duration::from_secs(60);

/// While this is held no `wrangler dev` starts: each start takes both cores for seconds, and would spoil a measurement.
pub fn quiet() -> MutexGuard<'static, ()> {
    static STARTING: Mutex<()> = Mutex::new(());
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A wrangler process group that can be killed and started again on the same state.
pub struct Workers {
    name: String,
    folder: PathBuf,
    port: u16,
    cron: Option<JoinHandle<()>>,
    pool: JoinHandle<()>,
    process: Mutex<Option<Process>>,
}

pub(super) fn start(options: &Options) -> Result<Deployment> {
    let (database, key) = prepared_database(options)?;
    let folder = run_dir().join(format!("{}-worker", options.name));
    std::fs::create_dir(&folder)?;
    let (pool_url, pool) = hyperdrive::open(&database.url);
    let port = free_port();
    let config = configuration(options, &pool_url, port)?;
    std::fs::write(folder.join("wrangler.json"), serde_json::to_vec_pretty(&config)?)?;
    let mut workers = Workers { name: format!("{}-wrangler", options.name), folder, port, cron: None, pool, process: Mutex::new(None) };
    workers.launch()?;
    if !options.manual_tick {
        workers.cron = Some(stage().spawn(cron(workers.port)));
    }
    let api = Api::new(&format!("http://127.0.0.1:{}", workers.port), &key);
    let secret = stage().block_on(signing_secret(&api))?;
    Ok(Deployment { host: Host::Workers, api, secret, database, machine: Machine::Workers(workers) })
}

/// wrangler.toml as it is deployed, but with the built module, the test database and the test's variables.
fn configuration(options: &Options, database_url: &str, port: u16) -> Result<Value> {
    let built = PathBuf::from(required("TIKKU_WORKER_DIR")?);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the repository")?;
    let text = std::fs::read_to_string(root.join("wrangler.toml")).context("reading wrangler.toml")?;
    let mut config: Value = toml::from_str(&text).context("parsing wrangler.toml")?;
    let main = config["main"].as_str().context("`main` in wrangler.toml")?;
    let file = Path::new(main).file_name().context("a file in `main`")?;
    let candidates = [
        built.join(file),
        built.join("worker").join(file),
        built.join("build").join(file),
        built.join("build/worker").join(file),
        built.join(main),
        root.join(main),
    ];
    let main = candidates
        .iter()
        .find(|path| path.is_file())
        .with_context(|| format!("no {} under {}: run `cargo xtask setup`", file.display(), built.display()))?;
    config["main"] = json!(main);
    config.as_object_mut().context("a table")?.remove("build");
    config["hyperdrive"][0]["localConnectionString"] = json!(database_url.split('?').next());
    // A local queue hands out one batch at a time, where Cloudflare has up to 250 under way: small batches would wait for each other.
    for consumer in config["queues"]["consumers"].as_array_mut().context("consumers")? {
        consumer["max_batch_size"] = json!(100);
    }
    config["vars"]["TIKKU_PUBLIC_URL"] = json!(format!("http://127.0.0.1:{port}"));
    config["vars"]["TIKKU_ALLOW_HTTP"] = json!("true");
    config["vars"]["TIKKU_ALLOW_CIDRS"] = json!(allowed_cidrs(options));
    Ok(config)
}

impl Workers {
    // Returns when the Worker answers.
    fn launch(&self) -> Result<()> {
        let wrangler = required("TIKKU_WRANGLER")?;
        let mut command = Command::new(wrangler);
        command.current_dir(&self.folder).args(["dev", "--local", "--config", "wrangler.json", "--ip", "127.0.0.1", "--test-scheduled"]);
        command.args(["--port", &self.port.to_string(), "--inspector-port", &free_port().to_string(), "--persist-to", "state"]);
        command.args(["--show-interactive-dev-session=false", "--log-level", "info"]);
        command
            .env("WRANGLER_SEND_METRICS", "false")
            .env("CI", "true")
            .env("CLOUDFLARE_CF_FETCH_ENABLED", "false")
            .env("WRANGLER_CI_DISABLE_CONFIG_WATCHING", "true")
            .env("WRANGLER_LOG_PATH", self.folder.join("logs"));
        let _one = quiet();
        let process = Process::start(&self.name, &mut command, "TERM")?;
        let begun = Instant::now();
        while !stage().block_on(answers(self.port)) {
            if !process.is_running() || begun.elapsed() > Duration::from_secs(180) {
                bail!("`wrangler dev` does not answer: see {}/{}.log", log_dir().display(), self.name);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
        Ok(())
    }

    /// Kills the whole process group with SIGKILL and starts it on the same state and port.
    pub fn restart(&self) -> Result<()> {
        if let Some(process) = &*self.process.lock().unwrap_or_else(PoisonError::into_inner) {
            process.kill();
        }
        self.launch()
    }

    /// Fires the cron trigger once.
    pub async fn tick(&self) -> Result<()> {
        fire(self.port).await
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(cron) = &self.cron {
            cron.abort();
        }
        self.pool.abort();
    }
}

async fn answers(port: u16) -> bool {
    matches!(Api::new(&format!("http://127.0.0.1:{port}"), "").try_send("GET", "/healthz", None).await, Ok(answer) if answer.status == 200)
}

async fn fire(port: u16) -> Result<()> {
    let answer = Api::new(&format!("http://127.0.0.1:{port}"), "").try_send("GET", "/__scheduled?cron=*+*+*+*+*", None).await?;
    anyhow::ensure!(answer.status == 200, "the cron trigger: {answer:?}");
    Ok(())
}

async fn cron(port: u16) {
    loop {
        if let Err(error) = fire(port).await {
            eprintln!("tick failed: {error:#}");
        }
        tokio::time::sleep(TICK_EVERY).await;
    }
}
