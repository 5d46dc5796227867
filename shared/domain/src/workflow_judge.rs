//! Judges what an endpoint made of a dispatch (docs/protocol.md, "The reply"): it took it, it certainly did not, or nobody knows.
//!
//! Out of scope: recording it, and what ops do.

use crate::limits::{DISPATCH_RETRY_MS_MAX, REPLY_BYTES_MAX, RETRY_AFTER_MS_MAX};
use crate::message::{self, Answer};
use crate::publish::Rules;
use crate::retry::{self, Backoff, BackoffKind};
use crate::workflow::{Dispatch, Op, Outcome, ProtocolError};
use crate::workflow_await::Tree;
use crate::workflow_reply;

/// Waits between dispatches that an endpoint does not take.
const BACKOFF: Backoff =
    Backoff { kind: BackoffKind::Exponential, initial_ms: 1_000, factor: 2.0, max_ms: DISPATCH_RETRY_MS_MAX, jitter: true };
/// Statuses of proxies that gave up waiting for an endpoint that may still be at work: 504, and Cloudflare's 520 and 524.
const AMBIGUOUS: [u16; 3] = [504, 520, 524];
const VERSION_PROBLEM: &str = "urn:tikku:problem:protocol-version";

/// A judged dispatch.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// What came of it.
    pub outcome: Outcome,
    /// The highest seq that the endpoint has read.
    pub have: i32,
    /// What it reports.
    pub ops: Vec<Op>,
    /// What the run waits for.
    pub awaits: Option<Tree>,
}

impl Judged {
    fn of(outcome: Outcome) -> Self {
        Self { outcome, have: 0, ops: Vec::new(), awaits: None }
    }
}

/// Judges the answer to a dispatch, of which one byte more than [`REPLY_BYTES_MAX`] was asked for. `now_ms` is the database's time, in
/// milliseconds since 1970.
pub fn judge(dispatch: &Dispatch, outcome: message::Outcome, rules: &Rules<'_>, now_ms: i64) -> Judged {
    match outcome.result {
        message::Reply::Response(answer) => answered(dispatch, &answer, rules, now_ms),
        message::Reply::Failed { kind, detail, .. } if kind.is_unsent() => Judged::of(refused(dispatch, &detail, None, &[], now_ms)),
        message::Reply::Failed { detail, partial, .. } => {
            Judged::of(Outcome::Lost { error: error_json(&detail, partial.map(|answer| answer.status)) })
        }
    }
}

/// A dispatch that this process has no room for, so that nothing was sent.
pub fn no_room() -> Outcome {
    Outcome::Refused { retry_ms: BACKOFF.initial_ms, error: error_json("the engine had no room for it", None) }
}

fn answered(dispatch: &Dispatch, answer: &Answer, rules: &Rules<'_>, now_ms: i64) -> Judged {
    let refuse = |detail: &str| Judged::of(refused(dispatch, detail, Some(answer.status), &answer.headers, now_ms));
    let header = |name: &str| answer.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
    match answer.status {
        200 => {}
        status if AMBIGUOUS.contains(&status) => {
            let detail = format!("a proxy answered {status}: the endpoint may still be at work");
            return Judged::of(Outcome::Lost { error: error_json(&detail, Some(status)) });
        }
        400 if is_version_problem(&answer.body) => {
            return Judged::of(protocol_error("", "the endpoint does not speak version 1 of the protocol"));
        }
        401 => return refuse("the endpoint answered 401: it does not know this account's signing secret"),
        status @ 300..400 => {
            return refuse(&format!("the endpoint answered {status}; redirects are not followed: register the final address"));
        }
        status => return refuse(&format!("the endpoint answered {status}")),
    }
    let media_type = header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return refuse("the endpoint's answer has another content-type than application/json");
    }
    if answer.body.len() > REPLY_BYTES_MAX {
        return Judged::of(protocol_error("", &format!("the reply has more than {REPLY_BYTES_MAX} bytes")));
    }
    // What is no JSON object at all was not said by an SDK.
    if answer.body.trim_ascii_start().first() != Some(&b'{') || serde_json::from_slice::<serde::de::IgnoredAny>(&answer.body).is_err() {
        return refuse("the endpoint's answer is no JSON object");
    }
    match workflow_reply::parse_reply(&answer.body, rules) {
        Ok(reply) => {
            let outcome = reply.pause.map_or(Outcome::Reply, |(reason, detail)| Outcome::Pause { reason, detail });
            Judged { outcome, have: reply.have, ops: reply.ops, awaits: reply.awaits }
        }
        Err(ProtocolError { pointer, detail, .. }) => Judged::of(protocol_error(&pointer, &detail)),
    }
}

fn refused(dispatch: &Dispatch, detail: &str, status: Option<u16>, headers: &[(String, String)], now_ms: i64) -> Outcome {
    let grown_ms = retry::delay_ms(&BACKOFF, dispatch.failures.saturating_add(1), dispatch.id.0.as_bytes());
    let floor_ms = retry::retry_after_ms(headers, now_ms).unwrap_or(0).min(RETRY_AFTER_MS_MAX);
    Outcome::Refused { retry_ms: grown_ms.max(floor_ms), error: error_json(detail, status) }
}

fn error_json(message: &str, status: Option<u16>) -> String {
    serde_json::json!({ "message": message, "status": status }).to_string()
}

fn protocol_error(pointer: &str, detail: &str) -> Outcome {
    let detail = serde_json::json!({ "message": detail, "pointer": pointer }).to_string();
    Outcome::Pause { reason: "protocolError", detail }
}

fn is_version_problem(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Problem {
        #[serde(rename = "type")]
        kind: String,
    }
    serde_json::from_slice::<Problem>(body).is_ok_and(|problem| problem.kind == VERSION_PROBLEM)
}

#[cfg(test)]
#[path = "workflow_judge_tests.rs"]
mod tests;
