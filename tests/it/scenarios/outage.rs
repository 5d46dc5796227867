//! The world around the functions: the database stops under load, or wants TLS; the delivering host has the wrong time.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::{SOON, assert_signed, attempts, expire_leases, forget_the_queue, message, ms, one_second};
use crate::endpoint::{Endpoint, Reply, now_ms};
use crate::host::{ALL, Deployment, Host, Options, on_own};

#[test]
fn while_the_database_is_stopped_publish_answers_503_and_nothing_acknowledged_is_lost() {
    on_own(ALL, Options { name: "outage".to_owned(), own_cluster: true, ..Options::default() }, async |d| {
        let endpoint = Endpoint::new();
        let end = Instant::now() + Duration::from_secs(9);
        let publishing = join_all((0..4).map(|_| publish_until(d, &endpoint, end)));
        let stopping = async {
            sleep(Duration::from_secs(2)).await;
            tokio::task::block_in_place(|| d.cluster().stop());
            sleep(Duration::from_secs(3)).await;
            let health = d.api.get("/healthz").await;
            assert_eq!(health.status, 503, "{health:?}");
            tokio::task::block_in_place(|| d.cluster().start()).unwrap();
        };
        let (published, ()) = tokio::join!(publishing, stopping);
        let (mut ids, mut refused, mut after) = (Vec::new(), 0, 0);
        for (acknowledged, unavailable, since_refusal) in published {
            ids.extend(acknowledged);
            refused += unavailable;
            after += since_refusal;
        }
        println!("{:?}: {} acknowledged, {refused} refused with 503, {after} acknowledged again afterwards", d.host, ids.len());
        assert!(refused > 0 && after > 0, "{refused} refused, {after} accepted again");
        let begun = Instant::now();
        loop {
            forget_the_queue(d).await;
            expire_leases(d, 20).await;
            d.tick().await;
            sleep(Duration::from_secs(3)).await;
            let left = d.sql("select state, count(*) from tikku.message where state <> 'delivered' group by state").await;
            if left.is_empty() {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "not delivered: {left:?}");
        }
        let pushes = endpoint.received();
        for id in &ids {
            assert!(pushes.iter().any(|push| push.header("webhook-id") == Some(id)), "{id} was acknowledged and never pushed");
        }
    });
}

// Returns the acknowledged ids, how often it was refused, and how many were acknowledged after the last refusal.
async fn publish_until(d: &Deployment, endpoint: &Endpoint, end: Instant) -> (Vec<String>, usize, usize) {
    let (mut ids, mut refused, mut after) = (Vec::new(), 0, 0);
    let body = message(endpoint, json!({ "timeoutSeconds": 5 }));
    while Instant::now() < end || (refused > 0 && after == 0 && Instant::now() < end + Duration::from_secs(20)) {
        let sent = d.api.try_send("POST", "/v1/messages", Some(body.to_string().into_bytes()));
        let answer = match timeout(Duration::from_secs(30), sent).await.expect("an answer within 30 s") {
            Ok(answer) => answer,
            // `wrangler dev` breaks a connection at times while its Worker fails; what has no answer is not acknowledged.
            Err(_) if d.host == Host::Workers => continue,
            Err(error) => panic!("{error:?}"),
        };
        if answer.status == 202 {
            ids.push(answer.json()["id"].as_str().unwrap().to_owned());
            after += usize::from(refused > 0);
        } else {
            let retry_after = answer.headers.get("retry-after").and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u32>().ok());
            assert!(retry_after.is_some(), "{answer:?}");
            answer.problem(503);
            refused += 1;
            after = 0;
        }
        sleep(Duration::from_millis(40)).await;
    }
    (ids, refused, after)
}

#[test]
fn a_delivering_host_whose_clock_is_an_hour_off_is_neither_early_nor_late_nor_refused() {
    for (name, clock) in [("clock-ahead", "+1h"), ("clock-behind", "-1h")] {
        on_own(&[Host::Dev, Host::Lambda], Options { name: name.to_owned(), clock: Some(clock), ..Options::default() }, async |d| {
            let (now, later) = (
                Endpoint::scripted([Reply::status(503).header("Retry-After", "2"), Reply::status(500), Reply::status(200)]),
                Endpoint::new(),
            );
            let id = d.api.publish(&message(&now, json!({ "body": 1, "backoff": one_second() }))).await;
            let delayed = d.api.publish(&message(&later, json!({ "delaySeconds": 3 }))).await;
            let kept = d.api.until(&id, "delivered", SOON).await;
            let pushes = now.received();
            assert_eq!(pushes.len(), 3);
            let (first, second) = (pushes[1].at_ms - pushes[0].at_ms, pushes[2].at_ms - pushes[1].at_ms);
            assert!((2_000..4_500).contains(&first) && (1_000..3_500).contains(&second), "waits of {first} and {second} ms");
            pushes.iter().for_each(|push| assert_signed(d, push));
            assert!(attempts(&kept).iter().all(|a| (now_ms() - ms(&a["startedAt"])).abs() < 60_000), "{kept:#}");
            let late_ms = later.only(SOON).await.at_ms - ms(&d.api.message(&delayed).await["dueAt"]);
            assert!((0..=1_500).contains(&late_ms), "{late_ms} ms late");
        });
    }
}

#[test]
fn a_database_that_is_reached_over_verified_tls_works_like_any_other() {
    let options = Options { name: "database-tls".to_owned(), extra_ca: true, sslmode: Some("verify-full"), ..Options::default() };
    on_own(&[Host::Dev, Host::Lambda], options, async |d| {
        let endpoint = Endpoint::new();
        let id = d.api.publish(&message(&endpoint, json!({ "body": 1 }))).await;
        d.api.until(&id, "delivered", SOON).await;
        let encrypted = "select bool_and(s.ssl) from pg_stat_ssl s join pg_stat_activity a using (pid) where a.datname = current_database() and a.application_name = 'tikku'";
        assert_eq!(d.sql(encrypted).await, [[Some("t".to_owned())]]);
    });
}

#[test]
fn a_database_that_is_known_by_a_secret_of_rds_is_found_and_reached_over_tls() {
    let options = Options { name: "database-secret".to_owned(), secret: true, ..Options::default() };
    on_own(&[Host::Lambda], options, async |d| {
        let endpoint = Endpoint::new();
        let id = d.api.publish(&message(&endpoint, json!({}))).await;
        d.api.until(&id, "delivered", SOON).await;
        d.tick().await;
    });
}
