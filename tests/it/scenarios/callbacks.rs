//! Callbacks: who asked to be told of an end is told, once it has come, by a message like any other.

use std::time::Duration;

use serde_json::{Value, json};

use super::{SOON, assert_signed, message, one_second};
use crate::endpoint::{Endpoint, Reply};
use crate::host::{ALL, on};

#[test]
fn a_delivery_is_told_with_the_answer_and_a_failure_with_the_last_one() {
    on(ALL, async |d| {
        let (told, gone) = (Endpoint::new(), Endpoint::new());
        let urls = json!({ "callbackUrl": told.url(), "failureCallbackUrl": gone.url(), "maxAttempts": 2, "backoff": one_second() });

        let good = Endpoint::scripted([Reply::status(500), Reply::status(201).header("X-Answer", "yes").body(b"well \xff done".to_vec())]);
        let id = d.api.publish(&message(&good, urls.clone())).await;
        let push = told.wait(1, SOON).await.remove(0);
        assert_signed(d, &push);
        let body: Value = serde_json::from_slice(&push.body).unwrap();
        assert_eq!((&body["messageId"], &body["status"], &body["attempts"]), (&json!(id), &json!("delivered"), &json!(2)));
        assert_eq!((&body["response"]["status"], &body["response"]["headers"]["x-answer"]), (&json!(201), &json!("yes")));
        assert_eq!(body["response"]["body"], "well \u{fffd} done");
        assert_eq!(push.header("content-type"), Some("application/json"));
        let callback = d.api.until(push.header("webhook-id").unwrap(), "delivered", SOON).await;
        assert_eq!((&callback["callbackOf"], &callback["callbackUrl"]), (&json!(id), &Value::Null), "{callback:#}");

        let bad = Endpoint::scripted([Reply::status(503).body(b"first".to_vec()), Reply::status(502).body(b"last".to_vec())]);
        let id = d.api.publish(&message(&bad, urls.clone())).await;
        let body: Value = serde_json::from_slice(&gone.wait(1, SOON).await[0].body).unwrap();
        assert_eq!((&body["messageId"], &body["status"], &body["attempts"]), (&json!(id), &json!("failed"), &json!(2)));
        assert_eq!((&body["response"]["status"], &body["response"]["body"]), (&json!(502), &json!("last")));
        assert_eq!((told.count(), gone.count()), (1, 1), "each end is told once, to whom it concerns");
    });
}

#[test]
fn a_callback_is_retried_fails_on_its_own_and_has_no_callback() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let teller = Endpoint::scripted([Reply::status(500), Reply::status(410)]);
        let id = d.api.publish(&message(&endpoint, json!({ "callbackUrl": teller.url(), "failureCallbackUrl": teller.url() }))).await;
        let pushes = teller.wait(2, SOON).await;
        assert_eq!(pushes[0].header("webhook-id"), pushes[1].header("webhook-id"), "the same message, tried again");
        let callback = d.api.until(pushes[0].header("webhook-id").unwrap(), "failed", SOON).await;
        assert_eq!(callback["callbackOf"], json!(id));
        assert_eq!(d.api.message(&id).await["status"], "delivered", "what it told of is untouched");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(teller.count(), 2, "nobody is told of a callback's end");
    });
}

#[test]
fn a_cancelled_message_is_told_to_nobody() {
    on(ALL, async |d| {
        let (endpoint, teller) = (Endpoint::new(), Endpoint::new());
        let fields = json!({ "delaySeconds": 600, "callbackUrl": teller.url(), "failureCallbackUrl": teller.url() });
        let id = d.api.publish(&message(&endpoint, fields)).await;
        d.api.act(&format!("/v1/messages/{id}/cancel")).await.expect(200);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!((endpoint.count(), teller.count()), (0, 0));
    });
}
