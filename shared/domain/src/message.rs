//! A message on its way: what deliver loads, what a push came to, and what becomes of the message then. Out of scope: making
//! the push (platform) and recording the verdict (store).

use crate::ids::MessageId;
use crate::limits::{RESPONSE_HEADERS_BYTES_MAX, RETRY_AFTER_MS_MAX, THROTTLES_MAX};
use crate::retry::{self, Backoff};
use crate::signing::Secret;

/// A leased message, ready to be pushed.
#[derive(Clone, Debug)]
pub struct Job {
    /// The message.
    pub id: MessageId,
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
    /// Destination.
    pub url: String,
    /// HTTP method.
    pub method: String,
    /// The publisher's headers.
    pub headers: Vec<(String, String)>,
    /// The body; `None` for an empty one without content-type.
    pub body: Option<Vec<u8>>,
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
    /// The endpoint answered.
    Response {
        /// HTTP status.
        status: u16,
        /// Headers in order.
        headers: Vec<(String, String)>,
        /// The first [`crate::limits::RESPONSE_BODY_BYTES_MAX`] bytes.
        body: Vec<u8>,
    },
    /// It did not.
    Failed {
        /// What kind of failure.
        kind: Failure,
        /// In words, for the person who looks at the attempt.
        detail: String,
    },
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
}

/// The state a push leaves its message in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A 2xx.
    Delivered,
    /// Another attempt after the delay.
    Retrying {
        /// Wait from now.
        delay_ms: u64,
    },
    /// No further attempt: the dead-letter queue.
    Failed,
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
}

impl Settlement {
    /// The same verdict without anything the endpoint sent: for an answer that the database refuses to keep.
    pub fn unrecordable(self) -> Self {
        Self { error: Some("unrecordable".to_owned()), response_headers: Vec::new(), response_body: None, ..self }
    }
}

/// Judges a push. `now_ms` is the database's time at its end, in milliseconds since 1970.
pub fn settle(job: &Job, outcome: Outcome, now_ms: i64) -> Settlement {
    let duration_ms = outcome.duration_ms;
    let (status, headers, body, failure) = match outcome.result {
        Reply::Response { status, headers, body } => (Some(status), headers, Some(body), None),
        Reply::Failed { kind, detail } => (None, Vec::new(), None, Some((kind, detail))),
    };
    let asked = retry::retry_after_ms(&headers, now_ms).filter(|_| status.is_none_or(|s| s >= 300));
    let retry_after_ms = asked.map(|ms| ms.min(RETRY_AFTER_MS_MAX));
    let throttled = status == Some(429) || (status == Some(503) && asked.is_some());
    let verdict = verdict(job, status, &headers, failure.as_ref().map(|f| f.0), throttled, retry_after_ms.unwrap_or(0));
    let error = match (&failure, status) {
        (Some((_, detail)), _) => Some(detail.clone()),
        (None, Some(200..300)) => None,
        (None, _) => Some(explain(status.unwrap_or_default(), asked, verdict)),
    };
    let (response_headers, response_body) = (bounded(headers), body);
    Settlement {
        id: job.id,
        fence: job.fence,
        verdict,
        throttled,
        duration_ms,
        status,
        error,
        response_headers,
        response_body,
        retry_after_ms,
    }
}

fn verdict(
    job: &Job,
    status: Option<u16>,
    headers: &[(String, String)],
    failure: Option<Failure>,
    throttled: bool,
    floor_ms: u64,
) -> Verdict {
    let stop = headers.iter().any(|(name, value)| name.eq_ignore_ascii_case("tikku-no-retry") && value.trim().eq_ignore_ascii_case("true"));
    let (spent, budget) = if throttled { (job.throttles + 1, THROTTLES_MAX) } else { (job.attempts + 1, job.max_attempts) };
    match status {
        Some(200..300) => Verdict::Delivered,
        Some(410) => Verdict::Failed,
        _ if stop || failure == Some(Failure::Invalid) || spent >= budget => Verdict::Failed,
        _ => {
            let wait_ms = retry::delay_ms(&job.backoff, spent, job.id.0.as_bytes());
            Verdict::Retrying { delay_ms: wait_ms.max(floor_ms) }
        }
    }
}

fn explain(status: u16, asked: Option<u64>, verdict: Verdict) -> String {
    let mut text = match status {
        300..400 => format!("the endpoint answered {status}; redirects are not followed: publish to the final address"),
        410 => "the endpoint answered 410 Gone: no further attempts".to_owned(),
        _ => format!("the endpoint answered {status}"),
    };
    if let Some(ms) = asked.filter(|ms| *ms > RETRY_AFTER_MS_MAX && verdict != Verdict::Failed) {
        text.push_str(&format!("; it asked for a wait of {} s, capped at {} s", ms / 1000, RETRY_AFTER_MS_MAX / 1000));
    }
    text
}

/// As many whole headers as fit the limit.
fn bounded(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut room = RESPONSE_HEADERS_BYTES_MAX;
    let fits = |(name, value): &(String, String)| {
        let size = name.len() + value.len();
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    };
    headers.into_iter().take_while(fits).collect()
}

/// The headers of a push besides the publisher's own: signature, attempt, and defaults that the publisher may replace.
/// `timestamp_s` is the attempt's time by the database clock.
pub fn push_headers(job: &Job, body: Option<&[u8]>, timestamp_s: i64) -> Vec<(String, String)> {
    let id = job.id.to_string();
    let signature = crate::signing::sign(&job.secrets, &id, timestamp_s, body.unwrap_or_default());
    let mut headers = job.headers.clone();
    let mut default = |name: &str, value: String| {
        if !headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)) {
            headers.push((name.to_owned(), value));
        }
    };
    if body.is_some() {
        default("content-type", "application/json".to_owned());
    }
    default("user-agent", concat!("Tikku/", env!("CARGO_PKG_VERSION")).to_owned());
    default("tikku-attempt", job.number.to_string());
    default("webhook-id", id);
    default("webhook-timestamp", timestamp_s.to_string());
    default("webhook-signature", signature);
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::BackoffKind;

    fn job() -> Job {
        Job {
            id: MessageId(uuid::Uuid::from_u128(7)),
            fence: 3,
            wait_ms: 0,
            now_ms: 0,
            number: 1,
            attempts: 0,
            throttles: 0,
            max_attempts: 3,
            timeout_ms: 1000,
            url: "https://example.com/".to_owned(),
            method: "POST".to_owned(),
            headers: vec![("X-Own".to_owned(), "1".to_owned())],
            body: Some(b"{}".to_vec()),
            backoff: Backoff { kind: BackoffKind::Fixed, initial_ms: 5000, factor: 2.0, max_ms: 60_000, jitter: false },
            secrets: vec![Secret::from_bytes(vec![7; 32]).unwrap()],
        }
    }

    fn answer(status: u16, headers: &[(&str, &str)]) -> Outcome {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Outcome { duration_ms: 5, result: Reply::Response { status, headers, body: b"body".to_vec() } }
    }

    fn failure(kind: Failure) -> Outcome {
        Outcome { duration_ms: 5, result: Reply::Failed { kind, detail: "why".to_owned() } }
    }

    #[test]
    fn statuses_decide() {
        let retry = |delay_ms| Verdict::Retrying { delay_ms };
        let table: [(u16, &[(&str, &str)], Verdict, bool); 13] = [
            (200, &[], Verdict::Delivered, false),
            (204, &[("Tikku-No-Retry", "true")], Verdict::Delivered, false),
            (299, &[("Retry-After", "9")], Verdict::Delivered, false),
            (301, &[], retry(5000), false),
            (400, &[], retry(5000), false),
            (404, &[("tikku-no-retry", "TRUE")], Verdict::Failed, false),
            (410, &[("Retry-After", "9")], Verdict::Failed, false),
            (429, &[], retry(5000), true),
            (429, &[("Retry-After", "9")], retry(9000), true),
            (500, &[("Retry-After", "9")], retry(9000), false),
            (503, &[], retry(5000), false),
            (503, &[("Retry-After", "2")], retry(5000), true),
            (429, &[("Retry-After", "31536000")], retry(RETRY_AFTER_MS_MAX), true),
        ];
        for (status, headers, verdict, throttled) in table {
            let settled = settle(&job(), answer(status, headers), 0);
            assert_eq!((settled.verdict, settled.throttled), (verdict, throttled), "{status} {headers:?}");
            assert_eq!(settled.error.is_none(), status < 300);
        }
    }

    #[test]
    fn the_last_attempt_of_the_budget_fails() {
        let last = Job { attempts: 2, ..job() };
        assert_eq!(settle(&last, answer(500, &[]), 0).verdict, Verdict::Failed);
        assert_eq!(settle(&last, failure(Failure::Timeout), 0).verdict, Verdict::Failed);
        assert!(matches!(settle(&last, answer(429, &[]), 0).verdict, Verdict::Retrying { .. }));
        let throttled = Job { throttles: THROTTLES_MAX - 1, ..job() };
        assert_eq!(settle(&throttled, answer(429, &[]), 0).verdict, Verdict::Failed);
        assert!(matches!(settle(&throttled, answer(500, &[]), 0).verdict, Verdict::Retrying { .. }));
    }

    #[test]
    fn failures_without_an_answer_are_retried_unless_they_never_can_work() {
        for kind in [Failure::Timeout, Failure::Connect, Failure::Refused, Failure::Interrupted] {
            assert_eq!(settle(&job(), failure(kind), 0).verdict, Verdict::Retrying { delay_ms: 5000 });
        }
        assert_eq!(settle(&job(), failure(Failure::Invalid), 0).verdict, Verdict::Failed);
    }

    #[test]
    fn a_capped_wait_is_recorded() {
        let settled = settle(&job(), answer(429, &[("Retry-After", "31536000")]), 0);
        assert_eq!(settled.retry_after_ms, Some(RETRY_AFTER_MS_MAX));
        assert_eq!(settled.error.unwrap(), "the endpoint answered 429; it asked for a wait of 31536000 s, capped at 86400 s");
    }

    #[test]
    fn response_headers_are_bounded() {
        let long = "v".repeat(5000);
        let settled = settle(&job(), answer(500, &[("a", &long), ("b", &long), ("c", "1")]), 0);
        assert_eq!(settled.response_headers.len(), 1);
    }

    #[test]
    fn a_push_is_signed_and_keeps_the_publishers_headers() {
        let headers = push_headers(&job(), Some(b"{}"), 1_700_000_000);
        let names: Vec<&str> = headers.iter().map(|(n, _)| n.as_str()).collect();
        let expected = ["X-Own", "content-type", "user-agent", "tikku-attempt", "webhook-id", "webhook-timestamp", "webhook-signature"];
        assert_eq!(names, expected);
        let bare = push_headers(&Job { headers: vec![("User-Agent".into(), "me".into())], ..job() }, None, 1);
        assert!(!bare.iter().any(|(n, _)| n == "content-type" || n == "user-agent"));
    }
}
