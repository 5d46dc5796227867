//! Who may do what on every route that /openapi.json lists: a route without a rule here fails.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{SOON, message};
use crate::api::{Answer, Api};
use crate::endpoint::{Endpoint, Reply};
use crate::host::{ALL, Deployment, on};
use crate::workflow_endpoint::{Flow, until, waits};

/// The smallest role that each route needs; `open` needs no key, `fence` the token of a dispatch, `resume` that of a resume URL.
const RULES: [(&str, &str, &str); 83] = [
    ("get", "/healthz", "open"),
    ("get", "/openapi.json", "open"),
    ("get", "/v1/account", "read"),
    ("patch", "/v1/account", "admin"),
    ("get", "/v1/approvals", "read"),
    ("get", "/v1/apps", "read"),
    ("delete", "/v1/apps/{name}", "admin"),
    ("get", "/v1/apps/{name}", "read"),
    ("put", "/v1/apps/{name}", "admin"),
    ("post", "/v1/apps/{name}/describe", "publish"),
    ("get", "/v1/breakers", "read"),
    ("get", "/v1/breakers/{id}", "read"),
    ("post", "/v1/breakers/{id}/reset", "admin"),
    ("get", "/v1/dlq", "read"),
    ("post", "/v1/dlq/delete", "publish"),
    ("post", "/v1/dlq/retry", "publish"),
    ("get", "/v1/events", "read"),
    ("post", "/v1/events", "publish"),
    ("get", "/v1/events/{id}", "read"),
    ("get", "/v1/fanouts", "read"),
    ("delete", "/v1/fanouts/{name}", "publish"),
    ("get", "/v1/fanouts/{name}", "read"),
    ("put", "/v1/fanouts/{name}", "publish"),
    ("post", "/v1/fanouts/{name}/endpoints", "publish"),
    ("delete", "/v1/fanouts/{name}/endpoints/{id}", "publish"),
    ("put", "/v1/fanouts/{name}/endpoints/{id}", "publish"),
    ("get", "/v1/flows", "read"),
    ("delete", "/v1/flows/{key}", "admin"),
    ("get", "/v1/flows/{key}", "read"),
    ("put", "/v1/flows/{key}", "admin"),
    ("post", "/v1/flows/{key}/pause", "admin"),
    ("post", "/v1/flows/{key}/resume", "admin"),
    ("get", "/v1/keys", "read"),
    ("post", "/v1/keys", "admin"),
    ("delete", "/v1/keys/{id}", "admin"),
    ("get", "/v1/overview", "read"),
    ("get", "/v1/messages", "read"),
    ("get", "/v1/messages/counts", "read"),
    ("post", "/v1/messages", "publish"),
    ("post", "/v1/messages/batch", "publish"),
    ("post", "/v1/messages/cancel", "publish"),
    ("get", "/v1/messages/{id}", "read"),
    ("post", "/v1/messages/{id}/cancel", "publish"),
    ("post", "/v1/messages/{id}/resend", "publish"),
    ("post", "/v1/messages/{id}/retry", "publish"),
    ("delete", "/v1/publish/{destination}", "publish"),
    ("get", "/v1/publish/{destination}", "publish"),
    ("head", "/v1/publish/{destination}", "publish"),
    ("patch", "/v1/publish/{destination}", "publish"),
    ("post", "/v1/publish/{destination}", "publish"),
    ("put", "/v1/publish/{destination}", "publish"),
    ("get", "/v1/runs", "read"),
    ("post", "/v1/runs/cancel", "publish"),
    ("get", "/v1/runs/counts", "read"),
    ("get", "/v1/runs/{id}", "read"),
    ("post", "/v1/runs/{id}/approvals/{key}", "publish"),
    ("post", "/v1/runs/{id}/cancel", "publish"),
    ("post", "/v1/runs/{id}/checkpoint", "fence"),
    ("post", "/v1/runs/{id}/fork", "publish"),
    ("get", "/v1/runs/{id}/journal", "fence"),
    ("post", "/v1/runs/{id}/pause", "publish"),
    ("post", "/v1/runs/{id}/resume", "publish"),
    ("get", "/v1/runs/{id}/resume/{name}", "resume"),
    ("post", "/v1/runs/{id}/resume/{name}", "resume"),
    ("post", "/v1/runs/{id}/retry", "publish"),
    ("post", "/v1/runs/{id}/signals/{name}", "publish"),
    ("get", "/v1/runs/{id}/steps", "read"),
    ("post", "/v1/runs/{id}/wake", "publish"),
    ("get", "/v1/schedules", "read"),
    ("get", "/v1/schedule-preview", "read"),
    ("post", "/v1/schedules", "publish"),
    ("delete", "/v1/schedules/{id}", "publish"),
    ("get", "/v1/schedules/{id}", "read"),
    ("get", "/v1/schedules/{id}/firings", "read"),
    ("put", "/v1/schedules/{id}", "publish"),
    ("post", "/v1/schedules/{id}/pause", "publish"),
    ("post", "/v1/schedules/{id}/resume", "publish"),
    ("post", "/v1/schedules/{id}/run", "publish"),
    ("get", "/v1/signing-secret", "admin"),
    ("post", "/v1/signing-secret/rotate", "admin"),
    ("get", "/v1/workflows", "read"),
    ("get", "/v1/workflows/{name}", "read"),
    ("post", "/v1/workflows/{name}/runs", "publish"),
];

/// Routes whose parameter names what the call itself makes, or where it goes: for these another account's name is as good as any.
const MAKES: [(&str, &str); 4] =
    [("put", "/v1/apps/{name}"), ("put", "/v1/fanouts/{name}"), ("put", "/v1/flows/{key}"), ("*", "/v1/publish/{destination}")];

/// What the document says, in the shape of [`RULES`].
async fn documented(api: &Api) -> BTreeMap<(String, String), String> {
    let document = api.get("/openapi.json").await.expect(200).json();
    let default = document["security"][0]["key"][0].clone();
    let mut rules = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let role = match operation.get("security") {
                None => default.clone(),
                Some(security) => security[0]["key"][0].clone(),
            };
            let token = ["fence", "resume"].into_iter().find(|token| operation["security"][0].get(token).is_some());
            rules.insert((method.clone(), path.clone()), role.as_str().or(token).unwrap_or("open").to_owned());
        }
    }
    rules
}

/// The path with what is asked for in place of its parameters.
fn fill(path: &str, things: &BTreeMap<&str, String>) -> String {
    let room = path.split('/').nth(2).unwrap_or_default();
    let id = if path.contains("/endpoints/") { "endpoint" } else { room };
    let (name, key) = match room {
        "runs" => ("signal", "approval"),
        "apps" | "workflows" => (room, "flows"),
        _ => ("fanouts", "flows"),
    };
    let of = |name: &str| things.get(name).unwrap_or_else(|| panic!("{path}: this test has no {name}"));
    let mut filled = path.to_owned();
    for (parameter, thing) in [("{id}", id), ("{name}", name), ("{key}", key), ("{destination}", "destination")] {
        if filled.contains(parameter) {
            filled = filled.replace(parameter, of(thing));
        }
    }
    assert!(!filled.contains('{'), "{path}: a parameter that this test does not know");
    filled
}

fn nothing() -> BTreeMap<&'static str, String> {
    let id = |prefix: &str| format!("{prefix}_00000000000000000000000000000000");
    BTreeMap::from([
        ("messages", id("msg")),
        ("keys", id("key")),
        ("schedules", id("sch")),
        ("breakers", id("brk")),
        ("endpoint", id("ep")),
        ("fanouts", "nothing".to_owned()),
        ("flows", "nothing".to_owned()),
        ("destination", "nothing".to_owned()),
        ("apps", "nothing".to_owned()),
        ("workflows", "nothing".to_owned()),
        ("runs", id("run")),
        ("events", id("evt")),
        ("signal", "nothing".to_owned()),
        ("approval", "nothing".to_owned()),
    ])
}

async fn call(api: &Api, method: &str, path: &str) -> Answer {
    // Where a body must be right before the thing is looked for.
    let body = match path.split('/').collect::<Vec<_>>()[..] {
        [_, _, "fanouts", _, "endpoints", ..] => json!({ "url": "http://127.0.0.1:9/theirs" }),
        [_, _, "apps", _] => json!({ "url": "http://127.0.0.1:9/theirs" }),
        [_, _, "schedules", _] => json!({ "name": "theirs", "everySeconds": 86_400, "url": "http://127.0.0.1:9/theirs" }),
        _ => json!({}),
    };
    api.send(&method.to_uppercase(), path, matches!(method, "post" | "put" | "patch").then(|| body.to_string().into_bytes())).await
}

fn refused(answer: Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    // An answer to HEAD has no body.
    if !what.starts_with("head") {
        answer.problem(status);
    }
}

async fn key(api: &Api, role: &str) -> Api {
    let made = api.post("/v1/keys", &json!({ "name": role, "role": role })).await.expect(201).json();
    api.with_key(made["key"].as_str().unwrap())
}

#[test]
fn every_route_has_a_rule_and_the_document_says_the_same() {
    on(ALL, async |d| {
        let expected: BTreeMap<_, _> = RULES.iter().map(|(m, p, r)| (((*m).to_owned(), (*p).to_owned()), (*r).to_owned())).collect();
        assert_eq!(documented(&d.api).await, expected);
    });
}

#[test]
fn a_role_too_small_is_403_and_no_key_is_401_on_every_route() {
    on(ALL, async |d| {
        let api = d.new_account("roles");
        let keys = [("read", key(&api, "read").await), ("publish", key(&api, "publish").await)];
        let (no_key, wrong_key) = (api.with_key(""), api.with_key("tk_live_wrong"));
        let rank = |role: &str| ["open", "read", "publish", "admin"].iter().position(|r| *r == role).unwrap();
        for (method, path, needs) in RULES {
            let filled = fill(path, &nothing());
            for stranger in [&no_key, &wrong_key] {
                let answer = call(stranger, method, &filled).await;
                match needs {
                    "open" => drop(answer.expect(200)),
                    // A URL without its token opens nothing.
                    "resume" => refused(answer, 403, &format!("{method} {path} without its token")),
                    _ => refused(answer, 401, &format!("{method} {path} without a key")),
                }
            }
            if ["fence", "resume"].contains(&needs) {
                let status = if needs == "fence" { 401 } else { 403 };
                refused(call(&api, method, &filled).await, status, &format!("{method} {path} with a key instead of its token"));
                continue;
            }
            for (role, api) in &keys {
                let answer = call(api, method, &filled).await;
                if rank(role) < rank(needs) {
                    refused(answer, 403, &format!("{method} {path} as {role}"));
                } else {
                    assert!(![401, 403, 500, 503].contains(&answer.status), "{method} {path} as {role}: {answer:?}");
                }
            }
        }
    });
}

/// One of each thing that a path can name.
async fn things(d: &Deployment, api: &Api) -> BTreeMap<&'static str, String> {
    let endpoint = Endpoint::scripted([Reply::status(500)]);
    let message_id = api.publish(&message(&endpoint, json!({ "body": "ours", "maxAttempts": 1 }))).await;
    api.until(&message_id, "failed", SOON).await;
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no id: {value}")).to_owned();
    let key_id = text(&api.post("/v1/keys", &json!({ "name": "k", "role": "read" })).await.expect(201).json()["id"]);
    let url = "http://127.0.0.1:9/ours";
    let fanout = api.put("/v1/fanouts/ours", &json!({ "endpoints": [{ "url": url }] })).await.expect(201).json();
    assert_eq!(api.put("/v1/flows/ours", &json!({ "parallelism": 1 })).await.status / 100, 2);
    let schedule = api.post("/v1/schedules", &json!({ "name": "ours", "everySeconds": 86_400, "url": url })).await.expect(201).json();
    let account = api.get("/v1/account").await.expect(200).json()["id"].as_str().unwrap()["acc_".len()..].to_owned();
    let breaker = d
        .sql(&format!(
            "insert into tikku.breaker (account_id, destination, window_at) values ('{account}', 'http://127.0.0.1:9/ours', tikku.clock_now()) returning replace(id::text, '-', '')"
        ))
        .await;
    let op = json!([{ "op": "approval", "key": "ours#0" }]);
    let flow = Flow::serve(api, [waits(&op, &json!("ours#0"))]).await;
    let run = flow.start(&json!({})).await;
    until(api, &run, "waiting").await;
    let event = api.post("/v1/events", &json!({ "name": "ours" })).await.expect(202).json();
    BTreeMap::from([
        ("apps", flow.name.clone()),
        ("workflows", flow.name),
        ("runs", run),
        ("events", text(&event["id"])),
        ("signal", "ours".to_owned()),
        ("approval", "ours%230".to_owned()),
        ("messages", message_id),
        ("keys", key_id),
        ("schedules", text(&schedule["id"])),
        ("breakers", format!("brk_{}", breaker[0][0].as_deref().unwrap())),
        ("endpoint", text(&fanout["endpoints"][0]["id"])),
        ("fanouts", "ours".to_owned()),
        ("flows", "ours".to_owned()),
        ("destination", "ours".to_owned()),
    ])
}

#[test]
fn another_accounts_key_sees_404_for_every_id_of_ours_on_every_route() {
    on(ALL, async |d| {
        let (ours, stranger) = (d.new_account("roles-owner"), d.new_account("roles-stranger"));
        let things = things(d, &ours).await;
        let makes = |method: &str, path: &str| MAKES.iter().any(|(m, p)| (*m == "*" || *m == method) && *p == path);
        let documented = documented(&ours).await.into_iter().filter(|(_, role)| !["fence", "resume"].contains(&role.as_str()));
        let routes: BTreeSet<_> = documented.map(|(route, _)| route).filter(|(m, p)| p.contains('{') && !makes(m, p)).collect();
        let look = async || {
            let mut seen = Vec::new();
            for (method, path) in &routes {
                if method == "get" {
                    seen.push(ours.get(&fill(path, &things)).await.expect(200).json());
                }
            }
            seen.push(ours.get("/v1/keys").await.expect(200).json()["data"][0]["revokedAt"].clone());
            seen
        };
        let before = look().await;
        assert!(before.len() >= 6, "{routes:?}");
        for (method, path) in &routes {
            let filled = fill(path, &things);
            refused(call(&stranger, method, &filled).await, 404, &format!("{method} {path}"));
            // Whether it exists in another account makes no difference.
            refused(call(&ours, method, &fill(path, &nothing())).await, 404, &format!("{method} {path} of nothing"));
        }
        assert_eq!(look().await, before, "nothing changed");
    });
}
