//! Duplicated, delayed, dropped and foreign queue messages change nothing but timing (Lambda, whose queue a test can reach).

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::{SOON, at_rest, forget_the_queue, message, statuses};
use crate::endpoint::{Endpoint, Reply};
use crate::host::{Host, Options, on_own};

const LAMBDA: &[Host] = &[Host::Lambda];

fn options(name: &str) -> Options {
    Options { name: name.to_owned(), manual_tick: true, ..Options::default() }
}

fn wake(ids: &[&str]) -> String {
    json!({ "ids": ids }).to_string()
}

#[test]
fn duplicated_wake_messages_cause_one_push() {
    on_own(LAMBDA, options("queue-twice"), async |d| {
        let queue = &d.lambda().mapping.queue;
        let slow = Endpoint::scripted([Reply::status(200).after(Duration::from_millis(800))]);
        let later = Endpoint::new();
        let id = d.api.publish(&message(&slow, json!({}))).await;
        let scheduled = d.api.publish(&message(&later, json!({ "delaySeconds": 600 }))).await;
        for _ in 0..5 {
            queue.send(&wake(&[&id]), 0).await;
            queue.send(&wake(&[&id, &id, &scheduled]), 0).await;
            queue.send(&wake(&[&id]), 1).await;
        }
        assert_eq!(statuses(&d.api.until(&id, "delivered", SOON).await), [json!(200)]);
        for _ in 0..5 {
            queue.send(&wake(&[&id]), 0).await;
        }
        // A duplicate is acknowledged, not failed: nothing circles in the queue.
        at_rest(&d.lambda().mapping).await;
        assert_eq!((slow.count(), later.count()), (1, 0));
        assert_eq!(d.api.message(&scheduled).await["status"], "scheduled");
    });
}

#[test]
fn dropped_wake_messages_are_repaired_by_tick() {
    on_own(LAMBDA, options("queue-drop"), async |d| {
        let mapping = &d.lambda().mapping;
        let endpoint = Endpoint::scripted([Reply::status(500), Reply::status(200)]);
        mapping.hold();
        sleep(Duration::from_secs(1)).await;
        let id = d
            .api
            .publish(&message(
                &endpoint,
                json!({ "backoff": { "type": "fixed", "initialSeconds": 20, "maxSeconds": 20, "jitter": false } }),
            ))
            .await;
        assert_eq!(mapping.queue.drop_all().await, 1);
        mapping.release();
        d.tick().await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(endpoint.count(), 0, "it was handed over a moment ago: tick leaves it alone");
        forget_the_queue(d).await;
        d.tick().await;
        d.api.until(&id, "retrying", SOON).await;
        // The same for the wake message of a retry, once its delay is over.
        mapping.hold();
        sleep(Duration::from_secs(21)).await;
        assert_eq!(mapping.queue.drop_all().await, 1);
        mapping.release();
        assert_eq!(endpoint.count(), 1);
        forget_the_queue(d).await;
        d.tick().await;
        assert_eq!(statuses(&d.api.until(&id, "delivered", SOON).await), [json!(500), json!(200)]);
    });
}

#[test]
fn delayed_wake_messages_change_only_the_time() {
    on_own(LAMBDA, options("queue-late"), async |d| {
        let mapping = &d.lambda().mapping;
        let endpoint = Endpoint::new();
        mapping.hold();
        sleep(Duration::from_secs(1)).await;
        let id = d.api.publish(&message(&endpoint, json!({}))).await;
        forget_the_queue(d).await;
        d.tick().await; // Hands it over a second time: two wake messages wait.
        sleep(Duration::from_secs(2)).await;
        assert_eq!(endpoint.count(), 0);
        mapping.release();
        endpoint.only(SOON).await;
        assert_eq!(statuses(&d.api.until(&id, "delivered", SOON).await), [json!(200)]);
    });
}

#[test]
fn foreign_wake_messages_stop_nothing() {
    on_own(LAMBDA, options("queue-foreign"), async |d| {
        let queue = &d.lambda().mapping.queue;
        let endpoint = Endpoint::new();
        for body in ["nonsense", "{}", r#"{"ids":[]}"#, r#"{"ids":["msg_00000000000000000000000000000000","x",7]}"#, r#"{"ids":{}}"#] {
            queue.send(body, 0).await;
        }
        let id = d.api.publish(&message(&endpoint, json!({}))).await;
        d.api.until(&id, "delivered", SOON).await;
    });
}

#[test]
fn two_ticks_at_once_hand_over_each_message_once() {
    on_own(LAMBDA, options("queue-ticks"), async |d| {
        let endpoint = Endpoint::new();
        d.lambda().mapping.hold();
        sleep(Duration::from_secs(1)).await;
        for _ in 0..20 {
            d.api.publish(&message(&endpoint, json!({}))).await;
        }
        d.lambda().mapping.queue.drop_all().await;
        forget_the_queue(d).await;
        tokio::join!(d.tick(), d.tick(), d.tick());
        d.lambda().mapping.release();
        endpoint.wait(20, SOON).await;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(endpoint.count(), 20);
    });
}
