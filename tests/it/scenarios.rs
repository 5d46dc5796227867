//! The end-to-end scenarios, one file per subject; each test is one sentence and runs on every host that it names.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::endpoint::{Endpoint, Received};
use crate::host::Deployment;
use crate::host::lambda::mapping::Mapping;

mod accounts;
mod apps;
mod arrival;
mod batch;
mod callbacks;
mod control;
mod crash;
mod dashboard;
mod dashboard_dlq;
mod dashboard_fanouts;
mod dashboard_flows;
mod dashboard_keys;
mod dashboard_overview;
mod dashboard_runs;
mod dashboard_schedules;
mod dashboard_send;
mod dashboard_workflows;
mod destinations;
mod dlq;
mod every_route;
mod fanouts;
mod flows;
mod idempotency;
mod input;
mod laptop;
mod limits;
mod listing;
mod looks;
mod openapi;
mod outage;
mod queue;
mod raw;
mod retries;
mod roles;
mod run_crash;
mod run_input;
mod run_queue;
mod runs;
mod schedules;
mod signing;
mod sql;
mod throttling;
mod timers;
mod workflow_destinations;

/// Long enough for what should take milliseconds, on a busy machine; shorter than what a lost wake message takes to be handed over again.
const SOON: Duration = Duration::from_secs(60);

/// Whether scenarios with a short and a full size are to run in full (`TIKKU_TEST_LONG=1`).
fn long() -> bool {
    std::env::var("TIKKU_TEST_LONG").is_ok_and(|value| value == "1")
}

/// A message to this endpoint with these further fields.
fn message(endpoint: &Endpoint, fields: Value) -> Value {
    let mut message = json!({ "url": endpoint.url() });
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    message
}

/// The backoff that keeps scenarios short: one second, no jitter.
fn one_second() -> Value {
    json!({ "type": "fixed", "initialSeconds": 1, "jitter": false })
}

/// Fails unless the push carries a signature that the deployment's secret explains.
#[track_caller]
fn assert_signed(deployment: &Deployment, push: &Received) {
    if let Err(refusal) = crate::signature::verify(&deployment.secret, push) {
        panic!("{refusal}: {push:#?}");
    }
}

/// Makes now the time at which tick hands over again what the queue was given: a lost wake message, without the minutes in between.
async fn forget_the_queue(d: &Deployment) {
    // Locks in id order, as the product does: no deadlock with it.
    d.sql(
        "with locked as materialized (select id from tikku.message where state in ('scheduled', 'queued', 'retrying') order by id for update)
         update tikku.message m set kick_until = tikku.clock_now() from locked where m.id = locked.id",
    )
    .await;
}

/// Makes now the end of every lease that has more than `left_s` seconds to go: a lost process, without the wait.
async fn expire_leases(d: &Deployment, left_s: u32) {
    d.sql(&format!(
        "with locked as materialized (select id from tikku.message where state = 'delivering' and lease_until > tikku.clock_now() + interval '{left_s} s' order by id for update)
         update tikku.message m set lease_until = tikku.clock_now() from locked where m.id = locked.id",
    ))
    .await;
}

/// Waits until nothing has come out of the queue for three seconds: a wake message that failed would have come again after one.
async fn at_rest(mapping: &Mapping) {
    let begun = Instant::now();
    let mut handed = usize::MAX;
    while handed != mapping.invocations() {
        assert!(begun.elapsed() < SOON, "wake messages circle");
        handed = mapping.invocations();
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}

/// The attempts of a message, in order.
fn attempts(message: &Value) -> &Vec<Value> {
    message["attempts"].as_array().unwrap_or_else(|| panic!("no attempts: {message:#}"))
}

/// The status of each attempt, in order; null where there was no answer.
fn statuses(message: &Value) -> Vec<Value> {
    attempts(message).iter().map(|attempt| attempt["responseStatus"].clone()).collect()
}

/// A time of the API (RFC 3339) in milliseconds since 1970.
fn ms(time: &Value) -> i64 {
    let text = time.as_str().unwrap_or_else(|| panic!("{time} is no time"));
    text.parse::<jiff::Timestamp>().unwrap_or_else(|e| panic!("{text}: {e}")).as_millisecond()
}
