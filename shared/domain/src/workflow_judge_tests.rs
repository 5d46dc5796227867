//! Taken, certainly not taken, or unknown: every kind of answer.

use super::*;
use crate::destination::UrlPolicy;
use crate::limits;
use crate::message::{Failure, Reply};
use crate::workflow_invoke::tests::dispatch;

fn judged(result: Reply) -> Judged {
    let policy = UrlPolicy::default();
    let rules = Rules { policy: &policy, timeout_seconds_max: limits::TIMEOUT_SECONDS_MAX };
    judge(&dispatch(), message::Outcome { duration_ms: 1, result }, &rules, 1_000_000)
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Judged {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    judged(Reply::Response(Answer { status, headers, body: body.as_bytes().to_vec() }))
}

const JSON: [(&str, &str); 1] = [("Content-Type", "application/JSON; charset=utf-8")];

#[test]
fn what_was_certainly_not_sent_is_refused_and_what_may_have_been_is_lost() {
    for (kind, refused) in [
        (Failure::Connect, true),
        (Failure::Refused, true),
        (Failure::Invalid, true),
        (Failure::Timeout, false),
        (Failure::Interrupted, false),
    ] {
        let outcome = judged(Reply::failed(kind, "why")).outcome;
        assert_eq!(matches!(outcome, Outcome::Refused { .. }), refused, "{kind:?}");
        assert_eq!(matches!(outcome, Outcome::Lost { .. }), !refused, "{kind:?}");
    }
    for status in AMBIGUOUS {
        assert!(matches!(answer(status, &[], "").outcome, Outcome::Lost { .. }));
    }
}

#[test]
fn an_endpoint_out_of_order_is_refused_with_a_wait() {
    for (status, headers, body) in [
        (500, &[][..], ""),
        (200, &[][..], "{}"),
        (200, &JSON[..], "[]"),
        (200, &JSON, "{"),
        (200, &JSON, ""),
        (404, &[], ""),
        (307, &[], ""),
    ] {
        match answer(status, headers, body).outcome {
            Outcome::Refused { retry_ms, .. } => assert!((500..=1_000).contains(&retry_ms)),
            other => panic!("{status} {body}: {other:?}"),
        }
    }
    let wait = |headers: &[(&str, &str)]| match answer(429, headers, "").outcome {
        Outcome::Refused { retry_ms, .. } => retry_ms,
        other => panic!("{other:?}"),
    };
    assert_eq!((wait(&[("retry-after", "30")]), wait(&[("retry-after", "9999999")])), (30_000, RETRY_AFTER_MS_MAX));
}

#[test]
fn waits_grow_to_five_minutes() {
    let at = |failures: u32| match refused(&Dispatch { failures, ..dispatch() }, "", None, &[], 0) {
        Outcome::Refused { retry_ms, .. } => retry_ms,
        other => panic!("{other:?}"),
    };
    for (failures, most) in [(0, 1_000), (1, 2_000), (5, 32_000), (9, 300_000), (1_000_000, 300_000)] {
        assert!((most / 2..=most).contains(&at(failures)), "{failures}: {}", at(failures));
    }
}

#[test]
fn a_reply_is_read_and_what_breaks_the_protocol_needs_a_person() {
    let read = answer(200, &JSON, r#" {"v":1,"have":3,"ops":[{"op":"result","key":"a#0"}],"await":"a#0"}"#);
    assert_eq!((read.outcome, read.have, read.ops.len()), (Outcome::Reply, 3, 1));
    for (status, body) in [(200, r#"{"v":1}"#), (400, r#"{"type":"urn:tikku:problem:protocol-version","versions":[2]}"#)] {
        assert!(matches!(answer(status, &JSON, body).outcome, Outcome::Pause { reason: "protocolError", .. }), "{body}");
    }
    let large = format!(r#"{{"v":1,"ops":[],"x":"{}"}}"#, "x".repeat(REPLY_BYTES_MAX));
    assert!(matches!(answer(200, &JSON, &large).outcome, Outcome::Pause { reason: "protocolError", .. }));
    let paused = answer(200, &JSON, r#"{"v":1,"ops":[{"op":"result","key":"a#0"},{"op":"unserved","serves":[]}]}"#);
    assert!(matches!(paused.outcome, Outcome::Pause { reason: "unserved", .. }) && paused.ops.len() == 1);
}
