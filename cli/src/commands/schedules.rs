//! `tikku schedules`: messages and runs at certain times. Where an id is asked for, the name will do.

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use super::Yes;
use crate::api::{Api, encoded, with_query};
use crate::bulk;
use crate::clock::{self, distance, local, seconds};
use crate::delivery::{Delivery, Target};
use crate::exit::{Exit, Fault};
use crate::json_text::{Object, given};
use crate::listing::{self, Paging};
use crate::print::{Printer, text, text_or_dash};
use crate::table::{Cell, Column};

#[derive(Subcommand)]
pub enum Command {
    /// Lists schedules, newest first
    List {
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows one
    Get {
        /// Its id or name
        id: String,
    },
    /// Makes one
    Create(Box<Definition>),
    /// Replaces one; what is not given gets its default
    Put {
        /// Its id or name
        id: String,
        #[command(flatten)]
        definition: Box<Definition>,
    },
    /// Nothing is fired until it is resumed
    Pause {
        /// Its id or name
        id: String,
    },
    /// Goes on
    Resume {
        /// Its id or name
        id: String,
    },
    /// Fires now, beside its due times
    Run {
        /// Its id or name
        id: String,
    },
    /// Says when a schedule would be due, without making it
    Preview {
        /// Minute, hour, day, month, weekday, such as "0 9 * * MON-FRI"
        #[arg(long, value_name = "EXPRESSION", conflicts_with = "every", required_unless_present = "every")]
        cron: Option<String>,
        /// The time between two: 90s, 15m, 2h
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        every: Option<u64>,
        /// Time zone of --cron, such as Europe/Berlin; UTC without it
        #[arg(long, value_name = "ZONE", requires = "cron")]
        timezone: Option<String>,
    },
    /// Lists the due times of one that were decided, newest first
    Firings {
        /// Its id or name
        id: String,
        #[command(flatten)]
        paging: Paging,
    },
    /// Deletes one; its messages stay
    Delete {
        /// Its id or name
        id: String,
        #[command(flatten)]
        yes: Yes,
    },
}

/// What a schedule is.
#[derive(clap::Args)]
pub struct Definition {
    #[command(flatten)]
    target: Target,
    /// What people call it; unique
    #[arg(long)]
    name: Option<String>,
    /// Minute, hour, day, month, weekday, such as "0 9 * * MON-FRI"
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "every")]
    cron: Option<String>,
    /// The time between two: 90s, 15m, 2h
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    every: Option<u64>,
    /// Time zone of --cron, such as Europe/Berlin; UTC without it
    #[arg(long, value_name = "ZONE", requires = "cron")]
    timezone: Option<String>,
    /// Input of the run, for --workflow: JSON, @FILE or -
    #[arg(long, value_name = "JSON", requires = "workflow", conflicts_with = "body")]
    input: Option<String>,
    /// What becomes of due times that were missed
    #[arg(long, value_parser = ["skip", "latest", "all"])]
    catch_up: Option<String>,
    /// What becomes of a due time while the message before is not over
    #[arg(long, value_parser = ["allow", "skip"])]
    overlap: Option<String>,
    /// It waits to be resumed
    #[arg(long)]
    paused: bool,
    #[command(flatten)]
    delivery: Delivery,
    /// The whole document instead: JSON, @FILE or -
    #[arg(long, value_name = "JSON", conflicts_with_all = ["to", "fanout", "workflow", "name", "cron", "every", "input", "body"])]
    document: Option<String>,
}

/// Runs the command.
pub async fn run(command: Command, api: &Api, out: &Printer) -> Result<()> {
    let schedule = match command {
        Command::List { paging } => return list(api, out, &paging).await,
        Command::Get { id } => api.get(&path(&id)).await?,
        Command::Create(definition) => api.post("/v1/schedules", Some(definition.document()?)).await?,
        Command::Put { id, definition } => api.put(&path(&id), definition.document()?).await?,
        Command::Pause { id } => api.post(&format!("{}/pause", path(&id)), None).await?,
        Command::Resume { id } => api.post(&format!("{}/resume", path(&id)), None).await?,
        Command::Run { id } => return fire(api, out, &id).await,
        Command::Firings { id, paging } => return firings(api, out, &id, &paging).await,
        Command::Preview { cron, every, timezone } => {
            let parameters = [("cron", cron), ("everySeconds", every.map(|every| every.to_string())), ("timezone", timezone)];
            let preview = api.get(&with_query("/v1/schedule-preview", &parameters)).await?;
            out.show(&preview.raw, || out.facts(&coming(&preview.value)));
            return Ok(());
        }
        Command::Delete { id, yes } => {
            bulk::confirm(yes.yes.into(), &format!("The schedule {id} will fire no more."))?;
            api.delete(&path(&id)).await?;
            out.done(&json!({ "id": id, "deleted": true }), &format!("{id} is deleted."));
            return Ok(());
        }
    };
    out.show(&schedule.raw, || print(out, &schedule.value));
    Ok(())
}

fn path(id: &str) -> String {
    format!("/v1/schedules/{}", encoded(id))
}

impl Definition {
    fn document(&self) -> Result<String> {
        if let Some(document) = &self.document {
            return Ok(given(document, "--document")?.get().to_owned());
        }
        let (Some(name), true) = (&self.name, self.cron.is_some() || self.every.is_some()) else {
            return Err(Fault::error(Exit::Usage, "a schedule needs --name, --cron or --every, and where it goes; or --document"));
        };
        let mut object = Object::default();
        object.set("name", Some(name))?;
        self.target.write(&mut object)?;
        object.set("cron", self.cron.as_ref())?;
        object.set("everySeconds", self.every)?;
        object.set("timezone", self.timezone.as_ref())?;
        object.raw("input", self.input.as_deref().map(|input| given(input, "--input")).transpose()?);
        object.set("catchUp", self.catch_up.as_ref())?;
        object.set("overlap", self.overlap.as_ref())?;
        object.set("paused", self.paused.then_some(true))?;
        self.delivery.write(&mut object)?;
        object.text()
    }
}

async fn fire(api: &Api, out: &Printer, id: &str) -> Result<()> {
    let fired = api.post(&format!("{}/run", path(id)), None).await?;
    out.show(&fired.raw, || {
        for message in fired.value["messages"].as_array().into_iter().flatten() {
            out.say(&format!("{}  {}", text_or_dash(&message["id"]), out.status(&text_or_dash(&message["status"]))));
        }
    });
    Ok(())
}

async fn firings(api: &Api, out: &Printer, id: &str, paging: &Paging) -> Result<()> {
    let columns = [Column::Whole("DUE"), Column::Whole("DECIDED"), Column::Whole("OUTCOME"), Column::Cut("MESSAGES")];
    let row = |firing: &Value| {
        let messages: Vec<String> = firing["messageIds"].as_array().into_iter().flatten().map(text_or_dash).collect();
        vec![
            clock::short(&firing["dueAt"]).into(),
            clock::short(&firing["firedAt"]).into(),
            text_or_dash(&firing["outcome"]).into(),
            messages.join(" ").into(),
        ]
    };
    let path = format!("{}/firings", path(id));
    listing::read(api, &path, &Vec::new(), paging).await?.print(out, &columns, "It has not been due yet.", row)
}

/// When a schedule is due next, in words and as times.
fn coming(schedule: &Value) -> [(&'static str, Option<String>); 3] {
    let times: Vec<String> = schedule["nextRunsAt"].as_array().into_iter().flatten().filter_map(local).collect();
    [
        ("In words", text(&schedule["inWords"])),
        ("Clock change", text(&schedule["clockChange"])),
        ("Next times", Some(times.join(", ")).filter(|times| !times.is_empty())),
    ]
}

async fn list(api: &Api, out: &Printer, paging: &Paging) -> Result<()> {
    let columns = [
        Column::Cut("SCHEDULE"),
        Column::Whole("STATUS"),
        Column::Cut("WHEN"),
        Column::Whole("NEXT"),
        Column::Cut("LAST"),
        Column::Cut("DESTINATION"),
    ];
    let row = |schedule: &Value| {
        vec![
            text_or_dash(&schedule["name"]).into(),
            Cell::status(&text_or_dash(&schedule["status"])),
            when(schedule).into(),
            clock::short(&schedule["nextRunAt"]).into(),
            text_or_dash(&schedule["lastOutcome"]).into(),
            destination(schedule).into(),
        ]
    };
    listing::read(api, "/v1/schedules", &Vec::new(), paging).await?.print(out, &columns, "There are no schedules.", row)
}

fn when(schedule: &Value) -> String {
    match (text(&schedule["cron"]), schedule["everySeconds"].as_u64(), text(&schedule["timezone"])) {
        (Some(cron), _, Some(zone)) if zone != "UTC" => format!("{cron} {zone}"),
        (Some(cron), _, _) => cron,
        (None, Some(every), _) => format!("every {}", clock::span(every * 1000)),
        (None, None, _) => "-".to_owned(),
    }
}

fn destination(schedule: &Value) -> String {
    match (schedule["fanout"].as_str(), schedule["workflow"].as_str()) {
        (Some(fanout), _) => format!("fanout {fanout}"),
        (None, Some(workflow)) => format!("workflow {workflow}"),
        (None, None) => text_or_dash(&schedule["url"]),
    }
}

fn print(out: &Printer, schedule: &Value) {
    let next = &schedule["nextRunAt"];
    out.facts(&[
        ("Schedule", text(&schedule["id"])),
        ("Name", text(&schedule["name"])),
        ("Status", Some(out.status(&text_or_dash(&schedule["status"])))),
        ("When", Some(when(schedule))),
        ("Next", local(next).map(|time| format!("{time} ({})", distance(next).unwrap_or_default()))),
        ("Last", local(&schedule["lastRunAt"]).map(|time| format!("{time}, {}", text_or_dash(&schedule["lastOutcome"])))),
        ("Destination", Some(destination(schedule))),
        ("Missed times", text(&schedule["catchUp"])),
        ("Overlap", text(&schedule["overlap"])),
        ("Revision", text(&schedule["revision"])),
    ]);
    out.facts(&coming(schedule));
}
