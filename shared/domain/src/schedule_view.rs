//! What the API answers of schedules. Out of scope: where it comes from.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::view::{BackoffView, FanoutMessage, FlowView};

/// A schedule with its fields under the names they were set with. Its revision is also its ETag.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleView {
    /// `sch_` and 32 hex digits.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// active or paused.
    pub status: String,
    /// The expression; null for an interval.
    pub cron: Option<String>,
    /// The IANA zone of the expression.
    pub timezone: Option<String>,
    /// The interval; null for an expression.
    pub every_seconds: Option<i64>,
    /// allow or skip: what becomes of a due time while messages of earlier ones are not over.
    pub overlap: String,
    /// skip, latest or all: which due times fire that nobody looked after.
    pub catch_up: String,
    /// Destination; null with a fanout or a workflow.
    pub url: Option<String>,
    /// The fanout it publishes to.
    pub fanout: Option<String>,
    /// The workflow that it starts.
    pub workflow: Option<String>,
    /// HTTP method.
    pub method: String,
    /// Headers of the push.
    pub headers: BTreeMap<String, String>,
    /// The body; lists leave it out, and a schedule that starts a workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub body: Option<Box<RawValue>>,
    /// The input of the runs that it starts; lists leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub input: Option<Box<RawValue>>,
    /// Size of the body or input; null when there is none.
    pub body_bytes: Option<i64>,
    /// Retry budget of each message.
    pub max_attempts: i32,
    /// Wait between attempts.
    pub backoff: BackoffView,
    /// Longest push.
    pub timeout_seconds: i32,
    /// Of each message.
    pub labels: Vec<String>,
    /// Whose limits its messages share.
    pub flow_control: Option<FlowView>,
    /// Told when a message is delivered.
    pub callback_url: Option<String>,
    /// Told when a message has failed.
    pub failure_callback_url: Option<String>,
    /// The workflow of which a run is started when a message is delivered.
    pub callback_workflow: Option<String>,
    /// The workflow of which a run is started when a message has failed.
    pub failure_callback_workflow: Option<String>,
    /// When it is due, in words.
    pub in_words: String,
    /// When the clocks of its zone next change, if that is within a year, and what becomes of due times then, in words.
    pub clock_change: Option<String>,
    /// The next five due times, RFC 3339; none while paused. Lists leave them out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub next_runs_at: Option<Vec<String>>,
    /// The next due time, RFC 3339; null while paused.
    pub next_run_at: Option<String>,
    /// The due time of the last run, RFC 3339; of one that was asked for, when.
    pub last_run_at: Option<String>,
    /// What the last run published.
    pub last_message_ids: Vec<String>,
    /// What became of the newest due time: fired; skipped, because it would have overlapped; no_fanout, because its fanout did not exist; or too_large, because its body was, once for each endpoint.
    pub last_outcome: Option<String>,
    /// One more with every change; runs do not change it.
    pub revision: i64,
    /// RFC 3339.
    pub created_at: String,
    /// When it was last changed, RFC 3339.
    pub updated_at: String,
}

/// What a schedule with this timing would do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SchedulePreview {
    /// When it would be due, in words.
    pub in_words: String,
    /// When the clocks of its zone next change, if that is within a year, and what becomes of due times then, in words.
    pub clock_change: Option<String>,
    /// The next five due times, RFC 3339; of an interval, if it was set now.
    pub next_runs_at: Vec<String>,
}

/// A due time that was decided.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FiringView {
    /// The due time, RFC 3339; of a run that was asked for, when.
    pub due_at: String,
    /// When it was decided, RFC 3339: up to 90 s earlier than it is due, or later.
    pub fired_at: String,
    /// fired; skipped, because it would have overlapped; no_fanout, because its fanout did not exist; or too_large, because its body was, once for each endpoint.
    pub outcome: String,
    /// Whether a person asked for it.
    pub asked: bool,
    /// How many messages it made.
    pub message_count: i64,
    /// The first 20 of them.
    pub messages: Vec<FiredMessageView>,
}

/// A message that a schedule made.
#[derive(Debug, Serialize, ToSchema)]
pub struct FiredMessageView {
    /// `msg_` and 32 hex digits.
    pub id: String,
    /// As of messages; null when it is deleted.
    pub status: Option<String>,
}

/// A page of firings.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FiringPage {
    /// Those with the latest due times first. They are kept for as long as the account keeps messages.
    pub data: Vec<FiringView>,
    /// For `?cursor=`; null on the last page.
    pub next_cursor: Option<String>,
}

/// A page of schedules.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SchedulePage {
    /// Newest first, without their bodies.
    pub data: Vec<ScheduleView>,
    /// For `?cursor=`; null on the last page.
    pub next_cursor: Option<String>,
}

/// `202` of a run that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScheduleRun {
    /// What it published: one message, or one for each endpoint of the fanout.
    pub messages: Vec<FanoutMessage>,
}
