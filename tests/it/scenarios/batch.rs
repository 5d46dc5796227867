//! Many messages at once: each judged alone, each with its result in order, the whole refused only for what makes it no batch.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{SOON, message};
use crate::endpoint::{Endpoint, Reply};
use crate::host::{ALL, Deployment, on};

async fn batch(d: &Deployment, messages: Value) -> Vec<Value> {
    let answer = d.api.post("/v1/messages/batch", &json!({ "messages": messages })).await.expect(207).json();
    answer["results"].as_array().unwrap_or_else(|| panic!("no results: {answer:#}")).clone()
}

/// A fanout with these endpoints.
async fn fanout(d: &Deployment, name: &str, endpoints: &[&Endpoint]) {
    let urls: Vec<_> = endpoints.iter().map(|endpoint| json!({ "url": endpoint.url() })).collect();
    let answer = d.api.send("PUT", &format!("/v1/fanouts/{name}"), Some(json!({ "endpoints": urls }).to_string().into_bytes())).await;
    assert!([200, 201].contains(&answer.status), "{answer:?}");
}

/// A name that is unique in the run.
fn name(endpoint: &Endpoint) -> String {
    endpoint.url().rsplit('/').next().unwrap().to_owned()
}

#[test]
fn a_mixed_batch_answers_each_message_in_order_and_sends_the_good_ones() {
    on(ALL, async |d| {
        let [good, doubled, one, two] = [(); 4].map(|()| Endpoint::new());
        let (key, hook) = (doubled.url(), format!("batch-{}", name(&one)));
        fanout(d, &hook, &[&one, &two]).await;
        let first = d.api.publish(&message(&doubled, json!({ "idempotencyKey": format!("{key} first"), "body": 1 }))).await;
        let results = batch(
            d,
            json!([
                message(&good, json!({ "body": "a" })),
                { "url": "ftp://example.com/" },
                message(&doubled, json!({ "idempotencyKey": key, "body": 1 })),
                message(&doubled, json!({ "idempotencyKey": key, "body": 1 })),
                message(&doubled, json!({ "idempotencyKey": key, "body": 2 })),
                7,
                { "fanout": hook, "body": "f", "idempotencyKey": format!("{key} fanout") },
                { "fanout": hook, "body": "f", "idempotencyKey": format!("{key} fanout") },
                { "fanout": format!("{hook}-none") },
                message(&good, json!({ "delaySeconds": 86_400 })),
                message(&good, json!({ "maxAttempts": 0, "nope": 1 })),
                message(&doubled, json!({ "idempotencyKey": format!("{key} first"), "body": 1 })),
                message(&good, json!({ "notBefore": "2200-01-01T00:00:00Z" })),
            ]),
        )
        .await;
        assert_eq!(results.len(), 13);
        let id = |n: usize| results[n]["id"].as_str().unwrap_or_else(|| panic!("no id in {n}: {:#}", results[n])).to_owned();
        let pointers = |n: usize| -> Vec<Value> {
            let problem = &results[n]["problem"];
            assert_eq!(problem["status"], 400, "{n}: {:#}", results[n]);
            problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect()
        };
        assert_eq!(results[0], json!({ "id": id(0), "status": "queued" }));
        assert_eq!(results[2], json!({ "id": id(2), "status": "queued" }));
        assert_eq!((id(3), results[3]["deduplicated"].as_bool()), (id(2), Some(true)));
        assert_eq!(results[4]["problem"]["status"], 422);
        assert!(results[4].to_string().contains(&id(2)), "the first is named: {:#}", results[4]);
        assert_eq!((pointers(1), pointers(5), pointers(8)), (vec![json!("/url")], vec![json!("")], vec![json!("/fanout")]));
        assert_eq!((pointers(10), pointers(12)), (vec![json!("/maxAttempts"), json!("/nope")], vec![json!("/notBefore")]));
        assert_eq!(results[9], json!({ "id": id(9), "status": "scheduled" }));
        assert_eq!((id(11), results[11]["deduplicated"].as_bool()), (first, Some(true)));
        let urls: Vec<_> = results[6]["messages"].as_array().unwrap().iter().map(|m| m["url"].as_str().unwrap().to_owned()).collect();
        assert_eq!(urls, [one.url(), two.url()]);
        let ids = |n: usize| -> Vec<Value> { results[n]["messages"].as_array().unwrap().iter().map(|m| m["id"].clone()).collect() };
        assert_eq!((ids(7), results[7]["deduplicated"].as_bool()), (ids(6), Some(true)));

        for endpoint in [&good, &one, &two] {
            endpoint.only(SOON).await;
        }
        doubled.wait(2, SOON).await;
        assert_eq!(d.api.message(&id(9)).await["status"], "scheduled");
        let stored = d.api.message(ids(6)[1].as_str().unwrap()).await;
        assert_eq!((&stored["fanout"], &stored["publishId"], &stored["body"]), (&json!(hook), &ids(6)[0], &json!("f")));
        assert_eq!(doubled.count(), 2);
    });
}

#[test]
fn a_thousand_messages_are_a_batch_and_one_more_is_none() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let many = |n: usize| json!((0..n).map(|i| message(&endpoint, json!({ "body": i, "delaySeconds": 86_400 }))).collect::<Vec<_>>());
        let results = batch(d, many(1_000)).await;
        let ids: BTreeSet<_> = results.iter().map(|result| result["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 1_000);
        for (index, result) in results.iter().enumerate().step_by(333) {
            assert_eq!(d.api.message(result["id"].as_str().unwrap()).await["body"], index, "results are in order");
        }
        let label = endpoint.url();
        let labelled: Vec<_> = (0..1_001).map(|_| message(&endpoint, json!({ "labels": [label[7..].to_owned()] }))).collect();
        let problem = d.api.post("/v1/messages/batch", &json!({ "messages": labelled })).await.problem(400);
        assert_eq!(problem["errors"][0]["pointer"], "/messages");
        assert!(problem.to_string().contains("1000"), "the limit is named: {problem:#}");
        let page = d.api.get(&format!("/v1/messages?label={}", &label[7..])).await.expect(200).json();
        assert_eq!(page["data"], json!([]), "nothing of it is stored");
    });
}

#[test]
fn what_is_no_batch_is_refused_as_a_whole() {
    on(ALL, async |d| {
        let cases = [
            (json!([]), ""),
            (json!({}), "/messages"),
            (json!({ "messages": [] }), "/messages"),
            (json!({ "messages": { "url": "https://example.com" } }), "/messages"),
            (json!({ "messages": [{}], "nope": 1 }), "/nope"),
        ];
        for (body, pointer) in cases {
            let problem = d.api.post("/v1/messages/batch", &body).await.problem(400);
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
        }
        d.api.send("POST", "/v1/messages/batch", Some(vec![b' '; 5 * 1024 * 1024 + 1])).await.problem(413);
    });
}

#[test]
fn the_key_is_judged_before_the_messages() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let reader = d.api.post("/v1/keys", &json!({ "name": "r", "role": "read" })).await.expect(201).json();
        let bodies = [json!({ "messages": [message(&endpoint, json!({}))] }), json!({ "messages": [7] }), json!({})];
        for body in &bodies {
            d.api.with_key("tk_live_none").post("/v1/messages/batch", body).await.problem(401);
            d.api.with_key("").post("/v1/messages/batch", body).await.problem(401);
            d.api.with_key(reader["key"].as_str().unwrap()).post("/v1/messages/batch", body).await.problem(403);
        }
        assert_eq!(endpoint.count(), 0);
    });
}

#[test]
fn a_fanout_without_room_for_one_publish_delivers_the_others() {
    on(ALL, async |d| {
        let (dead, alive) = (Endpoint::scripted([Reply::status(500)]), Endpoint::new());
        let hook = format!("single-{}", name(&dead));
        let publish = json!({ "fanout": hook, "body": { "n": 1 }, "maxAttempts": 1, "labels": ["l"], "contentBasedDeduplication": true });
        let problem = d.api.post("/v1/messages", &publish).await.problem(400);
        assert_eq!(problem["errors"][0]["pointer"], "/fanout", "it does not exist yet");
        fanout(d, &hook, &[&dead, &alive]).await;
        let answer = d.api.post("/v1/messages", &publish).await.expect(202).json();
        let ids: Vec<_> = answer["messages"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect();
        let again = d.api.post("/v1/messages", &publish).await.expect(202).json();
        let ids_again: Vec<_> = again["messages"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!((ids_again, again["deduplicated"].as_bool()), (ids.clone(), Some(true)));
        d.api.until(&ids[0], "failed", SOON).await;
        d.api.until(&ids[1], "delivered", SOON).await;
        alive.only(SOON).await;
        assert_eq!(dead.count(), 1);
        let listed = d.api.get(&format!("/v1/messages?fanout={hook}")).await.expect(200).json();
        let found: BTreeSet<_> = listed["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(found, ids.into_iter().collect());
        assert_eq!((&listed["counts"]["failed"], &listed["counts"]["delivered"]), (&json!(1), &json!(1)));
    });
}

#[test]
fn fifty_batches_at_once_with_the_same_keys_store_each_message_once() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        let key = endpoint.url();
        let messages = |turned: usize| -> Value {
            let mut list: Vec<_> =
                (0..10).map(|n| message(&endpoint, json!({ "body": n, "idempotencyKey": format!("{key} {n}") }))).collect();
            list.rotate_left(turned % 10);
            json!(list)
        };
        let answers = join_all((0..50).map(|turned| batch(d, messages(turned)))).await;
        let ids: BTreeSet<_> = answers.iter().flatten().map(|result| result["id"].as_str().expect("an id").to_owned()).collect();
        assert_eq!(ids.len(), 10, "whatever the order of the keys");
        let fresh = answers.iter().flatten().filter(|result| result.get("deduplicated").is_none()).count();
        assert_eq!(fresh, 10);
        endpoint.wait(10, SOON).await;
        for id in &ids {
            d.api.until(id, "delivered", SOON).await;
        }
        assert_eq!(endpoint.count(), 10);
    });
}
