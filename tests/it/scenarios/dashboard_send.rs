//! Sending from the dashboard: what the form says is what the API gets, and a message is sent again as it was or edited.

use serde_json::json;

use super::SOON;
use crate::browser::{Browser, location};
use crate::endpoint::Endpoint;
use crate::host::{ALL, on};

const PATH: &str = "/dashboard/send";

/// The id of the message that an answer leads to.
fn sent(answer: &crate::api::Answer) -> String {
    assert_eq!(answer.status, 303, "{answer:?}");
    location(answer).strip_prefix("/dashboard/messages/").unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

#[test]
fn a_form_publishes_what_it_says() {
    on(ALL, async |d| {
        let (endpoint, browser) = (Endpoint::new(), Browser::signed_in(&d.api).await);
        let url = endpoint.url();
        let fields = [
            ("target", "url"),
            ("method", "PUT"),
            ("url", url.as_str()),
            ("body", "{\"b\": 1.50, \"a\": [\"ä\"]}"),
            ("headers", "X-Team: stock\r\nx-other: 1"),
            ("maxAttempts", "7"),
            ("labels", "by-form, second"),
        ];
        let id = sent(&browser.post(PATH, &fields).await);
        assert!(browser.get(&format!("/dashboard/messages/{id}")).await.expect(200).text.contains("Accepted"));
        let message = d.api.until(&id, "delivered", SOON).await;
        assert_eq!((&message["maxAttempts"], &message["labels"]), (&json!(7), &json!(["by-form", "second"])));
        let received = endpoint.only(SOON).await;
        assert_eq!((&received.method[..], &received.body[..]), ("PUT", "{\"b\": 1.50, \"a\": [\"ä\"]}".as_bytes()));
        assert_eq!(received.header("x-team"), Some("stock"));
    });
}

#[test]
fn what_is_wrong_is_said_above_what_was_typed() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-send-wrong-{:?}", d.host));
        let browser = Browser::signed_in(&api).await;
        for (fields, said) in [
            ([("url", "https://example.com/typed"), ("body", "{")], "This is no JSON"),
            ([("url", "ftp://example.com/typed"), ("body", "{}")], "url"),
            ([("url", "https://example.com/typed"), ("maxAttempts", "many")], "maxAttempts"),
            ([("url", "https://example.com/typed"), ("headers", "nonsense")], "is no header"),
        ] {
            let page = browser.post(PATH, &fields).await.expect(400).text;
            assert!(page.contains("This was not accepted.") && page.contains(said) && page.contains("example.com/typed"), "{page}");
        }
        let unknown = browser.post(PATH, &[("target", "fanout"), ("fanout", "nobody")]).await;
        assert!([400, 404].contains(&unknown.status) && unknown.text.contains("value=\"nobody\""), "{unknown:?}");
        assert_eq!(api.get("/v1/messages").await.expect(200).json()["data"], json!([]));
    });
}

#[test]
fn a_message_is_sent_again_as_it_was_or_edited() {
    on(ALL, async |d| {
        let (endpoint, browser) = (Endpoint::new(), Browser::signed_in(&d.api).await);
        let text = format!(
            r#"{{"url": "{}", "body": {{"b":1.0, "a":2}}, "idempotencyKey": "{}", "labels": ["first"]}}"#,
            endpoint.url(),
            endpoint.url()
        );
        let published = d.api.send("POST", "/v1/messages", Some(text.into_bytes())).await.expect(202).json();
        let id = published["id"].as_str().unwrap();
        d.api.until(id, "delivered", SOON).await;
        let page = browser.get(&format!("/dashboard/messages/{id}/resend")).await.expect(200).text;
        assert!(page.contains("Resend a message") && page.contains("&#34;b&#34;: 1.0") && page.contains("value=\"first\""), "{page}");

        let url = endpoint.url();
        let as_it_was = [
            ("resentFrom", id),
            ("target", "url"),
            ("method", "POST"),
            ("url", url.as_str()),
            ("body", "{\r\n  \"b\": 1.0,\r\n  \"a\": 2\r\n}"),
            ("maxAttempts", "5"),
            ("backoff", "exponential"),
            ("initialSeconds", "1"),
            ("timeoutSeconds", "30"),
            ("labels", "first"),
        ];
        let copy = d.api.until(&sent(&browser.post(PATH, &as_it_was).await), "delivered", SOON).await;
        assert_eq!(copy["resentFrom"], id);
        let edited = as_it_was.map(|(name, value)| (name, if name == "labels" { "second" } else { value }));
        let edited = d.api.until(&sent(&browser.post(PATH, &edited).await), "delivered", SOON).await;
        assert_eq!((&edited["resentFrom"], &edited["labels"], &edited["idempotencyKey"]), (&json!(null), &json!(["second"]), &json!(null)));
        let bodies: Vec<_> = endpoint.wait(3, SOON).await.into_iter().map(|received| received.body).collect();
        assert!(bodies.iter().all(|body| body[..] == br#"{"b":1.0, "a":2}"#[..]), "byte for byte");
    });
}

#[test]
fn a_publish_is_told_in_other_tongues_while_it_is_typed() {
    on(ALL, async |d| {
        let browser = Browser::signed_in(&d.api).await;
        let typed = [("target", "url"), ("url", "https://example.com/hook"), ("body", "{\"it\": \"isn't <b>\"}"), ("delaySeconds", "60")];
        let code = browser.post("/dashboard/send/code", &typed).await.expect(200).text;
        assert!(!code.contains("<html") && !code.contains("<b>\""), "{code}");
        for said in [
            "curl ",
            "isn&#39;\\&#39;&#39;t",
            "tikku.publish({",
            "Message::to(&#34;https://example.com/hook&#34;)",
            "delay_seconds =&#62; 60",
        ] {
            assert!(code.contains(said), "{said}: {code}");
        }
        let code = browser.post("/dashboard/send/code", &[("url", "https://example.com"), ("body", "{")]).await.expect(200).text;
        assert!(code.contains("This is no JSON"), "{code}");
    });
}

#[test]
fn a_fanout_gets_a_message_for_each_endpoint_and_the_role_read_sends_nothing() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-send-fanout-{:?}", d.host));
        let endpoints = json!({ "endpoints": [{ "url": "https://example.com/a" }, { "url": "https://example.com/b" }] });
        api.put("/v1/fanouts/orders", &endpoints).await.expect(201);
        let browser = Browser::signed_in(&api).await;
        let page = browser.get("/dashboard/send?fanout=orders").await.expect(200).text;
        assert!(page.contains("value=\"fanout\" data-show=\"target\" checked") && page.contains("value=\"orders\""), "{page}");
        let form = [("target", "fanout"), ("fanout", "orders"), ("body", "1"), ("delaySeconds", "3600")];
        let reader = api.post("/v1/keys", &json!({ "role": "read" })).await.expect(201).json();
        let reader = Browser::signed_in(&api.with_key(reader["key"].as_str().unwrap())).await;
        assert!(reader.post(PATH, &form).await.expect(403).text.contains("This needs a key of role admin or publish."));
        assert_eq!(api.get("/v1/messages").await.expect(200).json()["data"], json!([]));
        let answer = browser.post(PATH, &form).await.expect(303);
        assert_eq!(location(&answer), "/dashboard/messages?fanout=orders");
        let list = browser.get(location(&answer)).await.expect(200).text;
        assert!(list.contains("Accepted: 2 messages") && list.contains("example.com"), "{list}");
        assert_eq!(api.get("/v1/messages").await.expect(200).json()["data"].as_array().unwrap().len(), 2);
    });
}
