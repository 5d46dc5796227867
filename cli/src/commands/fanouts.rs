//! `tikku fanouts`: names for several endpoints, and the endpoints of one.

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use super::Yes;
use crate::api::{Api, encoded};
use crate::bulk;
use crate::clock::{self, local, seconds};
use crate::delivery;
use crate::exit::{Exit, Fault};
use crate::json_text::{Object, given};
use crate::listing::{self, Paging};
use crate::print::{Printer, text, text_or_dash};
use crate::table::{self, Cell, Column};

#[derive(Subcommand)]
pub enum Command {
    /// Lists fanouts by name
    List {
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows one with its endpoints
    Get {
        /// Its name
        name: String,
    },
    /// Makes one, or replaces all its endpoints
    Put {
        /// Its name
        name: String,
        /// An endpoint; may be given several times
        #[arg(long = "endpoint", value_name = "URL")]
        endpoints: Vec<String>,
        /// The whole document instead, {"endpoints": [...]}: JSON, @FILE or -
        #[arg(long, value_name = "JSON", conflicts_with = "endpoints")]
        document: Option<String>,
    },
    /// Adds an endpoint
    Add(Box<Endpoint>),
    /// Takes an endpoint out
    Remove {
        /// The fanout's name
        name: String,
        /// The endpoint's id, ep_...
        id: String,
    },
    /// Deletes one; messages that were published to it stay
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
}

#[derive(clap::Args)]
pub struct Endpoint {
    /// The fanout's name
    name: String,
    /// The endpoint
    #[arg(value_name = "URL", required_unless_present = "workflow")]
    endpoint: Option<String>,
    /// A workflow instead of a URL
    #[arg(long, conflicts_with = "endpoint")]
    workflow: Option<String>,
    /// Method of its pushes
    #[arg(long)]
    method: Option<String>,
    /// A header of its pushes, "Name: value"; may be given several times
    #[arg(long = "header", short = 'H', value_name = "HEADER", value_parser = delivery::header)]
    headers: Vec<(String, String)>,
    /// How often a message is tried
    #[arg(long, value_name = "N")]
    max_attempts: Option<u32>,
    /// How long one try may take
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    timeout: Option<u64>,
    /// Nothing is made for it until it is put again without this
    #[arg(long)]
    paused: bool,
}

/// Runs the command.
pub async fn run(command: Command, api: &Api, out: &Printer) -> Result<()> {
    match command {
        Command::List { paging } => list(api, out, &paging).await,
        Command::Get { name } => {
            let fanout = api.get(&path(&name)).await?;
            out.show(&fanout.raw, || print(out, &fanout.value));
            Ok(())
        }
        Command::Put { name, endpoints, document } => {
            let document = match document {
                Some(document) => given(&document, "--document")?.get().to_owned(),
                None if endpoints.is_empty() => return Err(Fault::error(Exit::Usage, "say --endpoint or --document")),
                None => json!({ "endpoints": endpoints.iter().map(|url| json!({ "url": url })).collect::<Vec<_>>() }).to_string(),
            };
            let fanout = api.put(&path(&name), document).await?;
            out.show(&fanout.raw, || print(out, &fanout.value));
            Ok(())
        }
        Command::Add(endpoint) => {
            let made = api.post(&format!("{}/endpoints", path(&endpoint.name)), Some(endpoint.document()?)).await?;
            out.show(&made.raw, || out.say(&format!("{} is added.", text_or_dash(&made.value["id"]))));
            Ok(())
        }
        Command::Remove { name, id } => {
            api.delete(&format!("{}/endpoints/{}", path(&name), encoded(&id))).await?;
            out.done(&json!({ "id": id, "removed": true }), &format!("{id} is removed."));
            Ok(())
        }
        Command::Delete { name, yes } => {
            bulk::confirm(yes.yes.into(), &format!("Publishes to the fanout {name} will be refused."))?;
            api.delete(&path(&name)).await?;
            out.done(&json!({ "name": name, "deleted": true }), &format!("{name} is deleted."));
            Ok(())
        }
    }
}

fn path(name: &str) -> String {
    format!("/v1/fanouts/{}", encoded(name))
}

impl Endpoint {
    fn document(&self) -> Result<String> {
        let mut object = Object::default();
        object.set("url", self.endpoint.as_ref())?;
        object.set("workflow", self.workflow.as_ref())?;
        object.set("method", self.method.as_ref().map(|method| method.to_uppercase()))?;
        let mut headers = Object::default();
        for (name, value) in &self.headers {
            headers.set(name, Some(value))?;
        }
        object.object("headers", &headers)?;
        object.set("maxAttempts", self.max_attempts)?;
        object.set("timeoutSeconds", self.timeout)?;
        object.set("paused", self.paused.then_some(true))?;
        object.text()
    }
}

async fn list(api: &Api, out: &Printer, paging: &Paging) -> Result<()> {
    let columns = [Column::Cut("FANOUT"), Column::Number("ENDPOINTS"), Column::Number("PAUSED"), Column::Whole("CHANGED")];
    let row = |fanout: &Value| {
        vec![
            text_or_dash(&fanout["name"]).into(),
            text_or_dash(&fanout["endpointCount"]).into(),
            text_or_dash(&fanout["pausedCount"]).into(),
            clock::short(&fanout["updatedAt"]).into(),
        ]
    };
    listing::read(api, "/v1/fanouts", &Vec::new(), paging).await?.print(out, &columns, "There are no fanouts.", row)
}

fn print(out: &Printer, fanout: &Value) {
    out.facts(&[
        ("Fanout", text(&fanout["name"])),
        ("Made", local(&fanout["createdAt"])),
        ("Changed", local(&fanout["updatedAt"])),
        ("Revision", text(&fanout["revision"])),
    ]);
    let columns = [Column::Whole("ENDPOINT"), Column::Whole("STATUS"), Column::Number("TRIES"), Column::Cut("DESTINATION")];
    let row = |endpoint: &Value| -> Vec<Cell> {
        let status = if endpoint["paused"] == true { "paused" } else { "active" };
        let to = match endpoint["workflow"].as_str() {
            Some(workflow) => format!("workflow {workflow}"),
            None => text_or_dash(&endpoint["url"]),
        };
        vec![text_or_dash(&endpoint["id"]).into(), Cell::status(status), text_or_dash(&endpoint["maxAttempts"]).into(), to.into()]
    };
    let rows: Vec<Vec<Cell>> = fanout["endpoints"].as_array().into_iter().flatten().map(row).collect();
    out.say("");
    table::print(out, &columns, &rows, "It has no endpoints.");
}
