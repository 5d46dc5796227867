//! The message path: publish, load, settle, release.

use tikku_domain::ids::MessageId;
use tikku_domain::limits::{DELAY_SECONDS_MAX, WINDOW_MS};
use tikku_domain::message::{Job, Settlement, Verdict};
use tikku_domain::publish::NewMessage;
use tikku_domain::retry::Backoff;
use tikku_domain::signing::Secret;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::{Kick, Store, StoreError};

/// What became of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// A new message; to be handed to the queue when it is due within the window.
    Accepted {
        /// Its id.
        id: MessageId,
        /// queued or scheduled.
        state: String,
        /// Wait until it is due.
        wait_ms: u64,
    },
    /// The idempotency key and the payload are those of this message.
    Deduplicated {
        /// The first message.
        id: MessageId,
        /// Its state.
        state: String,
    },
    /// The idempotency key belongs to this message, whose payload is another.
    Mismatch {
        /// The first message.
        id: MessageId,
    },
    /// No such key, or revoked.
    Unauthorized,
    /// The key may only read.
    Forbidden,
    /// `notBefore` lies beyond the longest delay.
    TooLate,
}

/// One id of a load: started, or to be looked at again after a wait.
#[derive(Clone, Debug)]
pub enum Loaded {
    /// Leased: push it.
    Started(Box<Job>),
    /// Early, or beyond the byte budget: hand it to the queue again.
    Waiting(Kick),
}

/// A recorded settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The message.
    pub id: MessageId,
    /// For a retry, the wait until it is due.
    pub retry_in_ms: Option<u64>,
}

/// Publishes one message. The API key is checked inside: one statement for a publish.
pub const PUBLISH: &str = "-- message::publish
select tikku.message_publish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";

/// Starts what is due.
pub const LOAD: &str = "-- message::load
select * from tikku.message_load($1, $2)";

/// Records what pushes came to.
pub const SETTLE: &str = "-- message::settle
select id, state, wait_ms from tikku.message_settle($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

/// Gives back leases under which nothing was sent.
pub const RELEASE: &str = "-- message::release
with held as materialized (
  select m.id from tikku.message m join unnest($1::uuid[], $2::int8[]) as i(id, fence) on m.id = i.id and m.fence = i.fence
  where m.state = 'delivering' order by m.id for update of m
)
update tikku.message m set state = case when m.cancel_requested then 'cancelled' else 'queued' end, lease_until = null,
  kick_until = case when not m.cancel_requested then tikku.clock_now() + interval '60 seconds' end,
  finished_at = case when m.cancel_requested then tikku.clock_now() end
from held where m.id = held.id and m.state = 'delivering'
returning m.id, m.state, tikku.ms_until(m.due_at) as wait_ms";

impl Store {
    /// Publishes one message under a key's SHA-256. F.
    pub async fn message_publish(&self, key_hash: &[u8], m: &NewMessage) -> Result<Published, StoreError> {
        let headers = json_pairs(&m.headers);
        let backoff = backoff_text(&m.backoff);
        let (key, hash) = m.idempotency.as_ref().map_or((None, None), |(key, hash)| (Some(key), Some(hash)));
        let (delay_max_ms, window_ms) = (DELAY_SECONDS_MAX * 1000, WINDOW_MS as i64);
        let row = self
            .row(
                PUBLISH,
                &[
                    (&key_hash, Type::BYTEA),
                    (&m.url, Type::TEXT),
                    (&m.method, Type::TEXT),
                    (&headers, Type::TEXT),
                    (&m.body, Type::BYTEA),
                    (&m.delay_ms, Type::INT8),
                    (&m.not_before_ms, Type::INT8),
                    (&delay_max_ms, Type::INT8),
                    (&m.max_attempts, Type::INT4),
                    (&m.timeout_ms, Type::INT4),
                    (&backoff, Type::TEXT),
                    (&key, Type::TEXT),
                    (&hash, Type::BYTEA),
                    (&m.labels, Type::TEXT_ARRAY),
                    (&window_ms, Type::INT8),
                ],
            )
            .await?;
        published(&row.get::<_, Vec<Option<String>>>(0))
    }

    /// Leases those of the messages that are due within 2 s and may start, up to `bytes_max` of bodies. What is over, leased by
    /// another or gone is left out of the answer. F.
    pub async fn message_load(&self, ids: &[MessageId], bytes_max: u64) -> Result<Vec<Loaded>, StoreError> {
        let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
        let bytes_max = bytes_max as i64;
        let rows = self.rows(LOAD, &[(&ids, Type::UUID_ARRAY), (&bytes_max, Type::INT8)]).await?;
        let readable = |row: &Row| {
            // The lease of a row that this version cannot read runs out; the rest of its batch goes on.
            loaded(row).inspect_err(|error| tracing::error!(%error, "a message cannot be read")).ok()
        };
        Ok(rows.iter().filter_map(readable).collect())
    }

    /// Records settlements, each under its fence and with the time its push began, on the clock that says `now_ms`. Rows that
    /// are not in the answer were started or given up by another meanwhile; sending a group again changes nothing. A value that the database refuses fails alone: its row is then
    /// recorded without what the endpoint sent. F.
    pub async fn message_settle(&self, worker: &str, now_ms: u64, group: &[(Settlement, u64)]) -> Result<Vec<Settled>, StoreError> {
        match self.settle(worker, now_ms, group).await {
            Err(StoreError::Refused(detail)) => {
                tracing::warn!(detail, rows = group.len(), "settling one by one");
                let mut settled = Vec::with_capacity(group.len());
                for item in group {
                    let one = match self.settle(worker, now_ms, std::slice::from_ref(item)).await {
                        Err(StoreError::Refused(_)) => self.settle(worker, now_ms, &[(item.0.clone().unrecordable(), item.1)]).await?,
                        other => other?,
                    };
                    settled.extend(one);
                }
                Ok(settled)
            }
            other => other,
        }
    }

    async fn settle(&self, worker: &str, now_ms: u64, group: &[(Settlement, u64)]) -> Result<Vec<Settled>, StoreError> {
        fn column<T>(group: &[(Settlement, u64)], of: impl Fn(&Settlement) -> T) -> Vec<T> {
            group.iter().map(|(s, _)| of(s)).collect()
        }
        let ids = column(group, |s| s.id.0);
        let fences = column(group, |s| s.fence);
        let states = column(group, |s| verdict_text(s.verdict));
        let throttled = column(group, |s| s.throttled);
        let delays = column(group, |s| match s.verdict {
            Verdict::Retrying { delay_ms } => delay_ms as i64,
            _ => 0,
        });
        let agos: Vec<i64> = group.iter().map(|(_, started_ms)| now_ms.saturating_sub(*started_ms) as i64).collect();
        let durations = column(group, |s| s.duration_ms as i64);
        let statuses = column(group, |s| s.status.map(i32::from));
        let errors = column(group, |s| s.error.clone());
        let headers = column(group, |s| json_pairs(&s.response_headers));
        let bodies = column(group, |s| s.response_body.clone());
        let retry_afters = column(group, |s| s.retry_after_ms.map(|ms| ms as i64));
        let window_ms = WINDOW_MS as i64;
        let rows = self
            .rows(
                SETTLE,
                &[
                    (&ids, Type::UUID_ARRAY),
                    (&fences, Type::INT8_ARRAY),
                    (&states, Type::TEXT_ARRAY),
                    (&throttled, Type::BOOL_ARRAY),
                    (&delays, Type::INT8_ARRAY),
                    (&agos, Type::INT8_ARRAY),
                    (&durations, Type::INT8_ARRAY),
                    (&statuses, Type::INT4_ARRAY),
                    (&errors, Type::TEXT_ARRAY),
                    (&headers, Type::TEXT_ARRAY),
                    (&bodies, Type::BYTEA_ARRAY),
                    (&retry_afters, Type::INT8_ARRAY),
                    (&worker, Type::TEXT),
                    (&window_ms, Type::INT8),
                ],
            )
            .await?;
        let settled = |row: &Row| Settled {
            id: MessageId(row.get("id")),
            retry_in_ms: (row.get::<_, &str>("state") == "retrying").then(|| wait(row)),
        };
        Ok(rows.iter().map(settled).collect())
    }

    /// Gives back leases under which nothing was sent; answers what is to be handed to the queue again. S.
    pub async fn message_release(&self, jobs: &[(MessageId, i64)]) -> Result<Vec<Kick>, StoreError> {
        let ids: Vec<uuid::Uuid> = jobs.iter().map(|(id, _)| id.0).collect();
        let fences: Vec<i64> = jobs.iter().map(|(_, fence)| *fence).collect();
        let rows = self.rows(RELEASE, &[(&ids, Type::UUID_ARRAY), (&fences, Type::INT8_ARRAY)]).await?;
        let waiting = rows.iter().filter(|row| row.get::<_, &str>("state") == "queued");
        Ok(waiting.map(|row| Kick { id: MessageId(row.get("id")), wait_ms: wait(row) }).collect())
    }
}

fn wait(row: &Row) -> u64 {
    row.get::<_, Option<i64>>("wait_ms").unwrap_or(0).unsigned_abs()
}

fn loaded(row: &Row) -> Result<Loaded, StoreError> {
    let id = MessageId(row.get("id"));
    if !row.get::<_, bool>("started") {
        return Ok(Loaded::Waiting(Kick { id, wait_ms: wait(row) }));
    }
    let bad = |what: &str| StoreError::Failed(format!("{id}: {what}"));
    let count = |name: &str| row.get::<_, i32>(name).unsigned_abs();
    let secrets: Vec<Vec<u8>> = row.get("secrets");
    let secrets = secrets.into_iter().map(Secret::from_bytes).collect::<Result<_, _>>().map_err(|e| bad(&e.to_string()))?;
    Ok(Loaded::Started(Box::new(Job {
        id,
        fence: row.get("fence"),
        wait_ms: wait(row),
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
        backoff: serde_json::from_str(row.get("backoff")).map_err(|e| bad(&e.to_string()))?,
        secrets,
    })))
}

/// `[[name, value], ...]`
pub(crate) fn json_pairs(pairs: &[(String, String)]) -> String {
    serde_json::Value::from(pairs.iter().map(|(n, v)| serde_json::json!([n, v])).collect::<Vec<_>>()).to_string()
}

fn backoff_text(backoff: &Backoff) -> String {
    // invariant: a struct of numbers and words always is JSON.
    serde_json::to_string(backoff).unwrap_or_default()
}

/// Reads `[verdict, id, state, wait in ms]`, of which refusals have the verdict only.
fn published(answer: &[Option<String>]) -> Result<Published, StoreError> {
    let bad = || StoreError::Failed(format!("message_publish answered {answer:?}"));
    let part = |index: usize| answer.get(index).and_then(Option::as_deref).ok_or_else(bad);
    let id = || part(1)?.parse().map(MessageId).map_err(|_| bad());
    let state = || part(2).map(str::to_owned);
    let wait_ms = || part(3)?.parse().map_err(|_| bad());
    Ok(match part(0)? {
        "accepted" => Published::Accepted { id: id()?, state: state()?, wait_ms: wait_ms()? },
        "deduplicated" => Published::Deduplicated { id: id()?, state: state()? },
        "mismatch" => Published::Mismatch { id: id()? },
        "unauthorized" => Published::Unauthorized,
        "forbidden" => Published::Forbidden,
        "too_late" => Published::TooLate,
        _ => return Err(bad()),
    })
}

fn verdict_text(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Delivered => "delivered",
        Verdict::Retrying { .. } => "retrying",
        Verdict::Failed => "failed",
    }
}
