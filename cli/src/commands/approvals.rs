//! `tikku approvals`: what waits for a person. `tikku runs approve` answers.

use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;

use crate::api::Api;
use crate::clock;
use crate::listing::{self, Paging};
use crate::print::{Printer, text_or_dash};
use crate::table::{Cell, Column};

#[derive(Subcommand)]
pub enum Command {
    /// Lists approvals, newest first
    List {
        /// Those that were decided too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        paging: Paging,
    },
}

/// Runs the command.
pub async fn run(command: Command, api: &Api, out: &Printer) -> Result<()> {
    let Command::List { all, paging } = command;
    let columns = [
        Column::Whole("RUN"),
        Column::Cut("KEY"),
        Column::Whole("STATUS"),
        Column::Whole("ASKED"),
        Column::Whole("EXPIRES"),
        Column::Cut("WORKFLOW"),
        Column::Cut("TITLE"),
    ];
    let row = |approval: &Value| {
        vec![
            text_or_dash(&approval["runId"]).into(),
            text_or_dash(&approval["key"]).into(),
            // Open is what is to be done here, and no fault as an open breaker is.
            Cell::status(&text_or_dash(&approval["status"]).replace("open", "waiting")),
            clock::short(&approval["createdAt"]).into(),
            clock::short(&approval["expiresAt"]).into(),
            text_or_dash(&approval["workflow"]).into(),
            text_or_dash(&approval["title"]).into(),
        ]
    };
    let parameters = vec![("status", all.then(|| "all".to_owned()))];
    listing::read(api, "/v1/approvals", &parameters, &paging).await?.print(out, &columns, "Nothing waits for a person.", row)
}
