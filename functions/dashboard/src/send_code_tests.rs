//! One publish in each tongue, and what could break out of its quotes.

use super::*;

fn told(members: &[(&'static str, &str)]) -> SendCode {
    let document = members.iter().fold(Document::default(), |document, (name, json)| {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        document.raw(name, Some(&raw))
    });
    code("https://tikku.example", "tk_live_ab", Ok(document))
}

#[test]
fn a_publish_is_told_in_four_tongues() {
    let code = told(&[
        ("url", r#""https://a.example/""#),
        ("body", r#"{"it":"isn't","n":[1.50]}"#),
        ("headers", r#"{"x-a":"1"}"#),
        ("delaySeconds", "60"),
        ("maxAttempts", "3"),
        ("backoff", r#"{"type":"fixed","initialSeconds":5}"#),
        ("idempotencyKey", r#""k""#),
        ("labels", r#"["a","b"]"#),
    ]);
    let curl = "curl https://tikku.example/v1/messages \\\n  -H 'authorization: Bearer tk_live_ab…' \\\n  -H 'content-type: application/json' \\\n  -d '{\n  \"url\"";
    assert!(code.curl.starts_with(curl) && code.curl.contains(r#""it": "isn'\''t""#), "{}", code.curl);
    let typescript =
        "await tikku.publish({\n  url: \"https://a.example/\",\n  body: {\n    \"it\": \"isn't\",\n    \"n\": [\n      1.50\n    ]\n  },\n";
    assert!(code.typescript.contains(typescript) && code.typescript.ends_with("\n});"), "{}", code.typescript);
    let rust = "let message = Message::to(\"https://a.example/\")\n    .body(json!({\n        \"it\": \"isn't\",\n        \"n\": [\n            1.5\n        ]\n    }))\n    .header(\"x-a\", \"1\")\n    .delay(Duration::from_secs(60))\n    .max_attempts(3)\n    .field(\"backoff\", json!({";
    assert!(code.rust.contains(rust), "{}", code.rust);
    assert!(code.rust.starts_with("use std::time::Duration;\n\nuse serde_json::json;\nuse tikku::{Message, Tikku};\n"), "{}", code.rust);
    let sql = "select tikku.publish(\n  url => 'https://a.example/',\n  body => '{\n  \"it\": \"isn''t\",";
    assert!(code.sql.starts_with(sql), "{}", code.sql);
    let rest = "  max_attempts => 3,\n  backoff => '{\"initial_seconds\": 5, \"type\": \"fixed\"}'::jsonb,\n  idempotency_key => 'k',\n  labels => array['a', 'b']\n);";
    assert!(code.sql.ends_with(rest), "{}", code.sql);
}

#[test]
fn a_workflow_is_started_by_a_call_of_its_own_in_rust() {
    let code = told(&[("workflow", r#""order-flow""#), ("body", "[1]"), ("delaySeconds", "5")]);
    let call = "let workflow = WorkflowName::<Value, Value>::new(\"order-flow\");\nlet run = tikku.start(workflow, &json!([\n    1\n]), Start { delay_seconds: Some(5), ..Start::default() }).await?;";
    assert!(code.rust.ends_with(call), "{}", code.rust);
}

#[test]
fn what_is_wrong_or_long_is_said_in_the_place_of_code() {
    let wrong = FieldError { field: "body".to_owned(), text: "This is no JSON".to_owned() };
    let code = code("", "", Err(wrong));
    assert_eq!((code.curl.as_str(), code.rust.as_str(), code.sql.as_str()), ("# This is no JSON", "// This is no JSON", ""));
    let long = format!("\"{}\"", "x".repeat(BODY_BYTES_MAX));
    assert!(told(&[("url", "\"x\""), ("body", &long)]).curl.starts_with("# The body is too long"));
}

#[test]
fn rust_writes_texts_its_own_way() {
    let code = told(&[("url", r#""x""#), ("body", r#""a\u0007\"\u00e4""#)]);
    assert!(code.rust.contains(".body(\"a\\u{7}\\\"ä\")") && !code.rust.contains("json"), "{}", code.rust);
}
