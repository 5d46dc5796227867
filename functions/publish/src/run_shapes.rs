//! What is asked of runs, as the OpenAPI document shows it: what `domain` reads.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// How to go on.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::run_verbs reads")]
pub struct ResumeRequest {
    /// True to go on with code that does not fit the journal: entries that it does not ask for are left alone.
    #[schema(default = false)]
    accept: Option<bool>,
}

/// A new run from the middle of another one.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::run_verbs reads")]
pub struct ForkRequest {
    /// The first step that runs again: its key, such as charge#0, or its name. Entries before it are copied.
    #[schema(min_length = 1, max_length = 210, pattern = "^[^#\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]{0,199}$")]
    from_step: String,
    /// Another input; the same when absent.
    input: Option<serde_json::Value>,
    /// Other results of steps before it, by key or name.
    results: Option<BTreeMap<String, serde_json::Value>>,
}

/// Which runs to cancel: ids or a filter.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::run_filter_query reads")]
pub struct RunBulkRequest {
    /// These runs; those that are unknown or over are left out of the count.
    #[schema(min_items = 1, max_items = 500)]
    ids: Option<Vec<String>>,
    /// All that match; an empty filter matches everything.
    filter: Option<RunSelector>,
    /// Only runs that were not over then: the asOf of the answer before. Without it, when the call begins.
    #[schema(format = DateTime)]
    as_of: Option<String>,
}

/// What runs have in common.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::run_filter_query reads")]
pub struct RunSelector {
    /// In this state.
    status: Option<RunStatus>,
    /// Of this workflow.
    #[schema(min_length = 1, max_length = 2048)]
    workflow: Option<String>,
    /// Of this version.
    #[schema(min_length = 1, max_length = 2048)]
    version: Option<String>,
    /// The starter's own id.
    #[schema(min_length = 1, max_length = 2048)]
    external_id: Option<String>,
    /// With this label.
    #[schema(min_length = 1, max_length = 2048)]
    label: Option<String>,
    /// Children of this run.
    #[schema(pattern = "^run_[0-9a-f]{32}$")]
    parent: Option<String>,
    /// Accepted at or after this RFC 3339 time, not before 1970.
    #[schema(format = DateTime)]
    from: Option<String>,
    /// Accepted before this RFC 3339 time, not before 1970.
    #[schema(format = DateTime)]
    to: Option<String>,
}

/// The states of a run.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "describes what domain reads")]
pub enum RunStatus {
    /// To be dispatched.
    Queued,
    /// Dispatched: its endpoint works on it.
    Running,
    /// Until a time.
    Sleeping,
    /// For a signal, an event, a child, an approval or a call.
    Waiting,
    /// A step, or the endpoint, is tried again later.
    Retrying,
    /// By a person, or because it needs one.
    Paused,
    /// Over, with an output.
    Completed,
    /// Over, with an error.
    Failed,
    /// Over, by a person or its parent.
    Cancelled,
}

/// Filters of runs.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what domain::run_filter_query reads")]
pub struct RunFilterQuery {
    /// Only runs in this state.
    #[param(inline)]
    status: Option<RunStatus>,
    /// Of this workflow.
    #[param(min_length = 1, max_length = 2048)]
    workflow: Option<String>,
    /// Of this version.
    #[param(min_length = 1, max_length = 2048)]
    version: Option<String>,
    /// The starter's own id.
    #[param(rename = "externalId", min_length = 1, max_length = 2048)]
    external_id: Option<String>,
    /// With this label.
    #[param(min_length = 1, max_length = 2048)]
    label: Option<String>,
    /// Children of this run.
    #[param(pattern = "^run_[0-9a-f]{32}$")]
    parent: Option<String>,
    /// Accepted at or after this RFC 3339 time, not before 1970.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Accepted before this RFC 3339 time, not before 1970.
    #[param(format = DateTime)]
    to: Option<String>,
}

/// Paging of events, and the name that is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what events::list reads")]
pub struct EventQuery {
    /// Only events of this name.
    #[param(min_length = 1, max_length = 2048)]
    name: Option<String>,
    /// Rows in the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// The nextCursor of the page before.
    cursor: Option<String>,
}

/// Paging of approvals.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what approvals::list reads")]
pub struct ApprovalQuery {
    /// `open`, the default, or `all`.
    #[param(inline)]
    status: Option<ApprovalStatus>,
    /// Rows in the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// The nextCursor of the page before.
    cursor: Option<String>,
}

/// Which approvals.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "describes what approvals::list reads")]
pub enum ApprovalStatus {
    /// Those that wait for an answer.
    Open,
    /// Those that were answered, expired or closed too.
    All,
}

/// What a start came to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartAnswer {
    /// `run_` and 32 hex digits.
    pub id: String,
    /// queued; of a run that was there, the state that it is in.
    pub status: String,
    /// True when the id or the idempotency key had been used with the same input: this is the first run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub deduplicated: bool,
    /// True when the workflow is a singleton and its run is not over: this is that run, and none was started.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub skipped: bool,
    /// True when a start before was moved: this is its run, with the new input.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub debounced: bool,
}

/// A signal that was accepted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignalAnswer {
    /// The run that it was sent to.
    pub run_id: String,
    /// The signal, or the key of the approval that was answered.
    pub name: String,
}

/// What an event came to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventAnswer {
    /// `evt_` and 32 hex digits.
    pub id: String,
    /// The runs that it started; the first 1,000.
    pub started: Vec<String>,
    /// The runs that had waited for it; the first 1,000. Of a deduplicated event those that it woke just now.
    pub woken: Vec<String>,
    /// True when the id had been used with the same name and data: this is the first event.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub deduplicated: bool,
}
