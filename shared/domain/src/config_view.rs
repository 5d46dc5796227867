//! What the API answers of its configuration: fanouts, flows and circuit breakers. Out of scope: where it comes from.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::view::{BackoffView, FlowView};

/// A fanout with its endpoints. Its revision is also its ETag.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FanoutView {
    /// What publishers call it.
    pub name: String,
    /// In the order in which they were added.
    pub endpoints: Vec<EndpointView>,
    /// One more with every change of it or its endpoints.
    pub revision: i64,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
}

/// Where a fanout delivers. What is null is as the publish says.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointView {
    /// `ep_` and 32 hex digits.
    pub id: String,
    /// Destination; null when it starts a workflow.
    pub url: Option<String>,
    /// The workflow that it starts; absent with a url.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub workflow: Option<String>,
    /// HTTP method.
    pub method: Option<String>,
    /// They replace those of the publish that have the same names.
    pub headers: BTreeMap<String, String>,
    /// Retry budget.
    pub max_attempts: Option<i32>,
    /// Wait between attempts.
    pub backoff: Option<BackoffView>,
    /// Longest push.
    pub timeout_seconds: Option<i32>,
    /// Whose limits its messages share.
    pub flow_control: Option<FlowView>,
    /// While true, publishes make no message for it.
    pub paused: bool,
}

/// A fanout in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FanoutSummary {
    /// What publishers call it.
    pub name: String,
    /// How many endpoints it has, paused ones included.
    pub endpoint_count: i64,
    /// How many of them are paused.
    pub paused_count: i64,
    /// One more with every change of it or its endpoints.
    pub revision: i64,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
}

/// A page of fanouts.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FanoutPage {
    /// By name.
    pub data: Vec<FanoutSummary>,
    /// For `?cursor=`; null on the last page.
    pub next_cursor: Option<String>,
}

/// A flow: the limits of one key, and what they hold up. Its revision is also its ETag.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowState {
    /// The key that messages are published with.
    pub key: String,
    /// Pushes at once; null for no limit.
    pub parallelism: Option<i32>,
    /// Starts in a period; null for no limit.
    pub rate: Option<i32>,
    /// Length of the period; null without a rate.
    pub period_seconds: Option<i64>,
    /// Whether an operator set the limits; those that messages carry are then ignored.
    pub pinned: bool,
    /// While true, nothing of it starts.
    pub paused: bool,
    /// Messages that are due and not started. Those that wait for a circuit breaker are counted there.
    pub waiting: i64,
    /// True when there are more than `waiting`: a list stops counting at 1,000.
    pub waiting_more: bool,
    /// Pushes under way.
    pub active: i64,
    /// An endpoint answered 429, or 503 with Retry-After: nothing of it starts before, RFC 3339.
    pub held_until: Option<String>,
    /// One more with every change by an operator.
    pub revision: i64,
}

/// A page of flows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowPage {
    /// By key.
    pub data: Vec<FlowState>,
    /// For `?cursor=`; null on the last page.
    pub next_cursor: Option<String>,
}

/// The circuit breaker of a destination that failed lately.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakerView {
    /// `brk_` and 32 hex digits.
    pub id: String,
    /// Scheme, host, port and path: the URL without its query.
    pub destination: String,
    /// closed: pushes go; open: they wait; half_open: one is under way to find out.
    pub status: String,
    /// Pushes that ended within the last minute, to 30 s.
    pub attempts: i32,
    /// Of those, the ones with a connection error, a timeout or 5xx.
    pub failures: i32,
    /// When it last opened, RFC 3339.
    pub opened_at: Option<String>,
    /// While it is not closed: when the next single push may try, RFC 3339.
    pub next_probe_at: Option<String>,
    /// Why the push that opened it failed.
    pub last_error: Option<String>,
    /// Messages that wait for it.
    pub waiting: i64,
    /// True when there are more than `waiting`: a list stops counting at 1,000.
    pub waiting_more: bool,
}

/// A page of circuit breakers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakerPage {
    /// Newest first.
    pub data: Vec<BreakerView>,
    /// For `?cursor=`; null on the last page.
    pub next_cursor: Option<String>,
}
