//! `tikku dlq`: lists dead letters, retries and deletes them, by ids or by filter, in chunks.
//!
//! Out of scope: retrying one message that is not dead (`messages retry`).

use anyhow::Result;
use clap::Subcommand;

use super::Yes;
use super::messages::{Filter, Selection, print};
use crate::api::Api;
use crate::bulk::{self, Work};
use crate::listing::{self, Paging};
use crate::print::Printer;

#[derive(Subcommand)]
pub enum Command {
    /// Lists dead letters, newest first
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        paging: Paging,
    },
    /// Makes them due now, with a fresh budget; attempts made so far stay on record
    Retry(Selection),
    /// Deletes them with their attempts
    Delete {
        #[command(flatten)]
        selection: Selection,
        #[command(flatten)]
        yes: Yes,
    },
}

/// Runs the command.
pub async fn run(command: Command, api: &Api, out: &Printer) -> Result<()> {
    match command {
        Command::List { filter, paging } => {
            let listing = listing::read(api, "/v1/dlq", &filter.parameters(), &paging).await?;
            print(out, &listing, "There are no such dead letters.")
        }
        Command::Retry(selection) => {
            let work = Work { path: "/v1/dlq/retry", done: "retried", noun: "dead letters" };
            bulk::run(api, out, &work, &selection.pick()?).await
        }
        Command::Delete { selection, yes } => {
            bulk::confirm(yes.yes.into(), "Deleted dead letters do not come back.")?;
            let work = Work { path: "/v1/dlq/delete", done: "deleted", noun: "dead letters" };
            bulk::run(api, out, &work, &selection.pick()?).await
        }
    }
}
