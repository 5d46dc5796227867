//! Tests of `publish`.

use super::*;

fn read(json: &str) -> Result<NewMessage, Vec<String>> {
    let policy = UrlPolicy { allow_http: false, allow_cidrs: Vec::new() };
    let rules = Rules { policy: &policy, timeout_seconds_max: limits::TIMEOUT_SECONDS_MAX };
    parse(json.as_bytes(), &rules).map_err(|errors| errors.into_iter().map(|e| e.pointer).collect())
}

#[test]
fn a_url_is_enough() {
    let message = read(r#"{"url": "https://example.com/hook"}"#).unwrap();
    assert_eq!(message.target, Target::Url("https://example.com/hook".to_owned()));
    assert_eq!((message.method.as_str(), message.raw, message.flow), ("POST", false, None));
    assert_eq!((message.body, message.max_attempts, message.timeout_ms), (None, 5, 30_000));
}

#[test]
fn a_body_is_kept_as_written() {
    for body in ["null", "0", "false", "\"\"", r#"{"b": 1,  "b": 2, "a": "\u0000"}"#, "12345678901234567890.10", "\"\u{1F600}\""] {
        let message = read(&format!(r#"{{"url": "https://example.com", "body": {body}}}"#)).unwrap();
        assert_eq!(message.body.as_deref(), Some(body.as_bytes()));
    }
}

#[test]
fn what_is_wrong_is_said_where() {
    let cases = [
        (r#"{}"#, "/url"),
        (r#"{"url": 5}"#, "/url"),
        (r#"{"url": "https://10.0.0.1"}"#, "/url"),
        (r#"{"url": "https://e.com", "method": "TRACE"}"#, "/method"),
        (r#"{"url": "https://e.com", "method": "GET", "body": 1}"#, "/body"),
        (r#"{"url": "https://e.com", "headers": {"host": "x"}}"#, "/headers/host"),
        (r#"{"url": "https://e.com", "headers": {"a": 1}}"#, "/headers/a"),
        (r#"{"url": "https://e.com", "delaySeconds": -1}"#, "/delaySeconds"),
        (r#"{"url": "https://e.com", "delaySeconds": 315360001}"#, "/delaySeconds"),
        (r#"{"url": "https://e.com", "notBefore": "tomorrow"}"#, "/notBefore"),
        (r#"{"url": "https://e.com", "notBefore": "-005000-01-01T00:00:00Z"}"#, "/notBefore"),
        (r#"{"url": "https://e.com", "notBefore": "2030-01-01T00:00:00Z", "delaySeconds": 1}"#, "/notBefore"),
        (r#"{"url": "https://e.com", "maxAttempts": 0}"#, "/maxAttempts"),
        (r#"{"url": "https://e.com", "maxAttempts": 101}"#, "/maxAttempts"),
        (r#"{"url": "https://e.com", "timeoutSeconds": 841}"#, "/timeoutSeconds"),
        (r#"{"url": "https://e.com", "backoff": {"type": "cubic"}}"#, "/backoff/type"),
        (r#"{"url": "https://e.com", "backoff": {"initialSeconds": 9, "maxSeconds": 8}}"#, "/backoff/maxSeconds"),
        (r#"{"url": "https://e.com", "backoff": {"factor": 0.5}}"#, "/backoff/factor"),
        (r#"{"url": "https://e.com", "idempotencyKey": ""}"#, "/idempotencyKey"),
        (r#"{"url": "https://e.com", "labels": ["", "x"]}"#, "/labels/0"),
        (r#"{"url": null}"#, "/url"),
        (r#"{"fanout": 5}"#, "/fanout"),
        (r#"{"fanout": ""}"#, "/fanout"),
        (r#"{"fanout": "f", "url": "https://e.com"}"#, "/fanout"),
        (r#"{"url": "https://e.com", "callbackUrl": "https://10.0.0.1"}"#, "/callbackUrl"),
        (r#"{"url": "https://e.com", "failureCallbackUrl": 5}"#, "/failureCallbackUrl"),
        (r#"{"url": "https://e.com", "flowControl": "k"}"#, "/flowControl"),
        (r#"{"url": "https://e.com", "flowControl": {"rate": 1}}"#, "/flowControl/key"),
        (r#"{"url": "https://e.com", "contentBasedDeduplication": "yes"}"#, "/contentBasedDeduplication"),
        (r#"{"url": "https://e.com", "contentBasedDeduplication": true, "idempotencyKey": "k"}"#, "/contentBasedDeduplication"),
        (r#"{"url": "https://e.com", "nope": 1}"#, "/nope"),
        (r#"{"url": "workflow:w"}"#, "/url"),
        (r#"{"workflow": "w", "url": "https://e.com"}"#, "/workflow"),
        (r#"{"workflow": "w", "fanout": "f"}"#, "/workflow"),
        (r#"{"workflow": "w", "fanout": "f", "url": "https://e.com"}"#, "/workflow"),
        (r#"{"workflow": 5}"#, "/workflow"),
        (r#"{"workflow": ""}"#, "/workflow"),
        (r#"{"workflow": ".w"}"#, "/workflow"),
        (r#"{"workflow": "a b"}"#, "/workflow"),
        (r#"{"workflow": "w", "method": "PUT"}"#, "/method"),
        (r#"{"workflow": "w", "headers": {"a": "b"}}"#, "/headers"),
        (r#"{"workflow": "w", "input": 1}"#, "/input"),
        (r#"{"url": "https://e.com", "callbackWorkflow": "a/b"}"#, "/callbackWorkflow"),
        (r#"{"url": "https://e.com", "callbackWorkflow": "w", "callbackUrl": "https://e.com"}"#, "/callbackWorkflow"),
        (r#"{"url": "https://e.com", "failureCallbackWorkflow": "w", "failureCallbackUrl": "https://e.com"}"#, "/failureCallbackWorkflow"),
    ];
    for (json, pointer) in cases {
        assert_eq!(read(json).unwrap_err(), [pointer], "{json}");
    }
}

#[test]
fn limits_hold_at_their_edge() {
    let with = |field: &str, value: &str| read(&format!(r#"{{"url": "https://e.com", "{field}": {value}}}"#));
    let text = |n: usize| format!("\"{}\"", "x".repeat(n));
    let callback = |n: usize| format!("\"https://e.com/{}\"", "x".repeat(n - "https://e.com/".len()));
    let labels = |n: usize| format!("[{}]", vec!["\"l\""; n].join(","));
    let cases = [
        ("body", text(limits::BODY_BYTES_MAX - 2), text(limits::BODY_BYTES_MAX - 1)),
        ("idempotencyKey", text(255), text(256)),
        ("labels", labels(10), labels(11)),
        ("labels", format!("[{}]", text(64)), format!("[{}]", text(65))),
        ("maxAttempts", "100".into(), "101".into()),
        ("timeoutSeconds", "840".into(), "841".into()),
        ("delaySeconds", "315360000".into(), "315360001".into()),
        ("callbackUrl", callback(2048), callback(2049)),
        ("failureCallbackUrl", callback(2048), callback(2049)),
    ];
    for (field, most, more) in cases {
        assert!(with(field, &most).is_ok(), "{field} at its limit");
        assert!(with(field, &more).is_err(), "{field} over its limit");
    }
}

#[test]
fn the_fingerprint_tells_payloads_apart() {
    let hash = |json: &str| read(json).unwrap().idempotency.unwrap().1;
    let base = hash(r#"{"url": "https://e.com", "idempotencyKey": "k", "body": 1}"#);
    assert_eq!(base, hash(r#"{"body": 1, "url": "https://e.com", "idempotencyKey": "k", "maxAttempts": 9}"#));
    for other in [
        r#"{"url": "https://e.com/", "idempotencyKey": "k", "body": 2}"#,
        r#"{"url": "https://e.com", "idempotencyKey": "k"}"#,
        r#"{"url": "https://e.com", "idempotencyKey": "k", "body": 1, "method": "PUT"}"#,
        r#"{"url": "https://e.com", "idempotencyKey": "k", "body": 1, "headers": {"a": "b"}}"#,
    ] {
        assert_ne!(base, hash(other), "{other}");
    }
    let ordered = hash(r#"{"url": "https://e.com", "idempotencyKey": "k", "headers": {"a": "1", "B": "2"}}"#);
    assert_eq!(
        ordered,
        hash(r#"{"url": "https://e.com", "idempotencyKey": "k", "headers": {"b": "2", "A": "1"}}"#),
        "the order of headers means nothing"
    );
}

#[test]
fn a_publish_goes_to_a_url_or_a_fanout() {
    let message = read(r#"{"fanout": "orders", "url": null, "callbackUrl": "https://e.com", "failureCallbackUrl": null}"#).unwrap();
    assert_eq!((message.target, message.callback_url.as_deref()), (Target::Fanout("orders".to_owned()), Some("https://e.com/")));
    assert_eq!((message.flow, message.failure_callback_url, message.idempotency), (None, None, None));
    let name = |n: usize| read(&format!(r#"{{"fanout": "{}"}}"#, "f".repeat(n)));
    assert!(name(64).is_ok() && name(65).is_err());
}

#[test]
fn a_publish_can_start_a_workflow() {
    let message = read(r#"{"workflow": "order-flow", "url": null, "body": {"id": 1}, "method": "POST", "headers": {}}"#).unwrap();
    assert_eq!(message.target, Target::Url("workflow:order-flow".to_owned()));
    assert!(message.target.is_workflow() && !read(r#"{"url": "https://e.com"}"#).unwrap().target.is_workflow());
    assert_eq!(message.body.as_deref(), Some(&br#"{"id": 1}"#[..]));
    let told =
        read(r#"{"workflow": "w", "callbackWorkflow": "done", "callbackUrl": null, "failureCallbackUrl": "https://e.com"}"#).unwrap();
    assert_eq!((told.callback_url.as_deref(), told.failure_callback_url.as_deref()), (Some("workflow:done"), Some("https://e.com/")));
    let name = |n: usize| read(&format!(r#"{{"workflow": "{}"}}"#, "w".repeat(n)));
    assert!(name(limits::WORKFLOW_NAME_CHARS_MAX).is_ok() && name(limits::WORKFLOW_NAME_CHARS_MAX + 1).is_err());
    let hash = |name: &str| read(&format!(r#"{{"workflow": "{name}", "idempotencyKey": "k"}}"#)).unwrap().idempotency.unwrap().1;
    assert_ne!(hash("a"), hash("b"));
}

#[test]
fn the_content_can_be_the_key() {
    let key = |fields: &str| read(&format!(r#"{{{fields}, "contentBasedDeduplication": true, "body": 1}}"#)).unwrap().idempotency.unwrap();
    let (text, hash) = key(r#""url": "https://e.com""#);
    assert_eq!(text, format!("content:{}", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()));
    assert_eq!(key(r#""url": "https://e.com", "labels": ["l"]"#).0, text, "only the payload counts");
    assert_ne!(key(r#""url": "https://f.com""#).0, text);
    assert_ne!(key(r#""fanout": "https://e.com/""#).0, text);
    assert_eq!(read(r#"{"url": "https://e.com", "contentBasedDeduplication": false}"#).unwrap().idempotency, None);
}
