//! `tikku flows`: the limits that messages of one key share, pinned, paused and resumed by an operator.

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::api::{Api, encoded};
use crate::clock::{local, seconds, span};
use crate::json_text::Object;
use crate::listing::{self, Paging};
use crate::print::{Printer, text, text_or_dash};
use crate::table::{Cell, Column};

#[derive(Subcommand)]
pub enum Command {
    /// Lists keys with what waits and what is under way
    List {
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows one
    Get {
        /// The key
        key: String,
    },
    /// Sets limits that count whatever messages say
    Pin {
        /// The key
        key: String,
        /// At most so many at the same time; 1 keeps their order
        #[arg(long, value_name = "N", required_unless_present = "rate")]
        parallelism: Option<u32>,
        /// At most so many in a period
        #[arg(long, value_name = "N")]
        rate: Option<u32>,
        /// The period of --rate; a second without it
        #[arg(long, value_name = "TIME", value_parser = seconds, requires = "rate")]
        period: Option<u64>,
    },
    /// Messages' own limits count again
    Unpin {
        /// The key
        key: String,
    },
    /// Nothing of the key begins until it is resumed
    Pause {
        /// The key
        key: String,
    },
    /// Goes on
    Resume {
        /// The key
        key: String,
    },
}

/// Runs the command.
pub async fn run(command: Command, api: &Api, out: &Printer) -> Result<()> {
    let flow = match command {
        Command::List { paging } => return list(api, out, &paging).await,
        Command::Get { key } => api.get(&path(&key)).await?,
        Command::Pin { key, parallelism, rate, period } => {
            let mut limits = Object::default();
            limits.set("parallelism", parallelism)?;
            limits.set("rate", rate)?;
            limits.set("periodSeconds", period)?;
            api.put(&path(&key), limits.text()?).await?
        }
        Command::Unpin { key } => {
            api.delete(&path(&key)).await?;
            out.done(&json!({ "key": key, "pinned": false }), &format!("{key} is not pinned any more."));
            return Ok(());
        }
        Command::Pause { key } => api.post(&format!("{}/pause", path(&key)), None).await?,
        Command::Resume { key } => api.post(&format!("{}/resume", path(&key)), None).await?,
    };
    out.show(&flow.raw, || print(out, &flow.value));
    Ok(())
}

fn path(key: &str) -> String {
    format!("/v1/flows/{}", encoded(key))
}

async fn list(api: &Api, out: &Printer, paging: &Paging) -> Result<()> {
    let columns = [Column::Cut("KEY"), Column::Whole("STATUS"), Column::Number("ACTIVE"), Column::Number("WAITING"), Column::Cut("LIMITS")];
    let row = |flow: &Value| {
        vec![
            text_or_dash(&flow["key"]).into(),
            status(flow),
            text_or_dash(&flow["active"]).into(),
            waiting(flow).into(),
            limits(flow).into(),
        ]
    };
    listing::read(api, "/v1/flows", &Vec::new(), paging).await?.print(out, &columns, "There are no flows.", row)
}

fn status(flow: &Value) -> Cell {
    Cell::status(if flow["paused"] == true { "paused" } else { "active" })
}

/// How many wait. The API counts up to a limit and says when there are more.
pub fn waiting(counted: &Value) -> String {
    let more = if counted["waitingMore"] == true { "+" } else { "" };
    format!("{}{more}", text_or_dash(&counted["waiting"]))
}

fn limits(flow: &Value) -> String {
    let parallelism = flow["parallelism"].as_u64().map(|most| format!("{most} at a time"));
    let rate = flow["rate"].as_u64().map(|rate| format!("{rate} in {}", span(flow["periodSeconds"].as_u64().unwrap_or(1) * 1000)));
    let pinned = (flow["pinned"] == true).then(|| "pinned".to_owned());
    let all: Vec<String> = [parallelism, rate, pinned].into_iter().flatten().collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

fn print(out: &Printer, flow: &Value) {
    out.facts(&[
        ("Key", text(&flow["key"])),
        ("Status", Some(out.status(if flow["paused"] == true { "paused" } else { "active" }))),
        ("Limits", Some(limits(flow))),
        ("Active", text(&flow["active"])),
        ("Waiting", Some(waiting(flow))),
        ("Held until", local(&flow["heldUntil"])),
        ("Revision", text(&flow["revision"])),
    ]);
}
