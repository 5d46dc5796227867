//! The engine of workflows: what each op does, and when a run is dispatched again. The endpoint answers by script; the database, the HTTP and
//! step-invoke are real.
//!
//! Out of scope: dispatches that go wrong (`run_faults.rs`), races (`run_races.rs`), the API and the SDKs (`scenarios/`).

use serde_json::{Value, json};

use crate::endpoint::{Ending, Reply};
use crate::run_bed::{Bed, awaiting, done, ops, reply};

#[tokio::test]
async fn a_run_is_driven_to_its_end_in_one_invocation() {
    let first = ops(json!([{ "op": "result", "key": "a#0", "value": { "x": 1.0 }, "ms": 3 }]));
    let bed = Bed::new("run_drive", [first, ops(json!([{ "op": "result", "key": "b#0" }])), done()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    assert_eq!((bed.state(id).await.as_str(), bed.endpoint.count()), ("completed", 3));
    let last = bed.request(2);
    assert_eq!(last["journal"]["entries"][0], json!({ "seq": 1, "key": "a#0", "kind": "run", "state": "ok", "value": { "x": 1.0 } }));
    assert_eq!((&last["journal"]["seq"], &last["journal"]["next"], &last["input"]), (&json!(2), &json!(null), &json!({ "n": 1 })));
    assert_eq!((&last["fence"]["gen"], bed.column(id, "convert_from(output, 'UTF8')").await.as_str()), (&json!(3), "\"bye\""));
}

#[tokio::test]
async fn an_invoke_is_signed_and_says_all_that_the_protocol_says() {
    let bed = Bed::new("run_invoke", [done()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    let request = &bed.endpoint.received()[0];
    assert_eq!(request.header("webhook-id"), Some(format!("inv_{}_1", id.0.simple()).as_str()));
    assert_eq!((request.header("tikku-protocol"), request.header("content-type")), (Some("1"), Some("application/json")));
    assert!(request.header("webhook-signature").is_some_and(|s| s.starts_with("v1,")) && request.header("webhook-timestamp").is_some());
    let body = bed.request(0);
    let of = |pointer: &str| body.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(
        (of("/v"), of("/kind"), of("/app"), of("/workflow"), of("/version")),
        (json!(1), json!("invoke"), json!("shop"), json!("flow"), json!("1"))
    );
    assert_eq!((of("/run/id"), of("/run/attempt"), of("/run/budgetMs")), (json!(id.to_string()), json!(1), json!(55_000)));
    assert_eq!(of("/engine/checkpoint"), format!("http://127.0.0.1:9/tikku/v1/runs/{id}/checkpoint"));
    assert_eq!((of("/pending"), of("/journal")), (json!([]), json!({ "entries": [], "seq": 0, "next": null })));
    assert_eq!((of("/run/parent"), of("/run/externalId"), of("/run/accept")), (Value::Null, Value::Null, Value::Null));
    assert_eq!((of("/run/seed").as_str().unwrap().len(), of("/engine/resumeKey").as_str().unwrap().len()), (32, 64));
}

#[tokio::test]
async fn values_come_back_byte_for_byte() {
    let value = r#"{"b":1.0,"a":1e400,"a":"\u0000\ud800","n":12345678901234567890.10, "é" : [ ]}"#;
    let first = Reply::status(200)
        .header("content-type", "application/json; charset=utf-8")
        .body(format!(r#"{{"v":1,"have":0,"ops":[{{"op":"result","key":"a#0","value":{value}}}]}}"#));
    let bed = Bed::new("run_bytes", [first, done()]).await;
    let id = bed.start_of("flow", value).await;
    bed.dispatch(id).await;
    let body = String::from_utf8(bed.endpoint.received()[1].body.to_vec()).unwrap();
    assert!(body.contains(&format!(r#""input":{value},"#)) && body.contains(&format!(r#""value":{value}}}"#)), "{body}");
}

#[tokio::test]
async fn an_error_without_a_retry_is_an_entry() {
    let error = json!({ "name": "CardDeclined", "message": "no", "cause": { "name": "E", "message": "inner" } });
    let bed = Bed::new("run_error", [ops(json!([{ "op": "error", "key": "a#0", "error": error, "attempt": 3, "ms": 5 }])), done()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    let entry = &bed.request(1)["journal"]["entries"][0];
    assert_eq!(entry, &json!({ "seq": 1, "key": "a#0", "kind": "run", "state": "error", "error": error }));
}

#[tokio::test]
async fn a_retry_is_dispatched_after_its_wait_whatever_the_run_awaits() {
    let error = json!({ "name": "E", "message": "again" });
    let retry = json!({ "op": "error", "key": "a#0", "error": error, "attempt": 1, "retry": { "afterMs": 30_000 } });
    let first = awaiting(json!([retry, { "op": "signal", "key": "s#0", "name": "s" }]), json!({ "all": ["a#0", "s#0"] }));
    let bed = Bed::new("run_retry", [first, ops(json!([{ "op": "result", "key": "a#0", "attempt": 2 }])), done()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    assert_eq!((bed.state(id).await.as_str(), bed.keys(id).await.len()), ("waiting", 0));
    bed.dispatch_later(20, id).await;
    assert_eq!(bed.endpoint.count(), 1);
    bed.dispatch_later(31, id).await;
    let pending = bed.request(1)["pending"].clone();
    let retried = pending.as_array().unwrap().iter().find(|p| p["key"] == "a#0").unwrap();
    assert_eq!((&retried["kind"], &retried["attempt"]), (&json!("run"), &json!(2)));
    assert_eq!(bed.count("select count(*) from tikku.step_attempt where run_id = $1 and number = 1", id).await, 1);
    assert_eq!(bed.state(id).await, "completed");
}

#[tokio::test]
async fn a_free_retry_keeps_the_number_of_the_attempt() {
    let error = json!({ "name": "RateLimited", "message": "429" });
    let retry = json!({ "op": "error", "key": "a#0", "error": error, "attempt": 2, "kind": "ai", "retry": { "afterMs": 0, "free": true } });
    let bed = Bed::new("run_free", [ops(json!([retry])), done()]).await;
    let id = bed.start().await;
    bed.until(id, "completed").await;
    assert_eq!(bed.request(1)["pending"][0], json!({ "key": "a#0", "kind": "ai", "attempt": 2, "waitMs": 0 }));
}

#[tokio::test]
async fn a_sleep_ends_at_its_time_and_not_before() {
    let bed = Bed::new("run_sleep", [awaiting(json!([{ "op": "sleep", "key": "s#0", "forMs": 60_000 }]), json!("s#0")), done()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    assert_eq!(bed.state(id).await, "sleeping");
    bed.dispatch_later(50, id).await;
    assert_eq!((bed.state(id).await.as_str(), bed.endpoint.count()), ("sleeping", 1));
    bed.dispatch_later(61, id).await;
    assert_eq!((bed.state(id).await.as_str(), bed.endpoint.count()), ("completed", 2));
    assert_eq!(bed.request(1)["journal"]["entries"], json!([{ "seq": 1, "key": "s#0", "kind": "sleep", "state": "ok", "value": null }]));
}

#[tokio::test]
async fn a_short_sleep_is_waited_for_where_it_was_leased() {
    let bed = Bed::new("run_short", [awaiting(json!([{ "op": "sleep", "key": "s#0", "forMs": 300 }]), json!("s#0")), done()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    // As a queue of whole seconds brings it: early.
    bed.dispatch(id).await;
    assert_eq!(bed.state(id).await, "completed");
    let received = bed.endpoint.received();
    assert!(received[1].at_ms - received[0].at_ms >= 300);
}

#[tokio::test]
async fn of_a_race_the_entries_say_who_was_first() {
    let race = json!([{ "op": "sleep", "key": "slow#0", "forMs": 90_000 }, { "op": "sleep", "key": "fast#0", "forMs": 60_000 }]);
    let bed =
        Bed::new("run_race", [awaiting(race, json!({ "any": ["slow#0", "fast#0"] })), awaiting(json!([]), json!("slow#0")), done()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    bed.dispatch_later(61, id).await;
    assert_eq!((bed.keys(id).await, bed.state(id).await.as_str()), (vec!["fast#0".to_owned()], "sleeping"));
    bed.dispatch_later(91, id).await;
    assert_eq!((bed.keys(id).await, bed.state(id).await.as_str()), (vec!["fast#0".to_owned(), "slow#0".to_owned()], "completed"));
}

#[tokio::test]
async fn an_early_signal_is_buffered_and_each_is_consumed_once_in_order() {
    let wait = |key: &str| awaiting(json!([{ "op": "signal", "key": key, "name": "s" }]), json!(key));
    let bed = Bed::new("run_signal", [wait("s#0"), wait("s#1"), wait("s#2"), done()]).await;
    let id = bed.start().await;
    bed.signal(id, "s", "1").await;
    bed.signal(id, "other", "0").await;
    bed.signal(id, "s", r#"{"n":  2}"#).await;
    bed.dispatch(id).await;
    assert_eq!((bed.state(id).await.as_str(), bed.endpoint.count()), ("waiting", 3));
    bed.signal(id, "s", "3").await;
    bed.dispatch(id).await;
    let values: Vec<_> = bed.journal(id).await.into_iter().map(|row| (row.key, row.value.unwrap())).collect();
    let expected = [("s#0", "1"), ("s#1", r#"{"n":  2}"#), ("s#2", "3")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!((values, bed.state(id).await.as_str()), (expected.to_vec(), "completed"));
    assert_eq!(bed.count("select count(*) from tikku.signal where run_id = $1 and key is null", id).await, 1);
}

#[tokio::test]
async fn a_signal_that_does_not_come_in_time_is_a_timeout() {
    let bed = Bed::new(
        "run_timeout",
        [awaiting(json!([{ "op": "signal", "key": "s#0", "name": "s", "timeoutMs": 5_000 }]), json!("s#0")), done()],
    )
    .await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    bed.dispatch_later(6, id).await;
    assert_eq!(bed.request(1)["journal"]["entries"], json!([{ "seq": 1, "key": "s#0", "kind": "signal", "state": "timeout" }]));
}

#[tokio::test]
async fn a_childs_end_is_an_entry_of_its_parent() {
    for (ending, state, shown) in [
        (json!({ "op": "done", "value": { "r": 1 } }), "ok", "value"),
        (json!({ "op": "fail", "error": { "name": "Broken", "message": "why" } }), "error", "error"),
    ] {
        let start = json!([{ "op": "child", "key": "c#0", "workflow": "child", "input": { "order": 7 } }]);
        let bed = Bed::new(&format!("run_child_{state}"), [awaiting(start, json!("c#0")), ops(json!([ending])), done()]).await;
        let id = bed.start().await;
        bed.until(id, "completed").await;
        let (child, parent) = (bed.request(1), bed.request(2));
        assert_eq!((&child["workflow"], &child["input"]), (&json!("child"), &json!({ "order": 7 })));
        assert_eq!(child["run"]["parent"], json!({ "id": id.to_string(), "key": "c#0" }));
        let entry = &parent["journal"]["entries"][0];
        assert_eq!((&entry["state"], &entry["kind"], &entry["run"]), (&json!(state), &json!("child"), &child["run"]["id"]));
        let expected = if state == "ok" { json!({ "r": 1 }) } else { json!("ChildFailed") };
        assert_eq!(if state == "ok" { &entry[shown] } else { &entry[shown]["name"] }, &expected);
    }
}

#[tokio::test]
async fn a_child_of_an_unknown_workflow_is_an_error_of_the_step() {
    let bed =
        Bed::new("run_no_child", [awaiting(json!([{ "op": "child", "key": "c#0", "workflow": "nowhere" }]), json!("c#0")), done()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    let entry = &bed.request(1)["journal"]["entries"][0];
    assert_eq!((&entry["state"], &entry["error"]["name"]), (&json!("error"), &json!("UnknownWorkflow")));
}

#[tokio::test]
async fn a_publish_is_a_message_and_an_entry_at_once() {
    let message = json!({ "url": "https://example.com/mail", "body": { "to": "x" }, "delaySeconds": 3600, "labels": ["m"] });
    let bad = json!({ "url": "https://10.0.0.1", "body": 1 });
    let steps = json!([
        { "op": "publish", "key": "mail#0", "message": message },
        { "op": "publish", "key": "bad#0", "message": bad },
        { "op": "publish", "key": "nobody#0", "message": { "fanout": "nobody" } },
    ]);
    let bed = Bed::new("run_publish", [ops(steps), done()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    let entries = bed.request(1)["journal"]["entries"].clone();
    assert_eq!((&entries[0]["state"], &entries[0]["value"]["status"]), (&json!("ok"), &json!("scheduled")));
    for (index, name) in [(1, "bad#0"), (2, "nobody#0")] {
        assert_eq!((&entries[index]["key"], &entries[index]["error"]["name"]), (&json!(name), &json!("InvalidMessage")), "{entries}");
    }
    let sql = "select count(*) from tikku.message_content m where convert_from(body, 'UTF8') = '{\"to\":\"x\"}' and labels = '{m}' and $1::uuid is not null";
    assert_eq!(bed.count(sql, id).await, 1);
}

#[tokio::test]
async fn a_fetch_is_a_message_that_the_step_waits_for() {
    let request =
        json!({ "url": "https://example.com/api", "headers": { "x-a": "1" }, "body": { "q": 1 }, "timeoutSeconds": 7, "maxAttempts": 2 });
    let plan = json!([{ "op": "fetch", "key": "call#0", "request": request }, { "op": "fetch", "key": "bad#0", "request": { "url": "https://127.9.9.9", "method": "PUSH" } }]);
    let bed = Bed::new("run_fetch", [awaiting(plan, json!("call#0"))]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    assert_eq!((bed.planned(id).await, bed.keys(id).await), (vec!["call#0".to_owned()], vec!["bad#0".to_owned()]));
    let sql = "select count(*) from tikku.message m join tikku.message_content c on c.message_id = m.id
      where c.fetch_run = $1 and c.fetch_key = 'call#0' and c.method = 'POST' and m.timeout_ms = 7000 and m.max_attempts = 2";
    assert_eq!(bed.count(sql, id).await, 1);
}

#[tokio::test]
async fn an_approval_is_kept_and_expires() {
    let plan = json!([{ "op": "approval", "key": "ok#0", "title": "Ship?", "schema": { "type": "object" }, "policy": { "roles": ["admin"], "keys": [] },
        "detail": { "sum": 1.0 }, "timeoutMs": 60_000 }]);
    let bed = Bed::new("run_approval", [awaiting(plan, json!("ok#0")), done()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    let sql = "select count(*) from tikku.approval where run_id = $1 and state = 'open' and policy::text = '{\"roles\":[\"admin\"]}' and title = 'Ship?' and detail::text = '{\"sum\":1.0}'";
    assert_eq!(bed.count(sql, id).await, 1);
    bed.dispatch_later(61, id).await;
    assert_eq!(bed.request(1)["journal"]["entries"][0]["state"], "timeout");
    assert_eq!(bed.count("select count(*) from tikku.approval where run_id = $1 and state = 'expired'", id).await, 1);
}

#[tokio::test]
async fn fail_ends_the_run_and_closes_what_was_planned() {
    let plan =
        awaiting(json!([{ "op": "sleep", "key": "s#0", "forMs": 60_000 }, { "op": "signal", "key": "g#0", "name": "g" }]), json!("s#0"));
    let fail = ops(json!([{ "op": "fail", "error": { "name": "E", "message": "m" } }]));
    let bed = Bed::new("run_fail", [plan, fail]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    bed.dispatch_later(61, id).await;
    assert_eq!((bed.state(id).await.as_str(), bed.planned(id).await.len()), ("failed", 0));
    assert_eq!(bed.json(id, "error").await, json!({ "name": "E", "message": "m" }));
}

#[tokio::test]
async fn continue_as_new_passes_on_the_id_and_the_unread_signals() {
    let again = ops(json!([{ "op": "result", "key": "a#0" }, { "op": "continueAsNew", "input": { "round": 2 } }]));
    let bed =
        Bed::new("run_continue", [again, awaiting(json!([{ "op": "signal", "key": "s#0", "name": "s" }]), json!("s#0")), done()]).await;
    let id = bed.start().await;
    bed.client.execute("update tikku.run_content set external_id = 'order-1' where run_id = $1", &[&id.0]).await.unwrap();
    bed.signal(id, "s", "5").await;
    bed.until(id, "completed").await;
    let next = bed.continued_by(id).await;
    bed.until(next, "completed").await;
    let second = bed.request(1);
    assert_eq!(
        (&second["run"]["id"], &second["run"]["externalId"], &second["input"]),
        (&json!(next.to_string()), &json!("order-1"), &json!({ "round": 2 }))
    );
    assert_eq!(bed.request(2)["journal"]["entries"][0]["value"], 5);
}

#[tokio::test]
async fn a_signal_or_a_verb_to_a_run_that_goes_on_as_another_means_that_one() {
    let again = || ops(json!([{ "op": "continueAsNew" }]));
    let wait = awaiting(json!([{ "op": "signal", "key": "s#0", "name": "s" }]), json!("s#0"));
    let bed = Bed::new("run_chain", [again(), wait, again()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    let next = bed.continued_by(id).await;
    bed.dispatch(next).await;
    bed.signal(id, "s", "5").await;
    assert_eq!((bed.state(next).await.as_str(), bed.keys(next).await.as_slice()), ("queued", &["s#0".to_owned()][..]));
    bed.client.execute("update tikku.run set pause_requested = true where id = $1", &[&next.0]).await.unwrap();
    bed.dispatch(next).await;
    let last = bed.continued_by(next).await;
    assert_eq!((bed.state(last).await.as_str(), bed.column(last, "pause_reason").await.as_str()), ("paused", "requested"));
    bed.ctx.store.run_cancel(bed.world.account, id).await.unwrap();
    assert_eq!((bed.state(id).await.as_str(), bed.state(last).await.as_str()), ("completed", "cancelled"));
}

#[tokio::test]
async fn a_match_that_the_database_cannot_read_is_an_error_of_its_step_alone() {
    let event = json!({ "op": "event", "key": "e#0", "name": "e", "match": { "data.a": ["\0"] } });
    let bed = Bed::new("run_unfit", [awaiting(json!([{ "op": "result", "key": "a#0" }, event]), json!("e#0")), done()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    let entries = bed.request(1)["journal"]["entries"].clone();
    assert_eq!(
        (&entries[0]["state"], &entries[1]["state"], &entries[1]["error"]["name"]),
        (&json!("ok"), &json!("error"), &json!("InvalidStep"))
    );
}

#[tokio::test]
async fn code_that_does_not_fit_the_journal_pauses_the_run_and_keeps_what_was_done() {
    let diff = json!({ "expected": [{ "key": "a#0", "kind": "run" }], "asked": [{ "key": "b#0", "kind": "run" }] });
    let diverged =
        ops(json!([{ "op": "result", "key": "late#0" }, { "op": "diverged", "diff": diff, "message": "a#0 was never asked for" }]));
    let bed = Bed::new("run_diverged", [diverged]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    assert_eq!((bed.state(id).await.as_str(), bed.column(id, "pause_reason").await.as_str()), ("paused", "nonDeterminism"));
    assert_eq!(bed.json(id, "pause_detail").await, json!({ "message": "a#0 was never asked for", "diff": diff }));
    assert_eq!(bed.keys(id).await, ["late#0"]);
}

#[tokio::test]
async fn a_version_that_nobody_serves_pauses_the_run() {
    let bed = Bed::new("run_unserved", [ops(json!([{ "op": "unserved", "serves": [{ "name": "flow", "version": "9" }] }]))]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    assert_eq!((bed.state(id).await.as_str(), bed.column(id, "pause_reason").await.as_str()), ("paused", "unserved"));
    assert_eq!(bed.json(id, "pause_detail").await["serves"][0]["version"], "9");
    bed.client.execute("update tikku.workflow set served = false where name = 'child'", &[]).await.unwrap();
    bed.client.execute("update tikku.run set state = 'queued', kick_until = tikku.clock_now() where id = $1", &[&id.0]).await.unwrap();
    bed.client.execute("update tikku.workflow set served = false", &[]).await.unwrap();
    bed.dispatch(id).await;
    assert_eq!((bed.state(id).await.as_str(), bed.endpoint.count()), ("paused", 1));
}

#[tokio::test]
async fn a_leaf_that_nothing_can_resolve_dispatches_the_run_at_once() {
    let bed = Bed::new("run_dangle", [awaiting(json!([]), json!({ "all": ["never#0"] })), done()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    assert_eq!((bed.state(id).await.as_str(), bed.endpoint.count()), ("completed", 2));
}

#[tokio::test]
async fn ten_dispatches_that_lead_to_nothing_pause_the_run() {
    let bed = Bed::new("run_idle", [ops(json!([]))]).await;
    let id = bed.start().await;
    bed.until(id, "paused").await;
    assert_eq!((bed.column(id, "pause_reason").await.as_str(), bed.endpoint.count()), ("noProgress", 10));
}

#[tokio::test]
async fn an_op_that_is_sent_again_changes_nothing() {
    let first = ops(json!([{ "op": "result", "key": "a#0", "value": 1 }, { "op": "result", "key": "a#0", "value": 2 }]));
    let second = awaiting(
        json!([{ "op": "error", "key": "a#0", "error": { "name": "E", "message": "m" } }, { "op": "sleep", "key": "a#0", "forMs": 1 }]),
        json!("a#0"),
    );
    let bed = Bed::new("run_again", [first, second, done()]).await;
    let id = bed.start().await;
    bed.until(id, "completed").await;
    let values: Vec<_> = bed.journal(id).await.into_iter().map(|row| row.value.unwrap()).collect();
    assert_eq!((values, bed.planned(id).await.len(), bed.state(id).await.as_str()), (vec!["1".to_owned()], 0, "completed"));
}

#[tokio::test]
async fn when_time_is_up_the_run_is_handed_over_by_the_queue() {
    let bed = Bed::new("run_hand_over", [ops(json!([{ "op": "result", "key": "a#0" }])), done()]).await;
    let id = bed.start().await;
    bed.ctx.config.stopping.store(true, std::sync::atomic::Ordering::Relaxed);
    bed.dispatch(id).await;
    assert_eq!((bed.state(id).await.as_str(), bed.endpoint.count()), ("queued", 1));
    assert_eq!(bed.kicked().await, [id]);
    bed.dispatch(id).await;
    assert_eq!((bed.state(id).await.as_str(), bed.endpoint.count()), ("completed", 2));
    assert_eq!(bed.request(1)["journal"]["entries"][0]["key"], "a#0");
}

#[tokio::test]
async fn a_gate_lets_so_many_run_at_once_and_hands_on_the_place() {
    let bed = Bed::new("run_gate", [done().ending(Ending::Held), done()]).await;
    bed.serve("flow", "1", r#"{"concurrency":{"limit":1,"key":"input.n"}}"#).await;
    let (a, b, other) = (bed.start().await, bed.start().await, bed.start_of("flow", r#"{"n": 2}"#).await);
    let ctx = bed.ctx.clone();
    let first = tokio::spawn(async move { tikku_step_invoke::handle(&ctx, &[a]).await.unwrap() });
    bed.endpoint.wait(1, std::time::Duration::from_secs(60)).await;
    bed.dispatch(b).await;
    bed.dispatch(other).await;
    assert_eq!((bed.state(b).await.as_str(), bed.state(other).await.as_str(), bed.endpoint.count()), ("queued", "completed", 2));
    bed.endpoint.release();
    first.await.unwrap();
    assert_eq!(bed.kicked().await, [b]);
    bed.dispatch(b).await;
    assert_eq!(bed.state(b).await, "completed");
}

#[tokio::test]
async fn a_sleeping_run_holds_no_place_in_its_gate() {
    let bed = Bed::new("run_gate_sleep", [awaiting(json!([{ "op": "sleep", "key": "s#0", "forMs": 60_000 }]), json!("s#0")), done()]).await;
    bed.serve("flow", "1", r#"{"concurrency":{"limit":1}}"#).await;
    let (a, b) = (bed.start().await, bed.start().await);
    bed.dispatch(a).await;
    bed.dispatch(b).await;
    assert_eq!((bed.state(a).await.as_str(), bed.state(b).await.as_str()), ("sleeping", "completed"));
}

#[tokio::test]
async fn a_rate_limit_books_first_dispatches_and_no_others() {
    let bed = Bed::new("run_rate", [ops(json!([{ "op": "result", "key": "a#0" }])), done()]).await;
    bed.serve("flow", "1", r#"{"rateLimit":{"limit":1,"periodSeconds":60}}"#).await;
    let (a, b) = (bed.start().await, bed.start().await);
    bed.until(a, "completed").await;
    bed.dispatch(b).await;
    assert_eq!((bed.state(b).await.as_str(), bed.endpoint.count()), ("queued", 2));
    bed.dispatch_later(61, b).await;
    assert_eq!(bed.state(b).await, "completed");
}

#[tokio::test]
async fn a_reply_with_fields_of_a_later_version_is_understood() {
    let bed =
        Bed::new("run_fields", [reply(json!({ "v": 1, "have": 0, "new": {}, "ops": [{ "op": "done", "value": 1, "new": [] }] }))]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    assert_eq!(bed.state(id).await, "completed");
}
