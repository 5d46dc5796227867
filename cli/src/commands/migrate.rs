//! `tikku migrate`: brings the schema up to date. Needs only the database.

use anyhow::{Context, Result};
use serde_json::json;
use tikku_store::migrate::VERSION;

use crate::database::given;
use crate::print::Printer;

/// Runs the command.
pub async fn run(out: &Printer) -> Result<()> {
    let applied = given()?.migrate().await.context("could not migrate")?.len();
    let line = match applied {
        0 => format!("The schema is up to date (version {VERSION})."),
        count => format!("Applied {count} migrations; the schema is now version {VERSION}."),
    };
    out.done(&json!({ "applied": applied, "schemaVersion": VERSION }), &line);
    Ok(())
}
