//! Bad input on every field: a problem document with a JSON pointer, status 4xx, nothing stored.

use serde_json::{Value, json};

use super::SOON;
use crate::endpoint::Endpoint;
use crate::host::{ALL, on};

const WRONG_URLS: &[&str] = &[
    "null",
    "7",
    "[]",
    "{}",
    "\"\"",
    "\"/relative\"",
    "\"example.com\"",
    "\"ftp://example.com/\"",
    "\"file:///etc/passwd\"",
    "\"javascript:alert(1)\"",
    "\"http://\"",
    "\"http:///path\"",
    "\"http://user:pass@example.com/\"",
    "\"http://@example.com/\"",
    "\"http://example.com:0/\"",
    "\"http://example.com:65536/\"",
    "\"http://exa mple.com/\"",
    "\"http://example.com/\\r\\nx-injected: 1\"",
    "\" http://example.com/\"",
    "\"http://[::1\"",
    "\"http://example.com/\\u0000\"",
];

// (field, its value as JSON text, the pointer that must be named)
const WRONG_FIELDS: &[(&str, &[&str], &str)] = &[
    ("method", &["7", "\"\"", "\"TRACE\"", "\"CONNECT\"", "\"get it\"", "\"POST\\r\\nx: y\"", "[\"POST\"]"], "/method"),
    ("headers", &["7", "\"a: b\"", "[]", "[[\"a\",\"b\"]]"], "/headers"),
    ("headers", &[r#"{"x": 1}"#, r#"{"x": null}"#, r#"{"x": ["a"]}"#], "/headers/x"),
    (
        "headers",
        &[
            r#"{"": "v"}"#,
            r#"{"a b": "v"}"#,
            r#"{"a:": "v"}"#,
            r#"{"a\r\nx-injected": "v"}"#,
            r#"{"x": "v\r\nx-injected: 1"}"#,
            r#"{"x": "v\n"}"#,
            r#"{"x": "\u0000"}"#,
            r#"{"\u00e9": "v"}"#,
            r#"{"Host": "example.org"}"#,
            r#"{"content-length": "0"}"#,
            r#"{"Transfer-Encoding": "chunked"}"#,
            r#"{"connection": "close"}"#,
            r#"{"webhook-id": "x"}"#,
            r#"{"Webhook-Signature": "v1,x"}"#,
            r#"{"tikku-anything": "x"}"#,
            r#"{"te": "trailers"}"#,
            r#"{"upgrade": "h2c"}"#,
            r#"{"keep-alive": "1"}"#,
            r#"{"x": "a", "X": "b"}"#,
        ],
        "/headers",
    ),
    ("delaySeconds", &["-1", "1.5", "\"1\"", "315360001", "1e99", "[]", "true"], "/delaySeconds"),
    (
        "notBefore",
        &["\"\"", "\"tomorrow\"", "7", "\"2026-01-01\"", "\"2026-01-01T00:00:00\"", "\"2026-13-01T00:00:00Z\"", "\"2200-01-01T00:00:00Z\""],
        "/notBefore",
    ),
    ("maxAttempts", &["0", "-1", "101", "1.5", "\"3\"", "1e30"], "/maxAttempts"),
    ("timeoutSeconds", &["0", "-1", "841", "2.5", "\"30\""], "/timeoutSeconds"),
    ("backoff", &["7", "\"fixed\"", "[]"], "/backoff"),
    ("backoff", &[r#"{"type": "cubic"}"#, r#"{"type": 7}"#], "/backoff/type"),
    ("backoff", &[r#"{"initialSeconds": -1}"#, r#"{"initialSeconds": "1"}"#, r#"{"initialSeconds": 31536001}"#], "/backoff/initialSeconds"),
    ("backoff", &[r#"{"factor": 0.5}"#, r#"{"factor": "2"}"#, r#"{"factor": 101}"#, r#"{"factor": 1e999}"#], "/backoff/factor"),
    (
        "backoff",
        &[r#"{"maxSeconds": -1}"#, r#"{"maxSeconds": 31536001}"#, r#"{"initialSeconds": 9, "maxSeconds": 8}"#],
        "/backoff/maxSeconds",
    ),
    ("backoff", &[r#"{"jitter": 1}"#, r#"{"jitter": "true"}"#], "/backoff/jitter"),
    ("backoff", &[r#"{"nope": 1}"#], "/backoff/nope"),
    ("idempotencyKey", &["\"\"", "7", "{}", "\"\\u0000\""], "/idempotencyKey"),
    ("labels", &["\"l\"", "7", "{}", "[7]", "[null]"], "/labels"),
    ("labels", &["[\"\"]"], "/labels/0"),
    ("nope", &["1"], "/nope"),
    ("id", &["\"msg_1\""], "/id"),
    ("a/b~c", &["1"], "/a~1b~0c"),
];

fn wrong_messages() -> Vec<(String, &'static str)> {
    let with = |field: &str, value: &str| format!(r#"{{"url": "http://example.com/", "{field}": {value}}}"#);
    let mut cases: Vec<(String, &'static str)> = ["null", "[]", "\"text\"", "7", "true"].map(|whole| (whole.to_owned(), "")).to_vec();
    cases.extend(WRONG_URLS.iter().map(|url| (format!(r#"{{"url": {url}}}"#), "/url")));
    for (field, values, pointer) in WRONG_FIELDS {
        cases.extend(values.iter().map(|value| (with(field, value), *pointer)));
    }
    // One more than each limit.
    let text = |n: usize| json!("k".repeat(n)).to_string();
    let labels = json!((0..11).map(|i| format!("l{i}")).collect::<Vec<_>>()).to_string();
    let headers = json!((0..65).map(|i| (format!("x-{i}"), json!("v"))).collect::<serde_json::Map<_, _>>()).to_string();
    cases.extend([
        (format!(r#"{{"url": "http://example.com/{}"}}"#, "x".repeat(2_048)), "/url"),
        (with("headers", &headers), "/headers"),
        (with("headers", &json!({ "x": "v".repeat(32_768) }).to_string()), "/headers"),
        (with("idempotencyKey", &text(256)), "/idempotencyKey"),
        (with("labels", &labels), "/labels"),
        (with("labels", &format!("[{}]", text(65))), "/labels/0"),
        (with("body", &text(4 * 1024 * 1024 - 1)), "/body"),
        (r#"{"body": 1}"#.to_owned(), "/url"),
        (r#"{"url": "http://example.com/", "method": "GET", "body": 1}"#.to_owned(), "/body"),
        (r#"{"url": "http://example.com/", "delaySeconds": 1, "notBefore": "2030-01-01T00:00:00Z"}"#.to_owned(), "/notBefore"),
    ]);
    cases
}

#[test]
fn bad_input_on_every_field_is_refused_with_a_pointer_and_nothing_is_stored() {
    on(ALL, async |d| {
        let api = d.new_account("bad input");
        let mut unexpected = Vec::new();
        for (text, pointer) in wrong_messages() {
            let answer = api.send("POST", "/v1/messages", Some(text.clone().into_bytes())).await;
            let shown = &text[..text.len().min(160)];
            let Ok(problem) = serde_json::from_str::<Value>(&answer.text) else {
                unexpected.push(format!("{shown}: no problem document: {answer:?}"));
                continue;
            };
            let content_type = answer.headers.get("content-type").and_then(|v| v.to_str().ok());
            let pointers: Vec<&str> = problem["errors"].as_array().into_iter().flatten().filter_map(|e| e["pointer"].as_str()).collect();
            let named = pointers.iter().any(|p| *p == pointer || (pointer == "/headers" && p.starts_with("/headers/")));
            if answer.status != 400 || content_type != Some("application/problem+json") || !named {
                unexpected.push(format!("{shown}: {} {content_type:?}, pointers {pointers:?} instead of {pointer:?}", answer.status));
            }
        }
        assert!(unexpected.is_empty(), "{} cases:\n{}", unexpected.len(), unexpected.join("\n"));
        assert_eq!(api.get("/v1/messages").await.expect(200).json()["data"], json!([]), "something was stored");
    });
}

#[test]
fn what_is_no_json_is_refused() {
    on(ALL, async |d| {
        let api = d.new_account("no json");
        let cases: &[&[u8]] = &[
            b"",
            b"{",
            b"{\"url\": \"http://example.com/\",}",
            b"{'url': 1}",
            b"\xff\xfe",
            b"{\"url\": \"http://example.com/\xff\"}",
            b"{\"url\": 1} {}",
            b"nul",
        ];
        for case in cases {
            api.send("POST", "/v1/messages", Some(case.to_vec())).await.problem(400);
        }
        let duplicate = br#"{"url": "http://example.com/", "maxAttempts": 1, "maxAttempts": 2}"#;
        let answer = api.send("POST", "/v1/messages", Some(duplicate.to_vec())).await;
        assert_eq!(answer.problem(400)["errors"][0]["pointer"], "/maxAttempts", "a field given twice");
        assert_eq!(api.get("/v1/messages").await.expect(200).json()["data"], json!([]));
    });
}

#[test]
fn a_body_nested_a_hundred_thousand_deep_hurts_nobody() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let answer =
            d.api.send("POST", "/v1/messages", Some(format!(r#"{{"url": "{}", "body": {deep}}}"#, endpoint.url()).into_bytes())).await;
        if answer.status == 202 {
            assert!(endpoint.only(SOON).await.body == deep.as_bytes(), "it arrived otherwise");
        } else {
            answer.problem(400);
        }
    });
}

#[test]
fn what_is_at_a_limit_is_accepted() {
    on(ALL, async |d| {
        let api = d.new_account("limits");
        let url = "http://example.com/";
        let labels: Vec<String> = (0..10).map(|n| format!("{n}{}", "l".repeat(63))).collect();
        let many: serde_json::Map<String, Value> = (0..64).map(|n| (format!("x-{n}"), json!("v"))).collect();
        let later = 86_400;
        for fields in [
            json!({ "labels": labels, "idempotencyKey": "k".repeat(255), "maxAttempts": 100, "delaySeconds": 315_360_000 }),
            json!({ "headers": many, "delaySeconds": later, "maxAttempts": 1, "timeoutSeconds": 1 }),
            json!({ "headers": { "x": "v".repeat(32_767) }, "delaySeconds": later }),
            json!({ "backoff": { "type": "linear", "initialSeconds": 0, "maxSeconds": 31_536_000, "factor": 100, "jitter": true }, "delaySeconds": later }),
            json!({ "body": "x".repeat(4 * 1024 * 1024 - 2), "delaySeconds": later }),
        ] {
            let mut message = fields;
            message["url"] = json!(url);
            let answer = api.post("/v1/messages", &message).await;
            assert_eq!(answer.status, 202, "{:.200}: {answer:?}", message.to_string());
        }
        let long = format!("{url}{}", "x".repeat(2_048 - url.len()));
        api.publish(&json!({ "url": long, "delaySeconds": later })).await;
        let large = format!(r#"{{"url": "{url}", "body": "{}"}}"#, "x".repeat(5 * 1024 * 1024));
        let answer = api.send("POST", "/v1/messages", Some(large.into_bytes())).await;
        assert_eq!(answer.status, 413, "{answer:?}");
    });
}

#[test]
fn bad_input_to_keys_is_refused_with_a_pointer() {
    on(ALL, async |d| {
        let cases = [
            (json!({ "name": "n", "role": "owner" }), "/role"),
            (json!({ "name": "n", "role": 7 }), "/role"),
            (json!({ "name": 7, "role": "read" }), "/name"),
            (json!({ "name": "n".repeat(65), "role": "read" }), "/name"),
            (json!({ "name": "n", "role": "read", "nope": 1 }), "/nope"),
            (json!([]), ""),
        ];
        for (body, pointer) in cases {
            let problem = d.api.post("/v1/keys", &body).await.problem(400);
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
        }
    });
}
