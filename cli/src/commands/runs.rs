//! `tikku runs`: starts runs, shows them, and does what people ask of them.
//!
//! Out of scope: one run in words with its tree of steps (`tree`), waiting for its end (`ending`).

mod ending;
mod tree;

use anyhow::Result;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;
use serde_json::value::RawValue;
use tikku_domain::run_filter::RUN_STATES;

use crate::api::{Again, Api, Doc, encoded};
use crate::bulk::{self, Pick, Work};
use crate::clock::{self, moment, seconds};
use crate::exit::{Exit, Fault};
use crate::json_text::{Object, given};
use crate::listing::{self, Paging, Parameters};
use crate::print::{Printer, text_or_dash};
use crate::table::{Cell, Column};

/// What stands in the place of ids.
const WHICH: [&str; 9] = ["all", "status", "workflow", "version", "external_id", "label", "parent", "from", "to"];

#[derive(Subcommand)]
pub enum Command {
    /// Starts a run, or finds the one with this id or idempotency key
    Start(Start),
    /// Lists runs, newest first
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows one with the tree of its steps
    Get {
        /// run_...
        id: String,
        /// The steps of its children too
        #[arg(long)]
        children: bool,
    },
    /// Waits for its end and prints its output. Ends with 1 if it fails or is cancelled, with 6 if it is not over in time
    Wait {
        /// run_...
        id: String,
        /// How long
        #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "60")]
        timeout: u64,
    },
    /// Sends a signal
    Signal {
        /// run_...
        id: String,
        /// The signal's name
        name: String,
        /// JSON that goes with it: itself, @FILE or -
        #[arg(value_name = "JSON")]
        value: Option<String>,
        /// The same key again is the first signal
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Cancels runs and their children, by ids or by filter
    Cancel {
        /// run_...
        #[arg(required_unless_present_any = WHICH, conflicts_with_all = WHICH)]
        ids: Vec<String>,
        /// All that are not over
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        filter: Filter,
    },
    /// They are not dispatched until they are resumed; timers go on
    Pause(Ids),
    /// Paused ones go on
    Resume {
        #[command(flatten)]
        ids: Ids,
        /// With code that does not fit the journal
        #[arg(long)]
        accept: bool,
    },
    /// Sleeps and waits for another try end now
    Wake(Ids),
    /// Failed or cancelled ones go on: what failed runs again, what succeeded stays
    Retry(Ids),
    /// Makes a new run with the entries of the steps before one, edited or not; the original stays
    Fork(Fork),
    /// Answers an approval
    Approve(Approve),
}

#[derive(Args)]
pub struct Ids {
    /// run_...
    #[arg(required = true)]
    ids: Vec<String>,
}

#[derive(Args)]
pub struct Start {
    /// The workflow's name
    workflow: String,
    /// Input: JSON, @FILE or -
    #[arg(long, value_name = "JSON")]
    input: Option<String>,
    /// Your own id, unique in the workflow
    #[arg(long)]
    id: Option<String>,
    /// The same key and input again is the first run
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Instead of the current one
    #[arg(long)]
    version: Option<String>,
    /// Begins after so long
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    delay: Option<u64>,
    /// A label to filter by; may be given several times
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// Wait for its end, at most so long, and print its output; without a time, a minute
    #[arg(long, value_name = "TIME", value_parser = seconds, num_args = 0..=1, default_missing_value = "60", require_equals = true)]
    wait: Option<u64>,
}

/// Which runs. What is given must all match.
#[derive(Args, Clone)]
pub struct Filter {
    /// Only those that are this
    #[arg(long, value_parser = RUN_STATES)]
    status: Option<String>,
    /// Of this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Of this version
    #[arg(long)]
    version: Option<String>,
    /// With this id of the starter's own
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// A label
    #[arg(long)]
    label: Option<String>,
    /// Children of this run
    #[arg(long, value_name = "ID")]
    parent: Option<String>,
    /// Created at or after this: RFC 3339, or how long ago (15m)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<String>,
    /// Created before this: RFC 3339, or how long ago (15m)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<String>,
}

#[derive(Args)]
pub struct Fork {
    /// run_...
    id: String,
    /// The name of the first step that runs again
    #[arg(long, value_name = "STEP")]
    from_step: String,
    /// Another input: JSON, @FILE or -
    #[arg(long, value_name = "JSON")]
    input: Option<String>,
    /// Another result of a step before, STEP=JSON; may be given several times
    #[arg(long = "result", value_name = "STEP=JSON")]
    results: Vec<String>,
}

#[derive(Args)]
pub struct Approve {
    /// run_...
    id: String,
    /// The approval's key, such as ok#0
    key: String,
    /// Refuse it instead
    #[arg(long)]
    reject: bool,
    /// JSON that goes with the answer: itself, @FILE or -
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// Who answers, for the record
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Filter {
    fn parameters(&self) -> Parameters {
        let Filter { status, workflow, version, external_id, label, parent, from, to } = self.clone();
        vec![
            ("status", status),
            ("workflow", workflow),
            ("version", version),
            ("externalId", external_id),
            ("label", label),
            ("parent", parent),
            ("from", from),
            ("to", to),
        ]
    }

    fn object(&self) -> Result<Object> {
        let mut object = Object::default();
        for (name, value) in self.parameters() {
            object.set(name, value)?;
        }
        Ok(object)
    }
}

/// Runs the command.
pub async fn run(command: Command, api: &Api, out: &Printer) -> Result<()> {
    match command {
        Command::Start(args) => start(&args, api, out).await,
        Command::List { filter, paging } => list(api, out, &filter, &paging).await,
        Command::Get { id, children } => {
            let run = api.get(&path(&id)).await?;
            if out.json {
                out.show(&run.raw, || {});
                return Ok(());
            }
            tree::print(api, out, &run, children.into()).await
        }
        Command::Wait { id, timeout } => ending::wait(api, out, &id, timeout).await,
        Command::Signal { id, name, value, idempotency_key } => {
            signal(api, out, &id, &name, value.as_deref(), idempotency_key.as_deref()).await
        }
        Command::Cancel { ids, .. } if !ids.is_empty() => verb(api, out, &ids, "cancel", "cancelled").await,
        Command::Cancel { filter, .. } => {
            let work = Work { path: "/v1/runs/cancel", done: "cancelled", noun: "runs" };
            bulk::run(api, out, &work, &Pick::Filter(filter.object()?)).await
        }
        Command::Pause(Ids { ids }) => verb(api, out, &ids, "pause", "paused").await,
        Command::Resume { ids: Ids { ids }, accept: false } => verb(api, out, &ids, "resume", "resumed").await,
        Command::Resume { ids: Ids { ids }, accept: true } => {
            for id in &ids {
                let run = api.post(&format!("{}/resume", path(id)), Some(r#"{"accept":true}"#.to_owned())).await?;
                line(out, &run, "resumed");
            }
            Ok(())
        }
        Command::Wake(Ids { ids }) => verb(api, out, &ids, "wake", "woken").await,
        Command::Retry(Ids { ids }) => verb(api, out, &ids, "retry", "retried").await,
        Command::Fork(args) => fork(&args, api, out).await,
        Command::Approve(args) => approve(&args, api, out).await,
    }
}

fn path(id: &str) -> String {
    format!("/v1/runs/{}", encoded(id))
}

async fn verb(api: &Api, out: &Printer, ids: &[String], verb: &str, done: &str) -> Result<()> {
    bulk::each(api, out, ids, done, |id| format!("{}/{verb}", path(id))).await
}

fn line(out: &Printer, run: &Doc, done: &str) {
    out.show(&run.raw, || {
        out.say(&format!("{}  {done}  {}", text_or_dash(&run.value["id"]), out.status(&text_or_dash(&run.value["status"]))));
    });
}

async fn start(args: &Start, api: &Api, out: &Printer) -> Result<()> {
    let mut body = Object::default();
    body.raw("input", args.input.as_deref().map(|input| given(input, "--input")).transpose()?);
    body.set("id", args.id.as_ref())?;
    body.set("idempotencyKey", args.idempotency_key.as_ref())?;
    body.set("version", args.version.as_ref())?;
    body.set("delaySeconds", args.delay)?;
    body.set("labels", Some(&args.labels).filter(|labels| !labels.is_empty()))?;
    let started = api.post(&format!("/v1/workflows/{}/runs", encoded(&args.workflow)), Some(body.text()?)).await?;
    if let Some(wait) = args.wait {
        return ending::wait(api, out, started.value["id"].as_str().unwrap_or_default(), wait).await;
    }
    let how = match (&started.value["deduplicated"], &started.value["skipped"], &started.value["debounced"]) {
        (Value::Bool(true), _, _) => "was there already",
        (_, Value::Bool(true), _) => "runs already: nothing was started",
        (_, _, Value::Bool(true)) => "was moved, with this input",
        _ => "started",
    };
    line(out, &started, how);
    Ok(())
}

async fn signal(api: &Api, out: &Printer, id: &str, name: &str, value: Option<&str>, key: Option<&str>) -> Result<()> {
    let value: Option<Box<RawValue>> = value.map(|value| given(value, "the signal's value")).transpose()?;
    let headers: Vec<(&str, &str)> = key.iter().map(|key| ("idempotency-key", *key)).collect();
    let path = format!("{}/signals/{}", path(id), encoded(name));
    let sent = api.send(Method::POST, &path, value.map(|value| value.get().to_owned()), &headers, Again::No).await?;
    out.show(&sent.raw, || out.say(&format!("{id}  got the signal {}", text_or_dash(&sent.value["name"]))));
    Ok(())
}

async fn fork(args: &Fork, api: &Api, out: &Printer) -> Result<()> {
    let mut body = Object::default();
    body.set("fromStep", Some(&args.from_step))?;
    body.raw("input", args.input.as_deref().map(|input| given(input, "--input")).transpose()?);
    let mut results = Object::default();
    for result in &args.results {
        let Some((step, json)) = result.split_once('=') else {
            return Err(Fault::error(Exit::Usage, "--result is STEP=JSON, such as 'charge={\"id\": 1}'"));
        };
        results.raw(step, Some(given(json, "--result")?));
    }
    body.object("results", &results)?;
    let forked = api.post(&format!("{}/fork", path(&args.id)), Some(body.text()?)).await?;
    line(out, &forked, &format!("forked from {}", args.id));
    Ok(())
}

async fn approve(args: &Approve, api: &Api, out: &Printer) -> Result<()> {
    let mut body = Object::default();
    body.set("approve", Some(!args.reject))?;
    body.raw("data", args.data.as_deref().map(|data| given(data, "--data")).transpose()?);
    body.set("by", args.by.as_ref())?;
    let answered = api.post(&format!("{}/approvals/{}", path(&args.id), encoded(&args.key)), Some(body.text()?)).await?;
    out.show(&answered.raw, || {
        let status = out.status(&text_or_dash(&answered.value["status"]));
        out.say(&format!("{}  {}  {status}", text_or_dash(&answered.value["runId"]), text_or_dash(&answered.value["key"])));
    });
    Ok(())
}

async fn list(api: &Api, out: &Printer, filter: &Filter, paging: &Paging) -> Result<()> {
    let columns = [
        Column::Whole("RUN"),
        Column::Whole("STATUS"),
        Column::Whole("CREATED"),
        Column::Whole("WAKES"),
        Column::Cut("WORKFLOW"),
        Column::Cut("ID"),
    ];
    let row = |run: &Value| {
        vec![
            text_or_dash(&run["id"]).into(),
            Cell::status(&text_or_dash(&run["status"])),
            clock::short(&run["createdAt"]).into(),
            clock::short(&run["wakesAt"]).into(),
            format!("{} v{}", text_or_dash(&run["workflow"]), text_or_dash(&run["version"])).into(),
            text_or_dash(&run["externalId"]).into(),
        ]
    };
    listing::read(api, "/v1/runs", &filter.parameters(), paging).await?.print(out, &columns, "There are no such runs.", row)
}
