//! What arrives: once, with its headers, its exact bytes and a signature that the libraries of others verify.

use futures_util::future::join_all;
use serde_json::json;

use super::{SOON, assert_signed, attempts, message, ms, statuses};
use crate::endpoint::{Endpoint, now_ms};
use crate::host::{ALL, on};

#[test]
fn a_message_arrives_once_with_its_headers_and_a_signature_that_verifies() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let url = format!("{}/hook/a%20b?x=1&y=%2F", endpoint.url());
        let published =
            json!({ "url": url, "body": { "order": 42 }, "headers": { "X-Order": "42", "x-text": "a, b; c" }, "labels": ["orders"] });
        let answer = d.api.post("/v1/messages", &published).await.expect(202).json();
        assert_eq!(answer["status"], "queued");
        let id = answer["id"].as_str().unwrap();
        assert!(id.len() == 36 && id.starts_with("msg_") && id[4..].bytes().all(|b| b.is_ascii_hexdigit()), "{id}");

        let push = endpoint.only(SOON).await;
        assert_eq!((push.method.as_str(), push.rest.as_str()), ("POST", "/hook/a%20b?x=1&y=%2F"));
        assert_eq!(&push.body[..], br#"{"order":42}"#);
        for (name, value) in [("x-order", "42"), ("x-text", "a, b; c"), ("content-type", "application/json"), ("webhook-id", id)] {
            assert_eq!(push.header(name), Some(value), "{name}");
        }
        let timestamp: i64 = push.header("webhook-timestamp").unwrap().parse().unwrap();
        assert!((timestamp * 1000 - now_ms()).abs() < 30_000, "webhook-timestamp {timestamp}");
        assert_signed(d, &push);

        let kept = d.api.until(id, "delivered", SOON).await;
        for field in ["url", "body", "headers", "labels"] {
            assert_eq!(kept[field], published[field], "{field}");
        }
        assert!(ms(&kept["createdAt"]) <= ms(&kept["dueAt"]) + 1);
        assert_eq!(statuses(&kept), [json!(200)]);
        let attempt = &attempts(&kept)[0];
        assert_eq!(attempt["number"], 1);
        assert!(
            ms(&attempt["startedAt"]) >= ms(&kept["createdAt"]) && attempt["durationMs"].is_u64() && attempt["worker"].is_string(),
            "{attempt:#}"
        );
    });
}

#[test]
fn a_body_of_every_json_type_arrives_byte_for_byte() {
    on(ALL, async |d| {
        let long = format!("\"{}\"", "0123456789abcdef".repeat(65_536)); // 1 MiB and two quotes.
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let bodies = [
            "null",
            "true",
            "false",
            "0",
            "-0.0",
            "\"\"",
            "[]",
            "{}",
            "1e300",
            "12345678901234567890.12345678901234567890",
            r#"{"a":1,"a":2,"b":{"z":1,"a":2}}"#,
            "{ \"spaced\" :\t[ 1 ,\n2 ] }",
            "\"\u{1F600} \u{10FFFF} \u{e9}\"",
            r#""\ud83d\ude00 \u00e9 \/""#,
            r#""nul \u0000 escape""#,
            r#"{"\u0000":"\u0000"}"#,
            &long,
            &deep,
        ];
        join_all(bodies.iter().map(async |body: &&str| {
            let endpoint = Endpoint::new();
            let request = format!(r#"{{"url":"{}","body": {body} }}"#, endpoint.url());
            let answer = d.api.send("POST", "/v1/messages", Some(request.into_bytes())).await;
            let shown = &body[..body.len().min(80)];
            assert_eq!(answer.status, 202, "{shown}: {answer:?}");
            let push = endpoint.only(SOON).await;
            assert!(push.body == body.as_bytes(), "{shown} arrived as {:?}", &push.body[..push.body.len().min(80)]);
            assert_eq!(push.header("content-type"), Some("application/json"));
            assert_signed(d, &push);
            let id = answer.json()["id"].as_str().unwrap().to_owned();
            let kept = d.api.get(&format!("/v1/messages/{id}")).await.expect(200);
            assert!(kept.text.contains(&format!("\"body\":{body}")), "{shown} is shown as {}", &kept.text[..kept.text.len().min(400)]);
        }))
        .await;
    });
}

#[test]
fn a_message_without_a_body_arrives_empty_and_without_a_content_type() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let id = d.api.publish(&message(&endpoint, json!({}))).await;
        let push = endpoint.only(SOON).await;
        assert_eq!((push.body.len(), push.header("content-type")), (0, None), "{push:#?}");
        assert_signed(d, &push);
        assert!(d.api.message(&id).await.get("body").is_none(), "an absent body is not a null body");
    });
}

#[test]
fn each_method_is_used_as_asked() {
    on(ALL, async |d| {
        join_all(["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD"].map(async |method| {
            let endpoint = Endpoint::new();
            let mut published = message(&endpoint, json!({ "method": method }));
            if !["GET", "HEAD"].contains(&method) {
                published["body"] = json!({ "by": method });
            }
            let id = d.api.publish(&published).await;
            let push = endpoint.only(SOON).await;
            assert_eq!(push.method, method);
            let body = published.get("body").map_or(String::new(), ToString::to_string);
            assert_eq!(&push.body[..], body.as_bytes(), "{method}");
            assert_signed(d, &push);
            d.api.until(&id, "delivered", SOON).await;
        }))
        .await;
    });
}

#[test]
fn a_content_type_of_the_publisher_replaces_ours() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let cloud_event = "application/cloudevents+json";
        d.api.publish(&message(&endpoint, json!({ "body": {}, "headers": { "Content-Type": cloud_event } }))).await;
        let push = endpoint.only(SOON).await;
        let types: Vec<_> = push.headers.iter().filter(|(name, _)| name == "content-type").map(|(_, value)| value.as_str()).collect();
        assert_eq!(types, [cloud_event]);
    });
}
