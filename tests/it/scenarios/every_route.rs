//! What routes of one kind have in common, on every route that /openapi.json lists: lists page stably while rows are inserted, what is configured
//! has an ETag that no stale If-Match gets past, and every answer says what is left of the account's limit. A route without a row here fails.
//! Out of scope: who may call it (`roles.rs`).

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{SOON, message};
use crate::api::Api;
use crate::endpoint::{Endpoint, Reply};
use crate::host::{ALL, on};
use crate::workflow_endpoint::{Flow, completes, until, waits};

/// Each list, and the field that tells its rows apart. The steps of a run are paged in `runs.rs`.
const LISTS: [(&str, &str); 12] = [
    ("/v1/approvals", "runId"),
    ("/v1/apps", "name"),
    ("/v1/breakers", "destination"),
    ("/v1/dlq", "id"),
    ("/v1/events", "id"),
    ("/v1/fanouts", "name"),
    ("/v1/flows", "key"),
    ("/v1/keys", "id"),
    ("/v1/messages", "id"),
    ("/v1/runs", "id"),
    ("/v1/schedules", "id"),
    ("/v1/workflows", "name"),
];

/// Each conditional write. What deletes comes after what does not, and an endpoint goes before its fanout.
const WRITES: [(&str, &str); 16] = [
    ("patch", "/v1/account"),
    ("put", "/v1/apps/{name}"),
    ("delete", "/v1/apps/{name}"),
    ("put", "/v1/fanouts/{name}"),
    ("post", "/v1/fanouts/{name}/endpoints"),
    ("put", "/v1/fanouts/{name}/endpoints/{id}"),
    ("put", "/v1/flows/{key}"),
    ("post", "/v1/flows/{key}/pause"),
    ("post", "/v1/flows/{key}/resume"),
    ("put", "/v1/schedules/{id}"),
    ("post", "/v1/schedules/{id}/pause"),
    ("post", "/v1/schedules/{id}/resume"),
    ("delete", "/v1/fanouts/{name}/endpoints/{id}"),
    ("delete", "/v1/fanouts/{name}"),
    ("delete", "/v1/flows/{key}"),
    ("delete", "/v1/schedules/{id}"),
];

/// An operation of the document: method, path, description.
type Operation = (String, String, Value);

async fn operations(api: &Api) -> Vec<Operation> {
    let document = api.get("/openapi.json").await.expect(200).json();
    let paths = document["paths"].as_object().unwrap().clone();
    let all = paths.into_iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().clone();
        methods.into_iter().map(move |(method, operation)| (method, path.clone(), operation))
    });
    all.collect()
}

/// Makes the nth row of a list and says what tells it apart. Even and odd ones stand at different ends of a list by name.
async fn row(api: &Api, broken: &Endpoint, list: &str, n: usize) -> String {
    let name = format!("{}{n:03}", if n.is_multiple_of(2) { "a" } else { "z" });
    let field = |answer: Value, field: &str| answer[field].as_str().unwrap().to_owned();
    let later = json!({ "url": "http://127.0.0.1:9/", "delaySeconds": 86_400 });
    match list {
        "/v1/messages" => api.publish(&later).await,
        "/v1/dlq" => api.publish(&message(broken, json!({ "maxAttempts": 1 }))).await,
        "/v1/breakers" => {
            let url = format!("{}/{name}", broken.url());
            let id = api.publish(&json!({ "url": url, "maxAttempts": 1 })).await;
            api.until(&id, "failed", SOON).await;
            url
        }
        "/v1/fanouts" => field(api.put(&format!("/v1/fanouts/{name}"), &json!({ "endpoints": [] })).await.expect(201).json(), "name"),
        "/v1/flows" => field(api.put(&format!("/v1/flows/{name}"), &json!({ "rate": 1 })).await.expect(201).json(), "key"),
        "/v1/keys" => field(api.post("/v1/keys", &json!({ "name": name, "role": "read" })).await.expect(201).json(), "id"),
        "/v1/schedules" => {
            let schedule = json!({ "name": name, "everySeconds": 86_400, "url": "http://127.0.0.1:9/" });
            field(api.post("/v1/schedules", &schedule).await.expect(201).json(), "id")
        }
        "/v1/apps" => {
            field(api.put(&format!("/v1/apps/{name}"), &json!({ "url": "http://127.0.0.1:9/" })).await.expect(201).json(), "name")
        }
        "/v1/events" => field(api.post("/v1/events", &json!({ "name": name })).await.expect(202).json(), "id"),
        "/v1/workflows" => Flow::serve(api, [completes(&json!(1))]).await.name,
        "/v1/runs" => Flow::serve(api, [completes(&json!(1))]).await.start(&json!({})).await,
        "/v1/approvals" => {
            let op = json!([{ "op": "approval", "key": "ok#0" }]);
            let id = Flow::serve(api, [waits(&op, &json!("ok#0"))]).await.start(&json!({})).await;
            until(api, &id, "waiting").await;
            id
        }
        unknown => panic!("no row of {unknown} is made here"),
    }
}

async fn page(api: &Api, list: &str, field: &str, query: &str) -> (Vec<String>, Option<String>) {
    let page = api.get(&format!("{list}?{query}")).await.expect(200).json();
    let rows = page["data"].as_array().unwrap().iter().map(|row| row[field].as_str().unwrap().to_owned());
    (rows.collect(), page["nextCursor"].as_str().map(str::to_owned))
}

/// Reads a list by twos and inserts a row before each further page: what was there is shown once, in its order.
async fn pages_stably(api: &Api, list: &str, field: &str) {
    let broken = Endpoint::scripted([Reply::status(500)]);
    let before: Vec<String> = join_all((0..7).map(|n| row(api, &broken, list, n))).await;
    if list == "/v1/dlq" {
        join_all(before.iter().map(|id| api.until(id, "failed", SOON))).await;
    }
    let (whole, end) = page(api, list, field, "limit=200").await;
    assert_eq!(end, None, "{list}");
    assert!(before.iter().all(|row| whole.contains(row)), "{list}: {whole:?} lacks some of {before:?}");
    let (mut shown, mut next) = page(api, list, field, "limit=2").await;
    let mut n = 7;
    while let Some(cursor) = next {
        row(api, &broken, list, n).await;
        n += 1;
        assert!(n < 50, "{list} does not end");
        let (rows, cursor) = page(api, list, field, &format!("limit=2&cursor={cursor}")).await;
        assert!(!rows.is_empty() && rows.len() <= 2, "{list}: {} rows in a page of 2", rows.len());
        shown.extend(rows);
        next = cursor;
    }
    let kept: Vec<&String> = shown.iter().filter(|row| whole.contains(row)).collect();
    assert_eq!(kept, whole.iter().collect::<Vec<_>>(), "{list}: each once, in order");
    assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), shown.len(), "{list}: a row twice in {shown:?}");
    api.get(&format!("{list}?cursor=nonsense%00")).await.problem(400);
    api.get(&format!("{list}?limit=201")).await.problem(400);
    api.get(&format!("{list}?nope=1")).await.problem(400);
}

#[test]
fn every_list_shows_each_row_once_while_rows_are_inserted() {
    on(ALL, async |d| {
        let documented: Vec<String> = operations(&d.api)
            .await
            .into_iter()
            .filter(|(_, _, operation)| operation["parameters"].as_array().into_iter().flatten().any(|p| p["name"] == "cursor"))
            .map(|(_, path, _)| path)
            .filter(|path| !path.contains('{'))
            .collect();
        assert_eq!(documented, LISTS.map(|(path, _)| path), "the lists of the document and those that are tried here");
        let account = |list: &str| d.new_account(&format!("rows of {list}"));
        let lists = LISTS.map(|(list, field)| (account(list), list, field));
        join_all(lists.iter().map(|(api, list, field)| pages_stably(api, list, field))).await;
    });
}

/// What an account has configured, under the names that paths are filled with.
struct Configured {
    endpoint: String,
    schedule: String,
}

async fn configure(api: &Api) -> Configured {
    let id = |answer: &Value| answer["id"].as_str().unwrap().to_owned();
    let fanout = json!({ "endpoints": [{ "url": "http://127.0.0.1:9/a" }, { "url": "http://127.0.0.1:9/b" }] });
    let fanout = api.put("/v1/fanouts/etag", &fanout).await.expect(201).json();
    api.put("/v1/flows/etag", &json!({ "parallelism": 1 })).await.expect(201);
    api.put("/v1/apps/etag", &json!({ "url": "http://127.0.0.1:9/" })).await.expect(201);
    let schedule = json!({ "name": "etag", "everySeconds": 86_400, "url": "http://127.0.0.1:9/" });
    let schedule = api.post("/v1/schedules", &schedule).await.expect(201).json();
    Configured { endpoint: id(&fanout["endpoints"][0]), schedule: id(&schedule) }
}

impl Configured {
    /// The path with names in it, and the path of the thing whose revision counts.
    fn paths(&self, path: &str) -> (String, String) {
        let id = if path.starts_with("/v1/schedules") { &self.schedule } else { &self.endpoint };
        let filled = path.replace("{name}", "etag").replace("{key}", "etag").replace("{id}", id);
        let thing = filled.split('/').take(4).collect::<Vec<_>>().join("/");
        (filled, thing)
    }
}

fn body(method: &str, path: &str) -> Option<Value> {
    match (method, path) {
        ("patch", "/v1/account") => Some(json!({ "retentionDays": 31 })),
        ("put", "/v1/apps/{name}") => Some(json!({ "url": "http://127.0.0.1:9/other" })),
        ("put", "/v1/fanouts/{name}") => Some(json!({ "endpoints": [{ "url": "http://127.0.0.1:9/a", "paused": true }] })),
        ("post", "/v1/fanouts/{name}/endpoints") => Some(json!({ "url": "http://127.0.0.1:9/c" })),
        ("put", "/v1/fanouts/{name}/endpoints/{id}") => Some(json!({ "url": "http://127.0.0.1:9/d" })),
        ("put", "/v1/flows/{key}") => Some(json!({ "parallelism": 2 })),
        ("put", "/v1/schedules/{id}") => Some(json!({ "name": "etag", "everySeconds": 3_600, "url": "http://127.0.0.1:9/" })),
        _ => None,
    }
}

async fn etag(api: &Api, thing: &str) -> (String, Value) {
    let answer = api.get(thing).await.expect(200);
    let etag = answer.headers.get("etag").unwrap_or_else(|| panic!("{thing} has no ETag: {answer:?}")).to_str().unwrap().to_owned();
    assert_eq!(etag, format!("\"{}\"", answer.json()["revision"]), "{thing}");
    (etag, answer.json())
}

#[test]
fn every_config_object_has_an_etag_and_refuses_a_write_that_is_stale() {
    on(ALL, async |d| {
        let documented: BTreeSet<(String, String)> = operations(&d.api)
            .await
            .into_iter()
            .filter(|(_, _, operation)| operation["parameters"].as_array().into_iter().flatten().any(|p| p["name"] == "If-Match"))
            .map(|(method, path, _)| (method, path))
            .collect();
        let tried = WRITES.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
        assert_eq!(documented, tried, "the conditional writes of the document and those that are tried here");
        let api = d.new_account("etags");
        let configured = configure(&api).await;
        for (method, path) in WRITES {
            let (filled, thing) = configured.paths(path);
            let body = body(method, path);
            let send = async |tags: &str| api.send_with(&method.to_uppercase(), &filled, &[("if-match", tags)], body.as_ref()).await;
            let (current, before) = etag(&api, &thing).await;
            for stale in ["\"999999\"", &format!("W/{current}"), "\"\", \"0\""] {
                let problem = send(stale).await.problem(412);
                assert_eq!(problem["type"], "urn:tikku:problem:precondition-failed", "{method} {path} {stale}");
            }
            send("3").await.problem(400);
            assert_eq!(etag(&api, &thing).await.1, before, "{method} {path}: nothing changed");
            let done = send(&format!("\"999999\", {current}")).await;
            assert!((200..300).contains(&done.status), "{method} {path}: {done:?}");
            if method == "delete" && filled == thing && path != "/v1/flows/{key}" {
                api.get(&thing).await.problem(404);
                continue;
            }
            let (now, _) = etag(&api, &thing).await;
            assert_ne!(now, current, "{method} {path} changed it");
            assert!(done.status == 204 || done.headers["etag"] == *now, "{method} {path}: {done:?}");
            send(&current).await.problem(412);
        }
    });
}

#[test]
fn a_write_that_must_find_something_makes_nothing() {
    on(ALL, async |d| {
        let api = d.new_account("etag star");
        for path in ["/v1/apps/{name}", "/v1/fanouts/{name}", "/v1/flows/{key}"] {
            let thing = path.replace("{name}", "nothing").replace("{key}", "nothing");
            let body = body("put", path).unwrap();
            for tags in ["*", "\"1\""] {
                api.send_with("PUT", &thing, &[("if-match", tags)], Some(&body)).await.problem(412);
            }
            api.get(&thing).await.problem(404);
            api.put(&thing, &body).await.expect(201);
            api.send_with("PUT", &thing, &[("if-match", "*")], Some(&body)).await.expect(200);
        }
    });
}

#[test]
fn every_answer_to_a_key_says_what_is_left_of_its_limit() {
    on(ALL, async |d| {
        let api = d.new_account("limit headers");
        for (method, path, operation) in operations(&d.api).await {
            // With a token of its own, or nothing.
            let open = operation.get("security").is_some_and(|security| security[0].get("key").is_none());
            let filled = path.split('/').map(|part| if part.starts_with('{') { "nothing" } else { part }).collect::<Vec<_>>().join("/");
            // Most are refused for want of a body or a thing with this name; the headers are there all the same.
            let answer = api.send(&method.to_uppercase(), &filled, None).await;
            assert!(answer.status < 500, "{method} {path}: {answer:?}");
            for header in ["ratelimit", "ratelimit-policy", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"] {
                assert!(open || answer.headers.contains_key(header), "{method} {path}: no {header} in {answer:?}");
            }
            if !open {
                let refused = d.api.with_key("").send(&method.to_uppercase(), &filled, None).await.expect(401);
                assert_eq!(refused.headers["www-authenticate"], "Bearer", "{method} {path}");
                assert!(!refused.headers.contains_key("ratelimit"), "{method} {path}");
            }
        }
    });
}
