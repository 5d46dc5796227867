//! What the API of workflows accepts: values come back as they were written, each limit holds at its edge, and what is wrong is named.

use serde_json::{Value, json};

use crate::host::{ALL, on};
use crate::workflow_endpoint::{Flow, awaits_signal, completes, run, until};

/// Every kind of JSON value, as it is written.
const VALUES: [&str; 10] = [
    "null",
    "0",
    "false",
    "\"\"",
    "[]",
    "{}",
    "-1.5e3",
    "9007199254740993",
    "\"\u{1F600} \\u0000 \\ud83d\\ude00\"",
    r#"{"b": [1, {"a": null}], "a": ""}"#,
];

#[test]
fn an_input_and_a_signal_come_to_the_endpoint_as_they_were_written() {
    on(ALL, async |d| {
        for value in VALUES {
            let flow = Flow::serve(&d.api, [awaits_signal("s#0", "s"), completes(&json!(null))]).await;
            let start = format!("{{\"input\": {value}}}").into_bytes();
            let answer = d.api.send("POST", &format!("/v1/workflows/{}/runs", flow.name), Some(start)).await.expect(202).json();
            let id = answer["id"].as_str().unwrap();
            until(&d.api, id, "waiting").await;
            d.api.send("POST", &format!("/v1/runs/{id}/signals/s"), Some(value.into())).await.expect(202);
            until(&d.api, id, "completed").await;
            let pushes = flow.dispatched(2).await;
            let body = String::from_utf8(pushes[1].body.to_vec()).unwrap();
            assert!(body.contains(&format!("\"input\":{value}")), "{value} in {body}");
            assert!(body.contains(&format!("\"value\":{value}")), "{value} in {body}");
            assert!(d.api.get(&format!("/v1/runs/{id}")).await.expect(200).text.contains(&format!("\"input\":{value}")), "{value}");
        }
    });
}

#[test]
fn a_start_without_a_body_or_an_input_has_the_input_null() {
    on(ALL, async |d| {
        let flow = Flow::serve(&d.api, [completes(&json!(1))]).await;
        let path = format!("/v1/workflows/{}/runs", flow.name);
        for answer in [d.api.act(&path).await, d.api.post(&path, &json!({})).await, d.api.post(&path, &json!({ "input": null })).await] {
            let id = answer.expect(202).json()["id"].as_str().unwrap().to_owned();
            let run = until(&d.api, &id, "completed").await;
            assert_eq!((&run["input"], &run["inputTruncated"]), (&Value::Null, &json!(false)));
        }
    });
}

#[test]
fn each_limit_of_a_start_and_an_event_holds_at_its_edge() {
    on(ALL, async |d| {
        let flow = Flow::serve(&d.api, [awaits_signal("s#0", "s")]).await;
        let of = |chars: usize| "x".repeat(chars);
        let labels = |n: usize| (0..n).map(|n| format!("l{n}")).collect::<Vec<_>>();
        for (field, most, more) in [
            ("id", json!(of(255)), json!(of(256))),
            ("idempotencyKey", json!(of(255)), json!(of(256))),
            ("delaySeconds", json!(315_360_000), json!(315_360_001)),
            ("labels", json!(labels(10)), json!(labels(11))),
            ("labels", json!([of(64)]), json!([of(65)])),
        ] {
            let answer = flow.send(&json!({ field: most, "input": field })).await;
            assert!([200, 202].contains(&answer.status), "{field}: {answer:?}");
            let problem = flow.send(&json!({ field: more })).await.problem(400);
            assert!(problem["errors"][0]["pointer"].as_str().unwrap().starts_with(&format!("/{field}")), "{field}: {problem:#}");
        }
        let mib = 1024 * 1024;
        flow.send(&json!({ "input": of(4 * mib - 2), "delaySeconds": 3_600 })).await.expect(202);
        let problem = flow.send(&json!({ "input": of(4 * mib - 1) })).await.problem(400);
        assert_eq!(problem["errors"][0]["pointer"], "/input");
        d.api.post("/v1/events", &json!({ "name": of(128) })).await.expect(202);
        assert_eq!(d.api.post("/v1/events", &json!({ "name": of(129) })).await.problem(400)["errors"][0]["pointer"], "/name");
        let id = flow.start(&json!({ "delaySeconds": 3_600 })).await;
        let signal =
            async |name: &str, body: String| d.api.send("POST", &format!("/v1/runs/{id}/signals/{name}"), Some(body.into_bytes())).await;
        signal(&of(128), "1".to_owned()).await.expect(202);
        signal(&of(129), "1".to_owned()).await.problem(400);
        signal("large", format!("\"{}\"", of(mib - 2))).await.expect(202);
        signal("large", format!("\"{}\"", of(mib - 1))).await.problem(413);
        assert_eq!(run(&d.api, &id).await["signals"].as_array().unwrap().len(), 2);
    });
}

#[test]
fn what_is_wrong_with_a_request_about_runs_is_named() {
    on(ALL, async |d| {
        let flow = Flow::serve(&d.api, [awaits_signal("s#0", "s")]).await;
        let id = flow.start(&json!({ "delaySeconds": 3_600 })).await;
        let start = format!("/v1/workflows/{}/runs", flow.name);
        let of = |verb: &str| format!("/v1/runs/{id}/{verb}");
        for (path, body, pointer) in [
            (start.clone(), json!([]), ""),
            (start.clone(), json!({ "workflow": "x" }), "/workflow"),
            (start.clone(), json!({ "id": "a\nb" }), "/id"),
            (start, json!({ "version": "" }), "/version"),
            ("/v1/events".to_owned(), json!({ "data": 1 }), "/name"),
            ("/v1/events".to_owned(), json!({ "name": "a", "payload": 1 }), "/payload"),
            (of("resume"), json!({ "accept": "yes" }), "/accept"),
            (of("fork"), json!({ "fromStep": 1 }), "/fromStep"),
            (of("fork"), json!({ "fromStep": "a", "results": { "a": 1 } }), "/results/a"),
            ("/v1/runs/cancel".to_owned(), json!({}), "/ids"),
            ("/v1/runs/cancel".to_owned(), json!({ "filter": { "status": "over" } }), "/filter/status"),
        ] {
            let problem = d.api.post(&path, &body).await.problem(400);
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{path} {body}: {problem:#}");
        }
        for query in ["status=over", "parent=x", "from=yesterday", "limit=0", "workflow=", "nope=1"] {
            let problem = d.api.get(&format!("/v1/runs?{query}")).await.problem(400);
            assert_eq!(problem["errors"][0]["pointer"], query.split('=').next().unwrap(), "{problem:#}");
        }
        d.api.get("/v1/approvals?status=closed").await.problem(400);
        d.api.get("/v1/events?status=open").await.problem(400);
    });
}

#[test]
fn a_list_of_runs_shows_what_its_filters_say() {
    on(ALL, async |d| {
        let api = d.new_account("run filters");
        let flow = Flow::serve(&api, [completes(&json!(1))]).await;
        let mut ids = Vec::new();
        for n in 0..3 {
            ids.push(
                flow.start(&json!({ "labels": [format!("n{n}")], "id": format!("x{n}"), "delaySeconds": if n == 0 { 0 } else { 3_600 } }))
                    .await,
            );
        }
        until(&api, &ids[0], "completed").await;
        let list = async |query: &str| {
            let page = api.get(&format!("/v1/runs?{query}")).await.expect(200).json();
            page["data"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let newest_first = [&ids[2], &ids[1], &ids[0]].map(String::clone);
        assert_eq!(list("").await, newest_first);
        assert_eq!(list(&format!("workflow={}", flow.name)).await, newest_first);
        assert_eq!(list("workflow=other").await, Vec::<String>::new());
        assert_eq!(list("status=completed").await, [ids[0].clone()]);
        assert_eq!(list("status=queued&label=n2").await, [ids[2].clone()]);
        assert_eq!(list("externalId=x1").await, [ids[1].clone()]);
        assert_eq!(list("version=2").await, Vec::<String>::new());
        assert_eq!(list("from=2999-01-01T00:00:00Z").await, Vec::<String>::new());
        assert_eq!(list(&format!("parent={}", ids[0])).await, Vec::<String>::new());
        let row = api.get("/v1/runs?limit=1").await.expect(200).json()["data"][0].clone();
        assert!(row.get("input").is_none() && row.get("steps").is_none(), "{row:#}");
    });
}
