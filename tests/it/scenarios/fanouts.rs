//! Fanouts: one publish, a message for each endpoint; edited whole and one by one.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{SOON, assert_signed, one_second};
use crate::api::{Answer, Api};
use crate::endpoint::{Endpoint, Reply};
use crate::host::{ALL, on};

// The ids that a publish to a fanout made, with the URL of each.
async fn fan_out(api: &Api, message: Value) -> Vec<(String, String)> {
    let answer = api.post("/v1/messages", &message).await.expect(202).json();
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{answer:#}")).to_owned();
    answer["messages"].as_array().unwrap_or_else(|| panic!("{answer:#}")).iter().map(|m| (text(&m["id"]), text(&m["url"]))).collect()
}

fn list(endpoints: &[&Endpoint]) -> Value {
    json!({ "endpoints": endpoints.iter().map(|e| json!({ "url": e.url() })).collect::<Vec<_>>() })
}

fn etag(answer: &Answer) -> String {
    answer.headers.get("etag").unwrap_or_else(|| panic!("no ETag: {answer:?}")).to_str().unwrap().to_owned()
}

// The names in the list, page by page.
async fn names(api: &Api, limit: usize) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/fanouts?limit={limit}{cursor}")).await.expect(200).json();
        names.extend(page["data"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["nextCursor"].as_str() else { return names };
        assert!(names.len() < 100, "the list does not end");
        cursor = format!("&cursor={next}");
    }
}

#[test]
fn a_fanout_is_made_replaced_listed_by_name_and_deleted() {
    on(ALL, async |d| {
        let api = d.new_account("fanout-crud");
        let endpoint = |url: &str| json!({ "url": url });
        let (a, b, c) = ("http://127.0.0.1:9/a", "http://127.0.0.1:9/b", "http://127.0.0.1:9/c");
        let full = json!({ "url": a, "method": "PUT", "headers": { "x-a": "b" }, "maxAttempts": 7, "timeoutSeconds": 9, "paused": true,
            "backoff": { "type": "linear", "initialSeconds": 2, "factor": 5.0, "maxSeconds": 60, "jitter": false },
            "flowControl": { "key": "k", "parallelism": 2, "rate": 5, "periodSeconds": 60 } });
        let made = api.put("/v1/fanouts/orders", &json!({ "endpoints": [full, endpoint(b)] })).await.expect(201);
        let shown = api.get("/v1/fanouts/orders").await.expect(200);
        assert_eq!((made.json(), etag(&made)), (shown.json(), etag(&shown)));
        let first = shown.json();
        assert_eq!((&first["name"], first["revision"].to_string()), (&json!("orders"), etag(&shown).trim_matches('"').to_owned()));
        let mut kept = first["endpoints"][0].clone();
        let id = kept.as_object_mut().unwrap().remove("id").unwrap();
        assert!(kept == full && id.as_str().unwrap().starts_with("ep_"), "{first:#}");
        let bare = &first["endpoints"][1];
        for unset in ["method", "maxAttempts", "timeoutSeconds", "backoff", "flowControl"] {
            assert_eq!(bare[unset], Value::Null, "{unset}: {bare:#}");
        }
        assert_eq!((&bare["url"], &bare["headers"], &bare["paused"]), (&json!(b), &json!({}), &json!(false)));

        let replaced = api.put("/v1/fanouts/orders", &json!({ "endpoints": [endpoint(c), endpoint(b)] })).await.expect(200);
        assert_ne!(etag(&replaced), etag(&made));
        let after = replaced.json();
        let id_of = |fanout: &Value, url: &str| {
            fanout["endpoints"].as_array().unwrap().iter().find(|e| e["url"] == url).map(|e| e["id"].as_str().unwrap().to_owned())
        };
        assert_eq!((id_of(&after, a), id_of(&after, b)), (None, id_of(&first, b)), "a url that stays keeps its id");
        assert_eq!(after["createdAt"], first["createdAt"]);

        api.put("/v1/fanouts/empty", &json!({ "endpoints": [] })).await.expect(201);
        api.put("/v1/fanouts/Z.9_-", &json!({ "endpoints": [] })).await.expect(201);
        let all: BTreeSet<String> = names(&api, 200).await.into_iter().collect();
        assert_eq!(all, BTreeSet::from(["orders", "empty", "Z.9_-"].map(str::to_owned)));
        assert_eq!(names(&api, 1).await, names(&api, 200).await);
        let page = api.get("/v1/fanouts").await.expect(200).json();
        let orders = page["data"].as_array().unwrap().iter().find(|f| f["name"] == "orders").unwrap();
        assert_eq!((&orders["endpointCount"], &orders["pausedCount"], &orders["endpoints"]), (&json!(2), &json!(0), &Value::Null));

        api.delete("/v1/fanouts/orders").await.expect(204);
        api.get("/v1/fanouts/orders").await.problem(404);
        api.delete("/v1/fanouts/orders").await.problem(404);
        api.post("/v1/messages", &json!({ "fanout": "orders" })).await.problem(400);
        assert_eq!(fan_out(&api, json!({ "fanout": "empty", "body": 1 })).await, []);
    });
}

#[test]
fn the_next_publish_sees_every_edit_and_the_last_one_does_not() {
    on(ALL, async |d| {
        let (a, b, c) = (Endpoint::new(), Endpoint::new(), Endpoint::new());
        let path = "/v1/fanouts/edits";
        d.api.put(path, &list(&[&a, &b])).await.expect(201);
        let publish = async || {
            let made = fan_out(&d.api, json!({ "fanout": "edits", "body": { "a": 1 } })).await;
            for (id, _) in &made {
                d.api.until(id, "delivered", SOON).await;
            }
            (a.count(), b.count(), c.count())
        };
        assert_eq!(publish().await, (1, 1, 0));
        let added = d.api.post(&format!("{path}/endpoints"), &json!({ "url": c.url() })).await.expect(201);
        assert_eq!(publish().await, (2, 2, 1));
        d.api.post(&format!("{path}/endpoints"), &json!({ "url": c.url() })).await.problem(409);

        // A message that is under way is not touched by an edit.
        let later = fan_out(&d.api, json!({ "fanout": "edits", "delaySeconds": 20 })).await;
        let id = added.json()["id"].as_str().unwrap().to_owned();
        d.api.delete(&format!("{path}/endpoints/{id}")).await.expect(204);
        d.api.delete(&format!("{path}/endpoints/{id}")).await.problem(404);
        assert_eq!(publish().await, (3, 3, 1));
        for (id, _) in &later {
            d.api.until(id, "delivered", SOON).await;
        }
        assert_eq!((a.count(), b.count(), c.count()), (4, 4, 2));

        let fanout = d.api.get(path).await.expect(200).json();
        let of_b = fanout["endpoints"].as_array().unwrap().iter().find(|e| e["url"] == b.url()).unwrap()["id"].as_str().unwrap().to_owned();
        d.api.put(&format!("{path}/endpoints/{of_b}"), &json!({ "url": a.url() })).await.problem(409);
        let replaced =
            d.api.put(&format!("{path}/endpoints/{of_b}"), &json!({ "url": c.url(), "maxAttempts": 9 })).await.expect(200).json();
        assert_eq!((&replaced["id"], &replaced["url"], &replaced["maxAttempts"]), (&json!(of_b), &json!(c.url()), &json!(9)));
        assert_eq!(publish().await, (5, 4, 3));
        d.api.put(path, &list(&[&b])).await.expect(200);
        assert_eq!(publish().await, (5, 5, 3));
    });
}

#[test]
fn one_dead_endpoint_of_fifty_dead_letters_alone() {
    on(ALL, async |d| {
        let api = d.new_account("fanout-dead");
        let (dead, alive) = (Endpoint::scripted([Reply::status(500)]), Endpoint::new());
        let urls: Vec<String> = (0..50).map(|n| if n == 20 { dead.url() } else { format!("{}/{n}", alive.url()) }).collect();
        let endpoints: Vec<Value> = urls.iter().map(|url| json!({ "url": url })).collect();
        api.put("/v1/fanouts/fifty", &json!({ "endpoints": endpoints })).await.expect(201);
        let message = json!({ "fanout": "fifty", "body": { "n": 1 }, "maxAttempts": 2, "backoff": one_second() });
        let made = fan_out(&api, message).await;
        assert_eq!(made.iter().map(|(_, url)| url.clone()).collect::<Vec<_>>(), urls, "in the order of the endpoints");
        alive.wait(49, SOON).await;
        for (id, url) in &made {
            let end = if *url == dead.url() { "failed" } else { "delivered" };
            let message = api.until(id, end, SOON).await;
            assert_eq!((&message["fanout"], &message["publishId"]), (&json!("fifty"), &json!(made[0].0)), "{message:#}");
        }
        assert_eq!((alive.count(), dead.count()), (49, 2));
        let reached: BTreeSet<String> = alive.received().into_iter().map(|push| push.rest).collect();
        assert_eq!(reached.len(), 49, "each once");
        let dlq = api.get("/v1/messages?status=failed").await.expect(200).json();
        assert_eq!((dlq["data"].as_array().unwrap().len(), &dlq["counts"]["delivered"]), (1, &json!(49)));
        let listed = api.get("/v1/messages?fanout=fifty&limit=200").await.expect(200).json();
        assert_eq!(listed["data"].as_array().unwrap().len(), 50);
    });
}

#[test]
fn what_an_endpoint_says_overrules_the_publish_and_the_rest_is_as_published() {
    on(ALL, async |d| {
        let (plain, own, get) = (Endpoint::new(), Endpoint::scripted([Reply::status(500)]), Endpoint::new());
        let endpoints = json!({ "endpoints": [
            { "url": plain.url() },
            { "url": own.url(), "method": "PATCH", "headers": { "X-Both": "endpoint", "x-own": "o" }, "maxAttempts": 3, "timeoutSeconds": 7,
              "backoff": one_second(), "flowControl": { "key": "fanout-own", "parallelism": 3 } },
            { "url": get.url(), "method": "GET" },
        ] });
        d.api.put("/v1/fanouts/own", &endpoints).await.expect(201);
        let message = json!({ "fanout": "own", "body": { "n": 1 }, "headers": { "x-both": "publish", "x-all": "a" }, "maxAttempts": 1,
            "timeoutSeconds": 5, "labels": ["l"] });
        let made = fan_out(&d.api, message).await;
        let (first, second, third) = (&made[0].0, &made[1].0, &made[2].0);
        let kept = d.api.until(first, "delivered", SOON).await;
        assert_eq!((&kept["maxAttempts"], &kept["timeoutSeconds"], &kept["labels"]), (&json!(1), &json!(5), &json!(["l"])));
        let push = plain.only(SOON).await;
        assert_eq!((push.method.as_str(), push.header("x-both"), push.header("x-all")), ("POST", Some("publish"), Some("a")));
        assert_eq!(push.body, "{\"n\":1}");
        assert_signed(d, &push);

        let kept = d.api.until(second, "failed", SOON).await;
        assert_eq!(
            (&kept["maxAttempts"], &kept["timeoutSeconds"], &kept["flowControl"]["key"]),
            (&json!(3), &json!(7), &json!("fanout-own"))
        );
        let pushes = own.received();
        assert_eq!(pushes.len(), 3);
        for push in &pushes {
            assert_eq!((push.method.as_str(), push.header("x-both"), push.header("x-all")), ("PATCH", Some("endpoint"), Some("a")));
            assert_eq!((push.header("x-own"), push.header("webhook-id")), (Some("o"), Some(second.as_str())));
            assert_eq!(push.headers.iter().filter(|(name, _)| name == "x-both").count(), 1);
        }

        d.api.until(third, "delivered", SOON).await;
        let push = get.only(SOON).await;
        assert_eq!((push.method.as_str(), push.body.len(), push.header("x-both")), ("GET", 0, Some("publish")));
    });
}

#[test]
fn a_paused_endpoint_never_gets_what_is_published_meanwhile() {
    on(ALL, async |d| {
        let (on_duty, paused) = (Endpoint::new(), Endpoint::new());
        d.api
            .put("/v1/fanouts/paused", &json!({ "endpoints": [{ "url": on_duty.url() }, { "url": paused.url(), "paused": true }] }))
            .await
            .expect(201);
        let made = fan_out(&d.api, json!({ "fanout": "paused" })).await;
        assert_eq!(made.iter().map(|(_, url)| url.clone()).collect::<Vec<_>>(), [on_duty.url()]);
        let fanout = d.api.get("/v1/fanouts/paused").await.expect(200).json();
        let of_paused =
            fanout["endpoints"].as_array().unwrap().iter().find(|e| e["paused"] == true).unwrap()["id"].as_str().unwrap().to_owned();
        d.api.put(&format!("/v1/fanouts/paused/endpoints/{of_paused}"), &json!({ "url": paused.url() })).await.expect(200);
        let second = fan_out(&d.api, json!({ "fanout": "paused" })).await;
        assert_eq!(second.len(), 2);
        for (id, _) in made.iter().chain(&second) {
            d.api.until(id, "delivered", SOON).await;
        }
        let got = paused.only(SOON).await;
        assert!(second.iter().any(|(id, _)| Some(id.as_str()) == got.header("webhook-id")), "only the second publish");
        assert_eq!(on_duty.count(), 2);
    });
}

#[test]
fn an_idempotency_key_covers_the_whole_fanout() {
    on(ALL, async |d| {
        let endpoints: Vec<Endpoint> = (0..5).map(|_| Endpoint::new()).collect();
        d.api.put("/v1/fanouts/idempotent", &list(&endpoints.iter().collect::<Vec<_>>())).await.expect(201);
        let message = json!({ "fanout": "idempotent", "body": "x", "idempotencyKey": "fanout-key" });
        let answers = join_all((0..10).map(|_| fan_out(&d.api, message.clone()))).await;
        for answer in &answers {
            assert_eq!(answer, &answers[0], "every racer is told of the same messages");
        }
        assert_eq!(answers[0].len(), 5);
        // The endpoints of today are not asked: it is the first publish that counts.
        let new = Endpoint::new();
        d.api.post("/v1/fanouts/idempotent/endpoints", &json!({ "url": new.url() })).await.expect(201);
        let again = d.api.post("/v1/messages", &message).await.expect(202).json();
        assert_eq!((&again["deduplicated"], again["messages"].as_array().unwrap().len()), (&json!(true), 5));
        d.api.post("/v1/messages", &json!({ "fanout": "idempotent", "body": "y", "idempotencyKey": "fanout-key" })).await.problem(422);
        for (id, _) in &answers[0] {
            d.api.until(id, "delivered", SOON).await;
        }
        for endpoint in &endpoints {
            endpoint.only(SOON).await;
        }
        assert_eq!(new.count(), 0);
    });
}

#[test]
fn a_write_whose_if_match_is_not_the_revision_changes_nothing() {
    on(ALL, async |d| {
        let path = "/v1/fanouts/matched";
        let body = |name: &str| json!({ "endpoints": [{ "url": format!("http://127.0.0.1:9/{name}") }] });
        let endpoint = json!({ "url": "http://127.0.0.1:9/new" });
        for tag in ["*", "\"1\""] {
            d.api.send_with("PUT", path, &[("if-match", tag)], Some(&body("a"))).await.problem(412);
        }
        d.api.get(path).await.problem(404);
        let first = etag(&d.api.put(path, &body("a")).await.expect(201));
        let second = etag(&d.api.send_with("PUT", path, &[("if-match", &first)], Some(&body("b"))).await.expect(200));
        let before = d.api.get(path).await.expect(200);
        assert_eq!(etag(&before), second);
        let id = before.json()["endpoints"][0]["id"].as_str().unwrap().to_owned();
        let weak = format!("W/{second}");
        for stale in [first.as_str(), weak.as_str(), "\"x\"", "\"999\", \"998\""] {
            let header = [("if-match", stale)];
            let answers = [
                d.api.send_with("PUT", path, &header, Some(&body("c"))).await,
                d.api.send_with("DELETE", path, &header, None).await,
                d.api.send_with("POST", &format!("{path}/endpoints"), &header, Some(&endpoint)).await,
                d.api.send_with("PUT", &format!("{path}/endpoints/{id}"), &header, Some(&endpoint)).await,
                d.api.send_with("DELETE", &format!("{path}/endpoints/{id}"), &header, None).await,
            ];
            for answer in answers {
                assert!(answer.problem(412)["type"].as_str().unwrap().ends_with("precondition-failed"));
            }
        }
        assert_eq!(d.api.get(path).await.expect(200).text, before.text);
        d.api.send_with("PUT", path, &[("if-match", "nonsense")], Some(&body("c"))).await.problem(400);

        // Of many who read the same revision one wins.
        let writes = (0..8).map(|n| {
            let (header, body) = ([("if-match", second.clone())], body(&format!("w{n}")));
            async move { d.api.send_with("PUT", path, &header.each_ref().map(|(n, v)| (*n, v.as_str())), Some(&body)).await.status }
        });
        let mut statuses = join_all(writes).await;
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
        d.api.send_with("DELETE", path, &[("if-match", "*")], None).await.expect(204);
    });
}

#[test]
fn endpoints_that_are_added_at_the_same_time_are_all_there() {
    on(ALL, async |d| {
        d.api.put("/v1/fanouts/crowd", &json!({ "endpoints": [] })).await.expect(201);
        let bodies: Vec<Value> = (0..20).map(|n| json!({ "url": format!("http://127.0.0.1:9/{}", n % 10) })).collect();
        let statuses: Vec<u16> = join_all(bodies.iter().map(|body| d.api.post("/v1/fanouts/crowd/endpoints", body)))
            .await
            .into_iter()
            .map(|a| a.status)
            .collect();
        assert_eq!(
            (statuses.iter().filter(|s| **s == 201).count(), statuses.iter().filter(|s| **s == 409).count()),
            (10, 10),
            "{statuses:?}"
        );
        let fanout = d.api.get("/v1/fanouts/crowd").await.expect(200).json();
        assert_eq!((fanout["endpoints"].as_array().unwrap().len(), &fanout["revision"]), (10, &json!(11)), "each change counts");
    });
}

#[test]
fn names_and_numbers_of_endpoints_hold_at_their_edge() {
    on(ALL, async |d| {
        let none = json!({ "endpoints": [] });
        d.api.put(&format!("/v1/fanouts/{}", "n".repeat(64)), &none).await.expect(201);
        for name in ["n".repeat(65), "a%20b".into(), "a%2Fb".into(), "%C3%A9".into(), "a:b".into(), "a%00".into()] {
            let problem = d.api.put(&format!("/v1/fanouts/{name}"), &none).await.problem(400);
            assert!(problem["detail"].as_str().unwrap().contains("name must have 1 to 64 characters"), "{name}: {problem:#}");
            d.api.get(&format!("/v1/fanouts/{name}")).await.problem(404);
        }
        let urls = |n: usize| -> Value { (0..n).map(|i| json!({ "url": format!("http://127.0.0.1:9/{i}") })).collect() };
        let path = "/v1/fanouts/most";
        d.api.put(path, &json!({ "endpoints": urls(1001) })).await.problem(400);
        d.api.put(path, &json!({ "endpoints": urls(1000) })).await.expect(201);
        let problem = d.api.post(&format!("{path}/endpoints"), &json!({ "url": "http://127.0.0.1:9/x" })).await.problem(409);
        assert!(problem["detail"].as_str().unwrap().contains("at most 1000 endpoints"), "{problem:#}");
        assert_eq!(d.api.get(path).await.expect(200).json()["endpoints"].as_array().unwrap().len(), 1000);

        // 70 endpoints with 30,000 bytes of headers are more than 2 MiB.
        let heavy = |n: usize| json!({ "url": format!("http://127.0.0.1:9/{n}"), "headers": { "x-a": "v".repeat(30_000) } });
        let most: Vec<Value> = (0..69).map(heavy).collect();
        d.api.put("/v1/fanouts/heavy", &json!({ "endpoints": most })).await.expect(201);
        d.api.post("/v1/fanouts/heavy/endpoints", &heavy(69)).await.problem(413);
        let more: Vec<Value> = (0..70).map(heavy).collect();
        d.api.put("/v1/fanouts/heavy", &json!({ "endpoints": more })).await.problem(413);
        assert_eq!(d.api.get("/v1/fanouts/heavy").await.expect(200).json()["endpoints"].as_array().unwrap().len(), 69);
    });
}

#[test]
fn what_is_wrong_with_an_endpoint_is_said_where() {
    on(ALL, async |d| {
        let good = "http://127.0.0.1:9/";
        for (endpoints, pointer) in [
            (json!([{ "url": good }, { "url": "ftp://x" }]), "/endpoints/1/url"),
            (json!([{ "url": good }, { "url": good }]), "/endpoints/1/url"),
            (json!([{ "url": good, "nope": 1 }]), "/endpoints/0/nope"),
            (json!([{ "url": good, "flowControl": { "parallelism": 1 } }]), "/endpoints/0/flowControl/key"),
            (json!("x"), "/endpoints"),
        ] {
            let problem = d.api.put("/v1/fanouts/wrong", &json!({ "endpoints": endpoints })).await.problem(400);
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem:#}");
        }
        d.api.get("/v1/fanouts/wrong").await.problem(404);
        d.api.get("/v1/fanouts?cursor=a%2Fb").await.problem(400);
        d.api.post("/v1/messages", &json!({ "fanout": "wrong", "url": good })).await.problem(400);
    });
}

#[test]
fn another_account_has_fanouts_of_its_own_and_a_reader_changes_none() {
    on(ALL, async |d| {
        let stranger = d.new_account("fanout-stranger");
        let ours = Endpoint::new();
        d.api.put("/v1/fanouts/private", &list(&[&ours])).await.expect(201);
        let before = d.api.get("/v1/fanouts/private").await.expect(200);
        let id = before.json()["endpoints"][0]["id"].as_str().unwrap().to_owned();
        let endpoint = json!({ "url": "http://127.0.0.1:9/" });
        stranger.get("/v1/fanouts/private").await.problem(404);
        stranger.delete("/v1/fanouts/private").await.problem(404);
        stranger.post("/v1/fanouts/private/endpoints", &endpoint).await.problem(404);
        stranger.post("/v1/messages", &json!({ "fanout": "private" })).await.problem(400);
        stranger.put("/v1/fanouts/private", &json!({ "endpoints": [] })).await.expect(201);
        stranger.put(&format!("/v1/fanouts/private/endpoints/{id}"), &endpoint).await.problem(404);
        stranger.delete(&format!("/v1/fanouts/private/endpoints/{id}")).await.problem(404);
        assert_eq!(d.api.get("/v1/fanouts/private").await.expect(200).text, before.text);

        let made = d.api.post("/v1/keys", &json!({ "name": "reader", "role": "read" })).await.expect(201).json();
        let reader = d.api.with_key(made["key"].as_str().unwrap());
        reader.get("/v1/fanouts").await.expect(200);
        reader.get("/v1/fanouts/private").await.expect(200);
        reader.put("/v1/fanouts/private", &list(&[])).await.problem(403);
        reader.delete("/v1/fanouts/private").await.problem(403);
        reader.post("/v1/fanouts/private/endpoints", &endpoint).await.problem(403);
        reader.put(&format!("/v1/fanouts/private/endpoints/{id}"), &endpoint).await.problem(403);
        reader.delete(&format!("/v1/fanouts/private/endpoints/{id}")).await.problem(403);
        assert_eq!(d.api.get("/v1/fanouts/private").await.expect(200).text, before.text);
    });
}
