//! Test bed: `tikku dev` as a child process.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Database, Deployment, Host, Machine, Options, clock_env, new_database, program, tikku};
use crate::api::Api;
use crate::certificate;
use crate::process::{Process, free_port, log_dir, run_dir};

/// A dev server that can be killed and started again on the same data.
pub struct Dev {
    name: String,
    data: PathBuf,
    port: u16,
    env: Vec<(&'static str, std::ffi::OsString)>,
    options: Options,
    process: Mutex<Option<Process>>,
}

pub(super) fn start(options: &Options) -> Result<Deployment> {
    let mut env = clock_env(options)?;
    if options.extra_ca {
        env.push(("TIKKU_EXTRA_CA_FILE", certificate::ca_file().into()));
    }
    let database = if options.embedded { None } else { Some(new_database(options)?) };
    if let Some(database) = &database {
        env.push(("DATABASE_URL", database.given_url.clone().into()));
    }
    let data = run_dir().join(format!("{}-data", options.name));
    let dev =
        Dev { name: format!("{}-server", options.name), data, port: free_port(), env, options: options.clone(), process: Mutex::new(None) };
    let facts = dev.launch()?;
    let fact = |name: &str| facts[name].as_str().map(str::to_owned).with_context(|| format!("{name} in dev.json: {facts}"));
    let api = Api::new(&fact("url")?, &fact("apiKey")?);
    let database = match database {
        Some(given) => given,
        None => Database { url: fact("databaseUrl")?, given_url: fact("databaseUrl")?, cluster: None },
    };
    Ok(Deployment { host: Host::Dev, api, secret: fact("signingSecret")?, database, machine: Machine::Dev(dev) })
}

impl Dev {
    // Returns what dev.json says, once it is there.
    fn launch(&self) -> Result<Value> {
        let facts = self.data.join("dev.json");
        let _ = std::fs::remove_file(&facts);
        let mut command = program(&self.options, &tikku()?)?;
        command.arg("dev").arg("--port").arg(self.port.to_string()).arg("--data").arg(&self.data);
        if self.options.ephemeral {
            command.arg("--ephemeral");
        }
        command.env_remove("DATABASE_URL").envs(self.env.iter().map(|(k, v)| (k, v)));
        let process = Process::start(&self.name, &mut command, "TERM")?;
        let begun = Instant::now();
        while !facts.is_file() {
            if !process.is_running() || begun.elapsed() > Duration::from_secs(120) {
                bail!("`tikku dev` wrote no dev.json: see {}/{}.log", log_dir().display(), self.name);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
        Ok(serde_json::from_slice(&std::fs::read(&facts)?)?)
    }

    /// Kills it with SIGKILL and starts it on the same data and port.
    pub fn restart(&self) -> Result<()> {
        if let Some(process) = &*self.process.lock().unwrap_or_else(PoisonError::into_inner) {
            process.kill();
        }
        self.launch().map(|_| ())
    }

    /// Asks it to stop (SIGTERM); returns whether it did so by itself.
    pub fn stop(&self) -> bool {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).take().is_some_and(|process| process.stop())
    }

    /// Starts it again after `stop`; returns what dev.json says.
    pub fn start_again(&self) -> Result<Value> {
        self.launch()
    }
}
