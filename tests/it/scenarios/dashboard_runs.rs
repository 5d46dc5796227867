//! The dashboard's pages of runs from outside: what they show, the forms that answer a wait, and what people do to runs.

use serde_json::{Value, json};

use crate::api::Api;
use crate::browser::{Browser, location};
use crate::host::{ALL, on};
use crate::workflow_endpoint::{Flow, awaits_signal, completes, reports, run, until, waits};

/// A run that has charged, and waits for the signal go.
async fn waiting(api: &Api, start: &Value) -> (Flow, String) {
    let charge = json!([{ "op": "result", "key": "charge#0", "value": { "b": 1.50, "a": "<x>" }, "ms": 812 }]);
    let flow = Flow::serve(api, [reports(&charge), awaits_signal("go#0", "go"), completes(&json!({ "went": true }))]).await;
    let id = flow.start(start).await;
    until(api, &id, "waiting").await;
    (flow, id)
}

#[test]
fn a_run_is_listed_and_shown_with_its_steps_and_what_it_waits_for() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-runs-{:?}", d.host));
        let browser = Browser::signed_in(&api).await;
        assert!(browser.get("/dashboard/runs").await.expect(200).text.contains("No workflows yet"));
        let (flow, id) = waiting(&api, &json!({ "id": "order-7", "input": { "order": 7 }, "labels": ["eu"] })).await;
        for query in ["", "?status=waiting", "?label=eu", "?externalId=order-7", &format!("?workflow={}", flow.name), "?range=1h"] {
            let list = browser.get(&format!("/dashboard/runs{query}")).await.expect(200).text;
            assert!(list.contains(&id) && list.contains("order-7"), "{query}: {list}");
        }
        for query in ["?status=failed", "?label=us", "?from=2020-01-01T00%3A00&to=2020-01-02T00%3A00"] {
            let list = browser.get(&format!("/dashboard/runs{query}")).await.expect(200).text;
            assert!(!list.contains(&id) && list.contains("Nothing matches"), "{query}: {list}");
        }
        assert!(browser.get("/dashboard/runs?parent=nope").await.expect(400).text.contains("Parent must be the id of a run"));
        let page = browser.get(&format!("/dashboard/runs/{id}")).await.expect(200).text;
        for text in [
            "charge#0",
            "812 ms",
            "  &#34;b&#34;: 1.5",
            "&#60;x&#62;",
            "It waits for the signal go.",
            "go#0",
            "step=charge%230",
            "name=\"body\"",
        ] {
            assert!(page.contains(text), "{text}: {page}");
        }
        let value = browser.get(&format!("/dashboard/runs/{id}/values/1")).await.expect(200);
        assert_eq!((value.json(), value.headers["content-type"].to_str().unwrap()), (json!({ "b": 1.5, "a": "<x>" }), "application/json"));
        browser.get(&format!("/dashboard/runs/{id}/values/9")).await.expect(404);
    });
}

#[test]
fn a_run_that_goes_on_changes_its_live_part_and_one_that_is_over_has_none() {
    on(ALL, async |d| {
        let (_flow, id) = waiting(&d.api, &json!({})).await;
        let browser = Browser::signed_in(&d.api).await;
        let page = browser.get(&format!("/dashboard/runs/{id}")).await.expect(200).text;
        let (_, live) = page.split_once("hx-get=\"").expect("a live part");
        let live = live.split('"').next().unwrap().replace("&#38;", "&");
        browser.get(&live).await.expect(204);
        d.api.act(&format!("/v1/runs/{id}/signals/go")).await.expect(202);
        until(&d.api, &id, "completed").await;
        let part = browser.get(&live).await.expect(200).text;
        assert!(part.contains("Completed") && part.contains("went") && !part.contains("<html"), "{part}");
        let page = browser.get(&format!("/dashboard/runs/{id}")).await.expect(200).text;
        assert!(!page.contains("hx-get=") && page.contains("Received"), "{page}");
    });
}

#[test]
fn a_signal_is_sent_by_a_form_and_what_is_no_json_stays_in_it() {
    on(ALL, async |d| {
        let (_flow, id) = waiting(&d.api, &json!({})).await;
        let browser = Browser::signed_in(&d.api).await;
        let path = format!("/dashboard/runs/{id}");
        let form = |body: &'static str| [("name", "go"), ("body", body)];
        let wrong = browser.post(&format!("{path}/signals"), &form("{\"ok\": tru")).await.expect(400).text;
        assert!(wrong.contains("is no JSON") && wrong.contains("{&#34;ok&#34;: tru</textarea>"), "{wrong}");
        assert_eq!(run(&d.api, &id).await["status"], "waiting");
        assert_eq!(location(&browser.post(&format!("{path}/signals"), &form("{\"ok\": 1.50}")).await.expect(303)), path);
        let done = until(&d.api, &id, "completed").await;
        assert_eq!(done["steps"][1]["value"], json!({ "ok": 1.5 }));
        let late = browser.post(&format!("{path}/signals"), &form("1")).await.expect(409).text;
        assert!(late.contains("The run is completed: it takes no more signals."), "{late}");
    });
}

#[test]
fn an_approval_is_answered_from_its_list_if_the_data_fits() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-approvals-{:?}", d.host));
        let browser = Browser::signed_in(&api).await;
        assert!(browser.get("/dashboard/approvals").await.expect(200).text.contains("Nothing waits for you"));
        let schema = json!({ "type": "object", "required": ["limit"], "properties": { "limit": { "type": "integer", "maximum": 500 } } });
        let op = json!([{ "op": "approval", "key": "ok#0", "title": "Ship <it>?", "detail": "7 parcels", "schema": schema }]);
        let flow = Flow::serve(&api, [waits(&op, &json!("ok#0")), completes(&json!("shipped"))]).await;
        let id = flow.start(&json!({})).await;
        until(&api, &id, "waiting").await;
        for path in ["/dashboard/approvals".to_owned(), format!("/dashboard/runs/{id}")] {
            let page = browser.get(&path).await.expect(200).text;
            assert!(page.contains("Ship &#60;it&#62;?") && page.contains("7 parcels") && page.contains("&#34;limit&#34;: 0"), "{page}");
        }
        let path = format!("/dashboard/runs/{id}/approvals");
        let form = |data: &'static str| [("key", "ok#0"), ("approve", "true"), ("data", data), ("return", "/dashboard/approvals")];
        let wrong = browser.post(&path, &form("{\"limit\": 501}")).await.expect(422).text;
        assert!(wrong.contains("{&#34;limit&#34;: 501}</textarea>") && wrong.contains("500"), "{wrong}");
        assert_eq!(location(&browser.post(&path, &form("{\"limit\": 500}")).await.expect(303)), "/dashboard/approvals");
        assert_eq!(until(&api, &id, "completed").await["steps"][0]["value"]["data"], json!({ "limit": 500 }));
        assert!(browser.get("/dashboard/approvals").await.expect(200).text.contains("Approved."));
        let all = browser.get("/dashboard/approvals?status=all").await.expect(200).text;
        assert!(all.contains(&id) && all.contains("s-approved") && !all.contains("name=\"approve\""), "{all}");
    });
}

#[test]
fn a_run_is_paused_resumed_woken_cancelled_and_retried() {
    on(ALL, async |d| {
        let nap = |key: &str| waits(&json!([{ "op": "sleep", "key": key, "forMs": 31_536_000_000_i64 }]), &json!(key));
        let flow = Flow::serve(&d.api, [nap("nap#0"), nap("rest#0"), completes(&json!("rested"))]).await;
        let id = flow.start(&json!({})).await;
        until(&d.api, &id, "sleeping").await;
        let (browser, path) = (Browser::signed_in(&d.api).await, format!("/dashboard/runs/{id}"));
        let act = async |verb: &str| assert_eq!(location(&browser.post(&format!("{path}/{verb}"), &[]).await.expect(303)), path, "{verb}");
        act("pause").await;
        let page = browser.get(&path).await.expect(200).text;
        assert!(page.contains("Paused by a person") && page.contains(&format!("{path}/resume")), "{page}");
        let refused = browser.post(&format!("{path}/wake"), &[]).await.expect(409).text;
        assert!(refused.contains("A run that is paused cannot be woken."), "{refused}");
        act("resume").await;
        act("wake").await;
        flow.dispatched(2).await;
        until(&d.api, &id, "sleeping").await;
        assert!(browser.get(&path).await.expect(200).text.contains("Woken"));
        assert!(browser.get(&format!("{path}/cancel")).await.expect(200).text.contains("Cancel this run?"));
        act("cancel").await;
        assert_eq!(run(&d.api, &id).await["status"], "cancelled");
        act("retry").await;
        assert_eq!(until(&d.api, &id, "completed").await["attempt"], 2);
        browser.get(&format!("{path}/explode")).await.expect(404);
        browser.post(&format!("{path}/explode"), &[]).await.expect(404);
    });
}

#[test]
fn a_failed_run_shows_its_error_and_every_attempt() {
    on(ALL, async |d| {
        let error = |message: &str| json!({ "name": "StockError", "message": message, "stack": "StockError: at pick (stock.ts:7)" });
        let retry = json!([{ "op": "error", "key": "pick#0", "error": error("first"), "ms": 40, "attempt": 1, "retry": { "afterMs": 1 } }]);
        let over = json!([{ "op": "error", "key": "pick#0", "error": error("second"), "ms": 50, "attempt": 2 }, { "op": "fail", "error": error("second") }]);
        let flow = Flow::serve(&d.api, [waits(&retry, &json!("pick#0")), reports(&over)]).await;
        let id = flow.start(&json!({})).await;
        until(&d.api, &id, "failed").await;
        let browser = Browser::signed_in(&d.api).await;
        let page = browser.get(&format!("/dashboard/runs/{id}")).await.expect(200).text;
        for text in
            ["StockError: first", "StockError: second", "at pick (stock.ts:7)", "2 attempts", "It failed at pick#0.", "1 retry", "b-error"]
        {
            assert!(page.contains(text), "{text}: {page}");
        }
        assert!(page.contains(&format!("/dashboard/runs/{id}/retry")), "{page}");
    });
}

#[test]
fn a_run_is_forked_with_an_edited_result_and_compared_with_its_fork() {
    on(ALL, async |d| {
        let step = |n: i32| json!([{ "op": "result", "key": format!("s{n}#0"), "value": { "n": n } }]);
        let flow = Flow::serve(&d.api, [reports(&step(1)), reports(&step(2)), completes(&json!("old"))]).await;
        let id = flow.start(&json!({ "input": { "b": 1.50, "a": 2 } })).await;
        until(&d.api, &id, "completed").await;
        let (browser, path) = (Browser::signed_in(&d.api).await, format!("/dashboard/runs/{id}/fork"));
        let page = browser.get(&format!("{path}?step=s2%230")).await.expect(200).text;
        assert!(page.contains("value=\"s2#0\" checked") && page.contains("name=\"result_s1#0\""), "{page}");
        // Browsers end lines with CR and LF; this is the input as the form has shown it.
        let input = ("input", "{\r\n  \"a\": 2,\r\n  \"b\": 1.5\r\n}");
        let wrong = browser.post(&path, &[("fromStep", "s2#0"), input, ("result_s1#0", "{")]).await.expect(400).text;
        assert!(wrong.contains("the result of s1#0 is no JSON") && wrong.contains("value=\"s2#0\" checked"), "{wrong}");
        flow.endpoint.script([completes(&json!("new"))]);
        let forked = browser.post(&path, &[("fromStep", "s2#0"), input, ("result_s1#0", "{\"n\": 9}")]).await.expect(303);
        let fork = location(&forked).strip_prefix("/dashboard/runs/").unwrap().to_owned();
        let done = until(&d.api, &fork, "completed").await;
        assert_eq!(
            (&done["forkedFrom"], &done["steps"][0]["value"], &done["input"]),
            (&json!(id), &json!({ "n": 9 }), &json!({ "b": 1.5, "a": 2 }))
        );
        let page = browser.get(&format!("/dashboard/runs/{fork}")).await.expect(200).text;
        assert!(page.contains("copied") && page.contains(&format!("a={id}&#38;b={fork}")), "{page}");
        let diff = browser.get(&format!("/dashboard/runs/diff?id={fork}&id={id}")).await.expect(200).text;
        for text in
            ["0 of 2 steps are the same, the input is the same, the output differs.", "another result", "only in A", "  &#34;n&#34;: 9"]
        {
            assert!(diff.contains(text), "{text}: {diff}");
        }
        assert!(browser.get("/dashboard/runs/diff?id=x").await.expect(400).text.contains("Select two runs to compare them."));
    });
}

#[test]
fn many_runs_are_cancelled_after_a_question() {
    on(ALL, async |d| {
        let api = d.new_account(&format!("dashboard-runs-bulk-{:?}", d.host));
        let flow = Flow::serve(&api, [awaits_signal("go#0", "go")]).await;
        let mut ids = Vec::new();
        for n in 0..4 {
            ids.push(flow.start(&json!({ "labels": [if n == 0 { "kept" } else { "old" }] })).await);
        }
        let browser = Browser::signed_in(&api).await;
        let two = [("op", "cancel"), ("id", ids[1].as_str()), ("id", ids[2].as_str())];
        let question = browser.post("/dashboard/runs/confirm", &two).await.expect(200).text;
        assert!(question.contains("Cancel 2 runs?") && question.contains(&ids[1]), "{question}");
        assert_eq!(run(&api, &ids[1]).await["finishedAt"], Value::Null, "nothing was done yet");
        let done = browser.post("/dashboard/runs/cancel", &two).await.expect(303);
        assert_eq!(location(&done), "/dashboard/runs");
        assert!(browser.get("/dashboard/runs").await.expect(200).text.contains("2 runs were cancelled."));
        let all = [("op", "cancel"), ("all", "1"), ("label", "old")];
        assert!(browser.post("/dashboard/runs/confirm", &all).await.expect(200).text.contains("Cancel every run that matches?"));
        assert_eq!(location(&browser.post("/dashboard/runs/cancel", &all).await.expect(303)), "/dashboard/runs?label=old");
        assert_eq!(run(&api, &ids[3]).await["status"], "cancelled");
        assert_eq!(run(&api, &ids[0]).await["finishedAt"], Value::Null);
        assert!(browser.post("/dashboard/runs/confirm", &[("op", "cancel")]).await.expect(400).text.contains("Select the runs first."));
    });
}

#[test]
fn the_role_read_and_other_accounts_do_nothing_to_runs() {
    on(ALL, async |d| {
        let (_flow, id) = waiting(&d.api, &json!({})).await;
        let made = d.api.post("/v1/keys", &json!({ "name": "dashboard reader", "role": "read" })).await.expect(201).json();
        let reader = Browser::signed_in(&d.api.with_key(made["key"].as_str().unwrap())).await;
        let path = format!("/dashboard/runs/{id}");
        let page = reader.get(&path).await.expect(200).text;
        assert!(page.contains("it looks and changes nothing") && !page.contains("name=\"body\"") && !page.contains("/cancel"), "{page}");
        let acts: [(&str, &[(&str, &str)]); 4] =
            [("cancel", &[]), ("signals", &[("name", "go"), ("body", "1")]), ("fork", &[("fromStep", "charge#0")]), ("pause", &[])];
        for (verb, fields) in acts {
            let answer = reader.post(&format!("{path}/{verb}"), fields).await.expect(403);
            assert!(answer.text.contains("This needs a key of role admin or publish."), "{verb}: {answer:?}");
        }
        let other = Browser::signed_in(&d.new_account(&format!("dashboard-other-{id}"))).await;
        for rest in ["", "/live", "/fork", "/cancel", "/values/1"] {
            other.get(&format!("{path}{rest}")).await.expect(404);
        }
        for (verb, fields) in acts {
            other.post(&format!("{path}/{verb}"), fields).await.expect(404);
        }
        other.get(&format!("/dashboard/runs/diff?a={id}&b={id}")).await.expect(404);
        assert_eq!(run(&d.api, &id).await["status"], "waiting");
    });
}
