//! `tikku workflows`: what apps serve.

use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;

use crate::api::{Api, encoded};
use crate::clock::local;
use crate::listing::{self, Paging};
use crate::print::{Printer, Tone, text, text_or_dash};
use crate::table::{self, Cell, Column};

#[derive(Subcommand)]
pub enum Command {
    /// Lists workflows by name
    List {
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows one with its versions and policies
    Get {
        /// Its name
        name: String,
    },
}

/// Runs the command.
pub async fn run(command: Command, api: &Api, out: &Printer) -> Result<()> {
    match command {
        Command::List { paging } => list(api, out, &paging).await,
        Command::Get { name } => {
            let workflow = api.get(&format!("/v1/workflows/{}", encoded(&name))).await?;
            out.show(&workflow.raw, || print(out, &workflow.value));
            Ok(())
        }
    }
}

fn status(served: &Value) -> Cell {
    if served["served"] == true { Cell::toned("served", Tone::Good) } else { Cell::toned("not served", Tone::Bad) }
}

async fn list(api: &Api, out: &Printer, paging: &Paging) -> Result<()> {
    let columns =
        [Column::Cut("WORKFLOW"), Column::Whole("VERSION"), Column::Whole("STATUS"), Column::Number("VERSIONS"), Column::Cut("APP")];
    let row = |workflow: &Value| {
        vec![
            text_or_dash(&workflow["name"]).into(),
            text_or_dash(&workflow["version"]).into(),
            status(workflow),
            workflow["versions"].as_array().map_or(0, Vec::len).to_string().into(),
            text_or_dash(&workflow["app"]).into(),
        ]
    };
    listing::read(api, "/v1/workflows", &Vec::new(), paging).await?.print(out, &columns, "No app serves a workflow.", row)
}

fn print(out: &Printer, workflow: &Value) {
    out.facts(&[
        ("Workflow", text(&workflow["name"])),
        ("App", text(&workflow["app"])),
        ("Version", text(&workflow["version"])),
        ("Triggers", text(&workflow["triggers"])),
        ("Concurrency", text(&workflow["concurrency"])),
        ("Rate limit", text(&workflow["rateLimit"])),
        ("Singleton", text(&workflow["singleton"])),
        ("Debounce", text(&workflow["debounce"])),
        ("Priority", text(&workflow["priority"])),
        ("Retry", text(&workflow["retry"])),
    ]);
    let columns = [Column::Whole("VERSION"), Column::Whole("STATUS"), Column::Whole("ASKED"), Column::Cut("APP")];
    let row = |version: &Value| -> Vec<Cell> {
        vec![
            text_or_dash(&version["version"]).into(),
            status(version),
            local(&version["describedAt"]).unwrap_or_default().into(),
            text_or_dash(&version["app"]).into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = workflow["versions"].as_array().into_iter().flatten().map(row).collect();
    out.say("");
    table::print(out, &columns, &rows, "It has no versions.");
}
