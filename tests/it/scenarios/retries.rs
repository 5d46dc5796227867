//! What an endpoint's failure leads to: attempts in order, a spent budget, an end at once.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use serde_json::json;

use super::{SOON, assert_signed, attempts, message, ms, one_second, statuses};
use crate::endpoint::{Ending, Endpoint, Reply};
use crate::host::{ALL, Host, Options, on, on_own};
use crate::process::free_port;

#[test]
fn three_attempts_are_kept_in_order_with_status_duration_and_at_most_4096_bytes() {
    on(ALL, async |d| {
        let slow = Reply::status(503).body(vec![0xff, b'!']).after(Duration::from_millis(300));
        let endpoint = Endpoint::scripted([
            Reply::status(500).header("x-mark", "one").body(vec![b'x'; 10_000]),
            slow,
            Reply::status(200).body("done"),
        ]);
        let id = d.api.publish(&message(&endpoint, json!({ "body": 1, "maxAttempts": 3, "backoff": one_second() }))).await;
        let kept = d.api.until(&id, "delivered", SOON).await;

        assert_eq!(statuses(&kept), [json!(500), json!(503), json!(200)]);
        let all = attempts(&kept);
        assert_eq!(all.iter().map(|a| a["number"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(all[0]["responseBody"].as_str().map(str::len), Some(4096));
        assert_eq!((all[1]["responseBody"].as_str(), all[2]["responseBody"].as_str()), (Some("\u{fffd}!"), Some("done")));
        assert!(all[0]["responseHeaders"].to_string().contains("x-mark"), "{:#}", all[0]);
        assert!(all[1]["durationMs"].as_i64().unwrap() >= 300, "{:#}", all[1]);
        for pair in all.windows(2) {
            let ended = ms(&pair[0]["startedAt"]) + pair[0]["durationMs"].as_i64().unwrap();
            assert!(ms(&pair[1]["startedAt"]) >= ended + 990, "the backoff is one second: {kept:#}");
        }
        let pushes = endpoint.received();
        assert!(pushes.len() == 3 && pushes.iter().all(|push| push.header("webhook-id") == Some(&id)), "{pushes:#?}");
        pushes.iter().for_each(|push| assert_signed(d, push));
    });
}

#[test]
fn every_2xx_is_success() {
    on(ALL, async |d| {
        join_all([201, 202, 204, 299].map(async |status| {
            let endpoint = Endpoint::scripted([Reply::status(status)]);
            let id = d.api.publish(&message(&endpoint, json!({ "maxAttempts": 1 }))).await;
            assert_eq!(statuses(&d.api.until(&id, "delivered", SOON).await), [json!(status)]);
        }))
        .await;
    });
}

#[test]
fn a_spent_budget_is_failed_and_a_retry_delivers() {
    on(ALL, async |d| {
        let endpoint = Endpoint::scripted([Reply::status(500)]);
        let id = d.api.publish(&message(&endpoint, json!({ "maxAttempts": 2, "backoff": one_second() }))).await;
        assert_eq!(statuses(&d.api.until(&id, "failed", SOON).await), [json!(500), json!(500)]);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(endpoint.count(), 2, "a failed message is not pushed again");

        endpoint.script([Reply::status(500), Reply::status(200)]);
        let again = d.api.act(&format!("/v1/messages/{id}/retry")).await.expect(200).json();
        assert!(again["id"] == id.as_str() && again["status"] != "failed", "{again:#}");
        let kept = d.api.until(&id, "delivered", SOON).await;
        assert_eq!(statuses(&kept), [json!(500), json!(500), json!(500), json!(200)], "the budget is fresh, the numbers go on");
        assert_eq!(attempts(&kept)[3]["number"], 4);
        d.api.act(&format!("/v1/messages/{id}/retry")).await.problem(409);
    });
}

#[test]
fn gone_and_no_retry_end_it_at_once() {
    on(ALL, async |d| {
        let last = [Reply::status(410), Reply::status(500).header("Tikku-No-Retry", "true")];
        join_all(last.map(async |reply| {
            let endpoint = Endpoint::scripted([reply.clone(), Reply::status(200)]);
            let id = d.api.publish(&message(&endpoint, json!({ "maxAttempts": 5, "backoff": one_second() }))).await;
            assert_eq!(statuses(&d.api.until(&id, "failed", SOON).await), [json!(reply.status)]);
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(endpoint.count(), 1);
        }))
        .await;
    });
}

#[test]
fn a_redirect_is_a_failure_and_is_not_followed() {
    on(ALL, async |d| {
        join_all([301, 302, 303, 307, 308].map(async |status| {
            let target = Endpoint::new();
            let endpoint = Endpoint::scripted([Reply::status(status).header("location", &target.url())]);
            let id = d.api.publish(&message(&endpoint, json!({ "body": "secret", "maxAttempts": 1 }))).await;
            assert_eq!(statuses(&d.api.until(&id, "failed", SOON).await), [json!(status)]);
            assert_eq!(target.count(), 0, "{status} was followed");
        }))
        .await;
    });
}

#[test]
fn an_endpoint_that_never_answers_ends_at_the_timeout() {
    // Of its own: the local queue of `wrangler dev` waits for a batch before it hands out the next.
    on_own(ALL, Options { name: "hang".to_owned(), ..Options::default() }, async |d| {
        let endpoint = Endpoint::scripted([Reply::status(200).ending(Ending::Hang)]);
        let id = d.api.publish(&message(&endpoint, json!({ "maxAttempts": 1, "timeoutSeconds": 4 }))).await;
        let kept = d.api.until(&id, "failed", SOON).await;
        let attempt = &attempts(&kept)[0];
        assert!((4_000..6_000).contains(&attempt["durationMs"].as_i64().unwrap()), "{attempt:#}");
        assert!(attempt["responseStatus"].is_null() && attempt["error"].to_string().contains("within 4 s"), "{attempt:#}");
    });
}

#[test]
fn an_endpoint_that_never_answers_holds_up_no_other() {
    // Not on Workers, for the same reason; its batches are as concurrent as the others'.
    on(&[Host::Dev, Host::Lambda], async |d| {
        let (hanging, quick) = (Endpoint::scripted([Reply::status(200).ending(Ending::Held)]), Endpoint::new());
        let id = d.api.publish(&message(&hanging, json!({ "maxAttempts": 1, "timeoutSeconds": 300 }))).await;
        hanging.wait(1, SOON).await;
        join_all((0..20).map(|_| d.api.publish(&message(&quick, json!({}))))).await;
        quick.wait(20, SOON).await;
        assert_eq!(d.api.message(&id).await["status"], "delivering", "20 messages waited beside a hanging one");
        hanging.release();
    });
}

#[test]
fn a_thousand_pushes_that_hang_hold_up_no_other_destination() {
    // More than a process has slots for.
    on_own(&[Host::Dev], Options { name: "hang-many".to_owned(), ..Options::default() }, async |d| {
        let (hanging, quick) = (Endpoint::scripted([Reply::status(200).ending(Ending::Hang)]), Endpoint::new());
        let hang = message(&hanging, json!({ "maxAttempts": 1, "timeoutSeconds": 600 }));
        stream::iter(0..1_000).map(|_| d.api.publish(&hang)).buffer_unordered(16).collect::<Vec<_>>().await;
        // From 64 slow ones on the rest is put back.
        hanging.wait(64, SOON).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        for n in 1..=5 {
            d.api.publish(&message(&quick, json!({}))).await;
            quick.wait(n, SOON).await; // A tenth of what each of the others lasts.
        }
    });
}

#[test]
fn an_answer_that_breaks_off_is_kept_and_tried_again() {
    on(ALL, async |d| {
        let endpoint = Endpoint::scripted([Reply::status(200).body("abc").ending(Ending::Stall), Reply::status(200)]);
        let id = d.api.publish(&message(&endpoint, json!({ "timeoutSeconds": 2, "backoff": one_second() }))).await;
        let kept = d.api.until(&id, "delivered", SOON).await;
        let first = &attempts(&kept)[0];
        assert_eq!((&first["responseStatus"], &first["responseBody"]), (&json!(200), &json!("abc")), "{first:#}");
        assert!(first["error"].to_string().contains("within 2 s"), "{first:#}");
    });
}

#[test]
fn an_endless_answer_is_cut_off() {
    on(ALL, async |d| {
        let endpoint = Endpoint::scripted([Reply::status(200).ending(Ending::Endless)]);
        let id = d.api.publish(&message(&endpoint, json!({ "maxAttempts": 1 }))).await;
        let kept = d.api.until(&id, "delivered", SOON).await;
        assert_eq!(attempts(&kept)[0]["responseBody"].as_str().map(str::len), Some(4096));
        assert!(attempts(&kept)[0]["durationMs"].as_i64().unwrap() < 20_000, "by its end, not by the timeout of 30 s: {kept:#}");
        let begun = Instant::now();
        while !endpoint.was_cut() {
            assert!(begun.elapsed() < SOON, "the answer is still being read");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn an_answer_of_odd_bytes_is_recorded_and_spoils_no_other() {
    on(ALL, async |d| {
        let odd = Reply::status(200)
            .header("x-odd", "caf\u{e9} \t \u{fffd}")
            .header("x-long", &"h".repeat(12_000))
            .body(vec![0, 0xff, b'"', b'\n', 0xc3]);
        let (odd, plain) = (Endpoint::scripted([odd]), Endpoint::new());
        let endpoints = [&plain, &odd, &plain, &odd, &plain];
        let ids = join_all(endpoints.map(|endpoint| d.api.publish(&message(endpoint, json!({ "maxAttempts": 1 }))))).await;
        for id in &ids {
            d.api.until(id, "delivered", SOON).await;
        }
        let kept = d.api.message(&ids[1]).await;
        let attempt = &attempts(&kept)[0];
        assert_eq!(attempt["responseBody"], "\0\u{fffd}\"\n\u{fffd}", "{attempt:#}");
        assert!(attempt["responseHeaders"].to_string().len() < 8_192 + 1_024, "{attempt:#}");
        assert_eq!((plain.count(), odd.count()), (3, 2));
    });
}

#[test]
fn a_broken_connection_is_recorded_and_tried_again() {
    on(ALL, async |d| {
        let endpoint = Endpoint::scripted([Reply::status(200).ending(Ending::Drop), Reply::status(200)]);
        let id = d.api.publish(&message(&endpoint, json!({ "maxAttempts": 2, "backoff": one_second() }))).await;
        let kept = d.api.until(&id, "delivered", SOON).await;
        assert_eq!(statuses(&kept), [json!(null), json!(200)]);
        assert!(attempts(&kept)[0]["error"].is_string(), "{kept:#}");
    });
}

#[test]
fn a_port_that_nobody_listens_on_is_a_failed_attempt() {
    on(ALL, async |d| {
        let url = format!("http://127.0.0.1:{}/", free_port());
        let id = d.api.publish(&json!({ "url": url, "maxAttempts": 1 })).await;
        let kept = d.api.until(&id, "failed", SOON).await;
        assert_eq!(statuses(&kept), [json!(null)]);
        assert!(attempts(&kept)[0]["error"].is_string(), "{kept:#}");
    });
}
