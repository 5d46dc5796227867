//! What ops become; their faults are in tests/vectors.

use super::*;
use crate::destination::UrlPolicy;
use crate::limits;

fn reply(json: &str) -> Result<Reply, ProtocolError> {
    let policy = UrlPolicy::default();
    parse_reply(json.as_bytes(), &Rules { policy: &policy, timeout_seconds_max: limits::TIMEOUT_SECONDS_MAX })
}

fn op(json: &str) -> Result<Op, ProtocolError> {
    reply(&format!(r#"{{"v":1,"ops":[{json}]}}"#)).map(|mut reply| reply.ops.remove(0))
}

fn detail(json: &str) -> String {
    op(json).unwrap().detail.unwrap()
}

#[test]
fn user_values_stay_as_they_were_written() {
    let value = r#"{"b": 1.0, "a":1e400,"a":"\u0000\ud800"}"#;
    let read = op(&format!(r#"{{"op":"result","key":"a#0","value": {value} }}"#)).unwrap();
    assert_eq!((read.op, read.kind, read.value.as_deref()), ("result", Some("run"), Some(value.as_bytes())));
    assert_eq!(op(r#"{"op":"done"}"#).unwrap().value.as_deref(), Some(&b"null"[..]));
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(op(&format!(r#"{{"op":"result","key":"a#0","value":{deep}}}"#)).unwrap().value.unwrap().len(), 10_001);
}

#[test]
fn details_are_what_the_database_reads() {
    assert_eq!(detail(r#"{"op":"sleep","key":"s#0","forMs":1e3}"#), r#"{"forMs":1000}"#);
    assert_eq!(detail(r#"{"op":"sleep","key":"s#0","untilMs":5}"#), r#"{"untilMs":5}"#);
    assert_eq!(detail(r#"{"op":"signal","key":"s#0","name":"a\"b","timeoutMs":5}"#), r#"{"name":"a\"b","timeoutMs":5}"#);
    let event = r#"{"op":"event","key":"e#0","name":"n","match":{"data.x": {"y":1.0}}}"#;
    assert_eq!(detail(event), r#"{"name":"n","match":{"data.x":{"y":1.0}}}"#);
    assert_eq!(detail(r#"{"op":"event","key":"e#0","name":"n","match":{}}"#), r#"{"name":"n"}"#);
    assert_eq!(detail(r#"{"op":"child","key":"c#0","workflow":"w","id":"x"}"#), r#"{"workflow":"w","id":"x"}"#);
    let approval =
        r#"{"op":"approval","key":"a#0","policy":{"roles":["admin"],"keys":[],"notInitiator":true},"schema":{"type" : "object"}}"#;
    assert_eq!(detail(approval), r#"{"policy":{"roles":["admin"],"notInitiator":true},"schema":{"type" : "object"}}"#);
    let retry = r#"{"op":"error","key":"a#0","error":{"name":"E","message":"m"},"retry":{"afterMs":7,"free":true},"attempt":3,"ms":1.6}"#;
    let read = op(retry).unwrap();
    assert_eq!((read.op, read.attempt, read.ms, read.detail.as_deref()), ("retry", Some(3), Some(2), Some(r#"{"afterMs":7,"free":true}"#)));
    let ai = r#"{"op":"result","key":"a#0","kind":"ai","ai":{"model":"m","inputTokens":5,"outputTokens":7,"costUsd":0.25,"x":1}}"#;
    assert_eq!(op(ai).unwrap().ai.as_deref(), Some(r#"{"model":"m","inputTokens":5,"outputTokens":7,"costUsd":0.25}"#));
}

#[test]
fn a_message_that_can_never_be_sent_is_an_error_of_its_step() {
    for json in [
        r#"{"op":"publish","key":"p#0","message":{"url":"https://10.0.0.1"}}"#,
        r#"{"op":"publish","key":"p#0","message":{"url":"https://e.com","idempotencyKey":"k"}}"#,
        r#"{"op":"publish","key":"p#0","message":7}"#,
        r#"{"op":"fetch","key":"p#0","request":{"url":"http://e.com"}}"#,
        r#"{"op":"fetch","key":"p#0","request":{"url":"https://e.com","method":"GET","body":1}}"#,
        r#"{"op":"fetch","key":"p#0","request":{"method":"GET"}}"#,
    ] {
        let read = op(json).unwrap();
        assert!(read.op == "error" && read.error.unwrap().contains("InvalidMessage"), "{json}");
    }
    let fetch = op(r#"{"op":"fetch","key":"p#0","request":{"url":"https://e.com","body":{"a" : 1}}}"#).unwrap();
    assert_eq!(fetch.value.as_deref(), Some(&br#"{"a" : 1}"#[..]));
    assert_eq!(fetch.detail.unwrap(), r#"{"headers":[],"maxAttempts":5,"method":"POST","timeoutMs":30000,"url":"https://e.com/"}"#);
    let form =
        op(r#"{"op":"fetch","key":"p#0","request":{"url":"https://e.com","headers":{"Content-Type":"text/plain"},"body":"a=\"b\""}}"#)
            .unwrap();
    assert_eq!(form.value.as_deref(), Some(&br#"a="b""#[..]));
    let publish = op(r#"{"op":"publish","key":"p#0","message":{"url":"https://e.com","body": [1] }}"#).unwrap();
    assert_eq!((publish.value.as_deref(), publish.message.unwrap().body), (Some(&b"[1]"[..]), None));
}

#[test]
fn sizes_are_limits() {
    let result = |bytes: usize| op(&format!(r#"{{"op":"result","key":"a#0","value":"{}"}}"#, "x".repeat(bytes - 2)));
    assert!(result(limits::RESULT_BYTES_MAX).is_ok());
    let large = result(limits::RESULT_BYTES_MAX + 1).unwrap_err();
    assert_eq!((large.too_large, large.pointer.as_str()), (true, "/ops/0/value"));
    let error = |bytes: usize| op(&format!(r#"{{"op":"fail","error":{{"name":"","message":"{}"}}}}"#, "x".repeat(bytes - 24)));
    assert!(error(limits::ERROR_BYTES_MAX).is_ok() && error(limits::ERROR_BYTES_MAX + 1).unwrap_err().too_large);
    let nested = |levels: usize| {
        let data = format!("{}{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        op(&format!(r#"{{"op":"fail","error":{{"name":"E","message":"","data":{data}}}}}"#))
    };
    assert!(nested(limits::ERROR_LEVELS_MAX).is_ok() && nested(limits::ERROR_LEVELS_MAX + 1).is_err());
}

#[test]
fn what_a_person_has_to_look_at_keeps_the_ops_before_it() {
    let read =
        reply(r#"{"v":1,"have":4,"ops":[{"op":"result","key":"a#0"},{"op":"diverged","message":"m","diff":{"x":1.0}}],"await":null}"#)
            .unwrap();
    assert_eq!((read.have, read.ops.len(), read.awaits), (4, 1, None));
    assert_eq!(read.pause, Some(("nonDeterminism", r#"{"message":"m","diff":{"x":1.0}}"#.to_owned())));
    let unserved = reply(r#"{"v":1,"ops":[{"op":"unserved","serves":[{"name":"a","version":"2"}]}]}"#).unwrap();
    let (reason, detail) = unserved.pause.unwrap();
    assert!(reason == "unserved" && detail.ends_with(r#""serves":[{"name":"a","version":"2"}]}"#), "{detail}");
}
