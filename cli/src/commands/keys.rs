//! `tikku keys`: makes API keys, by the API or, for an account by its name, in the database; lists and revokes them by the API.
//!
//! The text of a key is printed once, when it is made.

use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::{Value, json};

use super::accounts::name;
use crate::api::{Api, encoded};
use crate::clock;
use crate::connection::{Globals, find};
use crate::database::{explain, given};
use crate::json_text::Object;
use crate::listing::{self, Paging};
use crate::print::{Printer, Tone, text_or_dash};
use crate::table::{Cell, Column};

#[derive(Subcommand)]
pub enum Command {
    /// Makes an API key and prints it
    Create {
        /// Name of an account of the database in DATABASE_URL; without it, the account of your key, by the API
        #[arg(long)]
        account: Option<String>,
        /// A note to recognise the key by, at most 64 characters
        #[arg(long, default_value = "made with tikku keys create", value_parser = name)]
        name: String,
        /// What the key may do
        #[arg(long, default_value = "admin", value_parser = ["admin", "publish", "read"])]
        role: String,
    },
    /// Lists the keys of your key's account, without their text
    List {
        #[command(flatten)]
        paging: Paging,
    },
    /// Revokes a key, at once and for ever
    Revoke {
        /// key_...
        id: String,
    },
}

/// Runs the command.
pub async fn run(command: Command, globals: &Globals, out: &Printer) -> Result<()> {
    let api = || Api::new(find(globals)?);
    match command {
        Command::Create { account: Some(account), name, role } => create_in_database(&account, &name, &role, out).await,
        Command::Create { account: None, name, role } => create(&api()?, &name, &role, out).await,
        Command::List { paging } => list(&api()?, &paging, out).await,
        Command::Revoke { id } => {
            api()?.delete(&format!("/v1/keys/{}", encoded(&id))).await?;
            out.done(&json!({ "id": id, "revoked": true }), &format!("{id} is revoked."));
            Ok(())
        }
    }
}

async fn create_in_database(account: &str, name: &str, role: &str, out: &Printer) -> Result<()> {
    let store = given()?;
    let id = store.account_find(account).await.map_err(explain)?;
    let id = id.with_context(|| format!("there is no account {account}; `tikku accounts create {account}` makes it"))?;
    let made = store.api_key_create(id, name, role).await.map_err(explain)?;
    let line = format!("Key      {} ({role}; shown only now)\nRecord   {}", made.key, made.record.id);
    out.done(&json!(made), &line);
    Ok(())
}

async fn create(api: &Api, name: &str, role: &str, out: &Printer) -> Result<()> {
    let mut body = Object::default();
    body.set("name", Some(name))?;
    body.set("role", Some(role))?;
    let made = api.post("/v1/keys", Some(body.text()?)).await?;
    let text = |name: &str| text_or_dash(&made.value[name]);
    out.show(&made.raw, || out.say(&format!("Key      {} ({role}; shown only now)\nRecord   {}", text("key"), text("id"))));
    Ok(())
}

async fn list(api: &Api, paging: &Paging, out: &Printer) -> Result<()> {
    let columns = [
        Column::Whole("KEY"),
        Column::Cut("NAME"),
        Column::Whole("ROLE"),
        Column::Whole("BEGINS WITH"),
        Column::Whole("LAST USED"),
        Column::Whole("STATUS"),
    ];
    let row = |key: &Value| {
        let status = if key["revokedAt"].is_null() { Cell::status("active") } else { Cell::toned("revoked", Tone::Dim) };
        vec![
            text_or_dash(&key["id"]).into(),
            text_or_dash(&key["name"]).into(),
            text_or_dash(&key["role"]).into(),
            text_or_dash(&key["hint"]).into(),
            clock::short(&key["lastUsedAt"]).into(),
            status,
        ]
    };
    listing::read(api, "/v1/keys", &Vec::new(), paging).await?.print(out, &columns, "There are no keys.", row)
}
