//! Runs come into being: by the API in one statement that checks the key, and for what Tikku itself starts. Out of scope: children, forks and
//! continued runs, which the statements of their runs make.

use tikku_domain::ids::{AccountId, EventId, MessageId, RunId, ScheduleId};
use tikku_domain::limits::WINDOW_MS;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::{Kick, Param, Store, StoreError};

/// A start, checked.
#[derive(Clone, Copy, Debug)]
pub struct StartRun<'a> {
    /// Which workflow.
    pub workflow: &'a str,
    /// The version; `None` for the current one.
    pub version: Option<&'a str>,
    /// The starter's own id, unique per workflow.
    pub external_id: Option<&'a str>,
    /// The starter's key, unique within the account.
    pub idempotency_key: Option<&'a str>,
    /// JSON.
    pub input: &'a [u8],
    /// The wait before it begins.
    pub delay_ms: Option<i64>,
    /// For filters.
    pub labels: &'a [String],
}

/// What of Tikku starts a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A schedule's due time.
    Schedule(ScheduleId),
    /// A message whose destination is a workflow.
    Message(MessageId),
    /// An event.
    Event(EventId),
}

/// What became of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunStarted {
    /// A new run.
    Accepted {
        /// Its id.
        id: RunId,
        /// Its state.
        state: String,
        /// To be handed to the queue; `None` when tick does.
        kick: Option<Kick>,
    },
    /// The run that the id or the key belongs to, with the same input.
    Existing {
        /// That run.
        id: RunId,
        /// Its state.
        state: String,
    },
    /// The run that has the place of the workflow's singleton.
    Skipped {
        /// That run.
        id: RunId,
        /// Its state.
        state: String,
    },
    /// The run that had not begun, and takes this start's input.
    Debounced {
        /// That run.
        id: RunId,
        /// Its state.
        state: String,
        /// To be handed to the queue; `None` when tick does.
        kick: Option<Kick>,
    },
    /// The id or the key belongs to this run, whose input is another.
    Mismatch {
        /// That run.
        id: RunId,
        /// Its state.
        state: String,
    },
    /// Nobody serves the workflow.
    NoWorkflow,
    /// Nobody serves this version of it.
    NoVersion,
    /// No such API key, or revoked.
    Unauthorized,
    /// The key may only read.
    Forbidden,
}

/// Starts a run. The API key is checked inside: one statement for a start.
pub const START: &str = "-- run::start
select tikku.run_start($1, $2, $3, $4, $5, $6, $7, $8, $9) as answer";

/// Starts a run for what Tikku itself starts.
pub const START_FOR: &str = "-- run::start_for
select tikku.run_start_for($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) as answer";

impl Store {
    /// Starts a run under a key's SHA-256. F.
    pub async fn run_start(&self, key_hash: &[u8], start: &StartRun<'_>) -> Result<RunStarted, StoreError> {
        let window_ms = WINDOW_MS as i64;
        let mut params: Vec<Param<'_>> = vec![(&key_hash, Type::BYTEA)];
        params.extend(parameters(start));
        params.push((&window_ms, Type::INT8));
        started(&self.row(START, &params).await?)
    }

    /// Starts a run for an account, because of something that Tikku holds. F.
    pub async fn run_start_for(&self, account: AccountId, origin: Origin, start: &StartRun<'_>) -> Result<RunStarted, StoreError> {
        let window_ms = WINDOW_MS as i64;
        let (how, source) = match origin {
            Origin::Schedule(id) => ("schedule", id.0),
            Origin::Message(id) => ("message", id.0),
            Origin::Event(id) => ("event", id.0),
        };
        let mut params: Vec<Param<'_>> = vec![(&account.0, Type::UUID), (&how, Type::TEXT), (&source, Type::UUID)];
        params.extend(parameters(start));
        params.push((&window_ms, Type::INT8));
        started(&self.row(START_FOR, &params).await?)
    }
}

fn parameters<'a>(start: &'a StartRun<'a>) -> [Param<'a>; 7] {
    [
        (&start.workflow, Type::TEXT),
        (&start.version, Type::TEXT),
        (&start.external_id, Type::TEXT),
        (&start.idempotency_key, Type::TEXT),
        (&start.input, Type::BYTEA),
        (&start.delay_ms, Type::INT8),
        (&start.labels, Type::TEXT_ARRAY),
    ]
}

/// Reads `[verdict, id, state, wait in ms or null, ..., account]`, of which refusals have less.
pub(crate) fn started(row: &Row) -> Result<RunStarted, StoreError> {
    let answer: Vec<Option<String>> = row.get("answer");
    let bad = || StoreError::Failed(format!("a start answered {answer:?}"));
    let part = |index: usize| answer.get(index).and_then(Option::as_deref).ok_or_else(bad);
    let id = || part(1)?.parse().map(RunId).map_err(|_| bad());
    let state = || part(2).map(str::to_owned);
    let kick = || {
        let Ok(wait) = part(3) else { return Ok(None) };
        let account = answer.last().and_then(Option::as_deref).and_then(|text| text.parse().ok()).ok_or_else(bad)?;
        Ok::<_, StoreError>(Some(Kick::new(id()?, wait.parse().map_err(|_| bad())?, AccountId(account))))
    };
    Ok(match part(0)? {
        "accepted" => RunStarted::Accepted { id: id()?, state: state()?, kick: kick()? },
        "existing" => RunStarted::Existing { id: id()?, state: state()? },
        "skipped" => RunStarted::Skipped { id: id()?, state: state()? },
        "debounced" => RunStarted::Debounced { id: id()?, state: state()?, kick: kick()? },
        "mismatch" => RunStarted::Mismatch { id: id()?, state: state()? },
        "no_workflow" => RunStarted::NoWorkflow,
        "no_version" => RunStarted::NoVersion,
        "unauthorized" => RunStarted::Unauthorized,
        "forbidden" => RunStarted::Forbidden,
        _ => return Err(bad()),
    })
}
