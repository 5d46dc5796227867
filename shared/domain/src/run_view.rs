//! What the API answers of runs: their JSON shapes. Out of scope: where they come from, and the shape of one on the wire to its endpoint, which
//! is protocol (`workflow_invoke`).

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A run in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunSummary {
    /// `run_` and 32 hex digits.
    pub id: String,
    /// Which workflow.
    pub workflow: String,
    /// The version that it is pinned to.
    pub version: String,
    /// queued, running, sleeping, waiting, retrying, paused, completed, failed or cancelled.
    pub status: String,
    /// The starter's own id.
    pub external_id: Option<String>,
    /// When it was accepted, RFC 3339.
    pub created_at: String,
    /// When it was first dispatched, RFC 3339.
    pub started_at: Option<String>,
    /// When it was over, RFC 3339.
    pub finished_at: Option<String>,
    /// When it goes on by itself, RFC 3339; null when it is over, running, paused, or waits for something without a time.
    pub wakes_at: Option<String>,
    /// 1, and one more for each retry by a person.
    pub attempt: i32,
    /// For filters.
    pub labels: Vec<String>,
    /// The run that waits for it, and with which step.
    pub parent: Option<ParentView>,
    /// The run that it is a fork of.
    pub forked_from: Option<String>,
    /// The step that the fork ran again first.
    pub fork_key: Option<String>,
    /// The run that it goes on for.
    pub continued_from: Option<String>,
    /// The run that goes on for it.
    pub continued_by: Option<String>,
    /// The API key that started it, if one did: `key_` and 32 hex digits.
    pub started_by: Option<String>,
    /// api, sql, schedule, message, event, child, fork or continue.
    pub started_how: String,
    /// The schedule, message, event or run that started it, with its prefix.
    pub source: Option<String>,
    /// Whether it is to be paused when its dispatch ends.
    pub pause_requested: bool,
    /// requested, nonDeterminism, unserved, protocolError, noProgress or lost; null when it is not paused.
    pub pause_reason: Option<String>,
    /// What a person needs to act on it.
    #[schema(value_type = Option<serde_json::Value>)]
    pub pause_detail: Option<Box<RawValue>>,
    /// What was last wrong with a dispatch: `{message, at, status}`, as far as they are known.
    #[schema(value_type = Option<serde_json::Value>)]
    pub last_error: Option<Box<RawValue>>,
    /// What it waits for when it is sleeping, waiting or retrying: by their keys the first three steps that are planned and not finished.
    pub waiting_for: Vec<AwaitedView>,
    /// Name and message of the error that it failed with, the first 200 characters; null when it has not failed, or they cannot be told so shortly.
    pub failure: Option<String>,
}

/// A step that a run waits for.
#[derive(Debug, Serialize, serde::Deserialize, ToSchema)]
pub struct AwaitedView {
    /// Its name, #, and its occurrence from 0.
    pub key: String,
    /// sleep, signal, event, child, approval or fetch; run or ai for a step that is to be executed again.
    pub kind: String,
    /// The signal's or event's name.
    pub name: Option<String>,
}

/// The run that waits for another.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParentView {
    /// `run_` and 32 hex digits.
    pub id: String,
    /// Its step; null when another run has taken this one's place there.
    pub key: Option<String>,
}

/// A page of runs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunPage {
    /// Newest first.
    pub data: Vec<RunSummary>,
    /// Of the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// A run with its steps.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// As in lists.
    #[serde(flatten)]
    pub run: RunSummary,
    /// JSON as it came; null when it has more than 256 KiB, and `inputTruncated` is then true.
    #[schema(value_type = serde_json::Value)]
    pub input: Option<Box<RawValue>>,
    /// Whether the input is left out for its size.
    pub input_truncated: bool,
    /// JSON, when it is completed.
    #[schema(value_type = Option<serde_json::Value>)]
    pub output: Option<Box<RawValue>>,
    /// `{name, message, ...}`, when it failed or was cancelled for a reason.
    #[schema(value_type = Option<serde_json::Value>)]
    pub error: Option<Box<RawValue>>,
    /// Finished steps in the order in which they were recorded, those of the first page.
    pub steps: Vec<StepView>,
    /// Of the next page of steps; null when all are here.
    pub steps_cursor: Option<String>,
    /// Steps that were planned and are not finished, at most 1,000.
    pub pending: Vec<PendingView>,
    /// Signals that nobody has waited for yet.
    pub signals: Vec<SignalCountView>,
    /// What its AI steps used, all attempts together; those that a fork copied are not counted.
    pub ai: AiView,
}

/// A finished step.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    /// Its place in the journal.
    pub seq: i32,
    /// Its name, #, and its occurrence from 0.
    pub key: String,
    /// run, ai, sleep, signal, event, child, approval, fetch or publish.
    pub kind: String,
    /// ok, error or timeout.
    pub state: String,
    /// JSON, of state ok; null when `truncated`.
    #[schema(value_type = Option<serde_json::Value>)]
    pub value: Option<Box<RawValue>>,
    /// Whether the value is left out for its size; the step by itself has it.
    pub truncated: bool,
    /// `{name, message, ...}`, of state error.
    #[schema(value_type = Option<serde_json::Value>)]
    pub error: Option<Box<RawValue>>,
    /// The child that it waited for.
    pub run_id: Option<String>,
    /// Which execution this is, from 1.
    pub attempt: i32,
    /// When it was planned, RFC 3339, of an approval and of a child; null for other steps, of which that is not kept: what the endpoint executes began `durationMs` before `recordedAt`, and a wait began after what the run did before it.
    pub planned_at: Option<String>,
    /// When it was recorded, RFC 3339.
    pub recorded_at: String,
    /// How long it took, by the endpoint's clock.
    pub duration_ms: Option<i64>,
    /// Model, tokens and cost, as the endpoint said.
    #[schema(value_type = Option<serde_json::Value>)]
    pub ai: Option<Box<RawValue>>,
    /// Whether a fork copied it from another run.
    pub copied: bool,
    /// Executions that were retried, or came too late to count; the first 100.
    pub attempts: Vec<StepAttemptView>,
}

/// An execution of a step that is not the one that counts.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepAttemptView {
    /// Which, from 1.
    pub number: i32,
    /// When it was recorded, RFC 3339.
    pub recorded_at: String,
    /// How long it took, by the endpoint's clock.
    pub duration_ms: Option<i64>,
    /// Why it failed; null for a result that came too late.
    #[schema(value_type = Option<serde_json::Value>)]
    pub error: Option<Box<RawValue>>,
    /// Whether it spent no attempt: 429 and the like.
    pub free: bool,
    /// Whether it came after something newer had begun.
    pub late: bool,
    /// The wait before the next one.
    pub retry_ms: Option<i64>,
}

/// A step that was planned and is not finished.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingView {
    /// Its name, #, and its occurrence from 0.
    pub key: String,
    /// sleep, signal, event, child, approval or fetch; run or ai for a step that is to be executed again.
    pub kind: String,
    /// The signal's or event's name.
    pub name: Option<String>,
    /// RFC 3339.
    pub planned_at: String,
    /// When the sleep ends, the wait times out, or the step may be executed again, RFC 3339.
    pub due_at: Option<String>,
    /// The number of its next execution, from 1.
    pub attempt: i32,
    /// The child that it waits for.
    pub run_id: Option<String>,
    /// The message that makes the call that it waits for.
    pub message_id: Option<String>,
    /// Executions that failed before; the first 100.
    pub attempts: Vec<StepAttemptView>,
}

/// Unread signals of a name.
#[derive(Debug, Serialize, ToSchema)]
pub struct SignalCountView {
    /// The signal's name.
    pub name: String,
    /// How many.
    pub count: i64,
}

/// What AI steps used.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AiView {
    /// Tokens that went in.
    pub input_tokens: i64,
    /// Tokens that came out.
    pub output_tokens: i64,
    /// In US dollars, as far as the endpoint said.
    pub cost_usd: f64,
}

/// A page of a run's finished steps.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepPage {
    /// In the order in which they were recorded.
    pub data: Vec<StepView>,
    /// Of the next page; null on the last one.
    pub next_cursor: Option<String>,
}
