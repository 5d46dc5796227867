//! Which database the commands work on, and the environment they read it from.
//!
//! Out of scope: the private server of `tikku dev` (`postgres`).

use anyhow::{Context, Result};
use tikku_platform::db;
use tikku_store::{Store, StoreError};

/// Reads a variable of the environment; None where it is missing, empty or not text.
#[allow(clippy::disallowed_methods, reason = "the one place where the command line reads its environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Opens the database in DATABASE_URL for a command that needs one connection.
pub fn given() -> Result<Store> {
    let url = variable("DATABASE_URL").context("DATABASE_URL is not set: expected postgres://user:password@host:port/database")?;
    open(&url, 1)
}

/// Opens the database at `url`, with at most `connections` connections; nothing is connected yet.
pub fn open(url: &str, connections: usize) -> Result<Store> {
    Ok(Store::new(db::clients(url, variable("TIKKU_EXTRA_CA_FILE").as_deref(), connections)?))
}

/// Adds to a store's error what the user can do about it.
pub fn explain(error: StoreError) -> anyhow::Error {
    let text = error.to_string();
    // Undefined table, schema or function.
    if ["(42P01)", "(3F000)", "(42883)"].iter().any(|code| text.contains(code)) {
        return anyhow::anyhow!("the database has no Tikku schema, or an old one: run `tikku migrate` first ({text})");
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_schema_is_explained() {
        let missing = StoreError::Failed("function tikku.account_create(text) does not exist (42883)".into());
        assert!(explain(missing).to_string().contains("tikku migrate"));
        let other = StoreError::Unavailable("refused".into());
        assert!(!explain(other).to_string().contains("tikku migrate"));
    }
}
