//! What people do to runs: cancel, pause, resume, wake, retry, fork. Out of scope: signals and answers to approvals.

use tikku_domain::bulk::BulkView;
use tikku_domain::ids::{AccountId, KeyId, RunId};
use tikku_domain::limits::{FORK_BYTES_MAX, RUN_BULK_MAX, WINDOW_MS};
use tikku_domain::run_filter::RunFilter;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::run_start::{RunStarted, started};
use crate::{Claimed, Kick, Param, Store, StoreError};

/// What a control verb met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunControl {
    /// It did its work.
    Done {
        /// To be handed to the queue.
        kicks: Vec<Kick>,
    },
    /// The account has no such run, or the run no such approval.
    Missing,
    /// The run, or the approval, is in a state that the verb does not apply to.
    Conflict {
        /// That state; of a retry also `singleton`: another run has its place.
        state: String,
    },
}

/// A new run from the middle of another one, checked.
#[derive(Clone, Copy, Debug)]
pub struct Fork<'a> {
    /// The key of the first step that runs again; all finished steps are copied when it was not reached.
    pub from_step: &'a str,
    /// Another input, JSON.
    pub input: Option<&'a [u8]>,
    /// Other results of steps before it: key and JSON.
    pub results: &'a [(String, Vec<u8>)],
    /// The API key that asked for it.
    pub started_by: Option<KeyId>,
}

/// What became of a fork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunForked {
    /// A new run.
    Done {
        /// Its id.
        id: RunId,
        /// Its state.
        state: String,
        /// To be handed to the queue.
        kick: Option<Kick>,
    },
    /// The account has no such run.
    Missing,
    /// It is over and never came to such a step.
    NoStep,
    /// A result was given for a step that is not finished, or not before the one that the fork begins with.
    Unfinished {
        /// That step's key.
        key: String,
    },
    /// The run that has the place of the workflow's singleton.
    Conflict {
        /// That run.
        id: RunId,
    },
    /// Nobody serves the workflow.
    NoWorkflow,
    /// Nobody serves the version that the run is pinned to.
    NoVersion,
    /// The steps to copy have more than [`FORK_BYTES_MAX`] bytes.
    TooLarge,
}

/// A bulk operation over runs.
#[derive(Clone, Debug)]
pub struct RunBulk<'a> {
    /// Which; its page is not looked at.
    pub filter: &'a RunFilter,
    /// Only these, if they match; `None` for all.
    pub ids: Option<&'a [RunId]>,
    /// Only runs that were started by then, in microseconds since 1970; `None` for now.
    pub as_of_us: Option<i64>,
}

/// Cancels.
pub const CANCEL: &str = "-- run::cancel
select verdict, state, id, wait_ms, account_id from tikku.run_cancel($1, $2)";

/// Pauses.
pub const PAUSE: &str = "-- run::pause
select verdict, state, id, wait_ms, account_id from tikku.run_pause($1, $2)";

/// Ends a pause.
pub const RESUME: &str = "-- run::resume
select verdict, state, id, wait_ms, account_id from tikku.run_resume($1, $2, $3, $4)";

/// Ends pauses for which nobody serving the version was the reason.
pub const RESUME_SERVED: &str = "-- run::resume_served
select id, wait_ms, account_id from tikku.run_resume_served($1, $2, $3)";

/// Ends sleeps and waits for retries.
pub const WAKE: &str = "-- run::wake
select verdict, state, id, wait_ms, account_id from tikku.run_wake($1, $2, $3)";

/// Goes on from the step that failed.
pub const RETRY: &str = "-- run::retry
select verdict, state, id, wait_ms, account_id from tikku.run_retry($1, $2)";

/// Makes a new run of the beginning of another.
pub const FORK: &str = "-- run::fork
select tikku.run_fork($1, $2, $3, $4, $5, $6, $7, $8, $9) as answer";

/// Cancels what matches and is not over.
pub const CANCEL_MANY: &str = "-- run::cancel_many
select tikku.rfc3339_us(as_of_us) as as_of, remaining, done, id, wait_ms, account_id
from tikku.run_cancel_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// Cancels children of runs that are over.
pub const CHILD_SWEEP: &str = "-- child_sweep::turn
select taken, id, wait_ms, account_id from tikku.child_sweep_turn($1)";

impl Store {
    /// Cancels what is not over, also while it is dispatched; cancelling twice is the same as once. Its children are cancelled by
    /// [`Store::child_sweep`]. F.
    pub async fn run_cancel(&self, account: AccountId, id: RunId) -> Result<RunControl, StoreError> {
        self.ruled(CANCEL, &[(&account.0, Type::UUID), (&id.0, Type::UUID)]).await
    }

    /// Pauses what is not over; what is being dispatched stops when the dispatch ends. Pausing twice is the same as once. F.
    pub async fn run_pause(&self, account: AccountId, id: RunId) -> Result<RunControl, StoreError> {
        self.ruled(PAUSE, &[(&account.0, Type::UUID), (&id.0, Type::UUID)]).await
    }

    /// Ends a pause. With `accept`, entries that new code does not ask for are left alone. F.
    pub async fn run_resume(&self, account: AccountId, id: RunId, accept: bool) -> Result<RunControl, StoreError> {
        let window_ms = WINDOW_MS as i64;
        let params = [(&account.0 as _, Type::UUID), (&id.0 as _, Type::UUID), (&accept as _, Type::BOOL), (&window_ms as _, Type::INT8)];
        self.ruled(RESUME, &params).await
    }

    /// Ends the pauses of at most 500 runs that nobody served and somebody does now. F.
    pub async fn run_resume_served(&self, account: AccountId) -> Result<Claimed, StoreError> {
        let (most, window_ms) = (500, WINDOW_MS as i64);
        let rows = self.rows(RESUME_SERVED, &[(&account.0, Type::UUID), (&most, Type::INT4), (&window_ms, Type::INT8)]).await?;
        Ok(Claimed { rows: rows.len(), kicks: Kick::run_rows(&rows) })
    }

    /// Ends all sleeps of a run, has it try again now what is to be tried again, or begin now when its start was delayed; a conflict when
    /// there is nothing of that. F.
    pub async fn run_wake(&self, account: AccountId, id: RunId) -> Result<RunControl, StoreError> {
        let window_ms = WINDOW_MS as i64;
        self.ruled(WAKE, &[(&account.0, Type::UUID), (&id.0, Type::UUID), (&window_ms, Type::INT8)]).await
    }

    /// A failed or cancelled run goes on from the step that failed, with fresh budgets, and so do its failed and cancelled children that it
    /// waited for. F.
    pub async fn run_retry(&self, account: AccountId, id: RunId) -> Result<RunControl, StoreError> {
        self.ruled(RETRY, &[(&account.0, Type::UUID), (&id.0, Type::UUID)]).await
    }

    /// Makes a new run with the finished steps before one; the old run stays as it is. F.
    pub async fn run_fork(&self, account: AccountId, id: RunId, fork: &Fork<'_>) -> Result<RunForked, StoreError> {
        let (keys, values): (Vec<&str>, Vec<&[u8]>) = fork.results.iter().map(|(key, value)| (key.as_str(), value.as_slice())).unzip();
        let (by, window_ms) = (fork.started_by.map(|key| key.0), WINDOW_MS as i64);
        let params = [
            (&account.0 as _, Type::UUID),
            (&id.0 as _, Type::UUID),
            (&fork.from_step as _, Type::TEXT),
            (&fork.input as _, Type::BYTEA),
            (&keys as _, Type::TEXT_ARRAY),
            (&values as _, Type::BYTEA_ARRAY),
            (&by as _, Type::UUID),
            (&FORK_BYTES_MAX as _, Type::INT8),
            (&window_ms as _, Type::INT8),
        ];
        let row = self.row(FORK, &params).await?;
        let answer: Vec<Option<String>> = row.get("answer");
        let word = |index: usize| answer.get(index).and_then(Option::as_deref).unwrap_or_default();
        Ok(match word(0) {
            "missing" => RunForked::Missing,
            "no_step" => RunForked::NoStep,
            "unfinished" => RunForked::Unfinished { key: word(1).to_owned() },
            "too_large" => RunForked::TooLarge,
            _ => match started(&row)? {
                RunStarted::Accepted { id, state, kick } => RunForked::Done { id, state, kick },
                RunStarted::Skipped { id, .. } => RunForked::Conflict { id },
                RunStarted::NoWorkflow => RunForked::NoWorkflow,
                RunStarted::NoVersion => RunForked::NoVersion,
                other => return Err(StoreError::Failed(format!("a fork came to {other:?}"))),
            },
        })
    }

    /// Cancels at most [`RUN_BULK_MAX`] runs that match and are not over. F.
    pub async fn run_cancel_many(&self, account: AccountId, bulk: &RunBulk<'_>) -> Result<(BulkView, Vec<Kick>), StoreError> {
        let (filter, ids) = (bulk.filter, bulk.ids.map(|ids| ids.iter().map(|id| id.0).collect::<Vec<_>>()));
        let (most, parent) = (RUN_BULK_MAX, filter.parent.map(|id| id.0));
        let params: [Param<'_>; 12] = [
            (&account.0, Type::UUID),
            (&bulk.as_of_us, Type::INT8),
            (&most, Type::INT4),
            (&ids, Type::UUID_ARRAY),
            (&filter.status, Type::TEXT),
            (&filter.workflow, Type::TEXT),
            (&filter.version, Type::TEXT),
            (&filter.label, Type::TEXT),
            (&parent, Type::UUID),
            (&filter.external_id, Type::TEXT),
            (&filter.from_ms, Type::INT8),
            (&filter.to_ms, Type::INT8),
        ];
        let rows = self.rows(CANCEL_MANY, &params).await?;
        let last = rows.last().ok_or_else(|| StoreError::Failed("a bulk cancel was not answered".to_owned()))?;
        let count = i64::from(last.get::<_, i32>("done"));
        Ok((BulkView { count, remaining: last.get("remaining"), as_of: last.get("as_of") }, Kick::run_rows(&rows)))
    }

    /// Cancels at most `most` children of runs that are over. F.
    pub async fn child_sweep(&self, most: i32) -> Result<Claimed, StoreError> {
        let rows = self.rows(CHILD_SWEEP, &[(&most, Type::INT4)]).await?;
        let taken: i32 = rows.iter().map(|row| row.get::<_, i32>("taken")).sum();
        Ok(Claimed { rows: taken.unsigned_abs() as usize, kicks: Kick::run_rows(&rows) })
    }

    /// Runs a verb: one row says what it met, the others are kicks.
    pub(crate) async fn ruled(&self, sql: &str, params: &[Param<'_>]) -> Result<RunControl, StoreError> {
        let rows = self.rows(sql, params).await?;
        let first: &Row = rows.first().ok_or_else(|| StoreError::Failed("a verb was not answered".to_owned()))?;
        Ok(match first.get("verdict") {
            "done" => RunControl::Done { kicks: Kick::run_rows(&rows) },
            "missing" => RunControl::Missing,
            "conflict" => RunControl::Conflict { state: first.get("state") },
            other => return Err(StoreError::Failed(format!("a verb answered {other}"))),
        })
    }
}
