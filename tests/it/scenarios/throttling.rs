//! An endpoint that says when to come back: Retry-After in its forms, and what it costs the budget (nothing).

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{SOON, message, one_second, statuses};
use crate::endpoint::{Endpoint, Reply, now_ms};
use crate::host::{ALL, Deployment, on_calm};

// Publishes with a budget of one to an endpoint that answers `first`, then 200; returns the message and the wait in between.
async fn second_push(d: &Deployment, first: Reply) -> (Value, i64) {
    let endpoint = Endpoint::scripted([first, Reply::status(200)]);
    let id = d.api.publish(&message(&endpoint, json!({ "maxAttempts": 1, "backoff": one_second() }))).await;
    let kept = d.api.until(&id, "delivered", SOON).await;
    let pushes = endpoint.received();
    assert_eq!(pushes.len(), 2, "{kept:#}");
    (kept, pushes[1].at_ms - pushes[0].at_ms)
}

#[test]
fn a_429_with_retry_after_4_and_one_attempt_is_delivered_on_the_second_push_not_before_4_s() {
    on_calm(ALL, async |d| {
        let (kept, wait_ms) = second_push(d, Reply::status(429).header("Retry-After", "4")).await;
        assert_eq!(statuses(&kept), [json!(429), json!(200)]);
        assert!((4_000..6_500).contains(&wait_ms), "{wait_ms} ms");
    });
}

#[test]
fn a_503_with_retry_after_spends_no_budget_and_one_without_does() {
    on_calm(ALL, async |d| {
        let (_, wait_ms) = second_push(d, Reply::status(503).header("Retry-After", "3")).await;
        assert!((3_000..5_500).contains(&wait_ms), "{wait_ms} ms");
        let endpoint = Endpoint::scripted([Reply::status(503), Reply::status(200)]);
        let id = d.api.publish(&message(&endpoint, json!({ "maxAttempts": 1 }))).await;
        assert_eq!(statuses(&d.api.until(&id, "failed", SOON).await), [json!(503)]);
    });
}

#[test]
fn retry_after_is_understood_as_a_date_and_ignored_when_past_or_garbage() {
    on_calm(ALL, async |d| {
        let date = |offset_s: i64| {
            let offset = Duration::from_secs(offset_s.unsigned_abs());
            httpdate::fmt_http_date(if offset_s < 0 { SystemTime::now() - offset } else { SystemTime::now() + offset })
        };
        let due_ms = now_ms() + 5_000;
        let endpoint = Endpoint::scripted([Reply::status(429).header("Retry-After", &date(5)), Reply::status(200)]);
        d.api.publish(&message(&endpoint, json!({ "maxAttempts": 1, "backoff": one_second() }))).await;
        let at_ms = endpoint.wait(2, SOON).await[1].at_ms;
        // An HTTP date has whole seconds, rounded down.
        assert!(at_ms >= due_ms - 1_000 && at_ms < due_ms + 2_500, "{} ms from the date", at_ms - due_ms);

        let ignored =
            [date(-3_600), "soon".to_owned(), "-5".to_owned(), "1e9".to_owned(), "99999999999999999999999 s".to_owned(), String::new()];
        join_all(ignored.map(async |value| {
            let (_, wait_ms) = second_push(d, Reply::status(429).header("Retry-After", &value)).await;
            assert!((900..4_000).contains(&wait_ms), "Retry-After: {value}: {wait_ms} ms");
        }))
        .await;
    });
}

#[test]
fn the_rate_limit_reset_family_is_understood() {
    on_calm(ALL, async |d| {
        let epoch_s = (now_ms() / 1_000 + 4).to_string();
        let family = [("X-RateLimit-Reset", "3".to_owned()), ("X-RateLimit-Reset", epoch_s), ("retry-after-ms", "3000".to_owned())];
        join_all(family.map(async |(name, value)| {
            let (_, wait_ms) = second_push(d, Reply::status(429).header(name, &value)).await;
            assert!((1_900..6_500).contains(&wait_ms), "{name}: {value}: {wait_ms} ms");
        }))
        .await;
    });
}
