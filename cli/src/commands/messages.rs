//! `tikku messages`: list, get, cancel, retry, resend, tail.
//!
//! Out of scope: following (`tail`) and one message in words (`detail`), which are files of their own.

mod detail;
mod tail;

pub use detail::{block, raw_member};

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;
use tikku_domain::filter::STATES;
use tikku_domain::limits::BULK_MAX;

use crate::api::{Api, encoded};
use crate::bulk::{self, Pick, Work};
use crate::clock::{self, moment};
use crate::json_text::Object;
use crate::listing::{self, Paging, Parameters};
use crate::print::{Printer, Tone, text_or_dash, thousands};
use crate::table::{Cell, Column};

/// What stands in the place of ids.
const WHICH: [&str; 7] = ["all", "destination", "label", "fanout", "schedule", "from", "to"];

#[derive(Subcommand)]
pub enum Command {
    /// Lists messages, newest first, and how many there are of each status
    List {
        /// Only those that are this
        #[arg(long, value_parser = STATES)]
        status: Option<String>,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows one with every attempt
    Get {
        /// msg_...
        id: String,
    },
    /// Prints the newest, and with --follow each that comes and each that changes
    Tail(tail::Args),
    /// Cancels what is not over; a push under way may still end delivered
    Cancel(Selection),
    /// Makes failed, cancelled or retrying ones due now, with a fresh budget
    Retry {
        /// msg_...
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Sends copies, whatever became of the first
    Resend {
        /// msg_...
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// Which messages. What is given must all match.
#[derive(Args, Clone)]
pub struct Filter {
    /// Part of the destination
    #[arg(long, value_name = "TEXT")]
    destination: Option<String>,
    /// A label
    #[arg(long)]
    label: Option<String>,
    /// Published to this fanout
    #[arg(long, value_name = "NAME")]
    fanout: Option<String>,
    /// Made by this schedule, sch_...
    #[arg(long, value_name = "ID")]
    schedule: Option<String>,
    /// Created at or after this: RFC 3339, or how long ago (15m)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<String>,
    /// Created before this: RFC 3339, or how long ago (15m)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<String>,
}

/// By ids, or by filter; everything only if it is asked for.
#[derive(Args)]
pub struct Selection {
    /// msg_...
    #[arg(required_unless_present_any = WHICH, conflicts_with_all = WHICH)]
    pub ids: Vec<String>,
    /// All there are
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub filter: Filter,
}

impl Filter {
    /// As query parameters.
    pub fn parameters(&self) -> Parameters {
        let Filter { destination, label, fanout, schedule, from, to } = self.clone();
        vec![("url", destination), ("label", label), ("fanout", fanout), ("schedule", schedule), ("from", from), ("to", to)]
    }

    /// As the `filter` of a bulk request.
    pub fn object(&self) -> Result<Object> {
        let mut object = Object::default();
        for (name, value) in self.parameters() {
            object.set(name, value)?;
        }
        Ok(object)
    }
}

impl Selection {
    /// What a bulk route works on.
    pub fn pick(&self) -> Result<Pick> {
        if self.ids.is_empty() { Ok(Pick::Filter(self.filter.object()?)) } else { Ok(Pick::Ids(self.ids.clone(), BULK_MAX)) }
    }
}

/// Runs the command.
pub async fn run(command: Command, api: &Api, out: &Printer) -> Result<()> {
    match command {
        Command::List { status, filter, paging } => list(api, out, status, &filter, &paging).await,
        Command::Get { id } => {
            let message = api.get(&path(&id)).await?;
            out.show(&message.raw, || detail::print(out, &message));
            Ok(())
        }
        Command::Tail(args) => tail::run(&args, api, out).await,
        Command::Cancel(selection) if selection.ids.is_empty() => {
            let work = Work { path: "/v1/messages/cancel", done: "cancelled", noun: "messages" };
            bulk::run(api, out, &work, &selection.pick()?).await
        }
        Command::Cancel(selection) => bulk::each(api, out, &selection.ids, "cancelled", |id| format!("{}/cancel", path(id))).await,
        Command::Retry { ids } => bulk::each(api, out, &ids, "retried", |id| format!("{}/retry", path(id))).await,
        Command::Resend { ids } => bulk::each(api, out, &ids, "sent again", |id| format!("{}/resend", path(id))).await,
    }
}

fn path(id: &str) -> String {
    format!("/v1/messages/{}", encoded(id))
}

async fn list(api: &Api, out: &Printer, status: Option<String>, filter: &Filter, paging: &Paging) -> Result<()> {
    let mut parameters = filter.parameters();
    parameters.push(("status", status));
    let listing = listing::read(api, "/v1/messages", &parameters, paging).await?;
    print(out, &listing, "There are no such messages.")?;
    let counts = listing.member("counts");
    let shown: Vec<String> = STATES
        .iter()
        .filter_map(|state| Some((state, counts[state].as_u64().filter(|count| *count > 0)?)))
        .map(|(state, count)| format!("{} {}", thousands(count), out.status(state)))
        .collect();
    if !shown.is_empty() {
        out.say(&format!("\n{}", shown.join(&out.paint(" · ", Some(Tone::Dim)))));
    }
    Ok(())
}

/// Prints messages, as a table or as one document.
pub fn print(out: &Printer, listing: &listing::Listing, empty: &str) -> Result<()> {
    let columns =
        [Column::Whole("MESSAGE"), Column::Whole("STATUS"), Column::Number("TRIES"), Column::Whole("CREATED"), Column::Cut("DESTINATION")];
    listing.print(out, &columns, empty, row)
}

fn row(message: &Value) -> Vec<Cell> {
    vec![
        text_or_dash(&message["id"]).into(),
        Cell::status(&text_or_dash(&message["status"])),
        tries(message).into(),
        clock::short(&message["createdAt"]).into(),
        destination(message).into(),
    ]
}

/// Attempts made, of those that the budget has.
pub fn tries(message: &Value) -> String {
    format!("{}/{}", text_or_dash(&message["attemptCount"]), text_or_dash(&message["maxAttempts"]))
}

/// Where a message goes: a URL, or a workflow.
pub fn destination(message: &Value) -> String {
    match message["workflow"].as_str() {
        Some(workflow) => format!("workflow {workflow}"),
        None => text_or_dash(&message["url"]),
    }
}
