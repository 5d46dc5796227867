//! One idempotency key: one message, one push, whoever asks and however many at once.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::json;

use super::{SOON, message};
use crate::endpoint::Endpoint;
use crate::host::{ALL, on};

#[test]
fn fifty_publishers_at_once_with_one_key_get_one_id_and_cause_one_push() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let key = endpoint.url(); // Unique in the run.
        let published = message(&endpoint, json!({ "body": { "n": 1 }, "idempotencyKey": key }));
        let answers = join_all((0..50).map(|_| d.api.post("/v1/messages", &published))).await;
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect(202).json()).collect();
        let ids: BTreeSet<_> = answers.iter().map(|answer| answer["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        let fresh = answers.iter().filter(|answer| answer.get("deduplicated").is_none_or(|d| d == false)).count();
        assert_eq!(fresh, 1, "exactly one was not a duplicate");
        endpoint.only(SOON).await;

        let id = ids.first().unwrap();
        d.api.until(id, "delivered", SOON).await;
        let late = d.api.post("/v1/messages", &published).await.expect(202).json();
        assert_eq!((late["id"].as_str(), late["deduplicated"].as_bool()), (Some(*id), Some(true)), "the key lasts as long as the message");
        assert_eq!(endpoint.count(), 1);
    });
}

#[test]
fn the_same_key_with_another_payload_is_refused_and_names_the_first_message() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let key = endpoint.url();
        let id = d.api.publish(&message(&endpoint, json!({ "body": { "n": 1 }, "idempotencyKey": key }))).await;
        let others = [
            json!({ "body": { "n": 2 } }),
            json!({}),
            json!({ "body": { "n": 1 }, "method": "PUT" }),
            json!({ "body": { "n": 1 }, "headers": { "x": "y" } }),
        ];
        for mut other in others {
            other["idempotencyKey"] = json!(key);
            let problem = d.api.post("/v1/messages", &message(&endpoint, other.clone())).await.problem(422);
            assert!(problem.to_string().contains(&id), "{other}: {problem:#}");
        }
        let other_account = d.new_account(&format!("idempotency {key}"));
        let mine = other_account.publish(&message(&endpoint, json!({ "body": { "n": 3 }, "idempotencyKey": key }))).await;
        assert_ne!(mine, id, "keys of one account are nothing to another");
        endpoint.wait(2, SOON).await;
    });
}

#[test]
fn the_content_is_the_key_where_that_is_asked_for() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let with = |fields: serde_json::Value| {
            let mut published = message(&endpoint, fields);
            published["contentBasedDeduplication"] = json!(true);
            published
        };
        let published = with(json!({ "body": { "n": 1 } }));
        let answers = join_all((0..50).map(|_| d.api.post("/v1/messages", &published))).await;
        let ids: BTreeSet<_> = answers.into_iter().map(|answer| answer.expect(202).json()["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        let later = with(json!({ "body": { "n": 1 }, "labels": ["l"], "delaySeconds": 60 }));
        let same = d.api.post("/v1/messages", &later).await.expect(202).json();
        assert_eq!(
            (same["id"].as_str(), same["deduplicated"].as_bool()),
            (ids.first().map(String::as_str), Some(true)),
            "only the payload counts"
        );
        let others = [
            json!({ "body": { "n": 2 } }),
            json!({ "body": { "n":  1 }, "headers": { "x": "y" } }),
            json!({ "body": { "n": 1 }, "method": "PUT" }),
        ];
        for other in others {
            let id = d.api.publish(&with(other.clone())).await;
            assert!(!ids.contains(&id), "{other}");
        }
        endpoint.wait(4, SOON).await;
        d.api.publish(&message(&endpoint, json!({ "body": { "n": 1 } }))).await;
        endpoint.wait(5, SOON).await;
        let problem = d.api.post("/v1/messages", &with(json!({ "idempotencyKey": "k" }))).await.problem(400);
        assert_eq!(problem["errors"][0]["pointer"], "/contentBasedDeduplication");
        let stranger = d.new_account(&format!("content {}", endpoint.url()));
        assert!(!ids.contains(&stranger.publish(&published).await), "content of one account is nothing to another");
        endpoint.wait(6, SOON).await;
    });
}
