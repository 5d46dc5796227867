//! Cancel, retry and resend, at every state of a message.

use std::time::Duration;

use serde_json::json;

use super::{SOON, message, one_second, statuses};
use crate::endpoint::{Ending, Endpoint, Reply};
use crate::host::{ALL, on};

#[test]
fn a_scheduled_message_that_is_cancelled_never_arrives() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let id = d.api.publish(&message(&endpoint, json!({ "delaySeconds": 12 }))).await;
        let cancelled = d.api.act(&format!("/v1/messages/{id}/cancel")).await.expect(200).json();
        assert_eq!((cancelled["id"].as_str(), cancelled["status"].as_str()), (Some(id.as_str()), Some("cancelled")));
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert_eq!(endpoint.count(), 0);
        assert_eq!(d.api.message(&id).await["status"], "cancelled");
    });
}

#[test]
fn a_delivered_message_cannot_be_cancelled() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let id = d.api.publish(&message(&endpoint, json!({}))).await;
        d.api.until(&id, "delivered", SOON).await;
        d.api.act(&format!("/v1/messages/{id}/cancel")).await.problem(409);
        assert_eq!(d.api.message(&id).await["status"], "delivered");
    });
}

#[test]
fn cancelling_during_a_push_lets_a_success_stand_and_stops_a_failure() {
    on(ALL, async |d| {
        for (reply, end) in [(Reply::status(200), "delivered"), (Reply::status(500), "cancelled")] {
            let endpoint = Endpoint::scripted([reply.ending(Ending::Held)]);
            let id = d.api.publish(&message(&endpoint, json!({ "maxAttempts": 5, "backoff": one_second() }))).await;
            endpoint.wait(1, SOON).await;
            let asked = d.api.act(&format!("/v1/messages/{id}/cancel")).await;
            endpoint.release();
            assert!(asked.status == 200 && asked.json()["cancelRequested"] == true, "{asked:?}");
            d.api.until(&id, end, SOON).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(endpoint.count(), 1, "{end}");
        }
    });
}

#[test]
fn a_message_that_waits_for_its_next_attempt_can_be_cancelled_or_hurried() {
    on(ALL, async |d| {
        let slow = json!({ "maxAttempts": 3, "backoff": { "type": "fixed", "initialSeconds": 600, "jitter": false, "maxSeconds": 600 } });
        let endpoint = Endpoint::scripted([Reply::status(500), Reply::status(200)]);
        let hurried = d.api.publish(&message(&endpoint, slow.clone())).await;
        d.api.until(&hurried, "retrying", SOON).await;
        d.api.act(&format!("/v1/messages/{hurried}/retry")).await.expect(200);
        assert_eq!(statuses(&d.api.until(&hurried, "delivered", SOON).await), [json!(500), json!(200)]);

        let endpoint = Endpoint::scripted([Reply::status(500)]);
        let dropped = d.api.publish(&message(&endpoint, slow)).await;
        d.api.until(&dropped, "retrying", SOON).await;
        d.api.act(&format!("/v1/messages/{dropped}/cancel")).await.expect(200);
        assert_eq!(d.api.message(&dropped).await["status"], "cancelled");
    });
}

#[test]
fn resending_makes_a_copy_that_names_its_source_and_leaves_it_alone() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let published = message(&endpoint, json!({ "method": "PUT", "body": { "a": [1, 2] }, "headers": { "x-a": "b" }, "labels": ["l"] }));
        let id = d.api.publish(&published).await;
        let source = d.api.until(&id, "delivered", SOON).await;
        let copy = d.api.act(&format!("/v1/messages/{id}/resend")).await.expect(202).json();
        let copy_id = copy["id"].as_str().unwrap();
        assert_ne!(copy_id, id);
        assert_eq!((copy["status"].is_string(), copy["resentFrom"].as_str()), (true, Some(id.as_str())));
        let kept = d.api.until(copy_id, "delivered", SOON).await;
        for field in ["url", "method", "body", "headers", "labels"] {
            assert_eq!(kept[field], source[field], "{field}");
        }
        let pushes = endpoint.received();
        assert_eq!(pushes.len(), 2);
        assert_eq!((pushes[1].header("webhook-id"), &pushes[1].body), (Some(copy_id), &pushes[0].body));
        assert_eq!(d.api.message(&id).await, source);
    });
}
