//! A message on its way: what deliver loads, what a push came to, and what becomes of the message then. Out of scope: making
//! the push (platform) and recording the verdict (store).

use crate::destination;
use crate::fetch::{self, Fetch, Fetched};
use crate::ids::{AccountId, MessageId};
use crate::limits::{
    FETCH_BODY_BYTES_MAX, HELD_UP_MS, RESPONSE_BODY_BYTES_MAX, RESPONSE_HEADERS_BYTES_MAX, RETRY_AFTER_MS_MAX, START_WITHIN_MS,
    THROTTLE_WAIT_MS_MIN, THROTTLES_MAX,
};
use crate::retry::{self, Backoff};
use crate::signing::Secret;
use crate::view;

/// A leased message, ready to be pushed.
#[derive(Clone, Debug)]
pub struct Job {
    /// The message.
    pub id: MessageId,
    /// Whose it is.
    pub account: AccountId,
    /// The lease's generation; a result counts only under it.
    pub fence: i64,
    /// How long to wait before the push: a start is allowed 2 s early.
    pub wait_ms: u64,
    /// The database's time when it was loaded, in milliseconds since 1970.
    pub now_ms: i64,
    /// This attempt's number, from 1; lost and throttled ones count, and no verb resets it.
    pub number: u32,
    /// Spent of the budget.
    pub attempts: u32,
    /// Throttled pushes so far.
    pub throttles: u32,
    /// The budget.
    pub max_attempts: u32,
    /// Longest push.
    pub timeout_ms: u64,
    /// Destination: a URL, or a workflow behind [`destination::WORKFLOW`].
    pub url: String,
    /// HTTP method.
    pub method: String,
    /// The publisher's headers.
    pub headers: Vec<(String, String)>,
    /// The body; `None` for an empty one without content-type.
    pub body: Option<Vec<u8>>,
    /// Published as bytes: no content-type but the publisher's.
    pub raw: bool,
    /// Told when it is delivered.
    pub callback_url: Option<String>,
    /// Told when it has failed.
    pub failure_callback_url: Option<String>,
    /// The call of a run's step, if it is one.
    pub fetch: Option<Fetch>,
    /// Wait between attempts.
    pub backoff: Backoff,
    /// Every secret that signs now, newest first.
    pub secrets: Vec<Secret>,
}

/// What a push came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// From the start of the push to its end.
    pub duration_ms: u64,
    /// The answer, or why there is none.
    pub result: Reply,
}

/// An answer or its absence.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The endpoint answered: completely, or more than is kept.
    Response(Answer),
    /// It did not.
    Failed {
        /// What kind of failure.
        kind: Failure,
        /// In words, for the person who looks at the attempt.
        detail: String,
        /// What had arrived of an answer that was not completed.
        partial: Option<Answer>,
    },
}

/// What an endpoint said.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers in order.
    pub headers: Vec<(String, String)>,
    /// As many bytes from its start as were asked for.
    pub body: Vec<u8>,
}

impl Reply {
    /// A failure before anything was answered.
    pub fn failed(kind: Failure, detail: impl Into<String>) -> Self {
        Self::Failed { kind, detail: detail.into(), partial: None }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No complete answer within the timeout.
    Timeout,
    /// No connection.
    Connect,
    /// The destination's address is not allowed.
    Refused,
    /// The connection broke after the send began.
    Interrupted,
    /// The request could not be built; it never will be.
    Invalid,
    /// No app serves the workflow.
    Unserved,
}

impl Failure {
    /// Whether it is certain that the endpoint saw nothing of the request: it failed before the send.
    pub fn is_unsent(self) -> bool {
        matches!(self, Self::Connect | Self::Refused | Self::Invalid | Self::Unserved)
    }
}

/// The state a push leaves its message in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A 2xx; for the call of a step any answer that ends it.
    Delivered,
    /// Another attempt after the delay.
    Retrying {
        /// Wait from now.
        delay_ms: u64,
    },
    /// No further attempt: the dead-letter queue.
    Failed,
    /// Nobody waits for it any more.
    Cancelled,
}

/// A verdict with everything that is recorded of the attempt.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The message.
    pub id: MessageId,
    /// The lease it was pushed under.
    pub fence: i64,
    /// What becomes of the message.
    pub verdict: Verdict,
    /// Whether the budget is left alone.
    pub throttled: bool,
    /// What the push says of its destination's health: broken or well; nothing, where it did not get there.
    pub broken: Option<bool>,
    /// Length of the push.
    pub duration_ms: u64,
    /// HTTP status.
    pub status: Option<u16>,
    /// Why it is not delivered.
    pub error: Option<String>,
    /// The answer's headers, bounded.
    pub response_headers: Vec<(String, String)>,
    /// The answer's body, bounded.
    pub response_body: Option<Vec<u8>>,
    /// The wait that the endpoint asked for and gets.
    pub retry_after_ms: Option<u64>,
    /// Whom to tell of this end.
    pub callback: Option<Callback>,
    /// What the step gets, of a step's call.
    pub fetched: Option<Fetched>,
}

/// A message that tells of another's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// Where it goes.
    pub url: String,
    /// `{messageId, status, attempts, response: {status, headers, body} | null, error}` as JSON.
    pub body: Vec<u8>,
}

impl Settlement {
    /// The same verdict without anything the endpoint sent: for an answer that the database refuses to keep.
    pub fn unrecordable(self) -> Self {
        Self { error: Some("unrecordable".to_owned()), response_headers: Vec::new(), response_body: None, ..self }
    }
}

/// How long a push may take that starts `started_ms` after its load, where the batch must be through at `deadline_ms`; `None` when it would come too late. One that was not held up starts in any case,
/// with what the host's limit leaves it: put back, it would meet the same limit again.
pub fn room_ms(job: &Job, started_ms: u64, deadline_ms: u64) -> Option<u64> {
    let left_ms = deadline_ms.saturating_sub(started_ms);
    let held_up = started_ms > job.wait_ms + HELD_UP_MS;
    let fits = job.timeout_ms <= left_ms && started_ms <= START_WITHIN_MS;
    (fits || !held_up).then_some(job.timeout_ms.min(left_ms))
}

/// Judges a push. `now_ms` is the database's time at its end, in milliseconds since 1970.
pub fn settle(job: &Job, outcome: Outcome, now_ms: i64) -> Settlement {
    let duration_ms = outcome.duration_ms;
    let (answer, failure) = match outcome.result {
        Reply::Response(answer) => (Some(answer), None),
        Reply::Failed { kind, detail, partial } => (partial, Some((kind, detail))),
    };
    let status = answer.as_ref().map(|answer| answer.status);
    let answered = answer.as_ref().filter(|_| failure.is_none());
    let fetched = job.fetch.map(|_| fetch::fetched(answered, failure.as_ref().map(|(_, detail)| detail.as_str())));
    let (headers, mut body) = answer.map_or((Vec::new(), None), |answer| (answer.headers, Some(answer.body)));
    if let Some(body) = &mut body {
        body.truncate(RESPONSE_BODY_BYTES_MAX);
    }
    let asked = retry::retry_after_ms(&headers, now_ms).filter(|_| status.is_none_or(|s| s >= 300));
    let retry_after_ms = asked.map(|ms| ms.min(RETRY_AFTER_MS_MAX));
    let says_when = asked.is_some() || headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
    let throttled = job.fetch.is_none() && failure.is_none() && (status == Some(429) || (status == Some(503) && says_when));
    let kind = failure.as_ref().map(|f| f.0);
    let verdict = match job.fetch {
        None => verdict(job, status, &headers, kind, throttled, retry_after_ms),
        Some(_) => fetch::verdict(job, status, kind, retry_after_ms),
    };
    let error = match (&failure, status) {
        (Some((_, detail)), _) => Some(detail.clone()),
        (None, _) if verdict == Verdict::Delivered => None,
        (None, _) => Some(explain(status.unwrap_or_default(), asked, throttled, verdict)),
    };
    let mut settlement = Settlement {
        id: job.id,
        fence: job.fence,
        verdict,
        throttled,
        broken: broken(job, status, kind, throttled),
        duration_ms,
        status,
        error,
        response_headers: bounded(headers),
        response_body: body,
        retry_after_ms,
        callback: None,
        fetched: fetched.map(|end| if matches!(verdict, Verdict::Retrying { .. }) { Fetched::Unfinished } else { end }),
    };
    settlement.callback = callback(job, &settlement);
    settlement
}

/// What becomes of a call that nobody waits for any more: it is not made.
pub fn abandon(job: &Job) -> Settlement {
    Settlement {
        id: job.id,
        fence: job.fence,
        verdict: Verdict::Cancelled,
        throttled: false,
        broken: None,
        duration_ms: 0,
        status: None,
        error: Some("not sent: the step that asked for it no longer waits".to_owned()),
        response_headers: Vec::new(),
        response_body: None,
        retry_after_ms: None,
        callback: None,
        fetched: Some(Fetched::Unfinished),
    }
}

/// How much of an answer's body is read.
pub fn body_max(job: &Job) -> usize {
    if job.fetch.is_some() { FETCH_BODY_BYTES_MAX } else { RESPONSE_BODY_BYTES_MAX }
}

/// Connection errors, timeouts and 5xx count against a destination; any other answer speaks for it. A workflow is not pushed to.
fn broken(job: &Job, status: Option<u16>, failure: Option<Failure>, throttled: bool) -> Option<bool> {
    match (failure, status) {
        _ if destination::workflow(&job.url).is_some() => None,
        (Some(Failure::Refused | Failure::Invalid | Failure::Unserved), _) => None,
        (Some(Failure::Timeout | Failure::Connect | Failure::Interrupted), _) => Some(true),
        (None, status) => Some(status.is_some_and(|s| s >= 500) && !throttled),
    }
}

fn callback(job: &Job, settled: &Settlement) -> Option<Callback> {
    let (status, url) = match settled.verdict {
        Verdict::Delivered => ("delivered", &job.callback_url),
        Verdict::Failed => ("failed", &job.failure_callback_url),
        Verdict::Retrying { .. } | Verdict::Cancelled => return None,
    };
    let response = settled.status.map(|status| {
        let text = settled.response_body.as_deref().map(String::from_utf8_lossy);
        serde_json::json!({ "status": status, "headers": view::header_map(&settled.response_headers), "body": text })
    });
    let body = serde_json::json!({
        "messageId": job.id.to_string(), "status": status, "attempts": job.number, "response": response, "error": settled.error,
    });
    Some(Callback { url: url.clone()?, body: body.to_string().into_bytes() })
}

fn verdict(
    job: &Job,
    status: Option<u16>,
    headers: &[(String, String)],
    failure: Option<Failure>,
    throttled: bool,
    floor_ms: Option<u64>,
) -> Verdict {
    let stop = headers.iter().any(|(name, value)| name.eq_ignore_ascii_case("tikku-no-retry") && value.trim().eq_ignore_ascii_case("true"));
    let (spent, budget) = if throttled { (job.throttles + 1, THROTTLES_MAX) } else { (job.attempts + 1, job.max_attempts) };
    match (failure, status) {
        (None, Some(200..300)) => Verdict::Delivered,
        (None, Some(410)) => Verdict::Failed,
        _ if stop || failure == Some(Failure::Invalid) || spent >= budget => Verdict::Failed,
        // An endpoint that says when to come back is not made to wait longer each time.
        _ if throttled => {
            let grown = if floor_ms.is_some() { 1 } else { spent };
            let wait_ms = retry::delay_ms(&job.backoff, grown, job.id.0.as_bytes());
            Verdict::Retrying { delay_ms: wait_ms.max(floor_ms.unwrap_or(0)).max(THROTTLE_WAIT_MS_MIN) }
        }
        _ => {
            let wait_ms = retry::delay_ms(&job.backoff, spent, job.id.0.as_bytes());
            Verdict::Retrying { delay_ms: wait_ms.max(floor_ms.unwrap_or(0)) }
        }
    }
}

fn explain(status: u16, asked: Option<u64>, throttled: bool, verdict: Verdict) -> String {
    let mut text = match status {
        300..400 => format!("the endpoint answered {status}; redirects are not followed: publish to the final address"),
        410 => "the endpoint answered 410 Gone: no further attempts".to_owned(),
        _ => format!("the endpoint answered {status}"),
    };
    if throttled && verdict == Verdict::Failed {
        text.push_str(&format!("; it turned pushes away {THROTTLES_MAX} times, which is the most"));
    } else if let Some(ms) = asked.filter(|ms| *ms > RETRY_AFTER_MS_MAX && verdict != Verdict::Failed) {
        text.push_str(&format!("; it asked for a wait of {} s, capped at {} s", ms / 1000, RETRY_AFTER_MS_MAX / 1000));
    }
    text
}

/// The whole headers that fit the limit.
fn bounded(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut room = RESPONSE_HEADERS_BYTES_MAX;
    let fits = |(name, value): &(String, String)| {
        let size = name.len() + value.len();
        let fits = size <= room;
        if fits {
            room -= size;
        }
        fits
    };
    headers.into_iter().filter(fits).collect()
}

/// The headers of a push besides the publisher's own: signature, attempt, and defaults that the publisher may replace.
/// `timestamp_s` is the attempt's time by the database clock. The call of a step goes to a stranger: it is not signed.
pub fn push_headers(job: &Job, body: Option<&[u8]>, timestamp_s: i64) -> Vec<(String, String)> {
    let mut headers = job.headers.clone();
    let mut default = |name: &str, value: String| {
        if !headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)) {
            headers.push((name.to_owned(), value));
        }
    };
    // The body of a step's call is JSON, whatever wrote it.
    if body.is_some() && (!job.raw || job.fetch.is_some()) {
        default("content-type", "application/json".to_owned());
    }
    default("user-agent", concat!("Tikku/", env!("CARGO_PKG_VERSION")).to_owned());
    if job.fetch.is_some() {
        return headers;
    }
    let id = job.id.to_string();
    let signature = crate::signing::sign(&job.secrets, &id, timestamp_s, body.unwrap_or_default());
    default("tikku-attempt", job.number.to_string());
    default("webhook-id", id);
    default("webhook-timestamp", timestamp_s.to_string());
    default("webhook-signature", signature);
    headers
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
