//! `tikku migrate`, `accounts`, `keys create`: commands that need only the database.
//!
//! Out of scope: listing and revoking keys, which the HTTP API does.

use anyhow::{Context, Result};
use serde_json::json;
use tikku_domain::account_settings::AccountView;
use tikku_store::migrate::VERSION;

use crate::database::{explain, given};
use crate::screen::say;

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// Brings the schema up to date.
pub async fn migrate() -> Result<()> {
    let applied = given()?.migrate().await.context("could not migrate")?;
    match applied.len() {
        0 => say(&format!("The schema is up to date (version {VERSION}).")),
        count => say(&format!("Applied {count} migrations; the schema is now version {VERSION}.")),
    }
    Ok(())
}

/// Makes an account and prints its admin key.
pub async fn create(name: &str, form: Form) -> Result<()> {
    let made = given()?.account_create(name).await.map_err(explain)?;
    let account =
        made.with_context(|| format!("the account {name} exists already; `tikku keys create --account {name}` makes a key for it"))?;
    match form {
        Form::Text => say(&format!("Account  {} ({name})\nKey      {} (admin; shown only now)", account.id, account.key)),
        Form::Json => say(&json!({ "id": account.id.to_string(), "name": name, "key": account.key }).to_string()),
    }
    Ok(())
}

/// Accounts that one statement reads.
const LIST_ROWS: i64 = 1000;

/// Prints all accounts by name.
pub async fn list(form: Form) -> Result<()> {
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
    match form {
        Form::Text if all.is_empty() => say("There are no accounts; `tikku accounts create NAME` makes one."),
        Form::Text => all.iter().for_each(|account| say(&line(account))),
        Form::Json => say(&json!({ "data": all }).to_string()),
    }
    Ok(())
}

/// Sets the request limit of the account named `name`.
pub async fn limit(name: &str, requests_per_minute: i32, form: Form) -> Result<()> {
    let changed = given()?.account_limit(name, requests_per_minute).await.map_err(explain)?;
    let account = changed.with_context(|| format!("there is no account {name}; `tikku accounts list` shows them all"))?;
    match form {
        Form::Text => say(&line(&account)),
        Form::Json => say(&serde_json::to_string(&account)?),
    }
    Ok(())
}

fn line(account: &AccountView) -> String {
    let AccountView { id, name, retention_days, requests_per_minute, .. } = account;
    format!("{id}  {name}  keeps {retention_days} days  {requests_per_minute} requests a minute")
}

/// Makes an API key of the account named `account` and prints it.
pub async fn create_key(account: &str, name: &str, role: &str, form: Form) -> Result<()> {
    let store = given()?;
    let id = store.account_find(account).await.map_err(explain)?;
    let id = id.with_context(|| format!("there is no account {account}; `tikku accounts create {account}` makes it"))?;
    let made = store.api_key_create(id, name, role).await.map_err(explain)?;
    match form {
        Form::Text => say(&format!("Key      {} ({role}; shown only now)\nRecord   {}", made.key, made.record.id)),
        Form::Json => say(&serde_json::to_string(&made)?),
    }
    Ok(())
}
