//! The run path of step-invoke: lease, settle. Checkpoints and journal pages are in `run_journal`, tick's part in `run_tick`.

use tikku_domain::ids::{AccountId, MessageId, RunId, WakeId};
use tikku_domain::limits::{INLINE_BYTES_MAX, LOST_MAX, WINDOW_MS};
use tikku_domain::signing::Secret;
use tikku_domain::workflow::{Dispatch, Entry, Journal, Op, Outcome, Settlement};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::message_publish::item_json;
use crate::{Kick, Param, Store, StoreError};

/// A row of a lease or a settle.
#[derive(Clone, Debug)]
pub enum Dispatched {
    /// Leased: dispatch it. After a settle without its input, and with the entries that the caller does not know.
    Started(Box<Dispatch>),
    /// It may not start yet: look again after the wait.
    Waiting(Kick),
    /// Its dispatch is recorded, now or before under the same fence; it is to be handed to the queue if there is a kick.
    Recorded {
        /// The run.
        id: RunId,
        /// When it goes on.
        kick: Option<Kick>,
    },
    /// Another dispatch, a control verb or its end has come in between: nothing was recorded.
    Stale {
        /// The run.
        id: RunId,
    },
    /// Another row that is to be handed to its queue: a child, a parent, the next of a gate, a message.
    Kick(Kick),
}

/// Starts what is due and may be dispatched.
pub const LEASE: &str = "-- run::lease
select * from tikku.run_lease($1, $2, $3, $4, $5)";

/// Records what dispatches came to.
pub const SETTLE: &str = "-- run::settle
select * from tikku.run_settle($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";

impl Store {
    /// Leases those of the runs that are due and may start, at most `rows_max`, looking at them in their order and no further than that. What is over, leased by
    /// another, paused, gone, or waits without a time is left out. F.
    pub async fn run_lease(&self, ids: &[RunId], rows_max: usize) -> Result<Vec<Dispatched>, StoreError> {
        let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
        let rows_max = i32::try_from(rows_max).unwrap_or(i32::MAX);
        let (lost_max, window_ms) = (i32::from(LOST_MAX), WINDOW_MS as i64);
        let params: [Param<'_>; 5] = [
            (&ids, Type::UUID_ARRAY),
            (&rows_max, Type::INT4),
            (&INLINE_BYTES_MAX, Type::INT4),
            (&lost_max, Type::INT4),
            (&window_ms, Type::INT8),
        ];
        Ok(read_rows(&self.rows(LEASE, &params).await?))
    }

    /// Records the ends of dispatches, each under its fence, and decides what becomes of the runs. Rows that were given up, cancelled or started anew meanwhile
    /// are left alone; sending a group again changes nothing. A reply of which the database refuses a value fails alone: that run is paused. F.
    pub async fn run_settle(&self, group: &[Settlement]) -> Result<Vec<Dispatched>, StoreError> {
        match self.settle_runs(group).await {
            Err(StoreError::Refused(detail)) => {
                tracing::warn!(detail, rows = group.len(), "settling runs one by one");
                let mut settled = Vec::new();
                for one in group {
                    settled.extend(match self.settle_runs(std::slice::from_ref(one)).await {
                        Err(StoreError::Refused(why)) => self.settle_runs(&[one.unrecordable(&why)]).await?,
                        other => other?,
                    });
                }
                Ok(settled)
            }
            other => other,
        }
    }

    async fn settle_runs(&self, group: &[Settlement]) -> Result<Vec<Dispatched>, StoreError> {
        fn column<'a, T>(group: &'a [Settlement], of: impl Fn(&'a Settlement) -> T) -> Vec<T> {
            group.iter().map(of).collect()
        }
        let runs: Vec<i32> = (1..).zip(group).flat_map(|(n, s)| s.ops.iter().map(move |_| n)).collect();
        let ops = OpColumns::new(group.iter().flat_map(|s| &s.ops));
        let ids = column(group, |s| s.id.0);
        let fences = column(group, |s| s.fence);
        let haves = column(group, |s| s.have);
        let outcomes = column(group, |s| outcome_text(&s.outcome));
        let awaits = column(group, |s| s.awaits.as_deref());
        let again = column(group, |s| s.again);
        let retry_ms = column(group, |s| if let Outcome::Refused { retry_ms, .. } = s.outcome { Some(retry_ms as i64) } else { None });
        let reasons = column(group, |s| if let Outcome::Pause { reason, .. } = &s.outcome { Some(*reason) } else { None });
        let errors = column(group, |s| error_of(&s.outcome));
        let window_ms = WINDOW_MS as i64;
        let mut params: Vec<Param<'_>> = vec![
            (&ids, Type::UUID_ARRAY),
            (&fences, Type::INT8_ARRAY),
            (&haves, Type::INT4_ARRAY),
            (&outcomes, Type::TEXT_ARRAY),
            (&awaits, Type::TEXT_ARRAY),
            (&again, Type::BOOL_ARRAY),
            (&retry_ms, Type::INT8_ARRAY),
            (&reasons, Type::TEXT_ARRAY),
            (&errors, Type::TEXT_ARRAY),
            (&runs, Type::INT4_ARRAY),
        ];
        params.extend(ops.params());
        params.push((&window_ms, Type::INT8));
        Ok(read_rows(&self.rows(SETTLE, &params).await?))
    }
}

/// Ops as the arrays that functions take.
pub(crate) struct OpColumns<'a> {
    ops: Vec<&'a str>,
    keys: Vec<Option<&'a str>>,
    kinds: Vec<Option<&'a str>>,
    values: Vec<Option<&'a [u8]>>,
    errors: Vec<Option<&'a str>>,
    ms: Vec<Option<i64>>,
    attempts: Vec<i32>,
    ais: Vec<Option<&'a str>>,
    details: Vec<Option<String>>,
}

impl<'a> OpColumns<'a> {
    pub(crate) fn new(ops: impl Iterator<Item = &'a Op> + Clone) -> Self {
        let detail = |op: &Op| op.message.as_ref().map(|message| item_json(message).to_string()).or_else(|| op.detail.clone());
        Self {
            ops: ops.clone().map(|op| op.op).collect(),
            keys: ops.clone().map(|op| op.key.as_deref()).collect(),
            kinds: ops.clone().map(|op| op.kind).collect(),
            values: ops.clone().map(|op| op.value.as_deref()).collect(),
            errors: ops.clone().map(|op| op.error.as_deref()).collect(),
            ms: ops.clone().map(|op| op.ms).collect(),
            attempts: ops.clone().map(|op| op.attempt.unwrap_or(1)).collect(),
            ais: ops.clone().map(|op| op.ai.as_deref()).collect(),
            details: ops.map(detail).collect(),
        }
    }

    /// op, key, kind, value, error, ms, attempt, ai, detail.
    pub(crate) fn params(&self) -> [Param<'_>; 9] {
        fn any(column: &(impl ToSql + Sync)) -> &(dyn ToSql + Sync) {
            column
        }
        [
            (any(&self.ops), Type::TEXT_ARRAY),
            (any(&self.keys), Type::TEXT_ARRAY),
            (any(&self.kinds), Type::TEXT_ARRAY),
            (any(&self.values), Type::BYTEA_ARRAY),
            (any(&self.errors), Type::TEXT_ARRAY),
            (any(&self.ms), Type::INT8_ARRAY),
            (any(&self.attempts), Type::INT4_ARRAY),
            (any(&self.ais), Type::TEXT_ARRAY),
            (any(&self.details), Type::TEXT_ARRAY),
        ]
    }
}

fn outcome_text(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Reply => "reply",
        Outcome::Refused { .. } => "refused",
        Outcome::Lost { .. } => "lost",
        Outcome::Pause { .. } => "pause",
    }
}

fn error_of(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Reply => None,
        Outcome::Refused { error, .. } | Outcome::Lost { error } => Some(error),
        Outcome::Pause { detail, .. } => Some(detail),
    }
}

/// The lease of a row that this version cannot read runs out; the rest of its batch goes on.
fn read_rows(rows: &[Row]) -> Vec<Dispatched> {
    rows.iter().filter_map(|row| dispatched(row).inspect_err(|error| tracing::error!(%error, "a run cannot be read")).ok()).collect()
}

fn dispatched(row: &Row) -> Result<Dispatched, StoreError> {
    let verdict: &str = row.get("verdict");
    let id = RunId(row.get("id"));
    let account: Option<uuid::Uuid> = row.get("account_id");
    let wait_ms: Option<i64> = row.get("wait_ms");
    let kick = |id: WakeId| Some(Kick::new(id, wait_ms?.unsigned_abs(), AccountId(account?)));
    let needed = |kick: Option<Kick>| kick.ok_or_else(|| StoreError::Failed(format!("{id}: {verdict} without a wait")));
    Ok(match verdict {
        "started" => Dispatched::Started(Box::new(started(row, id)?)),
        "wait" => Dispatched::Waiting(needed(kick(id.into()))?),
        "recorded" | "known" => Dispatched::Recorded { id, kick: kick(id.into()) },
        "stale" => Dispatched::Stale { id },
        "kick" => Dispatched::Kick(needed(kick(id.into()))?),
        "kick_message" => Dispatched::Kick(needed(kick(MessageId(id.0).into()))?),
        _ => return Err(StoreError::Failed(format!("{id}: the database answered {verdict}"))),
    })
}

fn started(row: &Row, id: RunId) -> Result<Dispatch, StoreError> {
    let count = |name: &str| row.get::<_, i32>(name).unsigned_abs();
    let secrets: Vec<Vec<u8>> = row.get("secrets");
    let secrets = secrets.into_iter().map(Secret::from_bytes).collect::<Result<_, _>>();
    let parent: Option<uuid::Uuid> = row.get("parent_id");
    let parent_key: Option<String> = row.get("parent_key");
    Ok(Dispatch {
        id,
        account: AccountId(row.get("account_id")),
        fence: row.get("fence"),
        token: row.get("token"),
        resume_key: row.get("resume_key"),
        app: row.get("app"),
        url: row.get("url"),
        timeout_ms: u64::from(count("timeout_ms")),
        lease_ms: i64::from(count("lease_ms")),
        workflow: row.get("workflow"),
        version: row.get("version"),
        external_id: row.get("external_id"),
        created_at: row.get("created_at"),
        attempt: count("run_attempt"),
        seed: row.get("seed"),
        accept_seq: row.get("accept_seq"),
        failures: count("failures"),
        parent: parent.map(RunId).zip(parent_key),
        input: row.get::<_, Option<Vec<u8>>>("input").unwrap_or_default(),
        journal: journal(row)?,
        pending: row.get::<_, Option<String>>("pending").unwrap_or_else(|| "[]".to_owned()),
        now_ms: row.get("now_ms"),
        secrets: secrets.map_err(|error| StoreError::Failed(format!("{id}: {error}")))?,
    })
}

/// The entries of a row, whose columns are arrays side by side.
pub(crate) fn journal(row: &Row) -> Result<Journal, StoreError> {
    let seqs = row.get::<_, Option<Vec<i32>>>("seqs").unwrap_or_default();
    let mut entries = Vec::with_capacity(seqs.len());
    if !seqs.is_empty() {
        let keys: Vec<String> = row.get("keys");
        let kinds: Vec<String> = row.get("kinds");
        let states: Vec<String> = row.get("states");
        let values: Vec<Option<Vec<u8>>> = row.get("values");
        let errors: Vec<Option<String>> = row.get("errors");
        let children: Vec<Option<uuid::Uuid>> = row.get("child_ids");
        let echoes: Vec<bool> = if row.columns().iter().any(|column| column.name() == "echo") {
            row.get::<_, Option<Vec<bool>>>("echo").unwrap_or_default()
        } else {
            Vec::new()
        };
        let mut echoes = echoes.into_iter();
        let columns = seqs.into_iter().zip(keys).zip(kinds).zip(states).zip(values).zip(errors).zip(children);
        entries.extend(columns.map(|((((((seq, key), kind), state), value), error), child)| Entry {
            seq,
            key,
            kind,
            state,
            value,
            error,
            child: child.map(RunId),
            echo: echoes.next().unwrap_or(false),
        }));
    }
    Ok(Journal { entries, seq: row.get("seq"), more: row.get("more") })
}
