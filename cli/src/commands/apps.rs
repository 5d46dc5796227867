//! `tikku apps`: endpoints that serve workflows.

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use super::Yes;
use crate::api::{Api, Doc, encoded};
use crate::bulk;
use crate::clock::{self, local, seconds};
use crate::exit::{Exit, Fault};
use crate::json_text::Object;
use crate::listing::{self, Paging};
use crate::print::{Printer, Tone, text, text_or_dash};
use crate::table::{self, Cell, Column};

#[derive(Subcommand)]
pub enum Command {
    /// Lists apps by name
    List {
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows one with what it serves
    Get {
        /// Its name
        name: String,
    },
    /// Registers an endpoint, or changes it; it is asked at once what it serves. Ends with 1 if that does not work
    Put {
        /// Its name
        name: String,
        /// The endpoint
        #[arg(value_name = "URL")]
        endpoint: String,
        /// How long one dispatch may take
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        timeout: Option<u64>,
        /// An endpoint that is silent for so long counts as lost
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        lease: Option<u64>,
    },
    /// Asks what it serves now; after each deployment. Ends with 1 if that does not work
    Sync {
        /// Its name
        name: String,
    },
    /// Deletes one; its runs stay, and pause when they would go on
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
}

/// Runs the command.
pub async fn run(command: Command, api: &Api, out: &Printer) -> Result<()> {
    match command {
        Command::List { paging } => list(api, out, &paging).await,
        Command::Get { name } => {
            let app = api.get(&path(&name)).await?;
            out.show(&app.raw, || print(out, &app.value));
            Ok(())
        }
        Command::Put { name, endpoint, timeout, lease } => {
            let mut body = Object::default();
            body.set("url", Some(endpoint))?;
            body.set("timeoutSeconds", timeout)?;
            body.set("leaseSeconds", lease)?;
            described(out, &api.put(&path(&name), body.text()?).await?)
        }
        Command::Sync { name } => described(out, &api.post(&format!("{}/describe", path(&name)), None).await?),
        Command::Delete { name, yes } => {
            bulk::confirm(yes.yes.into(), &format!("Nothing that {name} serves will be started or go on."))?;
            api.delete(&path(&name)).await?;
            out.done(&json!({ "name": name, "deleted": true }), &format!("{name} is deleted."));
            Ok(())
        }
    }
}

fn path(name: &str) -> String {
    format!("/v1/apps/{}", encoded(name))
}

/// Prints the app; an endpoint that does not say what it serves is a failure.
fn described(out: &Printer, app: &Doc) -> Result<()> {
    out.show(&app.raw, || print(out, &app.value));
    match text(&app.value["describeError"]) {
        Some(error) => Err(Fault::error(Exit::Failed, format!("the endpoint does not say what it serves: {error}"))),
        None => Ok(()),
    }
}

async fn list(api: &Api, out: &Printer, paging: &Paging) -> Result<()> {
    let columns = [
        Column::Cut("APP"),
        Column::Number("WORKFLOWS"),
        Column::Whole("STATUS"),
        Column::Whole("ASKED"),
        Column::Cut("SDK"),
        Column::Cut("URL"),
    ];
    let row = |app: &Value| {
        let count = app["workflows"].as_array().map_or_else(|| "-".to_owned(), |all| all.len().to_string());
        vec![
            text_or_dash(&app["name"]).into(),
            count.into(),
            Cell::status(if app["describeError"].is_null() { "ok" } else { "error" }),
            clock::short(&app["describedAt"]).into(),
            text_or_dash(&app["sdk"]).into(),
            text_or_dash(&app["url"]).into(),
        ]
    };
    let empty = "There are no apps; `tikku apps put NAME URL` registers one.";
    listing::read(api, "/v1/apps", &Vec::new(), paging).await?.print(out, &columns, empty, row)
}

fn print(out: &Printer, app: &Value) {
    out.facts(&[
        ("App", text(&app["name"])),
        ("URL", text(&app["url"])),
        ("SDK", text(&app["sdk"])),
        ("Asked", local(&app["describedAt"])),
        ("Error", text(&app["describeError"]).map(|error| out.paint(&error, Some(Tone::Bad)))),
        ("Timeout", app["timeoutSeconds"].as_u64().map(|seconds| clock::span(seconds * 1000))),
        ("Lease", app["leaseSeconds"].as_u64().map(|seconds| clock::span(seconds * 1000))),
        ("Revision", text(&app["revision"])),
    ]);
    let columns = [Column::Cut("WORKFLOW"), Column::Whole("VERSION"), Column::Whole("STATUS")];
    let row = |served: &Value| -> Vec<Cell> {
        let status = match (served["served"] == true, served["current"] == true) {
            (true, true) => Cell::toned("current", Tone::Good),
            (true, false) => Cell::from("served"),
            (false, _) => Cell::toned("not served", Tone::Dim),
        };
        vec![text_or_dash(&served["name"]).into(), text_or_dash(&served["version"]).into(), status]
    };
    let rows: Vec<Vec<Cell>> = app["workflows"].as_array().into_iter().flatten().map(row).collect();
    out.say("");
    table::print(out, &columns, &rows, "It serves nothing yet.");
}
