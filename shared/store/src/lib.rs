//! Every SQL statement of Tikku, one file per table. One method = one call = one implicit transaction = one transition
//! (ARCHITECTURE.md, "Locks and fences"): nothing can stop half-way, and each costs one round trip.
//!
//! Out of scope: deciding (domain) and opening sockets (platform).

mod account;
mod api_key;
mod app;
mod approval;
mod breaker;
mod clients;
mod event;
mod fanout;
mod flow_config;
mod message;
mod message_bulk;
mod message_control;
mod message_counts;
mod message_list;
mod message_publish;
mod message_read;
mod message_start;
mod message_tick;
pub mod migrate;
mod overview;
mod prune;
mod run;
mod run_control;
mod run_counts;
mod run_journal;
mod run_prune;
mod run_read;
mod run_start;
mod run_steps;
mod run_tick;
mod schedule;
mod schedule_firing;
mod schedule_read;
mod schedule_tick;
mod signal;
mod signing_secret;
pub mod statements;
mod tick;
mod usage;
mod workflow;

pub use account::NewAccount;
pub use api_key::{Caller, KeySession};
pub use app::{AppEdit, DescribedApp, DescribedWorkflow, NewApp};
pub use approval::{Approval, ApprovalAnswer};
pub use clients::{Clients, Connect, ConnectError, Time};
pub use event::{EventApplied, EventPut, NewEvent};
pub use fanout::FanoutEdit;
pub use flow_config::{FlowEdit, FlowVerb};
pub use message::{Loaded, Settled};
pub use message_control::Control;
pub use message_publish::{Published, PublishedBatch, PublishedItem, Put};
pub use message_tick::{Claimed, FlowOf, Kick, Reaped};
pub use prune::{Bite, PrunePlace};
pub use run::Dispatched;
pub use run_control::{Fork, RunBulk, RunControl, RunForked};
pub use run_journal::{CheckpointTaken, Checkpointed, JournalAnswer};
pub use run_prune::RunPrunePlace;
pub use run_start::{Origin, RunStarted, StartRun};
pub use schedule::{PauseChange, Paused, ScheduleEdit, ScheduleRan, ScheduleTimes};
pub use schedule_read::Schedule;
pub use schedule_tick::Fired;
pub use signal::{NewSignal, ResumeOf, RunSignalled};
pub use tick::{Look, Pulse};
pub use usage::Usage;

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

/// A statement's parameter with its type: given types make one round trip of what would be two, and keep poolers that know
/// no prepared statements working.
type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// No statement of ours takes this long on a database that is well, the wait for a connection and for locks included.
const STATEMENT_MS_MAX: u64 = 15_000;

/// Why a statement did not do its work. Only after [`StoreError::Unavailable`] it may have done it all the same: the answer was lost.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is shutting down, or a lock was not to be had in time.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database refused a value (SQLSTATE class 22, 23 or 54).
    #[error("the database refused a value: {0}")]
    Refused(String),
    /// The schema is not there, or older than this code.
    #[error("the schema is missing or old, run `tikku migrate`: {0}")]
    Unmigrated(String),
    /// Anything else: a fault of ours or of the schema.
    #[error("the database failed: {0}")]
    Failed(String),
}

impl StoreError {
    fn of(error: &tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            return Self::Unavailable(chain(error));
        };
        let text = format!("{} ({})", db.message(), db.code().code());
        match db.code().code() {
            // No such schema, table, function or column.
            "3F000" | "42P01" | "42883" | "42703" => Self::Unmigrated(text),
            code => match &code[..2] {
                "08" | "40" | "53" | "55" | "57" => Self::Unavailable(text),
                "22" | "23" | "54" => Self::Refused(text),
                _ => Self::Failed(text),
            },
        }
    }
}

/// An error with its causes, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The database.
#[derive(Debug)]
pub struct Store {
    clients: Clients,
}

impl Store {
    /// A store over a set of connections.
    pub fn new(clients: Clients) -> Self {
        Self { clients }
    }

    /// Runs one statement. A serialization failure or deadlock rolled everything back: it is run again, three times at most.
    async fn rows(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        let run = async {
            let mut tries = 0;
            loop {
                let client = self.clients.lend().await?;
                let answer = client.query_typed(sql, params).await;
                client.done();
                match answer {
                    Ok(rows) => return Ok(rows),
                    Err(error) if tries < 3 && retryable(&error) => tries += 1,
                    Err(error) => return Err(StoreError::of(&error)),
                }
            }
        };
        self.clients.within(STATEMENT_MS_MAX, run).await
    }

    /// Runs a statement that answers exactly one row.
    async fn row(&self, sql: &str, params: &[Param<'_>]) -> Result<Row, StoreError> {
        let mut rows = self.rows(sql, params).await?;
        rows.pop().ok_or_else(|| StoreError::Failed("the statement answered no row".to_owned()))
    }
}

/// The shown rows of a list whose statement was asked for one row more than the page has, and the cursor of the next page.
fn page_of<T>(
    rows: &[Row],
    limit: i64,
    view: impl Fn(&Row) -> Result<T, StoreError>,
    cursor: impl Fn(&T) -> &String,
) -> Result<(Vec<T>, Option<String>), StoreError> {
    let shown = &rows[..rows.len().min(limit as usize)];
    let data = shown.iter().map(view).collect::<Result<Vec<T>, _>>()?;
    let next_cursor = data.last().filter(|_| shown.len() < rows.len()).map(|last| cursor(last).clone());
    Ok((data, next_cursor))
}

fn retryable(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| matches!(code.code(), "40001" | "40P01"))
}
