//! The delivering process is killed with SIGKILL: nothing that was accepted is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{SOON, expire_leases, forget_the_queue, message, one_second, statuses};
use crate::endpoint::{Ending, Endpoint, Reply};
use crate::host::{ALL, Deployment, Host, Options, on_own};

#[test]
fn kill_9_in_the_middle_of_a_push_loses_nothing() {
    on_own(ALL, Options { name: "crash".to_owned(), ..Options::default() }, async |d| {
        let endpoint = Endpoint::scripted([Reply::status(200).ending(Ending::Hang), Reply::status(200)]);
        let id = d
            .api
            .publish(&message(&endpoint, json!({ "body": 1, "maxAttempts": 1, "timeoutSeconds": 120, "backoff": one_second() })))
            .await;
        endpoint.wait(1, SOON).await;
        assert_eq!(d.api.message(&id).await["status"], "delivering");
        d.kill_deliverer();
        expire_leases(d, 0).await;
        d.tick().await;
        let kept = d.api.until(&id, "delivered", SOON).await;
        assert_eq!(statuses(&kept), [json!(null), json!(200)], "the lost push is kept and spends no budget");
        let pushes = endpoint.received();
        assert!(pushes.len() == 2 && pushes.iter().all(|push| push.header("webhook-id") == Some(&id)), "{pushes:#?}");
    });
}

#[test]
fn messages_published_before_a_kill_are_all_delivered_after_it() {
    on_own(ALL, Options { name: "crash-many".to_owned(), ..Options::default() }, async |d| {
        let endpoint = Endpoint::scripted([Reply::status(200).after(Duration::from_millis(200))]);
        let body = message(&endpoint, json!({ "timeoutSeconds": 20 }));
        let ids: Vec<String> = stream::iter(0..60).map(|_| d.api.publish(&body)).buffer_unordered(8).collect().await;
        d.kill_deliverer();
        // What the queue forgot and what the killed process held comes back at its time; here that time is now.
        forget_the_queue(d).await;
        expire_leases(d, 0).await;
        d.tick().await;
        for id in &ids {
            d.api.until(id, "delivered", Duration::from_secs(120)).await;
        }
        let pushed: BTreeSet<String> = endpoint.received().iter().map(|push| push.header("webhook-id").unwrap().to_owned()).collect();
        assert_eq!(pushed.len(), 60);
    });
}

// TIKKU_TEST_LONG=1: 10,000 messages and ten kills; otherwise 1,000 and three.
#[test]
fn ten_thousand_messages_survive_ten_sigkills_of_the_server() {
    let (count, kills) = if super::long() { (10_000_usize, 10_u64) } else { (1_000, 3) };
    on_own(&[Host::Dev], Options { name: "crash-load".to_owned(), ..Options::default() }, async |d| {
        let endpoint = Endpoint::new();
        let published = AtomicBool::new(false);
        let publishing = async {
            let ids: BTreeSet<String> =
                stream::iter(0..count).map(|n| publish_whatever_happens(d, &endpoint, n)).buffer_unordered(16).collect().await;
            published.store(true, Ordering::Relaxed);
            ids
        };
        let killing = async {
            for n in 0..kills {
                // Spread over publishing and delivering alike; a kill that finds nothing to do proves nothing.
                sleep(Duration::from_millis(300 + n * 7_919 % 1_100)).await;
                d.kill_deliverer();
            }
        };
        let (ids, ()) = tokio::join!(publishing, killing);
        assert_eq!(ids.len(), count, "one id for each idempotency key");
        let begun = Instant::now();
        let unfinished = "select state, count(*) from tikku.message where state <> 'delivered' group by state";
        loop {
            let left = d.sql(unfinished).await;
            if left.is_empty() {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(240), "not delivered: {left:?}");
            sleep(Duration::from_millis(500)).await;
        }
        let mut pushes: BTreeMap<String, usize> = BTreeMap::new();
        for push in endpoint.received() {
            *pushes.entry(push.header("webhook-id").unwrap().to_owned()).or_default() += 1;
        }
        let again = pushes.values().filter(|n| **n > 1).count();
        println!(
            "{count} messages, {kills} kills: {again} were pushed more than once, at most {} times; last one {:.1} s after the last kill",
            pushes.values().max().unwrap(),
            begun.elapsed().as_secs_f32()
        );
        assert!(ids.iter().all(|id| pushes.contains_key(id)), "some were never pushed");
    });
}

// A publisher that does what ours are told to: the same idempotency key until there is an answer.
async fn publish_whatever_happens(d: &Deployment, endpoint: &Endpoint, n: usize) -> String {
    let body = message(endpoint, json!({ "body": n, "idempotencyKey": format!("n{n}"), "timeoutSeconds": 10, "backoff": one_second() }))
        .to_string();
    let begun = Instant::now();
    loop {
        match d.api.try_send("POST", "/v1/messages", Some(body.clone().into_bytes())).await {
            Ok(answer) if answer.status == 202 => return answer.json()["id"].as_str().unwrap().to_owned(),
            Ok(answer) => assert!(answer.status == 503, "{answer:?}"),
            Err(_) => {}
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "message {n} was never accepted");
        sleep(Duration::from_millis(20)).await;
    }
}
