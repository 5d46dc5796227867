//! The dead-letter queue, what works on many messages at once, and what becomes of finished messages in the end.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{SOON, message, one_second};
use crate::api::Api;
use crate::endpoint::{Endpoint, Reply};
use crate::host::{ALL, Deployment, on};

// Publishes so many with a budget of one to an endpoint that fails, and waits for their end.
pub(super) async fn dead(api: &Api, endpoint: &Endpoint, n: usize, label: &str) -> Vec<String> {
    let body = message(endpoint, json!({ "maxAttempts": 1, "labels": [label] }));
    let ids = join_all((0..n).map(|_| api.publish(&body))).await;
    for id in &ids {
        api.until(id, "failed", SOON).await;
    }
    ids
}

// The database's id of an account.
async fn account_of(api: &Api) -> String {
    let id = api.get("/v1/account").await.expect(200).json()["id"].as_str().unwrap().to_owned();
    id.strip_prefix("acc_").unwrap().to_owned()
}

// Dead letters that failed an hour ago, made in the database: publishing so many takes some hosts minutes.
pub(super) async fn bury(d: &Deployment, api: &Api, endpoint: &Endpoint, n: usize) {
    let (account, url) = (account_of(api).await, endpoint.url());
    d.sql(&format!(
        "with ids as materialized (select tikku.new_id() as id from generate_series(1, {n})),
         c as (insert into tikku.message_content (account_id, message_id, created_at, url, method, headers, backoff, labels)
           select '{account}', id, tikku.clock_now(), '{url}', 'POST', '[]', '{{\"type\":\"fixed\",\"initialMs\":1000,\"factor\":1.0,\"maxMs\":1000,\"jitter\":false}}', '{{}}' from ids)
         insert into tikku.message (id, account_id, state, due_at, finished_at, max_attempts, attempts, timeout_ms)
           select id, '{account}', 'failed', tikku.clock_now(), tikku.clock_now() - interval '1 hour', 1, 1, 30000 from ids"
    ))
    .await;
}

async fn counts(api: &Api) -> Value {
    api.get("/v1/messages?limit=1").await.expect(200).json()["counts"].clone()
}

#[test]
fn dead_letters_are_listed_by_filter_and_delivered_after_a_retry_once_the_endpoint_works() {
    on(ALL, async |d| {
        let api = d.new_account("dlq-retry");
        let (broken, other) = (Endpoint::scripted([Reply::status(500)]), Endpoint::scripted([Reply::status(500)]));
        let ids = dead(&api, &broken, 3, "a").await;
        let others = dead(&api, &other, 2, "b").await;
        let good = api.publish(&message(&Endpoint::new(), json!({}))).await;
        api.until(&good, "delivered", SOON).await;
        let listed = async |query: &str| {
            let page = api.get(&format!("/v1/dlq{query}")).await.expect(200).json();
            page["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!((listed("").await.len(), listed("?label=b").await.len(), listed("?limit=4").await.len()), (5, 2, 4));
        assert!(listed(&format!("?url={}", broken.url_at(""))).await.iter().all(|id| ids.contains(id)));
        api.get("/v1/dlq?status=delivered").await.problem(400);

        broken.script([Reply::status(200)]);
        let done = api.post("/v1/dlq/retry", &json!({ "filter": { "label": "a" } })).await.expect(200).json();
        assert_eq!((&done["count"], &done["remaining"]), (&json!(3), &json!(0)), "{done}");
        for id in &ids {
            let kept = api.until(id, "delivered", SOON).await;
            assert_eq!(kept["attemptCount"], 2, "{kept:#}");
        }
        assert_eq!((other.count(), listed("").await.len()), (2, 2), "the others stay");
        let unknown = json!({ "ids": [others[0], ids[0], "msg_00000000000000000000000000000000"] });
        let done = api.post("/v1/dlq/delete", &unknown).await.expect(200).json();
        assert_eq!((&done["count"], &done["remaining"]), (&json!(1), &json!(0)), "what is delivered is no dead letter");
        api.get(&format!("/v1/messages/{}", others[0])).await.problem(404);
        assert_eq!(listed("").await, [others[1].clone()]);
        assert_eq!(d.api.post("/v1/dlq/delete", &json!({ "ids": [others[1]] })).await.expect(200).json()["count"], 0, "another account's");
    });
}

#[test]
fn a_bulk_retry_in_chunks_does_each_once_and_leaves_what_fails_meanwhile() {
    on(ALL, async |d| {
        let api = d.new_account("dlq-bulk");
        let (works, broken) = (Endpoint::new(), Endpoint::scripted([Reply::status(500)]));
        bury(d, &api, &works, 1_200).await;
        let first = api.post("/v1/dlq/retry", &json!({ "filter": {} })).await.expect(200).json();
        assert_eq!((&first["count"], &first["remaining"]), (&json!(1_000), &json!(200)), "{first}");
        dead(&api, &broken, 5, "new").await;
        let rest = json!({ "filter": {}, "asOf": first["asOf"] });
        let second = api.post("/v1/dlq/retry", &rest).await.expect(200).json();
        assert_eq!((&second["count"], &second["remaining"]), (&json!(200), &json!(0)), "{second}");
        assert_eq!(second["asOf"], first["asOf"]);
        works.wait(1_200, Duration::from_secs(120)).await;
        let begun = std::time::Instant::now();
        while counts(&api).await["delivered"] != 1_200 {
            assert!(begun.elapsed() < SOON, "{}", counts(&api).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!((counts(&api).await["failed"].clone(), broken.count()), (json!(5), 5), "those that failed later are untouched");
        let mut pushed: Vec<String> = works.received().iter().map(|push| push.header("webhook-id").unwrap().to_owned()).collect();
        pushed.sort_unstable();
        pushed.dedup();
        assert_eq!(pushed.len(), 1_200);
        let done = api.post("/v1/dlq/delete", &json!({ "filter": {} })).await.expect(200).json();
        assert_eq!((&done["count"], &done["remaining"]), (&json!(5), &json!(0)), "{done}");
        assert_eq!(api.get("/v1/dlq").await.expect(200).json()["data"], json!([]));
    });
}

#[test]
fn messages_cancelled_by_filter_never_arrive_and_those_after_them_in_their_flow_go_on() {
    on(ALL, async |d| {
        let api = d.new_account("bulk-cancel");
        let (later, broken, works) = (Endpoint::new(), Endpoint::scripted([Reply::status(500)]), Endpoint::new());
        // A flow that keeps its order: the second waits until the first is over.
        let flow = json!({ "key": "ordered", "parallelism": 1 });
        let slow = json!({ "type": "fixed", "initialSeconds": 600, "maxSeconds": 600, "jitter": false });
        let head =
            api.publish(&message(&broken, json!({ "labels": ["drop"], "maxAttempts": 5, "backoff": slow, "flowControl": flow }))).await;
        api.until(&head, "retrying", SOON).await;
        let next = api.publish(&message(&works, json!({ "flowControl": flow, "backoff": one_second() }))).await;
        let ids = join_all((0..3).map(|_| api.publish(&message(&later, json!({ "delaySeconds": 20, "labels": ["drop"] }))))).await;
        let kept = api.publish(&message(&later, json!({ "delaySeconds": 20 }))).await;

        let done = api.post("/v1/messages/cancel", &json!({ "filter": { "label": "drop" } })).await.expect(200).json();
        assert_eq!((&done["count"], &done["remaining"]), (&json!(4), &json!(0)), "{done}");
        api.until(&next, "delivered", SOON).await;
        api.until(&kept, "delivered", SOON).await;
        for id in ids.iter().chain([&head]) {
            assert_eq!(api.message(id).await["status"], "cancelled");
        }
        assert_eq!((later.count(), broken.count()), (1, 1));
        let again = api.post("/v1/messages/cancel", &json!({ "filter": {} })).await.expect(200).json();
        assert_eq!((&again["count"], &again["remaining"]), (&json!(0), &json!(0)), "all is over");
    });
}

#[test]
fn a_bulk_request_that_says_nothing_or_too_much_is_refused() {
    on(ALL, async |d| {
        for route in ["/v1/dlq/retry", "/v1/dlq/delete", "/v1/messages/cancel"] {
            for body in [
                json!({}),
                json!({ "ids": [], "filter": {} }),
                json!({ "ids": ["x"] }),
                json!({ "filter": { "status": "failed" } }),
                json!({ "filter": {}, "asOf": "x" }),
            ] {
                let problem = d.api.post(route, &body).await.problem(400);
                assert!(problem["errors"][0]["pointer"].is_string(), "{route} {body}: {problem}");
            }
        }
    });
}

#[test]
fn finished_messages_go_when_their_retention_is_over() {
    on(ALL, async |d| {
        let api = d.new_account("retention");
        let endpoint = Endpoint::new();
        let [old, new] = [api.publish(&message(&endpoint, json!({}))).await, api.publish(&message(&endpoint, json!({}))).await];
        for id in [&old, &new] {
            api.until(id, "delivered", SOON).await;
        }
        assert_eq!(
            api.send_with("PATCH", "/v1/account", &[], Some(&json!({ "retentionDays": 2 }))).await.expect(200).json()["retentionDays"],
            2
        );
        let id = &old["msg_".len()..];
        d.sql(&format!("update tikku.message set finished_at = finished_at - interval '49 hours' where id = '{id}'")).await;
        let begun = std::time::Instant::now();
        while api.get(&format!("/v1/messages/{old}")).await.status != 404 {
            assert!(begun.elapsed() < SOON, "it is still there");
            // As if ten minutes had passed since the last round; again if one that had begun earlier ended meanwhile.
            d.sql("update tikku.tick set prune_at = '-infinity'").await;
            d.tick().await;
        }
        assert_eq!(api.message(&new).await["status"], "delivered");
        let left = d.sql(&format!("select 1 from tikku.attempt where message_id = '{id}'")).await;
        assert_eq!(left, Vec::<Vec<Option<String>>>::new());
    });
}
