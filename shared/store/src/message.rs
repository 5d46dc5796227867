//! The message path of deliver: load, settle, release. Publishing is in `message_publish`.

use tikku_domain::fetch::{Fetch, Fetched};
use tikku_domain::ids::{AccountId, MessageId};
use tikku_domain::limits::WINDOW_MS;
use tikku_domain::message::{Job, Settlement, Verdict};
use tikku_domain::signing::Secret;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::message_publish::json_pairs;
use crate::{FlowOf, Kick, Store, StoreError};

/// One id of a load: started, or to be looked at again after a wait.
#[derive(Clone, Debug)]
pub enum Loaded {
    /// Leased: push it.
    Started(Box<Job>),
    /// Early, or beyond the byte budget: hand it to the queue again.
    Waiting(Kick),
}

/// What a settlement led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Messages that are recorded, now or before under the same lease.
    pub ids: Vec<MessageId>,
    /// What is to be handed to the queue: retries that are due soon, the next of a flow, what waited for a breaker, callbacks, runs whose call is over.
    pub kicks: Vec<Kick>,
}

/// Starts what is due.
pub const LOAD: &str = "-- message::load
select * from tikku.message_lease($1, $2, $3)";

/// Records what pushes came to.
pub const SETTLE: &str = "-- message::settle
select id, settled, wait_ms, account_id from tikku.message_settle($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";

/// Records what pushes came to, calls of steps among them, and tells the steps.
pub const SETTLE_FETCHED: &str = "-- message::settle_fetched
select id, settled, wait_ms, account_id, is_run
from tikku.fetch_settle($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)";

/// Gives back leases under which nothing was sent.
pub const RELEASE: &str = "-- message::release
select id, wait_ms, account_id, flow_key, is_run from tikku.message_release($1, $2)";

impl Store {
    /// Leases those of the messages that are due within 2 s and may start, up to `bytes_max` of bodies. For a message of a flow, the first of that flow
    /// start, up to `rows_max`, whichever were asked for. What is over, leased by another, gone, or waits for its flow or a breaker is left out. F.
    pub async fn message_load(&self, ids: &[MessageId], rows_max: usize, bytes_max: u64) -> Result<Vec<Loaded>, StoreError> {
        let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
        let rows_max = i32::try_from(rows_max).unwrap_or(i32::MAX);
        let bytes_max = bytes_max as i64;
        let rows = self.rows(LOAD, &[(&ids, Type::UUID_ARRAY), (&rows_max, Type::INT4), (&bytes_max, Type::INT8)]).await?;
        let readable = |row: &Row| {
            // The lease of a row that this version cannot read runs out; the rest of its batch goes on.
            loaded(row).inspect_err(|error| tracing::error!(%error, "a message cannot be read")).ok()
        };
        Ok(rows.iter().filter_map(readable).collect())
    }

    /// Records settlements, each under its fence and with the time its push began, on the clock that says `now_ms`. Rows that were started or given up by
    /// another meanwhile are left alone; sending a group again changes nothing. A value that the database refuses fails alone: its row is then
    /// recorded without what the endpoint sent. F.
    pub async fn message_settle(&self, worker: &str, now_ms: u64, group: &[(Settlement, u64)]) -> Result<Settled, StoreError> {
        match self.settle(worker, now_ms, group).await {
            Err(StoreError::Refused(detail)) => {
                tracing::warn!(detail, rows = group.len(), "settling one by one");
                let mut settled = Settled::default();
                for item in group {
                    let one = match self.settle(worker, now_ms, std::slice::from_ref(item)).await {
                        Err(StoreError::Refused(_)) => self.settle(worker, now_ms, &[(item.0.clone().unrecordable(), item.1)]).await?,
                        other => other?,
                    };
                    settled.ids.extend(one.ids);
                    settled.kicks.extend(one.kicks);
                }
                Ok(settled)
            }
            other => other,
        }
    }

    async fn settle(&self, worker: &str, now_ms: u64, group: &[(Settlement, u64)]) -> Result<Settled, StoreError> {
        fn column<T>(group: &[(Settlement, u64)], of: impl Fn(&Settlement) -> T) -> Vec<T> {
            group.iter().map(|(s, _)| of(s)).collect()
        }
        let delay_ms = |s: &Settlement| match s.verdict {
            Verdict::Retrying { delay_ms } => delay_ms as i64,
            _ => 0,
        };
        let agos: Vec<i64> = group.iter().map(|(_, started_ms)| now_ms.saturating_sub(*started_ms) as i64).collect();
        let told = group.iter().any(|(s, _)| s.callback.is_some());
        let callback_urls = told.then(|| column(group, |s| s.callback.as_ref().map(|c| c.url.clone())));
        let callback_bodies = told.then(|| column(group, |s| s.callback.as_ref().map(|c| c.body.clone())));
        let window_ms = WINDOW_MS as i64;
        let ended: (Vec<_>, Vec<_>) = (column(group, answered), column(group, unanswered));
        let params = [
            (&column(group, |s| s.id.0) as _, Type::UUID_ARRAY),
            (&column(group, |s| s.fence) as _, Type::INT8_ARRAY),
            (&column(group, |s| verdict_text(s.verdict)) as _, Type::TEXT_ARRAY),
            (&column(group, |s| s.throttled) as _, Type::BOOL_ARRAY),
            (&column(group, |s| s.broken) as _, Type::BOOL_ARRAY),
            (&column(group, delay_ms) as _, Type::INT8_ARRAY),
            (&agos as _, Type::INT8_ARRAY),
            (&column(group, |s| s.duration_ms as i64) as _, Type::INT8_ARRAY),
            (&column(group, |s| s.status.map(i32::from)) as _, Type::INT4_ARRAY),
            (&column(group, |s| s.error.clone()) as _, Type::TEXT_ARRAY),
            (&column(group, |s| json_pairs(&s.response_headers)) as _, Type::TEXT_ARRAY),
            (&column(group, |s| s.response_body.clone()) as _, Type::BYTEA_ARRAY),
            (&column(group, |s| s.retry_after_ms.map(|ms| ms as i64)) as _, Type::INT8_ARRAY),
            (&callback_urls as _, Type::TEXT_ARRAY),
            (&callback_bodies as _, Type::BYTEA_ARRAY),
            (&worker as _, Type::TEXT),
            (&window_ms as _, Type::INT8),
            (&ended.0 as _, Type::BYTEA_ARRAY),
            (&ended.1 as _, Type::TEXT_ARRAY),
        ];
        let fetched = group.iter().any(|(s, _)| s.fetched.is_some());
        let rows = if fetched { self.rows(SETTLE_FETCHED, &params).await? } else { self.rows(SETTLE, &params[..17]).await? };
        let kicks = if fetched { rows.iter().filter_map(kick).collect() } else { Kick::of_rows(&rows) };
        let settled = rows.iter().filter(|row| row.get("settled"));
        Ok(Settled { ids: settled.map(|row| MessageId(row.get("id"))).collect(), kicks })
    }

    /// Gives back leases under which nothing was sent; answers what is to be handed to the queue again. F; and where one was to be cancelled,
    /// a second statement for the next of its flow.
    pub async fn message_release(&self, jobs: &[(MessageId, i64)]) -> Result<Vec<Kick>, StoreError> {
        let ids: Vec<uuid::Uuid> = jobs.iter().map(|(id, _)| id.0).collect();
        let fences: Vec<i64> = jobs.iter().map(|(_, fence)| *fence).collect();
        let rows = self.rows(RELEASE, &[(&ids, Type::UUID_ARRAY), (&fences, Type::INT8_ARRAY)]).await?;
        let mut kicks: Vec<Kick> = rows.iter().filter_map(kick).collect();
        let over = rows.iter().filter(|row| row.get::<_, Option<i64>>("wait_ms").is_none());
        let flows: Vec<FlowOf> =
            over.filter_map(|row| Some((AccountId(row.get("account_id")), row.get::<_, Option<String>>("flow_key")?))).collect();
        if !flows.is_empty() {
            kicks.extend(self.flow_wake(&flows).await?);
        }
        Ok(kicks)
    }
}

fn loaded(row: &Row) -> Result<Loaded, StoreError> {
    let id = MessageId(row.get("id"));
    let account = AccountId(row.get("account_id"));
    let wait_ms = row.get::<_, Option<i64>>("wait_ms").unwrap_or(0).unsigned_abs();
    if !row.get::<_, bool>("started") {
        return Ok(Loaded::Waiting(Kick::new(id, wait_ms, account)));
    }
    let bad = |what: &str| StoreError::Failed(format!("{id}: {what}"));
    let count = |name: &str| row.get::<_, i32>(name).unsigned_abs();
    let secrets: Vec<Vec<u8>> = row.get("secrets");
    let secrets = secrets.into_iter().map(Secret::from_bytes).collect::<Result<_, _>>().map_err(|e| bad(&e.to_string()))?;
    Ok(Loaded::Started(Box::new(Job {
        id,
        account,
        fence: row.get("fence"),
        wait_ms,
        now_ms: row.get("now_ms"),
        number: count("number"),
        attempts: count("attempts"),
        throttles: count("throttles"),
        max_attempts: count("max_attempts"),
        timeout_ms: u64::from(count("timeout_ms")),
        url: row.get("url"),
        method: row.get("method"),
        headers: serde_json::from_str(row.get("headers")).map_err(|e| bad(&e.to_string()))?,
        body: row.get("body"),
        raw: row.get("raw"),
        callback_url: row.get("callback_url"),
        failure_callback_url: row.get("failure_callback_url"),
        fetch: row.get::<_, Option<bool>>("awaited").map(|awaited| if awaited { Fetch::Awaited } else { Fetch::Abandoned }),
        backoff: serde_json::from_str(row.get("backoff")).map_err(|e| bad(&e.to_string()))?,
        secrets,
    })))
}

fn verdict_text(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Delivered => "delivered",
        Verdict::Retrying { .. } => "retrying",
        Verdict::Failed => "failed",
        Verdict::Cancelled => "cancelled",
    }
}

/// What a row asks to be handed to a queue, of a statement that answers messages and runs.
pub(crate) fn kick(row: &Row) -> Option<Kick> {
    if row.get("is_run") { Kick::run_row(row) } else { Kick::of_row(row) }
}

fn answered(settlement: &Settlement) -> Option<Vec<u8>> {
    match &settlement.fetched {
        Some(Fetched::Answer(value)) => Some(value.clone()),
        _ => None,
    }
}

fn unanswered(settlement: &Settlement) -> Option<String> {
    match &settlement.fetched {
        Some(Fetched::Error(error)) => Some(error.clone()),
        _ => None,
    }
}
