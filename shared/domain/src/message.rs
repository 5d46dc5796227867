//! A message on its way: what deliver loads, what a push came to, and what becomes of the message then. Out of scope: making
//! the push (platform) and recording the verdict (store).

use crate::ids::MessageId;
use crate::limits::{HELD_UP_MS, RESPONSE_HEADERS_BYTES_MAX, RETRY_AFTER_MS_MAX, START_WITHIN_MS, THROTTLE_WAIT_MS_MIN, THROTTLES_MAX};
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
    /// The first [`crate::limits::RESPONSE_BODY_BYTES_MAX`] bytes.
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
    let (headers, body) = answer.map_or((Vec::new(), None), |answer| (answer.headers, Some(answer.body)));
    let asked = retry::retry_after_ms(&headers, now_ms).filter(|_| status.is_none_or(|s| s >= 300));
    let retry_after_ms = asked.map(|ms| ms.min(RETRY_AFTER_MS_MAX));
    let says_when = asked.is_some() || headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
    let throttled = failure.is_none() && (status == Some(429) || (status == Some(503) && says_when));
    let verdict = verdict(job, status, &headers, failure.as_ref().map(|f| f.0), throttled, retry_after_ms);
    let error = match (&failure, status) {
        (Some((_, detail)), _) => Some(detail.clone()),
        (None, Some(200..300)) => None,
        (None, _) => Some(explain(status.unwrap_or_default(), asked, throttled, verdict)),
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
        Outcome { duration_ms: 5, result: Reply::Response(Answer { status, headers, body: b"body".to_vec() }) }
    }

    fn failure(kind: Failure) -> Outcome {
        Outcome { duration_ms: 5, result: Reply::failed(kind, "why") }
    }

    #[test]
    fn a_push_starts_with_its_whole_timeout_or_is_put_back() {
        let room = |timeout_ms, wait_ms, started_ms, deadline_ms| room_ms(&Job { timeout_ms, wait_ms, ..job() }, started_ms, deadline_ms);
        assert_eq!(room(30_000, 0, 0, 885_000), Some(30_000));
        assert_eq!(room(30_000, 2_000, 2_005, 885_000), Some(30_000));
        assert_eq!(room(30_000, 0, START_WITHIN_MS, 885_000), Some(30_000));
        assert_eq!(room(30_000, 0, START_WITHIN_MS + 1, 885_000), None);
        assert_eq!(room(40_000, 0, 4_999, 45_000), Some(40_000));
        assert_eq!(room(40_000, 0, 5_001, 45_000), None);
        // A timeout that never fits is cut instead of put back for ever.
        assert_eq!(room(840_000, 0, 10, 45_000), Some(44_990));
        assert_eq!(room(840_000, 2_000, 2_100, 45_000), Some(42_900));
        assert_eq!(room(840_000, 0, 4_000, 45_000), None);
    }

    #[test]
    fn statuses_decide() {
        let retry = |delay_ms| Verdict::Retrying { delay_ms };
        type Case = (u16, &'static [(&'static str, &'static str)], Verdict, bool);
        let table: [Case; 14] = [
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
            (503, &[("Retry-After", "0")], retry(5000), true),
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
    fn an_answer_that_breaks_off_is_kept_and_is_no_delivery() {
        let partial = Some(Answer { status: 200, headers: vec![("a".into(), "b".into())], body: b"abc".to_vec() });
        let outcome = Outcome { duration_ms: 5, result: Reply::Failed { kind: Failure::Timeout, detail: "slow".into(), partial } };
        let settled = settle(&job(), outcome, 0);
        assert_eq!((settled.verdict, settled.status), (Verdict::Retrying { delay_ms: 5000 }, Some(200)));
        assert_eq!((settled.error.as_deref(), settled.response_body.as_deref()), (Some("slow"), Some(&b"abc"[..])));
    }

    #[test]
    fn a_wait_that_is_asked_for_does_not_grow_and_throttling_ends_with_a_reason() {
        let growing = Job { backoff: Backoff { kind: BackoffKind::Linear, ..job().backoff }, throttles: 7, ..job() };
        let delay = |headers: &[(&str, &str)]| settle(&growing, answer(429, headers), 0).verdict;
        assert_eq!(delay(&[("Retry-After", "9")]), Verdict::Retrying { delay_ms: 9000 });
        assert_eq!(delay(&[]), Verdict::Retrying { delay_ms: 40_000 });
        let hasty = Job { backoff: Backoff { initial_ms: 0, ..job().backoff }, ..job() };
        assert_eq!(settle(&hasty, answer(429, &[]), 0).verdict, Verdict::Retrying { delay_ms: THROTTLE_WAIT_MS_MIN });
        let last = settle(&Job { throttles: THROTTLES_MAX - 1, ..job() }, answer(429, &[]), 0);
        assert!(last.error.unwrap().contains("200 times"));
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
        assert_eq!(settled.response_headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
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
