//! What the overview answers. Out of scope: computing it (`overview`).

use serde::Serialize;
use utoipa::ToSchema;

use crate::view::{StatusCount, StatusCounts};

/// How an account's messages and runs have fared lately.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverviewView {
    /// The moment it was made, by the database clock, RFC 3339.
    pub at: String,
    /// The start of the first bucket, RFC 3339.
    pub from: String,
    /// The length of a bucket: 60, or more when more than 60 minutes were asked for.
    pub bucket_seconds: i64,
    /// Oldest first; the last one is not over yet.
    pub buckets: Vec<BucketView>,
    /// True when not every message was looked at: all but `published`, `oldestDue`, `runs` and `approvalsWaiting` is then computed from `sampleSize` messages, spread over the buckets as the messages are, and a bucket with 250 messages or more is an estimate from how fast its first 250 came.
    pub sampled: bool,
    /// How many messages were looked at.
    pub sample_size: i64,
    /// Messages that were delivered of those that ended delivered or failed, 0 to 1; null when none did.
    pub success_rate: Option<f64>,
    /// From when a message was due, for the last time if it was tried again, until it was delivered.
    pub latency_ms: Option<PercentilesView>,
    /// How long pushes took, whatever they came to.
    pub push_ms: Option<PercentilesView>,
    /// The message that has been due for the longest; null when none waits.
    pub oldest_due: Option<OldestDueView>,
    /// Seconds since tick last looked; null before the first time.
    pub last_tick_age_seconds: Option<f64>,
    /// The 20 destinations with most failures, then most attempts, after those whose circuit breaker is not closed.
    pub destinations: Vec<DestinationHealthView>,
    /// Runs in each status.
    pub runs: StatusCounts,
    /// Approvals that wait for an answer.
    pub approvals_waiting: StatusCount,
}

/// What happened in some time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BucketView {
    /// RFC 3339.
    pub from: String,
    /// Messages that were accepted.
    pub published: i64,
    /// Messages that were delivered.
    pub delivered: i64,
    /// Messages that failed for good.
    pub failed: i64,
    /// Messages that were cancelled.
    pub cancelled: i64,
    /// Pushes that failed, whatever became of their messages.
    pub failed_attempts: i64,
    /// From when a message was due until it was delivered, of those that were delivered; null without one.
    pub latency_ms: Option<PercentilesView>,
    /// True when these are estimates.
    pub estimated: bool,
}

/// Two percentiles of some durations, by nearest rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PercentilesView {
    /// Half are no longer.
    pub p50: i64,
    /// All but one percent are no longer.
    pub p99: i64,
}

/// A message that is due and not started.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OldestDueView {
    /// `msg_` and 32 hex digits.
    pub id: String,
    /// RFC 3339.
    pub due_at: String,
    /// How long ago that was.
    pub age_seconds: f64,
    /// `flow` or `breaker` when it waits for room in its flow, or for a destination that fails.
    pub waiting_for: Option<String>,
}

/// How a destination has answered.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DestinationHealthView {
    /// Scheme, host, port and path: the URL without its query; or `workflow:` and a name.
    pub destination: String,
    /// Pushes, among those that were looked at.
    pub attempts: i64,
    /// Of those, the ones that failed.
    pub failures: i64,
    /// How long its pushes took; null without one.
    pub push_ms: Option<PercentilesView>,
    /// closed, open or half_open; null when it has no circuit breaker, because it has not failed lately.
    pub breaker: Option<String>,
    /// The id of the breaker.
    pub breaker_id: Option<String>,
}
