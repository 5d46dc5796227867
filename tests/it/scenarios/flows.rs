//! Flow control and circuit breakers: what keys hold up, and what operators do about it.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{SOON, message, ms, one_second, statuses};
use crate::api::{Answer, Api};
use crate::endpoint::{Ending, Endpoint, Received, Reply, now_ms};
use crate::host::{ALL, Deployment, Host, on, on_calm};

// A message of a flow to this endpoint.
fn flowing(endpoint: &Endpoint, flow: Value, fields: Value) -> Value {
    let mut message = message(endpoint, fields);
    message["flowControl"] = flow;
    message
}

// Publishes in order, by one request.
async fn publish_all(api: &Api, messages: Vec<Value>) -> Vec<String> {
    let answer = api.post("/v1/messages/batch", &json!({ "messages": messages })).await.expect(207).json();
    let id = |result: &Value| result["id"].as_str().unwrap_or_else(|| panic!("{answer:#}")).to_owned();
    answer["results"].as_array().unwrap_or_else(|| panic!("{answer:#}")).iter().map(id).collect()
}

// The most requests that the endpoint had at once, when each took so long.
fn most_at_once(pushes: &[Received], took: Duration) -> usize {
    let took_ms = i64::try_from(took.as_millis()).unwrap();
    let at = |time: i64| pushes.iter().filter(|push| push.at_ms <= time && time < push.at_ms + took_ms).count();
    pushes.iter().map(|push| at(push.at_ms)).max().unwrap_or(0)
}

fn ids_of(pushes: &[Received]) -> Vec<String> {
    pushes.iter().map(|push| push.header("webhook-id").unwrap().to_owned()).collect()
}

async fn flow(api: &Api, key: &str) -> Value {
    api.get(&format!("/v1/flows/{key}")).await.expect(200).json()
}

fn etag(answer: &Answer) -> String {
    answer.headers.get("etag").unwrap_or_else(|| panic!("no ETag: {answer:?}")).to_str().unwrap().to_owned()
}

// Waits until something of the API is so.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < SOON, "{what} did not come to pass within {SOON:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn all_delivered(api: &Api, ids: &[String]) {
    for id in ids {
        api.until(id, "delivered", 3 * SOON).await;
    }
}

#[test]
fn parallelism_two_is_reached_and_never_exceeded() {
    on(ALL, async |d| {
        let took = Duration::from_millis(400);
        let endpoint = Endpoint::scripted([Reply::status(200).after(took)]);
        let limit = json!({ "key": "two", "parallelism": 2 });
        let ids = publish_all(&d.api, (0..12).map(|n| flowing(&endpoint, limit.clone(), json!({ "body": n }))).collect()).await;
        // A flow is there from its first start on.
        endpoint.wait(1, SOON).await;
        let seen = async {
            let mut most = 0;
            while endpoint.count() < 12 {
                most = most.max(flow(&d.api, "two").await["active"].as_i64().unwrap());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            most
        };
        let seen = tokio::time::timeout(3 * SOON, seen).await.expect("all come");
        all_delivered(&d.api, &ids).await;
        assert_eq!(most_at_once(&endpoint.received(), took), 2);
        assert!(seen <= 2, "{seen} were active");
        let after = flow(&d.api, "two").await;
        assert_eq!((&after["waiting"], &after["active"], &after["parallelism"]), (&json!(0), &json!(0), &json!(2)), "{after:#}");
        assert_eq!(endpoint.count(), 12, "each once");
    });
}

#[test]
fn parallelism_one_keeps_the_order_through_retries() {
    on(ALL, async |d| {
        let script = [500, 200, 200, 503, 500, 200, 200, 200].map(Reply::status);
        let endpoint = Endpoint::scripted(script);
        let one = json!({ "key": "fifo", "parallelism": 1 });
        let fields = json!({ "maxAttempts": 5, "backoff": one_second() });
        let ids = publish_all(&d.api, (0..5).map(|_| flowing(&endpoint, one.clone(), fields.clone())).collect()).await;
        all_delivered(&d.api, &ids).await;
        let expected = [0, 0, 1, 2, 2, 2, 3, 4].map(|n: usize| ids[n].clone());
        assert_eq!(ids_of(&endpoint.received()), expected);
        assert_eq!(statuses(&d.api.message(&ids[2]).await), [json!(503), json!(500), json!(200)]);
    });
}

#[test]
fn an_order_that_is_published_one_by_one_is_kept_too() {
    on(ALL, async |d| {
        let endpoint = Endpoint::scripted([Reply::status(200).after(Duration::from_millis(30))]);
        let one = json!({ "key": "fifo-singles", "parallelism": 1 });
        let mut ids = Vec::new();
        for _ in 0..25 {
            ids.push(d.api.publish(&flowing(&endpoint, one.clone(), json!({}))).await);
        }
        all_delivered(&d.api, &ids).await;
        assert_eq!(ids_of(&endpoint.received()), ids);
    });
}

#[test]
fn a_message_that_fails_for_good_lets_the_next_of_its_order_go() {
    on(ALL, async |d| {
        let endpoint = Endpoint::scripted([500, 500, 200].map(Reply::status));
        let one = json!({ "key": "fifo-dead", "parallelism": 1 });
        let fields = json!({ "maxAttempts": 2, "backoff": one_second() });
        let ids = publish_all(&d.api, (0..3).map(|_| flowing(&endpoint, one.clone(), fields.clone())).collect()).await;
        d.api.until(&ids[0], "failed", SOON).await;
        all_delivered(&d.api, &ids[1..]).await;
        assert_eq!(ids_of(&endpoint.received()), [0, 0, 1, 2].map(|n: usize| ids[n].clone()));
    });
}

#[test]
fn cancelling_the_first_of_an_order_lets_the_next_go() {
    on(ALL, async |d| {
        let endpoint = Endpoint::scripted([500, 200].map(Reply::status));
        let one = json!({ "key": "fifo-cancel", "parallelism": 1 });
        let slow = json!({ "type": "fixed", "initialSeconds": 600, "maxSeconds": 600, "jitter": false });
        let ids = publish_all(&d.api, (0..2).map(|_| flowing(&endpoint, one.clone(), json!({ "backoff": slow }))).collect()).await;
        d.api.until(&ids[0], "retrying", SOON).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(endpoint.count(), 1, "the second waits for the first");
        d.api.act(&format!("/v1/messages/{}/cancel", ids[0])).await.expect(200);
        d.api.until(&ids[1], "delivered", SOON).await;
    });
}

#[test]
fn a_rate_is_kept() {
    on_calm(ALL, async |d| {
        let endpoint = Endpoint::new();
        let limit = json!({ "key": "rate", "rate": 5, "periodSeconds": 2 });
        let ids = publish_all(&d.api, (0..15).map(|_| flowing(&endpoint, limit.clone(), json!({}))).collect()).await;
        all_delivered(&d.api, &ids).await;
        let mut at: Vec<i64> = endpoint.received().iter().map(|push| push.at_ms).collect();
        at.sort_unstable();
        assert_eq!(at.len(), 15);
        // Less than the rate of two periods in any one: what a busy machine started late is followed by what is on time. (`flows.rs` has the exact times.)
        for (n, begin) in at.iter().enumerate() {
            let within = at[n..].iter().filter(|time| **time < begin + 2_000).count();
            assert!(within < 10, "{within} within 2 s from the push at {begin}: {at:?}");
        }
        let lasted_ms = at[14] - at[0];
        assert!((3_000..12_000).contains(&lasted_ms), "{lasted_ms} ms: {at:?}");
    });
}

#[test]
fn a_429_moves_the_whole_key_and_no_other() {
    on_calm(ALL, async |d| {
        let (busy, sibling, other) =
            (Endpoint::scripted([Reply::status(429).header("Retry-After", "5"), Reply::status(200)]), Endpoint::new(), Endpoint::new());
        let key = json!({ "key": "moved" });
        let first = d.api.publish(&flowing(&busy, key.clone(), json!({ "backoff": one_second() }))).await;
        d.api.until(&first, "retrying", SOON).await;
        let told_ms = busy.received()[0].at_ms;
        let held = flow(&d.api, "moved").await;
        assert!(ms(&held["heldUntil"]) >= told_ms + 4_500, "{held:#}");
        let siblings = publish_all(&d.api, (0..3).map(|_| flowing(&sibling, key.clone(), json!({}))).collect()).await;
        let stranger = d.api.publish(&flowing(&other, json!({ "key": "not-moved" }), json!({}))).await;
        d.api.until(&stranger, "delivered", SOON).await;
        let waiting = flow(&d.api, "moved").await;
        if now_ms() < told_ms + 4_000 {
            assert_eq!((sibling.count(), &waiting["waiting"]), (0, &json!(3)), "{waiting:#}");
        }
        all_delivered(&d.api, &siblings).await;
        d.api.until(&first, "delivered", SOON).await;
        for push in sibling.received() {
            assert!(push.at_ms >= told_ms + 5_000, "{} ms after the 429", push.at_ms - told_ms);
        }
        assert_eq!(flow(&d.api, "moved").await["heldUntil"], Value::Null);
    });
}

#[test]
fn nothing_arrives_while_a_flow_is_paused_and_everything_after_it_is_resumed() {
    on(ALL, async |d| {
        let endpoint = Endpoint::new();
        d.api.act("/v1/flows/paused/pause").await.problem(404);
        d.api.put("/v1/flows/paused", &json!({ "parallelism": 4 })).await.expect(201);
        let paused = d.api.act("/v1/flows/paused/pause").await.expect(200).json();
        assert_eq!((&paused["paused"], &paused["pinned"]), (&json!(true), &json!(true)));
        let key = json!({ "key": "paused" });
        let mut ids = publish_all(&d.api, (0..10).map(|_| flowing(&endpoint, key.clone(), json!({}))).collect()).await;
        for _ in 0..3 {
            ids.push(d.api.publish(&flowing(&endpoint, key.clone(), json!({}))).await);
        }
        until("13 wait", async || flow(&d.api, "paused").await["waiting"] == 13).await;
        d.tick().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(endpoint.count(), 0);
        let message = d.api.message(&ids[0]).await;
        assert_eq!((&message["status"], &message["waitingFor"]), (&json!("queued"), &json!("flow")), "{message:#}");
        let resumed = d.api.act("/v1/flows/paused/resume").await.expect(200).json();
        assert_eq!(resumed["paused"], false);
        endpoint.wait(13, SOON).await;
        all_delivered(&d.api, &ids).await;
        assert_eq!(endpoint.count(), 13, "each once");
    });
}

#[test]
fn a_pause_lets_a_push_under_way_end_and_starts_nothing_more() {
    on(ALL, async |d| {
        let endpoint = Endpoint::scripted([Reply::status(200).after(Duration::from_millis(1_500)), Reply::status(200)]);
        let one = json!({ "key": "pause-under-way", "parallelism": 1 });
        let ids = publish_all(&d.api, (0..3).map(|_| flowing(&endpoint, one.clone(), json!({}))).collect()).await;
        endpoint.wait(1, SOON).await;
        let paused = d.api.act("/v1/flows/pause-under-way/pause").await.expect(200).json();
        assert_eq!(paused["active"], 1, "{paused:#}");
        d.api.until(&ids[0], "delivered", SOON).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(endpoint.count(), 1);
        d.api.act("/v1/flows/pause-under-way/resume").await.expect(200);
        all_delivered(&d.api, &ids).await;
        assert_eq!(ids_of(&endpoint.received()), ids);
    });
}

#[test]
fn a_pinned_limit_overrules_what_messages_say_until_it_is_unpinned() {
    on(ALL, async |d| {
        let took = Duration::from_millis(200);
        let endpoint = Endpoint::scripted([Reply::status(200).after(took)]);
        let many = json!({ "key": "pinned", "parallelism": 3 });
        let publish =
            async |count: usize| publish_all(&d.api, (0..count).map(|_| flowing(&endpoint, many.clone(), json!({}))).collect()).await;
        let pinned = d.api.put("/v1/flows/pinned", &json!({ "parallelism": 1 })).await.expect(201).json();
        assert_eq!((&pinned["pinned"], &pinned["parallelism"], &pinned["rate"]), (&json!(true), &json!(1), &Value::Null));
        all_delivered(&d.api, &publish(6).await).await;
        assert_eq!(most_at_once(&endpoint.received(), took), 1);
        assert_eq!(flow(&d.api, "pinned").await["parallelism"], 1);

        d.api.delete("/v1/flows/pinned").await.expect(204);
        assert_eq!(flow(&d.api, "pinned").await["pinned"], false);
        let before = endpoint.count();
        all_delivered(&d.api, &publish(9).await).await;
        assert_eq!(most_at_once(&endpoint.received()[before..], took), 3);
        assert_eq!(flow(&d.api, "pinned").await["parallelism"], 3);

        // A higher limit wakes what waits at once.
        let held = d.host == Host::Dev;
        let reply = Reply::status(200);
        // The local queue of `wrangler dev` and the few instances of Lambda here may well wait for the first.
        let slow = Endpoint::scripted([if held { reply.ending(Ending::Held) } else { reply.after(Duration::from_secs(3)) }]);
        let one = json!({ "key": "raised", "parallelism": 1 });
        let ids = publish_all(&d.api, (0..4).map(|_| flowing(&slow, one.clone(), json!({}))).collect()).await;
        slow.wait(1, SOON).await;
        d.api.put("/v1/flows/raised", &json!({ "parallelism": 4 })).await.expect(200);
        slow.wait(4, SOON).await;
        (0..4).filter(|_| held).for_each(|_| slow.release());
        all_delivered(&d.api, &ids).await;
    });
}

#[test]
fn flows_are_listed_by_key_and_any_key_can_stand_in_a_path() {
    on_calm(ALL, async |d| {
        let api = d.new_account("flow-list");
        let keys = ["a", "a/b", "a/b/pause", "b c", "c%2F", "d?x=1#y", "e\u{1F600}é", "f+&=;,"];
        let encoded = |key: &str| key.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let endpoint = Endpoint::new();
        for key in keys {
            let id = api.publish(&flowing(&endpoint, json!({ "key": key }), json!({}))).await;
            api.until(&id, "delivered", SOON).await;
            assert_eq!(flow(&api, &encoded(key)).await["key"], key);
            let paused = api.act(&format!("/v1/flows/{}/pause", encoded(key))).await.expect(200).json();
            assert_eq!((&paused["key"], &paused["paused"]), (&json!(key), &json!(true)));
        }
        for limit in [1, 3, 200] {
            let (mut listed, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = api.get(&format!("/v1/flows?limit={limit}{cursor}")).await.expect(200).json();
                listed.extend(page["data"].as_array().unwrap().iter().map(|f| f["key"].as_str().unwrap().to_owned()));
                let Some(next) = page["nextCursor"].as_str() else { break };
                assert!(listed.len() < 20, "the list does not end");
                cursor = format!("&cursor={}", encoded(next));
            }
            listed.sort_unstable();
            assert_eq!(listed, keys, "limit {limit}");
        }
        let longest = "k".repeat(255);
        api.put(&format!("/v1/flows/{longest}"), &json!({})).await.expect(201);
        api.put(&format!("/v1/flows/{longest}k"), &json!({})).await.problem(400);
        for (limits, pointer) in [
            (json!({ "parallelism": 0 }), "/parallelism"),
            (json!({ "parallelism": 10_001 }), "/parallelism"),
            (json!({ "rate": 1_000_001 }), "/rate"),
            (json!({ "periodSeconds": 5 }), "/periodSeconds"),
            (json!({ "rate": 1, "periodSeconds": 2_592_001 }), "/periodSeconds"),
            (json!({ "key": "x" }), "/key"),
        ] {
            assert_eq!(api.put("/v1/flows/a", &limits).await.problem(400)["errors"][0]["pointer"], pointer, "{limits}");
        }
        let most = json!({ "parallelism": 10_000, "rate": 1_000_000, "periodSeconds": 2_592_000 });
        let pinned = api.put("/v1/flows/a", &most).await.expect(200).json();
        for field in ["parallelism", "rate", "periodSeconds"] {
            assert_eq!(pinned[field], most[field]);
        }
    });
}

#[test]
fn only_an_admin_of_the_account_edits_a_flow_and_only_at_the_revision_he_names() {
    on(ALL, async |d| {
        let path = "/v1/flows/guarded";
        d.api.send_with("PUT", path, &[("if-match", "*")], Some(&json!({}))).await.problem(412);
        let first = etag(&d.api.put(path, &json!({ "rate": 3 })).await.expect(201));
        let second = etag(&d.api.send_with("POST", &format!("{path}/pause"), &[("if-match", &first)], None).await.expect(200));
        let before = d.api.get(path).await.expect(200);
        assert_eq!(etag(&before), second);
        let header = [("if-match", first.as_str())];
        d.api.send_with("PUT", path, &header, Some(&json!({}))).await.problem(412);
        d.api.send_with("DELETE", path, &header, None).await.problem(412);
        d.api.send_with("POST", &format!("{path}/pause"), &header, None).await.problem(412);
        d.api.send_with("POST", &format!("{path}/resume"), &header, None).await.problem(412);

        let stranger = d.new_account("flow-stranger");
        stranger.get(path).await.problem(404);
        stranger.delete(path).await.problem(404);
        stranger.act(&format!("{path}/pause")).await.problem(404);
        stranger.act(&format!("{path}/resume")).await.problem(404);
        assert_eq!(stranger.get("/v1/flows").await.expect(200).json()["data"], json!([]));
        for role in ["publish", "read"] {
            let made = d.api.post("/v1/keys", &json!({ "name": role, "role": role })).await.expect(201).json();
            let api = d.api.with_key(made["key"].as_str().unwrap());
            api.get(path).await.expect(200);
            api.get("/v1/flows").await.expect(200);
            api.get("/v1/breakers").await.expect(200);
            api.put(path, &json!({})).await.problem(403);
            api.delete(path).await.problem(403);
            api.act(&format!("{path}/pause")).await.problem(403);
            api.act(&format!("{path}/resume")).await.problem(403);
            api.act("/v1/breakers/brk_00000000000000000000000000000000/reset").await.problem(403);
        }
        assert_eq!(d.api.get(path).await.expect(200).text, before.text);
    });
}

// An account whose breakers open with four failures, and stay open for so long.
async fn touchy(d: &Deployment, name: &str, open_ms: u32) -> Api {
    let api = d.new_account(name);
    d.sql(&format!("update tikku.account set breaker_attempts = 4, breaker_open_ms = {open_ms} where name = '{name}'")).await;
    api
}

// Lets four messages fail, and returns the breaker that this opened.
async fn open(api: &Api, endpoint: &Endpoint) -> Value {
    let failing = message(endpoint, json!({ "maxAttempts": 1 }));
    for id in join_all((0..4).map(|_| api.publish(&failing))).await {
        api.until(&id, "failed", SOON).await;
    }
    until("the breaker is open", async || {
        api.get("/v1/breakers?status=open").await.expect(200).json()["data"].as_array().unwrap().len() == 1
    })
    .await;
    api.get("/v1/breakers").await.expect(200).json()["data"][0].clone()
}

#[test]
fn a_destination_that_fails_opens_its_breaker_and_a_reset_lets_what_waits_go() {
    on(ALL, async |d| {
        let api = touchy(d, "breaker-reset", 600_000).await;
        let endpoint = Endpoint::scripted([Reply::status(500)]);
        let breaker = open(&api, &endpoint).await;
        let id = breaker["id"].as_str().unwrap().to_owned();
        assert!(id.starts_with("brk_"), "{breaker:#}");
        assert_eq!((&breaker["destination"], &breaker["status"]), (&json!(endpoint.url()), &json!("open")));
        assert_eq!((&breaker["attempts"], &breaker["failures"]), (&json!(4), &json!(4)));
        assert!(ms(&breaker["nextProbeAt"]) - ms(&breaker["openedAt"]) >= 590_000, "{breaker:#}");
        assert!(breaker["lastError"].as_str().unwrap().contains("500"), "{breaker:#}");

        // With another query it is the same destination; another path is not.
        endpoint.script([Reply::status(200)]);
        let waiting = join_all((0..5).map(|n| api.publish(&json!({ "url": format!("{}?n={n}", endpoint.url()) })))).await;
        let aside = api.publish(&json!({ "url": format!("{}/aside", endpoint.url()) })).await;
        api.until(&aside, "delivered", SOON).await;
        until("5 wait", async || api.get(&format!("/v1/breakers/{id}")).await.expect(200).json()["waiting"].as_i64() >= Some(4)).await;
        d.tick().await;
        assert_eq!(endpoint.count(), 5, "four that failed and the one aside");
        for id in &waiting {
            let message = api.message(id).await;
            assert!(message["attempts"].as_array().unwrap().is_empty(), "waiting spends nothing: {message:#}");
        }
        let closed = api.act(&format!("/v1/breakers/{id}/reset")).await.expect(200).json();
        assert_eq!((&closed["status"], &closed["nextProbeAt"]), (&json!("closed"), &Value::Null), "{closed:#}");
        all_delivered(&api, &waiting).await;
        assert_eq!(endpoint.count(), 10);
        assert_eq!(api.get("/v1/breakers?status=open").await.expect(200).json()["data"], json!([]));

        let stranger = d.new_account("breaker-stranger");
        stranger.get(&format!("/v1/breakers/{id}")).await.problem(404);
        stranger.act(&format!("/v1/breakers/{id}/reset")).await.problem(404);
        api.get("/v1/breakers?status=broken").await.problem(400);
    });
}

#[test]
fn a_single_probe_closes_the_breaker_when_the_destination_is_well_again() {
    on(ALL, async |d| {
        let api = touchy(d, "breaker-probe", 3_000).await;
        let endpoint = Endpoint::scripted([Reply::status(500)]);
        let breaker = open(&api, &endpoint).await;
        let opened_ms = ms(&breaker["openedAt"]);
        let fields = json!({ "maxAttempts": 3, "backoff": one_second() });
        // The first probe fails and keeps it open; the second one closes it.
        endpoint.script([Reply::status(500), Reply::status(200)]);
        let waiting = join_all((0..6).map(|_| api.publish(&message(&endpoint, fields.clone())))).await;
        all_delivered(&api, &waiting).await;
        let pushes = endpoint.received();
        assert_eq!(pushes.len(), 4 + 1 + 6, "one probe that failed");
        assert!(pushes[4].at_ms >= opened_ms + 2_900, "the probe came {} ms after it opened", pushes[4].at_ms - opened_ms);
        assert!(pushes[5].at_ms >= pushes[4].at_ms + 2_900, "the second {} ms after the first", pushes[5].at_ms - pushes[4].at_ms);
        assert!(pushes[6].at_ms >= pushes[5].at_ms, "alone");
        until("it is closed", async || {
            api.get("/v1/breakers?status=closed").await.expect(200).json()["data"].as_array().unwrap().len() == 1
        })
        .await;
    });
}
