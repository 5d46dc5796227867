//! The command line's apps, workflows, runs, approvals and events.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::{Cli, DEV};
use crate::endpoint::{Endpoint, Reply};
use crate::host::on;
use crate::workflow_endpoint::{Flow, awaits_signal, completes, describes, reports, run, until, waits};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn apps_are_registered_asked_again_and_deleted_and_an_endpoint_that_is_silent_is_a_failure() {
    on(DEV, async |d| {
        let cli = Cli::new(d, "cli-apps");
        let endpoint = Endpoint::scripted([describes(&json!([{ "name": "cli-order", "version": "2" }]))]);
        let app = cli.both(&["apps", "put", "shop", &endpoint.url(), "--timeout", "2m", "--lease", "20s"]);
        assert_eq!(
            (&app["timeoutSeconds"], &app["leaseSeconds"], &app["workflows"][0]["name"]),
            (&json!(120), &json!(20), &json!("cli-order"))
        );
        assert_eq!(cli.both(&["apps", "sync", "shop"])["describeError"], Value::Null);
        assert_eq!(cli.both(&["apps", "list"])["data"][0]["name"], "shop");
        assert_eq!(cli.both(&["apps", "get", "shop"])["sdk"], "test/1");
        assert_eq!(cli.both(&["workflows", "list"])["data"][0]["name"], "cli-order");
        assert_eq!(cli.both(&["workflows", "get", "cli-order"])["version"], "2");
        endpoint.script([Reply::status(500)]);
        let silent = cli.run(&["apps", "sync", "shop"]).expect(1);
        assert!(silent.err.contains("does not say what it serves") && silent.out.contains("500"), "{silent:#?}");
        assert_eq!(cli.json(&["apps", "delete", "shop", "--yes"])["deleted"], true);
        cli.run(&["apps", "get", "shop"]).expect(3);
    });
}

#[test]
fn a_run_is_started_and_waited_for_and_its_steps_are_a_tree() {
    on(DEV, async |d| {
        let cli = Cli::new(d, "cli-run");
        let charge = json!([{ "op": "result", "key": "charge#0", "value": { "id": "ch_1" }, "ms": 812 }]);
        let flow = Flow::serve(&cli.api, [reports(&charge), completes(&json!({ "ok": ["paid"] }))]).await;
        let args = ["runs", "start", &flow.name, "--input", "{\"order\": 7}", "--id", "o-7", "--label", "x", "--wait=20s"];
        let done = cli.run(&args).expect(0);
        assert!(done.out.contains("completed") && done.out.contains("\"paid\""), "{done:#?}");
        let listed = cli.both(&["runs", "list", "--workflow", &flow.name, "--external-id", "o-7", "--status", "completed"]);
        let id = listed["data"][0]["id"].as_str().unwrap_or_else(|| panic!("{listed:#}"));
        let text = cli.run(&["runs", "get", id]).expect(0).out;
        assert!(text.contains("└─ ✓ charge#0  run  812 ms  {\"id\":\"ch_1\"}"), "{text}");
        assert!(text.contains("Your id") && text.contains("\"order\": 7"), "{text}");
        assert_eq!(cli.json(&["runs", "get", id])["steps"][0]["key"], "charge#0");
        assert_eq!(cli.json(&["runs", "wait", id])["status"], "completed");
        let again = cli.run(&["runs", "start", &flow.name, "--input", "{\"order\": 7}", "--id", "o-7"]).expect(0);
        assert!(again.out.contains("was there already"), "{again:#?}");
    });
}

#[test]
fn a_run_is_paused_resumed_signalled_forked_cancelled_and_retried() {
    on(DEV, async |d| {
        let cli = Cli::new(d, "cli-control");
        let flow = Flow::serve(&cli.api, [awaits_signal("go#0", "go")]).await;
        let id = cli.id(&["runs", "start", &flow.name], "id");
        until(&cli.api, &id, "waiting").await;
        let text = cli.run(&["runs", "get", &id]).expect(0).out;
        assert!(text.contains("└─ … go#0  signal  waits for go"), "{text}");
        let late = cli.run(&["runs", "wait", &id, "--timeout", "1s"]).expect(6);
        assert!(late.err.contains("is waiting after 1 s"), "{late:#?}");
        assert_eq!(cli.json(&["runs", "pause", &id])["status"], "paused");
        assert_ne!(cli.json(&["runs", "resume", &id])["status"], "paused");
        assert_eq!(cli.json(&["runs", "pause", &id])["status"], "paused");
        assert_ne!(cli.json(&["runs", "resume", &id, "--accept"])["status"], "paused");
        let wake = cli.run(&["runs", "wake", &id, "--json"]).expect(1).error();
        assert_eq!(wake["problem"]["status"], 409, "there is nothing to wake: {wake:#}");
        assert_eq!(cli.json(&["runs", "cancel", &id])["status"], "cancelled");
        assert_ne!(cli.json(&["runs", "retry", &id])["status"], "cancelled");
        until(&cli.api, &id, "waiting").await;
        flow.endpoint.script([completes(&json!("gone"))]);
        let sent = cli.json(&["runs", "signal", &id, "go", "{\"ok\": true}", "--idempotency-key", "once"]);
        assert_eq!((&sent["runId"], &sent["name"]), (&json!(id), &json!("go")));
        until(&cli.api, &id, "completed").await;
        let fork = cli.json(&["runs", "fork", &id, "--from-step", "go", "--input", "5"]);
        assert_eq!((&fork["forkedFrom"], &fork["input"]), (&json!(id), &json!(5)));
        until(&cli.api, fork["id"].as_str().unwrap(), "completed").await;
        cli.run(&["runs", "fork", &id, "--from-step", "go", "--result", "nothing"]).expect(2);
    });
}

#[test]
fn runs_are_cancelled_by_filter_and_a_sleep_is_woken() {
    on(DEV, async |d| {
        let cli = Cli::new(d, "cli-cancel");
        let sleep = waits(&json!([{ "op": "sleep", "key": "nap#0", "forMs": 3_600_000 }]), &json!("nap#0"));
        let flow = Flow::serve(&cli.api, [sleep]).await;
        let mut started = Vec::new();
        for _ in 0..3 {
            started.push(cli.id(&["runs", "start", &flow.name, "--label", "many"], "id"));
        }
        for id in &started {
            until(&cli.api, id, "sleeping").await;
        }
        let text = cli.run(&["runs", "get", &started[0]]).expect(0).out;
        assert!(text.contains("└─ … nap#0  sleep  sleeps until ") && text.contains("(in 59 min"), "{text}");
        assert_ne!(cli.json(&["runs", "wake", &started[0]])["status"], "sleeping");
        let done = cli.json(&["runs", "cancel", "--label", "many"]);
        assert!((2..=3).contains(&done["count"].as_u64().unwrap()) && done["remaining"] == 0, "{done:#}");
        cli.run(&["runs", "cancel"]).expect(2);
    });
}

#[test]
fn an_approval_is_listed_and_answered_and_a_failed_run_says_why() {
    on(DEV, async |d| {
        let cli = Cli::new(d, "cli-approvals");
        let ask = json!([{ "op": "approval", "key": "ok#0", "title": "Pay?" }]);
        let flow = Flow::serve(&cli.api, [waits(&ask, &json!("ok#0"))]).await;
        let ids = [cli.id(&["runs", "start", &flow.name], "id"), cli.id(&["runs", "start", &flow.name], "id")];
        for id in &ids {
            until(&cli.api, id, "waiting").await;
        }
        let open = cli.both(&["approvals", "list"]);
        assert_eq!((open["data"].as_array().unwrap().len(), &open["data"][0]["title"]), (2, &json!("Pay?")));
        let failed = reports(&json!([{ "op": "fail", "error": { "name": "Refused", "message": "not this time" } }]));
        flow.endpoint.script([failed]);
        let yes = cli.json(&["runs", "approve", &ids[0], "ok#0", "--by", "Ada", "--data", "{\"limit\": 5}"]);
        assert_eq!((&yes["status"], &yes["decidedName"], &yes["data"]), (&json!("approved"), &json!("Ada"), &json!({ "limit": 5 })));
        assert_eq!(cli.json(&["runs", "approve", &ids[1], "ok#0", "--reject"])["status"], "rejected");
        assert_eq!(cli.json(&["approvals", "list", "--all"])["data"].as_array().unwrap().len(), 2);
        let ended = cli.run(&["runs", "wait", &ids[0]]).expect(1);
        assert!(ended.err.contains("Refused: not this time"), "{ended:#?}");
        assert_eq!(run(&cli.api, &ids[0]).await["steps"][0]["key"], "ok#0");
    });
}

#[test]
fn children_are_shown_under_the_step_that_invoked_them() {
    on(DEV, async |d| {
        let cli = Cli::new(d, "cli-children");
        let child = Flow::serve(&cli.api, [awaits_signal("go#0", "go")]).await;
        let invoke = json!([{ "op": "child", "key": "mail#0", "workflow": child.name, "input": 1 }]);
        let parent = Flow::serve(&cli.api, [waits(&invoke, &json!("mail#0"))]).await;
        let id = cli.id(&["runs", "start", &parent.name], "id");
        until(&cli.api, &id, "waiting").await;
        let begun = tokio::time::Instant::now();
        loop {
            let text = cli.run(&["runs", "get", &id, "--children"]).expect(0).out;
            if text.contains(&format!("{} v1  waiting", child.name)) && text.contains("      └─ … go#0  signal  waits for go") {
                return;
            }
            assert!(begun.elapsed() < SOON, "{text}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
}

#[test]
fn an_event_is_published_listed_and_shown_with_what_it_started() {
    on(DEV, async |d| {
        let cli = Cli::new(d, "cli-events");
        let triggers = json!({ "triggers": [{ "event": "cli.paid" }] });
        let flow = Flow::serve_as(&cli.api, &triggers, [completes(&json!("started"))]).await;
        let sent = cli.json(&["events", "send", "cli.paid", "--data", "{\"amount\": 1.50}", "--id", "p-1"]);
        let started = sent["started"][0].as_str().unwrap_or_else(|| panic!("{sent:#}"));
        assert_eq!(until(&cli.api, started, "completed").await["workflow"], flow.name.as_str());
        assert!(
            cli.run(&["events", "send", "cli.paid", "--data", "{\"amount\": 1.50}", "--id", "p-1"]).expect(0).out.contains("there already")
        );
        let id = cli.both(&["events", "list", "--name", "cli.paid"])["data"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(cli.both(&["events", "get", &id])["externalId"], "p-1");
        let text = cli.run(&["events", "get", &id]).expect(0).out;
        assert!(text.contains("1.50") && text.contains(started), "{text}");
    });
}
