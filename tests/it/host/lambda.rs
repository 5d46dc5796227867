//! Test bed: the Lambda host. Real `bootstrap` binaries behind `runtime_api`, `front_door` as the function URL, `mapping` as the
//! SQS event source, and a scheduler that invokes tick as EventBridge would.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{Deployment, Host, Machine, Options, allowed_cidrs, clock_env, prepared_database, program, required, signing_secret, stage};
use crate::api::Api;
use crate::certificate;
use crate::process::{Process, free_port};
use crate::signature::python;

mod front_door;
pub mod mapping;
mod runtime_api;
mod secret;

use mapping::Mapping;
use runtime_api::Function;

// Instances. Lambda would start as many as there are requests and batches; a message that is due within a second keeps an instance of
// `deliver` for that long, and a step that takes long one of `step-invoke`.
struct Instances {
    publish: usize,
    dashboard: usize,
    deliver: usize,
    step_invoke: usize,
}
const FEW: Instances = Instances { publish: 2, dashboard: 1, deliver: 4, step_invoke: 4 };
const MANY: Instances = Instances { publish: 8, dashboard: 4, deliver: 12, step_invoke: 12 };
const TICK_EVERY: Duration = Duration::from_secs(60);

/// A stack as template.yaml describes it.
pub struct Lambda {
    tick: Function,
    deliver: Function,
    step_invoke: Function,
    /// The queue of messages and what feeds `deliver` from it.
    pub mapping: Mapping,
    /// The queue of runs and what feeds `step-invoke` from it.
    pub runs: Mapping,
    front_door: JoinHandle<()>,
    scheduler: Option<JoinHandle<()>>,
    // After the tasks above: they call it.
    _publish: Function,
    _dashboard: Function,
}

pub(super) fn start(options: &Options) -> Result<Deployment> {
    let folder = PathBuf::from(required("TIKKU_LAMBDA_DIR")?);
    let (database, key) = prepared_database(options)?;
    let sqs_url = sqs_server(options)?;
    let create = |name: String| stage().block_on(mapping::create_queue(sqs_url, &name));
    let (messages, runs) = (create(format!("tikku-{}", options.name))?, create(format!("tikku-{}-runs", options.name))?);
    let arn = options.secret.then(|| stage().block_on(secret::create(sqs_url, &options.name, &database.url))).transpose()?;
    let known_as = arn.as_deref().map_or(("DATABASE_URL", database.given_url.as_str()), |arn| ("DATABASE_SECRET_ARN", arn));
    let queues = [("TIKKU_QUEUE_URL", messages.url.as_str()), ("TIKKU_RUN_QUEUE_URL", runs.url.as_str())];
    let function = |name: &'static str, instances: usize, public_url: Option<&str>| -> Result<Function> {
        let bootstrap = folder.join(name).join("bootstrap");
        anyhow::ensure!(bootstrap.is_file(), "{} is missing: run `cargo xtask setup`", bootstrap.display());
        let mut env = environment(options, known_as, sqs_url, queues);
        env.extend(public_url.map(|url| ("TIKKU_PUBLIC_URL", url.into())));
        // The two that call endpoints are those whose clock and /etc/hosts a scenario tampers with.
        let calls = matches!(name, "deliver" | "step-invoke");
        if calls {
            env.extend(clock_env(options)?);
        }
        let plain = Options { hosts: None, ..options.clone() };
        let command = program(if calls { options } else { &plain }, &bootstrap)?;
        Function::start(&format!("{}-{name}", options.name), command, env, instances)
    };
    let count = if options.many { MANY } else { FEW };
    let publish = function("publish", count.publish, None)?;
    let dashboard = function("dashboard", count.dashboard, None)?;
    let tick = function("tick", 1, None)?;
    let deliver = function("deliver", count.deliver, None)?;
    let (url, front_door) = front_door::open(publish.invoker(), dashboard.invoker());
    let step_invoke = function("step-invoke", count.step_invoke, Some(&url))?;
    let scheduler = (!options.manual_tick).then(|| stage().spawn(schedule(tick.invoker())));
    let mapping = Mapping::start(messages, deliver.invoker(), count.deliver);
    let runs = Mapping::start(runs, step_invoke.invoker(), count.step_invoke);
    let api = Api::new(&url, &key);
    let secret = stage().block_on(signing_secret(&api))?;
    let lambda = Lambda { tick, deliver, step_invoke, mapping, runs, front_door, scheduler, _publish: publish, _dashboard: dashboard };
    Ok(Deployment { host: Host::Lambda, api, secret, database, machine: Machine::Lambda(lambda) })
}

impl Lambda {
    /// Kills every `deliver` instance with SIGKILL; as on Lambda, new ones start by themselves.
    pub fn kill_deliverers(&self) {
        self.deliver.kill_instances();
        self.step_invoke.kill_instances();
    }

    /// Invokes tick once.
    pub async fn tick(&self) -> Result<()> {
        let answer = self.tick.invoker().invoke(scheduled_event()).await.map_err(anyhow::Error::msg)?;
        serde_json::from_slice::<serde_json::Value>(&answer).context("tick answers JSON")?;
        Ok(())
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        self.front_door.abort();
        if let Some(scheduler) = &self.scheduler {
            scheduler.abort();
        }
    }
}

async fn schedule(tick: runtime_api::Invoker) {
    loop {
        if let Err(error) = tick.invoke(scheduled_event()).await {
            eprintln!("tick failed: {error}");
        }
        tokio::time::sleep(TICK_EVERY).await;
    }
}

fn scheduled_event() -> Vec<u8> {
    json!({
        "version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa", "detail-type": "Scheduled Event", "source": "aws.scheduler",
        "account": "123456789012", "time": "2026-01-01T00:00:00Z", "region": "us-east-1",
        "resources": ["arn:aws:scheduler:us-east-1:123456789012:schedule/default/tikku-tick"], "detail": "{}",
    })
    .to_string()
    .into_bytes()
}

fn environment(
    options: &Options,
    database: (&'static str, &str),
    sqs_url: &str,
    queues: [(&'static str, &str); 2],
) -> Vec<(&'static str, std::ffi::OsString)> {
    let mut env: Vec<(&'static str, std::ffi::OsString)> = [
        database,
        queues[0],
        queues[1],
        ("TIKKU_ALLOW_HTTP", "true"),
        ("TIKKU_ALLOW_CIDRS", allowed_cidrs(options)),
        ("AWS_ENDPOINT_URL_SQS", sqs_url),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", sqs_url),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("RUST_LOG", "info"),
    ]
    .map(|(name, value)| (name, value.into()))
    .to_vec();
    if options.extra_ca {
        env.push(("TIKKU_EXTRA_CA_FILE", certificate::ca_file().into()));
    }
    env
}

/// The URL of an SQS endpoint of the run. The deployment that many scenarios share, some of which measure times, has one of its own.
fn sqs_server(options: &Options) -> Result<&'static str> {
    type Kept = OnceLock<Result<(Process, String), String>>;
    static SERVERS: [Kept; 2] = [const { OnceLock::new() }; 2];
    let start = || -> Result<(Process, String)> {
        let port = free_port();
        let mut command = Command::new(python()?);
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let process = Process::start(if options.many { "sqs-shared" } else { "sqs" }, &mut command, "TERM")?;
        stage().block_on(mapping::answers(port)).context("the SQS endpoint (moto_server) does not answer: see its log")?;
        Ok((process, format!("http://127.0.0.1:{port}")))
    };
    let server = SERVERS[usize::from(options.many)].get_or_init(|| start().map_err(|e| format!("{e:#}")));
    server.as_ref().map(|(_, url)| url.as_str()).map_err(|e| anyhow::anyhow!("{e}"))
}
