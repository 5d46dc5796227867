//! Runs through the API: idempotent starts, signals in order, events, approvals, resume URLs, and what people ask of runs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tikku_domain::workflow_resume::resume_token;

use super::{SOON, assert_signed, ms};
use crate::api::Api;
use crate::endpoint::{Ending, now_ms};
use crate::host::{ALL, on};
use crate::workflow_endpoint::{Flow, awaits_signal, completes, reports, run, says, until, waits};

#[test]
fn a_run_is_dispatched_signed_and_shows_its_steps_and_its_output() {
    on(ALL, async |d| {
        let charge = json!([{ "op": "result", "key": "charge#0", "value": { "id": "ch_1" }, "ms": 812 }]);
        let flow = Flow::serve(&d.api, [reports(&charge), completes(&json!({ "ok": true }))]).await;
        let id = flow.start(&json!({ "input": { "order": 1 }, "labels": ["a"] })).await;
        let run = until(&d.api, &id, "completed").await;
        assert_eq!((&run["input"], &run["output"], &run["error"]), (&json!({ "order": 1 }), &json!({ "ok": true }), &Value::Null));
        assert_eq!((&run["workflow"], &run["startedHow"], &run["labels"]), (&json!(flow.name), &json!("api"), &json!(["a"])));
        assert!(ms(&run["createdAt"]) <= ms(&run["startedAt"]) && ms(&run["startedAt"]) <= ms(&run["finishedAt"]), "{run:#}");
        let step = &run["steps"][0];
        assert_eq!(
            (&step["key"], &step["state"], &step["value"], &step["durationMs"]),
            (&json!("charge#0"), &json!("ok"), &json!({ "id": "ch_1" }), &json!(812))
        );
        let pushes = flow.dispatched(2).await;
        for push in &pushes {
            assert_signed(d, push);
            assert_eq!(push.header("tikku-protocol"), Some("1"));
        }
        let second = flow.dispatch(2).await;
        assert_eq!(second["journal"]["entries"][0]["value"], json!({ "id": "ch_1" }));
        assert_eq!((&second["run"]["id"], &second["input"]), (&json!(id), &json!({ "order": 1 })));
        assert!(second["fence"]["gen"].as_i64() > flow.dispatch(1).await["fence"]["gen"].as_i64());
    });
}

#[test]
fn the_same_id_from_many_starters_is_one_run_and_another_input_is_422() {
    on(ALL, async |d| {
        let flow = Flow::serve(&d.api, [awaits_signal("go#0", "go")]).await;
        let start = json!({ "id": "order-1", "input": { "a": 1 } });
        let answers = join_all((0..20).map(|_| flow.send(&start))).await;
        let accepted = answers.iter().filter(|answer| answer.status == 202).count();
        assert_eq!((accepted, answers.iter().filter(|answer| answer.status == 200).count()), (1, 19), "{answers:?}");
        let ids: Vec<Value> = answers.iter().map(|answer| answer.json()["id"].clone()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        let id = ids[0].as_str().unwrap();
        until(&d.api, id, "waiting").await;
        let again = flow.send(&start).await.expect(200).json();
        assert_eq!((&again["status"], &again["deduplicated"]), (&json!("waiting"), &json!(true)));
        let problem = flow.send(&json!({ "id": "order-1", "input": { "a": 2 } })).await.problem(422);
        assert!(problem["detail"].as_str().unwrap().contains(id), "{problem:#}");
        let keyed = json!({ "idempotencyKey": format!("k-{}", flow.name), "input": 1 });
        let first = flow.send(&keyed).await.expect(202).json();
        assert_eq!(flow.send(&keyed).await.expect(200).json()["id"], first["id"]);
        flow.send(&json!({ "idempotencyKey": format!("k-{}", flow.name), "input": 2 })).await.problem(422);
        let listed = d.api.get(&format!("/v1/runs?workflow={}&externalId=order-1", flow.name)).await.expect(200).json();
        assert_eq!((listed["data"].as_array().unwrap().len(), &listed["data"][0]["id"]), (1, &json!(id)));
        flow.endpoint.script([completes(&json!(null))]);
        d.api.act(&format!("/v1/runs/{id}/signals/go")).await.expect(202);
        until(&d.api, id, "completed").await;
        assert_eq!(flow.send(&start).await.expect(200).json()["status"], "completed", "it holds for as long as the run is kept");
    });
}

#[test]
fn signals_that_come_early_serve_waits_in_order_and_a_key_sends_one_once() {
    on(ALL, async |d| {
        let flow =
            Flow::serve(&d.api, [awaits_signal("first#0", "review"), awaits_signal("second#0", "review"), completes(&json!("both"))]).await;
        let id = flow.start(&json!({ "delaySeconds": 10 })).await;
        let path = format!("/v1/runs/{id}/signals/review");
        let keyed = |key: &'static str, body: Value| {
            let (api, path) = (d.api.clone(), path.clone());
            async move { api.send_with("POST", &path, &[("idempotency-key", key)], Some(&body)).await.expect(202) }
        };
        join_all((0..10).map(|_| keyed("one", json!({ "n": 1 })))).await;
        keyed("two", json!({ "n": 2 })).await;
        assert_eq!(run(&d.api, &id).await["signals"], json!([{ "name": "review", "count": 2 }]));
        let done = until(&d.api, &id, "completed").await;
        let values: Vec<&Value> = done["steps"].as_array().unwrap().iter().map(|step| &step["value"]).collect();
        assert_eq!(values, [&json!({ "n": 1 }), &json!({ "n": 2 })]);
        let problem = d.api.post(&path, &json!(3)).await.problem(409);
        assert!(problem["detail"].as_str().unwrap().contains("completed"), "{problem:#}");
        d.api.post("/v1/runs/run_00000000000000000000000000000000/signals/review", &json!(1)).await.problem(404);
    });
}

#[test]
fn an_event_starts_what_subscribes_and_wakes_what_waits_if_it_matches() {
    on(ALL, async |d| {
        let event = format!("paid-{}", now_ms());
        let triggers = json!({ "triggers": [{ "event": event, "match": { "data.country": "DE" } }] });
        let starts = Flow::serve_as(&d.api, &triggers, [completes(&json!("started"))]).await;
        let wait = json!([{ "op": "event", "key": "paid#0", "name": event, "match": { "data.customer.id": "c1" } }]);
        let waiter = Flow::serve(&d.api, [waits(&wait, &json!("paid#0")), completes(&json!("woken"))]).await;
        let id = waiter.start(&json!({})).await;
        until(&d.api, &id, "waiting").await;
        let publish = async |data: Value, id: &str| {
            d.api.post("/v1/events", &json!({ "name": event, "data": data, "id": format!("{event}-{id}") })).await
        };
        let nobody = publish(json!({ "country": "FR", "customer": { "id": "c2" } }), "1").await.expect(202).json();
        assert_eq!((&nobody["started"], &nobody["woken"]), (&json!([]), &json!([])));
        let data = json!({ "country": "DE", "customer": { "id": "c1" } });
        let both = publish(data.clone(), "2").await.expect(202).json();
        assert_eq!((both["started"].as_array().unwrap().len(), &both["woken"]), (1, &json!([id])), "{both:#}");
        let woken = until(&d.api, &id, "completed").await;
        assert_eq!(woken["steps"][0]["value"], json!({ "id": both["id"], "name": event, "data": data }));
        let started = until(&d.api, both["started"][0].as_str().unwrap(), "completed").await;
        assert_eq!(started["input"], json!({ "event": { "id": both["id"], "name": event, "data": data } }));
        assert_eq!((&started["workflow"], &started["startedHow"], &started["source"]), (&json!(starts.name), &json!("event"), &both["id"]));
        let again = publish(data, "2").await.expect(202).json();
        assert_eq!((&again["id"], &again["deduplicated"], &again["started"]), (&both["id"], &json!(true), &both["started"]));
        publish(json!(1), "2").await.problem(422);
        let shown = d.api.get(&format!("/v1/events/{}", both["id"].as_str().unwrap())).await.expect(200).json();
        assert_eq!((&shown["started"], &shown["woken"]), (&both["started"], &json!(1)));
        assert_eq!(d.api.get(&format!("/v1/events?name={event}")).await.expect(200).json()["data"].as_array().unwrap().len(), 2);
    });
}

/// A run that waits for an approval with these further fields.
async fn asks(api: &Api, fields: Value) -> (Flow, String) {
    let mut op = json!({ "op": "approval", "key": "ok#0", "title": "Ship <it>?", "detail": { "order": 7 } });
    op.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let flow = Flow::serve(api, [waits(&json!([op]), &json!("ok#0")), completes(&json!("answered"))]).await;
    let id = flow.start(&json!({})).await;
    until(api, &id, "waiting").await;
    (flow, id)
}

#[test]
fn an_approval_checks_schema_and_policy_takes_one_answer_and_keeps_who_gave_it() {
    on(ALL, async |d| {
        let api = d.new_account("approvals");
        let schema = json!({ "type": "object", "required": ["limit"], "properties": { "limit": { "type": "integer", "maximum": 500 } }, "additionalProperties": false });
        let (_flow, id) = asks(&api, json!({ "schema": schema })).await;
        let path = format!("/v1/runs/{id}/approvals/ok%230");
        for (data, pointer) in [
            (json!({ "limit": 501 }), "/data/limit"),
            (json!({}), "/data"),
            (json!({ "limit": 1, "x": 1 }), "/data/x"),
            (json!(null), "/data"),
        ] {
            let problem = api.post(&path, &json!({ "approve": true, "data": data })).await.problem(422);
            assert_eq!(
                (&problem["type"], &problem["errors"][0]["pointer"]),
                (&json!("urn:tikku:problem:unfit-data"), &json!(pointer)),
                "{problem:#}"
            );
        }
        assert_eq!(run(&api, &id).await["status"], "waiting", "it still waits");
        assert_eq!(api.get("/v1/approvals").await.expect(200).json()["data"][0]["runId"], json!(id));
        let answered = api.post(&path, &json!({ "approve": true, "data": { "limit": 500 }, "by": "Ada" })).await.expect(200).json();
        assert_eq!(
            (&answered["status"], &answered["data"], answered["decidedBy"].is_string()),
            (&json!("approved"), &json!({ "limit": 500 }), true),
            "{answered:#}"
        );
        api.post(&path, &json!({ "approve": false })).await.problem(409);
        let done = until(&api, &id, "completed").await;
        let value = &done["steps"][0]["value"];
        assert_eq!((&value["approved"], &value["data"]), (&json!(true), &json!({ "limit": 500 })), "{value:#}");
        assert_eq!(api.get("/v1/approvals").await.expect(200).json()["data"], json!([]));
        assert_eq!(api.get("/v1/approvals?status=all").await.expect(200).json()["data"][0]["status"], "approved");
    });
}

#[test]
fn an_approval_refuses_the_initiator_and_roles_that_its_policy_does_not_name() {
    on(ALL, async |d| {
        let api = d.new_account("approval policies");
        let key = async |role: &str| {
            let made = api.post("/v1/keys", &json!({ "name": role, "role": role })).await.expect(201).json();
            api.with_key(made["key"].as_str().unwrap())
        };
        let (publisher, reader) = (key("publish").await, key("read").await);
        let (_one, id) = asks(&api, json!({ "policy": { "notInitiator": true } })).await;
        let path = format!("/v1/runs/{id}/approvals/ok%230");
        let yes = json!({ "approve": true });
        reader.post(&path, &yes).await.problem(403);
        let problem = api.post(&path, &yes).await.problem(403);
        assert!(problem["detail"].as_str().unwrap().contains("notInitiator"), "{problem:#}");
        publisher.post(&path, &json!({ "approve": false })).await.expect(200);
        assert_eq!(until(&api, &id, "completed").await["steps"][0]["value"]["approved"], false);
        let (_two, id) = asks(&api, json!({ "policy": { "roles": ["admin"] } })).await;
        let path = format!("/v1/runs/{id}/approvals/ok%230");
        publisher.post(&path, &yes).await.problem(403);
        api.post(&path, &yes).await.expect(200);
        until(&api, &id, "completed").await;
    });
}

#[test]
fn an_approval_that_expired_or_whose_run_is_over_takes_no_answer() {
    on(ALL, async |d| {
        let (_flow, id) = asks(&d.api, json!({ "timeoutMs": 1_000 })).await;
        let done = until(&d.api, &id, "completed").await;
        assert_eq!(done["steps"][0]["state"], "timeout");
        let path = format!("/v1/runs/{id}/approvals/ok%230");
        let problem = d.api.post(&path, &json!({ "approve": true })).await.problem(409);
        assert!(problem["detail"].as_str().unwrap().contains("expired"), "{problem:#}");
        let (_flow, id) = asks(&d.api, json!({})).await;
        d.api.act(&format!("/v1/runs/{id}/cancel")).await.expect(200);
        d.api.post(&format!("/v1/runs/{id}/approvals/ok%230"), &json!({ "approve": true })).await.problem(409);
        d.api.post(&format!("/v1/runs/{id}/approvals/other%230"), &json!({ "approve": true })).await.problem(404);
    });
}

/// The path of a resume URL, made as an SDK makes it.
fn resume_path(dispatch: &Value, name: &str) -> String {
    let (key, url) = (dispatch["engine"]["resumeKey"].as_str().unwrap(), dispatch["engine"]["resume"].as_str().unwrap());
    let path = &url[url.find("/v1/").unwrap()..];
    format!("{path}/{}?token={}", name.replace('#', "%23"), resume_token(key, name))
}

#[test]
fn a_resume_url_shows_a_page_and_sends_its_signal_without_a_key() {
    on(ALL, async |d| {
        let flow = Flow::serve(&d.api, [awaits_signal("go#0", "re view"), completes(&json!(1))]).await;
        let id = flow.start(&json!({})).await;
        until(&d.api, &id, "waiting").await;
        let (anyone, path) = (d.api.with_key(""), resume_path(&flow.dispatch(1).await, "re view").replace("re view", "re%20view"));
        for _ in 0..2 {
            let page = anyone.raw("GET", &path, &[("accept", "text/html")], Vec::new()).await.expect(200);
            assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
            let policy = page.headers["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");
            assert!(page.headers["referrer-policy"] == "no-referrer" && page.headers["cache-control"] == "no-store", "{page:?}");
            assert!(page.text.contains("<form method=\"post\">") && !page.text.contains("<script"), "{}", page.text);
        }
        assert_eq!(run(&d.api, &id).await["status"], "waiting", "looking changes nothing");
        let wrong = format!("{}{}", &path[..path.len() - 43], URL_SAFE_NO_PAD.encode([0; 32]));
        for path in [
            wrong.as_str(),
            path.split('?').next().unwrap(),
            &path.replace("re%20view", "review"),
            &path.replace(&id, "run_00000000000000000000000000000000"),
        ] {
            anyone.post(path, &json!(1)).await.problem(403);
            anyone.get(path).await.problem(403);
        }
        anyone.raw("POST", &path, &[("content-type", "application/json")], b"{".to_vec()).await.problem(400);
        anyone.post(&path, &json!({ "ok": true })).await.expect(202);
        let done = until(&d.api, &id, "completed").await;
        assert_eq!(done["steps"][0]["value"], json!({ "ok": true }));
        anyone.post(&path, &json!(1)).await.problem(409);
        anyone.get(&path).await.problem(409);
        let page = anyone.raw("GET", &path, &[("accept", "text/html")], Vec::new()).await.expect(409);
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    });
}

#[test]
fn a_resume_url_answers_an_approval_by_its_form_unless_a_policy_asks_for_a_key() {
    on(ALL, async |d| {
        let (flow, id) = asks(&d.api, json!({ "schema": { "type": "object" } })).await;
        let (anyone, path) = (d.api.with_key(""), resume_path(&flow.dispatch(1).await, "ok#0"));
        let page = anyone.get(&path).await.expect(200);
        assert!(page.text.contains("Ship &lt;it&gt;?") && page.text.contains("name=\"data\""), "{}", page.text);
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let send = async |body: &str| anyone.raw("POST", &path, &form, body.as_bytes().to_vec()).await;
        send("by=Ada").await.expect(400);
        send("approve=true&data=5").await.expect(422);
        let done = send("approve=true&data=%7B%22n%22%3A1%7D&by=Ada").await.expect(202);
        assert_eq!(done.headers["content-type"], "text/html; charset=utf-8");
        send("approve=true&data=%7B%7D").await.expect(409);
        let value = until(&d.api, &id, "completed").await["steps"][0]["value"].clone();
        assert_eq!((&value["approved"], &value["data"], &value["by"]), (&json!(true), &json!({ "n": 1 }), &json!("Ada")), "{value:#}");
        let (flow, _) = asks(&d.api, json!({ "policy": { "roles": ["publish"] } })).await;
        let path = resume_path(&flow.dispatch(1).await, "ok#0");
        anyone.get(&path).await.problem(403);
        anyone.post(&path, &json!({ "approve": true })).await.problem(403);
    });
}

#[test]
fn a_sleeping_run_shows_when_it_wakes_and_can_be_paused_resumed_and_woken() {
    on(ALL, async |d| {
        let sleep = json!([{ "op": "sleep", "key": "nap#0", "forMs": 31_536_000_000_i64 }]);
        let flow = Flow::serve(&d.api, [waits(&sleep, &json!("nap#0")), completes(&json!("rested"))]).await;
        let id = flow.start(&json!({})).await;
        let sleeping = until(&d.api, &id, "sleeping").await;
        assert!((ms(&sleeping["wakesAt"]) - now_ms() - 31_536_000_000).abs() < 60_000, "{sleeping:#}");
        assert_eq!(sleeping["pending"][0]["dueAt"], sleeping["wakesAt"]);
        let verb = async |verb: &str| d.api.act(&format!("/v1/runs/{id}/{verb}")).await;
        verb("resume").await.problem(409);
        let paused = verb("pause").await.expect(200).json();
        assert_eq!((&paused["status"], &paused["pauseReason"]), (&json!("paused"), &json!("requested")));
        let resumed = verb("resume").await.expect(200).json();
        assert_eq!((&resumed["status"], &resumed["wakesAt"]), (&json!("sleeping"), &sleeping["wakesAt"]), "the timer is the same");
        verb("wake").await.expect(200);
        let done = until(&d.api, &id, "completed").await;
        assert_eq!((&done["steps"][0]["value"], &done["output"]), (&json!("woken"), &json!("rested")));
        for after in ["pause", "resume", "wake", "retry"] {
            verb(after).await.problem(409);
        }
        assert_eq!(flow.endpoint.count(), 3, "describe and two dispatches: the verbs made none");
    });
}

#[test]
fn a_failed_run_is_retried_from_the_step_that_failed() {
    on(ALL, async |d| {
        let steps = json!([
            { "op": "result", "key": "charge#0", "value": 1 },
            { "op": "error", "key": "ship#0", "error": { "name": "E", "message": "no stock" } },
            { "op": "fail", "error": { "name": "E", "message": "no stock" } },
        ]);
        let flow = Flow::serve(&d.api, [reports(&steps), completes(&json!("shipped"))]).await;
        let id = flow.start(&json!({})).await;
        let failed = until(&d.api, &id, "failed").await;
        assert_eq!((&failed["error"]["message"], &failed["attempt"]), (&json!("no stock"), &json!(1)));
        assert_eq!(d.api.act(&format!("/v1/runs/{id}/retry")).await.expect(200).json()["attempt"], 2);
        until(&d.api, &id, "completed").await;
        let second = flow.dispatch(2).await;
        let keys: Vec<&Value> = second["journal"]["entries"].as_array().unwrap().iter().map(|entry| &entry["key"]).collect();
        assert_eq!((keys, &second["run"]["attempt"]), (vec![&json!("charge#0")], &json!(2)), "{second:#}");
    });
}

#[test]
fn a_fork_runs_again_from_a_step_with_an_edited_result_and_leaves_the_original() {
    on(ALL, async |d| {
        let steps = |n: i32| json!([{ "op": "result", "key": format!("s{n}#0"), "value": n }]);
        let flow = Flow::serve(&d.api, [reports(&steps(1)), reports(&steps(2)), reports(&steps(3)), completes(&json!("old"))]).await;
        let id = flow.start(&json!({ "id": "forked", "input": "old" })).await;
        let original = until(&d.api, &id, "completed").await;
        flow.endpoint.script([completes(&json!("new"))]);
        let path = format!("/v1/runs/{id}/fork");
        let fork = d
            .api
            .post(&path, &json!({ "fromStep": "s3", "results": { "s2": { "edited": true } }, "input": "new" }))
            .await
            .expect(202)
            .json();
        let done = until(&d.api, fork["id"].as_str().unwrap(), "completed").await;
        assert_eq!((&done["forkedFrom"], &done["forkKey"], &done["externalId"]), (&json!(id), &json!("s3#0"), &Value::Null));
        let sent: Value = serde_json::from_slice(&flow.endpoint.received().last().unwrap().body).unwrap();
        let values: Vec<&Value> = sent["journal"]["entries"].as_array().unwrap().iter().map(|entry| &entry["value"]).collect();
        assert_eq!((values, &sent["input"]), (vec![&json!(1), &json!({ "edited": true })], &json!("new")));
        assert_eq!(run(&d.api, &id).await, original, "it stays as it was");
        let problem = d.api.post(&path, &json!({ "fromStep": "s2", "results": { "s3": 1 } })).await.problem(409);
        assert_eq!(problem["errors"][0]["pointer"], "/results", "{problem:#}");
        d.api.post(&path, &json!({})).await.problem(400);
    });
}

#[test]
fn many_runs_are_cancelled_by_ids_and_by_filter() {
    on(ALL, async |d| {
        let flow = Flow::serve(&d.api, [awaits_signal("go#0", "go")]).await;
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.push(flow.start(&json!({ "delaySeconds": 3_600 })).await);
        }
        let cancelled = d
            .api
            .post("/v1/runs/cancel", &json!({ "ids": [ids[0], ids[1], "run_00000000000000000000000000000000"] }))
            .await
            .expect(200)
            .json();
        assert_eq!((&cancelled["count"], &cancelled["remaining"]), (&json!(2), &json!(0)), "{cancelled:#}");
        let rest = d.api.post("/v1/runs/cancel", &json!({ "filter": { "workflow": flow.name } })).await.expect(200).json();
        assert_eq!((&rest["count"], &rest["remaining"]), (&json!(3), &json!(0)), "{rest:#}");
        for id in ids {
            assert_eq!(run(&d.api, &id).await["status"], "cancelled");
        }
        assert_eq!(flow.endpoint.count(), 1, "none was dispatched");
    });
}

#[test]
fn the_steps_of_a_run_are_paged_in_order_and_each_is_shown_once() {
    on(ALL, async |d| {
        let ops: Vec<Value> = (0..7).map(|n| json!({ "op": "result", "key": format!("s#{n}"), "value": n })).collect();
        let flow = Flow::serve(&d.api, [reports(&Value::from(ops)), completes(&json!(null))]).await;
        let id = flow.start(&json!({})).await;
        until(&d.api, &id, "completed").await;
        let (mut keys, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = d.api.get(&format!("/v1/runs/{id}/steps?limit=3{cursor}")).await.expect(200).json();
            keys.extend(page["data"].as_array().unwrap().iter().map(|step| step["key"].clone()));
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(keys, (0..7).map(|n| json!(format!("s#{n}"))).collect::<Vec<_>>());
        d.api.get(&format!("/v1/runs/{id}/steps?cursor=x")).await.problem(400);
        d.api.get(&format!("/v1/runs/{id}/steps?limit=201")).await.problem(400);
    });
}

#[test]
fn a_checkpoint_records_answers_what_is_new_and_is_stale_after_a_cancel() {
    on(ALL, async |d| {
        let held = says(&json!({ "v": 1, "ops": [] })).ending(Ending::Held);
        let flow = Flow::serve(&d.api, [held]).await;
        let id = flow.start(&json!({})).await;
        let dispatch = flow.dispatch(1).await;
        let fence = d.api.with_key(dispatch["fence"]["token"].as_str().unwrap());
        let (checkpoint, journal) = (format!("/v1/runs/{id}/checkpoint"), format!("/v1/runs/{id}/journal"));
        assert!(dispatch["engine"]["checkpoint"].as_str().unwrap().ends_with(&checkpoint), "{dispatch:#}");
        let ops = json!([{ "op": "result", "key": "a#0", "value": { "x":  1 } }, { "op": "signal", "key": "b#0", "name": "go" }]);
        let taken = fence.post(&checkpoint, &json!({ "v": 1, "have": 0, "ops": ops, "unknown": 1 })).await.expect(200);
        assert!(!taken.headers.contains_key("ratelimit"), "no key is looked up");
        let taken = taken.json();
        assert_eq!(
            (&taken["v"], &taken["cancelled"], &taken["journal"]["seq"], taken["leaseMs"].is_i64()),
            (&json!(1), &json!(false), &json!(1), true),
            "{taken:#}"
        );
        let entry = &taken["journal"]["entries"][0];
        assert_eq!((&entry["key"], &entry["echo"], entry.get("value")), (&json!("a#0"), &json!(true), None), "{entry:#}");
        d.api.post(&format!("/v1/runs/{id}/signals/go"), &json!("now")).await.expect(202);
        // Sent again, the first write wins; the signal is news.
        let again = json!({ "v": 1, "have": 1, "ops": [{ "op": "result", "key": "a#0", "value": 2 }] });
        let again = fence.post(&checkpoint, &again).await.expect(200).json();
        assert_eq!(
            (&again["journal"]["entries"][0]["key"], &again["journal"]["entries"][0]["value"]),
            (&json!("b#0"), &json!("now")),
            "{again:#}"
        );
        let page = fence.get(&journal).await.expect(200).json();
        assert_eq!(
            (page["entries"].as_array().unwrap().len(), &page["entries"][0]["value"], &page["next"]),
            (2, &json!({ "x": 1 }), &Value::Null),
            "{page:#}"
        );
        assert_eq!(fence.get(&format!("{journal}?after=1")).await.expect(200).json()["entries"].as_array().unwrap().len(), 1);

        for stranger in [fence.with_key(""), d.api.clone(), fence.with_key("1.00")] {
            stranger.post(&checkpoint, &json!({ "v": 1, "have": 0, "ops": [] })).await.problem(401);
            stranger.get(&journal).await.problem(401);
        }
        for broken in [
            json!([]),
            json!({ "v": 1, "have": 0, "ops": [{ "op": "what", "key": "c#0" }] }),
            json!({ "v": 1, "have": 0, "ops": [{ "op": "done" }] }),
        ] {
            let problem = fence.post(&checkpoint, &broken).await.problem(422);
            assert_eq!(problem["type"], "urn:tikku:problem:protocol", "{problem:#}");
        }
        d.api.act(&format!("/v1/runs/{id}/cancel")).await.expect(200);
        for body in [json!({ "v": 1, "have": 0, "ops": [] }), json!([])] {
            let problem = fence.post(&checkpoint, &body).await.problem(409);
            assert_eq!(problem["type"], "urn:tikku:problem:stale", "{problem:#}");
        }
        fence.get(&journal).await.problem(409);
        flow.endpoint.release();
        flow.endpoint.wait(2, SOON).await;
        assert_eq!(run(&d.api, &id).await["status"], "cancelled");
    });
}
