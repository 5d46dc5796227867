//! `tikku events`: publishes events and shows what they brought about.

use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;

use super::messages::{block, raw_member};
use crate::api::{Api, encoded};
use crate::clock::{self, local};
use crate::json_text::{Object, given, pretty};
use crate::listing::{self, Paging};
use crate::print::{Printer, text, text_or_dash};
use crate::table::Column;

#[derive(Subcommand)]
pub enum Command {
    /// Publishes an event: it starts the runs that it triggers and wakes those that wait for it
    Send {
        /// Its name
        name: String,
        /// JSON that goes with it: itself, @FILE or -
        #[arg(long, value_name = "JSON")]
        data: Option<String>,
        /// Your own id: the same one again is the first event
        #[arg(long)]
        id: Option<String>,
    },
    /// Lists events, newest first
    List {
        /// Only those of this name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows one
    Get {
        /// evt_...
        id: String,
    },
}

/// Runs the command.
pub async fn run(command: Command, api: &Api, out: &Printer) -> Result<()> {
    match command {
        Command::Send { name, data, id } => {
            let mut event = Object::default();
            event.set("name", Some(name))?;
            event.raw("data", data.map(|data| given(&data, "--data")).transpose()?);
            event.set("id", id)?;
            let sent = api.post("/v1/events", Some(event.text()?)).await?;
            out.show(&sent.raw, || {
                let ids = |name: &str| sent.value[name].as_array().into_iter().flatten().map(text_or_dash).collect::<Vec<_>>();
                let again = if sent.value["deduplicated"] == true { "  (it was there already)" } else { "" };
                out.say(&format!("{}{again}", text_or_dash(&sent.value["id"])));
                ids("started").iter().for_each(|run| out.say(&format!("  started  {run}")));
                ids("woken").iter().for_each(|run| out.say(&format!("  woke     {run}")));
            });
            Ok(())
        }
        Command::List { name, paging } => {
            let columns = [
                Column::Whole("EVENT"),
                Column::Cut("NAME"),
                Column::Whole("PUBLISHED"),
                Column::Number("STARTED"),
                Column::Number("WOKEN"),
            ];
            let row = |event: &Value| {
                vec![
                    text_or_dash(&event["id"]).into(),
                    text_or_dash(&event["name"]).into(),
                    clock::short(&event["createdAt"]).into(),
                    event["started"].as_array().map_or(0, Vec::len).to_string().into(),
                    text_or_dash(&event["woken"]).into(),
                ]
            };
            listing::read(api, "/v1/events", &vec![("name", name)], &paging).await?.print(out, &columns, "There are no such events.", row)
        }
        Command::Get { id } => {
            let event = api.get(&format!("/v1/events/{}", encoded(&id))).await?;
            out.show(&event.raw, || {
                let started = event.value["started"].as_array().into_iter().flatten().map(text_or_dash).collect::<Vec<_>>();
                out.facts(&[
                    ("Event", text(&event.value["id"])),
                    ("Name", text(&event.value["name"])),
                    ("Your id", text(&event.value["externalId"])),
                    ("Published", local(&event.value["createdAt"])),
                    ("Started", Some(started.join(", ")).filter(|started| !started.is_empty())),
                    ("Woken", text(&event.value["woken"])),
                ]);
                if let Some(data) = raw_member(&event.raw, "data") {
                    out.say("");
                    block(out, &pretty(data.get()));
                }
            });
            Ok(())
        }
    }
}
