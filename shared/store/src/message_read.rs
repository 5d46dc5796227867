//! A message as people see it. Out of scope: pages of them (`message_list`), counts (`message_counts`).

use serde_json::Value;
use tikku_domain::destination;
use tikku_domain::ids::{AccountId, BreakerId, MessageId, RunId, ScheduleId};
use tikku_domain::retry::Backoff;
use tikku_domain::view::{self, AttemptView, BackoffView, FlowView, MessageDetail, MessageView};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::{Store, StoreError};

macro_rules! columns {
    ($body:literal) => {
        concat!(
            "m.id, m.state::text as state, c.url, c.method, c.headers::text as headers, ",
            $body,
            " as body, octet_length(c.body)::int8 as body_bytes, c.delay_ms,
  tikku.rfc3339(c.not_before) as not_before, m.max_attempts::int4 as max_attempts, c.backoff::text as backoff,
  m.timeout_ms, c.idempotency_key, c.labels, tikku.rfc3339(c.created_at) as created_at,
  tikku.rfc3339(m.due_at) as due_at, tikku.rfc3339(m.finished_at) as finished_at, m.attempt_number, m.attempts::int4 as attempts,
  m.throttles::int4 as throttles, m.lost::int4 as lost, m.breaker_id, m.cancel_requested, c.resent_from,
  m.flow_key, c.flow::text as flow, c.callback_url, c.failure_callback_url, c.callback_of, c.fanout, c.publish_id, c.schedule_id, c.fetch_run, c.fetch_key,
  case when m.breaker_id is not null then 'breaker' when m.flow_key is not null and m.kick_until = 'infinity' then 'flow' end as waiting_for,
  (select a.status from tikku.attempt a where a.message_id = m.id and a.number = m.attempt_number) as last_status,
  (select a.error from tikku.attempt a where a.message_id = m.id and a.number = m.attempt_number) as last_error"
        )
    };
}

pub(crate) use columns;

/// One message.
pub const GET: &str = concat!(
    "-- message::get\nselect ",
    columns!("c.body"),
    "\nfrom tikku.message_content c join tikku.message m on m.id = c.message_id where c.account_id = $1 and c.message_id = $2"
);

/// Its attempts.
pub const ATTEMPTS: &str = "-- attempt::list
select number, tikku.rfc3339(started_at) as started_at, duration_ms, status, response_headers::text as response_headers, response_body, error,
  retry_after_ms, worker
from tikku.attempt where message_id = $1 order by number";

impl Store {
    /// A message without its attempts. S.
    pub async fn message_get(&self, account: AccountId, id: MessageId) -> Result<Option<MessageView>, StoreError> {
        let rows = self.rows(GET, &[(&account.0, Type::UUID), (&id.0, Type::UUID)]).await?;
        rows.first().map(view).transpose()
    }

    /// A message with every attempt: two statements, each true in itself. S.
    pub async fn message_detail(&self, account: AccountId, id: MessageId) -> Result<Option<MessageDetail>, StoreError> {
        let Some(message) = self.message_get(account, id).await? else { return Ok(None) };
        let rows = self.rows(ATTEMPTS, &[(&id.0, Type::UUID)]).await?;
        let attempts = rows.iter().map(attempt).collect::<Result<_, _>>()?;
        Ok(Some(MessageDetail { message, attempts }))
    }
}

pub(crate) fn view(row: &Row) -> Result<MessageView, StoreError> {
    let (body, body_base64) = view::body(row.get("body"));
    let id = |column: &str| row.get::<_, Option<uuid::Uuid>>(column).map(|id| MessageId(id).to_string());
    let (url, workflow) = destination::shown(row.get("url"));
    let (callback_url, callback_workflow) = destination::shown(row.get("callback_url"));
    let (failure_callback_url, failure_callback_workflow) = destination::shown(row.get("failure_callback_url"));
    Ok(MessageView {
        id: MessageId(row.get("id")).to_string(),
        status: row.get("state"),
        url,
        workflow,
        method: row.get("method"),
        headers: pairs(row, "headers")?.into_iter().collect(),
        body,
        body_base64,
        body_bytes: row.get("body_bytes"),
        delay_seconds: row.get::<_, Option<i64>>("delay_ms").map(|ms| ms / 1000),
        not_before: row.get("not_before"),
        max_attempts: row.get("max_attempts"),
        backoff: backoff(row)?,
        timeout_seconds: row.get::<_, i32>("timeout_ms") / 1000,
        idempotency_key: row.get("idempotency_key"),
        labels: row.get("labels"),
        flow_control: flow(row)?,
        callback_url,
        failure_callback_url,
        callback_workflow,
        failure_callback_workflow,
        callback_of: id("callback_of"),
        fanout: row.get("fanout"),
        publish_id: id("publish_id"),
        schedule: row.get::<_, Option<uuid::Uuid>>("schedule_id").map(|id| ScheduleId(id).to_string()),
        run: row.get::<_, Option<uuid::Uuid>>("fetch_run").map(|id| RunId(id).to_string()),
        step: row.get("fetch_key"),
        waiting_for: row.get("waiting_for"),
        created_at: row.get("created_at"),
        due_at: row.get("due_at"),
        finished_at: row.get("finished_at"),
        attempt_count: row.get("attempt_number"),
        last_status: row.get("last_status"),
        last_error: row.get("last_error"),
        attempts_spent: row.get("attempts"),
        throttled_count: row.get("throttles"),
        lost_count: row.get("lost"),
        breaker: row.get::<_, Option<uuid::Uuid>>("breaker_id").map(|id| BreakerId(id).to_string()),
        cancel_requested: row.get("cancel_requested"),
        resent_from: id("resent_from"),
    })
}

pub(crate) fn flow(row: &Row) -> Result<Option<FlowView>, StoreError> {
    let Some(key) = row.get("flow_key") else { return Ok(None) };
    let text: Option<&str> = row.get("flow");
    let limits: Value = serde_json::from_str(text.unwrap_or("{}")).map_err(|e| StoreError::Failed(format!("flow: {e}")))?;
    let limit = |name: &str| limits[name].as_i64().and_then(|n| i32::try_from(n).ok());
    let period_seconds = limits["periodMs"].as_i64().map(|ms| ms / 1000);
    Ok(Some(FlowView { key, parallelism: limit("parallelism"), rate: limit("rate"), period_seconds }))
}

pub(crate) fn backoff(row: &Row) -> Result<BackoffView, StoreError> {
    let backoff: Backoff = serde_json::from_str(row.get("backoff")).map_err(|e| StoreError::Failed(format!("backoff: {e}")))?;
    Ok(BackoffView {
        kind: backoff.kind,
        initial_seconds: backoff.initial_ms / 1000,
        factor: backoff.factor,
        max_seconds: backoff.max_ms / 1000,
        jitter: backoff.jitter,
    })
}

fn attempt(row: &Row) -> Result<AttemptView, StoreError> {
    let response_headers = view::header_map(&pairs(row, "response_headers")?);
    let body: Option<Vec<u8>> = row.get("response_body");
    Ok(AttemptView {
        number: row.get("number"),
        started_at: row.get("started_at"),
        duration_ms: row.get("duration_ms"),
        response_status: row.get("status"),
        response_headers,
        response_body: body.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        error: row.get("error"),
        retry_after_ms: row.get("retry_after_ms"),
        worker: row.get("worker"),
    })
}

pub(crate) fn pairs(row: &Row, column: &str) -> Result<Vec<(String, String)>, StoreError> {
    let text: Option<String> = row.get(column);
    serde_json::from_str(text.as_deref().unwrap_or("[]")).map_err(|e| StoreError::Failed(format!("{column}: {e}")))
}
