//! The request of `/v1/schedules` as the OpenAPI document shows it: what `domain::schedule` reads.

use std::collections::BTreeMap;

use utoipa::ToSchema;

use crate::publish_shapes::FlowControlRequest;
use crate::shapes::{BackoffRequest, Method};

/// A schedule: when, and what it publishes each time.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::schedule reads")]
pub struct ScheduleRequest {
    /// What people call it, unique in the account. It stands in URLs beside the id.
    #[schema(min_length = 1, max_length = 64, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f/.][^\\u0000-\\u001f\\u007f-\\u009f/]*$")]
    name: String,
    /// Five fields: minute, hour, day of month, month, day of week; each *, values, ranges, lists, and steps after * or a range.
    #[schema(min_length = 9, max_length = 255, example = "0 9 * * mon-fri")]
    cron: Option<String>,
    /// The IANA time zone in which cron is read.
    #[schema(min_length = 1, max_length = 64, default = "UTC", example = "Europe/Berlin")]
    timezone: Option<String>,
    /// Instead of cron: so many seconds after the one before, counted from when this was set.
    #[schema(minimum = 1, maximum = 31_536_000)]
    every_seconds: Option<i64>,
    /// What becomes of a due time while messages of earlier ones, or the runs they started, are not over.
    #[schema(default = "allow")]
    overlap: Option<OverlapRequest>,
    /// What becomes of due times when nothing fired for more than two minutes, as after an outage.
    #[schema(default = "latest")]
    catch_up: Option<CatchUpRequest>,
    /// While true it has no due times. Absent in an edit: as it was.
    paused: Option<bool>,
    /// Where to push.
    #[schema(example = "https://example.com/hook")]
    url: Option<String>,
    /// Instead of url: the fanout to publish to. It need not exist before it is due.
    #[schema(min_length = 1, max_length = 64)]
    fanout: Option<String>,
    /// Instead of url: the workflow that is started. It need not be served before it is due.
    workflow: Option<String>,
    /// Any JSON value; its bytes are pushed as written, at most 4 MiB.
    body: Option<serde_json::Value>,
    /// With workflow: the input of its runs, any JSON value, at most 4 MiB. The same as body.
    input: Option<serde_json::Value>,
    /// HTTP method.
    #[schema(default = "POST")]
    method: Option<Method>,
    /// Headers of the push.
    headers: Option<BTreeMap<String, String>>,
    /// How often each message may be tried.
    #[schema(minimum = 1, maximum = 100, default = 5)]
    max_attempts: Option<i64>,
    /// The wait between attempts.
    backoff: Option<BackoffRequest>,
    /// How long one push may take.
    #[schema(minimum = 1, maximum = 840, default = 30)]
    timeout_seconds: Option<i64>,
    /// Of each message; 1 to 64 characters each.
    #[schema(max_items = 10)]
    labels: Option<Vec<String>>,
    /// The flow of its messages.
    flow_control: Option<FlowControlRequest>,
    /// Told when a message is delivered.
    callback_url: Option<String>,
    /// Told when a message has failed.
    failure_callback_url: Option<String>,
    /// Instead of callbackUrl: the workflow that is started when a message is delivered.
    callback_workflow: Option<String>,
    /// Instead of failureCallbackUrl: the workflow that is started when a message has failed.
    failure_callback_workflow: Option<String>,
}

/// Whether runs may overlap.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "describes what domain::schedule reads")]
pub enum OverlapRequest {
    /// It fires all the same.
    Allow,
    /// It is passed over.
    Skip,
}

/// What is made up for.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "describes what domain::schedule reads")]
pub enum CatchUpRequest {
    /// None fires.
    Skip,
    /// The newest fires.
    Latest,
    /// Each fires, the oldest first.
    All,
}
