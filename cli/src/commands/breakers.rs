//! `tikku breakers`: the circuit breakers, one for each destination.

use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;
use tikku_domain::filter::BREAKER_STATES;

use super::flows::waiting;
use crate::api::{Api, encoded};
use crate::clock::{distance, local};
use crate::listing::{self, Paging};
use crate::print::{Printer, text, text_or_dash};
use crate::table::{Cell, Column};

#[derive(Subcommand)]
pub enum Command {
    /// Lists breakers
    List {
        /// Only those that are this
        #[arg(long, value_parser = BREAKER_STATES)]
        status: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows one
    Get {
        /// brk_...
        id: String,
    },
    /// Closes one: what waits for its destination is pushed
    Reset {
        /// brk_...
        id: String,
    },
}

/// Runs the command.
pub async fn run(command: Command, api: &Api, out: &Printer) -> Result<()> {
    let breaker = match command {
        Command::List { status, paging } => return list(api, out, status, &paging).await,
        Command::Get { id } => api.get(&format!("/v1/breakers/{}", encoded(&id))).await?,
        Command::Reset { id } => api.post(&format!("/v1/breakers/{}/reset", encoded(&id)), None).await?,
    };
    out.show(&breaker.raw, || print(out, &breaker.value));
    Ok(())
}

async fn list(api: &Api, out: &Printer, status: Option<String>, paging: &Paging) -> Result<()> {
    let columns = [
        Column::Whole("BREAKER"),
        Column::Whole("STATUS"),
        Column::Number("FAILED"),
        Column::Number("WAITING"),
        Column::Cut("DESTINATION"),
    ];
    let row = |breaker: &Value| {
        vec![
            text_or_dash(&breaker["id"]).into(),
            Cell::status(&text_or_dash(&breaker["status"])),
            failed(breaker).into(),
            waiting(breaker).into(),
            text_or_dash(&breaker["destination"]).into(),
        ]
    };
    let parameters = vec![("status", status)];
    listing::read(api, "/v1/breakers", &parameters, paging).await?.print(out, &columns, "There are no such breakers.", row)
}

fn failed(breaker: &Value) -> String {
    format!("{}/{}", text_or_dash(&breaker["failures"]), text_or_dash(&breaker["attempts"]))
}

fn print(out: &Printer, breaker: &Value) {
    let probe = &breaker["nextProbeAt"];
    out.facts(&[
        ("Breaker", text(&breaker["id"])),
        ("Destination", text(&breaker["destination"])),
        ("Status", Some(out.status(&text_or_dash(&breaker["status"])))),
        ("Failed", Some(format!("{} of late", failed(breaker)))),
        ("Waiting", Some(waiting(breaker))),
        ("Last error", text(&breaker["lastError"])),
        ("Opened", local(&breaker["openedAt"])),
        ("Next probe", local(probe).map(|time| format!("{time} ({})", distance(probe).unwrap_or_default()))),
    ]);
}
