//! What becomes of a message after each kind of push.

use super::*;
use crate::retry::BackoffKind;

fn job() -> Job {
    Job {
        id: MessageId(uuid::Uuid::from_u128(7)),
        account: AccountId(uuid::Uuid::from_u128(8)),
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
        raw: false,
        callback_url: Some("https://example.com/done".to_owned()),
        failure_callback_url: Some("https://example.com/gone".to_owned()),
        fetch: None,
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
fn only_trouble_of_the_endpoint_counts_against_it() {
    let answers = [(200, false), (404, false), (410, false), (301, false), (500, true), (503, true), (599, true)];
    for (status, broken) in answers {
        assert_eq!(settle(&job(), answer(status, &[]), 0).broken, Some(broken), "{status}");
    }
    assert_eq!(settle(&job(), answer(429, &[]), 0).broken, Some(false));
    assert_eq!(settle(&job(), answer(503, &[("Retry-After", "1")]), 0).broken, Some(false));
    for (kind, broken) in [
        (Failure::Timeout, Some(true)),
        (Failure::Connect, Some(true)),
        (Failure::Interrupted, Some(true)),
        (Failure::Refused, None),
        (Failure::Invalid, None),
    ] {
        assert_eq!(settle(&job(), failure(kind), 0).broken, broken);
    }
}

#[test]
fn an_end_is_told_with_the_answer_and_nothing_else_is() {
    let told = settle(&job(), answer(200, &[("X-A", "1"), ("x-a", "2")]), 0).callback.unwrap();
    assert_eq!(told.url, "https://example.com/done");
    let expected = r#"{"attempts":1,"error":null,"messageId":"msg_00000000000000000000000000000007","response":{"body":"body","headers":{"x-a":"1, 2"},"status":200},"status":"delivered"}"#;
    assert_eq!(String::from_utf8(told.body).unwrap(), expected);
    assert_eq!(settle(&job(), answer(500, &[]), 0).callback, None);
    let last = Job { attempts: 2, number: 9, ..job() };
    let told = settle(&last, failure(Failure::Connect), 0).callback.unwrap();
    assert_eq!(told.url, "https://example.com/gone");
    let body: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({"messageId": job().id.to_string(), "status": "failed", "attempts": 9, "response": null, "error": "why"})
    );
    assert_eq!(settle(&Job { failure_callback_url: None, ..last }, failure(Failure::Connect), 0).callback, None);
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
    assert!(!push_headers(&Job { raw: true, ..job() }, Some(b"x"), 1).iter().any(|(n, _)| n == "content-type"));
}

#[test]
fn the_call_of_a_step_ends_with_any_answer_but_not_now() {
    let call = Job { fetch: Some(Fetch::Awaited), callback_url: None, failure_callback_url: None, ..job() };
    let verdict = |status: u16| settle(&call, answer(status, &[("Tikku-No-Retry", "true")]), 0).verdict;
    for status in [200, 204, 301, 400, 404, 410, 418, 499] {
        assert_eq!(verdict(status), Verdict::Delivered, "{status}");
    }
    for status in [408, 425, 429, 500, 503, 599] {
        assert_eq!(verdict(status), Verdict::Retrying { delay_ms: 5000 }, "{status}");
    }
    let later = settle(&call, answer(429, &[("Retry-After", "9")]), 0);
    assert_eq!((later.verdict, later.throttled, later.fetched), (Verdict::Retrying { delay_ms: 9000 }, false, Some(Fetched::Unfinished)));
    assert_eq!(settle(&call, failure(Failure::Timeout), 0).verdict, Verdict::Retrying { delay_ms: 5000 });
    assert_eq!(settle(&call, failure(Failure::Invalid), 0).verdict, Verdict::Failed);
}

#[test]
fn the_step_gets_its_calls_last_answer_or_why_there_was_none() {
    let last = Job { fetch: Some(Fetch::Awaited), attempts: 2, ..job() };
    let text = |fetched: Option<Fetched>| match fetched.unwrap() {
        Fetched::Answer(json) => String::from_utf8(json).unwrap(),
        Fetched::Error(json) => json,
        Fetched::Unfinished => panic!("unfinished"),
    };
    let settled = settle(&last, answer(503, &[]), 0);
    assert_eq!((settled.verdict, settled.status), (Verdict::Failed, Some(503)));
    assert_eq!(text(settled.fetched), r#"{"body":"body","headers":{},"status":503}"#);
    let settled = settle(&last, failure(Failure::Connect), 0);
    assert_eq!((settled.verdict, text(settled.fetched)), (Verdict::Failed, r#"{"message":"why","name":"FetchError"}"#.to_owned()));
    // What broke off is no answer, whatever had arrived of it.
    let partial = Some(Answer { status: 200, headers: Vec::new(), body: b"abc".to_vec() });
    let broke = Outcome { duration_ms: 5, result: Reply::Failed { kind: Failure::Interrupted, detail: "broke".into(), partial } };
    assert!(matches!(settle(&last, broke, 0).fetched, Some(Fetched::Error(_))));
}

#[test]
fn an_attempt_keeps_less_of_an_answer_than_the_step() {
    let long = Answer { status: 200, headers: Vec::new(), body: vec![b'x'; 10_000] };
    let call = Job { fetch: Some(Fetch::Awaited), ..job() };
    let settled = settle(&call, Outcome { duration_ms: 5, result: Reply::Response(long) }, 0);
    assert_eq!(settled.response_body.unwrap().len(), RESPONSE_BODY_BYTES_MAX);
    assert!(matches!(settled.fetched, Some(Fetched::Answer(json)) if json.len() > 10_000));
    assert_eq!((body_max(&call), body_max(&job())), (FETCH_BODY_BYTES_MAX, RESPONSE_BODY_BYTES_MAX));
}

#[test]
fn the_call_of_a_step_is_not_signed() {
    let headers = push_headers(&Job { fetch: Some(Fetch::Awaited), raw: true, ..job() }, Some(b"{}"), 1_700_000_000);
    assert_eq!(headers.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["X-Own", "content-type", "user-agent"]);
}

#[test]
fn a_call_that_nobody_waits_for_is_not_made_and_told_to_nobody() {
    let settled = abandon(&Job { fetch: Some(Fetch::Abandoned), ..job() });
    assert_eq!((settled.verdict, settled.callback, settled.fetched), (Verdict::Cancelled, None, Some(Fetched::Unfinished)));
}

#[test]
fn a_workflow_that_nobody_serves_is_tried_again_and_trips_no_breaker() {
    let job = Job { url: "workflow:order-flow".to_owned(), ..job() };
    let settled = settle(&job, failure(Failure::Unserved), 0);
    assert_eq!((settled.verdict, settled.broken), (Verdict::Retrying { delay_ms: 5000 }, None));
    assert_eq!(settle(&Job { attempts: 2, ..job.clone() }, failure(Failure::Unserved), 0).verdict, Verdict::Failed);
    let settled = settle(&job, answer(202, &[]), 0);
    assert_eq!((settled.verdict, settled.broken), (Verdict::Delivered, None));
}
