//! An endpoint by a real push: whether the deployment reaches it, whether it takes the signature, whether it refuses a forged one.
//!
//! The message is published and delivered as every other one; the forged one is sent from here, without a secret.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use serde_json::{Value, json};
use tikku::{Host, ReqwestHost};

use super::super::publish::{last_word, wait_for};
use super::finding::{Finding, failed, ok, warning};
use crate::api::Api;
use crate::clock::span;
use crate::print::text_or_dash;

/// Label of the message, for whoever wonders.
const LABEL: &str = "tikku-doctor";
/// How long the endpoint may take to answer.
const ANSWER_S: u64 = 10;

/// Sends one message to the endpoint and waits for it, at most so many seconds.
pub async fn check(api: &Api, endpoint: &str, most_s: u64) -> Vec<Finding> {
    let message =
        json!({ "url": endpoint, "body": { "tikku": "doctor" }, "maxAttempts": 1, "timeoutSeconds": ANSWER_S, "labels": [LABEL] });
    let published = match api.post("/v1/messages", Some(message.to_string())).await {
        Ok(answer) => answer.value,
        Err(error) => return vec![failed("endpoint", format!("{error:#}"), "correct --endpoint, or use a key of role publish or admin")],
    };
    let id = text_or_dash(&published["id"]);
    let message = match wait_for(api, &id, Duration::from_secs(most_s)).await {
        Ok(message) => message.value,
        Err(error) => return vec![failed("endpoint", format!("{error:#}"), "try again")],
    };
    let mut findings = judge(&message, most_s);
    if message["status"] == "failed" {
        // It leaves no dead letter behind; where that does not work, the label says whose it is.
        let _left = api.post("/v1/dlq/delete", Some(json!({ "ids": [id] }).to_string())).await;
    }
    if message["status"] == "delivered" {
        findings.push(forged(endpoint).await);
    }
    findings
}

/// What became of the message says how the way to the endpoint is.
fn judge(message: &Value, most_s: u64) -> Vec<Finding> {
    let last = message["attempts"].as_array().and_then(|attempts| attempts.last()).cloned().unwrap_or(Value::Null);
    let status = last["responseStatus"].as_u64();
    let said = last_word(message);
    match (message["status"].as_str().unwrap_or_default(), status) {
        ("delivered", _) => {
            let took = last["durationMs"].as_u64().unwrap_or(0);
            vec![
                ok("delivery", format!("published and delivered; the endpoint took {}", span(took))),
                ok("signature", format!("the endpoint took a push signed with the account's secret ({})", status.unwrap_or(0))),
            ]
        }
        ("failed", Some(401 | 403)) => vec![
            ok("delivery", "the endpoint was reached"),
            failed(
                "signature",
                format!("the endpoint refused the push: {said}"),
                "it has another signing secret, or its clock is off: give it the one that `tikku secrets get --show` prints (TIKKU_SIGNING_SECRET)",
            ),
        ],
        ("failed", Some(300..=399)) => {
            vec![failed("endpoint", format!("{said}: redirects are not followed"), "use the address that it redirects to")]
        }
        ("failed", Some(404 | 405)) => vec![failed("endpoint", said, "correct its path, or let it take POST")],
        ("failed", Some(_)) => vec![failed("endpoint", said, "look at the endpoint's own log")],
        ("failed", None) => {
            vec![failed(
                "endpoint",
                said,
                "the deployment, not this machine, must reach it: check name, port, firewall and TIKKU_ALLOW_CIDRS",
            )]
        }
        (status, _) => match message["waitingFor"].as_str() {
            Some(what) => {
                vec![warning("delivery", format!("the message waits for its {what}"), "`tikku breakers list`, `tikku flows list`")]
            }
            None => vec![failed(
                "delivery",
                format!("after {most_s} s the message is {status}"),
                "nobody takes it from the queue: look at the log of deliver, at its trigger, and at tick",
            )],
        },
    }
}

/// Sends a push whose signature is wrong: an endpoint that takes it does not verify.
async fn forged(endpoint: &str) -> Finding {
    let seconds = Timestamp::now().as_second();
    let request = Request::builder()
        .method("POST")
        .uri(endpoint)
        .header("content-type", "application/json")
        .header("webhook-id", "msg_doctor")
        .header("webhook-timestamp", seconds.to_string())
        .header("webhook-signature", format!("v1,{}=", "A".repeat(43)))
        .body(Bytes::from_static(br#"{"tikku":"doctor","forged":true}"#));
    let (Ok(request), Ok(host)) = (request, ReqwestHost::new()) else {
        return ok("verification", "not checked: the endpoint cannot be called from here");
    };
    match host.send(request).await.map(|answer| answer.status()) {
        Ok(status) if status.is_success() => warning(
            "verification",
            format!("the endpoint took a push with a forged signature ({})", status.as_u16()),
            "let it verify signatures, with the SDK or any Standard Webhooks library: anybody can send to it",
        ),
        Ok(status) => ok("verification", format!("the endpoint refused a forged signature ({})", status.as_u16())),
        Err(error) => ok("verification", format!("not checked: the endpoint cannot be called from here ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn what_became_of_the_message_says_what_is_wrong() {
        let message = |status: &str, answer: Value, error: Value| json!({ "status": status, "waitingFor": null, "attempts": [{ "responseStatus": answer, "error": error, "durationMs": 12 }] });
        for (message, name, verdict) in [
            (message("delivered", json!(200), Value::Null), "signature", Verdict::Ok),
            (message("failed", json!(401), Value::Null), "signature", Verdict::Failed),
            (message("failed", json!(308), Value::Null), "endpoint", Verdict::Failed),
            (message("failed", json!(500), Value::Null), "endpoint", Verdict::Failed),
            (message("failed", Value::Null, json!("no connection")), "endpoint", Verdict::Failed),
            (json!({ "status": "queued", "waitingFor": null, "attempts": [] }), "delivery", Verdict::Failed),
            (json!({ "status": "queued", "waitingFor": "breaker", "attempts": [] }), "delivery", Verdict::Warning),
        ] {
            let last = judge(&message, 20).pop().unwrap();
            assert_eq!((last.name, last.verdict), (name, verdict), "{message}");
        }
    }
}
