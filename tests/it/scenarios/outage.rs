//! The world around the functions: the database stops under load, or wants TLS; the delivering host has the wrong time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::{SOON, assert_signed, attempts, expire_leases, forget_the_queue, message, ms, one_second};
use crate::api::Api;
use crate::endpoint::{Endpoint, Reply, now_ms};
use crate::host::{ALL, Deployment, Host, Options, on_own};

const PUBLISHERS: usize = 4;
/// Only against hanging: how long a Postgres takes to stop and start on a busy machine is not the promise.
const LONG_ENOUGH: Duration = Duration::from_secs(180);

/// What publishers and the one who stops the database tell each other.
#[derive(Default)]
struct Outage {
    /// Messages that were acknowledged.
    acknowledged: AtomicUsize,
    /// Publishers that were refused several times.
    refused: AtomicUsize,
    /// The database answers again.
    over: AtomicBool,
}

#[test]
fn while_the_database_is_stopped_publish_answers_503_and_nothing_acknowledged_is_lost() {
    on_own(ALL, Options { name: "outage".to_owned(), own_cluster: true, ..Options::default() }, async |d| {
        let (endpoint, outage) = (Endpoint::new(), Arc::new(Outage::default()));
        let body = message(&endpoint, json!({ "timeoutSeconds": 15 })).to_string();
        // Tasks of their own: what stops and starts the database blocks, however long that takes.
        let publish = |_| tokio::spawn(publish_until_over(d.api.clone(), d.host, body.clone(), outage.clone()));
        let publishing = join_all((0..PUBLISHERS).map(publish));
        let stopping = async {
            eventually("messages are accepted", async || outage.acknowledged.load(Ordering::Relaxed) >= 25 * PUBLISHERS).await;
            tokio::task::block_in_place(|| d.cluster().stop());
            eventually("every publisher is refused", async || outage.refused.load(Ordering::Relaxed) == PUBLISHERS).await;
            // `wrangler dev` breaks a connection at times while its Worker fails.
            let unwell = async || d.api.try_send("GET", "/healthz", None).await.is_ok_and(|answer| answer.status == 503);
            eventually("/healthz answers 503", unwell).await;
            tokio::task::block_in_place(|| d.cluster().start()).unwrap();
            outage.over.store(true, Ordering::Relaxed);
        };
        let (published, ()) = timeout(LONG_ENOUGH, async { tokio::join!(publishing, stopping) }).await.expect("accepted again in time");
        let (mut ids, mut refused) = (Vec::new(), 0);
        for one in published {
            let (acknowledged, unavailable) = one.unwrap();
            ids.extend(acknowledged);
            refused += unavailable;
        }
        println!("{:?}: {} acknowledged, {refused} refused with 503", d.host, ids.len());
        delivered_in_the_end(d).await;
        let pushes = endpoint.received();
        for id in &ids {
            assert!(pushes.iter().any(|push| push.header("webhook-id") == Some(id)), "{id} was acknowledged and never pushed");
        }
    });
}

// Publishes until the outage is over, and this publisher was refused and accepted again. Returns the acknowledged ids, and how often it was refused.
async fn publish_until_over(api: Api, host: Host, body: String, outage: Arc<Outage>) -> (Vec<String>, usize) {
    let (mut ids, mut refused, mut again) = (Vec::new(), 0, false);
    while !(again && outage.over.load(Ordering::Relaxed)) {
        let answer = match api.try_send("POST", "/v1/messages", Some(body.clone().into_bytes())).await {
            Ok(answer) => answer,
            // `wrangler dev` breaks a connection at times while its Worker fails; what has no answer is not acknowledged.
            Err(_) if host == Host::Workers => continue,
            Err(error) => panic!("{error:?}"),
        };
        if answer.status == 202 {
            ids.push(answer.json()["id"].as_str().unwrap().to_owned());
            outage.acknowledged.fetch_add(1, Ordering::Relaxed);
            again = refused > 0;
        } else {
            let retry_after = answer.headers.get("retry-after").and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u32>().ok());
            assert!(retry_after.is_some(), "{answer:?}");
            answer.problem(503);
            refused += 1;
            outage.refused.fetch_add(usize::from(refused == 5), Ordering::Relaxed);
            again = false;
        }
        sleep(Duration::from_millis(40)).await;
    }
    (ids, refused)
}

// What the queue forgot and what was under way comes back at its time; here that time is now, and once more for what is lost meanwhile.
async fn delivered_in_the_end(d: &Deployment) {
    let begun = Instant::now();
    loop {
        forget_the_queue(d).await;
        expire_leases(d, 20).await;
        d.tick().await;
        for _ in 0..20 {
            let left = d.sql("select state, count(*) from tikku.message where state <> 'delivered' group by state").await;
            if left.is_empty() {
                return;
            }
            assert!(begun.elapsed() < LONG_ENOUGH, "not delivered: {left:?}");
            sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < LONG_ENOUGH, "it never came to pass that {what}");
        sleep(Duration::from_millis(50)).await;
    }
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
