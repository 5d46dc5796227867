//! Which runs a list shows, or a bulk operation is about. Out of scope: reading it from a query (`run_filter_query`).

use crate::filter::Page;
use crate::ids::RunId;

/// The states of a run, as filters name them.
pub const RUN_STATES: [&str; 9] = ["queued", "running", "sleeping", "waiting", "retrying", "paused", "completed", "failed", "cancelled"];

/// What `GET /v1/runs` shows.
#[derive(Clone, Debug, PartialEq)]
pub struct RunFilter {
    /// One of [`RUN_STATES`].
    pub status: Option<String>,
    /// The workflow's name.
    pub workflow: Option<String>,
    /// The version that runs are pinned to.
    pub version: Option<String>,
    /// A label.
    pub label: Option<String>,
    /// The run that waits for them.
    pub parent: Option<RunId>,
    /// The starter's own id.
    pub external_id: Option<String>,
    /// Started at or after, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Started before, in milliseconds since 1970.
    pub to_ms: Option<i64>,
    /// Which page; a bulk operation has no use for it.
    pub page: Page<RunId>,
}
