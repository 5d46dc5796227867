//! What endpoints ask for during a dispatch, under its token: checkpoints and pages of the journal.

use tikku_domain::ids::{AccountId, MessageId, RunId, WakeId};
use tikku_domain::limits::{JOURNAL_PAGE_BYTES_MAX, WINDOW_MS};
use tikku_domain::workflow::{Entry, Journal, Op};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::run::{OpColumns, journal};
use crate::{Kick, Param, Store, StoreError};

/// What became of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checkpointed {
    /// Recorded; what was recorded before stays as it is.
    Taken(Box<CheckpointTaken>),
    /// The run is over, or another dispatch or a control verb has come in between.
    Stale,
    /// No such token.
    Unauthorized,
    /// No such run.
    Missing,
    /// The run would have more steps or bytes than it may.
    TooLarge,
}

/// The answer to a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointTaken {
    /// Entries after the one that the endpoint has.
    pub journal: Journal,
    /// Buffered signals that nobody waits for: a JSON array of `{name, count}`.
    pub signals: String,
    /// Whether the run is to pause.
    pub pause_requested: bool,
    /// How long the endpoint may be silent.
    pub lease_ms: i64,
    /// What is to be handed to the queues.
    pub kicks: Vec<Kick>,
}

/// A page of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalAnswer {
    /// Entries.
    Page(Journal),
    /// The run is over, or another dispatch or a control verb has come in between.
    Stale,
    /// No such token.
    Unauthorized,
    /// No such run.
    Missing,
}

/// Records ops during a dispatch and renews its lease.
pub const CHECKPOINT: &str = "-- run::checkpoint
select * from tikku.run_checkpoint($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

/// Entries after a seq.
pub const PAGE: &str = "-- run::journal
select * from tikku.run_journal($1, $2, $3, $4)";

impl Store {
    /// Records ops under the fence of a token, renews the lease, and answers the entries after `have`. Sending it again changes nothing. A value that the
    /// database refuses is [`StoreError::Refused`], and nothing is recorded. F.
    pub async fn run_checkpoint(&self, id: RunId, token: &str, have: i32, ops: &[Op]) -> Result<Checkpointed, StoreError> {
        let columns = OpColumns::new(ops.iter());
        let window_ms = WINDOW_MS as i64;
        let mut params: Vec<Param<'_>> = vec![(&id.0, Type::UUID), (&token, Type::TEXT), (&have, Type::INT4)];
        params.extend(columns.params());
        params.push((&window_ms, Type::INT8));
        let row = self.row(CHECKPOINT, &params).await?;
        Ok(match row.get("verdict") {
            "ok" => Checkpointed::Taken(Box::new(taken(&row, journal(&row)?))),
            "echo" => Checkpointed::Taken(Box::new(taken(&row, echoed(ops, row.get("seq"))))),
            "stale" => Checkpointed::Stale,
            "unauthorized" => Checkpointed::Unauthorized,
            "missing" => Checkpointed::Missing,
            "too_large" => Checkpointed::TooLarge,
            verdict => return Err(StoreError::Failed(format!("run_checkpoint answered {verdict}"))),
        })
    }

    /// A page of a run's journal, under the token of its dispatch: entries after `after`, as many as fit, or one. F.
    pub async fn run_journal(&self, id: RunId, token: &str, after: i32) -> Result<JournalAnswer, StoreError> {
        let params: [Param<'_>; 4] =
            [(&id.0, Type::UUID), (&token, Type::TEXT), (&after, Type::INT4), (&JOURNAL_PAGE_BYTES_MAX, Type::INT4)];
        let row = self.row(PAGE, &params).await?;
        Ok(match row.get("verdict") {
            "ok" => JournalAnswer::Page(journal(&row)?),
            "stale" => JournalAnswer::Stale,
            "unauthorized" => JournalAnswer::Unauthorized,
            "missing" => JournalAnswer::Missing,
            verdict => return Err(StoreError::Failed(format!("run_journal answered {verdict}"))),
        })
    }
}

/// The entries that these results became, the last of them with this seq.
fn echoed(ops: &[Op], seq: i32) -> Journal {
    let entry = |(seq, op): (i32, &Op)| Entry {
        seq,
        key: op.key.clone().unwrap_or_default(),
        kind: op.kind.unwrap_or_default().to_owned(),
        state: if op.op == "result" { "ok" } else { "error" }.to_owned(),
        value: None,
        error: op.error.clone(),
        child: None,
        echo: op.op == "result",
    };
    let first = seq - i32::try_from(ops.len()).unwrap_or(0) + 1;
    Journal { entries: (first..).zip(ops).map(entry).collect(), seq, more: false }
}

fn taken(row: &Row, journal: Journal) -> CheckpointTaken {
    let account = AccountId(row.get("account_id"));
    let ids = row.get::<_, Option<Vec<uuid::Uuid>>>("kick_ids").unwrap_or_default();
    let waits = row.get::<_, Option<Vec<i64>>>("kick_waits").unwrap_or_default();
    let messages = row.get::<_, Option<Vec<bool>>>("kick_messages").unwrap_or_default();
    let kick = |((id, wait_ms), message): ((uuid::Uuid, i64), bool)| {
        let id: WakeId = if message { MessageId(id).into() } else { RunId(id).into() };
        Kick::new(id, wait_ms.unsigned_abs(), account)
    };
    CheckpointTaken {
        journal,
        signals: row.get::<_, Option<String>>("signals").unwrap_or_else(|| "[]".to_owned()),
        pause_requested: row.get("pause_requested"),
        lease_ms: i64::from(row.get::<_, i32>("lease_ms")),
        kicks: ids.into_iter().zip(waits).zip(messages).map(kick).collect(),
    }
}
