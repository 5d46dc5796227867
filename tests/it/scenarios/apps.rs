//! Apps: registering an endpoint asks it, signed, what it serves; whatever it answers, the app is stored and says what was wrong.

use serde_json::{Value, json};

use super::{SOON, assert_signed};
use crate::endpoint::{Ending, Endpoint, Reply};
use crate::host::{ALL, on};
use crate::workflow_endpoint::{Flow, awaits_signal, completes, describes, reports, run, says, until};

#[test]
fn a_registered_app_was_asked_by_a_signed_request_and_shows_what_it_serves() {
    on(ALL, async |d| {
        let policy = json!({
            "name": "described", "version": "3", "triggers": [{ "event": "order.placed", "match": { "data.country": "DE" } }],
            "concurrency": { "limit": 10, "key": "input.customerId" }, "retry": { "maxAttempts": 4 }, "priority": 5,
        });
        let endpoint = Endpoint::scripted([describes(&json!([policy, { "name": "described", "version": "2" }, { "name": "other.one" }]))]);
        let app = d.api.put("/v1/apps/described", &json!({ "url": endpoint.url(), "timeoutSeconds": 20 })).await.expect(201).json();
        let asked = endpoint.wait(1, SOON).await.remove(0);
        assert_signed(d, &asked);
        assert_eq!((asked.method.as_str(), asked.header("tikku-protocol")), ("POST", Some("1")));
        assert!(asked.header("webhook-id").is_some_and(|id| id.starts_with("dsc_") && id.len() == 36), "{asked:?}");
        let question: Value = serde_json::from_slice(&asked.body).unwrap();
        assert_eq!(question, json!({ "v": 1, "kind": "describe", "app": "described" }));

        assert_eq!((&app["describeError"], &app["checkpoint"], &app["sdk"]), (&Value::Null, &json!("return"), &json!("test/1")));
        assert_eq!((&app["timeoutSeconds"], &app["leaseSeconds"]), (&json!(20), &json!(30)));
        let served = app["workflows"].as_array().unwrap();
        assert_eq!(served.len(), 3, "{app:#}");
        let workflow = d.api.get("/v1/workflows/described").await.expect(200).json();
        assert_eq!((&workflow["version"], &workflow["app"], &workflow["served"]), (&json!("3"), &json!("described"), &json!(true)));
        assert_eq!(workflow["triggers"], policy["triggers"]);
        assert_eq!(workflow["concurrency"]["limit"], 10);
        let versions: Vec<&Value> = workflow["versions"].as_array().unwrap().iter().map(|version| &version["version"]).collect();
        assert!(versions.len() == 2 && versions.contains(&&json!("2")), "{workflow:#}");
        assert_eq!(d.api.get("/v1/workflows/other.one").await.expect(200).json()["version"], "1");
    });
}

#[test]
fn an_app_whose_endpoint_does_not_say_what_it_serves_is_stored_and_says_why() {
    on(ALL, async |d| {
        let json = |body: &str| Reply::status(200).header("content-type", "application/json").body(body);
        let cases = [
            (Reply::status(500), "500"),
            (Reply::status(401), "signing secret"),
            (Reply::status(302).header("location", "http://127.0.0.1:9/"), "302"),
            (json("<html>"), "protocol"),
            (json("[]"), "protocol"),
            (json(r#"{"v": 2, "workflows": []}"#), "v"),
            (json(r#"{"v": 1, "workflows": [{"name": "a b"}]}"#), "name"),
            (json(r#"{"v": 1, "checkpoint": "never", "workflows": []}"#), "checkpoint"),
            (Reply::status(200).ending(Ending::Drop), ""),
        ];
        for (n, (reply, said)) in cases.into_iter().enumerate() {
            let endpoint = Endpoint::scripted([reply]);
            let path = format!("/v1/apps/silent-{n}");
            let app = d.api.put(&path, &json!({ "url": endpoint.url() })).await.expect(201).json();
            let error = app["describeError"].as_str().unwrap_or_else(|| panic!("case {n} has no error: {app:#}"));
            assert!(!error.is_empty() && error.contains(said), "case {n}: {error}");
            assert_eq!((&app["describedAt"], &app["workflows"]), (&Value::Null, &json!([])), "case {n}");
            // Mended, it is asked again.
            endpoint.script([describes(&json!([{ "name": format!("silent-{n}") }]))]);
            let app = d.api.act(&format!("{path}/describe")).await.expect(200).json();
            assert_eq!((&app["describeError"], &app["workflows"][0]["served"]), (&Value::Null, &json!(true)), "case {n}: {app:#}");
            // A bad answer later leaves what it served.
            endpoint.script([Reply::status(503)]);
            let app = d.api.act(&format!("{path}/describe")).await.expect(200).json();
            assert!(app["describeError"].is_string() && app["workflows"][0]["served"] == true, "case {n}: {app:#}");
        }
    });
}

#[test]
fn an_app_is_refused_with_what_is_wrong_and_a_name_is_a_segment_of_a_path() {
    on(ALL, async |d| {
        for (app, pointer) in [
            (json!({}), "/url"),
            (json!({ "url": 5 }), "/url"),
            (json!({ "url": "ftp://example.com" }), "/url"),
            (json!({ "url": "https://user:secret@example.com" }), "/url"),
            (json!({ "url": "http://127.0.0.1:9/", "timeoutSeconds": 0 }), "/timeoutSeconds"),
            (json!({ "url": "http://127.0.0.1:9/", "timeoutSeconds": 841 }), "/timeoutSeconds"),
            (json!({ "url": "http://127.0.0.1:9/", "leaseSeconds": 601 }), "/leaseSeconds"),
            (json!({ "url": "http://127.0.0.1:9/", "workflows": [] }), "/workflows"),
        ] {
            let problem = d.api.put("/v1/apps/refused", &app).await.problem(400);
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{app}: {problem:#}");
        }
        let app = json!({ "url": "http://127.0.0.1:9/" });
        for name in ["a%20b", &"a".repeat(65), "%C3%A4"] {
            d.api.put(&format!("/v1/apps/{name}"), &app).await.problem(400);
        }
        d.api.get("/v1/apps/refused").await.problem(404);
    });
}

#[test]
fn a_start_of_what_no_app_serves_is_404_and_says_how_to_register_one() {
    on(ALL, async |d| {
        let problem = d.api.post("/v1/workflows/unheard-of/runs", &json!({})).await.problem(404);
        assert!(problem["detail"].as_str().unwrap().contains("PUT /v1/apps/"), "{problem:#}");
        let flow = Flow::serve(&d.api, [completes(&json!(1))]).await;
        let problem = flow.send(&json!({ "version": "9" })).await.problem(404);
        assert!(problem["detail"].as_str().unwrap().contains("version 9"), "{problem:#}");
        d.api.post("/v1/workflows/..%2Fa/runs", &json!({})).await.problem(404);
    });
}

#[test]
fn a_run_keeps_its_version_waits_while_nobody_serves_it_and_goes_on_when_an_app_does() {
    on(ALL, async |d| {
        let flow = Flow::serve_as(&d.api, &json!({ "version": "1" }), [awaits_signal("go#0", "go")]).await;
        let old = flow.start(&json!({})).await;
        until(&d.api, &old, "waiting").await;
        let describe = format!("/v1/apps/{}/describe", flow.name);
        let versions = |list: &[&str]| {
            let all: Vec<Value> = list.iter().map(|version| json!({ "name": flow.name, "version": version })).collect();
            describes(&Value::from(all))
        };
        // Version 2 alone: new runs get it, and the old run has nobody.
        flow.endpoint.script([versions(&["2"]), completes(&json!("second"))]);
        d.api.act(&describe).await.expect(200);
        let new = flow.start(&json!({})).await;
        let new = until(&d.api, &new, "completed").await;
        assert_eq!((&new["version"], &new["output"]), (&json!("2"), &json!("second")));
        d.api.post(&format!("/v1/runs/{old}/signals/go"), &json!(1)).await.expect(202);
        let paused = until(&d.api, &old, "paused").await;
        assert_eq!((&paused["pauseReason"], &paused["version"]), (&json!("unserved"), &json!("1")), "{paused:#}");
        // Served beside the new one, it goes on by itself.
        flow.endpoint.script([versions(&["2", "1"]), completes(&json!("first"))]);
        d.api.act(&describe).await.expect(200);
        let old = until(&d.api, &old, "completed").await;
        assert_eq!((&old["version"], &old["output"]), (&json!("1"), &json!("first")));
    });
}

#[test]
fn an_endpoint_that_says_it_does_not_serve_a_run_pauses_it_until_the_app_is_described_again() {
    on(ALL, async |d| {
        let unserved = reports(&json!([{ "op": "unserved", "serves": [] }]));
        let flow = Flow::serve(&d.api, [unserved]).await;
        let id = flow.start(&json!({})).await;
        assert_eq!(until(&d.api, &id, "paused").await["pauseReason"], "unserved");
        flow.endpoint.script([describes(&json!([{ "name": flow.name }])), completes(&json!(true))]);
        d.api.act(&format!("/v1/apps/{}/describe", flow.name)).await.expect(200);
        until(&d.api, &id, "completed").await;
    });
}

#[test]
fn a_deleted_app_starts_nothing_more() {
    on(ALL, async |d| {
        let flow = Flow::serve(&d.api, [says(&json!({ "v": 1, "ops": [], "await": { "all": [] } }))]).await;
        d.api.delete(&format!("/v1/apps/{}", flow.name)).await.expect(204);
        d.api.delete(&format!("/v1/apps/{}", flow.name)).await.problem(404);
        flow.send(&json!({})).await.problem(404);
        let id = d.api.get("/v1/runs?limit=1").await.expect(200).json()["data"][0]["id"].clone();
        if let Some(id) = id.as_str() {
            assert_ne!(run(&d.api, id).await["workflow"], json!(flow.name), "none was started");
        }
    });
}
