//! `tikku account`: the account of the key, and its settings.
//!
//! Out of scope: making accounts, which is done in the database (`accounts`).

use anyhow::Result;
use clap::Subcommand;
use http::Method;
use serde_json::Value;

use crate::api::{Again, Api};
use crate::clock::{local, seconds, span};
use crate::exit::{Exit, Fault};
use crate::json_text::Object;
use crate::print::{Printer, text, text_or_dash};

#[derive(Subcommand)]
pub enum Command {
    /// Shows it
    Get,
    /// Changes its settings; what is not given stays
    Set(Settings),
}

#[derive(clap::Args)]
pub struct Settings {
    /// How many days messages and runs that are over are kept
    #[arg(long, value_name = "DAYS")]
    retention_days: Option<u32>,
    /// A breaker opens after so many attempts at least
    #[arg(long, value_name = "N")]
    breaker_min_attempts: Option<u32>,
    /// A breaker opens when so many percent have failed; 101 is never
    #[arg(long, value_name = "PERCENT")]
    breaker_failure_percent: Option<u32>,
    /// How long a breaker is open before it is probed
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    breaker_open: Option<u64>,
}

/// Runs the command.
pub async fn run(command: Command, api: &Api, out: &Printer) -> Result<()> {
    let account = match command {
        Command::Get => api.get("/v1/account").await?,
        Command::Set(settings) => api.send(Method::PATCH, "/v1/account", Some(settings.document()?), &[], Again::No).await?,
    };
    out.show(&account.raw, || print(out, &account.value));
    Ok(())
}

impl Settings {
    fn document(&self) -> Result<String> {
        let mut object = Object::default();
        object.set("retentionDays", self.retention_days)?;
        let mut breaker = Object::default();
        breaker.set("minAttempts", self.breaker_min_attempts)?;
        breaker.set("failurePercent", self.breaker_failure_percent)?;
        breaker.set("openSeconds", self.breaker_open)?;
        object.object("breaker", &breaker)?;
        if object.is_empty() {
            return Err(Fault::error(Exit::Usage, "say what is to change; `tikku account set --help` lists the settings"));
        }
        object.text()
    }
}

fn print(out: &Printer, account: &Value) {
    let breaker = &account["breaker"];
    let open = breaker["openSeconds"].as_u64().map(|open| span(open * 1000)).unwrap_or_default();
    let opens = format!(
        "at {} % of at least {} attempts, for {open}",
        text_or_dash(&breaker["failurePercent"]),
        text_or_dash(&breaker["minAttempts"])
    );
    out.facts(&[
        ("Account", text(&account["id"])),
        ("Name", text(&account["name"])),
        ("Made", local(&account["createdAt"])),
        ("Keeps", text(&account["retentionDays"]).map(|days| format!("{days} days"))),
        ("Requests", text(&account["requestsPerMinute"]).map(|most| format!("{most} a minute"))),
        ("Breakers open", Some(opens)),
    ]);
}
