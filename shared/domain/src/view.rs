//! What the API answers: the JSON shapes of messages, attempts, keys and secrets. Out of scope: where they come from.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::destination;
use crate::limits::COUNT_MAX;
use crate::problem::Problem;
use crate::retry::BackoffKind;

/// An answer's headers by lower-case name; of one that came twice the values are joined by a comma.
pub fn header_map(pairs: &[(String, String)]) -> BTreeMap<String, String> {
    let mut map = BTreeMap::<String, String>::new();
    for (name, value) in pairs {
        map.entry(name.to_ascii_lowercase()).and_modify(|joined| *joined = format!("{joined}, {value}")).or_insert_with(|| value.clone());
    }
    map
}

/// `202` of a publish.
#[derive(Debug, Serialize, ToSchema)]
pub struct Accepted {
    /// `msg_` and 32 hex digits.
    pub id: String,
    /// `queued`, or `scheduled` when due later.
    pub status: String,
    /// True when the idempotency key had been used with the same payload: this is the first message.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub deduplicated: bool,
}

/// `202` of a publish to a fanout.
#[derive(Debug, Serialize, ToSchema)]
pub struct AcceptedFanout {
    /// One for each endpoint that was not paused, in the order of the endpoints.
    pub messages: Vec<FanoutMessage>,
    /// True when the idempotency key had been used with the same payload: these are the first messages.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub deduplicated: bool,
}

/// A message of a publish to a fanout.
#[derive(Debug, Serialize, ToSchema)]
pub struct FanoutMessage {
    /// `msg_` and 32 hex digits.
    pub id: String,
    /// `queued`, or `scheduled` when due later.
    pub status: String,
    /// The endpoint's destination; null when it starts a workflow.
    pub url: Option<String>,
    /// The workflow that the endpoint starts; absent with a url.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub workflow: Option<String>,
}

impl FanoutMessage {
    /// Of a message to this destination.
    pub fn new(id: String, status: String, destination: String) -> Self {
        let (url, workflow) = destination::shown(Some(destination));
        Self { id, status, url, workflow }
    }
}

/// `202` of a publish: what became of a URL's message, or of a fanout's.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum PublishAnswer {
    /// Of a message to a URL.
    Message(Accepted),
    /// Of a message to a fanout.
    Fanout(AcceptedFanout),
}

/// What became of one message of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum BatchResult {
    /// Of a message to a URL.
    Message(Accepted),
    /// Of a message to a fanout.
    Fanout(AcceptedFanout),
    /// Of a message that was refused.
    Refused(Refused),
}

/// A message of a batch that was refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct Refused {
    /// Why; pointers begin at the message.
    pub problem: Problem,
}

/// `207` of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchAnswer {
    /// In the order of the request.
    pub results: Vec<BatchResult>,
}

/// Flow control, as published.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowView {
    /// Which flow.
    pub key: String,
    /// Pushes at once that were asked for.
    pub parallelism: Option<i32>,
    /// Starts in a period that were asked for.
    pub rate: Option<i32>,
    /// The period of the rate, in seconds.
    pub period_seconds: Option<i64>,
}

/// Wait between attempts, as published.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackoffView {
    /// exponential, linear or fixed.
    #[serde(rename = "type")]
    pub kind: BackoffKind,
    /// Wait before the first retry, in seconds.
    pub initial_seconds: u64,
    /// Growth, for exponential.
    pub factor: f64,
    /// Longest wait, in seconds.
    pub max_seconds: u64,
    /// Whether the wait is spread over its upper half.
    pub jitter: bool,
}

/// A message with its publish fields under the names they were published with.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageView {
    /// `msg_` and 32 hex digits.
    pub id: String,
    /// scheduled, queued, delivering, retrying, delivered, failed or cancelled.
    pub status: String,
    /// Destination; null when it starts a workflow.
    pub url: Option<String>,
    /// The workflow of which it starts a run.
    pub workflow: Option<String>,
    /// HTTP method.
    pub method: String,
    /// The publisher's headers.
    pub headers: BTreeMap<String, String>,
    /// The body as published, when that is JSON, else null; lists leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub body: Option<Box<RawValue>>,
    /// The body as published in base64, when it is not JSON; lists leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub body_base64: Option<String>,
    /// Size of the body; null when there is none.
    pub body_bytes: Option<i64>,
    /// The delay that was asked for.
    pub delay_seconds: Option<i64>,
    /// The time that was asked for, RFC 3339.
    pub not_before: Option<String>,
    /// Retry budget.
    pub max_attempts: i32,
    /// Wait between attempts.
    pub backoff: BackoffView,
    /// Longest push.
    pub timeout_seconds: i32,
    /// The publisher's key.
    pub idempotency_key: Option<String>,
    /// For filters.
    pub labels: Vec<String>,
    /// Whose limits it shares.
    pub flow_control: Option<FlowView>,
    /// Told when it is delivered.
    pub callback_url: Option<String>,
    /// Told when it has failed.
    pub failure_callback_url: Option<String>,
    /// The workflow of which a run is started when it is delivered.
    pub callback_workflow: Option<String>,
    /// The workflow of which a run is started when it has failed.
    pub failure_callback_workflow: Option<String>,
    /// The message whose end this one tells.
    pub callback_of: Option<String>,
    /// The fanout it was published to.
    pub fanout: Option<String>,
    /// The first message of the same publish to a fanout.
    pub publish_id: Option<String>,
    /// The schedule that fired it: `sch_` and 32 hex digits.
    pub schedule: Option<String>,
    /// The run for whose step it makes a call.
    pub run: Option<String>,
    /// The key of that step.
    pub step: Option<String>,
    /// `flow` or `breaker` when it is due and waits for room in its flow, or for a destination that fails.
    pub waiting_for: Option<String>,
    /// When it was accepted, RFC 3339.
    pub created_at: String,
    /// When it is or was due, RFC 3339.
    pub due_at: String,
    /// When it was delivered, failed or cancelled, RFC 3339.
    pub finished_at: Option<String>,
    /// Attempts recorded so far, throttled and lost ones included.
    pub attempt_count: i32,
    /// What the newest attempt was answered: an HTTP status; null when there was no answer, or no attempt.
    pub last_status: Option<i16>,
    /// Why the newest attempt did not count as delivered; null when it did, or when there is none.
    pub last_error: Option<String>,
    /// Attempts that count against maxAttempts, since it was published or last retried by a person.
    pub attempts_spent: i32,
    /// Pushes since then that the endpoint put off: 429, or 503 with Retry-After.
    pub throttled_count: i32,
    /// Pushes since then that nobody reported of.
    pub lost_count: i32,
    /// The circuit breaker that it waits for.
    pub breaker: Option<String>,
    /// True when it was cancelled while a push is under way.
    pub cancel_requested: bool,
    /// The message this is a copy of.
    pub resent_from: Option<String>,
}

/// A body as JSON, or, when it is none, as `null` and in base64.
pub fn body(bytes: Option<Vec<u8>>) -> (Option<Box<RawValue>>, Option<String>) {
    let Some(bytes) = bytes else { return (None, None) };
    match serde_json::from_slice::<&RawValue>(&bytes) {
        Ok(json) => (Some(json.to_owned()), None),
        Err(_) => (Some(RawValue::NULL.to_owned()), Some(STANDARD.encode(bytes))),
    }
}

/// A message and every attempt.
#[derive(Debug, Serialize, ToSchema)]
pub struct MessageDetail {
    /// The message.
    #[serde(flatten)]
    pub message: MessageView,
    /// Attempts in the order they were made.
    pub attempts: Vec<AttemptView>,
}

/// One push.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptView {
    /// From 1.
    pub number: i32,
    /// RFC 3339, by the database clock.
    pub started_at: String,
    /// Length of the push.
    pub duration_ms: i64,
    /// HTTP status; null without an answer.
    pub response_status: Option<i16>,
    /// The answer's headers, at most 8,192 bytes; of one that came twice the values are joined by a comma.
    pub response_headers: BTreeMap<String, String>,
    /// The first 4,096 bytes of the answer as text, invalid UTF-8 replaced.
    pub response_body: Option<String>,
    /// Why it is not delivered.
    pub error: Option<String>,
    /// The wait that the endpoint asked for and got.
    pub retry_after_ms: Option<i64>,
    /// The process that made the push.
    pub worker: String,
}

/// A page of messages.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessagePage {
    /// Newest first.
    pub data: Vec<MessageView>,
    /// For `?cursor=`; null on the last page.
    pub next_cursor: Option<String>,
    /// True when the page ended early, perhaps without a row, because 5,000 messages had been looked at: nextCursor goes on behind them.
    pub partial: bool,
    /// Messages in each status that match the filter's other fields, as `/v1/messages/counts` counts them; absent with `counts=false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub counts: Option<BTreeMap<String, i64>>,
    /// The statuses of which there may be more than `counts` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub counts_more: Option<Vec<String>>,
}

/// How many there are of each status that was asked for.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct StatusCounts(pub BTreeMap<String, StatusCount>);

/// How many there are of a status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct StatusCount {
    /// As many were found, at most 10,000.
    #[schema(minimum = 0, maximum = 10_000)]
    pub count: i64,
    /// True when there may be more: counting ended early.
    pub more: bool,
}

impl StatusCount {
    /// What is shown of a count that ended at the most that is counted, if it got there, or earlier.
    pub fn new(count: i64, ended_early: bool) -> Self {
        Self { count: count.min(COUNT_MAX), more: ended_early || count > COUNT_MAX }
    }
}

/// An API key, without the key itself.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    /// `key_` and 32 hex digits.
    pub id: String,
    /// A note of its owner.
    pub name: String,
    /// admin, publish or read.
    pub role: String,
    /// The key's first characters.
    pub hint: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339, to the minute; null when never used.
    pub last_used_at: Option<String>,
    /// RFC 3339; null while it works.
    pub revoked_at: Option<String>,
}

/// A new API key.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewKeyView {
    /// The key's record.
    #[serde(flatten)]
    pub record: KeyView,
    /// The key itself: shown this once.
    pub key: String,
}

/// A page of API keys.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyPage {
    /// Newest first, revoked ones included.
    pub data: Vec<KeyView>,
    /// For `?cursor=`; null on the last page.
    pub next_cursor: Option<String>,
}

/// The secrets that sign pushes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SigningSecretView {
    /// The current one: `whsec_` and base64.
    pub secret: String,
    /// RFC 3339.
    pub created_at: String,
    /// Rotated ones that still sign.
    pub previous: Vec<PreviousSecretView>,
}

/// A rotated secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviousSecretView {
    /// `whsec_` and base64.
    pub secret: String,
    /// Until when it signs, RFC 3339.
    pub expires_at: String,
}

/// Whether the service works.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// The database's last migration.
    pub schema_version: i32,
    /// Seconds since tick last looked; null before the first time.
    pub last_tick_age_seconds: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_shown_as_json_or_in_base64() {
        let shown = |bytes: &[u8]| body(Some(bytes.to_vec()));
        let json = |text: &str| Some(RawValue::from_string(text.to_owned()).unwrap().get().to_owned());
        let cases: [(&[u8], Option<String>, Option<&str>); 6] = [
            (br#"{"b": 1,  "b": 2}"#, json(r#"{"b": 1,  "b": 2}"#), None),
            (b" 5\n", json("5"), None),
            (b"null", json("null"), None),
            (b"a=b", json("null"), Some("YT1i")),
            (b"{", json("null"), Some("ew==")),
            (b"\"\xff\"", json("null"), Some("Iv8i")),
        ];
        for (bytes, as_json, as_base64) in cases {
            let (body, base64) = shown(bytes);
            assert_eq!((body.map(|b| b.get().to_owned()), base64.as_deref()), (as_json, as_base64), "{bytes:?}");
        }
        assert_eq!(body(None).1, None);
    }
}
