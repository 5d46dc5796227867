//! `tikku accounts`: makes, lists and limits accounts. Needs only the database.
//!
//! Out of scope: the keys of an account (`keys`).

use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::json;
use tikku_domain::account_settings::AccountView;
use tikku_domain::limits::{KEY_NAME_CHARS_MAX, REQUESTS_PER_MINUTE_MAX};

use crate::database::{explain, given};
use crate::print::Printer;
use crate::table::{self, Column};

/// Accounts that one statement reads.
const LIST_ROWS: i64 = 1000;

#[derive(Subcommand)]
pub enum Command {
    /// Makes an account and prints its admin key
    Create {
        /// Unique name of 1 to 64 characters
        #[arg(value_parser = name)]
        name: String,
    },
    /// Lists all accounts with their settings
    List,
    /// Sets how many API requests the keys of an account may make in a minute, together
    Limit {
        /// Name of the account
        name: String,
        /// From 1 to 100,000,000
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..=REQUESTS_PER_MINUTE_MAX))]
        requests_per_minute: i32,
    },
}

/// Reads the name of an account or a key.
pub fn name(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if (1..=KEY_NAME_CHARS_MAX).contains(&length) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(format!("expected 1 to {KEY_NAME_CHARS_MAX} characters, none of them a control character"))
}

/// Runs the command.
pub async fn run(command: Command, out: &Printer) -> Result<()> {
    match command {
        Command::Create { name } => create(&name, out).await,
        Command::List => list(out).await,
        Command::Limit { name, requests_per_minute } => limit(&name, requests_per_minute, out).await,
    }
}

async fn create(name: &str, out: &Printer) -> Result<()> {
    let made = given()?.account_create(name).await.map_err(explain)?;
    let account =
        made.with_context(|| format!("the account {name} exists already; `tikku keys create --account {name}` makes a key for it"))?;
    let line = format!("Account  {} ({name})\nKey      {} (admin; shown only now)", account.id, account.key);
    out.done(&json!({ "id": account.id.to_string(), "name": name, "key": account.key }), &line);
    Ok(())
}

async fn list(out: &Printer) -> Result<()> {
    let store = given()?;
    let mut all: Vec<AccountView> = Vec::new();
    loop {
        let after = all.last().map(|account| account.name.clone()).unwrap_or_default();
        let page = store.account_list(&after, LIST_ROWS).await.map_err(explain)?;
        let last = (page.len() as i64) < LIST_ROWS;
        all.extend(page);
        if last {
            break;
        }
    }
    if out.json {
        out.done(&json!({ "data": all }), "");
        return Ok(());
    }
    let columns = [Column::Whole("ACCOUNT"), Column::Whole("NAME"), Column::Number("KEEPS DAYS"), Column::Number("REQUESTS A MINUTE")];
    let row = |account: &AccountView| {
        vec![
            account.id.to_string().into(),
            account.name.as_str().into(),
            account.retention_days.to_string().into(),
            account.requests_per_minute.to_string().into(),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    table::print(out, &columns, &rows, "There are no accounts; `tikku accounts create NAME` makes one.");
    Ok(())
}

async fn limit(name: &str, requests_per_minute: i32, out: &Printer) -> Result<()> {
    let changed = given()?.account_limit(name, requests_per_minute).await.map_err(explain)?;
    let account = changed.with_context(|| format!("there is no account {name}; `tikku accounts list` shows them all"))?;
    let line = format!("{}  {}  {} requests a minute", account.id, account.name, account.requests_per_minute);
    out.done(&json!(account), &line);
    Ok(())
}
