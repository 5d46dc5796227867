//! Messages come into being: one for a URL by the shortest way, many by a batch, a copy of one.

use serde_json::json;
use tikku_domain::flow::Flow;
use tikku_domain::ids::{AccountId, MessageId};
use tikku_domain::limits::{DELAY_SECONDS_MAX, FANOUT_MESSAGES_MAX, WINDOW_MS};
use tikku_domain::publish::{NewMessage, Target};
use tikku_domain::retry::Backoff;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::{Kick, Store, StoreError};

/// What became of a publish to one URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// A new message.
    Accepted {
        /// Its id.
        id: MessageId,
        /// queued or scheduled.
        state: String,
        /// To be handed to the queue; `None` when tick or the flow it waits for does.
        kick: Option<Kick>,
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

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishedBatch {
    /// No such key, or revoked.
    Unauthorized,
    /// The key may only read.
    Forbidden,
    /// One for each item, in its order.
    Items(Vec<PublishedItem>),
}

/// What became of an item of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishedItem {
    /// New messages: one for a URL, one for each active endpoint of a fanout.
    Accepted(Vec<Put>),
    /// The messages that were made when the idempotency key was first used, with the same payload.
    Deduplicated(Vec<Put>),
    /// The idempotency key belongs to this message, whose payload is another.
    Mismatch {
        /// The first message.
        id: MessageId,
    },
    /// `notBefore` lies beyond the longest delay.
    TooLate,
    /// There is no such fanout.
    NoFanout,
    /// The fanouts of the request together would make more messages than `limits::FANOUT_MESSAGES_MAX`, or more bytes than `limits::FANOUT_BODIES_BYTES_MAX`.
    TooLarge,
}

/// A message of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Its id.
    pub id: MessageId,
    /// Its state.
    pub state: String,
    /// Where it goes.
    pub url: String,
    /// To be handed to the queue.
    pub kick: Option<Kick>,
}

/// Publishes one message to a URL. The API key is checked inside: one statement for a publish.
pub const PUBLISH: &str = "-- message::publish
select tikku.message_publish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";

/// Publishes many.
pub const PUBLISH_BATCH: &str = "-- message::publish_batch
select n, verdict, id, state, wait_ms, url, account_id from tikku.message_publish_batch($1, $2::text::json, $3, $4, $5, $6)";

/// Copies a message: same content, fresh state, due now.
pub const RESEND: &str = "-- message::resend
select tikku.message_resend($1, $2, $3)";

impl Store {
    /// Publishes one message to a URL, under a key's SHA-256. A fanout goes through [`Store::message_publish_batch`]. F.
    pub async fn message_publish(&self, key_hash: &[u8], m: &NewMessage) -> Result<Published, StoreError> {
        let Target::Url(url) = &m.target else { return Err(StoreError::Failed("a fanout is published as a batch".to_owned())) };
        let headers = json_pairs(&m.headers);
        let backoff = backoff_text(&m.backoff);
        let (key, hash) = m.idempotency.as_ref().map_or((None, None), |(key, hash)| (Some(key), Some(hash)));
        let (flow_key, flow) = (m.flow.as_ref().map(|flow| &flow.key), m.flow.as_ref().map(flow_text));
        let (delay_max_ms, window_ms) = (DELAY_SECONDS_MAX * 1000, WINDOW_MS as i64);
        let row = self
            .row(
                PUBLISH,
                &[
                    (&key_hash, Type::BYTEA),
                    (url, Type::TEXT),
                    (&m.method, Type::TEXT),
                    (&headers, Type::TEXT),
                    (&m.body, Type::BYTEA),
                    (&m.raw, Type::BOOL),
                    (&m.delay_ms, Type::INT8),
                    (&m.not_before_ms, Type::INT8),
                    (&delay_max_ms, Type::INT8),
                    (&m.max_attempts, Type::INT4),
                    (&m.timeout_ms, Type::INT4),
                    (&backoff, Type::TEXT),
                    (&key, Type::TEXT),
                    (&hash, Type::BYTEA),
                    (&m.labels, Type::TEXT_ARRAY),
                    (&flow_key, Type::TEXT),
                    (&flow, Type::TEXT),
                    (&m.callback_url, Type::TEXT),
                    (&m.failure_callback_url, Type::TEXT),
                    (&window_ms, Type::INT8),
                ],
            )
            .await?;
        published(&row.get::<_, Vec<Option<String>>>(0), flow_key.map(String::as_str))
    }

    /// Publishes many messages, to URLs and fanouts, under a key's SHA-256: all of them in one transaction, each with its own answer. F.
    pub async fn message_publish_batch(&self, key_hash: &[u8], items: &[NewMessage]) -> Result<PublishedBatch, StoreError> {
        let json = serde_json::Value::from(items.iter().map(item_json).collect::<Vec<_>>()).to_string();
        let bodies: Vec<Option<&[u8]>> = items.iter().map(|m| m.body.as_deref()).collect();
        let (delay_max_ms, window_ms) = (DELAY_SECONDS_MAX * 1000, WINDOW_MS as i64);
        let rows = self
            .rows(
                PUBLISH_BATCH,
                &[
                    (&key_hash, Type::BYTEA),
                    (&json, Type::TEXT),
                    (&bodies, Type::BYTEA_ARRAY),
                    (&FANOUT_MESSAGES_MAX, Type::INT8),
                    (&delay_max_ms, Type::INT8),
                    (&window_ms, Type::INT8),
                ],
            )
            .await?;
        let mut answers = vec![None; items.len()];
        for row in &rows {
            match row.get("verdict") {
                "unauthorized" => return Ok(PublishedBatch::Unauthorized),
                "forbidden" => return Ok(PublishedBatch::Forbidden),
                _ => add(&mut answers, items, row)?,
            }
        }
        let answers: Option<Vec<PublishedItem>> = answers.into_iter().collect();
        answers.map(PublishedBatch::Items).ok_or_else(|| StoreError::Failed("message_publish_batch left out an item".to_owned()))
    }

    /// Sends a copy, in whatever state the first one is; `None` when the account has no such message. F.
    pub async fn message_resend(&self, account: AccountId, id: MessageId) -> Result<Option<(MessageId, Option<Kick>)>, StoreError> {
        let window_ms = WINDOW_MS as i64;
        let row = self.row(RESEND, &[(&account.0, Type::UUID), (&id.0, Type::UUID), (&window_ms, Type::INT8)]).await?;
        let Some(mut answer) = row.get::<_, Option<Vec<Option<String>>>>(0) else { return Ok(None) };
        answer.push(Some(account.0.to_string()));
        match published(&answer, None)? {
            Published::Accepted { id, kick, .. } => Ok(Some((id, kick))),
            other => Err(StoreError::Failed(format!("message_resend answered {other:?}"))),
        }
    }
}

/// Notes a row of a batch's answer at its item.
fn add(answers: &mut [Option<PublishedItem>], items: &[NewMessage], row: &Row) -> Result<(), StoreError> {
    let verdict: &str = row.get("verdict");
    let bad = || StoreError::Failed(format!("message_publish_batch answered {verdict}"));
    let n = usize::try_from(row.get::<_, i32>("n")).map_err(|_| bad())?;
    let index = n.checked_sub(1).ok_or_else(bad)?;
    let item = answers.get_mut(index).ok_or_else(bad)?;
    let flow = items.get(index).and_then(|m| m.flow.as_ref()).map(|flow| flow.key.as_str());
    let id = || row.get::<_, Option<uuid::Uuid>>("id").map(MessageId).ok_or_else(bad);
    let put = || {
        let (id, account) = (id()?, AccountId(row.get("account_id")));
        let wait_ms: Option<i64> = row.get("wait_ms");
        let kick = wait_ms.map(|wait_ms| Kick::new(id, wait_ms.unsigned_abs(), account).in_flow(flow));
        Ok::<_, StoreError>(Put { id, state: row.get("state"), url: row.get("url"), kick })
    };
    match (verdict, &mut *item) {
        ("fanout", _) => *item = Some(PublishedItem::Accepted(Vec::new())),
        ("accepted", Some(PublishedItem::Accepted(list))) => list.push(put()?),
        ("accepted", _) => *item = Some(PublishedItem::Accepted(vec![put()?])),
        ("deduplicated", Some(PublishedItem::Deduplicated(list))) => list.push(put()?),
        ("deduplicated", _) => *item = Some(PublishedItem::Deduplicated(vec![put()?])),
        // The first row is the message that has the key.
        ("mismatch", Some(PublishedItem::Mismatch { .. })) => {}
        ("mismatch", _) => *item = Some(PublishedItem::Mismatch { id: id()? }),
        ("too_late", _) => *item = Some(PublishedItem::TooLate),
        ("no_fanout", _) => *item = Some(PublishedItem::NoFanout),
        ("too_large", _) => *item = Some(PublishedItem::TooLarge),
        _ => return Err(bad()),
    }
    Ok(())
}

/// An item of `message_publish_batch`, without its body.
pub(crate) fn item_json(m: &NewMessage) -> serde_json::Value {
    let (url, fanout) = match &m.target {
        Target::Url(url) => (Some(url), None),
        Target::Fanout(name) => (None, Some(name)),
    };
    let hex = |hash: &Vec<u8>| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    json!({
        "url": url, "fanout": fanout, "method": m.method, "headers": m.headers, "raw": m.raw, "delayMs": m.delay_ms, "notBeforeMs": m.not_before_ms,
        "maxAttempts": m.max_attempts, "timeoutMs": m.timeout_ms, "backoff": m.backoff, "labels": m.labels,
        "idempotencyKey": m.idempotency.as_ref().map(|(key, _)| key), "payloadHash": m.idempotency.as_ref().map(|(_, hash)| hex(hash)),
        "flowKey": m.flow.as_ref().map(|flow| &flow.key), "flow": m.flow.as_ref().map(flow_json),
        "callbackUrl": m.callback_url, "failureCallbackUrl": m.failure_callback_url,
    })
}

/// A flow's limits as rows hold them: `{parallelism, rate, periodMs}`; one that is not set is null.
pub(crate) fn flow_json(flow: &Flow) -> serde_json::Value {
    json!({ "parallelism": flow.parallelism, "rate": flow.rate, "periodMs": flow.period_ms })
}

pub(crate) fn flow_text(flow: &Flow) -> String {
    flow_json(flow).to_string()
}

/// `[[name, value], ...]`
pub(crate) fn json_pairs(pairs: &[(String, String)]) -> String {
    json!(pairs).to_string()
}

pub(crate) fn backoff_text(backoff: &Backoff) -> String {
    // invariant: a struct of numbers and words always is JSON.
    serde_json::to_string(backoff).unwrap_or_default()
}

/// Reads `[verdict, id, state, wait in ms or null, account]`, of which refusals have the verdict only, for a message of that flow.
fn published(answer: &[Option<String>], flow: Option<&str>) -> Result<Published, StoreError> {
    let bad = || StoreError::Failed(format!("message_publish answered {answer:?}"));
    let part = |index: usize| answer.get(index).and_then(Option::as_deref).ok_or_else(bad);
    let id = || part(1)?.parse().map(MessageId).map_err(|_| bad());
    let state = || part(2).map(str::to_owned);
    let kick = || {
        let Ok(wait) = part(3) else { return Ok(None) };
        let (wait_ms, account) = (wait.parse().map_err(|_| bad())?, part(4)?.parse().map(AccountId).map_err(|_| bad())?);
        Ok::<_, StoreError>(Some(Kick::new(id()?, wait_ms, account).in_flow(flow)))
    };
    Ok(match part(0)? {
        "accepted" => Published::Accepted { id: id()?, state: state()?, kick: kick()? },
        "deduplicated" => Published::Deduplicated { id: id()?, state: state()? },
        "mismatch" => Published::Mismatch { id: id()? },
        "unauthorized" => Published::Unauthorized,
        "forbidden" => Published::Forbidden,
        "too_late" => Published::TooLate,
        _ => return Err(bad()),
    })
}
