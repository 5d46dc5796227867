//! Runs and their steps as the API answers them: the fields that pages show. Out of scope: how they are shown.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::link::segment;
use crate::refusal::Refusal;
use crate::visitor::Visitor;

/// A run in a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunHead {
    pub id: String,
    pub workflow: String,
    pub version: String,
    pub status: String,
    pub external_id: Option<String>,
    pub created_at: String,
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    pub wakes_at: Option<String>,
    pub attempt: i32,
    pub labels: Vec<String>,
    pub parent: Option<Parent>,
    pub forked_from: Option<String>,
    pub fork_key: Option<String>,
    pub continued_from: Option<String>,
    pub continued_by: Option<String>,
    pub started_by: Option<String>,
    pub started_how: String,
    pub source: Option<String>,
    pub pause_requested: bool,
    pub pause_reason: Option<String>,
    pub pause_detail: Option<Value>,
    pub last_error: Option<Value>,
    /// What it waits for, the first of it.
    #[serde(default)]
    pub waiting_for: Vec<Awaited>,
    pub failure: Option<String>,
}

/// The run that waits for another one.
#[derive(Debug, Deserialize)]
pub struct Parent {
    pub id: String,
    pub key: Option<String>,
}

/// A step that a run waits for.
#[derive(Debug, Deserialize)]
pub struct Awaited {
    pub key: String,
    pub kind: String,
    pub name: Option<String>,
}

/// A run with its steps.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    #[serde(flatten)]
    pub head: RunHead,
    pub input: Option<Box<RawValue>>,
    pub input_truncated: bool,
    pub output: Option<Box<RawValue>>,
    pub error: Option<Value>,
    pub steps: Vec<Step>,
    pub steps_cursor: Option<String>,
    pub pending: Vec<Pending>,
    pub signals: Vec<Unread>,
    pub ai: AiSum,
}

/// A finished step.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub seq: i32,
    pub key: String,
    pub kind: String,
    pub state: String,
    pub value: Option<Box<RawValue>>,
    pub truncated: bool,
    pub error: Option<Value>,
    pub run_id: Option<String>,
    pub attempt: i32,
    /// Of a child and an approval.
    pub planned_at: Option<String>,
    pub recorded_at: String,
    pub duration_ms: Option<i64>,
    pub ai: Option<Ai>,
    pub copied: bool,
    pub attempts: Vec<Tried>,
}

/// An execution that is not the one that counts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    pub number: i32,
    pub recorded_at: String,
    pub duration_ms: Option<i64>,
    pub error: Option<Value>,
    pub free: bool,
    pub late: bool,
    pub retry_ms: Option<i64>,
}

/// A step that was planned and is not finished.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    pub key: String,
    pub kind: String,
    pub name: Option<String>,
    pub planned_at: String,
    pub due_at: Option<String>,
    pub attempt: i32,
    pub run_id: Option<String>,
    pub message_id: Option<String>,
    pub attempts: Vec<Tried>,
}

/// Signals that nobody has read.
#[derive(Debug, Deserialize)]
pub struct Unread {
    pub name: String,
    pub count: i64,
}

/// What an AI step used, as its endpoint said.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ai {
    pub model: Option<String>,
    pub input_tokens: Option<f64>,
    pub output_tokens: Option<f64>,
    pub cost_usd: Option<f64>,
}

/// What all AI steps used.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AiSum {
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cost_usd: f64,
}

/// A page of steps.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Steps {
    pub data: Vec<Step>,
    pub next_cursor: Option<String>,
}

/// A page of runs.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Runs {
    pub data: Vec<RunHead>,
    pub next_cursor: Option<String>,
}

/// How many runs there are in a state.
#[derive(Debug, Deserialize)]
pub struct Count {
    pub count: i64,
    /// Whether there may be more.
    pub more: bool,
}

impl RunHead {
    /// Whether nothing will change any more.
    pub fn is_over(&self) -> bool {
        self.finished_at.is_some()
    }

    /// How long it took, or takes so far.
    pub fn took_ms(&self, now_s: i64) -> i64 {
        let end_ms = self.finished_at.as_deref().map_or(now_s * 1_000, millis);
        (end_ms - millis(&self.created_at)).max(0)
    }
}

/// A run with its first steps.
pub async fn load(visitor: &Visitor, id: &str) -> Result<Run, Refusal> {
    visitor.api.get(&format!("/v1/runs/{}", segment(id))).await
}

/// An RFC 3339 time in milliseconds since 1970; 0 for what is none.
pub fn millis(time: &str) -> i64 {
    time.parse::<Timestamp>().map_or(0, Timestamp::as_millisecond)
}

/// "Name: message" of an error as endpoints report them.
pub fn error_line(error: &Value) -> String {
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    match (text("name"), text("message")) {
        ("", "") => error.as_str().map_or_else(|| error.to_string(), ToOwned::to_owned),
        ("", message) => message.to_owned(),
        (name, "") => name.to_owned(),
        (name, message) => format!("{name}: {message}"),
    }
}

/// The rest of an error: its stack and what caused it, or its other fields; "" when there is nothing more.
pub fn error_detail(error: &Value) -> String {
    let mut text = error.get("stack").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut cause = error.get("cause");
    // SDKs cut chains of causes; whoever writes one of his own may not.
    for _ in 0..10 {
        let Some(error) = cause.filter(|cause| !cause.is_null()) else { break };
        let stack = error.get("stack").and_then(Value::as_str).map_or_else(|| error_line(error), ToOwned::to_owned);
        text = [text, format!("Caused by: {stack}")].join("\n\n");
        cause = error.get("cause");
    }
    for name in ["code", "data"] {
        if let Some(value) = error.get(name).filter(|value| !value.is_null()) {
            text = [text, format!("{name}: {value}")].join("\n\n");
        }
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_line_and_its_detail() {
        let error = serde_json::json!({ "name": "PaymentError", "message": "502", "stack": "PaymentError: 502\n at pay", "code": "E1",
            "cause": { "name": "TypeError", "message": "fetch failed" } });
        assert_eq!(error_line(&error), "PaymentError: 502");
        assert_eq!(error_detail(&error), "PaymentError: 502\n at pay\n\nCaused by: TypeError: fetch failed\n\ncode: \"E1\"");
        let message = serde_json::json!({ "message": "the endpoint answered 503", "status": 503 });
        assert_eq!((error_line(&message).as_str(), error_detail(&message).as_str()), ("the endpoint answered 503", ""));
    }

    #[test]
    fn a_run_is_read_with_its_payloads_as_they_came() {
        let json = serde_json::json!({ "id": "run_1", "workflow": "w", "version": "1", "status": "completed", "createdAt": "2027-01-31T09:00:00.5Z",
            "finishedAt": "2027-01-31T09:00:02Z", "attempt": 1, "labels": [], "startedHow": "api", "pauseRequested": false, "inputTruncated": false,
            "steps": [], "pending": [], "signals": [], "ai": { "inputTokens": 0, "outputTokens": 0, "costUsd": 0.0 }, "input": "INPUT" });
        let run: Run = serde_json::from_str(&json.to_string().replace("\"INPUT\"", r#"{"b":1.10,"a":1}"#)).unwrap();
        assert_eq!(run.input.unwrap().get(), r#"{"b":1.10,"a":1}"#);
        assert_eq!((run.head.is_over(), run.head.took_ms(0)), (true, 1_500));
    }
}
