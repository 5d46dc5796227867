//! Duplicated, dropped and foreign wake messages of runs change nothing but timing (Lambda, whose queues a test can reach); and while the queue of
//! runs stands still, messages are delivered.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::{SOON, at_rest, message};
use crate::endpoint::Endpoint;
use crate::host::{Deployment, Host, Options, on_own};
use crate::workflow_endpoint::{Flow, completes, until};

const LAMBDA: &[Host] = &[Host::Lambda];

fn options(name: &str) -> Options {
    Options { name: name.to_owned(), manual_tick: true, ..Options::default() }
}

/// As if a minute had passed since each run was handed to the queue.
async fn forget_the_queue(d: &Deployment) {
    d.sql("update tikku.run set kick_until = tikku.clock_now() where kick_until < 'infinity'").await;
}

fn dispatches(flow: &Flow) -> usize {
    // The first request asked what it serves.
    flow.endpoint.count() - 1
}

#[test]
fn a_run_whose_wake_message_was_dropped_is_handed_over_by_tick_and_messages_do_not_wait_for_it() {
    on_own(LAMBDA, options("runs-drop"), async |d| {
        let (runs, endpoint) = (&d.lambda().runs, Endpoint::new());
        let flow = Flow::serve(&d.api, [completes(&json!(1))]).await;
        runs.hold();
        sleep(Duration::from_secs(1)).await;
        let run = flow.start(&json!({})).await;
        let sent = d.api.publish(&message(&endpoint, json!({}))).await;
        d.api.until(&sent, "delivered", SOON).await;
        assert_eq!(runs.queue.drop_all().await, 1);
        runs.release();
        d.tick().await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(dispatches(&flow), 0, "it was handed over a moment ago: tick leaves it alone");
        forget_the_queue(d).await;
        d.tick().await;
        until(&d.api, &run, "completed").await;
        assert_eq!(dispatches(&flow), 1);
    });
}

#[test]
fn duplicated_and_foreign_wake_messages_of_runs_cause_one_dispatch() {
    on_own(LAMBDA, options("runs-twice"), async |d| {
        let (runs, endpoint) = (&d.lambda().runs, Endpoint::new());
        let flow = Flow::serve(&d.api, [completes(&json!(1))]).await;
        let sent = d.api.publish(&message(&endpoint, json!({ "delaySeconds": 600 }))).await;
        let run = flow.start(&json!({})).await;
        for body in [json!({ "ids": [run, run] }), json!({ "ids": [run] }), json!({ "ids": [sent, "x", 7] }), json!("nonsense")] {
            runs.queue.send(&body.to_string(), 0).await;
            runs.queue.send(&body.to_string(), 1).await;
        }
        until(&d.api, &run, "completed").await;
        // They are acknowledged, not failed: nothing circles in the queue.
        at_rest(runs).await;
        assert_eq!((dispatches(&flow), endpoint.count()), (1, 0));
    });
}
